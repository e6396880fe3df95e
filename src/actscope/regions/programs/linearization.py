"""The affine maps that a piecewise-linear model is at given points: their values once, then derivatives along any directions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actscope.regions.programs.program import (
    ActivationStep,
    AffineStep,
    ChoiceStep,
    Layout,
    Program,
    Rows,
    SiteStep,
)
from actscope.regions.programs.recording import Ref
from actscope.regions.programs.registers import as_matrix, forget, from_matrix
from actscope.regions.programs.tangents import Tangents

__all__ = ["Linearization", "Linearizer", "Stop"]

_FEWEST_ROWS = 2
"""Some operations drop an axis of one entry: a single point runs twice, side by side."""


@dataclass(frozen=True)
class Stop:
    """A place in a program where a region can end.

    Attributes:
        step: the site or the choice.
        z: (n, n_values) float64: pre-activations, or all entries among which a choice is made.
        chosen: (n, n_outputs) int64: for a choice, the column of its window that is the largest, the first one in a tie.
    """

    step: SiteStep | ChoiceStep
    z: Tensor
    chosen: Tensor | None


class Linearizer:
    """What it takes to linearize a program anywhere: what each operation adds by itself, and the directions that matter.

    Within a cell a program is affine: an affine operation f acts on a derivative t as f(t) - f(0), an activation by its slope, a choice
    by passing on the derivative of the entry that it chose.

    Args:
        program: what to linearize.

    Attributes:
        width: the most numbers that one row takes at a time.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.width = 0
        self._added: dict[int, list[Tensor | None]] = {}
        self._constants: dict[int, Tensor] = {}
        self._find_added()

    def at(self, points: Tensor) -> Linearization:
        """The affine maps at `points` (n, *input_shape) float64, on the program's device."""
        return Linearization(self, points)

    @property
    def n_directions(self) -> int:
        """How many directions matter at most: see `basis`."""
        n_alive = sum(math.prod(self.program.layouts[register].shape) for register in self._alive())
        return min(math.prod(self.program.input_shape), n_alive)

    def basis(self) -> Tensor:
        """(n_directions, *input_shape) float64: orthonormal; along a direction orthogonal to all of these nothing changes.

        All that follows the first stop is a function of what is alive there, so that the row space of that affine map holds every
        gradient. Where it is no smaller than the input, these are the unit vectors.
        """
        shape = self.program.input_shape
        n_in = math.prod(shape)
        if self.n_directions == n_in:
            return torch.cat(list(self._unit_vectors(n_in)))
        alive, first = sorted(self._alive()), self._first_stop
        parts = []
        for unit in self._unit_vectors(max(_FEWEST_ROWS, (1 << 25) // (8 * self.width))):
            rows = unit if len(unit) >= _FEWEST_ROWS else torch.cat([unit] * _FEWEST_ROWS)
            run = Tangents(self, rows, len(rows))
            for i in range(first):
                run.step(i)
            parts.append(torch.cat([run.matrix(register)[: len(unit)] for register in alive], dim=1))
        orthonormal: Tensor = torch.linalg.qr(torch.cat(parts))[0]
        return orthonormal.T.reshape(-1, *shape).contiguous()

    def directions(self, k: int) -> Iterator[Tensor]:
        """The `basis`, at most `k` at a time, so that unit vectors need not all be there at once."""
        n_in = math.prod(self.program.input_shape)
        yield from self._unit_vectors(k) if self.n_directions == n_in else torch.split(self.basis(), k)

    def _unit_vectors(self, k: int) -> Iterator[Tensor]:
        n_in = math.prod(self.program.input_shape)
        for first in range(0, n_in, k):
            rows = torch.zeros((min(k, n_in - first), n_in), dtype=torch.float64, device=self.program.device)
            rows.diagonal(first).fill_(1.0)
            yield rows.reshape(-1, *self.program.input_shape)

    @property
    def _first_stop(self) -> int:
        return next(i for i, step in enumerate(self.program.steps) if isinstance(step, (SiteStep, ChoiceStep)))

    def _alive(self) -> set[int]:
        """The registers that what follows the first stop is a function of."""
        first = self._first_stop
        uses = self.program.last_uses.items()
        return {register for register, last in uses if last >= first and self._made_before(register, first)}

    def _made_before(self, register: int, position: int) -> bool:
        if register not in self.program.varying or register not in self.program.layouts:
            return False
        return register == 0 or any(
            register in (step.outputs if isinstance(step, AffineStep) else ()) for step in self.program.steps[:position]
        )

    def filled(self, value: Any, values: Callable[[int], Tensor], n_rows: int) -> Any:
        """An operation's arguments with the tensors and numbers that go with `n_rows` rows."""
        if isinstance(value, Ref):
            if value.register in self._constants:
                layout = self.program.layouts[value.register]
                return from_matrix(self._constants[value.register].expand(n_rows, -1), layout)
            return values(value.register)
        if isinstance(value, Rows):
            return value.factor * n_rows + value.extra
        if isinstance(value, (tuple, list)):
            return type(value)(self.filled(part, values, n_rows) for part in value)
        return value

    def call(self, step: AffineStep, values: Callable[[int], Tensor], n_rows: int) -> list[Tensor]:
        """The tensors that an affine operation makes of `n_rows` rows."""
        args = self.filled(step.args, values, n_rows)
        kwargs = {key: self.filled(value, values, n_rows) for key, value in step.kwargs.items()}
        result = step.func(*args, **kwargs)
        return [r for r in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(r, Tensor)]

    def added(self, position: int) -> list[Tensor | None]:
        """What the operation at this step adds by itself, for each of its outputs; `None` for nothing."""
        return self._added[position]

    @torch.no_grad()
    def _find_added(self) -> None:
        program, n = self.program, _FEWEST_ROWS
        zeros = torch.zeros((n, *program.input_shape), dtype=torch.float64, device=program.device)
        values: dict[int, Tensor] = {0: zeros}
        for position, step in enumerate(program.steps):
            if isinstance(step, AffineStep):
                added: list[Tensor | None] = []
                for register, tensor in zip(step.outputs, self.call(step, values.__getitem__, n), strict=True):
                    layout = program.layouts.get(register)
                    if layout is None:
                        added.append(None)
                    elif register in program.varying:
                        row = as_matrix(tensor, layout)[:1]
                        added.append(row.clone() if step.constant and bool(row.any()) else None)
                        values[register] = torch.zeros_like(tensor)
                    else:
                        added.append(None)
                        self._constants[register] = as_matrix(tensor, layout)[:1].clone()
                self._added[position] = added
            elif not isinstance(step, SiteStep):
                layout = program.layouts[step.output]
                values[step.output] = from_matrix(zeros.new_zeros(n, math.prod(layout.shape)), layout)
            self.width = max(self.width, sum(tensor.numel() for tensor in values.values()) // n)
            forget(values, program, position)


class Linearization:
    """The affine maps that a program is at `n` points: see `Linearizer.at`.

    Attributes:
        stops: the places where a region can end, in the order in which the program runs.
        output: (n, n_outputs) float64, flattened; `None` if the program has none.
    """

    def __init__(self, linearizer: Linearizer, points: Tensor) -> None:
        self._linearizer = linearizer
        self._program = linearizer.program
        self.n_points = len(points)
        if self.n_points < _FEWEST_ROWS:
            points = torch.cat([points] * _FEWEST_ROWS)
        self.n_rows = len(points)
        self.slopes: dict[int, Tensor] = {}
        self.entries: dict[int, Tensor] = {}
        self.stops: list[Stop] = []
        self.output: Tensor | None = None
        self._evaluate(points)

    def along(self, directions: Tensor) -> Iterator[Tensor]:
        """Derivatives at each stop in turn, (n, k, n_values) float64, and at last those of the output, if the program has one.

        Args:
            directions: (k, *input_shape) for all points, or (n, k, *input_shape).
        """
        with torch.no_grad():
            run = self._tangents(directions)
        for position, step in enumerate(self._program.steps):
            if isinstance(step, (SiteStep, ChoiceStep)):
                yield run.at_stop(step)[: self.n_points]
            with torch.no_grad():  # never across a yield: the caller's own mode stays as it is
                run.step(position)
        if self._program.output is not None:
            yield run.each(self._program.output)[: self.n_points]

    def output_along(self, directions: Tensor) -> Tensor:
        """(n, k, n_outputs) float64: derivatives of the output along directions, as for `along`."""
        with torch.no_grad():
            run = self._tangents(directions)
            for position in range(len(self._program.steps)):
                run.step(position)
            return run.each(self._program.require_output())[: self.n_points]

    def output_gradients(self, first: int, last: int) -> Tensor:
        """(n, last - first, *input_shape) float64: gradients of some of the outputs, backwards through the affine maps."""
        k = last - first
        zeros = torch.zeros(
            (self.n_rows, k, *self._program.input_shape), dtype=torch.float64, device=self._program.device
        )
        with torch.enable_grad():
            start = zeros.requires_grad_()
            run = self._tangents(start, gradients=True)
            for position in range(len(self._program.steps)):
                run.step(position)
            output = run.each(self._program.require_output())
            one_each = output[:, range(k), range(first, last)].sum()
            (found,) = torch.autograd.grad(one_each, start, allow_unused=True)
        return zeros.detach()[: self.n_points] if found is None else found[: self.n_points]

    def _tangents(self, directions: Tensor, *, gradients: bool = False) -> Tangents:
        n_axes = len(self._program.input_shape)
        if directions.ndim == n_axes + 2 and len(directions) < self.n_rows:
            directions = torch.cat([directions] * self.n_rows)
        k = directions.shape[directions.ndim - n_axes - 1]
        if directions.ndim == n_axes + 1 and k < _FEWEST_ROWS:
            directions = directions.expand(self.n_rows, *directions.shape)
        flat = directions.flatten(0, 1) if directions.ndim == n_axes + 2 else directions
        return Tangents(self._linearizer, flat, k, at=self, gradients=gradients)

    @torch.no_grad()
    def _evaluate(self, points: Tensor) -> None:
        program, n = self._program, self.n_rows
        values: dict[int, Tensor] = {0: points}
        for position, step in enumerate(program.steps):
            if isinstance(step, AffineStep):
                if any(register in program.varying for register in step.outputs):
                    made = self._linearizer.call(step, values.__getitem__, n)
                    values.update(
                        (register, tensor)
                        for register, tensor in zip(step.outputs, made, strict=True)
                        if register in program.layouts
                    )
            elif isinstance(step, SiteStep):
                z = as_matrix(values[step.register], program.layouts[step.register])
                self.stops.append(Stop(step, z[: self.n_points], None))
            elif isinstance(step, ChoiceStep):
                parts = [as_matrix(values[register], program.layouts[register]) for register in step.registers]
                z = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
                columns, entries = _chosen(z, step.windows.to(z.device))
                self.entries[position] = entries
                self.stops.append(Stop(step, z[: self.n_points], columns[: self.n_points]))
                values[step.output] = from_matrix(z.gather(1, entries), program.layouts[step.output])
            else:
                z = values[step.register]

                def function(z: Tensor, step: ActivationStep = step) -> Tensor:
                    args = tuple(
                        z
                        if isinstance(arg, Ref) and arg.register == step.register
                        else self._linearizer.filled(arg, values.__getitem__, n)
                        for arg in step.args
                    )
                    result: Tensor = step.func(*args, **step.kwargs)
                    return result

                values[step.output] = function(z)
                self.slopes[position] = _slopes(step, function, z, program.layouts[step.register])
            forget(values, program, position)
        if program.output is not None:
            self.output = as_matrix(values[program.output], program.layouts[program.output])[: self.n_points]


def _slopes(step: ActivationStep, function: Callable[[Tensor], Tensor], z: Tensor, layout: Layout) -> Tensor:
    """(n, width): the slope at each value; where slopes are 0 and 1 with one kink, whether it is 0, as bool."""
    activation, rows = step.activation, as_matrix(z, layout)
    if any(slope is None for slope in activation.slopes):  # a slope for each neuron of its own: PReLU
        return torch.where(rows > 0, torch.ones_like(rows), as_matrix(-function(-torch.ones_like(z)), layout))
    slopes = [float(slope or 0.0) for slope in activation.slopes]
    if slopes == [0.0, 1.0]:
        return rows <= activation.kinks[0]
    found = torch.full_like(rows, slopes[0])
    for kink, slope in zip(activation.kinks, slopes[1:], strict=True):
        found.masked_fill_(rows > kink, slope)
    return found


def _chosen(z: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
    """(n, n_outputs) the first column of each window that is the largest, and which entry of `z` it is."""
    entries = z[:, windows.clamp(min=0)]
    if bool((windows < 0).any()):
        entries.masked_fill_(windows < 0, -math.inf)
    columns = entries.argmax(dim=2)
    return columns, windows.expand(len(z), -1, -1).gather(2, columns[..., None])[..., 0]
