"""The cells of many points at once, ready for geometry: hyperplanes of unit normals in chosen coordinates, and a key for each cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.bits import pack_bits
from actscope.regions.boundaries import NEGLIGIBLE, Boundaries, Boundary
from actscope.regions.programs.linearization import Linearizer
from actscope.regions.programs.program import ChoiceStep, Program, SiteStep

__all__ = ["BoxedBoundaries", "CellReader", "Cells"]

NOISE = 64 * np.finfo(float).eps
"""Rounding of a pre-activation, as a share of its stop's scale."""

_NUMBERS = 1 << 23
"""Numbers that the derivatives of one chunk of points take at a time."""


class BoxedBoundaries:
    """A number for everything that bounds a cell within a box: those of `Boundaries`, then the box's faces, all lower ones first.

    Args:
        program: the model.
        box: (2, n_inputs) float64; `None` without.
    """

    def __init__(self, program: Program, box: NDArray[np.float64] | None = None) -> None:
        self.names = Boundaries(program)
        self._shape = program.input_shape
        self._box = box
        self._known: dict[int, Boundary] = {}

    def __getitem__(self, number: int) -> Boundary:
        if number not in self._known:
            self._known[number] = self._named(number)
        return self._known[number]

    def _named(self, number: int) -> Boundary:
        if self._box is None or number < len(self.names):
            return self.names[number]
        side, coordinate = divmod(number - len(self.names), self._box.shape[1])
        index = tuple(int(i) for i in np.unravel_index(coordinate, self._shape)) if self._shape else ()
        return Boundary("box", index, float(self._box[side, coordinate]))


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of some points, in coordinates u with x = origin + Σ u_i axes[i].

    Cell i is {point i + v: normals[i] v ≤ slack[i]} over its valid rows, whose normals have unit length.

    Attributes:
        normals: (n_points, n_rows, d) float64.
        slack: (n_points, n_rows) float64: how far each hyperplane is away, 0 or more.
        noise: (n_points, n_rows) float64: what rounding may make of it.
        valid: (n_points, n_rows) bool: rows that are hyperplanes at all.
        numbers: (n_points, n_rows) int64: whose they are, as in `BoxedBoundaries`.
        keys: (n_points, n_key_bytes) uint8: rows that tell each cell from all others.
        packed: (n_points, n_bytes) uint8: the pattern at the chosen sites, as in `Codes.packed`.
        outputs: (n_points, n_outputs) float64, the model's output; `None` where it is not piecewise linear.
        gradients: (n_points, d, n_outputs) float64: its change per u; `None` likewise.
        n_near_ties: values without a gradient that lie on a level but for rounding.
    """

    normals: NDArray[np.float64]
    slack: NDArray[np.float64]
    noise: NDArray[np.float64]
    valid: NDArray[np.bool_]
    numbers: NDArray[np.int64]
    keys: NDArray[np.uint8]
    packed: NDArray[np.uint8]
    outputs: NDArray[np.float64] | None
    gradients: NDArray[np.float64] | None
    n_near_ties: int

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """The cells of some of the points."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return replace(self, **{name: array[rows] for name, array in arrays.items() if array is not None})

    def replaced(self, rows: NDArray[np.int64], others: Cells) -> Cells:
        """These cells, with others in the places of some."""
        order = np.arange(len(self))
        order[rows] = len(self) + np.arange(len(others))
        return _joined([self, others]).take(order)


_ARRAYS = ("normals", "slack", "noise", "valid", "numbers", "keys", "packed", "outputs", "gradients")


class CellReader:
    """Reads the cells of points: the values there, and derivatives along all axes.

    Args:
        program: the model.
        origin: (n_inputs,) the input at u = 0.
        axes: (d, n_inputs) what one step of each coordinate of u is in the input space.
    """

    def __init__(self, program: Program, *, origin: NDArray[np.float64], axes: NDArray[np.float64]) -> None:
        self._program = program
        self._origin = origin
        self._axes = axes
        self._linearizer = Linearizer(program)
        self._offsets = Boundaries(program).offsets
        self._directions = torch.from_numpy(axes).reshape(-1, *program.input_shape).to(program.device)

    def inputs(self, points: NDArray[np.float64]) -> Tensor:
        """The model's inputs at points u: (n_points, *input_shape) float64."""
        flat = torch.from_numpy(self._origin + points @ self._axes)
        return flat.reshape(-1, *self._program.input_shape).to(self._program.device)

    def read(self, points: NDArray[np.float64]) -> Cells:
        """The cells of points u (n_points, d) float64, one or more, in chunks."""
        rows = max(1, _NUMBERS // (len(self._axes) * self._linearizer.width))
        parts = [self._read(points[i : i + rows]) for i in range(0, len(points), rows)]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _read(self, points: NDArray[np.float64]) -> Cells:
        linearization = self._linearizer.at(self.inputs(points))
        along = linearization.along(self._directions)
        rows, keys, packed, n_ties = [], [], [], 0
        for stop, offset in zip(linearization.stops, self._offsets, strict=False):
            values, gradients = stop.z.cpu().numpy(), next(along).cpu().numpy()
            scale = (np.abs(values) + np.abs(gradients).sum(axis=1)).max(axis=1, initial=0.0)
            if isinstance(stop.step, SiteStep):
                found, intervals, ties = _site_rows(stop.step, values, gradients, scale, offset)
                keys.append(intervals)
                if stop.step.site is not None:
                    levels = stop.step.levels
                    packed += [pack_bits(intervals > levels.index(point)) for point in stop.step.site.breakpoints]
            else:
                found, chosen, ties = _choice_rows(stop.step, values, gradients, scale, offset)
                keys.append(chosen.view(np.uint8).reshape(len(points), -1))
            rows.append(found)
            n_ties += ties
        outputs = gradient = None
        if linearization.output is not None:
            outputs, gradient = linearization.output.cpu().numpy(), next(along).cpu().numpy()
        normals, slack, noise, valid, numbers = (np.concatenate(part, axis=1) for part in zip(*rows, strict=True))
        return Cells(
            normals=normals,
            slack=slack,
            noise=noise,
            valid=valid,
            numbers=numbers,
            keys=np.ascontiguousarray(np.concatenate(keys, axis=1)),
            packed=np.concatenate(packed, axis=1),
            outputs=outputs,
            gradients=gradient,
            n_near_ties=n_ties,
        )


_Rows = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]
"""Normals, slack, noise, valid, numbers."""


