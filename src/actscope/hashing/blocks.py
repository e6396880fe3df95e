"""Ranges of rows that are worked on at a time, side by side on several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from actscope.codes.threads import spread
from actscope.hashing.bitmatrix import LINE_BITS

__all__ = ["Block", "row_blocks", "spread_blocks"]

Block: TypeAlias = tuple[int, int]
"""First row and end of a range."""

_MOST_ROWS = 4 * LINE_BITS
_MOST_BITS = 1 << 28
_FEATURES_WORTH_A_THREAD = 1 << 21
_MANY_BYTES = 1 << 24


def row_blocks(n_rows: int, n_features: int, *, whole: bool = False) -> list[Block]:
    """Ranges that cover the rows and begin at multiples of 512, so small that what is computed for one stays in the cache; or one range.

    Example:
        >>> row_blocks(5000, 1000), row_blocks(1200, 1_000_000)
        ([(0, 2048), (2048, 4096), (4096, 5000)], [(0, 512), (512, 1024), (1024, 1200)])
    """
    if whole:
        return [(0, n_rows)] if n_rows else []
    step = min(_MOST_ROWS, max(1, _MOST_BITS // (max(n_features, 1) * LINE_BITS)) * LINE_BITS)
    return [(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def spread_blocks(
    work: Callable[[int, int], None], blocks: Sequence[Block], n_features: int, *, bytes_per_call: int = 0
) -> None:
    """Call `work(first, last)` on ranges of blocks that cover them all, on several threads where that pays.

    Where a call leaves much behind, there is one for each thread; else there are a few, for cores that others use too.
    """
    n_rows = sum(stop - start for start, stop in blocks) // max(len(blocks), 1)
    at_least = _FEATURES_WORTH_A_THREAD // max(n_rows * n_features, 1) + 1
    if bytes_per_call > _MANY_BYTES:
        at_least = max(at_least, -(-len(blocks) // torch.get_num_threads()))
    spread(work, len(blocks), at_least=at_least)
