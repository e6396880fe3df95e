"""How many examples have each neuron in each of its intervals, counted on packed codes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actscope.codes.site import Site
from actscope.codes.threads import spread

__all__ = ["count_bits", "interval_counts", "require_thermometer"]

_BYTES_WORTH_A_THREAD = 1 << 22


def count_bits(packed: NDArray[np.uint8], rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """In how many rows each bit is set, padding included, (8 * n_bytes,) int64.

    Args:
        packed: (n_examples, n_bytes) uint8. Rows may be apart in memory, as a site's columns of a larger table are.
        rows: positions of the rows to count; all by default.

    Example:
        >>> count_bits(np.array([[0b011], [0b001]], np.uint8))
        array([2, 1, 0, 0, 0, 0, 0, 0])
    """
    from actscope.neurons.bitcounts import count_set_bits

    if rows is not None:
        step = _rows_at_a_time(packed.shape[1])
        parts = (count_bits(packed[rows[start : start + step]]) for start in range(0, len(rows), step))
        return sum(parts, np.zeros(8 * packed.shape[1], np.int64))
    if packed.shape[1] > 1 and packed.strides[1] != 1:
        packed = np.ascontiguousarray(packed)
    n_rows, n_bytes = packed.shape
    counts = np.zeros(8 * n_bytes, np.int64)
    adding = threading.Lock()

    def work(first: int, last: int) -> None:
        found = np.zeros(8 * n_bytes, np.int64)
        count_set_bits(packed.ctypes.data, packed.strides[0], n_bytes, first, last, found)
        with adding:
            counts[:] += found

    spread(work, n_rows, at_least=_BYTES_WORTH_A_THREAD // max(n_bytes, 1) + 1)
    return counts


def interval_counts(bit_counts: NDArray[np.int64], sites: Sequence[Site], n_examples: int) -> list[NDArray[np.int64]]:
    """For each site, how many examples have each neuron in each interval, (n_intervals, n_neurons) int64.

    Of thermometer bits, [z > γi] - [z > γi+1] tells interval i: differences of the planes' counts are all that is needed.

    Args:
        bit_counts: what `count_bits` gives for the sites' bytes.
        sites: the sites, in the order of their bytes.
        n_examples: how many examples were counted.

    Example:
        >>> site = Site("tanh", "tanh", (1,), (-0.5, 0.5))
        >>> bits = np.array([[0, 0], [1, 0], [1, 0], [1, 1]], np.uint8)
        >>> interval_counts(count_bits(bits), [site], n_examples=4)
        [array([[1],
               [2],
               [1]])]
    """
    found = []
    start = 0
    for site in sites:
        planes = bit_counts[start : start + 8 * site.n_bytes].reshape(site.n_planes, 8 * site.bytes_per_plane)[
            :, : site.n_neurons
        ]
        above = np.zeros(
            (site.n_planes + 2, site.n_neurons), np.int64
        )  # examples above γi; all are above -∞, none above ∞
        above[0], above[1:-1] = n_examples, planes
        found.append(above[:-1] - above[1:])
        start += 8 * site.n_bytes
    return found


def require_thermometer(packed: NDArray[np.uint8], sites: Sequence[Site]) -> None:
    """Raise unless every bit z > γi+1 comes with z > γi.

    Raises:
        ValueError: if a neuron is above a breakpoint and not above a smaller one, which no pre-activation is.
    """
    start = 0
    for site in sites:
        size = site.bytes_per_plane
        for plane in range(1, site.n_planes):
            lower = packed[:, start + (plane - 1) * size : start + plane * size]
            upper = packed[:, start + plane * size : start + (plane + 1) * size]
            for row in range(0, len(packed), _rows_at_a_time(size)):
                some = slice(row, row + _rows_at_a_time(size))
                if np.any(upper[some] & ~lower[some]):
                    raise ValueError(
                        f"site {site.name!r} has a neuron above breakpoint {site.breakpoints[plane]:g} but not above "
                        f"{site.breakpoints[plane - 1]:g}: its planes are no thermometer code; plane i holds the bits z > γi, γ ascending"
                    )
        start += site.n_bytes


def _rows_at_a_time(n_bytes: int) -> int:
    return max(1, _BYTES_WORTH_A_THREAD // max(n_bytes, 1))
