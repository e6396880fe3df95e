"""Where the numbers of many models lie: one vector, in which what is used together lies together."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from actscope.training.recipes import Recipe
from actscope.training.stacking.members import Member

Key = TypeVar("Key", bound=Hashable)

__all__ = ["Layout", "Slot", "runs", "update_rule"]


_ALIGNED = 16
"""Numbers that fill a line of the cache; with inputs as rows, every row of kernels begins at one, and zeros fill it up."""


@dataclass(frozen=True)
class Slot:
    """A parameter's place in the vector.

    Attributes:
        place: of its model in the layout.
        name: of the parameter in the model.
        start: of its first number.
        shape: of the parameter in the stack; a first kernel has only the columns of inputs in use.
        strides: steps in the vector along each axis.
    """

    place: int
    name: str
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, vector: Tensor) -> Tensor:
        """The parameter, a view of `vector`."""
        return vector.as_strided(self.shape, self.strides, self.start)


class Layout:
    """Models side by side, every layer of theirs as rows of one matrix.

    Rows are features and columns examples, so that what belongs to one model is contiguous. The vector of parameters holds, in
    this order: first kernels, first biases; then for each further level the kernels into it and the biases; the biases of the logits; the
    weights and biases of normalizations; parameters of activations. First kernels are one matrix, as all models see the same examples; or
    one for each update rule, with inputs as rows.

    Args:
        members: the models.
        used: columns of the inputs in use, (n_used,) int64; None for all.
        inputs_first: whether inputs are the rows of the first kernels.

    Attributes:
        members: the models, sorted so that those which are treated alike are neighbours.
        used: columns of the inputs in use, (n_used,) int64; None for all.
        n_inputs: how many inputs that is.
        depth: hidden layers of the deepest model.
        n_parameters: length of the vector.
        first_kernels: where in the vector, and for which rows of the first level, each matrix of first kernels is.
    """

    def __init__(self, members: Sequence[Member], used: Tensor | None, *, inputs_first: bool = False) -> None:
        self.members = tuple(sorted(members, key=_neighbourhood))
        self.used = used
        self.n_inputs = self.members[0].inputs.x.shape[1] if used is None else len(used)
        self.depth = max(len(member.hidden) for member in self.members)
        self.n_parameters = 0
        self.first_kernels: list[tuple[slice, slice]] = []
        self._slots: dict[tuple[int, str], Slot] = {}
        self._pieces: list[tuple[slice, Slot]] = []
        places = range(len(self.members))
        # a linear classifier's logits are rows of the first level
        self.rows = [_row_ranges(self.members, level) for level in range(max(self.depth, 1))]
        self.logit_rows = _consecutive(member.n_classes for member in self.members)
        self._add_first_kernels(places, inputs_first)
        self._add_biases(places, 0)
        for level in range(1, self.depth + 1):
            deep = [place for place in places if len(self.members[place].hidden) >= level]
            for place in deep:
                layer = self.members[place].layers[level]
                self._add(place, f"{layer.name}.weight", (layer.width, layer.n_inputs))
            self._add_biases([place for place in deep if len(self.members[place].hidden) > level], level)
        self._add_rest(places)

    def _add_first_kernels(self, places: Iterable[int], inputs_first: bool) -> None:
        for run in runs(places, lambda place: update_rule(self.members[place]) if inputs_first else None):
            start, rows = self.n_parameters, slice(self.rows[0][run[0]].start, self.rows[0][run[-1]].stop)
            n_rows = rows.stop - rows.start
            if inputs_first:
                n_rows = -(-n_rows // _ALIGNED) * _ALIGNED
            for place in run:
                layer = self.members[place].layers[0]
                first_row = self.rows[0][place].start - rows.start
                moved, strides = (1, (1, n_rows)) if inputs_first else (self.n_inputs, (self.n_inputs, 1))
                slot = Slot(
                    place, f"{layer.name}.weight", start + first_row * moved, (layer.width, self.n_inputs), strides
                )
                self._slots[place, slot.name] = slot
                if not inputs_first:
                    self._pieces.append((slice(slot.start, slot.start + layer.width * self.n_inputs), slot))
            self.n_parameters = start + n_rows * self.n_inputs
            self.first_kernels.append((slice(start, self.n_parameters), rows))
            if inputs_first:
                self._pieces.append((slice(start, self.n_parameters), slot))

    def _add_biases(self, places: Iterable[int], level: int) -> None:
        for place in places:
            layer = self.members[place].layers[level]
            self._add(place, f"{layer.name}.bias", (layer.width,))

    def _add_rest(self, places: Iterable[int]) -> None:
        for place in places:
            layer = self.members[place].layers[-1]
            if self.members[place].hidden:
                self._add(place, f"{layer.name}.bias", (layer.width,))
        for level, name in itertools.product(range(self.depth), ("weight", "bias")):
            for place in places:
                layers = self.members[place].hidden
                if level < len(layers) and layers[level].norm is not None:
                    self._add(place, f"{layers[level].norm_name}.{name}", (layers[level].width,))
        for place in places:
            for layer in self.members[place].hidden:
                assert layer.activation is not None
                for name, parameter in layer.activation.named_parameters():
                    self._add(place, f"{layer.activation_name}.{name}", tuple(parameter.shape))

    def _add(self, place: int, name: str, shape: tuple[int, ...]) -> None:
        start, size = self.n_parameters, torch.Size(shape).numel()
        strides = tuple(itertools.accumulate(shape[:0:-1], operator.mul, initial=1))[::-1]
        slot = Slot(place, name, start, shape, strides)
        self._slots[place, name] = slot
        self.n_parameters = start + size
        self._pieces.append((slice(start, self.n_parameters), slot))

    def slot(self, place: int, name: str) -> Slot:
        """Where the parameter `name` of the model at `place` is."""
        return self._slots[place, name]

    def slots_of(self, place: int) -> list[Slot]:
        """All parameters of the model at `place`, in the order of the model's own."""
        return [self._slots[place, name] for name, _ in self.members[place].model.named_parameters()]

    def span(self, first: Slot, last: Slot) -> slice:
        """From one parameter to another, both included, which must not be first kernels with inputs as rows."""
        return slice(first.start, last.start + torch.Size(last.shape).numel())

    @property
    def slots(self) -> list[Slot]:
        """All parameters."""
        return list(self._slots.values())

    def ranges(self, key: Callable[[Member], Key]) -> dict[Key, list[slice]]:
        """What belongs to each value of `key`, in pieces as long as they can be; `key` must be the same where update rules are."""
        found: dict[Key, list[slice]] = {}
        for piece, slot in self._pieces:
            pieces = found.setdefault(key(self.members[slot.place]), [])
            if pieces and pieces[-1].stop == piece.start:
                pieces[-1] = slice(pieces[-1].start, piece.stop)
            else:
                pieces.append(piece)
        return found

    def fill(self, vector: Tensor, values: Callable[[Member, str], Tensor]) -> None:
        """Writes what `values` gives for every parameter of every model into `vector`."""
        for slot in self._slots.values():
            slot.of(vector).copy_(self._cut(slot, values(self.members[slot.place], slot.name)))

    def read(self, vector: Tensor, values: Callable[[Member, str], Tensor]) -> None:
        """Writes `vector` into what `values` gives for every parameter; inputs not in use stay as they are."""
        for slot in self._slots.values():
            value = values(self.members[slot.place], slot.name)
            if self._is_cut(slot):
                value.index_copy_(1, self._used_on(value), slot.of(vector).to(value.device))
            else:
                value.copy_(slot.of(vector))

    def _is_cut(self, slot: Slot) -> bool:
        return self.used is not None and slot.name == f"{self.members[slot.place].layers[0].name}.weight"

    def _cut(self, slot: Slot, value: Tensor) -> Tensor:
        return value.index_select(1, self._used_on(value)) if self._is_cut(slot) else value

    def _used_on(self, value: Tensor) -> Tensor:
        assert self.used is not None
        return self.used.to(value.device)


