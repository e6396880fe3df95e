"""The networks and inputs of the measurements of regions, the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from actscope.training import MLP
from actscope.training.models import ResidualBlock

__all__ = ["NETWORKS", "Layer", "images", "layers_of", "residual_cnn"]

Layer = tuple[np.ndarray, np.ndarray]
"""Weight (n_outputs, n_inputs) and bias (n_outputs,), float64."""


def images(n: int, *, seed: int = 0) -> Tensor:
    """Images of uniform pixels, (n, 1, 28, 28) float64."""
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def residual_cnn(*, seed: int = 0) -> nn.Sequential:
    """A residual network with batch normalization and max pooling for images 1×28×28: 4,432 ReLUs.

    Scales and shifts of the normalizations are drawn, and their running statistics are those of 256 images.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            ResidualBlock(4, 4, generator=generator),
            nn.MaxPool2d(2),
            ResidualBlock(4, 16, generator=generator),
            nn.MaxPool2d(3, stride=2, padding=1),
            ResidualBlock(16, 16, generator=generator),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, 10),
        )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, std=0.3, generator=generator)
            module.momentum = None  # the plain mean over batches
    with torch.no_grad():
        model.train()(images(256, seed=seed + 1).float())
    return model.eval()


NETWORKS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "2-3×32": lambda: MLP(2, [32] * 3, 1, init="torch", seed=0),
        "2-3×128": lambda: MLP(2, [128] * 3, 1, init="torch", seed=0),
        "784-3×32": lambda: MLP(784, [32] * 3, 10, init="he", seed=0),
        "784-3×100": lambda: MLP(784, [100] * 3, 10, init="he", seed=0),
        "residual CNN": residual_cnn,
    }
)
"""What makes each network, by the name that the measurements print: inputs, then hidden layers × their width."""


def layers_of(model: nn.Module) -> list[Layer]:
    """The linear layers of an MLP with ReLUs between them, in their order; the last one is the output."""
    return [
        (module.weight.detach().double().numpy(), module.bias.detach().double().numpy())
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
