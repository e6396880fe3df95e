"""Evaluating and encoding many small models in one pass over the examples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.encoding import sites as sites_of
from actscope.codes.site import Site
from actscope.codes.table import Codes
from actscope.devices import device_of
from actscope.progress import progress_bar
from actscope.training.data import LabelledData
from actscope.training.evaluating import Examples, tensors_of
from actscope.training.history import Evaluation
from actscope.training.models import MLP
from actscope.training.recipes import Recipe
from actscope.training.stacking.inputs import Inputs
from actscope.training.stacking.members import Member, layers_of
from actscope.training.stacking.planning import memory_limit
from actscope.training.stacking.together import Together

__all__ = ["encode", "evaluate"]


def evaluate(
    models: Sequence[MLP], data: Examples, *, device: torch.device | str | None = None, max_bytes: float | None = None
) -> list[Evaluation]:
    """Loss and accuracy of every model on the same labelled examples, in one pass, as `evaluate` gives them for one.

    Hooks of the models do not run. Rounding differs from evaluating alone in the last digit.

    Args:
        models: of any widths, depths and activations, with or without batch normalization.
        data: labelled examples, or a pair (x, y) of tensors.
        device: where to run; the models stay where they are. None for where the first model is.
        max_bytes: what copies of weights may take; None for half of what is free. More models are taken in several passes.

    Raises:
        ValueError: models and data that do not go together, or no models.
        TypeError: a model that is no `MLP`, or labels or examples of a wrong type.

    Example:
        >>> from actscope.training import digits
        >>> _, test = digits()
        >>> found = evaluate([MLP(64, [width], 10) for width in (4, 8)], test)
        >>> [one.n_examples for one in found]
        [359, 359]
    """
    members = _members(models, "evaluate it with actscope.training.evaluate")
    place = _place(models, device)
    tensors = _in_every_type(members, data, place)
    for member in members:
        if (last := int(tensors[member.dtype][1].max())) >= member.n_classes:
            raise ValueError(f"labels run up to {last}, but model {member.index} has {member.n_classes} classes")
    found: dict[int, Evaluation] = {}
    for group, inputs in _groups(members, tensors, max_bytes):
        found |= Together(group, inputs).evaluate(tensors[group[0].dtype][1])
    return [found[i] for i in range(len(models))]


def encode(
    models: Sequence[MLP],
    data: Examples | Tensor,
    *,
    breakpoints: Breakpoints = None,
    split: str | None = None,
    device: torch.device | str | None = None,
    max_bytes: float | None = None,
    progress: bool | None = None,
) -> list[Codes]:
    """The neural codes of the same examples by every model, in one pass, as `actscope.encode` gives them for one.

    A bit differs from encoding alone only where a pre-activation is at a breakpoint up to rounding. Hooks of the models run once, on one
    example, to find the sites.

    Args:
        models: of any widths, depths and activations, with or without batch normalization.
        data: (n_examples, …) inputs, labelled examples, or a pair (x, y) of tensors; labels are kept with the codes.
        breakpoints: other breakpoints, for all sites or by site name, pattern or kind.
        split: the name of the part of the data, such as `"train"`, to keep with the codes; None for the data's own.
        device: where to run; the models stay where they are. None for where the first model is.
        max_bytes: what copies of weights may take; None for half of what is free. More models are taken in several passes.
        progress: whether a bar shows on stderr; None: if that is a terminal.

    Raises:
        ValueError: models and data that do not go together, no models, no hidden layer, or a pre-activation that is NaN or infinite.
        TypeError: a model that is no `MLP`, or examples of a wrong type.

    Example:
        >>> from actscope import hashing
        >>> from actscope.training import digits
        >>> _, test = digits()
        >>> codes = encode([MLP(64, [width], 10) for width in (4, 40)], test, progress=False)
        >>> [hashing.redundancy_ratio(one) > 0.9 for one in codes]
        [True, False]
    """
    members = _members(models, "encode it with actscope.encode")
    place = _place(models, device)
    known = None if isinstance(data, Tensor) else data if isinstance(data, LabelledData) else LabelledData(*data)
    examples = known or LabelledData(torch.as_tensor(data), torch.zeros(len(data), dtype=torch.int64))
    tensors = _in_every_type(members, examples, place)
    sites: list[list[Site]] = []
    for member in members:
        example = tensors[member.dtype][0][:1].to(_where(member.model))
        try:
            sites.append(sites_of(member.model, example, breakpoints=breakpoints))
        except ValueError as error:
            raise ValueError(f"model {member.index}: {error}") from error
    labels = None if known is None else known.y.numpy(force=True)
    name = split if split is not None else None if known is None else known.split or None
    codes: dict[int, Codes] = {}
    with progress_bar("encode", total=len(examples) * len(models), show=progress) as advance:
        for group, inputs in _groups(members, tensors, max_bytes):
            packed = Together(group, inputs).encode(sites, _times(advance, len(group)))
            for index in packed:
                codes[index] = Codes(packed[index], tuple(sites[index]), labels=labels, split=name)
    return [codes[i] for i in range(len(models))]


def _members(models: Sequence[MLP], instead: str) -> list[Member]:
    if isinstance(models, nn.Module):
        raise TypeError("models is one model; give a list of them")
    if len(models) == 0:
        raise ValueError("models is empty: there is nothing to run")
    return [
        Member(
            index=i,
            model=model,
            layers=layers_of(model, f"model {i}", instead=instead, trained=False),
            recipe=_RECIPE,
            seed=0,
            inputs=_NOTHING,
            y=torch.empty(0),
            n_steps=1,
            steps_per_epoch=1,
        )
        for i, model in enumerate(models)
    ]


_RECIPE = Recipe(steps=1)
_NOTHING = Inputs(torch.empty(0, 0))


def _place(models: Sequence[MLP], device: torch.device | str | None) -> torch.device:
    return device_of(device) if device is not None else _where(models[0])


def _where(model: MLP) -> torch.device:
    return next(model.parameters()).device


def _in_every_type(
    members: Sequence[Member], data: Examples, place: torch.device
) -> dict[torch.dtype, tuple[Tensor, Tensor]]:
    """Examples and labels on the device, in every type that models have, and as wide as all of them want."""
    tensors = {member.dtype: tensors_of("data", data, member.model, place) for member in members}
    for member in members:
        n_features = tensors[member.dtype][0].flatten(1).shape[1]
        if n_features != member.layers[0].n_inputs:
            raise ValueError(
                f"examples have {n_features} features, but model {member.index} takes {member.layers[0].n_inputs}"
            )
    return tensors


def _groups(
    members: Sequence[Member], tensors: dict[torch.dtype, tuple[Tensor, Tensor]], max_bytes: float | None
) -> list[tuple[list[Member], Inputs]]:
    """Models that run together: of one type, and not more than memory takes."""
    by_type: dict[Hashable, list[Member]] = {}
    for member in members:
        by_type.setdefault(member.dtype, []).append(member)
    groups: list[tuple[list[Member], Inputs]] = []
    for same in by_type.values():
        x = tensors[same[0].dtype][0]
        inputs = Inputs(x.flatten(1))
        limit = memory_limit(x.device) if max_bytes is None else max_bytes
        group: list[Member] = []
        taken = 0
        for member in same:
            needed = 2 * member.n_parameters * x.element_size()  # and as much for gradients that stay empty
            if group and taken + needed > limit:
                groups.append((group, inputs))
                group, taken = [], 0
            group.append(member)
            taken += needed
        groups.append((group, inputs))
    return groups


def _times(advance: Callable[[int], None], n_models: int) -> Callable[[int], None]:
    return lambda n: advance(n * n_models)
