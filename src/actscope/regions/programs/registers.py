"""Registers of a running program: where the points lie in them, and which are still needed."""

from __future__ import annotations

from torch import Tensor

from actscope.regions.programs.program import Layout, Program

__all__ = ["as_matrix", "forget", "from_matrix"]


def as_matrix(tensor: Tensor, layout: Layout) -> Tensor:
    """(n_rows, width): a row for each point, wherever the points lie in the tensor."""
    n_rows = tensor.shape[layout.axis] // layout.span
    if layout.span > 1:
        tensor = tensor.reshape(*tensor.shape[: layout.axis], n_rows, layout.span, *tensor.shape[layout.axis + 1 :])
    return tensor.movedim(layout.axis, 0).reshape(n_rows, -1)


def from_matrix(matrix: Tensor, layout: Layout) -> Tensor:
    """The inverse of `as_matrix`."""
    tensor = matrix.reshape(len(matrix), *layout.shape).movedim(0, layout.axis)
    return tensor.flatten(layout.axis, layout.axis + 1) if layout.span > 1 else tensor


def forget(values: dict[int, Tensor], program: Program, position: int) -> None:
    """Drop the values that no step after this one reads."""
    for register in [register for register in values if program.last_uses.get(register, -1) <= position]:
        del values[register]
