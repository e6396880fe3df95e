"""How many regions hyperplanes in general position make."""

from __future__ import annotations

from itertools import accumulate
from math import comb
from operator import index
from typing import SupportsIndex

__all__ = ["arrangement"]


def arrangement(m: int, d: int, *, bounded: bool = False, central: bool = False) -> int:
    """The number of regions that `m` hyperplanes in general position cut R^`d` into; no arrangement of `m` has more.

    General position: any j ≤ d of them meet in dimension d - j, and no d + 1 have a common point. Then there are (Zaslavsky 1975)

        Σ_{j ≤ d} C(m, j)

    regions, C(m - 1, d) of them bounded. Hyperplanes through the origin (neurons without biases), any d of which meet in the origin
    alone, make 2 Σ_{j < d} C(m - 1, j) regions, all of them unbounded.

    Args:
        m: number of hyperplanes, 0 or more.
        d: dimension of the space, 1 or more.
        bounded: count the bounded regions only.
        central: all hyperplanes pass through the origin.

    Returns:
        An exact integer of any size.

    Raises:
        TypeError: if `m` or `d` is not an integer.
        ValueError: if `m` is negative or `d` is not positive.

    Example:
        >>> arrangement(3, 2), arrangement(3, 2, bounded=True), arrangement(3, 2, central=True)
        (7, 1, 6)
    """
    m, d = whole_number(m, "m", least=0), whole_number(d, "d", least=1)
    if m == 0:
        return 0 if bounded else 1
    if central:
        return 0 if bounded else 2 * parallel_families(m - 1, d - 1)
    return comb(m - 1, d) if bounded else parallel_families(m, d)


def parallel_families(m: int, d: int, *, size: int = 1) -> int:
    """The largest number of regions that `m` families of `size` parallel hyperplanes each make in R^`d`: Σ_{j ≤ d} C(m, j) size^j.

    Regions are at most as many as the sets of hyperplanes that are independent and have a common point (Whitney's theorem, as used by
    Zaslavsky). Such a set holds no two of one family and no more than d in all; in general position all of these have a common point.
    """
    return parallel_family_sums(m, d, size=size)[-1]


def parallel_family_sums(m: int, d: int, *, size: int = 1) -> list[int]:
    """`parallel_families(m, j, size=size)` for j = 0 … min(m, d): from there on it does not grow with the dimension."""
    terms = accumulate(range(min(m, d)), lambda term, j: term * size * (m - j) // (j + 1), initial=1)
    return list(accumulate(terms))


def whole_number(value: SupportsIndex, name: str, *, least: int) -> int:
    """`value` as a Python integer, which does not overflow; an error names `name` if it is not one, or is below `least`."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(
            f"{name}={value!r} is a {type(value).__name__}; expected an integer of at least {least}"
        ) from None
    if number < least:
        raise ValueError(f"{name}={number}; expected an integer of at least {least}")
    return number
