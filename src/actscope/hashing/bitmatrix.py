"""Packed bits as a matrix of zeros and ones, for products with a few float vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actscope.codes.bits import pack_bits, unpack_bits
from actscope.codes.threads import spread

__all__ = ["LINE_BITS", "BitMatrix", "most_rows", "varying_bits"]

LINE_BITS = 512
"""Bits that lie together in memory, a cache line. Ranges of rows begin at multiples of it."""

_BITS_WORTH_A_THREAD = 1 << 22


@dataclass(frozen=True, eq=False)
class BitMatrix:
    """Some columns of packed rows as a matrix X of zeros and ones, kept twice: row by row and column by column.

    Attributes:
        packed: (n_rows, n_bytes) uint8.
        columns: (n_features,) positions of the bits that are used.
        by_row: (n_features / 512, n_rows, 64) uint8, both rounded up: the used bits, 512 of a row together.
        by_column: (n_rows / 512, n_features, 64) uint8, rounded up: 512 rows of a column together.
    """

    on_device: ClassVar[bool] = False
    packed: np.ndarray
    columns: NDArray[np.int64]
    by_row: NDArray[np.uint8]
    by_column: NDArray[np.uint8]

    @classmethod
    def of(cls, packed: np.ndarray, columns: NDArray[np.int64]) -> BitMatrix:
        """The matrix of some bits of (n_rows, n_bytes) uint8; columns ascend."""
        n, d = len(packed), len(columns)
        by_row = np.zeros((-(-d // LINE_BITS), n, LINE_BITS // 8), np.uint8)
        by_column = np.zeros((-(-n // LINE_BITS), d, LINE_BITS // 8), np.uint8)

        def work(first: int, last: int) -> None:
            for group in range(first, last):
                rows = slice(group * LINE_BITS, min((group + 1) * LINE_BITS, n))
                for line, start in enumerate(range(0, d, LINE_BITS)):  # a square of bits is turned in the cache
                    some = slice(start, min(start + LINE_BITS, d))
                    bits = _chosen(packed[rows], columns[some])
                    by_row[line, rows, : -(-bits.shape[1] // 8)] = pack_bits(bits)
                    by_column[group, some, : -(-bits.shape[0] // 8)] = pack_bits(np.ascontiguousarray(bits.T))

        spread(work, len(by_column), at_least=_BITS_WORTH_A_THREAD // (LINE_BITS * max(d, 1)) + 1)
        return cls(packed, columns, by_row, by_column)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.packed)

    @property
    def n_features(self) -> int:
        """How many columns there are."""
        return len(self.columns)

    def dots(self, weights: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Dot products of vectors (k, n_features) with the rows from start, a multiple of 512, up to stop: (k, stop - start)."""
        return _products(weights, self.by_column[start // LINE_BITS : -(-stop // LINE_BITS)], stop - start)

    def sums(self, coefficients: NDArray[np.float32], positions: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Sums of the rows at some positions, each times its coefficient (k, n_positions): (k, n_features)."""
        lines = self.by_row[:, positions] if isinstance(positions, slice) else np.take(self.by_row, positions, axis=1)
        return _products(coefficients, lines, self.n_features)

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows as floats, (n_positions, n_features)."""
        return _chosen(self.packed[positions], self.columns).astype(np.float32)

    def squared_norms(self) -> NDArray[np.float64]:
        """How many bits are set in each row, (n_rows,)."""
        return np.asarray(self.dots(np.ones((1, self.n_features), np.float32), 0, self.n_rows)[0], np.float64)


def varying_bits(packed: np.ndarray) -> NDArray[np.int64]:
    """Positions of the bits that are not the same in every row of (n, n_bytes) uint8; padding never is among them.

    Example:
        >>> varying_bits(np.array([[0b0101], [0b0110]], np.uint8))
        array([0, 1])
    """
    some, every = np.bitwise_or.reduce(packed, axis=0), np.bitwise_and.reduce(packed, axis=0)
    return np.flatnonzero(np.unpackbits(some & ~every, bitorder="little"))


def most_rows(n_bits: int, max_bytes: int) -> int:
    """The largest number of codes with so many varying bits for which a `BitMatrix` stays within `max_bytes`.

    Example:
        >>> most_rows(1000, 1 << 30), most_rows(100_000, 1 << 30), most_rows(1_000_000, 1 << 30)
        (4194304, 42799, 4293)
    """
    line_bytes = LINE_BITS // 8 * -(-max(n_bits, 1) // LINE_BITS)
    return max(max_bytes // (2 * line_bytes), 1)


def _chosen(packed: np.ndarray, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The bits at ascending positions, (n_rows, n_columns)."""
    if len(columns) == 0:
        return np.zeros((len(packed), 0), bool)
    start, stop = columns[0] // 8, columns[-1] // 8 + 1
    bits = unpack_bits(packed[:, start:stop], 8 * int(stop - start))
    return bits if len(columns) == bits.shape[1] else np.take(bits, columns - 8 * start, axis=1)


def _products(values: NDArray[np.float32], lines: NDArray[np.uint8], n_columns: int) -> NDArray[np.float32]:
    """Vectors (k, m) times the matrix whose row i is the bits of lines[:, i], one line after the other: (k, n_columns)."""
    from actscope.hashing.bitsums import VECTORS, add_where_set

    k, m = values.shape
    padded = np.ascontiguousarray(values)
    if k % VECTORS:
        padded = np.concatenate([padded, np.zeros((-k % VECTORS, m), np.float32)])
    sums = np.zeros((len(padded), len(lines) * LINE_BITS), np.float32)
    add_where_set(
        lines.ctypes.data,
        lines.strides[0],
        m,
        n_columns,
        padded.ctypes.data,
        padded.strides[1],
        padded.strides[0],
        len(padded),
        sums.ctypes.data,
        sums.strides[0],
    )
    return sums[:k, :n_columns]
