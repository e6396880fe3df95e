"""The nearest rows of packed bits in Hamming distance, exactly, ties included."""

from __future__ import annotations

import numpy as np
import torch

from actscope.codes.tiles import ROW_BITS, Tile, require_rows, tiles
from actscope.devices import device_of

__all__ = ["nearest"]


def nearest(
    queries: np.ndarray, database: np.ndarray, k: int, *, device: torch.device | str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of ``database`` to each query, nearest first; of rows equally far, the smaller row first.

    Ties are everywhere among binary codes, and which tied row is taken moves results, so the order is the same on every
    device.

    Args:
        queries: (n_queries, n_bytes) uint8.
        database: (n_rows, n_bytes) uint8.
        k: at most n_rows.
        device: an accelerator to search on; the CPU by default.

    Returns:
        (n_queries, k) int32 distances and (n_queries, k) int64 rows.

    Raises:
        ValueError: if ``queries`` and ``database`` are not matrices of uint8 with rows of one length, or k is not in
            1 … n_rows.

    Example:
        >>> database = np.array([[0b111], [0b001], [0b000], [0b001]], np.uint8)
        >>> distances, rows = nearest(np.array([[0b000]], np.uint8), database, 3)
        >>> distances, rows
        (array([[0, 1, 1]], dtype=int32), array([[2, 1, 3]]))
    """
    require_rows(queries=queries, database=database)
    if not 1 <= k <= len(database):
        raise ValueError(f"k={k}, but the database has {len(database)} rows: k must be in 1 … {len(database)}")
    if device is not None and device_of(device).type != "cpu":
        from actscope.codes.products import nearest_by_products

        return nearest_by_products(queries, database, k, device=device_of(device))
    keys = np.full((len(queries), k), np.iinfo(np.int64).max)
    for tile in tiles(queries, database):
        _keep_nearest(tile, keys[tile.queries])
    keys.sort(axis=1)
    return (keys >> ROW_BITS).astype(np.int32), keys & ((1 << ROW_BITS) - 1)


def _keep_nearest(tile: Tile, keys: np.ndarray) -> None:
    from actscope.codes.popcounts import keep_nearest

    def work(first: int, last: int) -> None:
        blocks, words = tile.blocks.ctypes.data, tile.words.ctypes.data
        keep_nearest(blocks, tile.n_rows, tile.rows.start, words, first, last, tile.words.shape[1], keys)

    tile.spread(work)
