"""The forward passes on given points, and nothing else: what any geometry by probing has to pay."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["outputs"]


def outputs(model: nn.Module, points: Tensor, *, batch_size: int = 1024) -> Tensor:
    """The model's outputs (n_points, …) in float64, eval mode and without gradients; the model itself is left as it is."""
    exact = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        return torch.cat([exact(batch) for batch in torch.split(points.double(), batch_size)])
