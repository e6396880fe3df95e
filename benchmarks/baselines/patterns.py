"""Activation patterns of given points by forward hooks on every ReLU module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["patterns"]


def patterns(model: nn.Module, points: Tensor, *, batch_size: int = 4096) -> np.ndarray:
    """One bit a ReLU for each of the points (n_points, …), packed: (n_points, n_bytes) uint8.

    The model runs as it is: in its own mode and dtype, which the points must have.
    """
    bits: list[Tensor] = []

    def read(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        bits.append((inputs[0] > 0).flatten(1))

    hooks = [module.register_forward_hook(read) for module in model.modules() if isinstance(module, nn.ReLU)]
    rows = []
    try:
        with torch.no_grad():
            for batch in torch.split(points, batch_size):
                model(batch)
                rows.append(np.packbits(torch.cat(bits, dim=1).numpy(), axis=1))
                bits.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return np.concatenate(rows)
