"""Compiled counts of the bits that are set in each column of packed rows. See `actscope.codes.compiling`.

A word of 64 bits is a mask of 64 lanes of bytes, and with AVX-512 one instruction raises the 64 counters whose bit is set. Counters of a
byte hold 255 rows; then they are added to wide ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from actscope.codes.compiling import I8, I64, compiled, load_u8

_LANES = 64
_MOST_ROWS = 255


@intrinsic  # type: ignore[untyped-decorator]
def _room_for_counters(_: Any) -> Any:
    """Address of 64 bytes on the stack."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room = cgutils.alloca_once(builder, ir.ArrayType(I8, _LANES))
        room.align = _LANES
        return builder.ptrtoint(room, I64)

    return types.intp(), code


@intrinsic  # type: ignore[untyped-decorator]
def _count_word(_: Any, word: Any, stride: Any, n_rows: Any, out: Any) -> Any:
    """Write, for each of the 64 bits at ``word``, in how many of at most 255 rows it is set."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        mask, counters = ir.VectorType(ir.IntType(1), _LANES), ir.VectorType(I8, _LANES)
        word, stride, n_rows, out = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(counters, None))
        with cgutils.for_range(builder, n_rows) as loop:
            at = builder.add(word, builder.mul(loop.index, stride))
            bits = builder.bitcast(builder.load(builder.inttoptr(at, I64.as_pointer()), align=1), mask)
            set_bits = builder.sext(bits, counters)  # -1 where set
            builder.store(builder.sub(builder.load(total), set_bits), total)
        builder.store(builder.load(total), builder.inttoptr(out, counters.as_pointer()), align=_LANES)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), code


@compiled
def count_set_bits(packed: int, stride: int, n_bytes: int, first: int, last: int, counts: np.ndarray) -> None:
    """Add to ``counts``, (8 * n_bytes,) int64, in how many of the rows from ``first`` up to ``last`` each bit is set."""
    counters = _room_for_counters()
    for start in range(first, last, _MOST_ROWS):
        n_rows = min(_MOST_ROWS, last - start)
        at = packed + start * stride
        byte = 0
        while byte + 8 <= n_bytes:
            _count_word(at + byte, stride, n_rows, counters)
            for lane in range(_LANES):
                counts[8 * byte + lane] += load_u8(counters + lane)
            byte += 8
        while byte < n_bytes:
            for row in range(n_rows):
                value = np.int64(load_u8(at + row * stride + byte))
                for bit in range(8):
                    counts[8 * byte + bit] += (value >> bit) & 1
            byte += 1
