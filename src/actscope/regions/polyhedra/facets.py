"""Which halfspaces bound a polytope, from its vertices, in few dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.regions.polyhedra.convexsets import TOLERANCE, ConvexSet

__all__ = ["Facets", "MOST_DIMENSIONS", "clearance_of", "facets_by_vertices"]

MOST_DIMENSIONS = 5
"""Beyond this, a polytope has too many vertices to list them all."""


@dataclass(frozen=True, eq=False)
class Facets:
    """The halfspaces that a polytope cannot do without.

    Attributes:
        rows: (n_facets,) int64: which halfspaces, ascending.
        points: (n_facets, d) float64: a point in the relative interior of each facet.
        clearance: (n_facets,) float64: how far that point is from all other halfspaces.
        vertices: (n_vertices, d) float64 where they were listed; else `None`.
        n_near_ties: halfspaces that hold or do not hold a facet by less than the tolerance.
    """

    rows: NDArray[np.int64]
    points: NDArray[np.float64]
    clearance: NDArray[np.float64]
    vertices: NDArray[np.float64] | None
    n_near_ties: int


def facets_by_vertices(polytope: ConvexSet, inside: NDArray[np.float64] | None = None) -> Facets | None:
    """The facets of a bounded polytope in at most five dimensions, from its vertices; `None` where rounding gets in the way.

    ConvexSet are points of the polar dual, facets the vertices of their convex hull, which Qhull finds (Barber et al. 1996).

    Args:
        polytope: bounded.
        inside: (d,) a point strictly inside; the origin if `None`.
    """
    d = polytope.normals.shape[1]
    if d == 1:
        return _ends(polytope)
    centre = np.zeros(d) if inside is None else inside
    for allowed in (TOLERANCE / 100, TOLERANCE):  # once more from among the vertices, where the dual is well scaled
        found = _vertices(polytope, centre)
        if found is None:
            return None
        vertices, rows = found
        centre = vertices.mean(axis=0)
        size = float(np.abs(vertices - centre).max())
        above = polytope.slack - vertices @ polytope.normals.T
        if above.min() >= -allowed * size:
            return _facets_at(polytope, vertices, rows, above[:, rows] <= TOLERANCE * size, size)
    return None


def _facets_at(
    polytope: ConvexSet,
    vertices: NDArray[np.float64],
    rows: NDArray[np.int64],
    on: NDArray[np.bool_],
    size: float,
) -> Facets:
    """Facets with the mean of their vertices; `on` (n_vertices, n_rows) tells which vertex lies on which hyperplane."""
    n_on = on.sum(axis=0)
    real = n_on >= vertices.shape[1]
    kept = rows[real]
    points = (on[:, real].T @ vertices) / n_on[real, None]
    clearance = clearance_of(polytope, kept, points)
    wide = clearance > TOLERANCE * size
    return Facets(kept[wide], points[wide], clearance[wide], vertices, len(rows) - int(wide.sum()))


def _vertices(polytope: ConvexSet, inside: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Vertices, with repetitions where more than d hyperplanes meet, and the halfspaces that have any."""
    from scipy.spatial import ConvexHull, QhullError

    slack = polytope.slack - polytope.normals @ inside
    if slack.min() <= 0:
        return None
    try:
        hull = ConvexHull(polytope.normals / slack[:, None])
    except QhullError:
        return None
    outward, offset = hull.equations[:, :-1], hull.equations[:, -1]
    if (offset >= 0).any():  # the dual does not enclose the origin: the polytope is unbounded, or nearly so
        return None
    return inside - outward / offset[:, None], np.sort(hull.vertices).astype(np.int64)


def _ends(polytope: ConvexSet) -> Facets | None:
    """Both ends of an interval."""
    places = polytope.slack * polytope.normals[:, 0]
    above = np.where(polytope.normals[:, 0] > 0, places, np.inf)
    below = np.where(polytope.normals[:, 0] > 0, -np.inf, places)
    rows = np.unique([above.argmin(), below.argmax()]).astype(np.int64)
    if len(rows) < 2 or not np.isfinite(places[rows]).all():
        return None
    points = places[rows][:, None]
    length = float(np.ptp(points))
    return Facets(rows, points, np.full(2, length), points, 0)


def clearance_of(polytope: ConvexSet, rows: NDArray[np.int64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = polytope.slack[rows] - points @ polytope.normals[rows].T
    np.fill_diagonal(apart, np.inf)
    nearest: NDArray[np.float64] = apart.min(axis=1, initial=np.inf)
    return nearest
