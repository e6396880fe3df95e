"""What a forward pass does, as it happens: every operation with its arguments, and every activation with its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from actscope.codes.discovery import Activations, Firing, SiteReader
from actscope.codes.kinds import Activation
from actscope.codes.restoring import evaluating, random_state_kept

__all__ = ["Call", "Recording", "Ref", "record"]


@dataclass(frozen=True)
class Ref:
    """A tensor that an operation of the recording made, by its number; 0 is the model's input."""

    register: int


@dataclass(frozen=True)
class Call:
    """One operation: what was called with what, where in the model, and the registers of the tensors that came out.

    `args` and `kwargs` hold `Ref` in place of tensors that the recording knows; other tensors (weights, constants) are there themselves.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[int, ...]
    where: str
    firing: tuple[str, Activation] | None
    shadows: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The operation's name, without its in-place underscore: `relu`, `addmm`."""
        return str(self.func._schema.name).split("::")[-1].removesuffix("_") if self.writes else self.plain_name

    @property
    def plain_name(self) -> str:
        """The operation's name as PyTorch spells it."""
        return str(self.func._schema.name).split("::")[-1]

    @property
    def writes(self) -> bool:
        """Whether the operation writes into its first tensor."""
        return bool(self.func._schema.is_mutable) and self.plain_name.endswith("_")

    def refs(self) -> list[int]:
        """The registers that the operation reads."""
        found: list[int] = []
        _each(
            (self.args, dict(self.kwargs)), lambda leaf: found.append(leaf.register) if isinstance(leaf, Ref) else None
        )
        return found


@dataclass
class Recording:
    """The operations of one forward pass in order, the tensors that they made, and what came out."""

    calls: list[Call] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    output: Any = None
    unseen: list[str] = field(default_factory=list)


def record(model: nn.Module, inputs: Tensor, *, activations: Activations | None = None) -> Recording:
    """One forward pass of `model` in eval mode, without gradients, operation by operation.

    Args:
        model: a module, as `actscope.codes.discovery.unwrapped` returns it. It comes out as it went in.
        inputs: (n, …) its argument.
        activations: as for `actscope.encode`.
    """
    recorder = _Recorder(inputs)
    reader = SiteReader(model, recorder.on_site, on_unseen=recorder.on_unseen, activations=activations)
    with random_state_kept(inputs.device), evaluating(model), torch.no_grad(), reader:
        reader.start()
        recorder.where = lambda: reader.path
        with recorder:
            output = model(inputs)
    recorder.recording.output = _each(output, recorder.reference)
    return recorder.recording


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Sees every operation below PyTorch's functions, where each has one spelling."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.recording = Recording(tensors=[inputs])
        self.where: Callable[[], str] = lambda: ""
        self._numbers: dict[int, int] = {id(inputs): 0}
        self._held: list[Tensor] = []
        self._pending: tuple[str, Activation, int] | None = None

    def on_site(self, firing: Firing) -> None:
        register = self._numbers.get(id(firing.pre_activation))
        if register is not None:
            self._pending = (firing.name, firing.activation, register)

    def on_unseen(self, sentence: str) -> None:
        self.recording.unseen.append(sentence)

    def reference(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        number = self._numbers.get(id(leaf))
        return leaf if number is None else Ref(number)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        known_args, known_kwargs = _each(args, self.reference), _each(kwargs, self.reference)
        refs = [leaf.register for leaf in _leaves((known_args, known_kwargs)) if isinstance(leaf, Ref)]
        firing = None
        if self._pending is not None and self._pending[2] in refs and _may_be_activation(func):
            firing, self._pending = self._pending[:2], None
        shadows: tuple[int, ...] = ()
        if func._schema.is_mutable and args and isinstance(args[0], Tensor):
            shadows = self._shadows(args[0])
            own = self._numbers.get(id(args[0]))
            if own is not None:  # the value from before, for whoever reads this register
                self.recording.tensors[own] = args[0].clone()
                self._held.append(args[0])
        output = func(*args, **kwargs)
        made = tuple(self._number(leaf) for leaf in _leaves(output) if isinstance(leaf, Tensor))
        self.recording.calls.append(Call(func, known_args, known_kwargs, made, self.where(), firing, shadows))
        return output

    def _number(self, tensor: Tensor) -> int:
        self.recording.tensors.append(tensor)  # held, so that no other tensor gets its identity
        self._numbers[id(tensor)] = len(self.recording.tensors) - 1
        return self._numbers[id(tensor)]

    def _shadows(self, written: Tensor) -> tuple[int, ...]:
        """Registers other than the written tensor's own that hold a part of the memory about to be written."""
        own = self._numbers.get(id(written))
        tensors = self.recording.tensors
        return tuple(n for n in self._numbers.values() if n != own and _overlap(tensors[n], written))


_VIEWS = frozenset(
    {"view", "_unsafe_view", "expand", "unsqueeze", "squeeze", "t", "alias", "detach", "empty_like", "empty"}
)


def _may_be_activation(func: Any) -> bool:
    """Whether the call is the activation itself, not what its Python code does with its arguments before."""
    return str(func._schema.name).split("::")[-1] not in _VIEWS


def _overlap(a: Tensor, b: Tensor) -> bool:
    if a.numel() == 0 or b.numel() == 0 or a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr():
        return False
    return bool(torch.isin(_places(a), _places(b)).any())


def _places(tensor: Tensor) -> Tensor:
    """Where in its memory each element of a tensor lies."""
    places = torch.full((1,), int(tensor.storage_offset()), dtype=torch.int64)
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        places = (places[:, None] + stride * torch.arange(size)).flatten()
    return places


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    else:
        yield value


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every leaf of its tuples, lists and mappings changed."""
    if isinstance(value, tuple):
        return tuple(_each(part, change) for part in value)
    if isinstance(value, list):
        return [_each(part, change) for part in value]
    if isinstance(value, Mapping):
        return {key: _each(part, change) for key, part in value.items()}
    return change(value)
