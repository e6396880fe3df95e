"""Compiled sums over the set bits of packed rows. See `actscope.codes.compiling`.

A matrix of bits times a few float vectors: with the bits as masks of vector additions nothing is unpacked, and with AVX-512 one
instruction adds a float to 16 sums at once. No BLAS comes near that for so few vectors, since it would first write the bits out as floats.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from actscope.codes.compiling import I64, compiled, splat

VECTORS = 5
"""How many float vectors are summed at a time: with 4 registers of sums for each, 20 of 32 registers hold sums."""
LINE = 64
"""Bytes of a row that lie together: a cache line, 512 bits."""

_LANES = 16
_MASKS = 4
_TILE_BYTES = _MASKS * _LANES // 8
_ROWS_AT_A_TIME = 512  # 32 kB of lines stay in the first-level cache while all vectors pass over them


@intrinsic  # type: ignore[untyped-decorator]
def _add_where_set(
    _: Any, bits: Any, n_rows: Any, values: Any, next_row: Any, next_vector: Any, sums: Any, next_sums: Any
) -> Any:
    """Add to 64 sums of each of 5 vectors: the vector's value of a row, where the row's bit is set."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        floats = ir.VectorType(ir.FloatType(), _LANES)
        mask = ir.VectorType(ir.IntType(1), _LANES)
        bits, n_rows, values, next_row, next_vector, sums, next_sums = arguments
        totals = [
            [cgutils.alloca_once_value(builder, ir.Constant(floats, None)) for _ in range(_MASKS)]
            for _ in range(VECTORS)
        ]

        def along(start: Any, step: Any, k: int, pointed: Any) -> Any:
            return builder.inttoptr(builder.add(start, builder.mul(step, ir.Constant(I64, k))), pointed.as_pointer())

        with cgutils.for_range(builder, n_rows) as loop:
            row = builder.add(bits, builder.mul(loop.index, ir.Constant(I64, LINE)))
            step = ir.Constant(I64, _LANES // 8)
            masks = [
                builder.bitcast(builder.load(along(row, step, k, ir.IntType(_LANES)), align=1), mask)
                for k in range(_MASKS)
            ]
            value = builder.add(values, builder.mul(loop.index, next_row))
            for vector in range(VECTORS):
                number = splat(
                    builder, builder.load(along(value, next_vector, vector, ir.FloatType()), align=4), _LANES
                )
                for k in range(_MASKS):
                    total = builder.load(totals[vector][k])
                    builder.store(builder.select(masks[k], builder.fadd(total, number), total), totals[vector][k])
        for vector in range(VECTORS):
            first = along(sums, next_sums, vector, floats)
            for k in range(_MASKS):
                at = builder.gep(first, [ir.Constant(I64, k)])
                builder.store(builder.fadd(builder.load(at, align=4), builder.load(totals[vector][k])), at, align=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), code


@compiled
def add_where_set(
    bits: int,
    next_line: int,
    n_rows: int,
    n_columns: int,
    values: int,
    next_row: int,
    next_vector: int,
    n_vectors: int,
    sums: int,
    next_sums: int,
) -> None:
    """sums[v, j] += Σ_i values[v, i] · bit[i, j], for columns j < n_columns rounded up to 64.

    Columns lie in lines of 512: the first line of every row, one row after the other, then, ``next_line`` bytes from the first, the
    second line of every row. Rows are summed in portions, so that float32 rounding grows slowly with their number. ``n_vectors`` is a
    multiple of 5.
    """
    for column in range(0, n_columns, 8 * LINE):
        line = bits + column // (8 * LINE) * next_line
        n_bytes = min(LINE, (n_columns - column + 7) // 8)
        for start in range(0, n_rows, _ROWS_AT_A_TIME):
            some = min(_ROWS_AT_A_TIME, n_rows - start)
            for vector in range(0, n_vectors, VECTORS):
                for tile in range(0, n_bytes, _TILE_BYTES):
                    _add_where_set(
                        line + start * LINE + tile,
                        some,
                        values + start * next_row + vector * next_vector,
                        next_row,
                        next_vector,
                        sums + vector * next_sums + 4 * column + 32 * tile,
                        next_sums,
                    )
