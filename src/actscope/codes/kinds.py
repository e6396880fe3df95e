"""The activations that can be recognized: how each is called, where its slope jumps, and where its axis is split by default."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Activation", "activation_modules", "fused_kernels", "reading_of", "recognized"]


@dataclass(frozen=True)
class Activation:
    """One elementwise activation, with the arguments it was called with worked in.

    Attributes:
        kind: its name.
        breakpoints: the default split of a neuron's axis; empty where the call does not fix one (a clamp to a tensor of bounds).
        kinks, slopes, piecewise_linear: as for `Site`.
    """

    kind: str
    breakpoints: tuple[float, ...]
    kinks: tuple[float, ...] = ()
    slopes: tuple[float | None, ...] = (None,)
    piecewise_linear: bool = False


Reading: TypeAlias = Callable[..., Activation]
"""From the arguments of a call, the input left out, to the activation that it is."""


def _piecewise(kind: str, kinks: tuple[float, ...], slopes: tuple[float | None, ...]) -> Activation:
    return Activation(kind, kinks, kinks, slopes, piecewise_linear=True)


def _leaky_relu(negative_slope: float = 0.01, inplace: bool = False) -> Activation:
    return _piecewise("leaky_relu", (0.0,), (float(negative_slope), 1.0))


def _prelu(weight: Tensor) -> Activation:
    return _piecewise("prelu", (0.0,), (float(weight) if weight.numel() == 1 else None, 1.0))


def _rrelu(lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Activation:
    return _piecewise("rrelu", (0.0,), ((lower + upper) / 2, 1.0))


def _threshold(threshold: float, value: float, inplace: bool = False) -> Activation:
    return _piecewise("threshold", (float(threshold),), (0.0, 1.0))


def _hardtanh(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Activation:
    kind = "relu6" if (min_val, max_val) == (0, 6) else "hardtanh"
    return _piecewise(kind, (float(min_val), float(max_val)), (0.0, 1.0, 0.0))


def _hardshrink(lambd: float = 0.5) -> Activation:
    return _piecewise("hardshrink", (-float(lambd), float(lambd)), (1.0, 0.0, 1.0))


def _softshrink(lambd: float = 0.5) -> Activation:
    return _piecewise("softshrink", (-float(lambd), float(lambd)), (1.0, 0.0, 1.0))


def _clamp(min: Any = None, max: Any = None) -> Activation:
    low, high = _bound(min, -math.inf), _bound(max, math.inf)
    if low is None or high is None:
        return Activation("clamp", ())
    if low >= high:
        return _piecewise("clamp", (high,), (0.0, 0.0))
    kinks = tuple(bound for bound in (low, high) if math.isfinite(bound))
    slopes = (0.0,) * math.isfinite(low) + (1.0,) + (0.0,) * math.isfinite(high)
    return _piecewise("clamp", kinks, slopes)


def _clamp_max(max: Any) -> Activation:
    return _clamp(None, max)


def _bound(value: Any, absent: float) -> float | None:
    """A clamp's bound as a number; `None` for a tensor that holds more than one."""
    if value is None:
        return absent
    if isinstance(value, Tensor) and value.numel() != 1:
        return None
    return float(value)


def _fixed(activation: Activation) -> Reading:
    """A reading for an activation whose arguments change nothing here."""
    return lambda *args, **kwargs: activation


def _smooth(kind: str, *breakpoints: float) -> Reading:
    return _fixed(Activation(kind, breakpoints))


_READINGS: Mapping[str, Reading] = MappingProxyType(
    {
        "relu": _fixed(_piecewise("relu", (0.0,), (0.0, 1.0))),
        "leaky_relu": _leaky_relu,
        "prelu": _prelu,
        "rrelu": _rrelu,
        "threshold": _threshold,
        "relu6": _fixed(_hardtanh(0.0, 6.0)),
        "hardtanh": _hardtanh,
        "hardsigmoid": _fixed(_piecewise("hardsigmoid", (-3.0, 3.0), (0.0, 1 / 6, 0.0))),
        "hardswish": _fixed(Activation("hardswish", (-3.0, 3.0), (-3.0, 3.0), (0.0, None, 1.0))),
        "hardshrink": _hardshrink,
        "softshrink": _softshrink,
        "clamp": _clamp,
        "clip": _clamp,
        "clamp_min": _clamp,
        "clamp_max": _clamp_max,
        "elu": _fixed(Activation("elu", (0.0,), (0.0,), (None, 1.0))),
        "celu": _fixed(Activation("celu", (0.0,), (0.0,), (None, 1.0))),
        "selu": _smooth("selu", 0.0),
        "gelu": _smooth("gelu", 0.0),
        "silu": _smooth("silu", 0.0),
        "mish": _smooth("mish", 0.0),
        "softplus": _smooth("softplus", 0.0),
        "softsign": _smooth("softsign", 0.0),
        "tanhshrink": _smooth("tanhshrink", 0.0),
        "logsigmoid": _smooth("logsigmoid", 0.0),
        "log_sigmoid": _smooth("logsigmoid", 0.0),
        "sigmoid": _smooth("sigmoid", -0.5, 0.0, 0.5),
        "tanh": _smooth("tanh", -0.5, 0.0, 0.5),
    }
)


def reading_of(name: str, rest: Sequence[Any], named: Mapping[str, Any]) -> Activation | None:
    """The activation that one of PyTorch's inner operations is, such as `_prelu_kernel`; `None` if it is none that is known.

    Args:
        name: the operation's name, without an in-place underscore.
        rest, named: its arguments, the input left out.

    Example:
        >>> reading_of("hardtanh", [0.0, 6.0], {}).kind
        'relu6'
    """
    if name == "rrelu_with_noise":
        return _rrelu(*rest[1:3])
    reading = _READINGS.get({"_prelu_kernel": "prelu", "log_sigmoid_forward": "logsigmoid"}.get(name, name))
    return None if reading is None else reading(*rest, **named)


@cache
def recognized() -> Mapping[Callable[..., Any], Reading]:
    """Every function of PyTorch that is an activation, with how to read its arguments.

    In-place spellings and the methods of `torch.Tensor` are there beside the functional ones.
    """
    found: dict[Callable[..., Any], Reading] = {}
    for name, reading in _READINGS.items():
        for place in (F, torch, Tensor, torch.special, torch._C._nn):
            for spelling in (name, name + "_"):
                function = getattr(place, spelling, None)
                if function is not None:
                    found[function] = reading
    expit = torch.special.expit
    found[expit] = _READINGS["sigmoid"]
    return MappingProxyType(found)


@cache
def activation_modules() -> tuple[type[torch.nn.Module], ...]:
    """PyTorch's own activation modules: a site inside one is named after the module alone."""
    nn = torch.nn
    return (
        *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Threshold, nn.ReLU6, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
        *(nn.Hardshrink, nn.Softshrink, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign),
        *(nn.Tanhshrink, nn.LogSigmoid, nn.Sigmoid, nn.Tanh),
    )


@cache
def fused_kernels() -> Mapping[Callable[..., Any], str]:
    """Functions that run activations inside one kernel, out of sight, with the words that say so."""
    fused = {
        name: f"torch.{name}"
        for name in (
            *("rnn_tanh", "rnn_relu", "lstm", "gru", "rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell"),
            *("_transformer_encoder_layer_fwd", "_native_multi_head_attention"),
        )
    }
    found = {getattr(torch, name): words for name, words in fused.items() if hasattr(torch, name)}
    found[F.glu] = "torch.nn.functional.glu, whose gate is a sigmoid of half of its input"
    return MappingProxyType(found)
