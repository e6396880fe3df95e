"""Hamming distances between rows of packed bits, counted exactly in bounded memory."""

from __future__ import annotations

import threading

import numpy as np
import torch

from actscope.codes.tiles import Tile, require_rows, tiles
from actscope.devices import device_of

__all__ = ["hamming", "hamming_histogram"]


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distances of all rows of ``a`` to all rows of ``b``: in how many bits they differ.

    Over the planes of several breakpoints this counts the breakpoints between two codes. Padding bits are zero in every
    row and add nothing. The result is written out in full; for many rows see `hamming_histogram`, and `nearest` in
    `actscope.codes.neighbours`.

    Args:
        a: (n_a, n_bytes) uint8.
        b: (n_b, n_bytes) uint8.

    Returns:
        (n_a, n_b) int32.

    Raises:
        ValueError: if ``a`` and ``b`` are not matrices of uint8 with rows of one length.

    Example:
        >>> hamming(np.array([[0b000], [0b111]], np.uint8), np.array([[0b001], [0b111]], np.uint8))
        array([[1, 3],
               [2, 0]], dtype=int32)
    """
    require_rows(a=a, b=b)
    distances = np.empty((len(a), len(b)), np.int32)
    for tile in tiles(a, b):
        _write(tile, distances[tile.queries, tile.rows])
    return distances


def hamming_histogram(
    a: np.ndarray, b: np.ndarray | None = None, *, device: torch.device | str | None = None
) -> np.ndarray:
    """How many pairs of rows are at each distance, ``counts[d]``.

    Args:
        a: (n_a, n_bytes) uint8.
        b: (n_b, n_bytes) uint8, for the n_a * n_b pairs of a row of each; without it the n_a (n_a - 1) / 2 pairs of two
            rows of ``a``.
        device: an accelerator to count on; the CPU by default.

    Returns:
        (8 * n_bytes + 1,) int64.

    Raises:
        ValueError: if ``a`` and ``b`` are not matrices of uint8 with rows of one length.

    Example:
        >>> hamming_histogram(np.array([[0b000], [0b001], [0b111]], np.uint8))
        array([0, 1, 1, 1, 0, 0, 0, 0, 0])
    """
    others = a if b is None else b
    require_rows(a=a, b=others)
    if device is not None and device_of(device).type != "cpu":
        from actscope.codes.products import histogram_by_products

        return histogram_by_products(a, b, device=device_of(device))
    counts = np.zeros(8 * a.shape[1] + 1, np.int64)
    for tile in tiles(a, others):
        if b is not None:
            _count(tile, counts, offset=len(tile.words))
        elif tile.queries.start < tile.rows.stop:
            _count(tile, counts, offset=tile.rows.start - tile.queries.start)
    return counts


def _write(tile: Tile, out: np.ndarray) -> None:
    from actscope.codes.popcounts import write_distances

    def work(first: int, last: int) -> None:
        blocks, words = tile.blocks.ctypes.data, tile.words.ctypes.data
        n_words = tile.words.shape[1]
        write_distances(blocks, tile.n_rows, words, first, last, n_words, out.ctypes.data, out.strides[0])

    tile.spread(work)


def _count(tile: Tile, counts: np.ndarray, *, offset: int) -> None:
    from actscope.codes.popcounts import count_distances

    adding = threading.Lock()

    def work(first: int, last: int) -> None:
        blocks, words = tile.blocks.ctypes.data, tile.words.ctypes.data
        found = np.zeros((len(counts), 4), np.int64)
        count_distances(blocks, tile.n_rows, words, first, last, tile.words.shape[1], offset, found)
        with adding:
            counts[:] += found.sum(axis=1)

    tile.spread(work)
