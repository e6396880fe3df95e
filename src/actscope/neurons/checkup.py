"""The vital signs of all neurons of a model, as one result: a table, a figure, Arrow, and the worst of them in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actscope.figures.labels import counted, percent, shortened
from actscope.neurons.evidence import Finding, worst_units
from actscope.neurons.tallies import By
from actscope.neurons.verdicts import VERDICTS, Criterion, Thresholds
from actscope.neurons.vitalsigns import SiteVitals

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

__all__ = ["Vitals"]

_MOST_ROWS = 40


@dataclass(frozen=True, eq=False, repr=False)
class Vitals:
    """How the neurons of a model do on some data, and what is wrong with whom.

    Attributes:
        sites: each site's units, in the order in which the model runs.
        classes: the labels seen, ascending, or `None`.
        n_examples: how many examples were seen; each counts once.
        by: whether channels or single neurons are the units of convolutional sites.
        thresholds: where verdicts begin.
        criteria: each verdict's rule, threshold, window, number of examples, and what to do.
        loss: what the gradients are of; empty if there are none.
        no_gradients: why there are no gradients, or empty.
        probe: inputs of a few of the examples, as the model takes them, for `prune` to try a model on.
    """

    sites: tuple[SiteVitals, ...]
    classes: NDArray[np.int64] | None
    n_examples: int
    by: By
    thresholds: Thresholds
    criteria: tuple[Criterion, ...]
    loss: str
    no_gradients: str
    probe: Any

    def __getitem__(self, name: str) -> SiteVitals:
        """The site of this name.

        Raises:
            KeyError: if there is none.
        """
        for live in self.sites:
            if live.site.name == name:
                return live
        raise KeyError(
            f"{name!r} is no site of these; they are: {', '.join(repr(live.site.name) for live in self.sites)}"
        )

    @property
    def n_units(self) -> int:
        """Neurons (or channels) of all sites."""
        return sum(live.n_units for live in self.sites)

    def shares(self) -> dict[str, NDArray[np.float64]]:
        """By verdict, (n_sites,) the share of each site's units that bear it. They overlap, so they need not add up to 1."""
        return {name: np.array([live.share(name) for live in self.sites]) for name in VERDICTS}

    def counts(self) -> dict[str, int]:
        """By verdict, how many units of all sites bear it."""
        return {name: sum(int(live.verdicts[name].sum()) for live in self.sites) for name in VERDICTS}

    def worst(self, n: int = 10) -> tuple[Finding, ...]:
        """At most `n` units that are not alive, the gravest verdicts first, with their evidence and what to do."""
        return worst_units(self.sites, self.criteria, n)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts().items() if count)
        sites = counted(len(self.sites), "site")
        return f"Vitals({counted(self.n_units, 'unit')} at {sites}, {counted(self.n_examples, 'example')}: {counts})"

    def __str__(self) -> str:
        short = {"constant pattern": "constant", "redundant": "redund."}
        head = f"{'site':<26}{'units':>8}" + "".join(f"{short.get(name, name):>10}" for name in VERDICTS)
        lines = [head, "-" * len(head)]
        for live in self.sites[:_MOST_ROWS]:
            cells = "".join(f"{percent(live.share(name)) if live.can_be(name) else '–':>10}" for name in VERDICTS)
            lines.append(f"{shortened(live.site.name, length=24):<26}{live.n_units:>8,}{cells}")
        if len(self.sites) > _MOST_ROWS:
            lines.append(f"… and {len(self.sites) - _MOST_ROWS:,} more")
        gradients = (
            f"gradients of {self.loss}" if self.loss else f"no gradients, so none is called dying: {self.no_gradients}"
        )
        lines.append(f"{counted(self.n_examples, 'example')}; a unit may bear several verdicts; {gradients}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Sums by site, the rules, and the ten worst units, as plain values that JSON can hold."""
        return {
            "n_examples": self.n_examples,
            "by": self.by,
            "loss": self.loss,
            "no_gradients": self.no_gradients,
            "thresholds": self.thresholds.to_dict(),
            "criteria": [criterion.to_dict() for criterion in self.criteria],
            "sites": [live.to_dict() for live in self.sites],
            "worst": [finding.to_dict() for finding in self.worst()],
        }

    def to_arrow(self) -> pa.Table:
        """Every unit as a row of one table.

        Columns: `site`, `unit` (its index in the site), `unit_is` (`neuron` or `channel`), `verdicts` (a list), `shares` (of the
        intervals, a list), `firing_rate`, `entropy_bits`, `information_bits`, `rate_by_class` (a list, in the order of the labels in
        the metadata), `mean`, `variance`, `gradient`, `cancellation`, `flat`, `twin`, `mirrored`. What was not measured is null.
        """
        import pyarrow as pa

        tables = [pa.table(_columns(live)) for live in self.sites]
        table = pa.concat_tables(tables)
        labels = "" if self.classes is None else ",".join(map(str, self.classes.tolist()))
        return table.replace_schema_metadata({"labels": labels, "n_examples": str(self.n_examples), "loss": self.loss})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_arrow` as one Parquet file, whole or not at all."""
        from actscope.neurons.tablefile import write_table

        write_table(self.to_arrow(), path)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The share of each site's units that bear each verdict, a dash where none can."""
        from actscope.figures.verdict_shares import draw_verdict_shares

        possible = {
            name: [live.share(name) if live.can_be(name) else np.nan for live in self.sites] for name in VERDICTS
        }
        return draw_verdict_shares([live.site.name for live in self.sites], possible, ax=ax)


def _columns(live: SiteVitals) -> Mapping[str, Any]:
    import pyarrow as pa

    n = live.n_units

    def numbers(values: NDArray[np.float64] | None) -> Any:
        return pa.nulls(n, pa.float64()) if values is None else pa.array(values, pa.float64(), from_pandas=True)

    def lists(values: NDArray[np.float64] | None) -> Any:
        kind = pa.list_(pa.float64())
        return pa.nulls(n, kind) if values is None else pa.array(list(values), kind)

    twins = pa.array([None if twin < 0 else twin for twin in live.twin.tolist()], pa.int64())
    return {
        "site": pa.array([live.site.name] * n, pa.string()),
        "unit": pa.array(np.arange(n)),
        "unit_is": pa.array([live.unit_noun] * n, pa.string()),
        "verdicts": pa.array([list(live.of(unit)) for unit in range(n)], pa.list_(pa.string())),
        "shares": lists(live.shares),
        "firing_rate": numbers(live.firing_rate),
        "entropy_bits": numbers(live.entropy),
        "information_bits": numbers(live.information),
        "rate_by_class": lists(None if live.rate_by_class is None else live.rate_by_class.T),
        "mean": numbers(live.mean),
        "variance": numbers(live.variance),
        "gradient": numbers(live.gradient),
        "cancellation": numbers(live.cancellation),
        "flat": numbers(live.flat),
        "twin": twins,
        "mirrored": pa.array(live.mirrored, mask=live.twin < 0),
    }
