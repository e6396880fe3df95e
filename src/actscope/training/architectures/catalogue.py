"""The convolutional networks of the papers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from torch import nn

from actscope.training.architectures.blocks import BottleneckBlock, ConvolutionBlock, ResidualBlock
from actscope.training.architectures.densenet import densenet
from actscope.training.architectures.staged import staged_network
from actscope.training.architectures.vgg import vgg

__all__ = ["ARCHITECTURES", "architecture"]

_mnist = partial(staged_network, 1, 10, stem=32, shrinking_stem=True)
_cifar10 = partial(staged_network, 3, 10)
_without_projections = partial(ResidualBlock, shortcut="zeros")
_resnext_block = partial(BottleneckBlock, cardinality=8, expansion=2)

ARCHITECTURES: Mapping[str, Mapping[str, Callable[..., nn.Sequential]]] = MappingProxyType(
    {
        "mnist": MappingProxyType(
            {
                "VGG-18": partial(_mnist, block=ConvolutionBlock, stages=((32, 4), (64, 4), (128, 4), (256, 4))),
                "ResNet-18": partial(_mnist, block=ResidualBlock, stages=((32, 2), (64, 2), (128, 2), (256, 2))),
                "ResNet-34": partial(_mnist, block=ResidualBlock, stages=((32, 3), (64, 4), (128, 6), (256, 3))),
                "ResNeXt-26": partial(_mnist, block=_resnext_block, stages=((64, 2), (128, 3), (256, 3))),
                "DenseNet-28": partial(densenet, 1, 10, growth=3, layers_per_stage=(4, 4, 4)),
            }
        ),
        "cifar10": MappingProxyType(
            {
                "VGG-16": partial(
                    vgg, 3, 10, groups=((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), hidden=(4096, 4096)
                ),
                "VGG-19": partial(
                    vgg, 3, 10, groups=((32, 2), (128, 2), (256, 4), (512, 4), (512, 4)), hidden=(4096, 4096)
                ),
                "ResNet-18": partial(
                    _cifar10, block=ResidualBlock, stem=64, stages=((64, 2), (128, 2), (256, 2), (512, 2))
                ),
                "ResNet-20": partial(_cifar10, block=_without_projections, stem=16, stages=((16, 3), (32, 3), (64, 3))),
                "ResNet-32": partial(_cifar10, block=_without_projections, stem=16, stages=((16, 5), (32, 5), (64, 5))),
            }
        ),
    }
)
"""Makers of networks by data set and name; each takes `activation` and `seed`."""


def architecture(
    name: str, *, dataset: str, activation: str | Callable[[], nn.Module] = "relu", seed: int = 0
) -> nn.Sequential:
    """A convolutional network of He et al. 2021 (Tables 4 and 5) or Jiang et al. 2022 (VGG-16), from images to logits.

    For `mnist`, images are (n, 1, 28, 28): VGG-18, ResNet-18, ResNet-34, ResNeXt-26, DenseNet-28. For `cifar10`, they are (n, 3, 32, 32):
    VGG-16, VGG-19, ResNet-18, ResNet-20, ResNet-32.

    The tables give kernels, channels and how many blocks; the number in a name counts convolutions and linear layers, projections apart.
    What they leave open is decided so:

    - Batch normalization stands before every activation: the residual and dense networks' own papers have it, the VGG of
      He et al.'s public code too, also in its linear layers, and no dropout. Convolutions have no bias, which it would undo.
    - 3×3 convolutions are padded by one pixel; the first max pooling on MNIST has stride 2 and pads by one (28 → 14 → 7).
    - A stage after the first begins with stride 2 in its first 3×3 convolution (He et al. 2016; Xie et al. 2017): 7 → 4 → 2 → 1. So does a
      group of MNIST's VGG-18, for which the table prints no pooling as it does for CIFAR-10's VGG-19: it is the plain network that
      He et al. 2016 compare residual ones with.
    - Shortcuts change shape by a 1×1 convolution with batch normalization in ResNet-18, ResNet-34 and ResNeXt-26, by zeros and without
      parameters in CIFAR-10's ResNet-20 and ResNet-32 (He et al. 2016, options B and A).
    - DenseNet-28 is a DenseNet-BC with growth 3: normalization and activation stand before each convolution and before the last pooling;
      transitions keep half of the channels, rounded down (Huang et al. 2017); their pooling drops a last odd row and column (7 → 3 → 1).
    - VGG-19 begins with 32 channels, as printed. VGG-16 is configuration D of Simonyan & Zisserman 2015, three linear layers included.
    - Convolutions are drawn He-normal by fan-out, linear layers as PyTorch's.

    Args:
        name: of the network.
        dataset: `mnist` or `cifar10`.
        activation: a name in `ACTIVATIONS`, or what makes a new module at each call.
        seed: decides the weights; PyTorch's own random state is neither read nor changed.

    Raises:
        ValueError: no such network, or an unknown activation.
        TypeError: `activation` is a module instead of what makes one.

    Example:
        >>> import torch
        >>> from actscope import sites
        >>> images = torch.zeros(2, 1, 28, 28)
        >>> model = architecture("ResNet-18", dataset="mnist").eval()
        >>> model(images).shape
        torch.Size([2, 10])
        >>> len(sites(model, images)), sum(site.n_bits for site in sites(model, images))
        (17, 19712)
    """
    if dataset not in ARCHITECTURES:
        raise ValueError(f"dataset='{dataset}' has no architectures; choose one of {', '.join(ARCHITECTURES)}")
    makers = ARCHITECTURES[dataset]
    if name not in makers:
        raise ValueError(f"name='{name}' is no architecture for '{dataset}'; choose one of {', '.join(makers)}")
    return makers[name](activation=activation, seed=seed)
