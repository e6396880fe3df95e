"""Three regimes of expressiveness, and the redundancy and accuracy at which one passes into the next (He et al. 2021, Section 5.6)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["REGIMES", "Regime", "Sensitivity", "Thresholds", "find_thresholds", "sensitivities"]

Regime = Literal["under", "critical", "sufficient"]
REGIMES: tuple[Regime, ...] = ("under", "critical", "sufficient")
"""Under-, critically and sufficiently expressive, as He et al. 2021 call them."""

CONSIDERABLE = 0.05
"""A change of redundancy or accuracy for a doubling along an axis that counts as considerable."""


@dataclass(frozen=True)
class Sensitivity:
    """How much a value changes for a doubling along one axis, at every point of a chart.

    Attributes:
        slope: (n_y, n_x) change of the value for a doubling.
        error: (n_y, n_x) its standard error over repetitions and neighbours.
    """

    slope: NDArray[np.float64]
    error: NDArray[np.float64]

    @property
    def significant(self) -> NDArray[np.bool_]:
        """(n_y, n_x) whether the slope is more than two standard errors from zero."""
        return np.abs(self.slope) > 2 * self.error


def sensitivities(values: NDArray[np.float64], axis: NDArray[np.float64], *, along: Literal["x", "y"]) -> Sensitivity:
    """The local change of values for a doubling along an axis: a regression on each point with its neighbours, over repetitions.

    Args:
        values: (n_seeds, n_y, n_x).
        axis: (n_x,) or (n_y,) places along it, positive.
        along: which axis.
    """
    moved = values if along == "x" else values.transpose(0, 2, 1)
    place = np.log2(axis)
    slopes, errors = np.empty(moved.shape[1:]), np.empty(moved.shape[1:])
    for i in range(len(axis)):
        near = slice(max(0, i - 1), i + 2)
        x = np.tile(place[near], len(moved))
        x = x - x.mean()
        for j in range(moved.shape[1]):
            y = moved[:, j, near].reshape(-1)
            slope = float(x @ y / (x @ x))
            residual = y - y.mean() - slope * x
            free = max(len(x) - 2, 1)
            slopes[j, i], errors[j, i] = slope, float(np.sqrt(residual @ residual / free / (x @ x)))
    return Sensitivity(*((slopes, errors) if along == "x" else (slopes.T, errors.T)))


@dataclass(frozen=True)
class Thresholds:
    """Where one regime passes into the next.

    Attributes:
        critical_redundancy: above it a network is under-expressive.
        sufficient_redundancy: at or below it a network may be sufficiently expressive.
        sufficient_accuracy: at or above it a network may be sufficiently expressive.
        agreement: share of a chart's points whose regime by sensitivity these thresholds give.
    """

    critical_redundancy: float
    sufficient_redundancy: float
    sufficient_accuracy: float
    agreement: float

    def regime(self, redundancy: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.int64]:
        """The index in `REGIMES` of each pair of redundancy and accuracy."""
        sufficient = (redundancy <= self.sufficient_redundancy) & (accuracy >= self.sufficient_accuracy)
        under = (redundancy > self.critical_redundancy) & ~sufficient
        return np.where(sufficient, 2, np.where(under, 0, 1))

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return asdict(self)


def regimes_by_sensitivity(
    redundancy: NDArray[np.float64],
    accuracy: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    considerable: float = CONSIDERABLE,
) -> NDArray[np.int64]:
    """The regime of every point by how the chart changes around it, in the paper's words.

    A point is *under*-expressive where redundancy or accuracy gets considerably and significantly better along both axes, and so is every
    point that is more redundant than all of these: there redundancy is so near 1 that one axis alone does not move it. It is
    *sufficiently* expressive where neither changes considerably along either axis and redundancy is not considerable, and *critical*
    otherwise.

    Args:
        redundancy: (n_seeds, n_y, n_x).
        accuracy: (n_seeds, n_y, n_x).
        x: (n_x,) the horizontal axis.
        y: (n_y,) the vertical axis.
        considerable: a change for a doubling, and a redundancy, that counts as considerable.
    """
    better, moving = [], []
    for axis, along in ((x, "x"), (y, "y")):
        falls = sensitivities(redundancy, axis, along=along)  # type: ignore[arg-type]  # a literal in a tuple
        rises = sensitivities(accuracy, axis, along=along)  # type: ignore[arg-type]  # the same
        better.append(
            ((falls.slope < -considerable) & falls.significant) | ((rises.slope > considerable) & rises.significant)
        )
        moving.append((np.abs(falls.slope) > considerable) | (np.abs(rises.slope) > considerable))
    mean = redundancy.mean(axis=0)
    under = better[0] & better[1]
    if under.any():
        under |= mean > mean[under].max()
    sufficient = ~moving[0] & ~moving[1] & (mean <= considerable)
    return np.where(under, 0, np.where(sufficient, 2, 1))


def find_thresholds(
    redundancy: NDArray[np.float64], accuracy: NDArray[np.float64], regimes: NDArray[np.int64]
) -> Thresholds:
    """The thresholds that agree best with the regimes of a chart's points.

    Args:
        redundancy: (n_y, n_x) means over repetitions.
        accuracy: (n_y, n_x) means over repetitions.
        regimes: (n_y, n_x) indices in `REGIMES`.
    """
    r, a, truth = redundancy.ravel(), accuracy.ravel(), regimes.ravel()
    cuts = np.unique(np.concatenate([np.quantile(r, np.linspace(0, 1, 25)), np.geomspace(1e-3, 0.9, 15)]))
    levels = np.unique(np.quantile(a, np.linspace(0, 1, 25)))
    best = Thresholds(1.0, 0.0, 1.0, -1.0)
    for low in cuts:
        # from the most accuracy down, so that of equally good ones the most is asked for
        for level in levels[::-1]:
            sufficient = (r <= low) & (a >= level)
            for high in cuts[cuts >= low]:
                found = np.where(sufficient, 2, np.where(r > high, 0, 1))
                agreement = float((found == truth).mean())
                if agreement > best.agreement + 1e-12:
                    best = Thresholds(float(high), float(low), float(level), agreement)
    return best
