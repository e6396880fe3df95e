"""The multi-layer perceptrons of He et al. 2021: how they are built, trained and measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from actscope.codes import encode
from actscope.studies.cells import Cell, Plain
from actscope.studies.hashmeasures import code_rows, network_rows
from actscope.studies.results import Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place
from actscope.training import MLP, LabelledData, Recipe
from actscope.training.recipes import named_recipe

__all__ = ["DATASETS", "MNIST_WIDTHS", "RECIPES", "clean", "hash_cells", "mlp_cell", "recipe_for", "seeds", "specimen"]

DATASETS = ("mnist", "cifar10")
MNIST_WIDTHS = (3, 7, 10, 15, 20, 23, 27, 30, 33, 37, 40, 43, 47, 50, 53, 57, 60, 65, 70, 75, 80, 90, 100)
"""Of Figure 2 (Appendix A)."""

_DEPTHS = {"mnist": 1, "cifar10": 5, "digits": 1}
"""Hidden layers, all of one width."""
_APPENDIX = {"mnist": "he2021.appendix", "cifar10": "he2021.appendix-cifar10", "digits": "he2021.appendix"}
RECIPES = ("he2021.appendix", "he2021.appendix-cifar10", "he2021.code")


def seeds(grid: Grid, small: int) -> range:
    """Repetitions: five on MNIST and ten on CIFAR-10 at the paper's scale, else `small`, and two at smoke scale."""
    return range({"smoke": 2, "small": small, "paper": 10 if grid.dataset == "cifar10" else 5}[grid.scale])


def recipe_for(grid: Grid, epochs: int) -> Recipe:
    """How the grid's networks are trained, for so many epochs: the appendix's recipe unless the grid names that of their code.

    Raises:
        ValueError: the grid names a recipe that the study does not allow.
    """
    name = grid.recipe or _APPENDIX[grid.dataset]
    if name not in RECIPES:
        raise ValueError(f"recipe='{name}' is not one of this study; choose one of {', '.join(RECIPES)}")
    recipe = named_recipe(name).replace(epochs=epochs)
    # the digits are a fortieth of MNIST
    return recipe.replace(batch_size=32, lr=1e-2) if grid.dataset == "digits" else recipe


def mlp_cell(
    study: str,
    version: int,
    grid: Grid,
    *,
    width: int,
    seed: int,
    recipe: Recipe,
    epochs: Sequence[int] = (),
    steps: Sequence[int] = (),
    **settings: Any,
) -> Cell:
    """The cell of one network; it is measured after the given epochs or updates."""
    known: dict[str, Plain] = {
        "dataset": grid.dataset,
        "width": width,
        "depth": _DEPTHS[grid.dataset],
        "seed": seed,
        "recipe": grid.recipe or _APPENDIX[grid.dataset],
        "batch_norm": grid.recipe == "he2021.code",
        "measured": ",".join(map(str, (*epochs, *steps))),
    }
    return Cell(study, version, known | settings, recipe)


def specimen(cell: Cell, place: Place, *, by_steps: bool = False, train: LabelledData | None = None) -> Specimen:
    """The network of a cell before training; it is trained on `train`, or on all examples."""
    data = place.data(cell["dataset"])[0] if train is None else train
    assert cell.recipe is not None
    model = MLP(
        data.x.shape[1],
        [cell["width"]] * cell["depth"],
        data.n_classes,
        batch_norm=cell["batch_norm"],
        seed=cell["seed"],
    )
    when = tuple(map(int, cell["measured"].split(",")))
    return Specimen(model, data, cell.recipe, cell["seed"], **{"steps" if by_steps else "epochs": when})


def hash_cells(
    cells: Sequence[Cell],
    place: Place,
    *,
    specimen: Callable[[Cell, Place], Specimen] = specimen,
    more: Callable[[Cell, Specimen, MLP, Place], Sequence[Row]] | None = None,
    neighbours_of_train: bool = True,
) -> Iterator[tuple[Cell, list[Row]]]:
    """Every cell's network, trained, and how good a hash its code of all hidden layers is; `more` gives further rows.

    Labels are the clean ones, also for networks that were trained on noisy ones. `neighbours_of_train` is as for `code_rows`.
    """
    measure = partial(_rows, place=place, more=more, neighbours_of_train=neighbours_of_train)
    return measured(cells, place, specimen, measure)


def _rows(
    cell: Cell,
    one: Specimen,
    model: MLP,
    *,
    place: Place,
    more: Callable[[Cell, Specimen, MLP, Place], Sequence[Row]] | None,
    neighbours_of_train: bool,
) -> list[Row]:
    _, test = place.data(cell["dataset"])
    train = clean(one.train)
    train_codes = encode(model, train, split="train", device=place.device, progress=False)
    test_codes = encode(model, test, split="test", device=place.device, progress=False)
    rows = network_rows(model, one.train, test, device=place.device)
    rows += code_rows(
        train_codes, test_codes, n_classes=test.n_classes, device=place.device, neighbours_of_train=neighbours_of_train
    )
    return rows if more is None else [*rows, *more(cell, one, model, place)]


def clean(data: LabelledData) -> LabelledData:
    """The same examples with the labels that they had before any noise."""
    return dataclasses.replace(data, y=data.clean_y)
