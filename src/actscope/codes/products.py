"""Hamming distances on an accelerator, as integer matrix products.

With bits written as ±1, the product of two rows of K bits is K - 2 · distance. Tensor cores multiply 8-bit integers
faster than any other numbers, and their 32-bit sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from actscope.codes.tiles import ROW_BITS

__all__ = ["histogram_by_products", "nearest_by_products"]

_BYTES_AT_A_TIME = 1 << 28
_MOST_QUERIES, _MOST_ROWS = 1 << 12, 1 << 15  # half a gigabyte of distances


def nearest_by_products(
    queries: np.ndarray, database: np.ndarray, k: int, *, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """What `actscope.codes.neighbours.nearest` gives, searched on ``device``.

    Distance and row share one integer key, so that the smallest k keys are the answer, and ties are no exception.
    """
    n_bits = 8 * queries.shape[1]
    # within a block, distance * rows + row has to fit 32 bits: half as much to sort as with 64
    most_rows = min(_MOST_ROWS, (2**31 - 1) // (n_bits + 1) // 8 * 8)
    keys = np.empty((len(queries), k), np.int64)
    for some in _slices(queries, most=_MOST_QUERIES):
        signs = _signs(queries[some], device=device)
        best = torch.empty((len(signs), 0), dtype=torch.int64, device=device)
        for rows in _slices(database, most=most_rows):
            n_rows = rows.stop - rows.start
            distances = _distances(signs, _signs(database[rows], device=device))
            local = distances.mul_(n_rows).add_(torch.arange(n_rows, dtype=torch.int32, device=device))
            local = local.topk(min(k, n_rows), dim=1, largest=False, sorted=False).values.to(torch.int64)
            found = (local // n_rows << ROW_BITS) | (local % n_rows + rows.start)
            best = torch.cat([best, found], dim=1)
            best = best.topk(min(k, best.shape[1]), dim=1, largest=False).values
        keys[some] = best.cpu().numpy()
    keys.sort(axis=1)
    return (keys >> ROW_BITS).astype(np.int32), keys & ((1 << ROW_BITS) - 1)


def histogram_by_products(a: np.ndarray, b: np.ndarray | None, *, device: torch.device) -> np.ndarray:
    """What `actscope.codes.distances.hamming_histogram` gives, counted on ``device``."""
    others = a if b is None else b
    n_bits = 8 * a.shape[1]
    counts = torch.zeros(n_bits + 1, dtype=torch.int64, device=device)
    for rows in _slices(others, most=_MOST_QUERIES):
        columns = _signs(others[rows], device=device)
        for some in _slices(a, most=_MOST_QUERIES):
            if b is None and some.start > rows.start:
                continue
            distances = _distances(_signs(a[some], device=device), columns)
            if b is None and some.start == rows.start:  # both ranges are cut alike: this is the diagonal
                upper = torch.ones_like(distances, dtype=torch.bool).triu(1)
                distances = distances[upper]
            counts += torch.bincount(distances.flatten(), minlength=n_bits + 1)
    return counts.cpu().numpy()


def _slices(packed: np.ndarray, *, most: int) -> Iterator[slice]:
    """Slices that cover the rows, each of a size whose ±1 are affordable."""
    step = max(1, min(most, _BYTES_AT_A_TIME // max(8 * packed.shape[1], 1)))
    for start in range(0, len(packed), step):
        yield slice(start, min(start + step, len(packed)))


def _signs(packed: np.ndarray, *, device: torch.device) -> torch.Tensor:
    """(n, 8 * n_bytes) int8 of ±1."""
    there = torch.from_numpy(np.array(packed)).to(device)
    shifts = torch.arange(8, dtype=torch.uint8, device=device)
    bits = (there.unsqueeze(-1) >> shifts).bitwise_and_(1)
    return bits.to(torch.int8).mul_(2).sub_(1).flatten(1)


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(n_a, n_b) int32 from rows of ±1."""
    n_a, n_b, n_bits = len(a), len(b), a.shape[1]
    if not n_bits:
        return torch.zeros((n_a, n_b), dtype=torch.int32, device=a.device)
    if a.device.type in ("cpu", "cuda"):
        # cuBLAS wants more than 16 rows on one side and a multiple of 8 on the other
        a = torch.nn.functional.pad(a, (0, 0, 0, max(0, 32 - n_a)))
        b = torch.nn.functional.pad(b, (0, 0, 0, -n_b % 8))
        products = torch._int_mm(a, b.t())[:n_a, :n_b].contiguous()
    else:  # float32 holds integers up to 2 ** 24 exactly
        products = (a.float() @ b.float().t()).to(torch.int32)
    return products.neg_().add_(n_bits).bitwise_right_shift_(1)