def update_rule(member: Member) -> Hashable:
    """What two models must have in common for one step of one optimizer to move both."""
    recipe = member.recipe
    own = (recipe.betas, recipe.eps) if recipe.optimizer == "adam" else (recipe.momentum,)
    return (recipe.optimizer, own, recipe.weight_decay, *_schedule(recipe, member.n_steps))


def _schedule(recipe: Recipe, n_steps: int) -> tuple[object, ...]:
    if recipe.schedule == "linear":
        return recipe.lr, recipe.schedule, recipe.lr_end, n_steps
    if recipe.schedule == "step":
        return recipe.lr, recipe.schedule, recipe.lr_every, recipe.lr_factor
    return recipe.lr, recipe.schedule


def runs(items: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Neighbours with the same `key`, and without a gap between them."""
    found: list[list[int]] = []
    for item in items:
        if found and item == found[-1][-1] + 1 and key(item) == key(found[-1][-1]):
            found[-1].append(item)
        else:
            found.append([item])
    return found


def _neighbourhood(member: Member) -> tuple[object, ...]:
    recipe = member.recipe
    kinds = tuple(str(layer.activation) for layer in member.hidden)
    normed = any(layer.norm is not None for layer in member.hidden)
    clipped = recipe.clip_norm or 0.0, recipe.clip_global_norm or 0.0
    widths = tuple(layer.width for layer in member.layers)
    return (
        str(update_rule(member)),
        clipped,
        recipe.l2,
        normed,
        kinds,
        member.n_classes,
        len(widths),
        widths,
        member.index,
    )


def _row_ranges(members: Sequence[Member], level: int) -> list[slice]:
    """Rows of each model at a level; empty where the model is not as deep."""
    return _consecutive(
        member.layers[level].width if level == 0 or level < len(member.hidden) else 0 for member in members
    )


def _consecutive(sizes: Iterable[int]) -> list[slice]:
    stops = list(itertools.accumulate(sizes, initial=0))
    return [slice(start, stop) for start, stop in itertools.pairwise(stops)]
