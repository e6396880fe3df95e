"""What comes between two linear layers of a stack, forward and backward: batch normalization and activations."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["Activation", "FixedNormalization", "Normalization", "Rectifier"]


@dataclass(eq=False)
class Normalization:
    """Batch normalization of some rows, in training mode: y = γ·(z - mean) / √(var + ε) + β, over the batch (Ioffe & Szegedy 2015).

    Attributes:
        z: (n_rows, n_examples) what is normalized.
        y: (n_rows, n_examples) where the result goes.
        d: (n_rows, n_examples) holds the gradient by `y`, and after `backward` that by `z`.
        weight, bias: (n_rows, 1) γ and β; `d_weight` and `d_bias`, (n_rows,), take their gradients.
        running_mean, running_var: (n_rows,) what evaluation uses, updated by `forward`.
        momentum: (n_rows,) share of this batch in the running averages.
        eps: (n_rows,) ε.
    """

    z: Tensor
    y: Tensor
    d: Tensor
    weight: Tensor
    bias: Tensor
    d_weight: Tensor
    d_bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    momentum: Tensor
    eps: Tensor

    def __post_init__(self) -> None:
        self._normed = torch.empty_like(self.z)
        self._scale = torch.empty_like(self.weight)
        self._buffer = torch.empty_like(self.z)

    def forward(self) -> None:
        """Fills `y` and moves the running averages, whose variance is the unbiased one."""
        n_examples = self.z.shape[1]
        var, mean = torch.var_mean(self.z, 1, correction=0)
        torch.rsqrt((var + self.eps)[:, None], out=self._scale)
        torch.sub(self.z, mean[:, None], out=self._normed).mul_(self._scale)
        torch.mul(self._normed, self.weight, out=self.y).add_(self.bias)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * (n_examples / (n_examples - 1)), self.momentum)

    def backward(self) -> None:
        """Turns `d` into the gradient by `z`, and fills those of γ and β."""
        n_examples = self.z.shape[1]
        torch.sum(self.d, 1, out=self.d_bias)
        torch.sum(torch.mul(self.d, self._normed, out=self._buffer), 1, out=self.d_weight)
        self.d.sub_(self.d_bias[:, None] / n_examples)
        self.d.sub_(torch.mul(self._normed, self.d_weight[:, None] / n_examples, out=self._buffer))
        self.d.mul_(self.weight * self._scale)


@dataclass(eq=False)
class FixedNormalization:
    """Batch normalization of some rows, in eval mode: y = γ·(z - mean) / √(var + ε) + β with the running averages.

    Attributes:
        z, y, weight, bias, running_mean, running_var, eps: as those of `Normalization`.
    """

    z: Tensor
    y: Tensor
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    eps: Tensor

    def forward(self) -> None:
        """Fills `y`."""
        scale = torch.rsqrt(self.running_var + self.eps)[:, None] * self.weight
        torch.sub(self.z, self.running_mean[:, None], out=self.y).mul_(scale).add_(self.bias)

    def backward(self) -> None:
        """Nothing: what is only read is not trained."""


@dataclass(eq=False)
class Rectifier:
    """ReLU of some rows.

    Attributes:
        y: (n_rows, n_examples) what goes in.
        out: (n_rows, n_examples) where the result goes; may be `y`.
        d: (n_rows, n_examples) holds the gradient by `out`, and after `backward` that by `y`.
    """

    y: Tensor
    out: Tensor
    d: Tensor

    def forward(self) -> None:
        """Fills `out`."""
        torch.clamp_min(self.y, 0, out=self.out)

    def backward(self) -> None:
        """Turns `d` into the gradient by `y`."""
        torch.ops.aten.threshold_backward.grad_input(self.d, self.out, 0, grad_input=self.d)


@dataclass(eq=False)
class Activation:
    """Any activation of some rows, differentiated by PyTorch.

    Attributes:
        module: sees examples as rows, as it would alone.
        parameters: the stack's own values of the module's parameters, by name.
        gradients: where their gradients go, by name.
        y, out, d: as those of `Rectifier`; `out` is not `y`.
        training: whether `backward` follows.
    """

    module: nn.Module
    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    y: Tensor
    out: Tensor
    d: Tensor
    training: bool = True

    def __post_init__(self) -> None:
        # hooks of the first model must not see the others' rows, and its own parameters stay where they are
        self.module = copy.copy(self.module)
        for name in ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"):
            setattr(self.module, name, OrderedDict())
        self.module._parameters = dict(self.module._parameters)

    def forward(self) -> None:
        """Fills `out`."""
        with torch.set_grad_enabled(self.training):
            self._y = self.y.detach().requires_grad_(self.training)
            self._leaves = {
                name: value.detach().requires_grad_(self.training) for name, value in self.parameters.items()
            }
            # a copy for a module that works in place
            inputs = self._y.t().clone() if getattr(self.module, "inplace", False) else self._y.t()
            self._result: Tensor = functional_call(self.module, self._leaves, (inputs,)).t()
        self.out.copy_(self._result.detach())

    def backward(self) -> None:
        """Turns `d` into the gradient by `y`, and fills those of the module's parameters."""
        d_y, *d_parameters = torch.autograd.grad(self._result, [self._y, *self._leaves.values()], self.d)
        for name, value in zip(self._leaves, d_parameters, strict=True):
            self.gradients[name].copy_(value)
        self.d.copy_(d_y)
