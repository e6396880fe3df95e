"""The longest segments inside a polytope that are parallel to a direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.regions.polyhedra.convexsets import TOLERANCE
from actscope.regions.polyhedra.linear_programs import LinearProgram, maximize

__all__ = ["Chord", "longest_chord", "row_space"]


@dataclass(frozen=True, eq=False)
class Chord:
    """A longest segment inside a polytope parallel to some direction.

    Attributes:
        length: may be infinite.
        start, end: (n_inputs,) its ends; `None` where it is infinite.
    """

    length: float
    start: NDArray[np.float64] | None
    end: NDArray[np.float64] | None


def longest_chord(
    normals: NDArray[np.float64], slack: NDArray[np.float64], v: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64] | None]:
    """Length and start of a longest segment along `v` in {y: normals y ≤ slack}; infinite, and `None`, where there is no longest.

    Args:
        normals: (m, n_inputs) of unit length; slack: (m,); v: (n_inputs,) of unit length.

    Example:
        >>> slab = np.array([[1.0, 0.0], [-1.0, 0.0]])
        >>> longest_chord(slab, np.ones(2), np.array([0.6, 0.8]))[0].__round__(9), longest_chord(slab, np.ones(2), np.array([0.0, 1.0]))
        (3.333333333, (inf, None))
    """
    along = normals @ v
    if not np.abs(along).max(initial=0.0) > TOLERANCE:
        return np.inf, None
    basis = row_space(normals)
    reduced, n = normals @ basis, basis.shape[1]
    objective = np.append(np.zeros(n), 1.0)
    both = np.block([[reduced, np.zeros((len(normals), 1))], [reduced, along[:, None]]])
    forever = LinearProgram(objective, np.vstack([both, objective]), np.append(np.zeros(2 * len(normals)), 1.0))
    if maximize([forever])[0][0] > 0.5:
        return np.inf, None
    length, place = maximize([LinearProgram(objective, both, np.append(slack, slack))])[0]
    return length, basis @ place[:n]


def row_space(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_inputs, rank) an orthonormal basis of what the normals span; the identity where that is everything."""
    m, n = normals.shape
    if m == 0:
        return np.zeros((n, 0))
    _, values, rows = np.linalg.svd(normals, full_matrices=False)
    rank = int((values > 1e-12 * values[0]).sum())
    return np.eye(n) if rank == n else rows[:rank].T
