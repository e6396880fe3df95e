"""Into how many pieces lines split each convex polygon, without splitting it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actscope.codes.compiling import compiled

__all__ = ["count_pieces"]


def count_pieces(
    z: NDArray[np.float64],
    weights: NDArray[np.float64],
    levels: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    corners: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """(n_polygons,) int64: 1 + chords + pairs of chords that cross, which is Euler's formula; 0 where that is not certain.

    A chord is the zero line of a value minus a level inside a polygon. Two cross if their ends take turns around the polygon. Where
    chords end or meet in one point within the tolerance, pairs would be counted that are none: such a polygon gets 0, and has
    to be split.

    Args:
        z: (n_points, n_values); weights, rows: (n_points,); levels: (n_levels,); columns: (n_values,) with the tolerance worked in.
        corners, offsets: the polygons.

    Example:
        >>> square = np.array([[-1.0, -0.5], [1.0, -0.5], [1.0, 1.0], [-1.0, 1.0]])
        >>> one = np.ones(4)
        >>> count_pieces(square, one, np.zeros(1), one, np.full(2, 1e-9), np.arange(4), np.array([0, 4])).tolist()
        [4]
    """
    pieces = np.zeros(len(offsets) - 1, dtype=np.int64)
    _count_pieces(z, weights, levels, rows, columns, corners, offsets, pieces)
    return pieces


@compiled
def _count_pieces(z, weights, levels, rows, columns, corners, offsets, pieces):  # type: ignore[no-untyped-def]  # numba reads no annotations
    n_values = z.shape[1]
    above = np.zeros(n_values, dtype=np.uint8)
    below = np.zeros(n_values, dtype=np.uint8)
    doubtful = np.zeros(n_values, dtype=np.uint8)
    room = 64
    value, level = np.zeros(room, dtype=np.int64), np.zeros(room, dtype=np.int64)
    ends = np.zeros((room, 4))
    where = np.zeros((room, 2), dtype=np.int64)
    crossings = np.zeros(room)
    for p in range(len(offsets) - 1):
        n_sides = offsets[p + 1] - offsets[p]
        m = 0
        certain = True
        for k in range(len(levels)):
            above[:] = 0
            below[:] = 0
            doubtful[:] = 0
            for q in range(offsets[p], offsets[p + 1]):
                v = corners[q]
                at, row = levels[k] * weights[v], rows[v]
                for j in range(n_values):
                    here, limit = z[v, j] - at, row * columns[j]
                    above[j] |= here > limit
                    below[j] |= here < -limit
                    doubtful[j] |= (here <= limit) & (here >= -limit)
            for j in range(n_values):
                if above[j] & below[j]:
                    if doubtful[j]:
                        certain = False
                        break
                    if m == room:
                        room *= 2
                        more = np.zeros(room, dtype=np.int64)
                        more[:m] = value
                        value = more
                        more = np.zeros(room, dtype=np.int64)
                        more[:m] = level
                        level = more
                        ends = np.zeros((room, 4))
                        where = np.zeros((room, 2), dtype=np.int64)
                        crossings = np.zeros(room)
                    value[m], level[m] = j, k
                    m += 1
            if not certain:
                break
        if not certain:
            continue
        if m < 2:
            pieces[p] = 1 + m
            continue
        # the two ends of each chord: the side and where along it, as factors of the side's corners
        for c in range(m):
            j, g = value[c], levels[level[c]]
            n_found = 0
            for q in range(n_sides):
                v, w = corners[offsets[p] + q], corners[offsets[p] + (q + 1) % n_sides]
                fv, fw = z[v, j] - g * weights[v], z[w, j] - g * weights[w]
                if (fv > 0) != (fw > 0) and n_found < 2:
                    where[c, n_found] = q
                    ends[c, 2 * n_found], ends[c, 2 * n_found + 1] = abs(fw), abs(fv)
                    n_found += 1
        n_pieces = 1 + m
        for c in range(m):
            n_crossings = 0
            for d in range(m):
                if d == c:
                    continue
                j, g = value[d], levels[level[d]]
                sides = 0
                at_end = np.zeros(2)
                for end in range(2):
                    q = where[c, end]
                    v, w = corners[offsets[p] + q], corners[offsets[p] + (q + 1) % n_sides]
                    fv, fw = ends[c, 2 * end], ends[c, 2 * end + 1]
                    total = fv + fw
                    here = (fv * (z[v, j] - g * weights[v]) + fw * (z[w, j] - g * weights[w])) / total
                    limit = (fv * rows[v] + fw * rows[w]) / total * columns[j]
                    if abs(here) <= limit:
                        certain = False
                    at_end[end] = here
                    sides += 1 if here > 0 else -1
                if sides == 0:
                    # in factors of the chord's ends: comparable along this chord, whatever d is
                    crossings[n_crossings] = abs(at_end[0]) / (abs(at_end[0]) + abs(at_end[1]))
                    n_crossings += 1
                    if d > c:
                        n_pieces += 1
            if n_crossings > 1:
                order = np.sort(crossings[:n_crossings])
                for i in range(n_crossings - 1):
                    if order[i + 1] - order[i] <= 1e-7 * min(order[i + 1], 1.0 - order[i]):
                        certain = False
            if not certain:
                break
        pieces[p] = n_pieces if certain else 0
