"""Reading a model's program: each operation of two aligned recordings as a step that runs on any number of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints, resolve_breakpoints
from actscope.codes.discovery import Activations, UnseenActivationError, scripted_parts, unwrapped
from actscope.codes.selection import Layers, choose
from actscope.codes.site import Site
from actscope.regions.programs.alignment import MIXES, Alignment, EscapedValueError
from actscope.regions.programs.choices import choice_steps
from actscope.regions.programs.linearity import activation_of, adds_of_its_own, fixed_by_shape, functional, nonlinearity
from actscope.regions.programs.nesting import each
from actscope.regions.programs.operations import Dependence, dependence
from actscope.regions.programs.program import (
    ActivationStep,
    AffineStep,
    NotPiecewiseLinearError,
    Program,
    SiteStep,
    Step,
    pruned,
)
from actscope.regions.programs.recording import Call, Recording, Ref, Seen, record
from actscope.regions.programs.specimens import double_copy, two_batches
from actscope.regions.programs.views import Views

__all__ = ["read_program"]


def read_program(
    model: nn.Module | Program,
    example: Tensor,
    *,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
) -> Program:
    """A model's forward pass as a `Program`, in float64 and eval mode.

    The model is copied and run on two batches of other sizes and values; what differs between the two passes goes with the number of
    points, or with their values. A program can be given to every function of `actscope.regions` in place of its model: that
    saves reading it again.

    Args:
        model: any module whose forward pass takes one tensor, with the examples along its first axis. It is left as it is.
        example: (1, …) floating: a point near to those that matter.
        layers, breakpoints, activations: as for `actscope.encode`: the patterns that count.
        device: where to compute; the model's own device if `None`.

    Raises:
        NotPiecewiseLinearError: if a chosen site's pre-activation is not piecewise linear in the input; the message names
            the operation.
        UnseenActivationError: if a part of the model runs activations out of sight.
        TypeError: if `example` is not a tensor of floating-point numbers, or the model takes several inputs or cannot be copied.
        ValueError: if there is no site, or `example` is empty or not finite.
    """
    if isinstance(model, Program):
        if layers is not None or breakpoints is not None or activations is not None:
            raise ValueError(
                "a Program has its layers and breakpoints already: give them to read_program, or give the model"
            )
        return model
    module = unwrapped(model)
    double = double_copy(module, device)
    batches = two_batches(module, example, double.device)
    first, second = (record(double.module, batch, activations=activations, seed=i) for i, batch in enumerate(batches))
    if [call.func for call in first.calls] != [call.func for call in second.calls]:
        # what a model keeps from its first pass, such as a mask, is there now
        first = record(double.module, batches[0], activations=activations, seed=2)
    unseen = [*first.unseen, *scripted_parts(module)]
    if unseen and layers is None:
        raise UnseenActivationError(
            f"{unseen[0]}, where it cannot be read; write it with separate operations, or choose layers="
        )
    analysis = _Analysis(first, second)
    analysis.run()
    return replace(analysis.program(layers, breakpoints), model=double.module, activations=activations)


class _Analysis:
    """The steps of a program, made from two recordings call by call."""

    def __init__(self, first: Recording, second: Recording) -> None:
        self._first = first
        self._second = second
        self._alignment = Alignment(first, second)
        self._steps: list[Step] = []
        # position among the steps, the activation that fired there, and why its pre-activation is out of reach
        self._seen: list[tuple[int, Seen, str | None]] = []
        self._views = Views(self._alignment)
        self._exit: str | None = None  # why nothing that follows is known to be piecewise linear

    def run(self) -> None:
        first, second = self._first.calls, self._second.calls
        for one, other in zip(first, second, strict=False):
            if one.func != other.func:
                break
            self._take(one, other)
        else:
            if len(first) == len(second):
                return
        raise NotPiecewiseLinearError(
            self._exit
            or "the model ran other operations on other inputs: what it does depends on its input, or on the number of examples, by "
            "Python's own if or loops"
        )

    def program(self, layers: Layers, breakpoints: Breakpoints) -> Program:
        """The steps with the chosen sites among them."""
        alignment = self._alignment
        sites = [self._site(seen) for _, seen, _ in self._seen]
        output, refusal = self._output()
        if not sites:
            raise ValueError(
                "the model has no activation site that depends on its input, so that there is no pattern to tell regions apart"
                + (f"; {refusal}" if refusal else "")
            )
        sites = [
            replace(s, breakpoints=points)
            for s, points in zip(sites, resolve_breakpoints(sites, breakpoints), strict=True)
        ]
        chosen = set(choose(sites, layers))
        for i in sorted(chosen):
            _, seen, reason = self._seen[i]
            reason = reason or alignment.refusals.get(seen.register)
            if reason is not None:
                raise NotPiecewiseLinearError(
                    f"site {sites[i].name!r} is not piecewise linear in the input: {reason}. Choose the sites before it "
                    "by layers=, or ask for a sampled result (samples=)"
                )
            if not sites[i].breakpoints:
                raise ValueError(
                    f"site {sites[i].name!r} ({sites[i].kind}) has no breakpoints of its own: give them by breakpoints="
                )
        return pruned(
            Program(
                steps=self._with_sites(sites, chosen),
                layouts=dict(alignment.layouts),
                varying=frozenset(alignment.varying),
                output=output,
                output_refusal=refusal,
                sites=tuple(sites[i] for i in sorted(chosen)),
                input_shape=tuple(self._first.tensors[0].shape[1:]),
            )
        )

    def _site(self, seen: Seen) -> Site:
        layout = self._alignment.layouts.get(seen.register)
        a = seen.activation
        return Site(
            seen.name,
            a.kind,
            () if layout is None else layout.shape,
            a.breakpoints,
            kinks=a.kinks,
            slopes=a.slopes,
            piecewise_linear=a.piecewise_linear,
        )

    def _with_sites(self, sites: Sequence[Site], chosen: set[int]) -> tuple[Step, ...]:
        steps = list(self._steps)
        for i in reversed(range(len(sites))):
            place, seen, reason = self._seen[i]
            points = sites[i].breakpoints if i in chosen else ()
            kinks = sites[i].kinks if sites[i].piecewise_linear else ()
            levels = tuple(sorted({*points, *kinks}))
            if levels and reason is None and seen.register not in self._alignment.refusals:
                steps.insert(place, SiteStep(seen.register, levels, sites[i] if i in chosen else None, sites[i].name))
        return tuple(steps)

    def _output(self) -> tuple[int | None, str]:
        """The register of the model's output, or why there is none."""
        value = self._first.output
        if isinstance(value, Mapping):
            value = value.get("logits", next(iter(value.values()), None))
        while isinstance(value, (tuple, list)) and value:
            value = value[0]
        if not isinstance(value, Ref) or value.register not in self._alignment.varying:
            return None, self._exit or (
                "it returned no tensor that depends on the input, nor a tuple or a mapping that begins with one"
            )
        if value.register in self._alignment.refusals:
            return None, self._alignment.refusals[value.register]
        layout = self._alignment.layouts[value.register]
        if (layout.axis, layout.span) != (0, 1):
            return None, "its output does not have the examples along its first axis"
        return value.register, ""

    def _take(self, one: Call, other: Call) -> None:
        alignment = self._alignment
        if one.outputs != other.outputs:
            raise NotPiecewiseLinearError(f"{one.here} takes the examples of a batch apart: it mixes them")
        refs = one.refs()
        kind = dependence(one.name)
        varying = [] if fixed_by_shape(one) else [register for register in refs if register in alignment.varying]
        problem = next((alignment.refusals[register] for register in varying if register in alignment.refusals), None)
        if varying and kind is Dependence.READS_VALUE and self._exit is None:
            self._exit = (
                f"{one.here} reads a value that depends on the input out of PyTorch (by bool(), item(), numpy(), an if): what "
                "follows is not known to be piecewise linear"
            )
        if varying and one.seen is not None:
            self._seen.append((len(self._steps), one.seen, self._exit))
        try:
            args, kwargs, goes_with_points = alignment.arguments(one, other)
        except EscapedValueError as error:
            args, kwargs, goes_with_points, problem = (), {}, True, problem or self._exit or str(error)
        if not varying and not goes_with_points:  # constants: they are taken from the recording where they are used
            self._views.made(one, args, kwargs)
            self._steps += self._views.rewritten(one)
            return
        if not varying and torch.Tag.nondeterministic_seeded in getattr(one.func, "tags", ()):
            problem = problem or f"{one.here} draws random numbers"
        if varying and problem is None:
            problem = self._exit or nonlinearity(one, alignment)
        func = functional(one)
        if func is None:
            problem = problem or f"{one.here} writes in place, and has no twin that does not: clone its input first"
        if not varying and problem is None:
            self._take_constants(one, args, kwargs)
        else:
            self._take_values(one, args, kwargs, problem)
        self._views.made(one, args, kwargs)
        self._steps += self._views.rewritten(one)

    def _take_constants(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Constants, as many as there are points."""
        for register in call.outputs:
            self._alignment.place(register)
        if any(register in self._alignment.layouts for register in call.outputs):
            func: Any = functional(call)
            self._steps.append(
                AffineStep(partial(_in_double, func), args, kwargs, call.outputs, constant=True, name=call.here)
            )

    def _take_values(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], problem: str | None) -> None:
        alignment = self._alignment
        for register in call.outputs:
            alignment.varying.add(register)
            reason = problem
            if reason is None and not self._first.tensors[register].is_floating_point():
                reason = f"{call.here} gives whole numbers"
            if reason is None and not alignment.place(register):
                reason = f"{call.here} {MIXES}"
            if reason is not None:  # of several outputs, such as a pooling's indices, one may be refused alone
                alignment.refuse(register, reason)
        if call.outputs and call.outputs[0] in alignment.layouts:
            self._append(call, args, kwargs)

    def _append(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kind, alignment = dependence(call.name), self._alignment
        if kind is Dependence.CHOICE:
            self._steps += choice_steps(call, alignment)
        elif kind is Dependence.ACTIVATION:
            activation = activation_of(call, alignment)
            register = next(register for register in call.refs() if register in alignment.varying)
            if activation is None:
                raise TypeError(f"{call.here} has no reading")
            if call.seen is None or not call.seen.activation.piecewise_linear:
                self._steps.append(SiteStep(register, activation.kinks, None, call.here))
            func: Any = functional(call)
            if call.name == "rrelu_with_noise":  # its noise goes with the points, and means nothing in eval mode
                func, args, kwargs = torch.ops.aten.leaky_relu.default, (args[0], activation.slopes[0]), {}
            self._steps.append(ActivationStep(func, args, kwargs, register, call.outputs[0], activation, call.here))
        else:
            self._steps.append(self._affine(call, args, kwargs, constant=adds_of_its_own(call, alignment)))

    def _affine(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], *, constant: bool) -> AffineStep:
        func: Any = functional(call)
        if call.name.startswith("squeeze"):  # of a single point, it would drop the points' own axis
            func, args, kwargs = torch.ops.aten.squeeze.dims, (args[0], self._squeezed(call)), {}
        return AffineStep(func, args, kwargs, call.outputs, constant=constant, name=call.here)

    def _squeezed(self, call: Call) -> list[int]:
        shape = self._first.tensors[call.refs()[0]].shape
        dims = call.args[1] if len(call.args) > 1 else range(len(shape))
        dims = [dims] if isinstance(dims, int) else list(dims)
        return [dim % len(shape) for dim in dims if shape[dim] == 1]


def _in_double(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Constants in float64, in whatever precision the model makes them."""
    return each(func(*args, **kwargs), lambda leaf: leaf.double() if torch.is_floating_point(leaf) else leaf)
