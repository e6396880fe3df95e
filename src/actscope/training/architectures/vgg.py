"""Networks of 3×3 convolutions and max pooling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn

from actscope.training.architectures.blocks import ConvolutionBlock
from actscope.training.layers import activation_maker, linear

__all__ = ["vgg"]


def vgg(
    in_channels: int,
    n_classes: int,
    *,
    groups: Sequence[tuple[int, int]],
    hidden: Sequence[int],
    activation: str | Callable[[], nn.Module] = "relu",
    seed: int = 0,
) -> nn.Sequential:
    """A VGG (Simonyan & Zisserman 2015) for images that its poolings shrink to one pixel, with batch normalization.

    Its parts are `stage1`, `pool1`, `stage2`, …, `flatten`, `linear1`, `norm1`, `act1`, …, `output`.

    Args:
        in_channels: of the images.
        n_classes: number of logits.
        groups: channels of each group of convolutions, and how many they are; 2×2 max pooling follows each group.
        hidden: width of each linear layer before the logits.
        activation: a name in `ACTIVATIONS`, or what makes a new module at each call.
        seed: decides the weights; PyTorch's own random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    n_features = in_channels
    for stage, (width, n_convolutions) in enumerate(groups, start=1):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(1, n_convolutions + 1):
            blocks[f"block{i}"] = ConvolutionBlock(n_features, width, activation=activation, generator=generator)
            n_features = width
        layers[f"stage{stage}"] = nn.Sequential(blocks)
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    for depth, width in enumerate(hidden, start=1):
        layers[f"linear{depth}"] = linear(n_features, width, "torch", generator)
        layers[f"norm{depth}"] = nn.BatchNorm1d(width)
        layers[f"act{depth}"] = activation_maker(activation)()
        n_features = width
    layers["output"] = linear(n_features, n_classes, "torch", generator)
    return nn.Sequential(layers)
