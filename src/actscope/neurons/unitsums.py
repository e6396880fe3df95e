"""Sums over the examples of one training step, for the units of one site; they stay on the model's device until they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["UnitSums", "by_unit", "rows_of_weights"]


def by_unit(values: Tensor) -> Tensor:
    """(n_examples, n_units, n_positions) of an activation, examples first.

    Units are channels where two or more axes follow them, the last axis where one lies between (tokens × features), else neurons.

    Example:
        >>> by_unit(torch.zeros(2, 3, 4, 4)).shape, by_unit(torch.zeros(2, 7, 5)).shape, by_unit(torch.zeros(2, 6)).shape
        (torch.Size([2, 3, 16]), torch.Size([2, 5, 7]), torch.Size([2, 6, 1]))
    """
    values = values.detach()
    if values.ndim >= 4:
        return values.flatten(2)
    if values.ndim == 3:
        return values.transpose(1, 2)
    return values.reshape(len(values), -1, 1)


def rows_of_weights(parameter: Tensor, gradient: Tensor, *, transposed: bool) -> dict[str, NDArray[np.float32]]:
    """|gradient|, |weight| and |gradient / weight| of each unit, each the mean over its incoming weights, zeros left out of the ratio.

    Args:
        parameter, gradient: of two or more axes, units along the first, or the second if `transposed`.

    Example:
        >>> weight = torch.tensor([[2.0, -4.0], [0.0, 1.0]])
        >>> rows_of_weights(weight, torch.ones(2, 2), transposed=False)["gradient_to_weight"]
        array([0.375, 1.   ], dtype=float32)
    """
    axis = 1 if transposed else 0
    w, g = (part.detach().float().movedim(axis, 0).flatten(1).abs() for part in (parameter, gradient))
    n_known = w.count_nonzero(dim=1)
    ratios = g / w
    if w.numel() and int(n_known.min()) < w.shape[1]:
        ratios = torch.where(w > 0, ratios, 0.0)
    ratio = ratios.sum(1) / n_known
    rows = torch.stack([g.mean(1), w.mean(1), ratio]).cpu().numpy()
    return dict(zip(("gradient", "weight", "gradient_to_weight"), rows, strict=True))


class UnitSums:
    """One site's sums over a step, or over a window of steps once `add` has joined them.

    Attributes:
        n: values of a unit: examples times positions.
        means, squares: (n_units,) mean of the post-activation and sum of squared distances from it.
        low, high: (n_units,) its extremes.
        above: (n_breakpoints, n_units), how many pre-activations lie above each.
        gradient_sum, gradient_size: (n_units,), Σ g and Σ |g| over examples, added up over positions first; `None` before a
            backward pass reached the site.
    """

    def __init__(self, breakpoints: Sequence[float]) -> None:
        self._breakpoints = tuple(breakpoints)
        self.n = 0
        self.n_above = 0
        self.means: Tensor | None = None
        self.squares: Tensor | None = None
        self.low: Tensor | None = None
        self.high: Tensor | None = None
        self.above: Tensor | None = None
        self.gradient_sum: Tensor | None = None
        self.gradient_size: Tensor | None = None

    def see_pre_activations(self, z: Tensor) -> None:
        """Count a forward pass's pre-activations."""
        units = by_unit(z)
        above = torch.stack([(units > point).sum((0, 2)) for point in self._breakpoints])
        self.above = above if self.above is None else self.above + above
        self.n_above += len(units) * units.shape[2]

    def see_post_activations(self, a: Tensor) -> None:
        """Sum up a forward pass's post-activations."""
        units = by_unit(a).float()
        mean = units.mean((0, 2))
        squares = (units - mean[:, None]).square().sum((0, 2))
        self._join(len(units) * units.shape[2], mean, squares, units.amin((0, 2)), units.amax((0, 2)))

    def see_gradients(self, g: Tensor) -> None:
        """Sum up a backward pass's gradients by the pre-activations."""
        units = by_unit(g).float().sum(2)
        total, size = units.sum(0), units.abs().sum(0)
        self.gradient_sum = total if self.gradient_sum is None else self.gradient_sum + total
        self.gradient_size = size if self.gradient_size is None else self.gradient_size + size

    def shares(self) -> NDArray[np.float64]:
        """(n_units,), the share of pre-activations in each unit's most frequent interval."""
        if self.above is None:
            return np.zeros(0)
        above = self.above.cpu().numpy().astype(np.float64)
        edges = np.concatenate([np.full((1, above.shape[1]), self.n_above), above, np.zeros((1, above.shape[1]))])
        most: NDArray[np.float64] = (edges[:-1] - edges[1:]).max(0) / max(self.n_above, 1)
        return most

    def _join(self, n: int, mean: Tensor, squares: Tensor, low: Tensor, high: Tensor) -> None:
        if self.means is None or self.squares is None or self.low is None or self.high is None:
            self.n, self.means, self.squares, self.low, self.high = n, mean, squares, low, high
            return
        gap, share = mean - self.means, n / (self.n + n)
        self.squares = self.squares + squares + gap.square() * (self.n * share)
        self.means = self.means + gap * share
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.n += n
