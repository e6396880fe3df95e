"""A program run on points in homogeneous coordinates, which stops where something can be cut, and takes new points on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.kinds import Activation
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

__all__ = ["Probe"]


class Probe:
    """A run of a program on many points, from stop to stop.

    A point has homogeneous coordinates: weight 1 is a point x of the input space, weight 0 a direction v, the point at infinity that
    x + s v tends to as s grows. What a piecewise-linear network computes is linear in these coordinates on each cell of its partition, so
    that a new point on a known cell is a combination of known points at every step, with no forward pass of its own. At a direction,
    every value is the linear part of the affine map out there: the limit of f(x + s v) / s.

    `advance` runs to the next stop. There, the caller may `grow` the set of points by combinations of known ones, and goes on with
    `advance`.

    Args:
        program: what to run.
        points: (n, *input_shape) float64, on the program's device: points, and directions.
        weights: (n,) 1 for a point, 0 for a direction; `None` if all are points.
    """

    def __init__(self, program: Program, points: Tensor, *, weights: NDArray | None = None) -> None:
        self.program = program
        self._weights = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=float)
        self._directed = bool((self._weights == 0).any())
        self._values: dict[int, Tensor] = {}
        self._position = 0
        self._stop: SiteStep | ChoiceStep | None = None
        self._z: Tensor | None = None
        points = points.detach()
        if self._directed:
            # a point whose every linear part is zero, in front: what an operation makes of it is what the operation adds by itself
            points = torch.cat([torch.zeros_like(points[:1]), points])
        self._values[0] = points
        self._own: set[int] = set()
        self._find_directions()

    @property
    def n_points(self) -> int:
        """Points and directions known so far."""
        return len(self._weights)

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n_points,) 1 for a point, 0 for a direction."""
        return self._weights

    def advance(self) -> SiteStep | ChoiceStep | None:
        """Run on to the next stop: a site's pre-activation, or the inputs of a choice; `None` at the end."""
        if isinstance(self._stop, ChoiceStep):
            self._choose(self._stop)
        self._stop, self._z = None, None
        steps = self.program.steps
        while self._position < len(steps):
            step = steps[self._position]
            if isinstance(step, (SiteStep, ChoiceStep)):
                self._stop = step
                self._position += 1
                return step
            if isinstance(step, ActivationStep):
                self._activate(step)
            else:
                self._apply(step)
            self._forget(self._position)
            self._position += 1
        return None

    @property
    def z(self) -> Tensor:
        """(n_points, n_values) float64: the values at this stop: pre-activations, or all entries among which a choice is made."""
        if self._z is None:
            if self._stop is None:
                raise RuntimeError("the probe is not at a stop")
            registers = self._stop.registers if isinstance(self._stop, ChoiceStep) else (self._stop.register,)
            parts = [self.program.layouts[register].rows(self._values[register]) for register in registers]
            self._z = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self._z[1:] if self._directed else self._z

    @property
    def output(self) -> Tensor:
        """(n_points, n_outputs) float64, at the end: the model's output, flattened."""
        register = self.program.require_output()
        matrix = self.program.layouts[register].rows(self._values[register])
        return matrix[1:] if self._directed else matrix

    def grow(self, combine: Callable[[Tensor, int], Tensor], weights: NDArray) -> None:
        """New points: `combine` appends their rows, combinations of those known, to each register that is still needed.

        Args:
            combine: from (rows, width) float64 to more rows; what is there stays in front. It is told how many rows there are in front of
                the first point.
            weights: (n_new,) homogeneous weights of the new points, 0 or 1.

        Raises:
            ValueError: if there are directions among the new points, and were none at the beginning: what operations add by themselves
                was not kept.
        """
        if len(weights) == 0:
            return
        if not self._directed and not np.all(weights):
            raise ValueError(
                "a probe that began without directions cannot take any: give at least one to Probe(weights=)"
            )
        self._weights = np.concatenate([self._weights, weights])
        n_rows = self.n_points + self._directed
        for register, tensor in self._values.items():
            layout = self.program.layouts[register]
            if register in self.program.varying:
                grown = combine(layout.rows(tensor), int(self._directed))
            else:  # constants, the same for all points
                grown = layout.rows(tensor)[:1].expand(n_rows, -1)
            self._values[register] = layout.tensor(grown)
        self._own = set(self._values) & self.program.varying
        self._z = None
        self._find_directions()

    def select(self, rows: NDArray[np.int64]) -> Probe:
        """A probe at the same stop that goes on with some of the points."""
        other = object.__new__(Probe)
        other.__dict__.update(self.__dict__)
        other._weights = self._weights[rows]
        index = torch.from_numpy(np.concatenate([[0], rows + 1]) if self._directed else rows)
        other._values = {}
        for register, tensor in self._values.items():
            layout = self.program.layouts[register]
            other._values[register] = layout.tensor(layout.rows(tensor)[index.to(tensor.device)])
        other._z = None
        other._find_directions()
        return other

    @property
    def width(self) -> int:
        """Numbers that each point takes at this stop."""
        return sum(math.prod(self.program.layouts[register].shape) for register in self._values)

    def _find_directions(self) -> None:
        rows = torch.from_numpy(np.flatnonzero(self._weights == 0) + 1)
        known = next(iter(self._values.values()), None)
        self._directions = rows if known is None else rows.to(known.device)

    def _apply(self, step: AffineStep) -> None:
        layouts, varying = self.program.layouts, self.program.varying
        args, kwargs = self._filled(step.args), {key: self._filled(value) for key, value in step.kwargs.items()}
        result = step.func(*args, **kwargs)
        results = result if isinstance(result, (tuple, list)) else [result]
        for register, tensor in zip(step.outputs, [r for r in results if isinstance(r, Tensor)], strict=True):
            if register not in layouts:
                continue
            if self._directed and step.constant and register in varying:
                tensor = self._without_constants(tensor, layouts[register])
            self._values[register] = tensor

    def _without_constants(self, tensor: Tensor, layout: Layout) -> Tensor:
        """Directions keep the linear part alone, and so does the point in front, where it is zero.

        A constant -inf, which is never the largest, stays what it is for directions too.
        """
        matrix = layout.rows(tensor)
        finite = torch.isfinite(matrix[:1])
        added = torch.where(finite, matrix[:1], 0.0)
        matrix[self._directions] -= added
        matrix[:1] -= added
        return layout.tensor(matrix)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self._values[value.register]
        if isinstance(value, Rows):
            return value.factor * (self.n_points + self._directed) + value.extra
        if isinstance(value, tuple):
            return tuple(self._filled(part) for part in value)
        if isinstance(value, list):
            return [self._filled(part) for part in value]
        return value

    def _activate(self, step: ActivationStep) -> None:
        layout = self.program.layouts[step.register]
        z = self._values[step.register]
        before = layout.rows(z)[self._directions] if self._directed else z[:0]
        # new points came in memory of the probe's own: where nothing else needs the values any more, the activation goes in their place
        spare = step.register in self._own and self.program.last_uses[step.register] == self._position
        func = _in_place(step.func) if spare else step.func
        after: Tensor = func(
            *self._filled(step.args), **{key: self._filled(value) for key, value in step.kwargs.items()}
        )
        if self._directed:
            layout = self.program.layouts[step.output]
            result = layout.rows(after)
            result[self._directions] = _at_infinity(step.activation, before, result[self._directions])
            result[0] = 0
            after = layout.tensor(result)
        self._values[step.output] = after

    def _choose(self, step: ChoiceStep) -> None:
        # at a direction, the largest is what grows fastest
        result = step.func(*self._filled(step.args), **step.kwargs)
        self._values[step.output] = result if isinstance(result, Tensor) else result[0]
        self._forget(self._position - 1)

    def _forget(self, position: int) -> None:
        uses = self.program.last_uses
        for register in [register for register in self._values if uses.get(register, -1) <= position]:
            del self._values[register]


def _in_place(func: Callable[..., Any]) -> Callable[..., Any]:
    """The operation's twin that writes its result over its first tensor; itself if it has none."""
    schema = getattr(func, "_schema", None)
    packet = getattr(torch.ops.aten, f"{str(schema.name).split('::')[-1]}_", None) if schema is not None else None
    twin = getattr(packet, schema.overload_name or "default", None) if schema is not None else None
    return func if twin is None else twin


def _at_infinity(activation: Activation, v: Tensor, after: Tensor) -> Tensor:
    """What the activation does to a value that grows without end: the slope of its outermost pieces."""
    first, last = activation.slopes[0], activation.slopes[-1]
    if first is None or last is None:  # PReLU, whose kink is at 0
        return after
    return last * v.clamp(min=0) + first * v.clamp(max=0)
