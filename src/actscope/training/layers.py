"""Layers whose weights come from a generator, and activations by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import nn

__all__ = ["ACTIVATIONS", "Initialization", "activation_maker", "conv", "linear"]

Initialization = Literal["keras", "torch", "he"]

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "celu": nn.CELU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "hardsigmoid": nn.Hardsigmoid,
        "hardswish": nn.Hardswish,
        "hardtanh": nn.Hardtanh,
        "leaky_relu": nn.LeakyReLU,
        "mish": nn.Mish,
        "prelu": nn.PReLU,
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "selu": nn.SELU,
        "sigmoid": nn.Sigmoid,
        "silu": nn.SiLU,
        "softplus": nn.Softplus,
        "tanh": nn.Tanh,
    }
)


def activation_maker(activation: str | Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """What makes a new module of `activation`, a name in `ACTIVATIONS` or already such a maker.

    Raises:
        ValueError: an unknown name.
        TypeError: one module instead of what makes one.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation='{activation}' is not known; choose one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[activation]
    if isinstance(activation, nn.Module):
        raise TypeError(
            f"activation={activation} is one module; pass what makes a new one, such as lambda: {activation}"
        )
    return activation


# Layers begin on the meta device, where nothing is drawn: PyTorch's own initialization would use its global random state.


def linear(n_inputs: int, n_outputs: int, init: Initialization, generator: torch.Generator) -> nn.Linear:
    """A linear layer with a bias, drawn as `MLP` says of `init`."""
    layer = nn.Linear(n_inputs, n_outputs, device="meta").to_empty(device="cpu")
    if init == "keras":
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
    elif init == "he":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.normal_(layer.bias, std=1e-3, generator=generator)
    else:
        bound = 1 / math.sqrt(n_inputs)
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def conv(
    n_inputs: int, n_outputs: int, size: int, *, stride: int = 1, groups: int = 1, generator: torch.Generator
) -> nn.Conv2d:
    """A convolution without bias, padded to keep the image's size at stride 1, drawn He-normal by fan-out."""
    layer = nn.Conv2d(
        n_inputs, n_outputs, size, stride=stride, padding=size // 2, groups=groups, bias=False, device="meta"
    ).to_empty(device="cpu")
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return layer
