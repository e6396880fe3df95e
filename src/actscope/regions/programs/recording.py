"""What a forward pass does, as it happens: every operation with its arguments, and every activation with its name."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from actscope.codes.discovery import Activations, Firing, SiteReader
from actscope.codes.kinds import Activation
from actscope.codes.restoring import evaluating, random_state_kept
from actscope.regions.programs.nesting import each, leaves

__all__ = ["Call", "Recording", "Ref", "Seen", "leaves", "record"]


@dataclass(frozen=True)
class Ref:
    """A tensor of the recording, by its number; 0 is the model's input."""

    register: int


@dataclass(frozen=True)
class Seen:
    """An activation that fired with this call, and the register of its pre-activation."""

    name: str
    activation: Activation
    register: int


@dataclass(frozen=True)
class Call:
    """One operation: what was called with what, where in the model, and the registers of the tensors that came out.

    Attributes:
        func: what was called.
        spelling: its name as PyTorch spells it: `relu_`, `addmm`.
        args, kwargs: its arguments, with a `Ref` in place of each tensor.
        outputs: the registers of what it returned.
        where: the module's path.
        seen: the activation that it is.
        written: whether it writes into the first tensor that it was given.
        rewritten: for each other tensor that lies in memory it wrote to, the registers before and after.
    """

    func: Any
    spelling: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[int, ...]
    where: str
    seen: Seen | None = None
    written: bool = False
    rewritten: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """The operation's name, without its in-place underscore: `relu`, `addmm`."""
        return self.spelling.removesuffix("_") if self.written else self.spelling

    @property
    def here(self) -> str:
        """The operation and its place, as a message tells them."""
        return f"operation {self.spelling!r}" + (f" in module {self.where!r}" if self.where else "")

    @property
    def makes_views(self) -> bool:
        """Whether its results lie in the memory of its first tensor."""
        return any(
            result.alias_info is not None and not result.alias_info.is_write for result in self.func._schema.returns
        )

    def refs(self) -> list[int]:
        """The registers that the operation reads."""
        return [leaf.register for leaf in leaves((self.args, self.kwargs)) if isinstance(leaf, Ref)]


@dataclass
class Recording:
    """The operations of one forward pass in order, the tensors that they made or read, and what came out."""

    calls: list[Call] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    output: Any = None
    unseen: list[str] = field(default_factory=list)


