"""Cells taken as polytopes, many at a time: inner ball, facets, volume of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.regions.polyhedra.balls import ball_in_each
from actscope.regions.polyhedra.convexsets import TOLERANCE, ConvexSet
from actscope.regions.polyhedra.facets import MOST_DIMENSIONS, Facets, facets_by_vertices
from actscope.regions.polyhedra.rays import facets_by_rays

__all__ = ["Enclosed", "enclosed"]

_MOST_WITH_VOLUMES = 3
"""Volumes from vertices are cheap up to here."""


@dataclass(frozen=True, eq=False)
class Enclosed:
    """What is known of one cell within the box, in coordinates u of the box, relative to the point where the cell was read.

    Attributes:
        inside: (d,) the centre of the largest ball in u; depth: its radius.
        centre: (d,) the centre of the largest ball in the input space; radius: of that ball, in units of the shortest axis.
        rows, points, clearance: of the facets, as in `Facets`.
        volume: in u; NaN where it was not computed.
        corners: (n, 2) the polygon in order, in two dimensions; else `None`.
        n_near_ties: facets that are there or not by less than the tolerance.
    """

    inside: NDArray[np.float64]
    depth: float
    centre: NDArray[np.float64]
    radius: float
    rows: NDArray[np.int64]
    points: NDArray[np.float64]
    clearance: NDArray[np.float64]
    volume: float
    corners: NDArray[np.float64] | None
    n_near_ties: int


def enclosed(cells: Sequence[ConvexSet], lengths: NDArray[np.float64], *, volumes: bool = False) -> list[Enclosed]:
    """Inner ball, facets and volume of bounded cells that hold the origin.

    Args:
        cells: in coordinates u.
        lengths: (d,) the length of each axis in u per length in the input space, the shortest axis being 1.
        volumes: also in four and five dimensions, where they take long.
    """
    d = len(lengths)
    found: list[Facets | None] = [facets_by_vertices(cell) if d <= MOST_DIMENSIONS else None for cell in cells]
    frames = [_frame(cell, facets) for cell, facets in zip(cells, found, strict=True)]
    balls = _balls(frames, np.ones(d))
    by_rays = [i for i, (_, depth) in enumerate(balls) if found[i] is None and depth > TOLERANCE]
    local = facets_by_rays([cells[i].around(*balls[i]) for i in by_rays])
    for i, facets in zip(by_rays, local, strict=True):
        inside, depth = balls[i]
        found[i] = Facets(
            facets.rows, inside + depth * facets.points, depth * facets.clearance, None, facets.n_near_ties
        )
    round_balls = balls if (lengths == 1).all() else _balls(frames, lengths)
    return [
        _enclosed(facets, *ball, *round_ball, volumes)
        for facets, ball, round_ball in zip(found, balls, round_balls, strict=True)
    ]


_Frame = tuple[ConvexSet, NDArray[np.float64], float]
"""The halfspaces that matter, around a point inside and in a unit of the cell's own; that point and that unit."""


def _frame(cell: ConvexSet, facets: Facets | None) -> _Frame:
    if facets is None or facets.vertices is None:
        return cell, np.zeros(cell.normals.shape[1]), 1.0
    centre = facets.vertices.mean(axis=0)
    size = float(np.abs(facets.vertices - centre).max())
    return cell.take(facets.rows).around(centre, size), centre, size


def _balls(frames: list[_Frame], lengths: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], float]]:
    balls = ball_in_each([(cell.normals, cell.slack, _stretch(cell.normals, lengths)) for cell, _, _ in frames])
    return [
        (centre + size * place, size * radius) for (_, centre, size), (place, radius) in zip(frames, balls, strict=True)
    ]


def _enclosed(
    facets: Facets | None,
    inside: NDArray[np.float64],
    depth: float,
    centre: NDArray[np.float64],
    radius: float,
    volumes: bool,
) -> Enclosed:
    d = len(inside)
    if facets is None:
        return Enclosed(
            inside, depth, centre, radius, np.zeros(0, np.int64), np.zeros((0, d)), np.zeros(0), 0.0, None, 0
        )
    volume, corners = np.nan, None
    if facets.vertices is not None and (d <= _MOST_WITH_VOLUMES or volumes):
        volume, corners = _volume(facets.vertices)
    return Enclosed(
        inside,
        depth,
        centre,
        radius,
        facets.rows,
        facets.points,
        facets.clearance,
        volume,
        corners,
        facets.n_near_ties,
    )


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
