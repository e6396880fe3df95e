"""Networks of one pattern: a first convolution, stages of like blocks, the mean over pixels, one linear layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn

from actscope.training.architectures.blocks import BlockMaker
from actscope.training.layers import activation_maker, conv, linear

__all__ = ["first_layers", "last_layers", "staged_network"]


def staged_network(
    in_channels: int,
    n_classes: int,
    *,
    block: BlockMaker,
    stages: Sequence[tuple[int, int]],
    stem: int,
    shrinking_stem: bool = False,
    activation: str | Callable[[], nn.Module] = "relu",
    seed: int = 0,
) -> nn.Sequential:
    """A network for small images, (n_examples, in_channels, height, width) to logits (n_examples, n_classes).

    Its parts are `conv`, `norm`, `act`, `stage1`, …, `pool`, `flatten`, `output`. The first block of every stage after the first halves
    the image.

    Args:
        in_channels: of the images.
        n_classes: number of logits.
        block: what makes a block of a stage.
        stages: channels of each stage, and how many blocks it has.
        stem: channels of the first convolution, 3×3.
        shrinking_stem: whether that has stride 2 and a 3×3 max pooling of stride 2 after it (`maxpool`).
        activation: a name in `ACTIVATIONS`, or what makes a new module at each call.
        seed: decides the weights; PyTorch's own random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = first_layers(in_channels, stem, shrinking=shrinking_stem, activation=activation, generator=generator)
    n_channels = stem
    for stage, (width, n_blocks) in enumerate(stages, start=1):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(1, n_blocks + 1):
            stride = 2 if stage > 1 and i == 1 else 1
            blocks[f"block{i}"] = block(n_channels, width, stride=stride, activation=activation, generator=generator)
            n_channels = width
        layers[f"stage{stage}"] = nn.Sequential(blocks)
    layers.update(last_layers(n_channels, n_classes, generator=generator))
    return nn.Sequential(layers)


def first_layers(
    in_channels: int,
    width: int,
    *,
    shrinking: bool,
    activation: str | Callable[[], nn.Module],
    generator: torch.Generator,
) -> OrderedDict[str, nn.Module]:
    """A 3×3 convolution, batch normalization and the activation; if `shrinking`, to a quarter of the image's height and width."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=conv(in_channels, width, 3, stride=2 if shrinking else 1, generator=generator),
        norm=nn.BatchNorm2d(width),
        act=activation_maker(activation)(),
    )
    if shrinking:
        layers["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
    return layers


def last_layers(n_channels: int, n_classes: int, *, generator: torch.Generator) -> OrderedDict[str, nn.Module]:
    """The mean over pixels, and one linear layer."""
    return OrderedDict(
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        output=linear(n_channels, n_classes, "torch", generator),
    )
