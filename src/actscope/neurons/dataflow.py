"""Which call of a forward pass feeds which, and whose parameters it uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from actscope.codes.discovery import Firing, SiteReader

__all__ = ["Call", "Dataflow", "call_model", "tensors_in", "trace"]


@dataclass(eq=False)
class Call:
    """One call of a PyTorch function that gave a tensor.

    Attributes:
        function: what was called; `name` is its name.
        args, kwargs: its arguments, tensors included.
        inputs: numbers of the values that went in, parameters and constants left out.
        outputs: numbers of the values that came out.
        site: the activation site that it is, if it is one.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    site: str | None = None

    @property
    def name(self) -> str:
        """The function's name, without a trailing underscore of in-place spellings."""
        return str(getattr(self.function, "__name__", self.function)).rstrip("_")

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)


@dataclass(eq=False)
class Dataflow:
    """The calls of one forward pass in order, and how values run between them.

    Attributes:
        calls: every call that gave a tensor.
        outputs: numbers of the values that the model gave back.
        shapes: by value, its shape.
        owners: by the id of a parameter or buffer, the modules that hold it and under which names.
    """

    calls: list[Call] = field(default_factory=list)
    outputs: frozenset[int] = frozenset()
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    owners: dict[int, list[tuple[nn.Module, str]]] = field(default_factory=dict)

    def consumers(self, value: int) -> list[Call]:
        """The calls that a value goes into."""
        return [call for call in self.calls if value in call.inputs]

    def producer(self, value: int) -> Call | None:
        """The call that a value comes from; `None` for the model's input."""
        return next((call for call in reversed(self.calls) if value in call.outputs), None)

    def site(self, name: str) -> Call | None:
        """The call that is this activation site."""
        return next((call for call in self.calls if call.site == name), None)

    def uses(self, tensor: Tensor) -> int:
        """How many calls take this parameter."""
        return sum(any(part is tensor for part in tensors_in((call.args, dict(call.kwargs)))) for call in self.calls)


def trace(model: nn.Module, inputs: Any) -> Dataflow:
    """What flows where when `model` runs on `inputs`, in eval mode and without gradients as the caller has set it.

    Values written over in place get a new number; a view of one is a value of its own.
    """
    tracer = _Tracer(model)
    with tracer:
        output = call_model(model, inputs)
    return tracer.finished(output)


def call_model(model: nn.Module, inputs: Any) -> Any:
    """The model's output: a mapping is taken as keyword arguments, a tuple or list as positional ones; moved to its device and dtype."""
    first = next(model.parameters(), None)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)

    def moved(content: Any) -> Any:
        if isinstance(content, Tensor):
            place = content.device if first is None else first.device
            return content.to(device=place, dtype=dtype if content.is_floating_point() else None, copy=True)
        if isinstance(content, Mapping):
            return {key: moved(value) for key, value in content.items()}
        if isinstance(content, (tuple, list)):
            return tuple(moved(value) for value in content)
        return content

    ready = moved(inputs)
    if isinstance(ready, Mapping):
        return model(**ready)
    return model(*ready) if isinstance(ready, tuple) else model(ready)


def tensors_in(content: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, dicts and objects with fields."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from tensors_in(value)
    elif isinstance(content, (tuple, list)):
        for value in content:
            yield from tensors_in(value)
    elif dataclasses.is_dataclass(content) and not isinstance(content, type):
        yield from tensors_in(vars(content) if hasattr(content, "__dict__") else ())


class _Tracer(SiteReader):
    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, self._on_firing, on_unseen=lambda sentence: None)
        self._flow = Dataflow()
        self._numbers: dict[int, int] = {}
        self._alive: list[Tensor] = []  # an id is a tensor's own only as long as it lives
        self._fired: str | None = None
        for module in model.modules():
            for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None:
                    self._flow.owners.setdefault(id(tensor), []).append((module, name))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        inputs = tuple(
            dict.fromkeys(self._number(part) for part in tensors_in((args, named)) if id(part) not in self._flow.owners)
        )
        self._fired = None
        result = super().__torch_function__(func, types, args, named)
        fired, self._fired = self._fired, None
        produced = list(tensors_in(result))
        if produced:
            outputs = tuple(self._number(part, new=True) for part in produced)
            self._flow.calls.append(Call(func, args, named, inputs, outputs, fired))
        return result

    def finished(self, output: Any) -> Dataflow:
        content = output if isinstance(output, (Tensor, Mapping, tuple, list)) else getattr(output, "__dict__", ())
        self._flow.outputs = frozenset(self._number(part) for part in tensors_in(content))
        return self._flow

    def _on_firing(self, firing: Firing) -> None:
        self._fired = firing.name

    def _number(self, tensor: Tensor, new: bool = False) -> int:
        if new or id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self._flow.shapes)
            self._flow.shapes[len(self._flow.shapes)] = tuple(torch.Tensor.size(tensor))
            self._alive.append(tensor)
        return self._numbers[id(tensor)]
