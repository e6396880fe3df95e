"""Densely connected networks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from actscope.training.architectures.staged import first_layers, last_layers
from actscope.training.layers import activation_maker, conv

__all__ = ["DenseLayer", "densenet"]


class DenseLayer(nn.Module):
    """Its input, and `growth` channels more: cat(x, conv2(act2(norm2(conv1(act1(norm1(x))))))), the convolutions 1×1 and 3×3."""

    def __init__(
        self,
        in_channels: int,
        *,
        bottleneck: int,
        growth: int,
        activation: str | Callable[[], nn.Module] = "relu",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        make_activation = activation_maker(activation)
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.act1 = make_activation()
        self.conv1 = conv(in_channels, bottleneck, 1, generator=generator)
        self.norm2 = nn.BatchNorm2d(bottleneck)
        self.act2 = make_activation()
        self.conv2 = conv(bottleneck, growth, 3, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(n_examples, in_channels, height, width) to (n_examples, in_channels + growth, height, width)."""
        new = self.conv2(self.act2(self.norm2(self.conv1(self.act1(self.norm1(x))))))
        return torch.cat([x, new], dim=1)


def densenet(
    in_channels: int,
    n_classes: int,
    *,
    growth: int,
    layers_per_stage: Sequence[int],
    compression: float = 0.5,
    activation: str | Callable[[], nn.Module] = "relu",
    seed: int = 0,
) -> nn.Sequential:
    """A DenseNet-BC (Huang et al. 2017) that begins at a quarter of the image's height and width.

    Its parts are `conv`, `norm`, `act`, `maxpool`, `stage1`, `transition1`, `stage2`, …, `last_norm`, `last_act`, `pool`, `flatten`,
    `output`. A transition is batch normalization, the activation, a 1×1 convolution to `compression` times the channels, rounded down,
    and the mean over 2×2 pixels.

    Args:
        in_channels: of the images.
        n_classes: number of logits.
        growth: k, channels that a layer adds; its 1×1 convolution has 4k, the first convolution of the network 2k.
        layers_per_stage: layers of each dense stage.
        compression: θ of the transitions between stages.
        activation: a name in `ACTIVATIONS`, or what makes a new module at each call.
        seed: decides the weights; PyTorch's own random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    n_channels = 2 * growth
    layers = first_layers(in_channels, n_channels, shrinking=True, activation=activation, generator=generator)
    for stage, n_layers in enumerate(layers_per_stage, start=1):
        if stage > 1:
            n_kept = int(compression * n_channels)
            layers[f"transition{stage - 1}"] = _transition(n_channels, n_kept, activation, generator)
            n_channels = n_kept
        dense: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(1, n_layers + 1):
            dense[f"layer{i}"] = DenseLayer(
                n_channels, bottleneck=4 * growth, growth=growth, activation=activation, generator=generator
            )
            n_channels += growth
        layers[f"stage{stage}"] = nn.Sequential(dense)
    layers["last_norm"] = nn.BatchNorm2d(n_channels)
    layers["last_act"] = activation_maker(activation)()
    layers.update(last_layers(n_channels, n_classes, generator=generator))
    return nn.Sequential(layers)


def _transition(
    n_inputs: int, n_outputs: int, activation: str | Callable[[], nn.Module], generator: torch.Generator
) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(n_inputs),
            act=activation_maker(activation)(),
            conv=conv(n_inputs, n_outputs, 1, generator=generator),
            pool=nn.AvgPool2d(2),
        )
    )
