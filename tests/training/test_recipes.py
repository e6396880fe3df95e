from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.training import RECIPES, Recipe
from actscope.training.recipes import named_recipe


def test_the_recipes_of_the_papers_have_their_values() -> None:
    appendix = RECIPES["he2021.appendix"]
    assert (appendix.optimizer, appendix.lr, appendix.betas, appendix.eps) == ("adam", 1e-3, (0.9, 0.999), 1e-7)
    assert (appendix.batch_size, appendix.epochs, appendix.schedule, appendix.l2) == (128, 2000, "constant", 0)
    code = RECIPES["he2021.code"]
    assert (code.l2, code.batch_size, code.epochs, code.patience, code.train_fraction) == (1e-6, 64, 200, 10, 0.8)
    jiang = RECIPES["jiang2022"]
    assert (jiang.optimizer, jiang.lr, jiang.lr_end, jiang.steps, jiang.batch_size) == ("sgd", 0.1, 1e-4, 24_000, 128)


@pytest.mark.parametrize(
    ("name", "optimizer", "batch_size", "n_epochs", "lr_every"),
    [("he2021.cnn-mnist", "adam", 128, 500, 100), ("he2021.cnn-cifar10", "sgd", 64, 200, 50)],
)
def test_the_recipes_of_the_convolutional_networks_divide_the_rate_by_ten_as_printed(
    name: str, optimizer: str, batch_size: int, n_epochs: int, lr_every: int
) -> None:
    recipe = RECIPES[name]
    assert (recipe.optimizer, recipe.betas, recipe.batch_size) == (optimizer, (0.9, 0.999), batch_size)
    assert recipe.n_steps(10 * batch_size) == 10 * n_epochs
    rates = [recipe.lr_at(10 * epoch, steps_per_epoch=10, n_steps=10 * n_epochs) for epoch in range(n_epochs)]
    assert rates == pytest.approx([0.01 * 0.1 ** (epoch // lr_every) for epoch in range(n_epochs)])
    assert recipe.lr_at(10 * lr_every - 1, steps_per_epoch=10, n_steps=10 * n_epochs) == 0.01


def test_the_step_schedule_divides_the_rate_by_ten_every_twenty_epochs() -> None:
    recipe = RECIPES["he2021.appendix-cifar10"]
    rates = [recipe.lr_at(epoch * 7, steps_per_epoch=7, n_steps=1400) for epoch in range(200)]
    assert rates[:20] == [1e-2] * 20
    assert rates[20] == pytest.approx(1e-3)
    assert rates[59] == pytest.approx(1e-4)
    assert recipe.lr_at(20 * 7 - 1, steps_per_epoch=7, n_steps=1400) == 1e-2


@given(n_steps=st.integers(2, 1000))
def test_the_linear_schedule_goes_from_its_first_to_its_last_rate_in_even_steps(n_steps: int) -> None:
    recipe = RECIPES["jiang2022"]
    rates = [recipe.lr_at(step, steps_per_epoch=10, n_steps=n_steps) for step in range(n_steps)]
    assert (rates[0], rates[-1]) == (0.1, pytest.approx(1e-4))
    gaps = {round(earlier - later, 12) for earlier, later in itertools.pairwise(rates)}
    assert max(gaps) - min(gaps) < 1e-11


def test_a_linear_schedule_of_one_step_has_its_first_rate() -> None:
    assert RECIPES["jiang2022"].lr_at(0, steps_per_epoch=1, n_steps=1) == 0.1


@given(n=st.integers(1, 1000), batch_size=st.integers(1, 200), fraction=st.floats(0.01, 1))
def test_the_steps_of_an_epoch_are_its_batches(n: int, batch_size: int, fraction: float) -> None:
    used = list(range(n))[: max(1, int(fraction * n))]
    batches = [used[i : i + batch_size] for i in range(0, len(used), batch_size)]
    recipe = Recipe(epochs=3, batch_size=batch_size, train_fraction=fraction)
    assert recipe.steps_per_epoch(n) == len(batches)
    assert recipe.n_steps(n) == 3 * len(batches)
    whole = [batch for batch in batches if len(batch) == batch_size]
    assert recipe.replace(drop_last=True).steps_per_epoch(n) == len(whole)


def test_replacing_epochs_takes_the_place_of_steps_and_the_other_way_round() -> None:
    assert RECIPES["jiang2022"].replace(epochs=3).n_steps(1280) == 30
    assert RECIPES["he2021.appendix"].replace(steps=7).n_steps(1280) == 7
    assert RECIPES["he2021.appendix"].epochs == 2000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "give either epochs or steps"),
        ({"epochs": 1, "steps": 1}, "give either epochs or steps"),
        ({"epochs": 1, "optimizer": "adamw"}, "optimizer='adamw' is not known"),
        ({"epochs": 1, "schedule": "cosine"}, "schedule='cosine' is not known"),
        ({"epochs": 1, "schedule": "step"}, "lr_every goes with schedule='step'"),
        ({"epochs": 1, "lr_every": 5}, "lr_every goes with schedule='step'"),
        ({"epochs": 1, "schedule": "linear"}, "lr_end goes with schedule='linear'"),
        ({"epochs": 1, "lr": 0}, "lr=0 must be positive"),
        ({"epochs": 1, "lr": float("nan")}, "lr=nan must be positive"),
        ({"epochs": 1, "batch_size": 0}, "batch_size=0 must be positive"),
        ({"epochs": 1, "patience": 0}, "patience=0 must be positive"),
        ({"epochs": -1}, "epochs=-1 must not be negative"),
        ({"epochs": 1, "l2": -1e-6}, "l2=-1e-06 must not be negative"),
        ({"epochs": 1, "train_fraction": 0}, "train_fraction=0 must be above 0"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_by_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**values)


def test_a_recipe_is_given_by_name_or_as_it_is() -> None:
    recipe = Recipe(epochs=1)
    assert named_recipe(recipe) is recipe
    assert named_recipe("hanin2019") is RECIPES["hanin2019"]
    with pytest.raises(ValueError, match=r"recipe='he' is not known; choose one of he2021\.appendix"):
        named_recipe("he")


def test_a_recipe_can_be_rebuilt_from_its_dict() -> None:
    for recipe in RECIPES.values():
        assert Recipe(**recipe.to_dict()) == recipe
