"""From a facet to the cell on its other side, read where it is and not guessed from whose facet it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.regions.cells import CellReader, Cells
from actscope.regions.polyhedra.convexsets import TOLERANCE, ConvexSet, merged

__all__ = ["Crossing", "cross", "polytope_of"]

_FIRST = 1e-3
"""The first step beyond a facet, as a share of how far all other halfspaces are."""

_LEAST = 1e-10
"""The shortest step: less is lost in rounding."""

_CLEAR = 10 * TOLERANCE
"""Steps begin no shorter than this, so as to come out beyond slivers that do not count."""


@dataclass(frozen=True, eq=False)
class Crossing:
    """What lies behind some facets.

    Attributes:
        points: (n, d) points just behind each facet.
        cells: the cells they are in.
        adjacent: (n,) bool whether the facet's point belongs to that cell too, so that the two are neighbours.
    """

    points: NDArray[np.float64]
    cells: Cells
    adjacent: NDArray[np.bool_]


def cross(
    reader: CellReader,
    facet_points: NDArray[np.float64],
    normals: NDArray[np.float64],
    clearance: NDArray[np.float64],
    keys: NDArray[np.uint8],
) -> Crossing:
    """Step across facets, each from a point inside it, along its normal, as far as the cell right behind it reaches.

    Args:
        facet_points, normals: (n, d); clearance: (n,), as in `Facets`, in coordinates in which cells are no larger than about 1.
        keys: (n, n_key_bytes), of the cells that the facets belong to.
    """
    room = np.minimum(clearance, 1.0)
    steps = np.minimum(np.maximum(_FIRST * room, _CLEAR), room / 2)
    points = facet_points + steps[:, None] * normals
    cells = reader.read(points)
    adjacent = _adjacent(cells, normals, steps, keys)
    while len(again := np.flatnonzero(~adjacent & (steps > _LEAST))):
        steps[again] = np.maximum(0.03 * steps[again], _LEAST)
        nearer = facet_points[again] + steps[again, None] * normals[again]
        found = reader.read(nearer)
        good = _adjacent(found, normals[again], steps[again], keys[again])
        if good.any():
            points[again[good]] = nearer[good]
            adjacent[again[good]] = True
            cells = cells.replaced(again[good], found.take(np.flatnonzero(good)))
    return Crossing(points, cells, adjacent)


def _adjacent(
    cells: Cells, normals: NDArray[np.float64], steps: NDArray[np.float64], keys: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Whether the places that the steps came from are in the closure of the cells that they led to, which are other cells."""
    back = -steps[:, None] * np.einsum("nrd,nd->nr", cells.normals, normals)
    beyond = np.where(cells.valid, back - cells.slack - cells.noise, -np.inf).max(axis=1, initial=-np.inf)
    other = (cells.keys != keys).any(axis=1)
    adjacent: NDArray[np.bool_] = other & (beyond <= 4 * TOLERANCE)
    return adjacent


def polytope_of(
    cells: Cells, index: int, point: NDArray[np.float64], *, first_face: int, box: NDArray[np.float64] | None
) -> ConvexSet:
    """One cell around its point, within a box if there is one.

    Args:
        point: (d,) where the cell was read, in the coordinates of `box`.
        first_face: the number of the first face of the box.
        box: (2, d) lower and upper bounds.
    """
    rows = np.flatnonzero(cells.valid[index])
    normals, slack, noise = cells.normals[index, rows], cells.slack[index, rows], cells.noise[index, rows]
    numbers = cells.numbers[index, rows]
    if box is not None:
        d = len(point)
        normals = np.concatenate([normals, -np.eye(d), np.eye(d)])
        slack = np.concatenate([slack, point - box[0], box[1] - point])
        noise = np.concatenate([noise, np.zeros(2 * d)])
        numbers = np.concatenate([numbers, first_face + np.arange(2 * d)])
    return merged(normals, slack, noise, numbers)
