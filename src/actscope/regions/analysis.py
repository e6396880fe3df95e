"""Reading a model's program: two recorded passes side by side tell what goes with the points, and what is affine in them."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints, resolve_breakpoints
from actscope.codes.discovery import Activations, UnseenActivationError, scripted_parts, unwrapped
from actscope.codes.kinds import Activation, reading_of
from actscope.codes.selection import Layers, choose
from actscope.codes.site import Site
from actscope.regions.operations import Dependence, dependence
from actscope.regions.program import (
    ActivationStep,
    AffineStep,
    ChoiceStep,
    Layout,
    NotPiecewiseLinearError,
    Program,
    Rows,
    SiteStep,
    Step,
    leaves,
    with_last_uses,
)
from actscope.regions.recording import Call, Recording, Ref, record
from actscope.regions.windows import choice_windows

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
        model: any module whose forward pass takes one tensor, with the examples along its first axis.
        example: (1, …) a point near to those that matter.
        layers, breakpoints, activations: as for `actscope.encode`: the patterns that count.
        device: where to compute; the model's own device if `None`.

    Raises:
        NotPiecewiseLinearError: if a chosen site's pre-activation is not piecewise linear in the input; the message names
        the operation.
        UnseenActivationError: if a part of the model runs activations out of sight.
        ValueError: if there is no site, or the model mixes the examples of a batch.
    """
    if isinstance(model, Program):
        if layers is not None or breakpoints is not None or activations is not None:
            raise ValueError(
                "a Program has its layers and breakpoints already: give them to read_program, or give the model"
            )
        return model
    module = unwrapped(model)
    first = next(itertools.chain(module.parameters(), module.buffers()), None)
    place = torch.device(device) if device is not None else (torch.device("cpu") if first is None else first.device)
    if place.type == "meta":
        raise ValueError("the model is on the meta device, where tensors have no values: load its weights first")
    double = copy.deepcopy(module).to(device=place, dtype=torch.float64).requires_grad_(False)
    point = example.detach().to(device=place, dtype=torch.float64)[:1]
    generator = torch.Generator().manual_seed(0)
    scale = float(point.abs().max()) if point.numel() and float(point.abs().max()) > 0 else 1.0
    others = point + scale * torch.randn((3, *point.shape[1:]), generator=generator, dtype=torch.float64).to(place)
    recordings = [
        record(double, torch.cat(rows).clone(), activations=activations)
        for rows in ([point, others[:1]], [others[1:2], point, others[2:]])
    ]
    unseen = [*recordings[0].unseen, *scripted_parts(module)]
    if unseen and layers is None:
        raise UnseenActivationError(
            f"{unseen[0]}, where it cannot be read; write it with separate operations, or choose layers="
        )
    analysis = _Analysis(*recordings)
    analysis.run()
    return replace(analysis.program(layers, breakpoints), model=double, activations=activations)


