"""Stochastic activation diameters without geometry: by samples on a line, and by bisection."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.baselines.patterns import patterns

__all__ = ["by_bisection", "by_samples"]


def by_samples(
    model: nn.Module, x: Tensor, directions: Tensor, *, half_length: float, n: int = 200, examples_at_once: int = 64
) -> Tensor:
    """How long, (n_examples,), the region of each example is on its line: the share of samples there with the example's own pattern.

    ``n`` evenly spaced samples lie on each line within ``half_length`` of the example (He et al. 2021 take 200): a length is known to
    one spacing, and cannot exceed the line.

    Args:
        model: in eval mode, and of the dtype of the inputs.
        x: inputs (n_examples, …).
        directions: of length one, in the shape of ``x``.
    """
    t = torch.linspace(-half_length, half_length, n, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    spacing = 2 * half_length / (n - 1)
    own = patterns(model, x)
    n_inside = []
    for first in range(0, len(x), examples_at_once):
        chunk = slice(first, first + examples_at_once)
        lines = x[chunk, None] + t * directions[chunk, None]
        found = patterns(model, lines.flatten(0, 1)).reshape(-1, n, own.shape[1])
        n_inside.append((found == own[chunk, None]).all(axis=2).sum(axis=1))
    return torch.from_numpy(np.concatenate(n_inside) * spacing)


def by_bisection(
    model: nn.Module, x: Tensor, directions: Tensor, *, half_length: float, steps: int = 40
) -> tuple[Tensor, Tensor]:
    """How far each example's region reaches along its direction and against it, (n_examples,) each; ``inf`` where beyond ``half_length``.

    A region is convex, so that a pattern differs on a ray from the boundary on: each step halves the interval that holds the boundary,
    for all examples in one batch.

    Args:
        model: in eval mode, and of the dtype of the inputs.
        x: inputs (n_examples, …).
        directions: of length one, in the shape of ``x``.
    """
    own = patterns(model, x)
    forth = _reach(model, x, directions, own, half_length, steps)
    back = _reach(model, x, -directions, own, half_length, steps)
    return forth, back


def _reach(model: nn.Module, x: Tensor, directions: Tensor, own: np.ndarray, half_length: float, steps: int) -> Tensor:
    def inside(t: Tensor) -> Tensor:
        found = patterns(model, x + t.reshape(-1, *[1] * (x.ndim - 1)) * directions)
        return torch.from_numpy((found == own).all(axis=1))

    low = torch.zeros(len(x), dtype=x.dtype)
    high = torch.full_like(low, half_length)
    unbounded = inside(high)
    for _ in range(steps):
        middle = (low + high) / 2
        is_inside = inside(middle)
        low, high = torch.where(is_inside, middle, low), torch.where(is_inside, high, middle)
    return torch.where(unbounded, torch.inf, (low + high) / 2)
