"""Polytopes as halfspaces around a point inside, each hyperplane once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConvexSet", "TOLERANCE", "merged"]

TOLERANCE = 1e-9
"""Lengths within this are zero: of the box's half width for positions, of a polytope's own size for its facets."""


@dataclass(frozen=True, eq=False)
class ConvexSet:
    """A polytope {u: normals u ≤ slack} that holds the origin.

    Attributes:
        normals: (n_halfspaces, d) float64, of unit length.
        slack: (n_halfspaces,) float64, the distances of the hyperplanes from the origin.
        noise: (n_halfspaces,) float64, what rounding may make of the distances.
        owners: whose each hyperplane is, numbers of `BoxedBoundaries`; several where hyperplanes coincide.
        n_near_ties: hyperplanes that were taken for one within the tolerance, but for more than rounding.
    """

    normals: NDArray[np.float64]
    slack: NDArray[np.float64]
    noise: NDArray[np.float64]
    owners: tuple[tuple[int, ...], ...]
    n_near_ties: int = 0

    def take(self, rows: NDArray[np.int64]) -> ConvexSet:
        """What some of the halfspaces enclose."""
        owners = tuple(self.owners[row] for row in rows)
        return ConvexSet(self.normals[rows], self.slack[rows], self.noise[rows], owners, self.n_near_ties)

    def around(self, centre: NDArray[np.float64], size: float) -> ConvexSet:
        """The same polytope with `centre` as its origin and `size` as its unit."""
        return replace(self, slack=(self.slack - self.normals @ centre) / size, noise=self.noise / size)


def merged(
    normals: NDArray[np.float64], slack: NDArray[np.float64], noise: NDArray[np.float64], owners: NDArray[np.int64]
) -> ConvexSet:
    """ConvexSet in which each hyperplane stands once, with all of its owners.

    Args:
        normals: (m, d) of unit length; slack, noise: (m,); owners: (m,) int64.

    Example:
        >>> one = merged(np.array([[1.0], [-1.0], [1.0]]), np.array([2.0, 1.0, 2.0]), np.zeros(3), np.arange(3))
        >>> one.slack, one.owners
        (array([2., 1.]), ((0, 2), (1,)))
    """
    m, d = normals.shape
    weights = np.cos(np.arange(1, d + 2))  # any direction in which different rows differ
    rows = np.column_stack([normals, slack])
    order = np.argsort(rows @ weights, kind="stable")
    places = (rows @ weights)[order]
    allowed = TOLERANCE + noise
    leader = np.arange(m)
    n_near_ties = 0
    for step in range(1, m):
        close = np.flatnonzero(places[step:] - places[:-step] <= 4 * (allowed[order][step:] + allowed[order][:-step]))
        if not len(close):
            break
        for low, high in zip(order[close], order[close + step], strict=True):
            apart = np.abs(rows[low] - rows[high]).max()
            if apart <= allowed[low] + allowed[high]:
                n_near_ties += int(apart > 1e-3 * TOLERANCE + noise[low] + noise[high])
                first, second = sorted((int(leader[low]), int(leader[high])))
                leader[leader == second] = first
    kept = np.unique(leader)
    if len(kept) == m:
        return ConvexSet(normals, slack, noise, tuple((int(owner),) for owner in owners), 0)
    together = tuple(tuple(sorted({int(owner) for owner in owners[leader == row]})) for row in kept)
    return ConvexSet(normals[kept], slack[kept], noise[kept], together, n_near_ties)
