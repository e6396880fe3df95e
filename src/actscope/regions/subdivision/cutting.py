"""Compiled loops that find where known intervals are cut, and that write the rows of new points.

Between two known points everything up to a stop is linear in homogeneous coordinates, so a cut is a combination of the two with
positive factors. A value counts as positive or negative only where it is beyond a tolerance, which grows with the point's own values
and with the neuron's: otherwise rounding would make slivers out of zeros (a breakpoint that meets a point that is there already).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.compiling import compiled
from actscope.codes.threads import spread

__all__ = ["Scales", "combining", "count_cuts", "find_choice_cuts", "find_cuts", "write_patterns"]


_LEAST_SHARE = 1e-3
"""A point's scale is at least this share of what its distance from the origin suggests: all values may vanish at one point."""

_ROUNDING = 1e-13
"""No value is told from zero by less than this share of its point's scale: one that cancels out everywhere is rounding alone."""


class Scales:
    """How large values have to be to count as positive or negative: `rows[v] * columns[j]` for value j at point v.

    A point's scale is its largest |value|, a value's scale the largest share that it has of any point's. Far points have large values and
    large rounding errors, so scales go with the points; and where all values of a point vanish, as where all lines of a narrow layer
    meet, they come from the other points, by their homogeneous coordinates.

    Args:
        z: (n_points, n_values) float64.
        places: (n_points, d) homogeneous coordinates in units of what is looked at, weights last.
        levels: the values that are looked for.
        tolerance: what counts as zero, as a share of the scale.
    """

    def __init__(
        self, z: NDArray[np.float64], places: NDArray[np.float64], levels: NDArray[np.float64], tolerance: float
    ) -> None:
        self._level = float(np.abs(levels).max(initial=0.0))
        self._suggested = 0.0
        self.rows = self._rows_of(z, places)
        self.columns = np.zeros(z.shape[1])
        _column_scales(z, self._level, places[:, -1], self.rows, self.columns)
        self.columns = np.maximum(tolerance * self.columns, _ROUNDING)

    def extend(self, z: NDArray[np.float64], places: NDArray[np.float64]) -> None:
        """Take in the points that came after those known."""
        known = len(self.rows)
        self.rows = np.concatenate([self.rows, self._rows_of(z[known:], places[known:])])

    def _rows_of(self, z: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.empty(len(z))
        _row_scales(z, self._level, places[:, -1], rows)
        distances = np.abs(places).max(axis=1)
        if not self._suggested:
            self._suggested = float((rows / np.where(distances > 0, distances, 1.0)).max(initial=0.0))
        least: NDArray[np.float64] = _LEAST_SHARE * self._suggested * distances
        return np.maximum(rows, least)


@compiled
def _row_scales(z, level, weights, rows):
    for i in range(z.shape[0]):
        most = level * weights[i]
        for j in range(z.shape[1]):
            most = max(most, abs(z[i, j]))
        rows[i] = most


@compiled
def _column_scales(z, level, weights, rows, columns):
    for i in range(z.shape[0]):
        if rows[i] > 0:
            share = 1.0 / rows[i]
            at_least = level * weights[i] * share
            for j in range(z.shape[1]):
                columns[j] = max(columns[j], abs(z[i, j]) * share, at_least)


@compiled
def count_cuts(z, weights, left, right, levels, rows, columns, counts):
    """Fill `counts` (n_intervals,) with the number of (value, level) pairs that change sign inside each interval."""
    for i in range(len(left)):
        a, b = left[i], right[i]
        n = 0
        for k in range(len(levels)):
            at_a, at_b = levels[k] * weights[a], levels[k] * weights[b]
            for j in range(z.shape[1]):
                za, zb = z[a, j] - at_a, z[b, j] - at_b
                ea, eb = rows[a] * columns[j], rows[b] * columns[j]
                n += ((za > ea) & (zb < -eb)) | ((za < -ea) & (zb > eb))
        counts[i] = n


@compiled
def find_cuts(z, weights, left, right, levels, rows, columns, counts, cuts, factors, events):
    """Cuts of each interval in order, those that coincide within the tolerance as one; how many there are, and how many near-ties.

    Args:
        counts: (n_intervals,) from `count_cuts`; becomes the number of cuts.
        cuts: (sum of counts, 2) becomes the two points that each cut lies between.
        factors: (sum of counts, 2) becomes what these are multiplied with.
        events: (sum of counts, 4) becomes the cut, value, level, and 1 for a rise or 0 for a fall, of each change of sign.
    """
    n_cuts = 0
    n_events = 0
    n_ties = 0
    for i in range(len(left)):
        m = counts[i]
        if m == 0:
            continue
        a, b = left[i], right[i]
        where = np.empty(m)
        values = np.empty(m, dtype=np.int64)
        which = np.empty(m, dtype=np.int64)
        n = 0
        for k in range(len(levels)):
            at_a, at_b = levels[k] * weights[a], levels[k] * weights[b]
            for j in range(z.shape[1]):
                za, zb = z[a, j] - at_a, z[b, j] - at_b
                ea, eb = rows[a] * columns[j], rows[b] * columns[j]
                if (za > ea and zb < -eb) or (za < -ea and zb > eb):
                    where[n] = abs(za) / (abs(za) + abs(zb))
                    values[n] = j
                    which[n] = k
                    n += 1
        order = np.argsort(where) if m > 1 else np.zeros(1, dtype=np.int64)
        first = n_cuts
        for position in range(m):
            j, k = values[order[position]], which[order[position]]
            za, zb = z[a, j] - levels[k] * weights[a], z[b, j] - levels[k] * weights[b]
            met = False
            if n_cuts > first:
                fa, fb = factors[n_cuts - 1, 0], factors[n_cuts - 1, 1]
                met = abs(fa * za + fb * zb) <= (fa * rows[a] + fb * rows[b]) * columns[j]
            if met:
                n_ties += 1
            else:
                total = abs(zb) * weights[a] + abs(za) * weights[b]
                cuts[n_cuts, 0], cuts[n_cuts, 1] = a, b
                factors[n_cuts, 0], factors[n_cuts, 1] = abs(zb) / total, abs(za) / total
                n_cuts += 1
            events[n_events, 0], events[n_events, 1], events[n_events, 2] = n_cuts - 1, j, k
            events[n_events, 3] = 1 if zb > 0 else 0
            n_events += 1
        counts[i] = n_cuts - first
    return n_cuts, n_events, n_ties


@compiled
def find_choice_cuts(z, left, right, windows, weights, rows, columns, counts, cuts, factors, events):
    """As `find_cuts`, where the largest entry of a window changes; `events` holds the cut, the window, and the entries before and after.

    Nothing is written beyond the end of `cuts`, but the number of cuts that there would be is returned: give more room and call again.
    """
    n_cuts = 0
    n_events = 0
    n_ties = 0
    room = len(cuts)
    n_windows, k = windows.shape
    at = np.empty(n_windows * k)
    found = np.empty((n_windows * k, 3), dtype=np.int64)
    for i in range(len(left)):
        a, b = left[i], right[i]
        n = 0
        for window in range(n_windows):
            now = -1
            for q in range(k):
                e = windows[window, q]
                if e >= 0 and (
                    now < 0
                    or z[a, e] > z[a, now] + rows[a] * max(columns[e], columns[now])
                    or (z[a, e] >= z[a, now] - rows[a] * max(columns[e], columns[now]) and z[b, e] > z[b, now])
                ):
                    now = e
            position = 0.0
            while True:
                best, chosen = 2.0, -1
                for q in range(k):
                    e = windows[window, q]
                    if e < 0 or e == now:
                        continue
                    scale = max(columns[e], columns[now])
                    da, db = z[a, now] - z[a, e], z[b, now] - z[b, e]
                    if db < -rows[b] * scale:
                        here = max(da / (da - db), position) if da > rows[a] * scale else position
                        if here < best or (here == best and z[b, e] > z[b, chosen]):
                            best, chosen = here, e
                if chosen < 0:
                    break
                if best > position or z[a, now] - z[a, chosen] > rows[a] * max(columns[chosen], columns[now]):
                    at[n] = best
                    found[n, 0], found[n, 1], found[n, 2] = window, now, chosen
                    n += 1
                position = best
                now = chosen
        order = np.argsort(at[:n])
        first = n_cuts
        for place in range(n):
            window, before, after = found[order[place], 0], found[order[place], 1], found[order[place], 2]
            da, db = z[a, before] - z[a, after], z[b, before] - z[b, after]
            met = False
            if n_cuts > first and n_cuts <= room:
                fa, fb = factors[n_cuts - 1, 0], factors[n_cuts - 1, 1]
                met = abs(fa * da + fb * db) <= (fa * rows[a] + fb * rows[b]) * max(columns[before], columns[after])
            if met:
                n_ties += 1
            else:
                if n_cuts < room:
                    total = abs(db) * weights[a] + abs(da) * weights[b]
                    cuts[n_cuts, 0], cuts[n_cuts, 1] = a, b
                    factors[n_cuts, 0], factors[n_cuts, 1] = abs(db) / total, abs(da) / total
                n_cuts += 1
            if n_events < room:
                events[n_events, 0], events[n_events, 1] = n_cuts - 1, window
                events[n_events, 2], events[n_events, 3] = before, after
            n_events += 1
        counts[i] = n_cuts - first
    return n_cuts, n_events, n_ties


@compiled
def write_patterns(z, weights, left, right, levels, planes, rows, columns, counts, events, n_bytes_a_plane, packed):
    """Fill `packed` (n_intervals after the cuts, bytes) with the pattern of each: value beyond level, one plane of bits a level.

    Args:
        planes: (n_levels,) which plane of the pattern each level is; -1 for a level that does not count.
        events: (n_events, 4) from `find_cuts`, in order.
    """
    child = 0
    event = 0
    cut = 0
    for i in range(len(left)):
        a, b = left[i], right[i]
        for k in range(len(levels)):
            if planes[k] < 0:
                continue
            at_a, at_b = levels[k] * weights[a], levels[k] * weights[b]
            start = planes[k] * n_bytes_a_plane
            for j in range(z.shape[1]):
                za, zb = z[a, j] - at_a, z[b, j] - at_b
                ea, eb = rows[a] * columns[j], rows[b] * columns[j]
                if za > ea or (zb > eb and za >= -ea):
                    packed[child, start + (j >> 3)] |= 1 << (j & 7)
        for _ in range(counts[i]):
            child += 1
            packed[child] = packed[child - 1]
            while event < len(events) and events[event, 0] == cut:
                j, k = events[event, 1], events[event, 2]
                if planes[k] >= 0:
                    packed[child, planes[k] * n_bytes_a_plane + (j >> 3)] ^= 1 << (j & 7)
                event += 1
            cut += 1
        child += 1


@compiled
def _combine(out, n_before, n_old, parents, factors, first, last):
    for i in range(len(parents)):
        a, b = n_before + parents[i, 0], n_before + parents[i, 1]
        fa, fb = factors[i, 0], factors[i, 1]
        for j in range(first, last):
            out[n_old + i, j] = fa * out[a, j] + fb * out[b, j]


_NUMBERS_WORTH_A_THREAD = 1 << 18


def combining(parents: NDArray[np.int64], factors: NDArray[np.float64]) -> Callable[[Tensor, int], Tensor]:
    """What appends to a matrix the rows `factors[i, 0] * row(parents[i, 0]) + factors[i, 1] * row(parents[i, 1])`.

    A parent may be one of the rows appended before it. The second argument of the result says how many rows of the matrix come before
    row 0 of the parents' count.

    Args:
        parents: (n_new, 2) numbers of rows.
        factors: (n_new, 2).
    """

    def combine(matrix: Tensor, n_before: int = 0) -> Tensor:
        n_old, width = matrix.shape
        if matrix.device.type != "cpu":
            return _combine_in_generations(matrix, parents + n_before, factors)
        out = matrix.new_empty((n_old + len(parents), width))
        out[:n_old] = matrix
        rows = out.numpy()
        at_least = max(16, _NUMBERS_WORTH_A_THREAD // max(1, len(parents)))
        spread(
            lambda first, last: _combine(rows, n_before, n_old, parents, factors, first, last), width, at_least=at_least
        )
        return out

    return combine


def _combine_in_generations(matrix: Tensor, parents: NDArray[np.int64], factors: NDArray[np.float64]) -> Tensor:
    """The same on a device: row by row would wait for each, so all rows whose parents are there come at once."""
    n_old = len(matrix)
    generation = np.zeros(n_old + len(parents), dtype=np.int64)
    for i, (a, b) in enumerate(parents):
        generation[n_old + i] = 1 + max(generation[a], generation[b])
    out = torch.cat([matrix, matrix.new_empty((len(parents), matrix.shape[1]))])
    index, scale = torch.from_numpy(parents).to(matrix.device), torch.from_numpy(factors).to(matrix)
    for step in range(1, int(generation.max(initial=0)) + 1):
        rows = torch.from_numpy(np.flatnonzero(generation[n_old:] == step)).to(matrix.device)
        out[n_old + rows] = scale[rows, :1] * out[index[rows, 0]] + scale[rows, 1:] * out[index[rows, 1]]
    return out