def _site_rows(
    step: SiteStep, z: NDArray[np.float64], gradients: NDArray[np.float64], scale: NDArray[np.float64], offset: int
) -> tuple[_Rows, NDArray[np.uint8], int]:
    """The hyperplanes below and above each neuron's value, and the interval it is in."""
    levels = np.array(step.levels)
    constant = np.abs(gradients).sum(axis=1) <= NEGLIGIBLE * scale[:, None]
    nearest = levels[np.abs(z[..., None] - levels).argmin(axis=2)]
    on_level = constant & (np.abs(z - nearest) <= NEGLIGIBLE * np.maximum(scale[:, None], np.abs(nearest)))
    # a value that never leaves its level is off, whatever rounding makes of it
    settled = np.where(on_level, nearest, z)
    intervals = np.searchsorted(levels, settled, side="left")
    parts = []
    for sides in ("either",) if len(levels) == 1 else ("below", "above"):
        if sides == "either":
            index, sign, there = np.zeros_like(intervals), np.where(intervals > 0, -1.0, 1.0), ~constant
        elif sides == "below":
            index, sign, there = intervals - 1, np.full(z.shape, -1.0), ~constant & (intervals > 0)
        else:
            index, sign, there = intervals, np.full(z.shape, 1.0), ~constant & (intervals < len(levels))
        index = index.clip(0, len(levels) - 1)
        parts.append(
            _normalized(
                sign[:, None, :] * gradients,
                sign * (levels[index] - settled),
                np.broadcast_to(NOISE * scale[:, None], z.shape),
                there,
                offset + np.arange(z.shape[1]) * len(levels) + index,
            )
        )
    ties = int((on_level & (z != nearest)).sum())
    return _side_by_side(parts), intervals.astype(np.uint8), ties


def _choice_rows(
    step: ChoiceStep, z: NDArray[np.float64], gradients: NDArray[np.float64], scale: NDArray[np.float64], offset: int
) -> tuple[_Rows, NDArray[np.int32], int]:
    """The hyperplanes on which another entry is as large as the chosen one, and the column of the chosen one."""
    windows = step.windows.cpu().numpy()
    n, d, (n_outputs, width) = len(z), gradients.shape[1], windows.shape
    entries = np.where(windows < 0, -np.inf, z[:, windows.clip(min=0)])
    slopes = gradients[:, :, windows.clip(min=0)]
    largest = entries.argmax(axis=2)[..., None]
    apart = np.take_along_axis(entries, largest, axis=2) - entries
    slopes = slopes - np.take_along_axis(slopes, largest[:, None], axis=3)
    constant = np.abs(slopes).sum(axis=1) <= NEGLIGIBLE * scale[:, None, None]
    same = constant & (apart <= NEGLIGIBLE * scale[:, None, None])
    chosen = same.argmax(axis=2)  # the first of those that are as large wherever the cell reaches
    there = (windows >= 0) & ~constant
    rows = _normalized(
        slopes.reshape(n, d, -1),
        np.where(there, apart, 0.0).reshape(n, -1),
        np.broadcast_to(NOISE * scale[:, None], (n, n_outputs * width)),
        there.reshape(n, -1),
        (offset + (np.arange(n_outputs)[:, None] * width + chosen[..., None]) * width + np.arange(width)).reshape(
            n, -1
        ),
    )
    return rows, np.ascontiguousarray(chosen.astype(np.int32)), int((same & (apart > 0)).sum())


def _normalized(
    normals: NDArray[np.float64],
    slack: NDArray[np.float64],
    noise: NDArray[np.float64],
    valid: NDArray[np.bool_],
    numbers: NDArray[np.int64],
) -> _Rows:
    normals = normals.transpose(0, 2, 1)
    lengths = np.where(valid, np.sqrt((normals**2).sum(axis=2)), 1.0)
    return normals / lengths[..., None], slack / lengths, noise / lengths, valid, numbers


def _side_by_side(parts: list[_Rows]) -> _Rows:
    if len(parts) == 1:
        return parts[0]
    normals, slack, noise, valid, numbers = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return normals, slack, noise, valid, numbers


def _joined(parts: list[Cells]) -> Cells:
    def together(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)

    return Cells(**{name: together(name) for name in _ARRAYS}, n_near_ties=sum(part.n_near_ties for part in parts))
