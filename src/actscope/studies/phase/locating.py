"""Where a network lies in a phase chart that was made for its kind, how sure that is, and which way to go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from actscope.codes import encode
from actscope.hashing import knn_accuracy, redundancy_ratio
from actscope.studies.phase.chart import Chart
from actscope.studies.phase.regimes import REGIMES, Regime
from actscope.training import LabelledData

__all__ = ["Location", "OutsideChartError", "locate"]

_N_RESAMPLES = 200
_FAR = 4.0
"""Deviations from the chart's networks beyond which a network is not of their kind."""
_LEAST_DEVIATION = 0.02


class OutsideChartError(ValueError):
    """The chart says nothing about this network."""


@dataclass(frozen=True)
class Location:
    """A network in a chart.

    Attributes:
        width: of its hidden layers.
        y: its epochs or sample size.
        y_name: which of the two.
        redundancy: measured on its own training examples.
        accuracy: measured: 9-NN on its own codes of test examples.
        regime: by these two and the chart's thresholds.
        shares: how often each regime came out when the chart's seeds were sampled anew and the two were moved by the chart's spread.
        expected_redundancy: of the chart's networks at this place.
        expected_accuracy: of the chart's networks at this place.
        gains: for each axis, what a doubling along it changes in the chart: (redundancy, accuracy); axes that end are left out.
    """

    width: int
    y: float
    y_name: str
    redundancy: float
    accuracy: float
    regime: Regime
    shares: dict[Regime, float]
    expected_redundancy: float
    expected_accuracy: float
    gains: dict[str, tuple[float, float]]

    @property
    def advice(self) -> str:
        """Which axis to move along, in a sentence."""
        if not self.gains:
            return "Both axes of the chart end here: it cannot say what more of either would do."
        best = max(self.gains, key=lambda axis: self.gains[axis][1] - self.gains[axis][0])
        change = self.gains[best]
        said = f"in the chart a doubling of the {best} changes redundancy by {change[0]:+.3f} and 9-NN accuracy by {change[1]:+.3f}"
        if self.regime == "sufficient":
            return f"Nothing to gain: even the better axis does little ({said})."
        if change[1] - change[0] < 0.01:
            return f"Neither axis helps here ({said})."
        return f"Move along the {best}: {said}."

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return vars(self) | {"advice": self.advice}

    def __str__(self) -> str:
        sure = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items() if share > 0)
        return "\n".join(
            (
                f"{self.regime}ly expressive" if self.regime != "under" else "under-expressive",
                f"width {self.width}, {self.y_name.replace('_', ' ')} {self.y:,.0f}; how sure: {sure}",
                f"redundancy {self.redundancy:.3f} (networks of the chart there: {self.expected_redundancy:.3f}), "
                f"9-NN {self.accuracy:.3f} ({self.expected_accuracy:.3f})",
                self.advice,
            )
        )


