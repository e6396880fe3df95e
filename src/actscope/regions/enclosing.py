"""Cells taken as polytopes, many at a time: inner ball, facets, volume of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.regions.facets import (
    MOST_DIMENSIONS,
    TOLERANCE,
    ConvexSet,
    Facets,
    ball_in_each,
    facets_by_rays,
    facets_by_vertices,
)

__all__ = ["Enclosed", "enclosed"]

_MOST_WITH_VOLUMES = 3
"""Volumes from vertices are cheap up to here."""


@dataclass(frozen=True)
class Enclosed:
    """What is known of one cell within the box, in coordinates u of the box, relative to the point where the cell was read.

    Attributes:
        centre: (d,) of the largest ball; radius: of that ball, in units of the shortest axis.
        depth: the distance of the nearest hyperplane from the centre, in u.
        rows, points, clearance: of the facets, as in `Facets`.
        volume: in u; NaN where it was not computed.
        corners: (n, 2) the polygon in order, in two dimensions; else `None`.
    """

    centre: NDArray[np.float64]
    radius: float
    depth: float
    rows: NDArray[np.int64]
    points: NDArray[np.float64]
    clearance: NDArray[np.float64]
    volume: float
    corners: NDArray[np.float64] | None


def enclosed(cells: Sequence[ConvexSet], lengths: NDArray[np.float64], *, volumes: bool = False) -> list[Enclosed]:
    """Inner ball, facets and volume of bounded cells that hold the origin.

    Args:
        cells: in coordinates u.
        lengths: (d,) the length of each axis in u per length in the input space, the shortest axis being 1.
        volumes: also in four and five dimensions, where they take long.
    """
    d = len(lengths)
    found: list[Facets | None] = [facets_by_vertices(cell) if d <= MOST_DIMENSIONS else None for cell in cells]
    systems, frames = [], []
    for cell, facets in zip(cells, found, strict=True):
        if facets is not None and facets.vertices is not None:
            centre = facets.vertices.mean(axis=0)
            size = float(np.abs(facets.vertices - centre).max())
            within = cell.around(centre, size)
            systems.append(
                (within.normals[facets.rows], within.slack[facets.rows], _stretch(within.normals[facets.rows], lengths))
            )
        else:
            centre, size = np.zeros(d), 1.0
            systems.append((cell.normals, cell.slack, _stretch(cell.normals, lengths)))
        frames.append((centre, size))
    results = []
    for cell, facets, (centre, size), (place, radius) in zip(cells, found, frames, ball_in_each(systems), strict=True):
        middle = centre + size * place
        depth = float((cell.slack - cell.normals @ middle).min())
        if facets is None and depth > TOLERANCE:
            local = facets_by_rays(cell.around(middle, depth))
            facets = Facets(local.rows, middle + depth * local.points, depth * local.clearance, None, local.n_near_ties)
        results.append(_enclosed(cell, facets, middle, size * radius, depth, volumes))
    return results


def _enclosed(
    cell: ConvexSet, facets: Facets | None, centre: NDArray[np.float64], radius: float, depth: float, volumes: bool
) -> Enclosed:
    d = len(centre)
    if facets is None:
        return Enclosed(centre, radius, depth, np.zeros(0, np.int64), np.zeros((0, d)), np.zeros(0), 0.0, None)
    volume, corners = np.nan, None
    if facets.vertices is not None and (d <= _MOST_WITH_VOLUMES or volumes):
        volume, corners = _volume(facets.vertices)
    return Enclosed(centre, radius, depth, facets.rows, facets.points, facets.clearance, volume, corners)


def _stretch(normals: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) how far a hyperplane in u moves when it moves by 1 along its normal in the input space."""
    stretch: NDArray[np.float64] = np.sqrt(((normals * lengths) ** 2).sum(axis=1))
    return stretch


def _volume(vertices: NDArray[np.float64]) -> tuple[float, NDArray[np.float64] | None]:
    d = vertices.shape[1]
    if d == 1:
        return float(np.ptp(vertices)), None
    around = vertices - vertices.mean(axis=0)
    if d == 2:
        corners = vertices[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
        x, y = (corners - corners[0]).T
        return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))), corners
    from scipy.spatial import ConvexHull

    size = float(np.abs(around).max())
    return float(ConvexHull(around / size).volume) * size**d, None
