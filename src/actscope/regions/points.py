"""Inputs as the caller gives them, checked and in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_points"]


def as_points(values: Any, name: str) -> Tensor:
    """(n, *input_shape) float64, on the device where `values` is.

    Args:
        values: a tensor or array.
        name: what the caller calls it, for errors.

    Raises:
        TypeError: if it is neither.
        ValueError: if a value is not finite, or there is no axis of points.

    Example:
        >>> as_points(np.ones((2, 3), dtype=np.float32), "x").dtype
        torch.float64
    """
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(np.array(values))
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor or an array, got {type(values).__name__}")
    points = values.detach().to(torch.float64)
    if points.ndim < 2:
        raise ValueError(
            f"{name} has shape {tuple(points.shape)}: give points along the first axis, each with its input axes after it"
        )
    if not bool(torch.isfinite(points).all()):
        row = int(torch.isfinite(points).flatten(1).all(dim=1).logical_not().nonzero()[0])
        raise ValueError(f"{name}[{row}] has a value that is not finite: a region needs finite inputs")
    return points