class _Analysis:
    """Two recordings of one model side by side: which registers go with the points, and which steps are affine in them."""

    def __init__(self, first: Recording, second: Recording) -> None:
        self._first = first
        self._second = second
        self._steps: list[Step] = []
        self._refusals: dict[int, str] = {}
        self._varying: set[int] = {0}
        self._layouts: dict[int, Layout] = {0: Layout(0, 1, tuple(first.tensors[0].shape[1:]))}
        self._found: list[tuple[int, Call]] = []  # position among the steps, and the call whose activation fired there

    def run(self) -> None:
        first, second = self._first, self._second
        if [call.func for call in first.calls] != [call.func for call in second.calls]:
            raise NotPiecewiseLinearError(
                "the model ran other operations on other inputs: what it does depends on its input by Python's own if or loops"
            )
        for one, other in zip(first.calls, second.calls, strict=True):
            self._take(one, other)

    def program(self, layers: Layers, breakpoints: Breakpoints) -> Program:
        sites, places = [], []
        for place, call in self._found:
            name, activation = call.firing or ("", Activation("", ()))
            register = call.refs()[0]
            rest = self._layouts[register].shape if register in self._layouts else ()
            sites.append(
                Site(
                    name,
                    activation.kind,
                    rest,
                    activation.breakpoints,
                    kinks=activation.kinks,
                    slopes=activation.slopes,
                    piecewise_linear=activation.piecewise_linear,
                )
            )
            places.append((place, register))
        if not sites:
            raise ValueError(
                "the model has no activation site that depends on its input: it has one region, the whole space"
            )
        sites = [
            replace(s, breakpoints=points)
            for s, points in zip(sites, resolve_breakpoints(sites, breakpoints), strict=True)
        ]
        chosen = set(choose(sites, layers))
        for i, (_, register) in enumerate(places):
            if i in chosen and register in self._refusals:
                raise NotPiecewiseLinearError(
                    f"site {sites[i].name!r} is not piecewise linear in the input: {self._refusals[register]}. Choose the sites before it "
                    "by layers=, or ask for a sampled result (samples=)"
                )
            if i in chosen and not sites[i].breakpoints:
                raise ValueError(
                    f"site {sites[i].name!r} ({sites[i].kind}) has no breakpoints of its own: give them by breakpoints="
                )
        output = self._output()
        refusal = (
            self._refusals.get(output, "") if output is not None else "it returned no tensor that depends on the input"
        )
        if output is not None and not refusal and (self._layouts[output].axis, self._layouts[output].span) != (0, 1):
            refusal = "its output does not have the examples along its first axis"
        steps = list(self._steps)
        for i in reversed(range(len(sites))):
            place, register = places[i]
            if register in self._refusals:
                continue
            points = sites[i].breakpoints if i in chosen else ()
            kinks = sites[i].kinks if sites[i].piecewise_linear else ()
            levels = tuple(sorted({*points, *kinks}))
            site = sites[i] if i in chosen else None
            if not levels:
                continue
            steps.insert(place, SiteStep(register, levels, site, sites[i].name))
        return with_last_uses(
            Program(
                steps=tuple(steps),
                layouts=dict(self._layouts),
                varying=frozenset(self._varying),
                output=None if refusal or output is None else output,
                output_refusal=refusal,
                sites=tuple(sites[i] for i in sorted(chosen)),
                input_shape=tuple(self._first.tensors[0].shape[1:]),
            )
        )

    def _output(self) -> int | None:
        value = self._first.output
        if isinstance(value, Mapping):
            value = value.get("logits", next(iter(value.values()), None))
        while isinstance(value, (tuple, list)) and value:
            value = value[0]
        return value.register if isinstance(value, Ref) and value.register in self._varying else None

    def _take(self, one: Call, other: Call) -> None:
        refs = one.refs()
        varying = [register for register in refs if register in self._varying]
        name = one.name
        kind = dependence(name)
        if kind is Dependence.SHAPE:
            varying = []
        args, kwargs, dynamic = self._arguments(one, other)
        if not varying and not dynamic:
            return  # the outputs are constants, taken from the recording where they are used
        here = f"operation {name!r}" + (f" in module {one.where!r}" if one.where else "")
        if one.writes:
            for shadow in one.shadows:
                self._refusals[shadow] = (
                    f"{here} writes in place into memory that another view of it is read from later (clone it first)"
                )
        inherited = next((self._refusals[register] for register in refs if register in self._refusals), None)
        if varying and kind is Dependence.READS_VALUE and inherited is None:
            raise NotPiecewiseLinearError(
                f"{here} reads a value that depends on the input out of PyTorch (by bool(), item(), an if): what follows is not known "
                "to be piecewise linear"
            )
        if one.firing is not None and varying:
            self._found.append((len(self._steps), one))
        if not varying:  # constants, as many as there are points
            for register in one.outputs:
                self._place(register, here)
            self._steps.append(AffineStep(_functional(one), args, kwargs, one.outputs, constant=True, name=here))
            return
        problem = inherited or self._problem(one, kind, varying, here)
        for register in one.outputs:
            self._varying.add(register)
            if problem is None:
                problem = (
                    self._place(register, here)
                    if self._first.tensors[register].is_floating_point()
                    else f"{here} gives whole numbers"
                )
                if problem is not None and register != one.outputs[0]:
                    self._refusals[register], problem = (
                        problem,
                        None,
                    )  # indices of a pooling: a refusal only where they are used
            if problem is not None:
                self._refusals[register] = problem
        if one.outputs and one.outputs[0] not in self._refusals:
            self._steps.append(self._step(one, kind, args, kwargs, varying, here))

    def _problem(self, call: Call, kind: Dependence, varying: Sequence[int], here: str) -> str | None:
        """Why the operation is not piecewise linear in what varies; `None` if it is."""
        tensors = [leaf for leaf in leaves((call.args, dict(call.kwargs))) if isinstance(leaf, (Ref, Tensor))]
        places = [i for i, leaf in enumerate(tensors) if isinstance(leaf, Ref) and leaf.register in self._varying]
        if kind is Dependence.OTHER:
            return f"{here} is not piecewise linear, or not known to be"
        if kind is Dependence.AFFINE_IN_FIRST:
            if places != [0]:
                return f"{here} has more than its first tensor depend on the input"
            if any(isinstance(arg, bool) and arg for arg in call.args) and "norm" in call.name:
                return f"{here} normalizes each batch by itself"
        if kind is Dependence.AFFINE_IN_ONE and len(places) != 1:
            return f"{here} multiplies two values that both depend on the input"
        if kind is Dependence.AFFINE_SUM and sum(place > 0 for place in places) > 1:
            return f"{here} multiplies two values that both depend on the input"
        if kind is Dependence.CHOICE:
            known = [self._layouts[register] for register in call.refs() if register in self._layouts]
            if len(known) < len(tensors):
                return f"{here} compares with constants (write it as a clamp or an activation)"
            if any(layout.span != 1 for layout in known):
                return f"{here} has several entries of one example along its examples' axis"
        if kind is Dependence.ACTIVATION:
            activation = self._activation(call)
            if len(places) != 1 or activation is None or not activation.piecewise_linear:
                return (
                    f"{here} is smooth, not piecewise linear"
                    if activation is None or not activation.kinks
                    else f"{here} is not piecewise linear"
                )
            if not _continuous(call, activation):
                return f"{here} jumps, and regions need a continuous function"
        return None

    def _activation(self, call: Call) -> Activation | None:
        if call.firing is not None and call.firing[1].piecewise_linear:
            return call.firing[1]
        if call.name == "abs":
            return Activation("abs", (), (0.0,), (-1.0, 1.0), piecewise_linear=True)
        rest = [self._constant(leaf) for leaf in call.args[1:]]
        return reading_of(call.name, rest, {key: self._constant(leaf) for key, leaf in call.kwargs.items()})

    def _constant(self, leaf: Any) -> Any:
        return self._first.tensors[leaf.register] if isinstance(leaf, Ref) else leaf

    def _step(
        self,
        call: Call,
        kind: Dependence,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        varying: Sequence[int],
        here: str,
    ) -> Step:
        func = _functional(call)
        if kind is Dependence.CHOICE:
            registers = tuple(register for register in call.refs() if register in self._layouts)
            output = self._layouts[call.outputs[0]]
            inputs = [self._layouts[register] for register in registers]
            windows = choice_windows(
                call.name,
                call.args,
                dict(call.kwargs),
                [layout.shape for layout in inputs],
                output.shape,
                axis=inputs[0].axis,
            )
            return ChoiceStep(registers, call.outputs[0], windows, here)
        if kind is Dependence.ACTIVATION:
            activation = self._activation(call)
            if activation is None:
                raise TypeError(f"{here} has no reading")
            if call.firing is None or not call.firing[1].piecewise_linear:
                self._steps.append(SiteStep(varying[0], activation.kinks, None, here))
            if call.name == "rrelu_with_noise":  # its noise goes with the points, and means nothing in eval mode
                slope = activation.slopes[0]
                func, args, kwargs = torch.ops.aten.leaky_relu.default, (args[0], slope), {}
            return ActivationStep(func, args, kwargs, varying[0], call.outputs[0], activation, here)
        tensors = [leaf for leaf in leaves((call.args, dict(call.kwargs))) if isinstance(leaf, (Ref, Tensor))]
        all_vary = all(isinstance(leaf, Ref) and leaf.register in self._varying for leaf in tensors)
        numbers = any(isinstance(leaf, float) and leaf != 0 for leaf in leaves((call.args[1:], dict(call.kwargs))))
        adds = (call.name in ("add", "sub", "rsub") and len(tensors) < 2) or (
            call.name == "constant_pad_nd" and numbers
        )
        products = call.name in ("mul", "mm", "bmm", "mv", "dot", "matmul", "div")
        biased = not (call.name in ("convolution", "linear") and call.args[2:3] in ((), (None,)))
        constant = not products and biased and not (kind is Dependence.JOINTLY_LINEAR and all_vary and not adds)
        return AffineStep(func, args, kwargs, call.outputs, constant=constant, name=here)

    def _place(self, register: int, here: str) -> str | None:
        """Find where the points lie in a register; what is wrong if they do not lie anywhere."""
        one, other = self._first.tensors[register], self._second.tensors[register]
        mixes = f"{here} mixes the examples of a batch"
        if one.ndim != other.ndim:
            return mixes
        axes = [i for i, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b]
        if len(axes) != 1:
            return mixes
        axis = axes[0]
        span = other.shape[axis] - one.shape[axis]
        if span < 1 or one.shape[axis] != 2 * span or other.shape[axis] != 3 * span:
            return mixes
        mine, again = one.narrow(axis, 0, span), other.narrow(axis, span, span)
        scale = float(mine.abs().max()) if mine.numel() else 0.0
        if register in self._varying and not torch.allclose(mine, again, rtol=1e-9, atol=1e-9 * scale):
            return mixes
        rest = list(one.shape)
        rest[axis : axis + 1] = [span] if span > 1 else []
        self._layouts[register] = Layout(axis, span, tuple(rest))
        return None

    def _arguments(self, one: Call, other: Call) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
        """The call's arguments with what goes with the number of points in symbols, and whether anything does."""
        dynamic = False

        def merge(a: Any, b: Any) -> Any:
            nonlocal dynamic
            if isinstance(a, (tuple, list)):
                if not isinstance(b, (tuple, list)) or len(a) != len(b):
                    raise self._escaped(one)
                return type(a)(merge(x, y) for x, y in zip(a, b, strict=True))
            if isinstance(a, Ref):
                if a.register in self._varying or a.register in self._layouts or a.register in self._refusals:
                    dynamic = True
                    return a
                return self._same(a, b, one)
            if isinstance(a, Tensor):
                if not isinstance(b, Tensor) or not (a is b or torch.equal(a, b)):
                    raise self._escaped(one)
                return a
            if type(a) is int and type(b) is int and a != b:
                dynamic = True
                return Rows(b - a, a - 2 * (b - a))
            if a != b and not (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)):
                raise self._escaped(one)
            return a

        args = merge(one.args, other.args)
        kwargs = {key: merge(value, other.kwargs[key]) for key, value in one.kwargs.items()}
        return args, kwargs, dynamic

    def _same(self, a: Ref, b: Any, call: Call) -> Tensor:
        one = self._first.tensors[a.register]
        if not isinstance(b, Ref) or not torch.equal(one, self._second.tensors[b.register]):
            raise self._escaped(call)
        return one

    def _escaped(self, call: Call) -> NotPiecewiseLinearError:
        where = f" in module {call.where!r}" if call.where else ""
        return NotPiecewiseLinearError(
            f"operation {call.plain_name!r}{where} was given another constant for other inputs: a value that depends on the input left "
            "PyTorch (by .data, .numpy() or item()), or is random"
        )


def _functional(call: Call) -> Callable[..., Any]:
    """The operation itself, or its twin that returns the result instead of writing it; one that takes any strides for a view."""
    if call.plain_name in ("view", "_unsafe_view", "_reshape_alias"):
        return _reshaped
    if not call.writes:
        found: Callable[..., Any] = call.func
        return found
    packet = getattr(torch.ops.aten, call.name, None)
    overload = getattr(packet, call.func._overloadname, None)
    if overload is None:
        raise NotPiecewiseLinearError(
            f"operation {call.plain_name!r} writes in place, and has no twin that does not: clone its input first"
        )
    twin: Callable[..., Any] = overload
    return twin


def _reshaped(tensor: Tensor, size: Sequence[int], *strides: Any) -> Tensor:
    return tensor.reshape(list(size))


def _continuous(call: Call, activation: Activation) -> bool:
    if activation.kind == "hardshrink":
        return activation.kinks[-1] == 0
    if activation.kind == "threshold":
        return float(call.args[1]) == float(call.args[2])
    return True
