"""The fully connected network of Jiang et al. 2022 with normalization where one wants it, trained while it is looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from actscope.studies.cells import Cell, Plain
from actscope.studies.study import Grid, Place
from actscope.training import MLP, fit
from actscope.training.recipes import named_recipe

__all__ = ["ACTIVATIONS", "NORMALIZATIONS", "Normalization", "fcnn", "fcnn_cell", "looking_after", "train_and_look"]

ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu")
Normalization = Literal["before", "after", "none"]
NORMALIZATIONS: tuple[Normalization, ...] = ("before", "after", "none")


def fcnn(
    n_inputs: int,
    n_classes: int,
    *,
    activation: str,
    normalization: Normalization,
    width: int = 256,
    depth: int = 9,
    seed: int = 0,
) -> nn.Module:
    """Hidden layers of one width, batch normalization before or after each activation or none, PyTorch's default weights.

    The paper says that there is normalization, not where. Whatever the normalization, one seed gives one set of linear layers; they are
    named as in `MLP`.

    Raises:
        ValueError: an unknown normalization or activation, or a size that is not positive.

    Example:
        >>> list(dict(fcnn(4, 2, activation="tanh", normalization="after", width=3, depth=1).named_children()))
        ['flatten', 'linear1', 'tanh1', 'norm1', 'output']
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization='{normalization}' is not known; choose one of {', '.join(NORMALIZATIONS)}")
    model = MLP(
        n_inputs,
        [width] * depth,
        n_classes,
        activation=activation,
        batch_norm=normalization != "none",
        init="torch",
        seed=seed,
    )
    if normalization != "after":
        return model
    layers = dict(model.named_children())
    ordered: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for k in range(1, depth + 1):
        for name in (f"linear{k}", f"{activation}{k}", f"norm{k}"):
            ordered[name] = layers[name]
    ordered["output"] = layers["output"]
    return nn.Sequential(ordered)


def fcnn_cell(
    study: str,
    version: int,
    grid: Grid,
    *,
    activation: str,
    steps: int,
    normalization: Normalization = "before",
    seed: int = 0,
    **settings: Plain,
) -> Cell:
    """The cell of one network trained by the paper's recipe for so many steps; small and quick at smoke scale."""
    smoke = grid.scale == "smoke"
    known: dict[str, Plain] = {
        "dataset": grid.dataset,
        "activation": activation,
        "normalization": normalization,
        "width": 24 if smoke else 256,
        "depth": 3 if smoke else 9,
        "seed": seed,
        "steps": steps,
    }
    recipe = named_recipe("jiang2022").replace(steps=steps, batch_size=64 if smoke else 128)
    return Cell(study, version, known | settings, recipe)


def train_and_look(
    cell: Cell, place: Place, steps: Collection[int], look: Callable[[int, nn.Module], None], *, train: bool = True
) -> nn.Module:
    """The cell's network, trained; `look` is called with 0 and the network before training, and after these updates."""
    data, _ = place.data(cell["dataset"])
    model = fcnn(
        data.x.shape[1],
        data.n_classes,
        activation=cell["activation"],
        normalization=cell["normalization"],
        width=cell["width"],
        depth=cell["depth"],
        seed=cell["seed"],
    ).to(place.device or "cpu")
    assert cell.recipe is not None
    if 0 in steps:
        look(0, model)
    if train:
        with looking_after(model, steps, look):
            fit(model, data, recipe=cell.recipe, seed=cell["seed"], device=place.device, progress=bool(place.progress))
    return model


@contextmanager
def looking_after(model: nn.Module, steps: Collection[int], look: Callable[[int, nn.Module], None]) -> Iterator[None]:
    """Within this context, `look(step, model)` is called after these updates of the model, counted from 1.

    Updates are steps of an optimizer of `torch.optim` that holds a parameter of the model.
    """
    wanted, own, count = frozenset(steps), {id(parameter) for parameter in model.parameters()}, 0

    def after(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        nonlocal count
        if any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
            count += 1
            if count in wanted:
                look(count, model)

    handle = register_optimizer_step_post_hook(after)
    try:
        yield
    finally:
        handle.remove()
