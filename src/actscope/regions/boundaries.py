"""What bounds a region: a neuron at one of its levels, or two entries of a choice that are level with each other."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from actscope.regions.programs.program import ChoiceStep, Program, SiteStep

__all__ = ["Boundaries", "Boundary", "NEGLIGIBLE"]

NEGLIGIBLE = 1e-12
"""A gradient below this share of the largest one at its stop is zero but for rounding, and bounds nothing."""


@dataclass(frozen=True)
class Boundary:
    """One hyperplane that bounds a region.

    Attributes:
        name: the site, or the operation that chooses.
        neuron: the neuron's index in its site, or the index of the choice's output, in the shape of one example.
        level: the pre-activation value at which the neuron switches; `None` for a choice.
        pair: for a choice, which entries of its inputs are level: the one chosen in the region, and the one that takes over beyond it.
            They are numbered through all inputs of the operation, each flattened; `None` for a neuron.
    """

    name: str
    neuron: tuple[int, ...]
    level: float | None
    pair: tuple[int, int] | None = None

    def __str__(self) -> str:
        index = ", ".join(map(str, self.neuron))
        if self.pair is None:
            return f"neuron ({index}) of {self.name} at {self.level:g}"
        return f"inputs {self.pair[0]} and {self.pair[1]} for output ({index}) of {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        values = asdict(self)
        return {**values, "neuron": list(self.neuron), "pair": None if self.pair is None else list(self.pair)}


class Boundaries:
    """Everything that can bound a region of a program, numbered: stop after stop in the order in which it runs.

    At a site with levels γ0 < γ1 < …, neuron j at level i is number offset + j n_levels + i. At a choice with windows of w columns, the
    pair of columns (c, d) of output j is number offset + (j w + c) w + d. Number -1 is no boundary at all.

    Example:
        >>> import torch
        >>> from actscope.regions import read_program
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU6())
        >>> boundaries = Boundaries(read_program(model, torch.zeros(1, 2)))
        >>> len(boundaries)
        6
        >>> print(boundaries[5])
        neuron (2) of 1 at 6
    """

    def __init__(self, program: Program) -> None:
        self.steps = tuple(step for step in program.steps if isinstance(step, (SiteStep, ChoiceStep)))
        self._shapes = tuple(
            program.layouts[step.register if isinstance(step, SiteStep) else step.output].shape for step in self.steps
        )
        sizes = [
            math.prod(shape) * (len(step.levels) if isinstance(step, SiteStep) else step.windows.shape[1] ** 2)
            for step, shape in zip(self.steps, self._shapes, strict=True)
        ]
        self.offsets = tuple(accumulate(sizes, initial=0))

    def __len__(self) -> int:
        return self.offsets[-1]

    def __getitem__(self, number: int) -> Boundary:
        """What a number stands for.

        Raises:
            IndexError: if there is no such number; -1 stands for no boundary.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"boundary {number}: there are {len(self)}, and -1 stands for none")
        place = bisect_right(self.offsets, number) - 1
        step, shape, rest = self.steps[place], self._shapes[place], int(number) - self.offsets[place]
        if isinstance(step, SiteStep):
            neuron, level = divmod(rest, len(step.levels))
            return Boundary(step.name, _unravelled(neuron, shape), step.levels[level])
        width = step.windows.shape[1]
        output, columns = divmod(rest, width * width)
        chosen, other = (int(step.windows[output, column]) for column in divmod(columns, width))
        return Boundary(step.name, _unravelled(output, shape), None, (chosen, other))


def _unravelled(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
