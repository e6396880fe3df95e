"""Activation sites of a model: one function mode sees every activation, whatever it is written as."""

from __future__ import annotations

import contextlib
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actscope.codes.breakpoints import checked_breakpoints
from actscope.codes.kinds import Activation, activation_modules, fused_kernels, recognized

__all__ = ["Activations", "Firing", "SiteReader", "UnseenActivationError", "scripted_parts", "unwrapped"]

Activations: TypeAlias = Mapping[Callable[..., Any], Any]
"""Module classes or functions that are one activation each, with their breakpoints."""


class UnseenActivationError(ValueError):
    """A part of the model runs activations where they cannot be read."""


@dataclass(frozen=True)
class Firing:
    """One activation about to run: where, what, and its pre-activation as it is before the call."""

    name: str
    activation: Activation
    pre_activation: Tensor


class SiteReader(TorchFunctionMode):
    """A context in which every activation of `model` is reported just before it runs.

    Modules report where they are by hooks that are gone after the context; the model is not edited. Functions called by the
    hooks of `on_site` are not reported themselves.

    Args:
        model: the model, as `unwrapped` returns it.
        on_site: called with each `Firing`, in the order in which the model runs.
        on_unseen: called with a sentence for each part that runs activations out of sight.
        activations: module classes or functions to take as one site each, with their breakpoints.
    """

    def __init__(
        self,
        model: nn.Module,
        on_site: Callable[[Firing], None],
        *,
        on_unseen: Callable[[str], None],
        activations: Activations | None = None,
    ) -> None:
        super().__init__()
        self._model = model
        self._on_site = on_site
        self._on_unseen = on_unseen
        self._recognized = recognized()
        self._fused = fused_kernels()
        self._classes: dict[type[nn.Module], Activation] = {}
        self._functions: dict[Callable[..., Any], Activation] = {}
        for target, points in (activations or {}).items():
            own = Activation(_kind_of(target), checked_breakpoints(points, f"activations[{_kind_of(target)}]"))
            if isinstance(target, type) and issubclass(target, nn.Module):
                self._classes[target] = own
            elif callable(target) and not isinstance(target, (type, nn.Module)):
                self._functions[target] = own
            else:
                raise TypeError(f"activations= takes module classes and functions as keys; got {target!r}")
        self._path: list[str] = []
        self._leaves: list[bool] = []
        self._muted = 0
        self._calls: Counter[str] = Counter()
        self._exits = contextlib.ExitStack()

    @property
    def path(self) -> str:
        """The path of the module that is running, empty for the model itself."""
        return self._path[-1] if self._path else ""

    def start(self) -> None:
        """Begin a new forward pass: calls are counted from 1 again."""
        self._calls.clear()
        self._path.clear()
        self._leaves.clear()
        self._muted = 0

    def __enter__(self) -> SiteReader:
        with contextlib.ExitStack() as exits:
            for name, module in self._model.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue
                # a module that torch.compile wrapped in place has its own name for the real one
                path = ".".join(part for part in name.split(".") if part != "_orig_mod")
                exits.enter_context(_removing(module.register_forward_pre_hook(self._entering(path), with_kwargs=True)))
                exits.enter_context(_removing(module.register_forward_hook(self._leaving, always_call=True)))
            for function, activation in self._functions.items():
                if isinstance(function, types.FunctionType):
                    exits.enter_context(_replaced(function, self._standing_in(function, activation), self._model))
            if "torch._dynamo" in sys.modules:  # else nothing was compiled, and importing it takes seconds
                exits.enter_context(torch.compiler.set_stance("force_eager"))
            super().__enter__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._exits.close()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._muted:
            if func in self._functions:
                self._fire(self._functions[func], *_split_input(args, kwargs)[:1])
            elif func in self._recognized:
                pre_activation, rest, named = _split_input(args, kwargs)
                named.pop("out", None)  # where the result goes says nothing of the activation
                if pre_activation is not None and pre_activation.is_floating_point():
                    self._fire(self._recognized[func](*rest, **named), pre_activation)
            elif func in self._fused:
                where = f"module {self._path[-1]!r}" if self._path and self._path[-1] else "the model"
                self._on_unseen(f"{where} calls {self._fused[func]}, which runs its activation inside one fused kernel")
        return func(*args, **kwargs)

    def _fire(self, activation: Activation, pre_activation: Tensor | None) -> None:
        if pre_activation is None:
            return
        path = self._path[-1] if self._path else ""
        name = path if path and self._leaves[-1] else f"{path}:{activation.kind}"
        self._calls[name] += 1
        call = self._calls[name]
        self._on_site(Firing(name if call == 1 else f"{name}#{call}", activation, pre_activation))

    def _entering(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            own = self._own_activation(module)
            self._path.append(path)
            self._leaves.append(own is not None or isinstance(module, activation_modules()))
            if own is not None:
                if not self._muted:
                    self._fire(own, _split_input(args, kwargs)[0])
                self._muted += 1

        return enter

    def _leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._path:  # an exception on the way in leaves nothing to take back
            self._path.pop()
            self._leaves.pop()
            if self._own_activation(module) is not None:
                self._muted -= 1

    def _own_activation(self, module: nn.Module) -> Activation | None:
        return next((self._classes[kind] for kind in type(module).__mro__ if kind in self._classes), None)

    def _standing_in(self, function: Callable[..., Any], activation: Activation) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._muted:
                self._fire(activation, _split_input(args, kwargs)[0])
            self._muted += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._muted -= 1

        return call


def unwrapped(model: nn.Module) -> nn.Module:
    """The module that a compiled or parallel wrapper holds, or the model itself.

    Raises:
        TypeError: if `model` is no module.
        UnseenActivationError: if it is scripted or traced as a whole.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif type(model).__name__ == "OptimizedModule" and isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]  # attribute access on a module is typed as Tensor | Module
        else:
            break
    if isinstance(model, torch.jit.ScriptModule):
        raise UnseenActivationError(
            f"the model is a {type(model).__name__}: scripted and traced code runs where its activations cannot be read; "
            "pass the Python module that it was made from"
        )
    return model


def scripted_parts(model: nn.Module) -> list[str]:
    """A sentence for every part of `model` that is scripted or traced."""
    found: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{other}.") for other in found)
        if isinstance(module, torch.jit.ScriptModule) and not inside:
            found.append(name)
    parts = [f"module {name!r} is scripted or traced" for name in found]
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, torch.jit.ScriptFunction):
                parts.append(f"{attribute!r} of module {name!r} is a scripted function")
    for kind in {type(module) for module in model.modules()}:
        for attribute, value in _called_globals(kind):
            if isinstance(value, torch.jit.ScriptFunction):
                parts.append(f"{attribute!r}, which {kind.__name__}.forward calls, is a scripted function")
    return parts


def _kind_of(target: Any) -> str:
    return str(getattr(target, "__name__", type(target).__name__)).lower()


def _split_input(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Tensor | None, tuple[Any, ...], dict[str, Any]]:
    """A call's input tensor, and the arguments behind it."""
    if args:
        return (args[0] if isinstance(args[0], Tensor) else None), args[1:], dict(kwargs)
    named = dict(kwargs)
    for key in ("input", "self", "x"):
        if isinstance(named.get(key), Tensor):
            return named.pop(key), (), named
    first = next((key for key, value in named.items() if isinstance(value, Tensor)), None)
    return (named.pop(first) if first is not None else None), (), named


@contextlib.contextmanager
def _removing(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _replaced(function: types.FunctionType, stand_in: Callable[..., Any], model: nn.Module) -> Iterator[None]:
    """`stand_in` under every name that a plain Python function has, in imported modules and on the model's modules.

    A Python function cannot be seen from a function mode, only what it calls; its callers look it up by name, so the names are lent.
    """
    lent: list[tuple[dict[str, Any], str]] = []
    places = [vars(module) for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)]
    places += [function.__globals__, *(vars(module) for module in model.modules())]
    places += [
        vars_of for kind in {type(module) for module in model.modules()} if (vars_of := _globals_of(kind)) is not None
    ]
    try:
        for place in places:
            for name, value in list(place.items()):
                if value is function:
                    place[name] = stand_in
                    lent.append((place, name))
        yield
    finally:
        for place, name in lent:
            place[name] = function


def _called_globals(kind: type[nn.Module]) -> list[tuple[str, Any]]:
    """The global names that a class's forward method refers to, and the class's own attributes, with what they hold."""
    code = getattr(getattr(kind, "forward", None), "__code__", None)
    place = _globals_of(kind) or {}
    called = [(name, place[name]) for name in (code.co_names if code is not None else ()) if name in place]
    return called + list(vars(kind).items())


def _globals_of(kind: type[nn.Module]) -> dict[str, Any] | None:
    forward = getattr(kind, "forward", None)
    return getattr(forward, "__globals__", None)
