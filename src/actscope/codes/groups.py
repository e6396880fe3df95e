"""Which rows of packed bits are equal, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actscope.codes.threads import spread

__all__ = ["Groups", "count_distinct", "distinct"]

_BYTES_WORTH_A_THREAD = 1 << 22


@dataclass(frozen=True, eq=False, repr=False)
class Groups:
    """Groups of equal rows, in the order in which they first occur.

    Attributes:
        first: (n_groups,) int64, the first row of each group, ascending.
        inverse: (n_rows,) int64, the group of each row: ``packed[first][inverse]`` is ``packed``.
        counts: (n_groups,) int64, how many rows each group has.
    """

    first: np.ndarray
    inverse: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        """The number of groups."""
        return len(self.first)

    def __repr__(self) -> str:
        largest = int(self.counts.max(initial=0))
        return f"Groups({len(self)} distinct among {len(self.inverse)} rows, the largest has {largest})"

    def to_dict(self) -> dict[str, list[int]]:
        """The three arrays as lists."""
        return {"first": self.first.tolist(), "inverse": self.inverse.tolist(), "counts": self.counts.tolist()}


def distinct(packed: np.ndarray) -> Groups:
    """The groups of equal rows.

    Rows meet in a hash table, and rows of equal hash are then compared byte by byte: the answer never rests on the hash.

    Args:
        packed: (n_rows, n_bytes) uint8. Rows may be apart in memory, as a site's columns of a larger table are.

    Raises:
        ValueError: if ``packed`` is not a matrix of uint8.

    Example:
        >>> groups = distinct(np.array([[7], [5], [7], [7]], np.uint8))
        >>> groups
        Groups(2 distinct among 4 rows, the largest has 3)
        >>> groups.first, groups.inverse, groups.counts
        (array([0, 1]), array([0, 1, 0, 0]), array([3, 1]))
    """
    packed = _rows(packed)
    return _grouped(packed, _hashes(packed))


def count_distinct(packed: np.ndarray) -> int:
    """How many different rows there are: ``len(distinct(packed))``, in less time.

    Example:
        >>> count_distinct(np.array([[7], [5], [7], [7]], np.uint8))
        2
    """
    packed = _rows(packed)
    n_rows, n_bytes = packed.shape
    if n_bytes <= 8:
        words = np.zeros((n_rows, 8), np.uint8)
        words[:, :n_bytes] = packed
        values = np.sort(words.view(np.uint64)[:, 0])
        return int(np.count_nonzero(values[1:] != values[:-1]) + min(n_rows, 1))
    return len(_grouped(packed, _hashes(packed)))


def _rows(packed: np.ndarray) -> np.ndarray:
    if packed.ndim != 2 or packed.dtype != np.uint8:
        raise ValueError(f"packed must be (n_rows, n_bytes) uint8; got shape {packed.shape}, dtype {packed.dtype}")
    return packed if packed.shape[1] <= 1 or packed.strides[1] == 1 else np.ascontiguousarray(packed)


def _hashes(packed: np.ndarray) -> np.ndarray:
    """(n_rows,) uint64: equal rows have equal hashes."""
    from actscope.codes.rowscans import hash_rows

    n_rows, n_bytes = packed.shape
    hashes = np.empty(n_rows, np.uint64)

    def work(first: int, last: int) -> None:
        hash_rows(packed.ctypes.data, packed.strides[0], n_bytes, first, last, hashes)

    spread(work, n_rows, at_least=_rows_worth_a_thread(n_bytes))
    return hashes


def _grouped(packed: np.ndarray, hashes: np.ndarray) -> Groups:
    """The groups of equal rows, whatever the hashes are worth."""
    from actscope.codes.rowscans import all_like_the_first, group_by_hash

    n_rows, n_bytes = packed.shape
    table = np.zeros(2 << n_rows.bit_length(), np.uint64)
    first, inverse, counts = (np.empty(n_rows, np.int64) for _ in range(3))
    n_groups = group_by_hash(hashes, table, first, inverse, counts)
    equal = []

    def work(start: int, stop: int) -> None:
        equal.append(all_like_the_first(packed.ctypes.data, packed.strides[0], n_bytes, first, inverse, start, stop))

    spread(work, n_rows, at_least=_rows_worth_a_thread(n_bytes))
    if not all(equal):  # different rows of equal hash, which hardly ever happens
        return _grouped_in_a_dictionary(packed)
    return Groups(first[:n_groups].copy(), inverse, counts[:n_groups].copy())


def _grouped_in_a_dictionary(packed: np.ndarray) -> Groups:
    numbers: dict[bytes, int] = {}
    inverse = np.fromiter((numbers.setdefault(row.tobytes(), len(numbers)) for row in packed), np.int64, len(packed))
    first = np.full(len(numbers), len(packed))
    np.minimum.at(first, inverse, np.arange(len(packed)))
    return Groups(first, inverse, np.bincount(inverse, minlength=len(numbers)))


def _rows_worth_a_thread(n_bytes: int) -> int:
    return _BYTES_WORTH_A_THREAD // max(n_bytes, 1) + 1
