"""What the compiled loops of this folder share: how they are compiled, and the memory access that NumPy lacks.

NumPy and torch have no pass that compares floats and packs the answers, and none that counts differing bits without
writing them down first. `actscope.codes.rowscans` and `actscope.codes.popcounts` do. Import them inside the function
that needs them: they import numba.

Their kernels take addresses instead of arrays. One compilation then serves writable and read-only, contiguous and
strided memory, and a loop over rows counts no references. The caller keeps the arrays alive and vouches for the sizes.
Kernels release the GIL and start no threads of their own: see `actscope.codes.threads`. numba keeps compiled kernels
until the content of their own file changes, so an edit here takes effect with an edit there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def compiled(kernel: Callable[P, R]) -> Callable[P, R]:
    """The kernel, compiled when it is first called; the machine code is kept on disk for the next process."""
    try:
        fast = numba.njit(cache=True, nogil=True)(kernel)
    except RuntimeError:  # numba found no folder that it may write to: every process then compiles anew
        fast = numba.njit(nogil=True)(kernel)
    return cast(Callable[P, R], fast)


def splat(builder: Any, scalar: Any, n_lanes: int) -> Any:
    """A vector that holds the scalar in every lane."""
    nothing = ir.Constant(ir.VectorType(scalar.type, n_lanes), ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, n_lanes), None))


def loader(llvm_type: Any, numba_type: Any) -> Any:
    def typed(_: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], llvm_type.as_pointer()), align=1)

        return numba_type(types.intp), code

    return intrinsic(typed)


def storer(llvm_type: Any, numba_type: Any) -> Any:
    def typed(_: Any, address: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[1], builder.inttoptr(arguments[0], llvm_type.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.intp, numba_type), code

    return intrinsic(typed)


load_u8, store_u8 = loader(I8, types.uint8), storer(I8, types.uint8)
load_u32, store_u32 = loader(I32, types.uint32), storer(I32, types.uint32)
load_u64, store_u64 = loader(I64, types.uint64), storer(I64, types.uint64)
