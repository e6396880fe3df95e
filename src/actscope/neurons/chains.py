"""The layers around one activation site: where its units come from, and where their outputs go."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from actscope.neurons.dataflow import Call, Dataflow

__all__ = ["Branch", "Chain", "UnprunableError", "chain_around"]

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_SAME = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "contiguous", "clone", "detach")
_DROPOUTS = ("dropout1d", "dropout2d", "dropout3d")
_MAX_POOLS = tuple(f"{kind}max_pool{d}d" for kind in ("", "adaptive_") for d in (1, 2, 3))
_MEAN_POOLS = tuple(f"{kind}avg_pool{d}d" for kind in ("", "adaptive_") for d in (1, 2, 3))
_RESHAPES = ("flatten", "view", "reshape")
NONNEGATIVE = ("relu", "relu6", "sigmoid", "hardsigmoid", "softplus")


class UnprunableError(Exception):
    """Why a site's units cannot be taken out."""


@dataclass(eq=False)
class Branch:
    """One way from a site to a layer that adds its units up.

    Attributes:
        steps: what lies between, each acting on every channel by itself.
        norms: the batch normalizations among them.
        call: the linear or convolutional call at the end.
        layer: the module whose weight that call uses.
        block: how many columns of the weight belong to one unit, one for a convolution.
    """

    steps: list[Call]
    norms: list[nn.Module]
    call: Call
    layer: nn.Module
    block: int

    @property
    def convolves(self) -> bool:
        """Whether the layer is a convolution."""
        return self.call.name in _CONVOLUTIONS

    @property
    def takes_maxima(self) -> bool:
        """Whether a maximum over positions lies between."""
        return any(step.name in _MAX_POOLS for step in self.steps)


@dataclass(eq=False)
class Chain:
    """A site with the layer that makes its pre-activations and the layers that use its outputs.

    Attributes:
        producer: the linear or convolutional module whose rows are the site's units.
        norm: the batch normalization between them, if there is one.
        axis: the axis of the activation that runs over units, counted with the example axis.
        shape: of the activation, examples first.
        branches: every way on.
        input_nonnegative: whether the producer's input is never negative, whatever the model's input.
    """

    producer: nn.Module
    norm: nn.Module | None
    axis: int
    shape: tuple[int, ...]
    branches: list[Branch]
    input_nonnegative: bool


def chain_around(flow: Dataflow, name: str) -> Chain:
    """The chain of a site.

    Raises:
        UnprunableError: with the reason, if units of this site cannot be taken out.
    """
    site = flow.site(name)
    if site is None:
        raise UnprunableError("its activation is not a function of PyTorch's own")
    if site.name == "prelu" and site.argument(1, "weight").numel() > 1:
        raise UnprunableError("its activation has a parameter for each unit")
    norm: nn.Module | None = None
    value = _only_input(site)
    _require_one_use(flow, value)
    producer = flow.producer(value)
    while producer is not None and producer.name in ("batch_norm", *_SAME):
        if producer.name == "batch_norm":
            if norm is not None:
                raise UnprunableError("two batch normalizations follow each other")
            norm = _norm(flow, producer)
        value = producer.inputs[0]
        _require_one_use(flow, value)
        producer = flow.producer(value)
    if producer is None or producer.name not in ("linear", *_CONVOLUTIONS):
        what = "the model's input" if producer is None else f"{producer.name}"
        raise UnprunableError(f"its pre-activation comes from {what}, not from one linear or convolutional layer")
    layer = _layer(flow, producer)
    shape = flow.shapes[site.outputs[0]]
    axis = 1 if producer.name in _CONVOLUTIONS else len(shape) - 1
    if norm is not None and axis != 1:
        raise UnprunableError("a batch normalization beside it treats tokens, not units, each by itself")
    branches = _branches(flow, site.outputs[0], [], [], axis, 1)
    if not branches:
        raise UnprunableError("nothing uses its output")
    return Chain(layer, norm, axis, shape, branches, _nonnegative(flow, producer.inputs[0]))


