"""Where a classifier changes its mind within a plane, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actscope.regions.programs.program import NotPiecewiseLinearError
from actscope.regions.subdivision.clipping import clipped_polygons

if TYPE_CHECKING:
    from actscope.regions.planeregions import PlaneRegions

__all__ = ["decision_boundary"]

_TIE = 1e-9
"""Outputs that differ by less than this share of their size are equal."""


def decision_boundary(
    found: PlaneRegions, window: tuple[float, float, float, float] | None = None
) -> NDArray[np.float64]:
    """Where the two largest outputs of a classifier are equal: segments (n, 2, 2) in coordinates of the plane, exact.

    In a cell each output is affine, so f_a = f_b is a line in it, of which the part counts where no third output is larger. A
    cell may hold several classes. Where the class (the smallest of equals) changes on the edge between two cells, that edge is part
    of the boundary.

    Args:
        found: the regions of a model with two outputs or more.
        window: where unbounded cells are cut off; `None` takes the window that was looked at, or for a whole plane one that
            shows most corners.

    Raises:
        NotPiecewiseLinearError: if the model's output is not piecewise linear.
        ValueError: if the model has one output, or the cells are not all there (`max_regions`).

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from actscope.regions import plane
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> _ = model.load_state_dict({"0.weight": torch.eye(2), "0.bias": torch.full((2,), 2.0)})
        >>> decision_boundary(plane(model)).tolist()
        [[[-1.0, -1.0], [1.0, 1.0]]]
    """
    from actscope.regions.subdivision.decidingscans import find_boundaries

    if not found.complete:
        raise ValueError(
            "the partition was stopped by max_regions, and its cells have no affine maps: raise max_regions"
        )
    if found.values is None or found.gradients is None:
        raise NotPiecewiseLinearError(
            "the model's output is not piecewise linear, so its decision boundary is not made of segments; a model that returns "
            "logits instead of a softmax of them has the same classes"
        )
    if found.values.shape[1] < 2:
        raise ValueError("the model has one output: a decision boundary is where the two largest of several are equal")
    seen = window or found.window or found.corner_window
    points, offsets = clipped_polygons(found.places, found.corners, found.offsets, seen)
    inner = find_boundaries(points, offsets, found.centres, found.values, np.ascontiguousarray(found.gradients), _TIE)
    return np.concatenate([inner, _edges_between(found, seen)])


def _edges_between(found: PlaneRegions, window: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """The edges of cells on which the two classes of the cells beside them are equal, in a window."""
    values, gradients = found.values, found.gradients
    if values is None or gradients is None or not len(found.neighbours):
        return np.zeros((0, 2, 2))
    one, other = found.neighbours.T
    a, b = values.argmax(axis=1)[one], values.argmax(axis=1)[other]
    changing = np.flatnonzero(a != b)
    one, a, b, edges = one[changing], a[changing], b[changing], found.edges[changing]
    ends = found.places[edges]
    away = ends[..., :2] - ends[..., 2:] * found.centres[one][:, None]
    slope = gradients[one, a] - gradients[one, b]
    constant = values[one, a] - values[one, b]
    gap = (away * slope[:, None]).sum(axis=2) + ends[..., 2] * constant[:, None]
    sizes = np.abs(away).max(axis=2) * np.abs(gradients[one]).max(axis=(1, 2))[:, None]
    sizes = sizes + ends[..., 2] * np.abs(values[one]).max(axis=1)[:, None]
    tied = (np.abs(gap) <= _TIE * sizes).all(axis=1)
    segments = [_cut(edge, window) for edge in ends[tied]]
    kept = [segment for segment in segments if segment is not None]
    return np.array(kept, dtype=float).reshape(-1, 2, 2)


def _cut(edge: NDArray[np.float64], window: tuple[float, float, float, float]) -> NDArray[np.float64] | None:
    """The part of a segment or half line, two homogeneous places, that lies in a window."""
    x0, x1, y0, y1 = window
    low, high = 0.0, 1.0
    for form in ((1.0, 0.0, -x0), (-1.0, 0.0, x1), (0.0, 1.0, -y0), (0.0, -1.0, y1)):
        at_start, at_end = edge @ np.array(form)
        if at_start < 0 and at_end < 0:
            return None
        if at_start < 0 or at_end < 0:
            where = at_start / (at_start - at_end)
            low, high = (max(low, where), high) if at_start < 0 else (low, min(high, where))
    if low >= high:
        return None
    ends = np.array([(1 - t) * edge[0] + t * edge[1] for t in (low, high)])
    found: NDArray[np.float64] = ends[:, :2] / ends[:, 2:]
    return found
