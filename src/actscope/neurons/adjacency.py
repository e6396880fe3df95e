"""What changes between two regions that touch: points on both sides of a border, as near as floats can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actscope.codes import Codes, encode
from actscope.codes.batches import Adapt
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.selection import Layers
from actscope.neurons.predictions import Inputs, paired, placed

__all__ = ["RegionBorders", "region_borders"]


@dataclass(frozen=True, eq=False, repr=False)
class RegionBorders:
    """Two points beside a border between activation regions, on each of some segments.

    Attributes:
        rows: (n,) int64, the segments that cross a border, as rows of the inputs.
        along: (n,) float64, where the border is: 0 at the segment's start, 1 at its end.
        distances: (n,) float64, Euclidean distance of the two points.
        n_differing: (n,) int64, neurons whose interval differs between them.
        most_intervals: (n,) int64, the largest number of intervals by which a neuron differs.
    """

    rows: NDArray[np.int64]
    along: NDArray[np.float64]
    distances: NDArray[np.float64]
    n_differing: NDArray[np.int64]
    most_intervals: NDArray[np.int64]

    @property
    def adjacent(self) -> NDArray[np.bool_]:
        """(n,) whether the two patterns differ by one interval of one neuron: *adjacent* in Definition 2 of Jiang et al. 2022."""
        one_neuron: NDArray[np.bool_] = (self.n_differing == 1) & (self.most_intervals == 1)
        return one_neuron

    @property
    def adjacent_share(self) -> float:
        """The share of borders where one neuron changes by one interval: 1 in general position."""
        return float(self.adjacent.mean())

    def to_dict(self) -> dict[str, Any]:
        """The borders as plain values."""
        return {
            "rows": self.rows.tolist(),
            "along": self.along.tolist(),
            "distances": self.distances.tolist(),
            "n_differing": self.n_differing.tolist(),
            "most_intervals": self.most_intervals.tolist(),
            "adjacent_share": self.adjacent_share,
        }

    def __repr__(self) -> str:
        return (
            f"RegionBorders({len(self.rows):,} borders, their two sides at most {self.distances.max():.2g} apart; one neuron changes by "
            f"one interval at a share of {self.adjacent_share:.4g} of them, at most {self.n_differing.max()} neurons change)"
        )


def region_borders(
    model: nn.Module,
    x: Inputs,
    y: Inputs,
    *,
    bisections: int = 50,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    adapt: Adapt = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> RegionBorders:
    """One border between activation regions on each segment, found by bisection, and how the patterns on its two sides differ.

    Jiang et al. 2022 call regions *adjacent* whose patterns are alike but for one neuron's side of one breakpoint (Definition 2), and say
    that they come arbitrarily close (Lemma 5). Read from the border, that holds for any continuous activation *in general position*: two
    regions that touch along a border differ in one neuron, unless several neurons have the very same border there (copies, multiples and
    opposites of a neuron; all that a constant layer feeds). Read from the patterns it holds for one hidden layer alone: deeper, two
    regions whose patterns differ in one neuron may have others between them everywhere.

    Args:
        model: any module whose forward pass is Python.
        x, y: (n, …) inputs: segments run from row i of one to row i of the other; those whose ends share a pattern are left out.
        bisections: how often to halve; 50 leave 1e-15 of the segment.
        layers, breakpoints, activations, adapt, batch_size: as for `actscope.encode`.
        device: where to run, on a copy of the model. The precision is float64.

    Raises:
        ValueError: if x and y differ in shape, or no segment has different patterns at its ends.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 20), nn.GELU())
        >>> region_borders(model, torch.randn(50, 2), torch.randn(50, 2)).adjacent_share
        1.0
    """
    starts, ends = (inputs.double() for inputs in paired(x, y))
    model, device, _ = placed(model, device, torch.float64)

    def codes_of(points: torch.Tensor) -> Codes:
        return encode(
            model,
            points,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            adapt=adapt,
            batch_size=batch_size,
            progress=False,
        )

    first = codes_of(starts).packed
    rows = np.flatnonzero((first != codes_of(ends).packed).any(axis=1))
    if not len(rows):
        raise ValueError(
            f"none of the {len(starts)} segments has different patterns at its ends; give inputs further apart"
        )
    starts, ends = starts[torch.from_numpy(rows)], ends[torch.from_numpy(rows)]
    low, high = np.zeros(len(rows)), np.ones(len(rows))

    def points(along: NDArray[np.float64]) -> torch.Tensor:
        return torch.lerp(starts, ends, torch.from_numpy(along).to(starts.device).reshape(-1, *[1] * (starts.ndim - 1)))

    before = first[rows]
    for _ in range(bisections):
        middle = (low + high) / 2
        packed = codes_of(points(middle)).packed
        same = (packed == before).all(axis=1)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    a, b = codes_of(points(low)).intervals().astype(np.int64), codes_of(points(high)).intervals().astype(np.int64)
    distances = (points(low) - points(high)).reshape(len(low), -1).norm(dim=1).cpu().numpy()
    return RegionBorders(rows, low, distances, (a != b).sum(axis=1), np.abs(a - b).max(axis=1))
