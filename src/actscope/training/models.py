"""The networks of the papers: multi-layer perceptrons of any shape, and a small residual network."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "MLP", "Initialization", "ResidualBlock", "small_resnet"]

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
        make_activation = _activation(activation)
        momentum, eps = (0.01, 1e-3) if init == "keras" else (0.1, 1e-5)
        generator = torch.Generator().manual_seed(seed)
        self.n_inputs = n_inputs
        n_features = n_inputs
        for depth, width in enumerate(hidden, start=1):
            self.add_module(f"linear{depth}", _linear(n_features, width, init, generator))
            if batch_norm:
                self.add_module(f"norm{depth}", nn.BatchNorm1d(width, momentum=momentum, eps=eps))
            module = make_activation()
            name = activation if isinstance(activation, str) else type(module).__name__.lower()
            self.add_module(f"{name}{depth}", module)
            n_features = width
        self.add_module("output", _linear(n_features, n_classes, init, generator))

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


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch normalization, added to their input: relu2(norm2(conv2(relu1(norm1(conv1(x))))) + shortcut(x)).

    The shortcut is the identity, or a 1×1 convolution with batch normalization where the shape changes (He et al. 2016).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        activation: str | Callable[[], nn.Module] = "relu",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        make_activation = _activation(activation)
        self.conv1 = _conv(in_channels, out_channels, 3, stride, generator)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.act1 = make_activation()
        self.conv2 = _conv(out_channels, out_channels, 3, 1, generator)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.act2 = make_activation()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            projection = _conv(in_channels, out_channels, 1, stride, generator)
            self.shortcut = nn.Sequential(OrderedDict(conv=projection, norm=nn.BatchNorm2d(out_channels)))

    def forward(self, x: Tensor) -> Tensor:
        """(n_examples, in_channels, height, width) to (n_examples, out_channels, height / stride, width / stride), rounded up."""
        inner: Tensor = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        out: Tensor = self.act2(inner + self.shortcut(x))
        return out


def small_resnet(
    in_channels: int,
    n_classes: int,
    *,
    widths: Sequence[int] = (16, 32, 64),
    blocks_per_stage: int = 1,
    activation: str | Callable[[], nn.Module] = "relu",
    seed: int = 0,
) -> nn.Sequential:
    """A residual network for small images, (n_examples, in_channels, height, width) to logits (n_examples, n_classes).

    A 3×3 convolution, a stage of `ResidualBlock`s for each of `widths`, every stage after the first at half the size, the mean
    over pixels, one linear layer; 3 blocks per stage of widths 16, 32, 64 are the ResNet-20 of He et al. 2016. Convolutions are
    drawn He-normal by fan-out.

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
    generator = torch.Generator().manual_seed(seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=_conv(in_channels, widths[0], 3, 1, generator),
        norm=nn.BatchNorm2d(widths[0]),
        act=_activation(activation)(),
    )
    n_channels = widths[0]
    for stage, width in enumerate(widths, start=1):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for block in range(1, blocks_per_stage + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            blocks[f"block{block}"] = ResidualBlock(
                n_channels, width, stride=stride, activation=activation, generator=generator
            )
            n_channels = width
        layers[f"stage{stage}"] = nn.Sequential(blocks)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["output"] = _linear(n_channels, n_classes, "torch", generator)
    return nn.Sequential(layers)


def _activation(activation: str | Callable[[], nn.Module]) -> Callable[[], nn.Module]:
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


def _linear(n_inputs: int, n_outputs: int, init: Initialization, generator: torch.Generator) -> nn.Linear:
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


def _conv(n_inputs: int, n_outputs: int, size: int, stride: int, generator: torch.Generator) -> nn.Conv2d:
    layer = nn.Conv2d(n_inputs, n_outputs, size, stride=stride, padding=size // 2, bias=False, device="meta")
    layer = layer.to_empty(device="cpu")
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return layer
