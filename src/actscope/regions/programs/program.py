"""A piecewise-linear model as a list of steps that run on any number of points: affine operations, largest values, activations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from actscope.codes.discovery import Activations
from actscope.codes.kinds import Activation
from actscope.codes.site import Site
from actscope.regions.programs.nesting import leaves
from actscope.regions.programs.recording import Ref

__all__ = [
    "ActivationStep",
    "AffineStep",
    "ChoiceStep",
    "NotPiecewiseLinearError",
    "Program",
    "SiteStep",
    "leaves",
]


class NotPiecewiseLinearError(ValueError):
    """The model, or the part of it that was asked for, is not piecewise linear."""


@dataclass(frozen=True)
class Rows:
    """A number in an operation's arguments that goes with the number of points: `factor * n + extra`."""

    factor: int
    extra: int


@dataclass(frozen=True)
class Layout:
    """Where a register's points lie: along `axis`, `span` entries a point, `shape` being one point's part."""

    axis: int
    span: int
    shape: tuple[int, ...]

    def rows(self, tensor: Tensor) -> Tensor:
        """A register as a matrix, (n_points, product of `shape`)."""
        n_rows = tensor.shape[self.axis] // self.span
        if self.span > 1:
            tensor = tensor.reshape([*tensor.shape[: self.axis], n_rows, self.span, *tensor.shape[self.axis + 1 :]])
        return tensor.movedim(self.axis, 0).reshape(n_rows, -1)

    def tensor(self, rows: Tensor) -> Tensor:
        """The register that `rows` gave the matrix of."""
        tensor = rows.reshape(len(rows), *self.shape).movedim(0, self.axis)
        return tensor.flatten(self.axis, self.axis + 1) if self.span > 1 else tensor


@dataclass(frozen=True)
class AffineStep:
    """An operation that is affine in what depends on the input; `constant` says whether it may add something of its own."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[int, ...]
    constant: bool
    name: str


@dataclass(frozen=True)
class SiteStep:
    """The pre-activation in `register` is there: a place to cut at `levels`, and to read a pattern from if `site` is chosen.

    Attributes:
        register: where the pre-activation is.
        levels: pre-activation values at which something changes, ascending: kinks, and breakpoints of a chosen site.
        site: what `actscope.sites` calls it, with the breakpoints that count; `None` where only its kinks matter.
        name: the site's name, chosen or not.
    """

    register: int
    levels: tuple[float, ...]
    site: Site | None
    name: str


@dataclass(frozen=True)
class ActivationStep:
    """An elementwise, continuous, piecewise-linear function of one register."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    register: int
    output: int
    activation: Activation
    name: str


@dataclass(frozen=True)
class ChoiceStep:
    """Each output is the largest of some entries of its inputs.

    Attributes:
        func, args, kwargs: the operation, of whose results the first is meant.
        registers: the inputs, all of which vary; entries are numbered through all of them, each flattened for one point.
        output: where the result goes.
        windows: (n_outputs, most entries of a window) int64: which entries, ascending; -1 fills up shorter windows.
        name: the operation and where it is.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    registers: tuple[int, ...]
    output: int
    windows: Tensor
    name: str


Step = AffineStep | SiteStep | ActivationStep | ChoiceStep


@dataclass(frozen=True)
class Program:
    """What a model computes, for any number of points at once.

    Attributes:
        steps: in the order in which they run.
        layouts: for each register that goes with the points, where they lie in it.
        varying: registers whose values depend on the input; the other ones in `layouts` only repeat constants.
        output: the register of the model's output; `None` where the output is not piecewise linear in the input.
        output_refusal: why it is `None`.
        sites: the chosen sites, in the order in which they run.
        input_shape: of one point.
        model: the copy in float64 that the program was read from.
        activations: what was given to `read_program`, so that the copy can be read the same way again.
    """

    steps: tuple[Step, ...]
    layouts: Mapping[int, Layout]
    varying: frozenset[int]
    output: int | None
    output_refusal: str
    sites: tuple[Site, ...]
    input_shape: tuple[int, ...]
    last_uses: Mapping[int, int] = field(default_factory=dict)
    model: nn.Module | None = None
    activations: Activations | None = None

    @property
    def n_neurons(self) -> int:
        """Neurons of the chosen sites."""
        return sum(site.n_neurons for site in self.sites)

    @property
    def device(self) -> torch.device:
        """Where the program computes."""
        if self.model is not None:
            for tensor in itertools.chain(self.model.parameters(), self.model.buffers()):
                return tensor.device
        return torch.device("cpu")

    @property
    def exposes_cells(self) -> bool:
        """Whether every cell of the partition has a pattern of its own: no pooling, and every kink is a breakpoint that counts."""
        return all(
            not isinstance(step, ChoiceStep)
            and (
                not isinstance(step, SiteStep)
                or (step.site is not None and set(step.levels) <= set(step.site.breakpoints))
            )
            for step in self.steps
        )

    def until_last_site(self) -> Program:
        """The steps that the chosen sites' patterns need, and no more."""
        return pruned(replace(self, output=None, output_refusal="it was not asked for"))

    def require_output(self) -> int:
        """The output's register.

        Raises:
            NotPiecewiseLinearError: if the output is not piecewise linear.
        """
        if self.output is None:
            raise NotPiecewiseLinearError(
                f"the model's output is not piecewise linear in its input: {self.output_refusal}"
            )
        return self.output


def pruned(program: Program) -> Program:
    """The program without the steps that neither its output nor a chosen site needs, and with the last use of each register."""
    needed = {program.output} if program.output is not None else set()
    kept: list[Step] = []
    for i in reversed(range(len(program.steps))):
        step = program.steps[i]
        if isinstance(step, AffineStep):
            keep = not needed.isdisjoint(step.outputs)
        elif isinstance(step, SiteStep) and step.site is None:  # its kinks are those of the activation behind it
            keep = bool(kept) and kept[-1] is program.steps[i + 1]
        else:
            keep = isinstance(step, SiteStep) or step.output in needed
        if keep:
            kept.append(step)
            needed |= set(_registers(step))
    kept.reverse()
    uses = {register: i for i, step in enumerate(kept) for register in _registers(step)}
    if program.output is not None:
        uses[program.output] = len(kept)
    return replace(program, steps=tuple(kept), last_uses=uses)


def _registers(step: Step) -> list[int]:
    if isinstance(step, SiteStep):
        return [step.register]
    if isinstance(step, ChoiceStep):
        return list(step.registers)
    return [leaf.register for leaf in leaves((step.args, dict(step.kwargs))) if isinstance(leaf, Ref)]
