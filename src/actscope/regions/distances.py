"""How far each example is from the boundary of its region, exactly, and what bounds the region there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.selection import Layers
from actscope.progress import progress_bar
from actscope.regions.boundaries import NEGLIGIBLE, Boundaries, Boundary
from actscope.regions.examples import chunks, read_at
from actscope.regions.programs.linearization import Linearization, Linearizer, Stop
from actscope.regions.programs.program import ChoiceStep, Program, SiteStep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Distances", "distance_to_boundary"]

_DIRECTIONS = 32
"""Directions at a time: enough for the operations to be worth their calls."""


@dataclass(frozen=True, eq=False, repr=False)
class Distances:
    """How far each example is from the boundary of its region.

    Attributes:
        distance: (n,) float64, Euclidean, in the units of the input; infinite where the region is the whole space.
        nearest: (n,) int64: the boundary that is nearest, a number in `boundaries`; -1 where there is none.
        boundaries: what the numbers stand for; see `boundary`.
    """

    distance: NDArray[np.float64]
    nearest: NDArray[np.int64]
    boundaries: Boundaries

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.distance)

    def boundary(self, example: int) -> Boundary | None:
        """Which neuron, or which pair of entries of a pooling, is nearest to switching; `None` if nothing ever does."""
        number = int(self.nearest[example])
        return None if number < 0 else self.boundaries[number]

    def to_dict(self) -> dict[str, Any]:
        """Both arrays as lists."""
        return {"distance": self.distance.tolist(), "nearest": self.nearest.tolist()}

    def plot(self, ax: Axes | None = None) -> Axes:
        """A histogram of the distances."""
        from actscope.figures.diameters import draw_diameters

        shares = np.full(len(self), 1 / len(self))
        ax = draw_diameters(self.distance, shares, xlabel="distance to the boundary", ax=ax)
        ax.set_ylabel("share of examples")
        return ax

    def __repr__(self) -> str:
        words = f"median {np.median(self.distance):.4g}, smallest {self.distance.min():.4g}"
        return f"Distances({len(self):,} example{'s' * (len(self) != 1)}: {words})"


def distance_to_boundary(
    model: nn.Module | Program,
    x: Any,
    *,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Distances:
    """The Euclidean distance from each example to the boundary of its region, and which hyperplane is nearest.

    A region is an intersection of halfspaces, so the distance is the smallest to any of their hyperplanes,

        min |z - γ| / ‖∇z‖,

    over every neuron and level, and over every pair of entries of a pooling with z their difference and γ = 0 (the distance of Hanin
    and Rolnick 2019, "Complexity of linear regions in deep networks", to the neurons' bent hyperplanes). The region is the
    example's cell, as for `diameter`, which is never shorter than twice this distance.

    Gradients are taken along a basis of the input a few directions at a time, and only their squared lengths are kept.

    Args:
        model: any piecewise-linear module, or its `Program`.
        x: (n, *input_shape) examples, a tensor or array.
        layers, breakpoints, activations: as for `actscope.encode`: the sites whose patterns count.
        device: where to compute; the model's own device if `None`.
        batch_size: examples at a time; by default as many as fit a fixed memory.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Raises:
        NotPiecewiseLinearError: if a chosen site is not piecewise linear in the input; the message names the operation.
        ValueError: if an example is not finite, or the shape is not the model's.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> _ = nn.init.eye_(model[0].weight), nn.init.zeros_(model[0].bias)
        >>> found = distance_to_boundary(model, torch.tensor([[3.0, -2.0]]))
        >>> found.distance, str(found.boundary(0))
        (array([2.]), 'neuron (1) of 1 at 0')
    """
    program, points = read_at(model, x, layers=layers, breakpoints=breakpoints, activations=activations, device=device)
    program = program.until_last_site()
    linearizer, boundaries = Linearizer(program), Boundaries(program)
    k = min(_DIRECTIONS, linearizer.n_directions)
    distance, nearest = np.full(len(points), math.inf), np.full(len(points), -1)
    with progress_bar("distances", total=len(points), show=progress) as advance:
        for rows in chunks(len(points), k * linearizer.width, batch_size):
            linearization = linearizer.at(points[rows].to(program.device))
            for stop, norms, offset in zip(
                linearization.stops, _squares(linearization, linearizer.directions(k)), boundaries.offsets, strict=False
            ):
                found, numbers = _nearest(stop, *norms)
                closer = found < distance[rows]
                distance[rows][closer] = found[closer]
                nearest[rows][closer] = offset + numbers[closer]
            advance(rows.stop - rows.start)
    return Distances(distance, nearest, boundaries)


def _squares(linearization: Linearization, directions: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """For each stop, squared lengths of what can bound a region there, in the shape of `_gaps`, and (n, 1) the largest of any gradient.

    Where a choice is made, gradients are those of the differences between each entry of a window and the chosen one.
    """
    sums: list[list[Tensor]] = []
    for chunk in directions:
        for i, (stop, dz) in enumerate(zip(linearization.stops, linearization.along(chunk), strict=False)):
            parts = [dz.square().sum(dim=1)]
            if isinstance(stop.step, ChoiceStep):
                parts.append(torch.stack([d.square().sum(dim=1) for d in _differences(stop, stop.step, dz)], dim=2))
            if i == len(sums):
                sums.append(parts)
            else:
                for total, part in zip(sums[i], parts, strict=True):
                    total += part
    return [(parts[-1].flatten(1), parts[0].amax(dim=1, keepdim=True)) for parts in sums]


def _differences(stop: Stop, step: ChoiceStep, values: Tensor) -> list[Tensor]:
    """(n, k, n_outputs) for each column of a choice's windows: the chosen entry less the one in this column."""
    if stop.chosen is None:
        raise RuntimeError("a choice without what it chose")
    windows = step.windows.to(values.device)
    winner = windows[torch.arange(len(windows), device=values.device), stop.chosen]
    own = values.gather(2, winner[:, None].expand(-1, values.shape[1], -1))
    return [own - values[:, :, column.clamp(min=0)] for column in windows.T]


def _nearest(stop: Stop, squares: Tensor, largest: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n,) the smallest distance at one stop, and (n,) the number of its boundary there."""
    matters = squares > NEGLIGIBLE**2 * largest
    lengths = squares.sqrt()
    if isinstance(stop.step, SiteStep):
        levels = stop.z.new_tensor(stop.step.levels)
        gaps = (stop.z[..., None] - levels).abs()
        distances = torch.where(matters[..., None], gaps / lengths[..., None], math.inf).flatten(1)
        found, numbers = distances.min(dim=1)
        return found.cpu().numpy(), numbers.cpu().numpy()
    if stop.chosen is None:
        raise RuntimeError("a choice without what it chose")
    windows = stop.step.windows.to(stop.z.device)
    width = windows.shape[1]
    gaps = torch.stack([d[:, 0] for d in _differences(stop, stop.step, stop.z[:, None])], dim=2)
    columns = torch.arange(width, device=windows.device)
    counts = (windows >= 0) & (columns != stop.chosen[..., None])
    distances = torch.where(matters & counts.flatten(1), gaps.flatten(1) / lengths, math.inf)
    found, places = distances.min(dim=1)
    output, column = places // width, places % width
    own = stop.chosen.gather(1, output[:, None])[:, 0]
    return found.cpu().numpy(), ((output * width + own) * width + column).cpu().numpy()
