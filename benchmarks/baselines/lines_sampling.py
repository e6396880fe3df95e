"""Regions along a segment that evenly spaced samples see."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.baselines.patterns import patterns

__all__ = ["count"]


def count(model: nn.Module, start: Tensor, end: Tensor, *, n: int = 100_000, batch_size: int = 4096) -> int:
    """How many runs of one activation pattern ``n`` samples from ``start`` to ``end`` (each one input) pass through.

    Args:
        model: in eval mode, and of the dtype of both ends. In float32 a sample nearer to a boundary than rounding can see may
            count twice.
    """
    found = np.concatenate(
        [
            patterns(model, torch.lerp(start, end, t.reshape(-1, *[1] * start.ndim)), batch_size=batch_size)
            for t in torch.split(torch.linspace(0, 1, n, dtype=start.dtype), batch_size)
        ]
    )
    return 1 + int((found[1:] != found[:-1]).any(axis=1).sum())
