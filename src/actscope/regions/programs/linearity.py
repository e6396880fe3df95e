"""Whether one operation is piecewise linear in those of its tensors that depend on the input, and if not, why."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from actscope.codes.kinds import Activation, reading_of
from actscope.regions.programs.alignment import Alignment
from actscope.regions.programs.nesting import leaves
from actscope.regions.programs.operations import Dependence, dependence
from actscope.regions.programs.recording import Call, Ref

__all__ = ["activation_of", "adds_of_its_own", "fixed_by_shape", "functional", "nonlinearity"]

_PRODUCTS = frozenset({"mul", "mm", "bmm", "mv", "dot", "matmul", "div", "true_divide"})
_SUMS_WITH_A_NUMBER = frozenset({"add", "sub", "rsub", "fill"})


def nonlinearity(call: Call, alignment: Alignment) -> str | None:
    """Why the operation is not piecewise linear in what varies; `None` if it is."""
    kind, here, name = dependence(call.name), call.here, call.name
    tensors = [leaf for leaf in leaves((call.args, call.kwargs)) if isinstance(leaf, Ref)]
    places = [i for i, leaf in enumerate(tensors) if leaf.register in alignment.varying]
    product = f"{here} multiplies two values that both depend on the input"
    if "out" in call.kwargs:
        return f"{here} writes into out=: leave it out"
    if kind is Dependence.OTHER:
        return f"{here} is not piecewise linear, or not known to be"
    if kind is Dependence.AFFINE_IN_FIRST:
        if places != [0]:
            return f"{here} has more than its first tensor depend on the input"
        if "norm" in name and any(arg is True for arg in call.args):
            return f"{here} normalizes by statistics of its own input, not by fixed ones"
        if call.kwargs.get("rounding_mode") is not None:
            return f"{here} rounds its result"
    if kind is Dependence.AFFINE_IN_ONE and len(places) != 1:
        return product
    if kind is Dependence.AFFINE_SUM and sum(place > 0 for place in places) > 1:
        return product
    if name == "lerp" and places[-1:] == [2]:
        return product
    if kind is Dependence.CHOICE and not _within_points(call, alignment):
        return f"{here} pools along the examples' axis"
    if kind is Dependence.ACTIVATION:
        activation = activation_of(call, alignment)
        if len(places) != 1 or activation is None or not activation.piecewise_linear:
            smooth = activation is not None and not activation.kinks
            return f"{here} is smooth, not piecewise linear" if smooth else f"{here} is not piecewise linear"
        if not _continuous(call, activation):
            return f"{here} jumps, and regions need a continuous function"
    return None


def fixed_by_shape(call: Call) -> bool:
    """Whether the values of its tensors do not matter, as long as they are finite."""
    if call.name in ("eq", "ne"):  # parts of a check that values are finite
        one, other = call.args
        return one == other or (isinstance(other, float) and math.isinf(other))
    return dependence(call.name) is Dependence.SHAPE


def activation_of(call: Call, alignment: Alignment) -> Activation | None:
    """The activation that an operation is, with its arguments worked in; `None` if it is none."""
    if call.seen is not None and call.seen.activation.piecewise_linear:
        return call.seen.activation
    if call.name == "abs":
        return Activation("abs", (), (0.0,), (-1.0, 1.0), piecewise_linear=True)
    rest = [alignment.constant(leaf) for leaf in call.args[1:]]
    return reading_of(call.name, rest, {key: alignment.constant(leaf) for key, leaf in call.kwargs.items()})


def adds_of_its_own(call: Call, alignment: Alignment) -> bool:
    """Whether an affine operation may give something where all that varies is zero."""
    kind, name = dependence(call.name), call.name
    if name in _PRODUCTS:
        return False
    if name in ("convolution", "linear") and call.args[2:3] in ((), (None,)):
        return False
    if kind is not Dependence.JOINTLY_LINEAR:
        return True
    tensors = [leaf for leaf in leaves((call.args, call.kwargs)) if isinstance(leaf, Ref)]
    if not all(leaf.register in alignment.varying for leaf in tensors):
        return True
    if name == "constant_pad_nd":
        return bool(call.args[2:3] not in ((), (0,), (None,)) or call.kwargs.get("value"))
    return name in _SUMS_WITH_A_NUMBER and len(tensors) < 2


def functional(call: Call) -> Callable[..., Any] | None:
    """The operation itself, or its twin that returns the result instead of writing it; `None` if it has none."""
    if call.name in ("view", "_unsafe_view", "_reshape_alias"):
        return _reshaped
    if call.name in ("alias", "detach", "clone", "lift", "lift_fresh"):
        return _same
    if "empty" in call.name:
        return partial(_zeros, call.func)
    if not call.written:
        func: Callable[..., Any] = call.func
        return func
    twin: Callable[..., Any] | None = getattr(
        getattr(torch.ops.aten, call.name, None), call.func.name().partition(".")[2] or "default", None
    )
    return twin


def _reshaped(tensor: Tensor, size: Any, *strides: Any) -> Tensor:
    return tensor.reshape(list(size))  # takes tensors of any strides, where a view would not


def _zeros(empty: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    return empty(*args, **kwargs).zero_()


def _same(tensor: Tensor, **kwargs: Any) -> Tensor:
    return tensor


def _within_points(call: Call, alignment: Alignment) -> bool:
    if "pool" not in call.name:
        return True
    layout = alignment.layouts[call.refs()[0]]
    n_pooled = int(call.name[call.name.index("pool") + len("pool")])
    return layout.axis < len(layout.shape) + (layout.span == 1) - n_pooled


def _continuous(call: Call, activation: Activation) -> bool:
    if activation.kind == "hardshrink":
        return activation.kinks[-1] == 0
    if activation.kind == "threshold":
        return float(call.args[1]) == float(call.args[2])
    return True
