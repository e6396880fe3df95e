"""What a write in place does to the other tensors that lie in the same memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from actscope.regions.programs.alignment import MIXES, Alignment
from actscope.regions.programs.linearity import functional
from actscope.regions.programs.program import AffineStep
from actscope.regions.programs.recording import Call, Ref

__all__ = ["Views"]


@dataclass(frozen=True)
class View:
    """How a register was made as a view of another one: `func(parent, *args, **kwargs)`, of whose results it is the one at `index`."""

    parent: int
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    index: int


class Views:
    """The views among the registers of a recording, and what becomes of them."""

    def __init__(self, alignment: Alignment) -> None:
        self._alignment = alignment
        self._views: dict[int, View] = {}
        self._origin: dict[int, int] = {}  # the first register of a tensor that was written to since

    def made(self, call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note the views that an operation made, with its arguments as the program has them, or that it wrote to."""
        refs = call.refs()
        if not refs or not call.outputs:
            return
        if call.written:
            self._same_tensor(refs[0], call.outputs[0])
        elif call.makes_views:
            func = functional(call)
            if func is not None:
                for i, register in enumerate(call.outputs):
                    self._views[register] = View(refs[0], func, tuple(args[1:]), tuple(kwargs.items()), i)

    def rewritten(self, call: Call) -> list[AffineStep]:
        """The steps that bring the other tensors up to date after a write; those that no step can are refused."""
        if not call.rewritten:
            return []
        written, value = call.refs()[0], call.outputs[0] if call.outputs else -1
        updated = {self._origin_of(written): value}
        steps: list[AffineStep | None] = []
        viewed: list[tuple[int, int]] = []
        for old, new in call.rewritten:
            chain = self._chain(written, self._origin_of(old))
            if chain is None:
                viewed.append((old, new))
                continue
            alignment = self._alignment
            before = Ref(old) if alignment.knows(old) else alignment.first.tensors[old]
            steps.append(self._updating(call, (old, value), new, _written_through, (before, Ref(value), chain)))
            updated[self._origin_of(old)] = new
        for old, new in viewed:  # views of what was written to, or of what lies under it
            ancestor = next((o for o in self._ancestors(old) if o in updated), None)
            if ancestor is not None:
                source = updated[ancestor]
                args = (Ref(source), self._chain(old, ancestor))
                steps.append(self._updating(call, (source,), new, _viewed, args))
            elif any(self._alignment.knows(register) for register in (old, value)):
                self._alignment.refuse(
                    new,
                    f"{call.here} writes in place into memory that another view of it is read from later (clone it first)",
                )
        for old, new in call.rewritten:
            self._same_tensor(old, new)
        return [step for step in steps if step is not None]

    def _updating(
        self, call: Call, sources: tuple[int, ...], new: int, func: Callable[..., Tensor], args: tuple[Any, ...]
    ) -> AffineStep | None:
        alignment = self._alignment
        if not any(alignment.knows(register) for register in sources):
            return None  # constants: their values after the write are in the recording
        varying = [register in alignment.varying for register in sources]
        if any(varying):
            alignment.varying.add(new)
        reason = next((alignment.refusals[r] for r in sources if r in alignment.refusals), None)
        if reason is None and not alignment.place(new):
            reason = f"{call.here} {MIXES}"
        if reason is not None:
            alignment.refuse(new, reason)
            return None
        return AffineStep(func, args, {}, (new,), constant=not all(varying), name=call.here)

    def _origin_of(self, register: int) -> int:
        return self._origin.get(register, register)

    def _ancestors(self, register: int) -> list[int]:
        """The origins of what a register is a view of, from near to far."""
        found = []
        while register in self._views:
            register = self._views[register].parent
            found.append(self._origin_of(register))
        return found

    def _chain(self, view: int, ancestor: int) -> tuple[Any, ...] | None:
        """How `view` was made of the tensor whose origin is `ancestor`, view by view; `None` if it was not."""
        links: list[Any] = []
        while self._origin_of(view) != ancestor:
            if view not in self._views:
                return None
            link = self._views[view]
            links.append((link.func, link.args, link.kwargs, link.index))
            view = link.parent
        return tuple(reversed(links))

    def _same_tensor(self, old: int, new: int) -> None:
        self._origin[new] = self._origin_of(old)
        if old in self._views:
            self._views[new] = self._views[old]


def _viewed(tensor: Tensor, chain: Sequence[Any]) -> Tensor:
    for func, args, kwargs, index in chain:
        made = func(tensor, *args, **dict(kwargs))
        tensor = made[index] if isinstance(made, (tuple, list)) else made
    return tensor


def _written_through(tensor: Tensor, value: Tensor, chain: Sequence[Any]) -> Tensor:
    """`tensor` with `value` in the place of one of its views."""
    result = tensor.clone()
    _viewed(result, chain).copy_(value)
    return result
