"""Regions in a plane that a grid of forward passes sees."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from actscope.codes.groups import count_distinct
from benchmarks.baselines.patterns import patterns
from benchmarks.baselines.windows import Window

__all__ = ["count"]


def count(
    model: nn.Module,
    window: Window,
    *,
    k: int = 1000,
    input_shape: tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float32,
    batch_size: int = 4096,
) -> int:
    """How many different activation patterns the k × k points of a grid in a window have: what it misses lies between them.

    Args:
        model: in eval mode and of this dtype.
        input_shape: the shape of one input, if that is not flat.
    """
    s, t = (_middles(low, high, k, dtype) for low, high in (window.bounds[:2], window.bounds[2:]))
    origin, *axes = (torch.from_numpy(vector).to(dtype) for vector in (window.origin, window.u, window.v))
    rows = max(1, batch_size // k)
    found = []
    for some in torch.split(t, rows):
        points = origin + torch.cartesian_prod(some, s).flip(1) @ torch.stack(axes)
        if input_shape is not None:
            points = points.reshape(-1, *input_shape)
        found.append(patterns(model, points, batch_size=batch_size))
    return count_distinct(np.concatenate(found))


def _middles(low: float, high: float, k: int, dtype: torch.dtype) -> Tensor:
    """The middles of k equal parts of an interval, (k,)."""
    return low + (high - low) * (torch.arange(k, dtype=dtype) + 0.5) / k
