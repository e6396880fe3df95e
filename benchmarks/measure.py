"""What a benchmark reports: one row per piece of work, both sides timed in the same run."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One piece of work, done the usual way and ours.

    Attributes:
        what: the work, with its size ("distinct rows, 60,000 × 512 bits").
        naive: the usual way ("np.unique(axis=0)").
        naive_seconds: its time, extrapolated if ``note`` says so.
        ours_seconds: our time for the same work.
        goal: the ratio to reach; None where the row only informs.
        note: what a reader has to know to trust the numbers.
    """

    what: str
    naive: str
    naive_seconds: float
    ours_seconds: float
    goal: float | None
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.naive_seconds / self.ours_seconds

    def to_dict(self) -> dict[str, object]:
        """The fields and the ratio, ready for JSON."""
        return {**asdict(self), "ratio": self.ratio}


def median_seconds(fn: Callable[[], object], repeats: int = 5, warmup: int = 1) -> float:
    """Median wall-clock time of ``fn()`` over ``repeats`` calls, after ``warmup`` calls that do not count."""
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        fn()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def alternating_seconds(
    naive: Callable[[], object], ours: Callable[[], object], repeats: int = 5
) -> tuple[float, float]:
    """Median times of two functions called in turn, after one call of each: drift of the machine's speed hits both alike."""
    naive(), ours()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for fn, seconds in zip((naive, ours), times, strict=True):
            seconds.append(median_seconds(fn, repeats=1, warmup=0))
    return statistics.median(times[0]), statistics.median(times[1])


def in_words(seconds: float) -> str:
    """A duration with three significant digits and its unit.

    >>> in_words(0.00631), in_words(2209.0)
    ('6.31 ms', '2210 s')
    """
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            value = seconds * factor
            return f"{value:.3g} {unit}" if value < 1000 else f"{float(f'{value:.3g}'):.0f} {unit}"
    raise AssertionError("unreachable: the loop returns at µs")


def print_table(rows: Iterable[Row]) -> None:
    """Print one line per row: both times, the ratio, and whether it reaches the goal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("work")
    table.add_column("against")
    for column in ("naive", "ours", "ratio", "goal"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        met = row.goal is None or row.ratio >= row.goal
        table.add_row(
            row.what,
            row.naive,
            in_words(row.naive_seconds),
            in_words(row.ours_seconds),
            f"[{'green' if met else 'red'}]{row.ratio:.3g} ×[/]",
            "" if row.goal is None else f"{row.goal:g} ×",
            row.note,
        )
    Console(width=160).print(table)
