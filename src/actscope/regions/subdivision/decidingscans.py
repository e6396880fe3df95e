"""Compiled loops that find where the two largest of several affine functions on a convex polygon are equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actscope.codes.compiling import compiled

__all__ = ["find_boundaries"]


@compiled
def find_boundaries(
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    centres: NDArray[np.float64],
    values: NDArray[np.float64],
    gradients: NDArray[np.float64],
    tie: float,
) -> NDArray[np.float64]:
    """Segments (n, 2, 2) inside convex polygons on which two of their functions are equal and no other is larger.

    Args:
        points, offsets: polygon i has the corners points[offsets[i] : offsets[i + 1]].
        centres: (n_polygons, 2); values: (n_polygons, n_functions) at the centres; gradients: (n_polygons, n_functions, 2).
        tie: functions must differ by more than this share of their size, one way and the other.
    """
    n_functions = values.shape[1]
    most = 1
    for i in range(len(offsets) - 1):
        most = max(most, offsets[i + 1] - offsets[i])
    f = np.empty((most, n_functions))
    largest = np.empty(most, dtype=np.int64)
    candidates = np.empty(n_functions, dtype=np.int64)
    segments = np.empty((64, 2, 2))
    ends = np.empty((2, 2))
    n_segments = 0
    for i in range(len(offsets) - 1):
        k = offsets[i + 1] - offsets[i]
        if k < 3:
            continue
        size = 0.0
        one_class = True
        for j in range(k):
            x = points[offsets[i] + j, 0] - centres[i, 0]
            y = points[offsets[i] + j, 1] - centres[i, 1]
            best = 0
            for c in range(n_functions):
                f[j, c] = values[i, c] + gradients[i, c, 0] * x + gradients[i, c, 1] * y
                size = max(size, abs(f[j, c]))
                if f[j, c] > f[j, best]:
                    best = c
            largest[j] = best
            one_class &= best == largest[0]
        if one_class:  # where one function is the largest is convex
            continue
        n_candidates = _undominated(f, k, n_functions, largest, candidates)
        for p in range(n_candidates):
            for q in range(p + 1, n_candidates):
                a, b = candidates[p], candidates[q]
                if not _crosses(f, k, a, b, tie * size):
                    continue
                low, high = _common_part(
                    f, k, a, b, n_candidates, candidates, points[offsets[i] : offsets[i + 1]], ends
                )
                if high - low <= 1e-12:
                    continue
                if n_segments == len(segments):
                    segments = np.concatenate((segments, np.empty_like(segments)))
                for axis in range(2):
                    segments[n_segments, 0, axis] = ends[0, axis] + low * (ends[1, axis] - ends[0, axis])
                    segments[n_segments, 1, axis] = ends[0, axis] + high * (ends[1, axis] - ends[0, axis])
                n_segments += 1
    return segments[:n_segments].copy()


@compiled
def _undominated(
    f: NDArray[np.float64], k: int, n_functions: int, largest: NDArray[np.int64], candidates: NDArray[np.int64]
) -> int:
    """Write which functions may be the largest somewhere: those that none which is so at a corner exceeds at every corner."""
    n = 0
    for c in range(n_functions):
        dominated = False
        for i in range(k):
            a = largest[i]
            if a != c and (i == 0 or a != largest[i - 1]):
                over = True
                for j in range(k):
                    over &= f[j, a] > f[j, c]
                dominated |= over
        if not dominated:
            candidates[n] = c
            n += 1
    return n


@compiled
def _crosses(f: NDArray[np.float64], k: int, a: int, b: int, least: float) -> bool:
    """Whether the difference of two functions has both signs on the corners, by more than `least`."""
    low, high = 0.0, 0.0
    for j in range(k):
        low, high = min(low, f[j, a] - f[j, b]), max(high, f[j, a] - f[j, b])
    return high > least and low < -least


@compiled
def _common_part(
    f: NDArray[np.float64],
    k: int,
    a: int,
    b: int,
    n_candidates: int,
    candidates: NDArray[np.int64],
    corners: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> tuple[float, float]:
    """Write where f_a = f_b enters and leaves the polygon to `ends`; from which share of the way to which no other is larger."""
    n = 0
    at_ends = np.empty((2, n_candidates))
    of_a = np.empty(2)
    for j in range(k):
        m = (j + 1) % k
        d, e = f[j, a] - f[j, b], f[m, a] - f[m, b]
        if n < 2 and (d == 0 or (d < 0 < e) or (e < 0 < d)):
            t = 0.0 if d == 0 else d / (d - e)
            for axis in range(2):
                ends[n, axis] = corners[j, axis] + t * (corners[m, axis] - corners[j, axis])
            of_a[n] = f[j, a] + t * (f[m, a] - f[j, a])
            for i in range(n_candidates):
                c = candidates[i]
                at_ends[n, i] = f[j, c] + t * (f[m, c] - f[j, c])
            n += 1
    if n < 2:
        return 0.0, 0.0
    low, high = 0.0, 1.0
    for i in range(n_candidates):
        if candidates[i] == a or candidates[i] == b:
            continue
        start, end = of_a[0] - at_ends[0, i], of_a[1] - at_ends[1, i]
        if start < 0 and end < 0:
            return 0.0, 0.0
        if start < 0:
            low = max(low, start / (start - end))
        elif end < 0:
            high = min(high, start / (start - end))
    return low, high
