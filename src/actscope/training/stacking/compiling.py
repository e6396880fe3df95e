"""How the compiled loops of a stack are compiled. Import it inside the function that needs it: it imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

__all__ = ["compiled"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(kernel: Callable[P, R]) -> Callable[P, R]:
    """The loop, compiled when it is first called; it releases the GIL, and is kept on disk for the next process.

    A product and a sum may be one instruction, and sums be added up in any order; NaN and infinity stay what they are.
    """
    options = {"nogil": True, "fastmath": {"contract", "reassoc"}, "error_model": "numpy"}
    try:
        fast = numba.njit(cache=True, **options)(kernel)
    except RuntimeError:  # numba found no folder that it may write to: every process then compiles anew
        fast = numba.njit(**options)(kernel)
    return cast(Callable[P, R], fast)