def locate(
    model: nn.Module,
    train: LabelledData,
    test: LabelledData,
    *,
    chart: Chart,
    epochs: int | None = None,
    device: str | None = None,
    seed: int = 0,
) -> Location:
    """Where the network lies in the chart.

    Args:
        model: a ReLU network of as many equally wide hidden layers as those of the chart.
        train: the examples it was trained on.
        test: the test examples of the same data.
        chart: made for its kind: the same data, depth and way of training.
        epochs: how long it was trained; needed if that is an axis of the chart.
        device: where to run it.
        seed: of the samples that say how sure the answer is.

    Raises:
        OutsideChartError: another kind of network or data, a place outside the chart, or a network unlike those of the chart there.
        ValueError: `epochs` is missing.
    """
    codes = encode(model, train, split="train", device=device)
    width = _width(chart, codes.sites, train)
    if chart.y_name == "epoch" and epochs is None:
        raise ValueError(
            "this chart has training time as an axis: say for how many epochs the network was trained (epochs=, in the shell --epochs)"
        )
    y = float(epochs if chart.y_name == "epoch" and epochs is not None else len(train))
    at = _place(chart, width, y)
    redundancy = redundancy_ratio(codes)
    accuracy = float(knn_accuracy(codes, encode(model, test, split="test", device=device), k=min(9, len(train))))
    expected = {name: _between(chart.mean(name), at) for name in ("redundancy", "knn")}
    spread = {
        name: max(_LEAST_DEVIATION, _between(chart.values[name].std(axis=0, ddof=1 if chart.n_seeds > 1 else 0), at))
        for name in ("redundancy", "knn")
    }
    for name, measured in (("redundancy", redundancy), ("knn", accuracy)):
        if abs(measured - expected[name]) > _FAR * spread[name]:
            raise OutsideChartError(
                f"this network is unlike those of the chart at width {width} and {chart.y_name} {y:,.0f}: {name} is {measured:.3f}, there "
                f"{expected[name]:.3f} ± {spread[name]:.3f}; the chart was made for networks trained by {chart.kind['recipe']}"
            )
    rng = np.random.default_rng(seed)
    votes = np.zeros(len(REGIMES))
    for i in range(_N_RESAMPLES):
        thresholds = chart.resampled_thresholds[i % len(chart.resampled_thresholds)]
        moved = [
            np.array([measured + rng.normal() * spread[name]])
            for name, measured in (("redundancy", redundancy), ("knn", accuracy))
        ]
        votes[int(thresholds.regime(*moved)[0])] += 1 / _N_RESAMPLES
    own = int(chart.thresholds.regime(np.array([redundancy]), np.array([accuracy]))[0])
    return Location(
        width=width,
        y=y,
        y_name=chart.y_name,
        redundancy=redundancy,
        accuracy=accuracy,
        regime=REGIMES[own],
        shares={name: float(votes[i]) for i, name in enumerate(REGIMES)},
        expected_redundancy=expected["redundancy"],
        expected_accuracy=expected["knn"],
        gains=_gains(chart, at),
    )


def _width(chart: Chart, sites: Any, train: LabelledData) -> int:
    kinds = {site.kind for site in sites}
    widths = {site.n_neurons for site in sites}
    depth = chart.kind["depth"]
    if len(sites) != depth or kinds != {"relu"} or len(widths) != 1:
        found = ", ".join(f"{site.name} ({site.kind}, {site.n_neurons})" for site in sites)
        raise OutsideChartError(
            f"the chart is of networks with {depth} equally wide hidden ReLU layer{'s' if depth > 1 else ''}; this one has {found}"
        )
    if train.name != chart.kind["dataset"]:
        raise OutsideChartError(
            f"the chart is of networks trained on {chart.kind['dataset']}; this data is {train.name}"
        )
    return int(widths.pop())


def _place(chart: Chart, width: float, y: float) -> tuple[float, float]:
    """Where in the chart's grid that is, in steps of it, rows first."""
    at = []
    for name, axis, value in ((chart.y_name, chart.y, y), ("width", chart.widths, width)):
        if not axis[0] <= value <= axis[-1]:
            raise OutsideChartError(
                f"{name} {value:,.0f} lies outside the chart, which has {axis[0]:,} to {axis[-1]:,}"
            )
        at.append(float(np.interp(np.log2(value), np.log2(axis), np.arange(len(axis)))))
    return at[0], at[1]


def _between(values: NDArray[np.float64], at: tuple[float, float]) -> float:
    """A value of the grid between its points, bilinear."""
    from scipy.ndimage import map_coordinates

    return float(map_coordinates(values, np.array(at)[:, None], order=1, mode="nearest")[0])


def _gains(chart: Chart, at: tuple[float, float]) -> dict[str, tuple[float, float]]:
    here = [_between(chart.mean(name), at) for name in ("redundancy", "knn")]
    found = {}
    for row, (name, axis) in enumerate(((chart.y_name, chart.y), ("width", chart.widths))):
        place = np.log2(axis)
        doubled = float(np.interp(at[row], np.arange(len(axis)), place)) + 1
        if doubled <= place[-1] + 1e-9:
            moved = list(at)
            moved[row] = float(np.interp(doubled, place, np.arange(len(axis))))
            there = [_between(chart.mean(metric), (moved[0], moved[1])) for metric in ("redundancy", "knn")]
            found[name.replace("_", " ")] = (there[0] - here[0], there[1] - here[1])
    return found
