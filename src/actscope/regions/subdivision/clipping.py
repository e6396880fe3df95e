"""Convex polygons cut to a window, unbounded ones too, and the polygon that a point lies in."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["clipped", "clipped_polygons", "locate"]

_ROUNDING = 1e-12
"""A point this far outside of an edge, in units of the coordinates' size, still counts as on it."""


def clipped(polygon: ArrayLike, window: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """The part of a convex polygon that lies in a window: its corners (m, 2), in their order; none where they do not meet.

    Half planes are cut off one by one (Sutherland & Hodgman 1974) in homogeneous coordinates, in which an edge to infinity is
    cut like any other: between P and Q with values p > 0 > q of the half plane's form lies p Q - q P.

    Args:
        polygon: (k, 3) corners in order around it: (x, y, 1), or (x, y, 0) for a direction to infinity. Two directions that follow
            one another are less than half a turn apart.
        window: (x from, x to, y from, y to).

    Raises:
        ValueError: if the polygon has another shape, or the window is empty or not finite.

    Example:
        A quarter of the plane:

        >>> clipped([[0, 0, 1], [1, 0, 0], [0, 1, 0]], (-1, 2, -1, 3)).tolist()
        [[0.0, 0.0], [2.0, 0.0], [2.0, 3.0], [0.0, 3.0]]
    """
    corners = np.asarray(polygon, dtype=float)
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise ValueError(f"polygon has shape {corners.shape}; expected (n_corners, 3), homogeneous coordinates")
    return clipped_polygons(corners, np.arange(len(corners)), np.array([0, len(corners)]), window)[0]


def clipped_polygons(
    places: NDArray[np.float64],
    corners: NDArray[np.int64],
    offsets: NDArray[np.int64],
    window: tuple[float, float, float, float],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The parts of many convex polygons that lie in a window.

    Args:
        places: (n_points, 3) homogeneous coordinates.
        corners, offsets: polygon i has the corners places[corners[offsets[i] : offsets[i + 1]]], in order around it.
        window: (x from, x to, y from, y to).

    Returns:
        points (m, 2) and offsets (n_polygons + 1,): what is left of polygon i is points[offsets[i] : offsets[i + 1]].

    Raises:
        ValueError: if the window is empty or not finite.

    Example:
        >>> places = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], dtype=float)
        >>> points, offsets = clipped_polygons(places, np.array([0, 1, 2, 0, 2, 3]), np.array([0, 3, 6]), (1.0, 2.0, 0.0, 1.0))
        >>> offsets.tolist()
        [0, 4, 4]
    """
    from actscope.regions.subdivision.clippingscans import clip_polygons

    x0, x1, y0, y1 = (float(edge) for edge in window)
    if not all(map(math.isfinite, (x0, x1, y0, y1))) or x0 >= x1 or y0 >= y1:
        raise ValueError(
            f"window={tuple(window)!r}: give (x from, x to, y from, y to), finite, each from less than its to"
        )
    return clip_polygons(
        np.ascontiguousarray(places, dtype=np.float64),
        np.ascontiguousarray(corners, dtype=np.int64),
        np.ascontiguousarray(offsets, dtype=np.int64),
        np.array([x0, x1, y0, y1]),
    )


def locate(
    places: NDArray[np.float64], corners: NDArray[np.int64], offsets: NDArray[np.int64], points: ArrayLike
) -> NDArray[np.int64]:
    """(n,) int64: the polygon that each point lies in; -1 where it lies in none. A point on an edge gets one of both.

    Args:
        places, corners, offsets: convex polygons that do not overlap, as for `clipped_polygons`.
        points: (n, 2).

    Raises:
        ValueError: if the points have another shape, or are not finite.

    Example:
        >>> places = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], dtype=float)
        >>> locate(places, np.array([0, 1, 2, 0, 2, 3]), np.array([0, 3, 6]), [[9.0, 9.0], [-9.0, 9.0], [0.0, -1.0]]).tolist()
        [0, 1, -1]
    """
    from actscope.regions.subdivision.clippingscans import box_cells, find_polygons

    at = np.ascontiguousarray(points, dtype=np.float64)
    if at.ndim != 2 or at.shape[1] != 2:
        raise ValueError(f"points have shape {at.shape}; expected (n_points, 2)")
    if not np.isfinite(at).all():
        raise ValueError("points must be finite")
    n_polygons = len(offsets) - 1
    if not len(at) or n_polygons < 1:
        return np.full(len(at), -1, dtype=np.int64)
    low, high = at.min(axis=0), at.max(axis=0)
    size = float(max(np.abs(low).max(), np.abs(high).max(), 1e-300))
    margin = np.maximum(high - low, size) * 1e-9
    low, high = low - margin, high + margin
    left, starts = clipped_polygons(places, corners, offsets, (low[0], high[0], low[1], high[1]))
    # squares about as many as there are points or polygons, whichever are fewer, hold a few of each
    n_side = max(1, math.isqrt(min(len(at), n_polygons)))
    bins = box_cells(left, starts, low, (high - low) / n_side, n_side)
    return find_polygons(
        np.ascontiguousarray(places, dtype=np.float64),
        np.ascontiguousarray(corners, dtype=np.int64),
        np.ascontiguousarray(offsets, dtype=np.int64),
        at,
        *bins,
        low,
        (high - low) / n_side,
        n_side,
        _ROUNDING * size,
    )
