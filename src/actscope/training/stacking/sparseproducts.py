"""Products of sparse examples with a wide kernel, which a dense product of the zeros too would take longer for.

PyTorch's own sparse products take one row of the kernel at a time from memory and write the gradient as many times as an input occurs;
these keep a strip of a sum in registers, which LLVM does not find in a loop by itself, and write every row of the gradient once. Import
this inside the function that needs it: it imports numba. Arrays are numpy's, C-contiguous. Examples are rows in compressed form: those of
example i are the entries from `starts[i]` to `starts[i + 1]`, each a column and a value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from actscope.codes.compiling import I64, splat
from actscope.training.stacking.compiling import compiled

__all__ = ["VECTOR_BYTES", "add_up", "compress", "count", "gather", "gather_by_input"]


VECTOR_BYTES = 64
"""Of a vector; a strip is one, two or six of them wide. Processors with shorter ones take several."""


def _adder(n_vectors: int) -> Any:
    """What compiled loops call as `add(values, places, first, last, table, at, width, out, to)`; arrays are one-dimensional.

    It writes Σ values[k] · table[places[k] · width + at + j], over k from `first` to `last`, to out[to + j], for every j of the strip.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def add(
        _: Any, values: Any, places: Any, first: Any, last: Any, table: Any, at: Any, width: Any, out: Any, to: Any
    ) -> Any:
        n_bytes = values.dtype.bitwidth // 8
        lanes = VECTOR_BYTES // n_bytes

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def pointer(i: int) -> Any:
                return context.make_array(signature.args[i])(context, builder, arguments[i]).data

            values, places, table, out = (pointer(i) for i in (0, 1, 4, 7))
            first, last, at, width, to = (arguments[i] for i in (2, 3, 5, 6, 8))
            vector = ir.VectorType(context.get_data_type(signature.args[0].dtype), lanes)

            def vectors(base: Any, start: Any) -> list[Any]:
                places = [builder.add(start, I64(i * lanes)) for i in range(n_vectors)]
                return [builder.bitcast(builder.gep(base, [place]), vector.as_pointer()) for place in places]

            totals = [cgutils.alloca_once_value(builder, vector([0.0] * lanes)) for _ in range(n_vectors)]
            with cgutils.for_range(builder, builder.sub(last, first)) as loop:
                k = builder.add(first, loop.index)
                scale = splat(builder, builder.load(builder.gep(values, [k])), lanes)
                row = builder.sext(builder.load(builder.gep(places, [k])), I64)
                start = builder.add(builder.mul(row, width), at)
                for total, place in zip(totals, vectors(table, start), strict=True):
                    product = builder.fmul(scale, builder.load(place, align=n_bytes), flags=("contract",))
                    builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
            for total, place in zip(totals, vectors(out, to), strict=True):
                builder.store(builder.load(total), place, align=n_bytes)
            return context.get_dummy_value()

        return types.void(values, places, first, last, table, at, width, out, to), code

    return add


# in this file, since numba keeps what it compiled until the content of a loop's own file changes
add_strip_1, add_strip_2, add_strip_6 = _adder(1), _adder(2), _adder(6)


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
