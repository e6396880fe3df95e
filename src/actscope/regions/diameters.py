"""Stochastic activation diameters: how far a region reaches along random lines through examples in it, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.groups import distinct
from actscope.codes.selection import Layers
from actscope.progress import progress_bar
from actscope.regions.boundaries import Boundaries, Boundary
from actscope.regions.crossings import Crossings
from actscope.regions.examples import cell_codes, chunks, read_at
from actscope.regions.programs.linearization import Linearizer
from actscope.regions.programs.program import Program
from actscope.regions.summaries import DiameterSummary, weighted_median

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Diameters", "diameter"]


@dataclass(frozen=True, eq=False, repr=False)
class Diameters:
    """How far each example's region reaches on k lines through it.

    Attributes:
        left, right: (n, k) float64: the distance to the boundary against each direction and along it, in the units of the
        input; infinite
            where the region has no end.
        left_boundary, right_boundary: (n, k) int64: which boundary that is, a number in `boundaries`; -1 where there is none.
        boundaries: what the numbers stand for; see `boundary`.
        regions: (n,) int64: examples with the same number lie in the same region.
        points: (n, *input_shape) float64: the examples.
        directions: (n, k, *input_shape) float64: of any length; lengths are in the units of the input all the same.
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    left_boundary: NDArray[np.int64]
    right_boundary: NDArray[np.int64]
    boundaries: Boundaries
    regions: NDArray[np.int64]
    points: Tensor
    directions: Tensor

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.left)

    @property
    def length(self) -> NDArray[np.float64]:
        """(n, k) the diameters: left + right."""
        return self.left + self.right

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n, k) weights that add up to 1 and give every region the same, however many examples it holds."""
        counts = np.bincount(self.regions)
        share = 1.0 / (len(counts) * counts[self.regions] * self.length.shape[1])
        return np.repeat(share[:, None], self.length.shape[1], axis=1)

    def boundary(
        self, example: int, direction: int = 0, *, side: Literal["left", "right"] = "right"
    ) -> Boundary | None:
        """Which neuron, or which pair of entries of a pooling, ends the region on one side of one line; `None` if nothing does."""
        if side not in ("left", "right"):
            raise ValueError(f"side={side!r}: a line has the sides 'left' and 'right'")
        number = int((self.left_boundary if side == "left" else self.right_boundary)[example, direction])
        return None if number < 0 else self.boundaries[number]

    def summary(self, *, box: tuple[ArrayLike, ArrayLike] | None = None) -> DiameterSummary:
        """Median, share unbounded, and mean inside a box, in which every region counts the same (He et al. 2021, Section 5.1).

        Args:
            box: lowest and highest input, numbers or arrays of the shape of one example. The mean is over what lies of each line inside
                it: without a box there may be no finite mean.

        Raises:
            ValueError: if an example lies outside the box.

        Example:
            >>> model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
            >>> _ = nn.init.ones_(model[0].weight), nn.init.zeros_(model[0].bias)
            >>> diameter(model, torch.tensor([[1.0], [2.0], [-1.0]])).summary(box=(-2, 4))
            DiameterSummary(3 examples in 2 regions, 1 direction each: median inf, 100.0 % unbounded, mean 3 in the box)
        """
        lengths, weights = self.length, self.weights
        mean = None if box is None else float(np.sum(self._within(*box) * weights))
        return DiameterSummary(
            n_examples=len(self),
            n_regions=int(self.regions.max()) + 1,
            n_directions=lengths.shape[1],
            median=weighted_median(lengths, weights),
            share_unbounded=float(weights[np.isinf(lengths)].sum()),
            mean_in_box=mean,
        )

    def _within(self, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
        """(n, k) the part of each length that lies in the box."""
        shape = self.points.shape[1:]
        bounds = [np.broadcast_to(np.asarray(bound, dtype=float), shape).reshape(-1) for bound in (low, high)]
        points, directions = self.points.cpu().numpy(), self.directions.cpu().numpy()
        lengths = np.empty_like(self.left)
        for i, (point, lines) in enumerate(zip(points, directions, strict=True)):
            below, above = point.reshape(-1) - bounds[0], bounds[1] - point.reshape(-1)
            if min(below.min(), above.min()) < 0:
                raise ValueError(f"box=({low!r}, {high!r}) does not hold example {i}: give a box around all of them")
            speed = _unit(lines.reshape(len(lines), -1))
            with np.errstate(divide="ignore", invalid="ignore"):
                forth = np.where(speed > 0, above / speed, np.where(speed < 0, below / -speed, math.inf))
                back = np.where(speed > 0, below / speed, np.where(speed < 0, above / -speed, math.inf))
            lengths[i] = np.minimum(self.right[i], forth.min(axis=1)) + np.minimum(self.left[i], back.min(axis=1))
        return lengths

    def to_dict(self) -> dict[str, Any]:
        """Lengths, their two parts and the regions, as lists."""
        return {
            "length": self.length.tolist(),
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "left_boundary": self.left_boundary.tolist(),
            "right_boundary": self.right_boundary.tolist(),
            "regions": self.regions.tolist(),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """A histogram of the lengths in which every region counts the same."""
        from actscope.figures.diameters import draw_diameters

        return draw_diameters(self.length.reshape(-1), self.weights.reshape(-1), ax=ax)

    def __repr__(self) -> str:
        summary = self.summary()
        return f"Diameters({summary.in_words()})"


def diameter(
    model: nn.Module | Program,
    x: Any,
    *,
    directions: int | Tensor = 1,
    generator: torch.Generator | None = None,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Diameters:
    """The stochastic activation diameter of each example's region: its length on a line through the example in a random direction.

    The direction is uniform on the sphere (a Gaussian vector, normalized), as in He et al. 2021, Section 5.1; the length is exact. In
    the region every value is affine along the line, z(t) = z + t ż, so that one pass with slopes gives the boundary: the nearest of all
    t = (γ - z) / ż, and of all t at which an entry of a pooling overtakes the one that is chosen.

    The region is the example's *cell* up to the last chosen site: every kink and every pooling choice on the way is as it is at the
    example, and so is every chosen breakpoint. With all sites, the default breakpoints and no pooling, that is the activation
    region. With pooling, or with sites left out by `layers`, the pattern may be the same on the other side of a cell's
    boundary.

    Args:
        model: any piecewise-linear module, or its `Program`.
        x: (n, *input_shape) examples, a tensor or array.
        directions: how many lines an example, or the directions themselves, (n, k, *input_shape) of any length but zero.
        generator: what draws the directions, on the CPU; one seeded with 0 if `None`. Its draws do not depend on `batch_size`.
        layers, breakpoints, activations: as for `actscope.encode`: the sites whose patterns count.
        device: where to compute; the model's own device if `None`.
        batch_size: examples at a time; by default as many as fit a fixed memory.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Raises:
        NotPiecewiseLinearError: if a chosen site is not piecewise linear in the input; the message names the operation.
        ValueError: if an example is not finite, the shape is not the model's, or a direction is zero.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
        >>> _ = model.load_state_dict({"0.weight": torch.ones(2, 1), "0.bias": torch.tensor([0.0, -3.0])})
        >>> found = diameter(model, torch.tensor([[1.0]]), directions=torch.ones(1, 1, 1))
        >>> found.left, found.right, found.length
        (array([[1.]]), array([[2.]]), array([[3.]]))
        >>> print(found.boundary(0, side="right"))
        neuron (1) of 1 at 0
    """
    program, points = read_at(model, x, layers=layers, breakpoints=breakpoints, activations=activations, device=device)
    program = program.until_last_site()
    linearizer, boundaries = Linearizer(program), Boundaries(program)
    lines = _given(directions, points) if isinstance(directions, Tensor) else _drawn(directions, points, generator)
    n, k = lines.shape[:2]
    found, norms = Crossings.none(n, k), torch.empty((n, k), dtype=torch.float64)
    codes = []
    with progress_bar("diameters", total=n, show=progress) as advance:
        for rows in chunks(n, linearizer.width, batch_size):
            linearization = linearizer.at(points[rows].to(program.device))
            codes.append(cell_codes(linearization))
            for columns in chunks(k, (rows.stop - rows.start) * linearizer.width, None):
                part, own = found[rows, columns], lines[rows, columns]
                norms[rows, columns] = _norms(own)
                slopes = linearization.along(own.to(program.device))
                for stop, dz, offset in zip(linearization.stops, slopes, boundaries.offsets, strict=False):
                    part.take(stop, dz, offset)
            advance(rows.stop - rows.start)
    right, left = found.distances()
    return Diameters(
        left=left * norms.numpy(),
        right=right * norms.numpy(),
        left_boundary=found.numbers[..., 1].copy(),
        right_boundary=found.numbers[..., 0].copy(),
        boundaries=boundaries,
        regions=distinct(np.concatenate(codes)).inverse,
        points=points.cpu(),
        directions=lines,
    )


def _drawn(k: int, points: Tensor, generator: torch.Generator | None) -> Tensor:
    """(n, k, *input_shape) directions uniform on the sphere but for their lengths, drawn example by example."""
    if k < 1:
        raise ValueError(f"directions={k}: give one or more lines an example")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    drawn = torch.empty((len(points), k, *points.shape[1:]), dtype=torch.float64)
    for lines in drawn:
        lines.normal_(generator=generator)
    return drawn


def _given(directions: Tensor, points: Tensor) -> Tensor:
    shape = tuple(directions.shape)
    if directions.ndim != points.ndim + 1 or (shape[0], *shape[2:]) != tuple(points.shape) or not shape[1]:
        raise ValueError(
            f"directions has shape {shape}; for x of shape {tuple(points.shape)} it must be (n_examples, k, *input_shape): "
            "k directions for each example"
        )
    return directions.detach().to("cpu", torch.float64)


def _norms(lines: Tensor) -> Tensor:
    """(n, k) lengths of directions (n, k, …).

    Raises:
        ValueError: if one is zero, not finite, or so short or long that its square is.
    """
    norms: Tensor = torch.linalg.vector_norm(lines.flatten(2), dim=2)
    if not bool(((norms > 0) & (norms < math.inf)).all()):
        raise ValueError(
            "directions holds a vector whose length is 0 or not finite: it points nowhere; if it is only very short or long, scale it"
        )
    return norms


def _unit(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, n_in) directions of length one."""
    unit: NDArray[np.float64] = lines / np.linalg.norm(lines, axis=1, keepdims=True)
    return unit
