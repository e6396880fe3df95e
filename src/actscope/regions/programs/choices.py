"""Pooling and other largest or smallest values as steps of a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from actscope.regions.programs.alignment import Alignment
from actscope.regions.programs.program import AffineStep, ChoiceStep, Rows, Step
from actscope.regions.programs.recording import Call, Ref
from actscope.regions.programs.windows import choice_windows

__all__ = ["choice_steps"]


def choice_steps(call: Call, alignment: Alignment) -> list[Step]:
    """The steps of an operation that takes the largest of several values, or the smallest: the negative of the largest negative.

    All inputs of the choice itself vary: a constant becomes a register of its own, an affine map whose linear part is zero.
    """
    steps: list[Step] = []
    output = call.outputs[0]
    layout = alignment.layouts[output]
    registers = [_varying(leaf, call, alignment, steps) for leaf in call.args if isinstance(leaf, Ref)]
    smallest = call.name in ("minimum", "min", "amin")
    if smallest:
        output = alignment.new_register(layout)
        negatives = [alignment.new_register(alignment.layouts[register]) for register in registers]
        steps += [_negation(register, negative, call) for register, negative in zip(registers, negatives, strict=True)]
        registers = negatives
    name = call.name.replace("min", "max")
    inputs = [alignment.layouts[register] for register in registers]
    windows = choice_windows(
        name,
        call.args,
        call.kwargs,
        [each.shape for each in inputs],
        layout.shape,
        axis=inputs[0].axis if inputs[0].span == 1 else None,
    )
    func = getattr(getattr(torch.ops.aten, name), call.func.name().partition(".")[2] or "default")
    inputs_in_place = iter(registers)
    args = tuple(Ref(next(inputs_in_place)) if isinstance(arg, Ref) else arg for arg in call.args)
    steps.append(ChoiceStep(func, args, dict(call.kwargs), tuple(registers), output, windows, call.here))
    if smallest:
        steps.append(_negation(output, call.outputs[0], call))
    return steps


def _negation(register: int, output: int, call: Call) -> AffineStep:
    return AffineStep(torch.ops.aten.neg.default, (Ref(register),), {}, (output,), constant=False, name=call.here)


def _varying(leaf: Ref, call: Call, alignment: Alignment, steps: list[Step]) -> int:
    if leaf.register in alignment.varying:
        return leaf.register
    args: tuple[Any, ...]
    if leaf.register in alignment.layouts:
        layout, args = alignment.layouts[leaf.register], (leaf,)
    else:
        layout = alignment.layouts[call.outputs[0]]
        shape = list(layout.shape)
        if layout.span == 1:
            shape.insert(layout.axis, 1)
        constant = alignment.first.tensors[leaf.register].broadcast_to(shape)
        args = (constant, [Rows(1, 0) if i == layout.axis else 1 for i in range(len(shape))])
    register = alignment.new_register(layout)
    steps.append(AffineStep(_repeated, args, {}, (register,), constant=True, name=call.here))
    return register


def _repeated(constant: Tensor, times: Sequence[int] = ()) -> Tensor:
    return constant.repeat(list(times)) if times else constant.clone()
