"""All pairs of queries and rows in pieces that fit the memory, laid out for the kernels of `actscope.codes.popcounts`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from actscope.codes.threads import spread

__all__ = ["ROW_BITS", "Tile", "require_rows", "tiles"]

ROW_BITS = 36  # a neighbour's key is distance << ROW_BITS | row: keys ascend as (distance, row) do

_BYTES_AT_A_TIME = 1 << 26
_WORDS_WORTH_A_THREAD = 1 << 24  # pairs of 32-bit words: a millisecond's worth


@dataclass(frozen=True, eq=False)
class Tile:
    """Some queries and some rows of the database, laid out for the kernels of `actscope.codes.popcounts`.

    Attributes:
        queries, rows: which they are.
        words: (n_queries, n_words) uint32, the queries.
        blocks: (n_blocks, n_words, 64) uint32, the rows.
    """

    queries: slice
    rows: slice
    words: np.ndarray
    blocks: np.ndarray

    @property
    def n_rows(self) -> int:
        """How many rows the blocks hold, padding left out."""
        return int(self.rows.stop - self.rows.start)

    def spread(self, work: Callable[[int, int], None]) -> None:
        """Call ``work`` on ranges of the queries, on several threads where that pays."""
        spread(work, len(self.words), at_least=_WORDS_WORTH_A_THREAD // max(self.blocks.size, 1) + 1)


def tiles(queries: np.ndarray, database: np.ndarray) -> Iterator[Tile]:
    """Tiles that cover all pairs, each of a size whose copy is affordable; the rows of the database ascend."""
    for rows in _ranges(database):
        blocks = _as_blocks(database[rows])
        for some in _ranges(queries):
            yield Tile(some, rows, _as_words(queries[some]), blocks)


def require_rows(**rows: np.ndarray) -> None:
    """Raise unless all are (n, n_bytes) uint8 with one n_bytes, named as the caller names them."""
    for name, array in rows.items():
        if array.ndim != 2 or array.dtype != np.uint8:
            raise ValueError(f"{name} must be (n, n_bytes) uint8; got shape {array.shape}, dtype {array.dtype}")
    widths = {name: array.shape[1] for name, array in rows.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"rows must have one length in bytes; got {widths}")


def _ranges(packed: np.ndarray) -> Iterator[slice]:
    """Slices that cover the rows, each of a size whose copy is affordable."""
    step = max(64, _BYTES_AT_A_TIME // max(packed.shape[1], 1) // 64 * 64)
    for start in range(0, len(packed), step):
        yield slice(start, min(start + step, len(packed)))


def _as_words(packed: np.ndarray) -> np.ndarray:
    """Rows of bytes as rows of 32-bit words, (n, n_words) uint32, padded with zeros; a view where that is possible."""
    n, n_bytes = packed.shape
    n_words = (n_bytes + 3) // 4
    if n_bytes % 4 == 0 and packed.flags.c_contiguous and packed.ctypes.data % 4 == 0:
        return packed.view(np.uint32)
    padded = np.zeros((n, 4 * n_words), np.uint8)
    padded[:, :n_bytes] = packed
    return padded.view(np.uint32)


def _as_blocks(packed: np.ndarray) -> np.ndarray:
    """Rows by 64, and in each block word after word: (n_blocks, n_words, 64) uint32, padded with zeros.

    It begins on a cache line, which makes loading it twice as fast.
    """
    words = _as_words(packed)
    n, n_words = words.shape
    n_blocks = (n + 63) // 64
    memory = np.zeros(n_blocks * n_words * 64 + 16, np.uint32)
    start = -memory.ctypes.data % 64 // 4
    blocks = memory[start : start + n_blocks * n_words * 64].reshape(n_blocks, n_words, 64)
    full = n // 64
    blocks[:full] = words[: full * 64].reshape(full, 64, n_words).transpose(0, 2, 1)
    if full < n_blocks:
        blocks[full, :, : n % 64] = words[full * 64 :].T
    return blocks
