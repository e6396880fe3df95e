"""What the caller of a stack gives, checked and brought together: each model with its recipe, seed and examples."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from actscope.devices import device_of
from actscope.training.data import LabelledData
from actscope.training.evaluating import Examples, check_logits, tensors_of
from actscope.training.fitting import check_batches
from actscope.training.models import MLP
from actscope.training.recipes import Recipe, named_recipe
from actscope.training.stacking.inputs import Inputs
from actscope.training.stacking.members import Member, layers_of

__all__ = ["members_of", "tests_of"]


def members_of(
    models: Sequence[MLP],
    train: Examples | Sequence[Examples],
    recipe: Recipe | str | Sequence[Recipe | str],
    seeds: int | Sequence[int],
    device: torch.device | str | None,
) -> list[Member]:
    """The models on the device, each with what it is trained by; arguments are those of `stacks.fit`, and so is what is refused."""
    n = len(models)
    layers = [layers_of(model, f"model {i}") for i, model in enumerate(models)]
    if len({id(p) for model in models for p in model.parameters()}) < sum(len(list(m.parameters())) for m in models):
        raise ValueError("models share parameters, or one is there twice: each must have its own")
    recipes = [named_recipe(r) for r in _one_each("recipe", recipe, n, is_one=isinstance(recipe, Recipe | str))]
    seeds = _one_each("seeds", seeds, n, is_one=isinstance(seeds, int))
    sets = _one_each("train", train, n, is_one=_is_examples(train))
    place = device_of(device) if device is not None else next(models[0].parameters()).device
    shared = _Shared(place)
    members = []
    for i, (model, data) in enumerate(zip(models, sets, strict=True)):
        model.to(place)
        inputs, y = shared(data, recipes[i], layers[i][0].linear.weight.dtype)
        check_batches(model, len(y), recipes[i])
        check_logits(model, inputs.x, y)
        n_all = len(data if isinstance(data, LabelledData) else data[0])
        members.append(
            Member(
                index=i,
                model=model,
                layers=layers[i],
                recipe=recipes[i],
                seed=seeds[i],
                inputs=inputs,
                y=y,
                n_steps=recipes[i].n_steps(n_all),
                steps_per_epoch=recipes[i].steps_per_epoch(n_all),
            )
        )
    return members


def tests_of(members: Sequence[Member], test: Examples) -> dict[torch.dtype, tuple[Tensor, Tensor]]:
    """The test examples in every type that models have."""
    tests = {member.dtype: tensors_of("test", test, member.model, member.y.device) for member in members}
    for member in members:
        check_logits(member.model, *tests[member.dtype])
    return tests


class _Shared:
    """Examples and labels on the device, each only once however many models see them."""

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self._pairs: dict[int, LabelledData] = {}
        self._tensors: dict[Hashable, Tensor] = {}
        self._inputs: dict[Hashable, Inputs] = {}

    def __call__(self, data: Examples, recipe: Recipe, dtype: torch.dtype) -> tuple[Inputs, Tensor]:
        if not isinstance(data, LabelledData):
            data = self._pairs.setdefault(id(data), LabelledData(*data, name="train"))
        n_used = recipe.n_used(len(data))
        x = self._moved(data.x.flatten(1), dtype)
        key = (*_identity(x), n_used)
        if key not in self._inputs:
            self._inputs[key] = Inputs(x[:n_used])
        y = self._moved(data.y, torch.int64)
        return self._inputs[key], self._tensors.setdefault((*_identity(y), n_used), y[:n_used])

    def _moved(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        key = (*_identity(values), dtype)
        if key not in self._tensors:
            self._tensors[key] = values.to(self._place, dtype)
        return self._tensors[key]


def _identity(values: Tensor) -> tuple[Hashable, ...]:
    return values.device, values.data_ptr(), values.shape, values.stride(), values.dtype


def _is_examples(train: object) -> TypeGuard[Examples]:
    pair = isinstance(train, tuple) and len(train) == 2 and all(isinstance(part, Tensor) for part in train)
    return pair or isinstance(train, LabelledData)


def _one_each(what: str, given: Any, n: int, *, is_one: bool) -> list[Any]:
    if is_one:
        return [given] * n
    each = list(given)
    if len(each) != n:
        raise ValueError(f"{what} has {len(each)} entries for {n} models; give one for all, or one for each")
    return each
