"""Boxes as the caller gives them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Box", "box_bounds"]

Box: TypeAlias = tuple[Any, Any]
"""Lower and upper bounds, each a number or of the shape of an input."""


def box_bounds(box: Box, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(2, n_inputs) float64: lower and upper bounds of each coordinate.

    Args:
        box: (lower, upper).
        shape: of an input.

    Raises:
        ValueError: if there are not two, they do not fit the shape, or a lower bound is not below its upper bound.

    Example:
        >>> box_bounds((-1, [1.0, 2.0]), (2,))
        array([[-1., -1.],
               [ 1.,  2.]])
    """
    try:
        lower, upper = box
    except (TypeError, ValueError):
        raise ValueError(f"box={box!r}: give (lower, upper), each a number or of shape {shape}") from None
    sides = []
    for name, side in (("lower", lower), ("upper", upper)):
        values = torch.as_tensor(side, dtype=torch.float64).cpu().numpy()
        if values.ndim and values.shape != shape:
            raise ValueError(f"the box's {name} bounds have shape {values.shape}, an input has {shape}")
        sides.append(np.broadcast_to(values, shape).reshape(-1))
    bounds = np.stack(sides).astype(np.float64)
    if not np.isfinite(bounds).all() or not (bounds[0] < bounds[1]).all():
        raise ValueError(f"box={box!r}: bounds must be finite, and each lower bound below its upper bound")
    return bounds
