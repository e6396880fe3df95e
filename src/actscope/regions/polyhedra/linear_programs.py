"""Linear programs by HiGHS, many small ones in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LinearProgram", "LinearProgramError", "maximize"]

TOLERANCE = 1e-9
"""What HiGHS may violate a constraint by, in the coordinates of the program."""

_NUMBERS = 40_000
"""Entries of the matrices that go into one call: HiGHS takes about a millisecond to start, and long over thousands of rows at once."""

_METHODS = ("highs", "highs-ipm")
"""The simplex method gives up on a few small programs in free variables (status unknown), which the interior-point method then solves."""


class LinearProgramError(RuntimeError):
    """HiGHS found no optimum where there is one."""


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """max objective · y over matrix y ≤ bounds, equal y = values: feasible and with a finite optimum.

    Attributes:
        objective: (n,) float64.
        matrix: (m, n) float64.
        bounds: (m,) float64.
        equal: (k, n) float64; values: (k,) float64.
    """

    objective: NDArray[np.float64]
    matrix: NDArray[np.float64]
    bounds: NDArray[np.float64]
    equal: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None


def maximize(programs: Sequence[LinearProgram]) -> list[tuple[float, NDArray[np.float64]]]:
    """The optimum of each program and a place where it is reached.

    They are put together as the blocks of one larger program, as many as pay.

    Raises:
        LinearProgramError: if HiGHS finds no optimum.

    Example:
        >>> square = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> value, place = maximize([LinearProgram(np.array([1.0, 2.0]), square, np.ones(4))])[0]
        >>> value, place
        (3.0, array([1., 1.]))
    """
    results: list[tuple[float, NDArray[np.float64]]] = []
    start = 0
    while start < len(programs):
        stop, size = start, 0
        while stop < len(programs) and (stop == start or size + programs[stop].matrix.size <= _NUMBERS):
            size += programs[stop].matrix.size
            stop += 1
        results += _together(programs[start:stop])
        start = stop
    return results


def _together(programs: Sequence[LinearProgram]) -> list[tuple[float, NDArray[np.float64]]]:
    from scipy.optimize import linprog
    from scipy.sparse import block_diag

    def stacked(matrices: list[NDArray[np.float64]]) -> Any:
        return matrices[0] if len(matrices) == 1 else block_diag(matrices, format="csc")

    fixed = any(program.equal is not None for program in programs)
    empty = [np.zeros((0, len(program.objective))) for program in programs]
    message = ""
    for method in _METHODS if len(programs) == 1 else _METHODS[:1]:
        found = linprog(
            -np.concatenate([program.objective for program in programs]),
            A_ub=stacked([program.matrix for program in programs]),
            b_ub=np.concatenate([program.bounds for program in programs]),
            A_eq=stacked([e if p.equal is None else p.equal for p, e in zip(programs, empty, strict=True)])
            if fixed
            else None,
            b_eq=np.concatenate([np.zeros(0) if p.values is None else p.values for p in programs]) if fixed else None,
            bounds=(None, None),
            method=method,
            options={"primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE},
        )
        if found.status == 0:
            places = np.split(found.x, np.cumsum([len(program.objective) for program in programs])[:-1])
            return [(float(p.objective @ place), place) for p, place in zip(programs, places, strict=True)]
        message = found.message
    if len(programs) > 1:
        middle = len(programs) // 2
        return _together(programs[:middle]) + _together(programs[middle:])
    raise LinearProgramError(f"HiGHS: {message} (a linear program of {programs[0].matrix.shape[0]} constraints)")
