"""Largest balls inside polytopes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actscope.regions.polyhedra.convexsets import TOLERANCE, ConvexSet
from actscope.regions.polyhedra.linear_programs import LinearProgram, maximize

__all__ = ["ball_in_each", "largest_ball"]


def ball_in_each(
    polytopes: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]],
) -> list[tuple[NDArray[np.float64], float]]:
    """Centre and radius of the largest ball in each bounded polytope (its Chebyshev ball).

    Args:
        polytopes: normals (m, d), slack (m,), and (m,) the length of each normal in the coordinates in which the ball is round.
    """
    programs = [
        LinearProgram(np.append(np.zeros(normals.shape[1]), 1.0), np.column_stack([normals, lengths]), slack)
        for normals, slack, lengths in polytopes
    ]
    return [(place[:-1], float(place[-1])) for _, place in maximize(programs)]


def largest_ball(cell: ConvexSet, *, bounded: bool) -> tuple[NDArray[np.float64], float, float]:
    """Centre and radius of a largest ball around a point inside, and the distance of the nearest hyperplane from the centre."""
    m, n = cell.normals.shape
    if m == 0:
        return np.zeros(n), np.inf, 1.0
    objective = np.append(np.zeros(n), 1.0)
    matrix = np.column_stack([cell.normals, np.ones(m)])
    infinite = False
    if not bounded:
        everywhere = LinearProgram(objective, np.vstack([matrix, objective]), np.append(np.zeros(m), 1.0))
        infinite = maximize([everywhere])[0][0] > 0.5
    scale = float(cell.slack.max()) or 1.0
    bounds = cell.slack
    if infinite:
        sides = np.column_stack([np.concatenate([np.eye(n), -np.eye(n)]), np.zeros(2 * n)])
        matrix, bounds = np.vstack([matrix, sides]), np.append(cell.slack, np.full(2 * n, scale))
    centre, unit = np.zeros(n), scale
    for _ in range(3):  # again in coordinates of the ball's own size, where the solver's tolerance is small beside it
        shifted = (bounds - matrix[:, :n] @ centre) / unit
        radius, place = maximize([LinearProgram(objective, matrix, shifted)])[0]
        centre = centre + unit * place[:n]
        if radius > 1e-3 or radius <= TOLERANCE:
            break
        unit *= radius
    nearest = float((cell.slack - cell.normals @ centre).min())
    return centre, np.inf if infinite else unit * radius, nearest