def _branches(
    flow: Dataflow, value: int, steps: list[Call], norms: list[nn.Module], axis: int, block: int
) -> list[Branch]:
    if value in flow.outputs:
        raise UnprunableError("its output is part of the model's output")
    found: list[Branch] = []
    for call in flow.consumers(value):
        if call.name == "linear" and axis == len(flow.shapes[value]) - 1:
            found.append(Branch(steps, norms, call, _layer(flow, call), block))
        elif call.name in _CONVOLUTIONS and axis == 1 and block == 1:
            found.append(Branch(steps, norms, call, _layer(flow, call), 1))
        elif _keeps_units_apart(call, flow.shapes[value], axis):
            found += _branches(flow, call.outputs[0], [*steps, call], norms, axis, block)
        elif call.name == "batch_norm" and axis == 1 and block == 1:
            found += _branches(flow, call.outputs[0], [*steps, call], [*norms, _norm(flow, call)], axis, block)
        elif call.name in _RESHAPES and _flattens(flow.shapes[value], flow.shapes[call.outputs[0]], axis):
            positions = math.prod(flow.shapes[value][axis + 1 :])
            found += _branches(flow, call.outputs[0], [*steps, call], norms, axis, block * positions)
        else:
            raise UnprunableError(_why_not(call))
    return found


def _why_not(call: Call) -> str:
    if call.name.lstrip("_") in ("add", "iadd", "radd", "sub", "isub", "rsub"):
        return "its output is added to another (a residual sum), whose units would have to go as well"
    if call.name in ("cat", "concat", "concatenate", "stack"):
        return "its output is concatenated with others"
    return f"its output goes into {call.name}, which is not known to treat every unit by itself"


def _keeps_units_apart(call: Call, shape: tuple[int, ...], axis: int) -> bool:
    """Whether what a call makes of one unit depends on no other, and lies at the same place."""
    if call.name == "pad":
        return axis < len(shape) - len(call.argument(1, "pad")) // 2
    if call.name == "mean":
        return _over_positions(call, shape, axis)
    if call.name in (*_DROPOUTS, *_MAX_POOLS, *_MEAN_POOLS):
        n_positions = int(call.name[-2])  # without an axis of examples, the first is that of units
        return axis == 1 and len(shape) == n_positions + 2
    return call.name in _SAME


def _over_positions(call: Call, shape: tuple[int, ...], axis: int) -> bool:
    """Whether a mean goes over all axes behind the channels, and drops them or not."""
    dims = call.argument(1, "dim")
    if dims is None or axis != 1 or len(shape) < 3:
        return False
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    return all(dim % len(shape) > axis for dim in dims)


def _flattens(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> bool:
    return axis == 1 and len(after) == 2 and after == (before[0], math.prod(before[1:]))


def _layer(flow: Dataflow, call: Call) -> nn.Module:
    weight = call.argument(1, "weight")
    module = _owner(flow, weight)
    if call.name in _CONVOLUTIONS and call.argument(6, "groups", 1) != 1:
        raise UnprunableError(f"{type(module).__name__} works in groups of channels")
    bias = call.argument(2, "bias")
    if bias is not None and _owner(flow, bias) is not module:
        raise UnprunableError("weight and bias of a layer belong to different modules")
    return module


def _owner(flow: Dataflow, tensor: Tensor) -> nn.Module:
    owners = flow.owners.get(id(tensor), [])
    if not owners:
        raise UnprunableError("the weights of a layer beside it are computed (parametrized), not stored")
    if len(owners) > 1 or flow.uses(tensor) > 1:
        raise UnprunableError("the weights of a layer beside it are shared: they are used in more than one place")
    module, name = owners[0]
    if name not in ("weight", "bias", "running_mean", "running_var"):
        raise UnprunableError(f"{type(module).__name__} holds its weights under the name {name!r}")
    return module


def _norm(flow: Dataflow, call: Call) -> nn.Module:
    mean = call.argument(1, "running_mean")
    if mean is None or call.argument(5, "training", False):
        raise UnprunableError("a batch normalization beside it has no running statistics")
    return _owner(flow, mean)


def _only_input(call: Call) -> int:
    if not call.inputs:
        raise UnprunableError("its pre-activation is a parameter")
    return call.inputs[0]


def _require_one_use(flow: Dataflow, value: int) -> None:
    if value in flow.outputs or len(flow.consumers(value)) > 1:
        raise UnprunableError("its pre-activation, or what makes it, is used elsewhere as well")


def _nonnegative(flow: Dataflow, value: int) -> bool:
    call = flow.producer(value)
    while call is not None:
        if call.site is not None:
            return call.name in NONNEGATIVE
        if call.name not in (*_SAME, *_DROPOUTS, *_MAX_POOLS, *_MEAN_POOLS, *_RESHAPES):
            return False
        call = flow.producer(call.inputs[0])
    return False
