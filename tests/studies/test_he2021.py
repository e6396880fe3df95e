"""What the studies of He et al. measure is what they say, on networks and data that are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from actscope import hashing
from actscope.codes import Codes, encode
from actscope.studies import Results, find_study
from actscope.studies.hashmeasures import code_rows, network_rows
from actscope.studies.he2021 import convnets, diameters, layers, noise, samples
from actscope.studies.he2021.networks import clean, specimen
from actscope.studies.results import Row, write_cell
from actscope.studies.study import Place
from actscope.training import MLP, Recipe, digits, evaluate, fit

TRAIN, TEST = (data.flatten() for data in digits())


@pytest.fixture(scope="module")
def model() -> MLP:
    model = MLP(64, [9], 10, seed=0)
    fit(model, TRAIN, recipe=Recipe(lr=1e-2, batch_size=32, epochs=3))
    return model


def cells(name: str, scale: str = "smoke") -> list:  # type: ignore[type-arg]  # of cells
    study = find_study(name)
    return list(study.cells(study.grid(scale=scale)))


def value(rows: list, metric: str, split: str) -> float:  # type: ignore[type-arg]  # of rows
    (found,) = [row["value"] for row in rows if row["metric"] == metric and row["split"] == split]
    return float(found)


def test_rows_of_codes_are_the_measures_of_each_split_fitted_on_the_training_codes(model: MLP) -> None:
    train, test = encode(model, TRAIN, split="train"), encode(model, TEST, split="test")
    rows = code_rows(train, test, n_classes=10)
    for split, codes in (("train", train), ("test", test)):
        assert value(rows, "redundancy", split) == hashing.redundancy_ratio(codes)
        assert value(rows, "shared", split) == hashing.shared_ratio(codes)
        assert value(rows, "collision_probability", split) == hashing.determinism(codes).collision_probability
        assert value(rows, "regions", split) == len(np.unique(codes.packed, axis=0))
        assert value(rows, "knn", split) == hashing.knn_accuracy(train, codes)
        assert value(rows, "logistic", split) == hashing.logistic_accuracy(train, codes)
        n_init = 10 if split == "test" else 1
        assert value(rows, "kmeans", split) == hashing.kmeans_accuracy(codes, n_clusters=10, n_init=n_init)
    few = code_rows(train, test, n_classes=10, neighbours_of_train=False)
    assert [row for row in rows if (row["metric"], row["split"]) != ("knn", "train")] == few


def test_regression_on_examples_of_one_class_names_that_class() -> None:
    one = Codes.from_bits(np.eye(4, dtype=bool), labels=[3] * 4)
    test = Codes.from_bits(np.eye(4, dtype=bool), labels=[3, 3, 3, 1])
    assert value(code_rows(one, test, n_classes=2), "logistic", "test") == 0.75


def test_codes_without_labels_are_refused(model: MLP) -> None:
    codes = Codes.from_bits(np.eye(4, dtype=bool))
    with pytest.raises(ValueError, match="labels"):
        code_rows(codes, codes, n_classes=2)


def test_rows_of_a_network_are_its_own_loss_and_accuracy(model: MLP) -> None:
    rows = network_rows(model, TRAIN, TEST)
    for split, data in (("train", TRAIN), ("test", TEST)):
        assert value(rows, "accuracy", split) == pytest.approx(evaluate(model, data).accuracy)
        assert value(rows, "loss", split) == pytest.approx(evaluate(model, data).loss)


def test_noisy_labels_are_learned_and_clean_ones_categorized_against(tmp_path: Path) -> None:
    place = Place(tmp_path)
    made: dict = {}  # type: ignore[type-arg]  # the study's own memory
    for cell in cells("he2021.noise"):
        data = noise._specimen(made, cell, place).train
        changed = float((data.y != data.clean_y).float().mean())
        assert 0.75 * cell["noise"] <= changed <= cell["noise"]
        assert torch.equal(clean(data).y, TRAIN.y)


def test_parts_have_their_size_and_each_seed_its_own_draw(tmp_path: Path) -> None:
    place, made = Place(tmp_path), {}  # type: ignore[var-annotated]  # the study's own memory
    drawn = {
        (cell["sample_size"], cell["seed"]): samples._specimen(made, cell, place)
        for cell in cells("he2021.samples")
        if cell["width"] == 10
    }
    for (size, _), one in drawn.items():
        assert len(one.train) == min(size, len(TRAIN))
        assert one.recipe.steps == one.steps[-1]
    assert not torch.equal(drawn[10, 0].train.ids, drawn[10, 1].train.ids)
    assert len({one.recipe.steps for one in drawn.values()}) == 1


def test_methods_differ_from_none_in_what_they_are_called_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    of = {cell["method"]: cell for cell in cells("he2021.regularization") if (cell["width"], cell["seed"]) == (10, 1)}
    plain = of["none"].recipe
    assert of["clipping"].recipe == plain.replace(clip_norm=1.0)
    assert of["weight decay"].recipe == plain.replace(l2=0.01)
    assert of["batch normalization"].recipe == plain
    models = {method: specimen(cell, place).model for method, cell in of.items()}
    assert {method for method, m in models.items() if hasattr(m, "norm1")} == {"batch normalization"}
    first = [m.get_parameter("linear1.weight") for m in models.values()]
    assert all(torch.equal(first[0], weight) for weight in first)


def test_parts_of_the_code_are_single_first_and_last_layers() -> None:
    parts = layers._parts()
    assert parts["layer 2"] == ("relu2",)
    assert parts["first 3"] == ("relu1", "relu2", "relu3")
    assert parts["last 2"] == ("relu4", "relu5")
    assert parts["all"] == ("relu1", "relu2", "relu3", "relu4", "relu5")


def test_a_diameter_is_at_least_twice_the_distance_in_the_rows_too(tmp_path: Path, model: MLP) -> None:
    cell = cells("he2021.diameters")[0]
    one = specimen(cell, Place(tmp_path))
    rows = diameters._rows(cell, one, model, place=Place(tmp_path))
    for metric in ("least diameter over distance", "median diameter over distance"):
        (ratio,) = [row["value"] for row in rows if row["metric"] == metric]
        assert float(str(ratio)) >= 2 - 1e-9
    kinds = {row["data"] for row in rows if row["metric"] == "redundancy"}
    assert kinds == {"train", "unit ball", "random pixels"}


def test_code_recipe_has_batch_normalization_and_the_first_part_of_the_data() -> None:
    study = find_study("he2021.width")
    cell = study.cells(study.grid(dataset="mnist", scale="paper", recipe="he2021.code"))[0]
    assert cell["batch_norm"] is True
    assert cell.recipe is not None
    assert (cell.recipe.train_fraction, cell.recipe.batch_size, cell.recipe.patience) == (0.8, 64, 10)


def test_convolutional_networks_are_those_of_the_tables_at_every_scale() -> None:
    for dataset, names in convnets._NAMES.items():
        study = find_study("he2021.cnn")
        for scale in ("small", "paper"):
            found = {cell["architecture"] for cell in study.cells(study.grid(dataset=dataset, scale=scale))}
            assert found == set(names)
    paper = find_study("he2021.cnn").cells(study.grid(dataset="mnist", scale="paper"))[0]
    assert paper.recipe is not None
    assert (paper.recipe.epochs, paper.recipe.lr, paper.recipe.lr_every) == (500, 0.01, 100)


@pytest.mark.parametrize(("narrow", "expected"), [("falls", "agrees"), ("rises", "differs")])
def test_what_has_no_redundancy_is_not_asked_to_lose_it(tmp_path: Path, narrow: str, expected: str) -> None:
    study = find_study("he2021.time")
    every = [cell for cell in study.cells(study.grid(dataset="cifar10", scale="small")) if cell["width"] in (10, 80)]
    for cell in every:
        rows: list[Row] = []
        for i, epoch in enumerate(map(int, cell["measured"].split(","))):
            redundancy = 0.0 if cell["width"] == 80 else 0.5 - 0.05 * i if narrow == "falls" else 0.05 * i
            rows.append({"epoch": epoch, "metric": "redundancy", "split": "train", "value": redundancy})
            for metric in ("kmeans", "knn", "logistic"):
                rows.append({"epoch": epoch, "metric": metric, "split": "test", "value": 0.2 + 0.01 * i})
        write_cell(tmp_path, cell, rows)
    (claim,) = (claim for claim in study.claims if claim.id == "H12")
    found = claim.finding(Results.in_folder(tmp_path, every))
    assert found.verdict == expected
    assert f"redundancy of the {len(every) // 2} networks that have any" in found.ours
