"""Sums of scaled rows of a table, a strip of columns at a time, held in registers: what LLVM does not find in a loop by itself.

Import this inside the function that needs it: it imports numba. numba keeps compiled loops until their own file changes, so after an
edit here, touch `sparseproducts`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from actscope.codes.compiling import I64, splat

__all__ = ["VECTOR_BYTES", "add_strip_1", "add_strip_2", "add_strip_6"]

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


add_strip_1, add_strip_2, add_strip_6 = _adder(1), _adder(2), _adder(6)
