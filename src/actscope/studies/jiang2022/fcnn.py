"""The fully connected network of Jiang et al. 2022 with normalization where one wants it, trained while it is looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Literal

from torch import nn

from actscope.studies.cells import Cell, Plain
from actscope.studies.looking import Look, fit_and_look
from actscope.studies.results import Row
from actscope.studies.study import Grid, Place
from actscope.training import MLP
from actscope.training.recipes import named_recipe

__all__ = ["ACTIVATIONS", "NORMALIZATIONS", "RECIPES", "Normalization", "fcnn", "fcnn_cell", "train_and_look"]

ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu")
Normalization = Literal["before", "after", "none"]
RECIPES = ("jiang2022.decay",)
"""Recipes other than what is printed, which says nothing of momentum and weight decay."""
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
    """The cell of one network trained by the paper's recipe, or the grid's, for so many steps; small and quick at smoke scale."""
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
    if grid.recipe:
        known["recipe"] = grid.recipe
    recipe = named_recipe(grid.recipe or "jiang2022").replace(steps=steps, batch_size=64 if smoke else 128)
    return Cell(study, version, known | settings, recipe)


def train_and_look(
    cell: Cell, place: Place, steps: Collection[int], look: Look, *, resumable: bool = True
) -> tuple[nn.Module, list[Row]]:
    """The network of a cell from `fcnn_cell`, trained, and what `fit_and_look` gives for it."""
    data, _ = place.data(cell["dataset"])
    model = fcnn(
        data.x.shape[1],
        data.n_classes,
        activation=cell["activation"],
        normalization=cell["normalization"],
        width=cell["width"],
        depth=cell["depth"],
        seed=cell["seed"],
    )
    return model, fit_and_look(model, data, cell, place, steps, look, resumable=resumable)
