"""Diameters of many regions in a few numbers, in which every region counts the same."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["DiameterSummary", "weighted_median"]


@dataclass(frozen=True, repr=False)
class DiameterSummary:
    """The diameters of the regions that hold data.

    Attributes:
        n_examples: examples that were measured.
        n_regions: distinct regions among theirs; every one has the same weight in what follows.
        n_directions: lines through each example.
        median: of the lengths; infinite if most are.
        share_unbounded: of infinite lengths.
        mean_in_box: mean of the parts inside the stated box; `None` if no box was stated.
    """

    n_examples: int
    n_regions: int
    n_directions: int
    median: float
    share_unbounded: float
    mean_in_box: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields; an infinite median as `None`, so that JSON can hold it."""
        return {**asdict(self), "median": self.median if math.isfinite(self.median) else None}

    def in_words(self) -> str:
        """The numbers as one sentence without a verb."""
        text = (
            f"{_count(self.n_examples, 'example')} in {_count(self.n_regions, 'region')}, {_count(self.n_directions, 'direction')} each: "
            f"median {self.median:.4g}, {100 * self.share_unbounded:.1f} % unbounded"
        )
        return text if self.mean_in_box is None else f"{text}, mean {self.mean_in_box:.4g} in the box"

    def __repr__(self) -> str:
        return f"DiameterSummary({self.in_words()})"


def weighted_median(values: ArrayLike, weights: ArrayLike) -> float:
    """The value with half of the weight on each side; midway between two where the halves meet there.

    Args:
        values: any shape, infinities included.
        weights: of the same shape, adding up to 1.

    Example:
        >>> weighted_median([1.0, 2.0, 5.0], [0.5, 0.25, 0.25])
        1.5
        >>> weighted_median([1.0, 2.0, np.inf], [0.2, 0.2, 0.6])
        inf
    """
    flat, shares = np.asarray(values, dtype=float).reshape(-1), np.asarray(weights, dtype=float).reshape(-1)
    order = np.argsort(flat, kind="stable")
    below = np.cumsum(shares[order])
    half = 0.5 * below[-1]
    rounding = 1e-12 * below[-1]
    low = flat[order][np.searchsorted(below, half - rounding)]
    high = flat[order][min(np.searchsorted(below, half + rounding), len(flat) - 1)]
    return float(low) if low == high else float((low + high) / 2)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"
