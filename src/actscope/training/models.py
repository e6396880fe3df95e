"""The networks of the papers: multi-layer perceptrons of any shape, and a small residual network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn

from actscope.training.architectures.blocks import ResidualBlock, Shortcut
from actscope.training.architectures.staged import staged_network
from actscope.training.layers import ACTIVATIONS, Initialization, activation_maker, linear

__all__ = ["ACTIVATIONS", "MLP", "Initialization", "ResidualBlock", "small_resnet"]


class MLP(nn.Module):
    """A multi-layer perceptron: (n_examples, …) to logits (n_examples, n_classes).

    Its layers are `linear1`, `norm1` (with `batch_norm`), `relu1` (or the activation's name), `linear2`, …, `output`.

    Args:
        n_inputs: features of an example, flattened.
        hidden: width of each hidden layer; empty for a linear classifier.
        n_classes: number of logits.
        activation: a name in `ACTIVATIONS`, or what makes a new module at each call (`nn.ReLU`, `lambda: nn.LeakyReLU(0.2)`).
        batch_norm: whether every activation is preceded by batch normalization (He et al. 2021, Appendix A).
        init: `keras` draws weights Glorot-uniform, biases zero, and gives batch normalization Keras's defaults (ε 1e-3, running
            averages keep 0.99); `torch` is PyTorch's default; `he` draws weights He-normal, std √(2 / fan-in), and biases normal
            with std 1e-3 (Hanin & Rolnick 2019).
        seed: decides the weights; PyTorch's own random state is neither read nor changed.

    Raises:
        ValueError: a width or number that is not positive, or an unknown name.
        TypeError: `hidden` is one number, or `activation` a module instead of what makes one.

    Example:
        >>> MLP(784, [50], 10)
        MLP(
          (linear1): Linear(in_features=784, out_features=50, bias=True)
          (relu1): ReLU()
          (output): Linear(in_features=50, out_features=10, bias=True)
        )
    """

    def __init__(
        self,
        n_inputs: int,
        hidden: Sequence[int],
        n_classes: int,
        *,
        activation: str | Callable[[], nn.Module] = "relu",
        batch_norm: bool = False,
        init: Initialization = "keras",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(hidden, int):
            raise TypeError(f"hidden={hidden} must be a sequence of widths, such as [{hidden}] for one hidden layer")
        if min(n_inputs, n_classes, *hidden) < 1:
            raise ValueError(f"n_inputs={n_inputs}, hidden={list(hidden)}, n_classes={n_classes} must all be positive")
        if init not in get_args(Initialization):
            raise ValueError(f"init='{init}' is no initialization; choose one of {', '.join(get_args(Initialization))}")
        make_activation = activation_maker(activation)
        momentum, eps = (0.01, 1e-3) if init == "keras" else (0.1, 1e-5)
        generator = torch.Generator().manual_seed(seed)
        self.n_inputs = n_inputs
        n_features = n_inputs
        for depth, width in enumerate(hidden, start=1):
            self.add_module(f"linear{depth}", linear(n_features, width, init, generator))
            if batch_norm:
                self.add_module(f"norm{depth}", nn.BatchNorm1d(width, momentum=momentum, eps=eps))
            module = make_activation()
            name = activation if isinstance(activation, str) else type(module).__name__.lower()
            self.add_module(f"{name}{depth}", module)
            n_features = width
        self.add_module("output", linear(n_features, n_classes, init, generator))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the examples `x`, (n_examples, …)."""
        x = x.flatten(1)
        if x.shape[1] != self.n_inputs:
            raise ValueError(f"this MLP takes {self.n_inputs} features per example, got {x.shape[1]}")
        # not children(), which skips a module that is there twice
        for layer in self._modules.values():
            if layer is not None:
                x = layer(x)
        return x


def small_resnet(
    in_channels: int,
    n_classes: int,
    *,
    widths: Sequence[int] = (16, 32, 64),
    blocks_per_stage: int = 1,
    activation: str | Callable[[], nn.Module] = "relu",
    shortcut: Shortcut = "projection",
    seed: int = 0,
) -> nn.Sequential:
    """A residual network for small images, (n_examples, in_channels, height, width) to logits (n_examples, n_classes).

    A 3×3 convolution, a stage of `ResidualBlock`s for each of `widths`, every stage after the first at half the size, the mean
    over pixels, one linear layer; 3 blocks per stage of widths 16, 32, 64 are the ResNet-20 of He et al. 2016, whose shortcuts are
    `zeros`. Convolutions are drawn He-normal by fan-out.

    Raises:
        ValueError: a width or number that is not positive, or an unknown activation.

    Example:
        >>> small_resnet(3, 10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    if min(in_channels, n_classes, blocks_per_stage, *widths) < 1 or not widths:
        raise ValueError(
            f"in_channels={in_channels}, n_classes={n_classes}, widths={list(widths)}, blocks_per_stage={blocks_per_stage}"
            " must all be positive, with at least one width"
        )
    return staged_network(
        in_channels,
        n_classes,
        block=partial(ResidualBlock, shortcut=shortcut),
        stages=[(width, blocks_per_stage) for width in widths],
        stem=widths[0],
        activation=activation,
        seed=seed,
    )
