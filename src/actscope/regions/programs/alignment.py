"""Two recordings of one model side by side, on other numbers of other points: what goes with the points, and where the points lie."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from actscope.regions.programs.program import Layout, NotPiecewiseLinearError, Rows
from actscope.regions.programs.recording import Call, Recording, Ref

__all__ = ["MIXES", "ROWS", "Alignment", "EscapedValueError"]

ROWS = (2, 3)
"""Points in the first recording and in the second; point 0 of the first is point 1 of the second."""

MIXES = "mixes the examples of a batch, or lays them inside another axis: keep them apart, outside"


class EscapedValueError(NotPiecewiseLinearError):
    """A value that depends on the input got into an operation by a way that cannot be followed."""


class Alignment:
    """What two recordings of one model have in common, found call by call.

    Attributes:
        layouts: for each register that goes with the points, where they lie.
        varying: registers whose values depend on the input, whether or not it is known how.
        refusals: for registers that are not piecewise linear in the input, why.
    """

    def __init__(self, first: Recording, second: Recording) -> None:
        self.first = first
        self.second = second
        self.layouts: dict[int, Layout] = {0: Layout(0, 1, tuple(first.tensors[0].shape[1:]))}
        self.varying: set[int] = {0}
        self.refusals: dict[int, str] = {}
        self._n_registers = len(first.tensors)

    def knows(self, register: int) -> bool:
        """Whether a register goes with the points, in number or in value; else it is a constant."""
        return register in self.varying or register in self.layouts

    def refuse(self, register: int, reason: str) -> None:
        """Nothing that depends on this register is piecewise linear, as far as can be told."""
        self.varying.add(register)
        self.refusals[register] = reason

    def constant(self, leaf: Any) -> Any:
        """The tensor that a `Ref` to a constant means; anything else as it is."""
        return self.first.tensors[leaf.register] if isinstance(leaf, Ref) else leaf

    def new_register(self, layout: Layout) -> int:
        """A register that is in no recording, whose values depend on the input."""
        register, self._n_registers = self._n_registers, self._n_registers + 1
        self.layouts[register] = layout
        self.varying.add(register)
        return register

    def place(self, register: int) -> bool:
        """Find where the points lie in a register, and whether each of them depends on nothing but itself."""
        one, other = self.first.tensors[register], self.second.tensors[register]
        if one.ndim != other.ndim:
            return False
        axes = [i for i, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b]
        if len(axes) != 1:
            return False
        axis = axes[0]
        span = other.shape[axis] - one.shape[axis]
        if span < 1 or (one.shape[axis], other.shape[axis]) != (ROWS[0] * span, ROWS[1] * span):
            return False
        rest = list(one.shape)
        rest[axis : axis + 1] = [span] if span > 1 else []
        mine, again = one.narrow(axis, 0, span), other.narrow(axis, span, span)
        if register in self.varying:
            scale = float(mine.abs().max()) if mine.numel() else 0.0
            alike = torch.allclose(mine, again, rtol=1e-9, atol=1e-9 * scale)
        else:  # a constant, the same for all points
            alike = all(
                torch.equal(mine, tensor.narrow(axis, i * span, span))
                for tensor, n in zip((one, other), ROWS, strict=True)
                for i in range(n)
            )
        if alike:
            self.layouts[register] = Layout(axis, span, tuple(rest))
        return alike

    def arguments(self, one: Call, other: Call) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
        """A call's arguments, with constants as tensors and what goes with the number of points in symbols; whether anything does.

        Raises:
            EscapedValueError: if something that should be a constant is not the same in both recordings.
        """
        goes_with_points = False

        def merge(a: Any, b: Any) -> Any:
            nonlocal goes_with_points
            if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)) and len(a) == len(b):
                return type(a)(merge(x, y) for x, y in zip(a, b, strict=True))
            if isinstance(a, Ref) and isinstance(b, Ref):
                if self.knows(a.register):
                    goes_with_points = True
                    if a.register == b.register:
                        return a
                elif _equal(self.first.tensors[a.register], self.second.tensors[b.register]):
                    return self.first.tensors[a.register]
            elif type(a) is int and type(b) is int and a != b:
                goes_with_points = True
                return Rows(b - a, a - ROWS[0] * (b - a))
            elif type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))):
                return a
            raise EscapedValueError(
                f"{one.here} was given another constant for other inputs: a value that depends on the input left PyTorch "
                "(by numpy() or item()), goes with the number of examples, or is random"
            )

        args = merge(one.args, other.args)
        kwargs = {key: merge(value, other.kwargs[key]) for key, value in one.kwargs.items()}
        return args, kwargs, goes_with_points


def _equal(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    if (a.shape, a.dtype, a.layout) != (b.shape, b.dtype, b.layout):
        return False
    return torch.equal(a, b) if a.layout == torch.strided else torch.equal(a.to_dense(), b.to_dense())
