"""Products of sparse examples with a wide kernel, which a dense product of the zeros too would take longer for.

PyTorch's own sparse products take one row of the kernel at a time from memory and write the gradient as many times as an input occurs;
these keep a strip of the sum in registers, and write every row of the gradient once. Import this inside the function that needs it: it
imports numba. Arrays are numpy's, C-contiguous. Examples are rows in compressed form: those of example i are the entries from
`starts[i]` to `starts[i + 1]`, each a column and a value.
"""

from __future__ import annotations

import numpy as np

from actscope.training.stacking.compiling import compiled
from actscope.training.stacking.rowsums import VECTOR_BYTES, add_strip_1, add_strip_2, add_strip_6

__all__ = ["add_up", "compress", "count", "gather", "gather_by_input"]


@compiled
def add_up(starts: np.ndarray, places: np.ndarray, values: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """out[i] = Σ values[k] · table[places[k]] over the entries k of row i.

    Args:
        starts: (n_rows + 1,) int64.
        places: (n_entries,) int32, rows of the table.
        values: (n_entries,) floating.
        table: (n, width); a row is some whole vectors of `VECTOR_BYTES`.
        out: (n_rows, width), overwritten.
    """
    width = table.shape[1]
    lanes = VECTOR_BYTES // table.itemsize
    numbers, totals = table.reshape(-1), out.reshape(-1)
    at = 0
    # a strip of the table stays in the cache while all rows go over it
    while at < width:
        left = (width - at) // lanes
        for i in range(out.shape[0]):
            first, last, to = starts[i], starts[i + 1], i * width + at
            if left >= 6:
                add_strip_6(values, places, first, last, numbers, at, width, totals, to)
            elif left >= 2:
                add_strip_2(values, places, first, last, numbers, at, width, totals, to)
            else:
                add_strip_1(values, places, first, last, numbers, at, width, totals, to)
        at += lanes * (6 if left >= 6 else 2 if left >= 2 else 1)


@compiled
def count(x: np.ndarray, of_rows: np.ndarray, of_columns: np.ndarray) -> None:
    """Adds the number of values that are not zero to `of_rows` and `of_columns`, int64; NaN is not zero."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            is_there = x[i, j] != 0
            of_rows[i] += is_there
            of_columns[j] += is_there


@compiled
def compress(x: np.ndarray, places: np.ndarray, starts: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
    """Fills the compressed rows of `x`, which begin at `starts`; column j is called `places[j]`, (n_inputs,) int32.

    Columns and values must have room for one entry more, which is left undefined.
    """
    for i in range(x.shape[0]):
        k = starts[i]
        for j in range(x.shape[1]):
            # written without asking: what is zero is written over, which is faster than guessing wrong
            columns[k], values[k] = places[j], x[i, j]
            k += x[i, j] != 0


@compiled
def gather(
    starts: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    batch_starts: np.ndarray,
    batch_columns: np.ndarray,
    batch_values: np.ndarray,
) -> None:
    """The examples `rows`, (n_rows,) int64, as rows in compressed form; the last three arrays are filled and must be large enough."""
    filled = 0
    for b in range(rows.shape[0]):
        batch_starts[b] = filled
        for k in range(starts[rows[b]], starts[rows[b] + 1]):
            batch_columns[filled] = columns[k]
            batch_values[filled] = values[k]
            filled += 1
    batch_starts[rows.shape[0]] = filled


@compiled
def gather_by_input(
    batch_starts: np.ndarray,
    batch_columns: np.ndarray,
    batch_values: np.ndarray,
    starts: np.ndarray,
    examples: np.ndarray,
    values: np.ndarray,
) -> None:
    """A batch turned round: for input i, entries `starts[i]` to `starts[i + 1]` are the examples where it is not zero, and its values."""
    n_inputs = starts.shape[0] - 1
    starts[:] = 0
    n_examples = batch_starts.shape[0] - 1
    for k in range(batch_starts[n_examples]):
        starts[batch_columns[k] + 1] += 1
    for i in range(n_inputs):
        starts[i + 1] += starts[i]
    for b in range(n_examples):
        for k in range(batch_starts[b], batch_starts[b + 1]):
            column = batch_columns[k]
            place = starts[column]
            examples[place] = b
            values[place] = batch_values[k]
            starts[column] = place + 1
    # each start has moved on to the next one's
    for i in range(n_inputs, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0
