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
    signs: NDArray[np.int64],
    corners: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """(n_polygons,) int64: 1 + chords + pairs of chords that cross, which is Euler's formula; 0 where that is not certain.

    A chord is the zero line of a value minus a level inside a polygon. Two cross if their ends take turns around the polygon. Where
    chords end or meet in one point within the tolerance, pairs would be counted that are none: such a polygon gets 0, and has
    to be split.

    Args:
        z: (n_points, n_values); weights, rows: (n_points,); levels: (n_levels,); columns: (n_values,) with the tolerance worked in.
        signs: (n_levels, n_points, 3, n_words) int64 from `scanning.classify`.
        corners, offsets: the polygons.
    """
    pieces = np.zeros(len(offsets) - 1, dtype=np.int64)
    _count_pieces(z, weights, levels, rows, columns, signs, corners, offsets, pieces)
    return pieces


@compiled
def _count_pieces(z, weights, levels, rows, columns, signs, corners, offsets, pieces):
    room, most_sides = 16, 16
    chords = np.zeros((room, 2), dtype=np.int64)
    values = np.zeros((most_sides, room))
    ends = np.zeros((room, 2), dtype=np.int64)
    shares = np.zeros((room, 2))
    crossings = np.zeros(room)
    for p in range(len(offsets) - 1):
        first, n_sides = offsets[p], offsets[p + 1] - offsets[p]
        m = 0
        certain = True
        for k in range(len(levels)):
            for w in range(signs.shape[3]):
                above, below, within = 0, 0, 0
                for q in range(first, first + n_sides):
                    v = corners[q]
                    above |= signs[k, v, 0, w]
                    below |= signs[k, v, 1, w]
                    within |= signs[k, v, 2, w]
                cut = above & below
                if cut == 0:
                    continue
                if cut & within:
                    certain = False
                    break
                for j in range(64):
                    if not (cut >> j) & 1:
                        continue
                    if m == room:
                        more = np.zeros((2 * room, 2), dtype=np.int64)
                        more[:m] = chords
                        chords = more
                        room *= 2
                        values = np.zeros((most_sides, room))
                        ends, shares, crossings = (
                            np.zeros((room, 2), dtype=np.int64),
                            np.zeros((room, 2)),
                            np.zeros(room),
                        )
                    chords[m, 0], chords[m, 1] = 64 * w + j, k
                    m += 1
        if not certain:
            continue
        if m < 2:
            pieces[p] = 1 + m
            continue
        if n_sides > most_sides:
            most_sides = 2 * n_sides
            values = np.zeros((most_sides, room))
        for q in range(n_sides):
            v = corners[first + q]
            for c in range(m):
                values[q, c] = z[v, chords[c, 0]] - levels[chords[c, 1]] * weights[v]
        # the two ends of each chord: after which corner, and how far towards the next
        for c in range(m):
            n_found = 0
            for q in range(n_sides):
                here, there = values[q, c], values[q + 1 if q + 1 < n_sides else 0, c]
                if (here > 0) != (there > 0) and n_found < 2:
                    ends[c, n_found] = q
                    shares[c, n_found] = abs(here) / (abs(here) + abs(there))
                    n_found += 1
        n_pieces = 1 + m
        for c in range(m):
            a, b = ends[c, 0], ends[c, 1]
            after_a, after_b = a + 1, b + 1 if b + 1 < n_sides else 0
            near_a, far_a = rows[corners[first + a]], rows[corners[first + after_a]]
            near_b, far_b = rows[corners[first + b]], rows[corners[first + after_b]]
            limit_a = near_a + shares[c, 0] * (far_a - near_a)
            limit_b = near_b + shares[c, 1] * (far_b - near_b)
            n_crossings = 0
            for d in range(m):
                if d == c:
                    continue
                at_a = values[a, d] + shares[c, 0] * (values[after_a, d] - values[a, d])
                at_b = values[b, d] + shares[c, 1] * (values[after_b, d] - values[b, d])
                column = columns[chords[d, 0]]
                certain &= (abs(at_a) > limit_a * column) & (abs(at_b) > limit_b * column)
                if (at_a > 0) != (at_b > 0):
                    # comparable along this chord, whichever chord crosses it
                    crossings[n_crossings] = abs(at_a) / (abs(at_a) + abs(at_b))
                    n_crossings += 1
                    n_pieces += d > c
            for i in range(n_crossings):
                for o in range(i):
                    low, high = min(crossings[i], crossings[o]), max(crossings[i], crossings[o])
                    certain &= high - low > 1e-7 * min(high, 1.0 - low)
        pieces[p] = n_pieces if certain else 0
