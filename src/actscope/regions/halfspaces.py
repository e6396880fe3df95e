"""The halfspaces whose intersection is a region: what every neuron and every pooling choice asks of the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.regions.boundaries import NEGLIGIBLE, Boundaries
from actscope.regions.programs.linearization import Linearizer, Stop
from actscope.regions.programs.program import ChoiceStep, Program, SiteStep

__all__ = ["Halfspaces", "halfspaces"]

_BYTES = 1 << 26


@dataclass(frozen=True, eq=False, repr=False)
class Halfspaces:
    """{x: A x ≤ b}, the closed cell of one point, with what each row belongs to.

    Attributes:
        A: (n_halfspaces, n_in) float64, inputs flattened; no row is zero.
        b: (n_halfspaces,) float64.
        boundaries: (n_halfspaces,) int64: numbers in `names`.
        names: what the numbers stand for.
    """

    A: NDArray[np.float64]
    b: NDArray[np.float64]
    boundaries: NDArray[np.int64]
    names: Boundaries

    def __len__(self) -> int:
        return len(self.b)

    def __repr__(self) -> str:
        return f"Halfspaces({len(self)} in {self.A.shape[1]} dimensions)"


def halfspaces(program: Program, points: Tensor) -> Iterator[Halfspaces]:
    """For each point in turn, all halfspaces of its cell: where every kink and every pooling choice is as it is at the point.

    A neuron whose pre-activation z lies in (γ, γ'] asks for -∇z·x ≤ (z0 - γ) - ∇z·x0 and ∇z·x ≤ (γ' - z0) + ∇z·x0, where x0 is
    the point and z0 its value there; an entry o of a choice in which c is chosen asks for ∇(zo - zc)·x ≤ (zc - zo) + ∇(zo - zc)·x0.
    Rows whose gradient is zero but for rounding bound nothing, and are left out.

    Args:
        program: the model; give `program.until_last_site()` for the cells of the chosen sites alone.
        points: (n, *input_shape) float64, on the program's device.

    Example:
        >>> from actscope.regions import read_program
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
        >>> _ = torch.nn.init.eye_(model[0].weight), torch.nn.init.zeros_(model[0].bias)
        >>> program = read_program(model, torch.zeros(1, 2))
        >>> found = next(halfspaces(program, torch.tensor([[1.0, -1.0]], dtype=torch.float64)))
        >>> found.A + 0, found.b + 0
        (array([[-1.,  0.],
               [ 0.,  1.]]), array([0., 0.]))
        >>> [str(found.names[number]) for number in found.boundaries]
        ['neuron (0) of 1 at 0', 'neuron (1) of 1 at 0']
    """
    linearizer, names = Linearizer(program), Boundaries(program)
    basis = linearizer.basis()
    step = max(1, _BYTES // (8 * linearizer.width))
    for point in points:
        linearization = linearizer.at(point[None])
        parts: list[list[Tensor]] = [[] for _ in linearization.stops]
        for directions in torch.split(basis, step):
            for part, dz in zip(parts, linearization.along(directions), strict=False):
                part.append(dz[0])
        rows = [
            _rows(stop, torch.cat(part), offset)
            for stop, part, offset in zip(linearization.stops, parts, names.offsets, strict=False)
        ]
        gradients, room, numbers = (torch.cat(part) for part in zip(*rows, strict=True))
        A = gradients @ basis.flatten(1)
        yield Halfspaces(A.cpu().numpy(), (room + A @ point.flatten()).cpu().numpy(), numbers.cpu().numpy(), names)


def _rows(stop: Stop, dz: Tensor, offset: int) -> tuple[Tensor, Tensor, Tensor]:
    """(m, r) outward gradients in the basis, (m,) how far the value may still rise, (m,) numbers: those of one stop."""
    z, scale = stop.z[0], torch.linalg.vector_norm(dz, dim=0).max()
    if isinstance(stop.step, SiteStep):
        gradients, room, numbers = _of_site(stop.step, z, dz.T)
    else:
        gradients, room, numbers = _of_choice(stop, stop.step, z, dz.T)
    matters = (torch.linalg.vector_norm(gradients, dim=1) > NEGLIGIBLE * scale) & torch.isfinite(room)
    return gradients[matters], room[matters], offset + numbers[matters]


def _of_site(step: SiteStep, z: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    levels = z.new_tensor(step.levels)
    interval = torch.bucketize(
        z.contiguous(), levels
    )  # the number of levels below z; z on a level counts as not above it
    above, below = torch.nonzero(interval > 0)[:, 0], torch.nonzero(interval < len(levels))[:, 0]
    low, high = interval[above] - 1, interval[below]
    return (
        torch.cat([-gradients[above], gradients[below]]),
        torch.cat([z[above] - levels[low], levels[high] - z[below]]),
        torch.cat([above * len(levels) + low, below * len(levels) + high]),
    )


def _of_choice(stop: Stop, step: ChoiceStep, z: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if stop.chosen is None:
        raise RuntimeError("a choice without what it chose")
    windows = step.windows.to(z.device)
    n_outputs, width = windows.shape
    columns = torch.arange(width, device=z.device).expand(n_outputs, -1)
    chosen = stop.chosen[0][:, None].expand(-1, width)
    outputs, others = torch.nonzero((windows >= 0) & (columns != chosen), as_tuple=True)
    own = stop.chosen[0][outputs]
    winner, rival = windows[outputs, own], windows[outputs, others]
    return gradients[rival] - gradients[winner], z[winner] - z[rival], (outputs * width + own) * width + others
