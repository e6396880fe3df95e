"""Compiled loops over values and slopes that find the first crossings: one pass over memory, where NumPy and torch would take eight.

Import inside the function that needs them: this module imports numba.
"""

from __future__ import annotations

import math

from actscope.codes.compiling import compiled

__all__ = ["cross_choices", "cross_levels"]


@compiled
def cross_levels(z, slopes, levels, offset, negligible, rates, numbers, first, last):  # type: ignore[no-untyped-def]  # numba reads no annotations
    """First crossings of neurons (n, w) with levels (l,): `rates` and `numbers` (n, k, 2) are brought up to date in rows first … last."""
    for i in range(first, last):
        for d in range(slopes.shape[1]):
            scale = 0.0
            for j in range(z.shape[1]):
                scale = max(scale, abs(slopes[i, d, j]))
            least = negligible * scale
            ahead, behind = rates[i, d, 0], -rates[i, d, 1]
            for j in range(z.shape[1]):
                rise = slopes[i, d, j]
                if abs(rise) <= least:
                    continue
                for m in range(levels.shape[0]):
                    gap = levels[m] - z[i, j]
                    rate = rise / gap if gap != 0.0 else math.copysign(math.inf, rise)
                    if rate > ahead:
                        ahead = rate
                        numbers[i, d, 0] = offset + j * levels.shape[0] + m
                    elif rate < behind:
                        behind = rate
                        numbers[i, d, 1] = offset + j * levels.shape[0] + m
            rates[i, d, 0], rates[i, d, 1] = ahead, -behind


@compiled
def cross_choices(z, slopes, windows, chosen, offset, negligible, rates, numbers, first, last):  # type: ignore[no-untyped-def]  # numba reads no annotations
    """The same for choices: windows (n_outputs, w) of entries of z, of which columns `chosen` (n, n_outputs) are the largest."""
    width = windows.shape[1]
    for i in range(first, last):
        for d in range(slopes.shape[1]):
            scale = 0.0
            for j in range(z.shape[1]):
                scale = max(scale, abs(slopes[i, d, j]))
            least = negligible * scale
            ahead, behind = rates[i, d, 0], -rates[i, d, 1]
            for j in range(windows.shape[0]):
                column = chosen[i, j]
                own = windows[j, column]
                for m in range(width):
                    other = windows[j, m]
                    if other < 0 or m == column:
                        continue
                    rise = slopes[i, d, other] - slopes[i, d, own]
                    if abs(rise) <= least:
                        continue
                    gap = z[i, own] - z[i, other]
                    rate = rise / gap if gap != 0.0 else math.copysign(math.inf, rise)
                    if rate > ahead:
                        ahead = rate
                        numbers[i, d, 0] = offset + (j * width + column) * width + m
                    elif rate < behind:
                        behind = rate
                        numbers[i, d, 1] = offset + (j * width + column) * width + m
            rates[i, d, 0], rates[i, d, 1] = ahead, -behind
