"""A progress bar on stderr that can be told not to show."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(
    description: str, *, total: int | None, show: bool | None = None, unit: str = "examples"
) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of units just done, for as long as the context is open.

    Args:
        description: what is being done, shown before the bar.
        total: number of units in all; `None` where it is not known, which shows a count without an end.
        show: whether anything is drawn; `None` draws where stderr is a terminal. The bar disappears when it is done. One that is
            begun within another stands below it.
        unit: the plural noun of what is counted.

    Example:
        >>> with progress_bar("encode", total=3, show=False) as advance:
        ...     advance(3)
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda n: None
        return
    with _display() as progress:
        task = progress.add_task(description, total=total, unit=unit)
        try:
            yield lambda n: progress.advance(task, n)
        finally:
            progress.remove_task(task)


_shown: list[Progress] = []
"""The display that is on the screen, if one is: two cannot be there at once, so that bars within bars are lines of one."""


@contextlib.contextmanager
def _display() -> Iterator[Progress]:
    if _shown:
        yield _shown[0]
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        _shown.append(progress)
        try:
            yield progress
        finally:
            _shown.clear()
