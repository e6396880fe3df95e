"""All regions of a ReLU network in a box, as one would first write it: a linear program for each neuron, and its bit flipped."""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy.optimize import linprog

from benchmarks.baselines.networks import Layer

__all__ = ["cells_by_flipping", "halfspaces", "irredundant"]


def halfspaces(hidden: list[Layer], bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A (n_neurons, n_inputs) and b (n_neurons,) of the cell {A x ≤ b} with the pattern `bits` (n_neurons,)."""
    W, c = np.eye(hidden[0][0].shape[1]), np.zeros(hidden[0][0].shape[1])
    A, b, start = [], [], 0
    for weight, bias in hidden:
        W, c = weight @ W, weight @ c + bias
        on = bits[start : start + len(bias)]
        sign = np.where(on, -1.0, 1.0)
        A.append(sign[:, None] * W)
        b.append(-sign * c)
        W, c = W * on[:, None], c * on
        start += len(bias)
    return np.concatenate(A), np.concatenate(b)


def irredundant(A: np.ndarray, b: np.ndarray, rows: range) -> list[int]:
    """Those of some rows of {A x ≤ b} that it cannot do without: a linear program each."""
    kept = []
    for row in rows:
        bounds = b.copy()
        bounds[row] += 1
        best = linprog(-A[row], A_ub=A, b_ub=bounds, bounds=(None, None))
        if best.status == 3 or -best.fun > b[row] + 1e-9:
            kept.append(row)
    return kept


def cells_by_flipping(
    hidden: list[Layer], half_width: float, start: np.ndarray, *, most: int | None = None
) -> tuple[int, int]:
    """Numbers of patterns that were expanded and that were seen in the box [-half_width, half_width]^d.

    Args:
        hidden: the layers that have ReLUs.
        start: (d,) a point to begin at.
        most: patterns to expand; `None` for all.
    """
    d = len(start)
    box = np.concatenate([np.eye(d), -np.eye(d)])
    x, signs = start, []
    for weight, bias in hidden:
        z = weight @ x + bias
        signs.append(z > 0)
        x = np.maximum(z, 0)
    first = np.concatenate(signs)
    seen, waiting, expanded = {first.tobytes()}, deque([first]), 0
    while waiting and (most is None or expanded < most):
        bits = waiting.popleft()
        expanded += 1
        A, b = halfspaces(hidden, bits)
        lengths = np.linalg.norm(A, axis=1)
        real = np.flatnonzero(lengths > 1e-12)
        A, b = A[real] / lengths[real, None], b[real] / lengths[real]
        both, bounds = np.concatenate([A, box]), np.append(b, np.full(2 * d, half_width))
        for row in irredundant(both, bounds, range(len(real))):
            other = bits.copy()
            other[real[row]] ^= True
            if other.tobytes() not in seen:
                seen.add(other.tobytes())
                waiting.append(other)
    return expanded, len(seen)
