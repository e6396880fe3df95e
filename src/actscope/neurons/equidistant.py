"""Codes in which every two different intervals of a neuron are equally far apart, so that Hamming distances count neurons."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actscope.codes import Site

__all__ = ["bits_apart", "equidistant"]

_BYTES_AT_A_TIME = 1 << 22


def bits_apart(sites: Sequence[Site]) -> int:
    """In how many bits of an `equidistant` code two different intervals differ: 1 if every site has one breakpoint, else 2."""
    return 1 if all(site.n_planes == 1 for site in sites) else 2


def equidistant(packed: NDArray[np.uint8], sites: Sequence[Site]) -> NDArray[np.uint8]:
    """Rows whose Hamming distance is the number of neurons that differ, times `bits_apart`.

    A thermometer code puts intervals 0 and 3 three bits apart, but for pattern similarity a neuron only agrees or differs. Four words of
    three bits, {000, 101, 011, 110}, are all two apart (a simplex code): they hold up to three breakpoints in no more room than the
    thermometer. More breakpoints take one bit an interval. Planes are combined as they lie, byte by byte.

    Args:
        packed: (n_examples, n_bytes) uint8, thermometer codes.
        sites: what the bytes mean.

    Returns:
        (n_examples, m) uint8; `packed` itself if every site has one breakpoint.

    Example:
        >>> site = Site("tanh", "tanh", (1,), (-0.5, 0.0, 0.5))
        >>> equidistant(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], np.uint8), [site])
        array([[0, 0, 0],
               [0, 1, 1],
               [1, 0, 1],
               [1, 1, 0]], dtype=uint8)
    """
    if bits_apart(sites) == 1:
        return packed
    widths = [site.bytes_per_plane * _n_planes(site) for site in sites]
    out = np.empty((len(packed), sum(widths)), np.uint8)
    step = max(1, _BYTES_AT_A_TIME // max(packed.shape[1], 1))
    for first in range(0, len(packed), step):
        some = slice(first, first + step)
        start = at = 0
        for site, width in zip(sites, widths, strict=True):
            if site.n_planes:
                planes = np.split(packed[some, start : start + site.n_bytes], site.n_planes, axis=1)
                np.concatenate(_recoded(planes), axis=1, out=out[some, at : at + width])
            start, at = start + site.n_bytes, at + width
    return out


def _n_planes(site: Site) -> int:
    return {0: 0, 1: 2, 2: 3, 3: 3}.get(site.n_planes, site.n_planes + 1)


def _recoded(planes: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    if len(planes) == 1:
        return planes * 2
    if len(planes) == 2:
        return [planes[1], planes[0], planes[0] ^ planes[1]]
    if len(planes) == 3:
        odd = planes[0] ^ planes[1] ^ planes[2]
        return [planes[1], odd, odd ^ planes[1]]
    # padding becomes 1 in the lowest interval, in all rows alike
    return [~planes[0], *(low & ~high for low, high in itertools.pairwise(planes)), planes[-1]]
