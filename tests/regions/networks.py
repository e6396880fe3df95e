"""A convolutional network with all that is piecewise linear in it, and inputs for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualPooled(nn.Module):
    """Convolutions with batch normalization, a residual sum and overlapping max pooling, on 1×28×28."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool, self.relu, self.head = nn.MaxPool2d(3, 2, 1), nn.ReLU(inplace=True), nn.Linear(196, 10)
        for norm in (self.norm1, self.norm2):
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.2, 0.2)

    @classmethod
    def drawn(cls, seed: int) -> ResidualPooled:
        """Weights by a seed; PyTorch's own random state is left alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm1(self.conv1(x))))
        y = self.norm2(self.conv2(x))
        y += x
        return self.head(self.relu(y).flatten(1))


def images(n: int) -> Tensor:
    """(n, 1, 28, 28) uniform pixels."""
    return torch.rand((n, 1, 28, 28), generator=torch.Generator().manual_seed(1))
