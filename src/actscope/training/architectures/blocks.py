"""What convolutional networks are made of: images in, images out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actscope.training.layers import activation_maker, conv

__all__ = ["BlockMaker", "BottleneckBlock", "ConvolutionBlock", "ResidualBlock", "Shortcut", "ZeroPaddedShortcut"]

Shortcut = Literal["projection", "zeros"]


class BlockMaker(Protocol):
    """Makes a block from `in_channels` to `out_channels` that shrinks the image `stride`-fold."""

    def __call__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        activation: str | Callable[[], nn.Module],
        generator: torch.Generator,
    ) -> nn.Module: ...


class ConvolutionBlock(nn.Sequential):
    """A 3×3 convolution, batch normalization, the activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        activation: str | Callable[[], nn.Module] = "relu",
        generator: torch.Generator,
    ) -> None:
        super().__init__(
            OrderedDict(
                conv=conv(in_channels, out_channels, 3, stride=stride, generator=generator),
                norm=nn.BatchNorm2d(out_channels),
                act=activation_maker(activation)(),
            )
        )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch normalization, added to their input: act2(norm2(conv2(act1(norm1(conv1(x))))) + shortcut(x)).

    Where the shape changes, `shortcut` is a 1×1 convolution with batch normalization (`projection`), or every `stride`-th pixel with
    channels of zeros added (`zeros`); elsewhere it is the identity (He et al. 2016, options B and A).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        activation: str | Callable[[], nn.Module] = "relu",
        shortcut: Shortcut = "projection",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        make_activation = activation_maker(activation)
        self.conv1 = conv(in_channels, out_channels, 3, stride=stride, generator=generator)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.act1 = make_activation()
        self.conv2 = conv(out_channels, out_channels, 3, generator=generator)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.act2 = make_activation()
        self.shortcut = _shortcut(in_channels, out_channels, stride, shortcut, generator)

    def forward(self, x: Tensor) -> Tensor:
        """(n_examples, in_channels, height, width) to (n_examples, out_channels, height / stride, width / stride), rounded up."""
        inner: Tensor = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        out: Tensor = self.act2(inner + self.shortcut(x))
        return out


class BottleneckBlock(nn.Module):
    """A 1×1, a grouped 3×3 and a 1×1 convolution, added to their input (Xie et al. 2017, Figure 3c).

    The inner convolutions have `out_channels / expansion` channels; the grouped one, in `cardinality` groups, has the stride. Each has
    batch normalization, the last is activated after the addition. Where the shape changes, the shortcut is a projection.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        activation: str | Callable[[], nn.Module] = "relu",
        cardinality: int = 1,
        expansion: int = 2,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if out_channels % (expansion * cardinality):
            raise ValueError(
                f"out_channels={out_channels} must be a multiple of expansion · cardinality = {expansion} · {cardinality}"
            )
        make_activation = activation_maker(activation)
        width = out_channels // expansion
        self.conv1 = conv(in_channels, width, 1, generator=generator)
        self.norm1 = nn.BatchNorm2d(width)
        self.act1 = make_activation()
        self.conv2 = conv(width, width, 3, stride=stride, groups=cardinality, generator=generator)
        self.norm2 = nn.BatchNorm2d(width)
        self.act2 = make_activation()
        self.conv3 = conv(width, out_channels, 1, generator=generator)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.act3 = make_activation()
        self.shortcut = _shortcut(in_channels, out_channels, stride, "projection", generator)

    def forward(self, x: Tensor) -> Tensor:
        """(n_examples, in_channels, height, width) to (n_examples, out_channels, height / stride, width / stride), rounded up."""
        inner: Tensor = self.act2(self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x))))))
        out: Tensor = self.act3(self.norm3(self.conv3(inner)) + self.shortcut(x))
        return out


class ZeroPaddedShortcut(nn.Module):
    """Every `stride`-th pixel, and channels of zeros behind those there are: no parameters (He et al. 2016, option A)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(f"out_channels={out_channels} must be at least in_channels={in_channels}: zeros only add")
        self.n_added = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n_examples, in_channels, height, width) to (n_examples, out_channels, height / stride, width / stride), rounded up."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.n_added))

    def extra_repr(self) -> str:
        """What `print` shows of it."""
        return f"n_added={self.n_added}, stride={self.stride}"


def _shortcut(
    in_channels: int, out_channels: int, stride: int, kind: Shortcut, generator: torch.Generator
) -> nn.Module:
    if kind not in get_args(Shortcut):
        raise ValueError(f"shortcut='{kind}' is not known; choose 'projection' or 'zeros'")
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind == "zeros":
        return ZeroPaddedShortcut(in_channels, out_channels, stride=stride)
    projection = conv(in_channels, out_channels, 1, stride=stride, generator=generator)
    return nn.Sequential(OrderedDict(conv=projection, norm=nn.BatchNorm2d(out_channels)))
