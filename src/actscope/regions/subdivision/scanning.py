"""Compiled loops that look at convex polygons by their corners: what splits them, and what pattern those have that nothing splits."""

from __future__ import annotations

import numpy as np

from actscope.codes.compiling import compiled

__all__ = [
    "choice_signatures",
    "classify",
    "find_choice_functions",
    "find_site_functions",
    "write_polygon_patterns",
]


@compiled
def classify(z, weights, levels, rows, columns, first, signs):
    """Fill `signs` for the points from `first` on.

    Args:
        signs: (n_levels, n_points - first, 3, n_words) int64: bits of the values above the level, below it, and within the
            tolerance of it; bit j of word w is value 64 w + j.
    """
    n_values = z.shape[1]
    for k in range(len(levels)):
        for v in range(first, len(z)):
            at, row = levels[k] * weights[v], rows[v]
            for w in range(signs.shape[3]):
                above, below = np.int64(0), np.int64(0)
                start = 64 * w
                n_bits = min(64, n_values - start)
                for j in range(n_bits):
                    value, limit = z[v, start + j] - at, row * columns[start + j]
                    above |= np.int64(value > limit) << j
                    below |= np.int64(value < -limit) << j
                full = -1 if n_bits == 64 else (1 << n_bits) - 1
                signs[k, v - first, 0, w], signs[k, v - first, 1, w] = above, below
                signs[k, v - first, 2, w] = full & ~(above | below)


@compiled
def find_site_functions(signs, corners, offsets, most, starts, functions):
    """For each polygon, the (value, level) pairs that are above at one corner and below at another, `most` of them at the most.

    Args:
        signs: (n_levels, n_points, 3, n_words) int64 from `classify`.
        starts: (n_polygons + 1,) becomes where the functions of each polygon begin.
        functions: (room, 3) becomes the functions; where the room does not suffice, only the returned number of them is right.

    Returns:
        How many there are, and whether some polygon has more than `most`.
    """
    n = 0
    more = False
    starts[0] = 0
    for p in range(len(offsets) - 1):
        taken = 0
        for k in range(signs.shape[0]):
            for w in range(signs.shape[3]):
                above, below = 0, 0
                for q in range(offsets[p], offsets[p + 1]):
                    above |= signs[k, corners[q], 0, w]
                    below |= signs[k, corners[q], 1, w]
                cut = above & below
                if cut == 0:
                    continue
                for j in range(64):
                    if (cut >> j) & 1:
                        if taken == most:
                            more = True
                            break
                        if n < len(functions):
                            functions[n, 0], functions[n, 1], functions[n, 2] = 64 * w + j, -1, k
                        n += 1
                        taken += 1
        starts[p + 1] = n
    return n, more


@compiled
def find_choice_functions(z, rows, columns, windows, corners, offsets, most, starts, functions):
    """For each polygon and each window of which no entry is the largest all over it, the difference of two entries that changes sign.

    The split by this difference leaves less to decide; call again until nothing is found. Arguments as for `find_site_functions`.
    """
    n = 0
    n_windows = len(windows)
    starts[0] = 0
    for p in range(len(offsets) - 1):
        taken = 0
        for window in range(n_windows):
            if taken == most:
                break
            first, second = -1, -1
            if _winner(z, rows, columns, windows, window, corners, offsets[p], offsets[p + 1]) >= 0:
                continue
            # entries that are the largest of all somewhere come first: their difference is a border that is there
            for ca in range(offsets[p], offsets[p + 1]):
                va = corners[ca]
                a = _largest(z, windows, window, va)
                for cb in range(offsets[p], offsets[p + 1]):
                    vb = corners[cb]
                    b = _largest(z, windows, window, vb)
                    scale = max(columns[a], columns[b])
                    if z[va, a] - z[va, b] > rows[va] * scale and z[vb, b] - z[vb, a] > rows[vb] * scale:
                        first, second = min(a, b), max(a, b)
                        break
                if first >= 0:
                    break
            if first < 0:
                continue
            if n < len(functions):
                functions[n, 0], functions[n, 1], functions[n, 2] = first, second, 0
            n += 1
            taken += 1
        starts[p + 1] = n
    return n, n > 0


@compiled
def _winner(z, rows, columns, windows, window, corners, first, last):
    """The first entry of a window that is the largest at all corners of a polygon, within the tolerance; -1 if none is."""
    k = windows.shape[1]
    for q in range(k):
        e = windows[window, q]
        if e < 0:
            continue
        wins = True
        for c in range(first, last):
            v = corners[c]
            for r in range(k):
                other = windows[window, r]
                if other >= 0 and z[v, other] > z[v, e] + rows[v] * max(columns[e], columns[other]):
                    wins = False
                    break
            if not wins:
                break
        if wins:
            return e
    return -1


@compiled
def _largest(z, windows, window, v):
    best = -1
    for q in range(windows.shape[1]):
        e = windows[window, q]
        if e >= 0 and (best < 0 or z[v, e] > z[v, best]):
            best = e
    return best


@compiled
def write_polygon_patterns(signs, planes, corners, offsets, n_bytes_a_plane, packed):
    """Fill `packed` (n_polygons, bytes) with the pattern of each polygon that nothing cuts: one plane of bits a level that counts.

    Args:
        signs: (n_levels, n_points, 3, n_words) int64 from `classify`.
        planes: (n_levels,) which plane each level is; -1 for a level that does not count.
    """
    for p in range(len(offsets) - 1):
        for k in range(len(planes)):
            if planes[k] < 0:
                continue
            start = planes[k] * n_bytes_a_plane
            for w in range(signs.shape[3]):
                above = 0
                for q in range(offsets[p], offsets[p + 1]):
                    above |= signs[k, corners[q], 0, w]
                for byte in range(min(8, n_bytes_a_plane - 8 * w)):
                    packed[p, start + 8 * w + byte] = (above >> (8 * byte)) & 255


@compiled
def choice_signatures(z, rows, columns, windows, corners, offsets, signatures):
    """Fill `signatures` (n_polygons,) with a number that tells the choices of each polygon apart from all others, but for one in 2^60."""
    n_windows = len(windows)
    for p in range(len(offsets) - 1):
        total = 0
        for window in range(n_windows):
            chosen = _winner(z, rows, columns, windows, window, corners, offsets[p], offsets[p + 1])
            h = (window * 0x9E3779B97F4A7C1 + (chosen + 1) * 0x2545F4914F6CDD1D) & 0x7FFFFFFFFFFFFFFF
            h ^= h >> 32
            h = (h * 0x27D4EB2F165667C5) & 0x7FFFFFFFFFFFFFFF
            total = (total + (h ^ (h >> 29))) & 0x7FFFFFFFFFFFFFFF
        signatures[p] = total
