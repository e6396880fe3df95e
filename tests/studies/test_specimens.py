"""Networks of cells are measured as they were at every epoch and step that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from actscope.studies import Cell
from actscope.studies.results import Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Place
from actscope.training import MLP, Recipe, digits, evaluate, fit, stacks

TRAIN = digits()[0].subset(200, seed=0).flatten()
RECIPE = Recipe(lr=1e-2, batch_size=32, epochs=4)
CELLS = [Cell("a.study", 1, {"width": width}) for width in (4, 7)]


def measure(cell: Cell, one: Specimen, model: MLP) -> Sequence[Row]:
    return [{"metric": "loss", "value": evaluate(model, TRAIN).loss}]


def specimens(recipe: Recipe, **when: tuple[int, ...]):  # type: ignore[no-untyped-def]  # a function of a cell and a place
    return lambda cell, place: Specimen(MLP(64, [cell["width"]], 10, seed=3), TRAIN, recipe, 5, **when)


def alone(width: int, recipe: Recipe) -> float:
    model = MLP(64, [width], 10, seed=3)
    fit(model, TRAIN, recipe=recipe, seed=5)
    return evaluate(model, TRAIN).loss


def test_rows_are_of_the_network_as_it_was_then(tmp_path: Path) -> None:
    place = Place(tmp_path, progress=False)
    when = {"epochs": (0, 1, 4), "steps": (3, 9)}
    for cell, rows in measured(CELLS, place, specimens(RECIPE, **when), measure):
        assert [(row.get("epoch"), row.get("step")) for row in rows] == [
            (0, None),
            (1, None),
            (4, None),
            (None, 3),
            (None, 9),
        ]
        for row in rows:
            changes = {"epochs": row["epoch"]} if "epoch" in row else {"steps": row["step"]}
            assert row["value"] == pytest.approx(alone(cell["width"], RECIPE.replace(**changes)), rel=1e-4)


def test_a_network_that_was_stopped_early_stays_as_it_was(tmp_path: Path) -> None:
    recipe = Recipe(lr=0.3, optimizer="sgd", momentum=0.9, batch_size=32, epochs=40, patience=1)
    place = Place(tmp_path, progress=False)
    for cell, rows in measured(CELLS, place, specimens(recipe, epochs=(1, 40)), measure):
        stopped, first, last = rows
        assert stopped["metric"] == "stopped after"
        assert 1 < float(str(stopped["value"])) < 40
        assert last["epoch"] == 40
        assert last["value"] == pytest.approx(alone(cell["width"], recipe), rel=1e-3)
        assert first["value"] != last["value"]


def test_a_network_that_diverges_says_so_and_the_others_are_measured(tmp_path: Path) -> None:
    def specimen(cell: Cell, place: Place) -> Specimen:
        lr = 1e30 if cell["width"] == 4 else 1e-2
        return Specimen(
            MLP(64, [cell["width"]], 10, seed=3), TRAIN, RECIPE.replace(lr=lr, optimizer="sgd"), 5, epochs=(4,)
        )

    found = dict(measured(CELLS, Place(tmp_path, progress=False), specimen, measure))
    assert found[CELLS[0]] == [{"metric": "diverged", "value": 1.0}]
    assert found[CELLS[1]][0]["metric"] == "loss"


def test_groups_that_are_trained_apart_come_to_the_same(tmp_path: Path) -> None:
    together = dict(measured(CELLS, Place(tmp_path / "a", progress=False), specimens(RECIPE, epochs=(4,)), measure))
    apart = dict(
        measured(
            CELLS,
            Place(tmp_path / "b", progress=False),
            specimens(RECIPE, epochs=(4,)),
            measure,
            apart=lambda cell: cell["width"],
        )
    )
    for cell in CELLS:
        assert apart[cell][0]["value"] == pytest.approx(together[cell][0]["value"], rel=1e-4)


def test_a_network_that_was_stopped_early_stays_as_it_was_at_later_steps(tmp_path: Path) -> None:
    recipe = Recipe(lr=0.3, optimizer="sgd", momentum=0.9, batch_size=32, steps=280, patience=1)
    for cell, rows in measured(CELLS, Place(tmp_path, progress=False), specimens(recipe, steps=(7, 280)), measure):
        _, first, last = rows
        assert (first["step"], last["step"]) == (7, 280)
        assert last["value"] == pytest.approx(alone(cell["width"], recipe), rel=1e-3)
        assert first["value"] != last["value"]


def test_the_precision_of_products_is_that_of_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool | None] = []
    fit_stacks = stacks.fit
    monkeypatch.setattr(
        stacks, "fit", lambda *args, **kwargs: asked.append(kwargs["tf32"]) or fit_stacks(*args, **kwargs)
    )
    list(measured(CELLS, Place(tmp_path, progress=False, tf32=True), specimens(RECIPE, epochs=(1,)), measure))
    assert asked == [True]