def record(model: nn.Module, inputs: Tensor, *, activations: Activations | None = None, seed: int = 0) -> Recording:
    """One forward pass of `model` in eval mode, without gradients, operation by operation.

    Args:
        model: a module in float64, as `actscope.codes.discovery.unwrapped` returns it. Its modes come out as they went in; what
            its forward pass itself writes stays.
        inputs: (n, …) its argument.
        activations: as for `actscope.encode`.
        seed: of the global random states during the pass: what a model draws differs from one seed to another.
    """
    recorder = _Recorder(inputs)
    reader = SiteReader(model, recorder.on_site, on_unseen=recorder.on_unseen, activations=activations)
    with warnings.catch_warnings(), random_state_kept(inputs.device), torch.no_grad(), reader:
        # the operation itself is refused, if anything depends on it
        warnings.filterwarnings("ignore", message="module .* normalizes each batch by itself")
        with evaluating(model):
            _seed_everything(seed, inputs.device)
            reader.start()
            recorder.where = lambda: reader.path
            with _Exits(recorder), recorder:
                output = model(inputs)
    recorder.finish(output)
    return recorder.recording


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Sees every operation below PyTorch's functions, where each has one spelling."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.recording = Recording()
        self.where: Callable[[], str] = lambda: ""
        self._current: dict[int, tuple[int, Tensor]] = {}  # by identity: a tensor's register, and the tensor, held
        self._after_writes: list[int] = []
        self._pending: Seen | None = None
        self._number(inputs)

    def on_site(self, firing: Firing) -> None:
        known = self._current.get(id(firing.pre_activation))
        self._pending = None if known is None else Seen(firing.name, firing.activation, known[0])

    def on_unseen(self, sentence: str) -> None:
        self.recording.unseen.append(sentence)

    def on_exit(self, spelling: str, tensor: Tensor) -> None:
        known = self._current.get(id(tensor))
        if known is not None:
            self.recording.calls.append(Call(spelling, spelling, (Ref(known[0]),), {}, (), self.where()))

    def finish(self, output: Any) -> None:
        """Keep what the pass wrote in place, before another pass writes into the same memory of the model."""
        tensors = self.recording.tensors
        for register in self._after_writes:
            tensors[register] = tensors[register].clone()
        self.recording.output = each(output, self._reference)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = _asking_for_double(kwargs or {})
        if torch.is_inference_mode_enabled():  # operations come here before PyTorch takes them apart
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        written = _written(func, args, kwargs)
        args, kwargs = each((args, kwargs), lambda leaf: self._in_double(leaf, written))
        known_args, known_kwargs = each(args, self._reference), each(kwargs, self._reference)
        refs = [leaf.register for leaf in leaves((known_args, known_kwargs)) if isinstance(leaf, Ref)]
        spelling = str(func._schema.name).split("::")[-1]
        seen = None
        if self._pending is not None and self._pending.register in refs and spelling not in _BEFORE_ACTIVATIONS:
            seen, self._pending = self._pending, None
        sharing = [pair for tensor in written for pair in self._before_write(tensor)]
        output = func(*args, **kwargs)
        output = each(output, lambda leaf: self._in_double(leaf, written))
        if "empty" in spelling:
            output.zero_()  # what happens to be there would differ from pass to pass
        made = tuple(self._number(leaf) for leaf in leaves(output) if isinstance(leaf, Tensor))
        rewritten = tuple((register, self._number(tensor)) for register, tensor in sharing)
        in_place = any(tensor is args[0] for tensor in written)
        if written:
            self._after_writes += [*made, *(register for _, register in rewritten)]
        self.recording.calls.append(
            Call(func, spelling, known_args, known_kwargs, made, self.where(), seen, in_place, rewritten)
        )
        return output

    def _in_double(self, leaf: Any, written: Sequence[Tensor]) -> Any:
        """In float64, what is not in it and is not known yet: constants made on the way, tensors that a model keeps out of sight."""
        if not isinstance(leaf, Tensor) or leaf.dtype not in _LOWER or id(leaf) in self._current:
            return leaf
        return leaf if any(leaf is tensor for tensor in written) else leaf.detach().to(torch.float64)

    def _reference(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        known = self._current.get(id(leaf))
        return Ref(self._number(leaf) if known is None else known[0])

    def _number(self, tensor: Tensor) -> int:
        self.recording.tensors.append(tensor)
        register = len(self.recording.tensors) - 1
        self._current[id(tensor)] = (register, tensor)
        return register

    def _before_write(self, tensor: Tensor) -> list[tuple[int, Tensor]]:
        """Keep the values that lie where `tensor` is about to be written; the other tensors that lie there."""
        self._reference(tensor)
        place = tensor.untyped_storage().data_ptr()
        there = [pair for pair in self._current.values() if pair[1].untyped_storage().data_ptr() == place]
        there = [(register, other) for register, other in there if other is tensor or _overlap(other, tensor)]
        for register, other in there:
            self.recording.tensors[register] = other.clone()
        return [pair for pair in there if pair[1] is not tensor]


class _Exits(TorchFunctionMode):
    """Sees what leaves PyTorch by its methods, below which nothing is dispatched."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._exits = {
            getattr(Tensor, name): name for name in ("numpy", "tolist", "__array__", "__dlpack__", "data_ptr")
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in self._exits and args:
            self._recorder.on_exit(self._exits[func], args[0])
        return func(*args, **(kwargs or {}))


_BEFORE_ACTIVATIONS = frozenset(
    {"view", "_unsafe_view", "expand", "unsqueeze", "squeeze", "t", "alias", "detach", "empty_like", "empty"}
)
"""What PyTorch's own code of an activation does with its arguments first."""

_LOWER = frozenset({torch.float32, torch.float16, torch.bfloat16})


def _asking_for_double(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Precision that the model asks for by name would be lost; the pass is in float64 throughout."""
    return {**kwargs, "dtype": torch.float64} if kwargs.get("dtype") in _LOWER else kwargs


def _seed_everything(seed: int, device: torch.device) -> None:
    """The global random states that are put back after the pass, and no others."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - it is the global state that a model would draw from
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def _written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that the operation writes into."""
    positions = _written_arguments(func)
    found = [args[i] if i < len(args) else kwargs.get(name) for i, name in positions]
    return [leaf for leaf in leaves(found) if isinstance(leaf, Tensor)]


@cache
def _written_arguments(func: Any) -> tuple[tuple[int, str], ...]:
    arguments = func._schema.arguments
    return tuple(
        (i, argument.name)
        for i, argument in enumerate(arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one storage have an element in common."""
    if a.numel() == 0 or b.numel() == 0:
        return False
    if a.numel() == b.numel() == a.untyped_storage().nbytes() // a.element_size():
        return True
    return bool(torch.isin(_places(a), _places(b)).any())


def _places(tensor: Tensor) -> Tensor:
    """Where in its memory each element of a tensor lies."""
    places = torch.full((1,), int(tensor.storage_offset()), dtype=torch.int64)
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        places = (places[:, None] + stride * torch.arange(size)).flatten()
    return places
