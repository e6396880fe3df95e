"""A CUDA graph's rules kept on a CPU: what is captured is not done, and a replay repeats it on the very same memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from actscope.training.stacking.graphs import Work

WAITS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "item", "masked_select", "unique"}


def capture(work: Work) -> Work:
    """The operations of `work` with the tensors they had, to be done again and again; nothing has happened when this returns."""
    recorder = Recorder()
    with recorder:
        work()
    recorder.undo()
    return recorder.replay


def capture_addresses(work: Work) -> Work:
    """What only sees that all memory from outside is still there when `work` would be done again, and does nothing."""
    recorder = Recorder()
    with recorder:
        work()
    recorder.undo()
    recorder.calls.clear()
    return recorder.require_memory


class Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.before: list[tuple[Tensor, Tensor]] = []
        self.outside: dict[int, StorageWeakRef] = {}
        self.made: set[int] = set()
        self.n_replays = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in WAITS:
            raise RuntimeError(f"{func} waits for the device")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            self._keep(argument, value)
        for argument in func._schema.arguments:
            if argument.name in kwargs:
                self._keep(argument, kwargs[argument.name])
        out = func(*args, **kwargs)
        for tensor in tensors_in([*args, *kwargs.values()]):
            memory = tensor.untyped_storage()._cdata
            if memory not in self.made:
                self.outside.setdefault(memory, StorageWeakRef(tensor.untyped_storage()))
        self.made |= {tensor.untyped_storage()._cdata for tensor in tensors_in(out)} - self.outside.keys()
        self.calls.append((func, args, kwargs, out))
        return out

    def _keep(self, argument: Any, value: Any) -> None:
        if argument.alias_info is not None and argument.alias_info.is_write:
            self.before += [(tensor, tensor.clone()) for tensor in tensors_in(value)]

    def undo(self) -> None:
        for tensor, value in reversed(self.before):
            tensor.copy_(value)
        self.before.clear()

    def require_memory(self) -> None:
        self.n_replays += 1
        gone = sum(memory.expired() for memory in self.outside.values())
        if gone:
            raise RuntimeError(f"{gone} of {len(self.outside)} pieces of memory that the graph works on are free")

    def replay(self) -> None:
        self.n_replays += 1
        for func, args, kwargs, out in self.calls:
            aliases = [result.alias_info for result in func._schema.returns]
            if aliases and all(alias is not None and not alias.is_write for alias in aliases):
                continue  # a view stays one
            again = func(*args, **kwargs)
            for there, here in zip(tensors_in(out), tensors_in(again), strict=True):
                if there is not here:
                    there.copy_(here)


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
