"""The activation hash phase chart: regimes over width and training time or sample size (He et al. 2021, Section 5.6)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actscope.studies.phase.predictions import BorderTest, Prediction, borders_of, predictions_of
from actscope.studies.phase.regimes import REGIMES, Thresholds, find_thresholds, regimes_by_sensitivity
from actscope.studies.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Chart"]

_AXES = {"phase.time": "epoch", "phase.samples": "sample_size"}
_METRICS = {
    "redundancy": ("redundancy", "train"),
    "redundancy_test": ("redundancy", "test"),
    "knn": ("knn", "test"),
    "logistic": ("logistic", "test"),
    "kmeans": ("kmeans", "test"),
}
_N_RESAMPLES = 200


@dataclass(frozen=True, eq=False, repr=False)
class Chart:
    """Redundancy and accuracies of one kind of network over two axes, and the regimes they fall into.

    Attributes:
        kind: what the networks have in common: `dataset`, `depth`, `recipe`, `batch_norm`.
        y_name: the vertical axis, `epoch` or `sample_size`; the horizontal one is `width`.
        widths: (n_x,) widths of layers.
        y: (n_y,) epochs or sample sizes; those before training are left out.
        values: by metric, (n_seeds, n_y, n_x): `redundancy` (train), `redundancy_test`, `knn`, `logistic`, `kmeans` (test codes).
        predictions: how well collisions in a sixth of the examples predict redundancy in the rest.
        borders: how well they predict where collisions begin among the rest, and where redundancy reaches one percent.
    """

    kind: dict[str, Any]
    y_name: str
    widths: NDArray[np.int64]
    y: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    predictions: tuple[Prediction, ...] = ()
    borders: tuple[BorderTest, ...] = ()

    @classmethod
    def of(cls, results: Results) -> Chart:
        """The chart of the results of `phase.time` or `phase.samples`.

        Raises:
            ValueError: results of another study, or a grid with missing cells.
        """
        if results.study not in _AXES:
            raise ValueError(
                f"a phase chart is made of results of {' or '.join(_AXES)}, not of {results.study or 'nothing'}"
            )
        y_name = _AXES[results.study]
        values: dict[str, NDArray[np.float64]] = {}
        axes: list[NDArray[np.int64]] = []
        for name, (metric, split) in _METRICS.items():
            found = results.arrays(
                f"select seed, {y_name} as y, width, value from results where metric = ? and split = ? and {y_name} > 0 order by all",
                [metric, split],
            )
            axes = [np.unique(found[key]) for key in ("seed", "y", "width")]
            shape = tuple(map(len, axes))
            if len(found["value"]) != np.prod(shape) or 0 in shape:
                size = " × ".join(map(str, shape))
                raise ValueError(
                    f"{results.study} has {len(found['value'])} values of {name} for a grid of {size}: some cells were not measured; "
                    "resume the run"
                )
            values[name] = found["value"].reshape(shape)
        common = results.query(
            "select any_value(dataset), any_value(depth), any_value(recipe), any_value(batch_norm) from results"
        )[0]
        kind = dict(zip(("dataset", "depth", "recipe", "batch_norm"), common, strict=True))
        return cls(kind, y_name, axes[2], axes[1], values, predictions_of(results, y_name), borders_of(results, y_name))

    @property
    def n_seeds(self) -> int:
        """Repetitions."""
        return len(self.values["redundancy"])

    @cached_property
    def regimes(self) -> NDArray[np.int64]:
        """(n_y, n_x) index in `REGIMES` of every point, by how the chart changes around it."""
        return self.regimes_of(np.arange(self.n_seeds))

    def regimes_of(self, seeds: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same of some of the seeds, which may be there twice."""
        return regimes_by_sensitivity(
            self.values["redundancy"][seeds], self.values["knn"][seeds], self.widths.astype(float), self.y.astype(float)
        )

    @cached_property
    def thresholds(self) -> Thresholds:
        """The redundancy and K-NN accuracy at which one regime passes into the next."""
        return find_thresholds(self.mean("redundancy"), self.mean("knn"), self.regimes)

    @cached_property
    def resampled_thresholds(self) -> list[Thresholds]:
        """The same of samples of the seeds with replacement."""
        rng = np.random.default_rng(0)
        found = []
        for _ in range(20):
            seeds = rng.integers(self.n_seeds, size=self.n_seeds)
            r, a = (self.values[name][seeds].mean(axis=0) for name in ("redundancy", "knn"))
            found.append(find_thresholds(r, a, self.regimes_of(seeds)))
        return found

    def mean(self, metric: str) -> NDArray[np.float64]:
        """(n_y, n_x) mean over seeds."""
        mean: NDArray[np.float64] = self.values[metric].mean(axis=0)
        return mean

    def border(self, redundancy: float, *, seeds: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """(n_y,) the width at which redundancy has fallen to a value, between widths on a logarithmic scale; NaN if it does not there."""
        values = self.values["redundancy"][slice(None) if seeds is None else seeds].mean(axis=0)
        place = np.log2(self.widths)
        found = np.full(len(self.y), np.nan)
        for row, line in enumerate(values):
            below = np.flatnonzero(line <= redundancy)
            if len(below) and below[0] > 0:
                right = int(below[0])
                share = (line[right - 1] - redundancy) / (line[right - 1] - line[right])
                found[row] = 2 ** (place[right - 1] + share * (place[right] - place[right - 1]))
        return found

    def border_interval(self, redundancy: float) -> NDArray[np.float64]:
        """(2, n_y) 5 % and 95 % quantiles of `border` over samples of the seeds with replacement."""
        rng = np.random.default_rng(0)
        drawn = [
            self.border(redundancy, seeds=rng.integers(self.n_seeds, size=self.n_seeds)) for _ in range(_N_RESAMPLES)
        ]
        with np.errstate(all="ignore"):
            return np.stack([_quantile(np.array(drawn), q) for q in (0.05, 0.95)])

    def figure(self, *, mark: tuple[float, float] | None = None) -> Figure:
        """Regimes by the thresholds, redundancy and K-NN accuracy over both axes, with the widths where redundancy passes thresholds.

        Args:
            mark: (width, y) of a network to mark.
        """
        from actscope.figures.phase import Border, draw_chart

        levels: tuple[tuple[float, Literal["-", "--"]], ...] = (
            (self.thresholds.critical_redundancy, "--"),
            (self.thresholds.sufficient_redundancy, "-"),
        )
        return draw_chart(
            self.widths,
            self.y,
            regimes=self.thresholds.regime(self.mean("redundancy"), self.mean("knn")),
            redundancy=self.mean("redundancy"),
            accuracy=self.mean("knn"),
            y_name=self.y_name,
            borders=[
                Border(style, f"redundancy {level:.3g}, 90 % range", self.border(level), *self.border_interval(level))
                for level, style in levels
                if 0 < level < 1
            ],
            mark=mark,
        )

    def __repr__(self) -> str:
        found = self.thresholds.regime(self.mean("redundancy"), self.mean("knn"))
        shares = ", ".join(f"{name} {float((found == i).mean()):.0%}" for i, name in enumerate(REGIMES))
        return (
            f"Chart({self.kind['dataset']}, width {self.widths[0]} to {self.widths[-1]} × {self.y_name} {self.y[0]} to {self.y[-1]}, "
            f"{self.n_seeds} seeds: {shares})"
        )

    def __str__(self) -> str:
        said = {
            name: _with_range(getattr(self.thresholds, name), [getattr(one, name) for one in self.resampled_thresholds])
            for name in ("critical_redundancy", "sufficient_redundancy", "sufficient_accuracy")
        }
        under = f"under-expressive: redundancy above {said['critical_redundancy']}"
        sufficient = f"sufficiently: redundancy up to {said['sufficient_redundancy']}, 9-NN at least {said['sufficient_accuracy']}"
        lines = [
            repr(self),
            under if (self.regimes == 0).any() else "under-expressive: no point is, so there is no threshold",
            sufficient if (self.regimes == 2).any() else "sufficiently: no point is, so there is no threshold",
            f"these give {self.thresholds.agreement:.0%} of the points the regime that changes around them say",
        ]
        return "\n".join([*lines, *map(str, self.predictions), *map(str, self.borders)])


def _quantile(values: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """Quantiles of columns, NaN where more than half is missing."""
    found = np.full(values.shape[1], np.nan)
    for column in range(values.shape[1]):
        known = values[np.isfinite(values[:, column]), column]
        if len(known) > len(values) / 2:
            found[column] = np.quantile(known, q)
    return found


def _with_range(value: float, resampled: list[float]) -> str:
    return f"{value:.3g} ({np.quantile(resampled, 0.05):.3g} to {np.quantile(resampled, 0.95):.3g})"
