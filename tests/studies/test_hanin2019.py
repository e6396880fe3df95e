"""The studies of Hanin & Rolnick count what they say: exact numbers where there are any, one network against another elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actscope.regions import bounds, count_in_plane
from actscope.studies import Cell, Results, find_study
from actscope.studies.hanin2019 import STUDIES, expectation, initialization, labels, memorization, training
from actscope.studies.hanin2019.averages import over_networks, ratios
from actscope.studies.hanin2019.networks import NETWORKS, drawn, half_square, hidden, line_rows, plane_rows
from actscope.studies.results import write_cell
from actscope.studies.study import Place
from actscope.training import load_dataset
from actscope.training.recipes import named_recipe


def images(n: int, n_features: int) -> torch.Tensor:
    return torch.rand(n, n_features, generator=torch.Generator().manual_seed(7))


def whole_plane(weights: float, biases: float, *, network: str = "8x3", seed: int = 0) -> dict[str, float]:
    """What the study of initialization measures, by metric."""
    settings = {"dataset": "digits", "network": network, "weights": weights, "biases": biases, "seed": seed}
    rows = initialization._rows(Cell("hanin2019.initialization", 1, settings), images(40, 20))
    return {str(row["metric"]): float(row["value"]) for row in rows}  # type: ignore[arg-type]  # numbers


WHOLE = "regions in the whole plane over N²/2"


@pytest.mark.parametrize("network", NETWORKS)
def test_counts_are_divided_by_the_papers_reference_curve(network: str) -> None:
    assert half_square(network) == bounds.hanin_rolnick(sum(hidden(network)), 2, T=1.0)


def test_lines_of_one_hidden_layer_cut_a_plane_as_often_as_lines_in_general_position() -> None:
    network, n = "12x1", 12
    rows = plane_rows(drawn(20, network, 3, seed=1), images(30, 20), network, n_planes=4, seed=0)
    assert [row["plane"] for row in rows] == [0, 1, 2, 3]
    counts = np.array([row["value"] for row in rows], float) * half_square(network)
    # a crossing may lie outside the window, but none can be added
    assert (counts <= 1 + n + math.comb(n, 2) + 1e-9).all()
    assert (counts > 1 + n).all()
    whole = count_in_plane(drawn(2, network, 3, seed=1), window=None, progress=False)
    assert whole == 1 + n + math.comb(n, 2)


def test_every_plane_of_a_two_dimensional_input_space_is_that_space() -> None:
    network = "8x2"
    model = drawn(2, network, 3, seed=2)
    # a window of 20 units is the whole plane for breakpoints that biases of 1e-3 keep at the origin
    expected = count_in_plane(model, window=None, progress=False) / half_square(network)
    rows = plane_rows(model, 10 + images(30, 2), network, n_planes=3, seed=0)
    assert [row["value"] for row in rows] == [expected] * 3


def test_planes_are_those_of_the_seed() -> None:
    model, x = drawn(20, "8x2", 3, seed=0), images(30, 20)
    first = plane_rows(model, x, "8x2", n_planes=3, seed=0)
    assert first == plane_rows(model, x, "8x2", n_planes=3, seed=0)
    assert first[:2] == plane_rows(model, x, "8x2", n_planes=2, seed=0)
    assert first != plane_rows(model, x, "8x2", n_planes=3, seed=1)


def test_a_whole_line_crosses_every_neuron_of_one_hidden_layer_once() -> None:
    rows = {row["metric"]: row["value"] for row in line_rows(drawn(20, "12x1", 3, seed=0), images(5, 20), "12x1")}
    assert rows == {"regions on a line over N": 13 / 12, "regions on a line over N, deviation": 0}


def test_steps_per_epoch_are_those_of_the_recipe() -> None:
    recipe = named_recipe("hanin2019")
    digits, _ = load_dataset("digits")
    assert {
        "mnist": recipe.steps_per_epoch(60_000),
        "digits": recipe.steps_per_epoch(len(digits)),
    } == training._STEPS_PER_EPOCH


def test_regions_are_counted_within_the_first_epoch_and_after_the_last_of_twenty() -> None:
    study = find_study("hanin2019.training")
    for cell in study.cells(study.grid(scale="paper")):
        steps = [int(step) for step in cell["measured"].split(",")]
        assert steps[:2] == [0, round(469 / 32)]
        assert steps[-1] == 20 * 469
        assert cell.recipe is not None
        assert cell.recipe.n_steps(60_000) == steps[-1]


def test_networks_of_one_seed_start_alike_whatever_the_share_of_corrupted_labels(tmp_path: Path) -> None:
    study, place, made = find_study("hanin2019.labels"), Place(tmp_path), {}
    cells = [cell for cell in study.cells(study.grid(scale="smoke")) if cell["seed"] == 0]
    specimens = {cell["corrupted"]: labels._specimen(made, cell, place) for cell in cells}
    weights = [one.model.linear1.weight for one in specimens.values()]
    assert all(torch.equal(weight, weights[0]) for weight in weights)
    wrong = {share: float((one.train.y != one.train.clean_y).float().mean()) for share, one in specimens.items()}
    assert wrong[0.0] == 0
    # a label drawn from ten classes alike is the true one once in ten times
    for share in (0.5, 1.0):
        assert wrong[share] == pytest.approx(0.9 * share, abs=0.04)
    assert all(torch.equal(one.train.x, specimens[0.0].train.x) for one in specimens.values())


def test_points_to_memorize_fill_the_square_and_their_labels_tell_nothing() -> None:
    data = memorization._points(4000, seed=3)
    assert data.x.abs().max() <= 1
    assert torch.allclose(data.x.mean(0), torch.zeros(2), atol=0.04)
    assert torch.allclose(data.x.square().mean(0), torch.full((2,), 1 / 3), atol=0.03)
    for half in (data.x[:, 0] > 0, data.x[:, 1] > 0):
        assert float(data.y[half].float().mean()) == pytest.approx(0.5, abs=0.04)
    assert torch.equal(data.x, memorization._points(4000, seed=3).x)
    assert not torch.equal(data.x, memorization._points(4000, seed=4).x)


@pytest.mark.parametrize("seed", range(3))
def test_one_scale_for_all_biases_keeps_the_count_in_a_whole_plane_through_the_origin(seed: int) -> None:
    counts = {biases: whole_plane(1.0, biases, seed=seed)[WHOLE] for biases in (1e-3, 1e-2, 0.1, 1.0)}
    assert len(set(counts.values())) == 1, counts


def test_without_biases_a_plane_through_the_origin_is_a_fan() -> None:
    assert whole_plane(1.0, 0.0, network="12x1")[WHOLE] * half_square("12x1") == pytest.approx(2 * 12)


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_scaling_all_weights_is_scaling_the_biases_of_each_layer_by_another_factor(scale: float) -> None:
    model = drawn(2, "8x3", 3, seed=4)
    other = drawn(2, "8x3", 3, seed=4)
    with torch.no_grad():
        for depth in (1, 2, 3):
            getattr(model, f"linear{depth}").weight.mul_(scale)
            getattr(other, f"linear{depth}").bias.div_(scale**depth)
    assert count_in_plane(model, window=None, progress=False) == count_in_plane(other, window=None, progress=False)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_gradients_of_a_network_without_biases_grow_as_the_scale_of_weights_to_the_depth(scale: float) -> None:
    before, after = (whole_plane(weights, 0.0)["gradient norm"] for weights in (1.0, scale))
    assert after == pytest.approx(before * scale**4)


def test_the_gradient_norm_is_that_of_small_differences() -> None:
    model, x = drawn(5, "8x2", 3, seed=0).double(), images(6, 5).double()
    step = 1e-7 * torch.eye(5, dtype=torch.float64)
    slopes = torch.stack([(model(x + one) - model(x - one)) / 2e-7 for one in step])
    expected = float(slopes.detach().square().sum(0).mean().sqrt())
    assert initialization._gradient_norm(model, x) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("draw", range(4))
def test_on_a_line_one_layer_has_a_region_more_than_breakpoints_in_the_cube(draw: int) -> None:
    settings = {"network": "16x1", "inputs": 1, "biases": 1.0, "draws": 1}
    model = drawn(1, "16x1", 1, seed=draw)
    zeros = -(model.linear1.bias.detach().double() * 1000) / model.linear1.weight.detach().double()[:, 0]
    inside = int((zeros.abs() < 1).sum())
    assert 0 < inside < 16
    assert expectation._count(Cell("hanin2019.expectation", 1, settings), draw) == inside + 1


@pytest.mark.parametrize("biases", [0.1, 1.0])
def test_the_mean_on_a_line_is_that_of_breakpoints_with_a_cauchy_distribution(biases: float, tmp_path: Path) -> None:
    cell = Cell("hanin2019.expectation", 1, {"network": "16x1", "inputs": 1, "biases": biases, "draws": 100})
    ((_, rows),) = expectation._measure([cell], Place(tmp_path))
    found = {str(row["metric"]): float(row["value"]) for row in rows}  # type: ignore[arg-type]  # numbers
    # -b / w of normal b and w, of deviations `biases` and √2
    exact = (1 + 16 * 2 / math.pi * math.atan(math.sqrt(2) / biases)) / 2
    assert found["mean regions per volume"] == pytest.approx(exact, abs=4 * found["its standard error"])


@pytest.mark.parametrize("inputs", [1, 2])
def test_the_theorems_bound_with_the_estimated_constant_is_the_mean(inputs: int, tmp_path: Path) -> None:
    cell = Cell("hanin2019.expectation", 1, {"network": "16x2", "inputs": inputs, "biases": 0.5, "draws": 6})
    ((_, rows),) = expectation._measure([cell], Place(tmp_path))
    found = {str(row["metric"]): float(row["value"]) for row in rows}  # type: ignore[arg-type]  # numbers
    counts = [expectation._count(cell, draw) for draw in range(6)]
    bound = bounds.hanin_rolnick(32, inputs, T=found["T"], volume=2.0**inputs)
    assert bound == pytest.approx(np.mean(counts))
    assert found["its standard error"] == pytest.approx(np.std(counts, ddof=1) / math.sqrt(6) / 2**inputs)


def made(folder: Path, name: str, rows: Callable[[Cell], Iterable[Mapping[str, Any]]], scale: str = "small") -> Results:
    """Results of the grid's first two seeds as somebody might have measured them."""
    study = find_study(name)
    cells = [cell for cell in study.cells(study.grid(scale=scale)) if cell.settings.get("seed", 0) < 2]
    for cell in cells:
        write_cell(folder, cell, list(rows(cell)))
    return Results.in_folder(folder, cells)


def verdict(name: str, claim: str, results: Results) -> str:
    (one,) = (one for one in find_study(name).claims if one.id == claim)
    found = one.finding(results)
    assert found.ours or found.verdict == "not run at this scale"
    return found.verdict


def planes(step: str, at: Mapping[int, float]) -> list[dict[str, Any]]:
    """Two planes of one network, one with more regions and one with fewer."""
    metric = training._METRIC
    return [
        {step: when, "metric": metric, "plane": plane, "value": value + 0.1 * (-1) ** plane}
        for when, value in at.items()
        for plane in (0, 1)
    ]


def test_deviations_are_between_networks_not_between_planes(tmp_path: Path) -> None:
    results = made(
        tmp_path, "hanin2019.labels", lambda cell: planes("epoch", {3: 1 + cell["corrupted"] + cell["seed"]}), "smoke"
    )
    share, mean, sd, n = over_networks(results, "corrupted", labels._METRIC)
    assert share.tolist() == [0, 0.5, 1]
    assert mean == pytest.approx([1.5, 2.0, 2.5])
    assert sd == pytest.approx([math.sqrt(0.5)] * 3)
    assert n.tolist() == [2, 2, 2]
    found = ratios(results, "corrupted", 0.0, labels._METRIC)
    assert list(found) == [0.5, 1.0]
    assert found[0.5] == pytest.approx([1.5 / 1, 2.5 / 2])
    assert found[1.0] == pytest.approx([2 / 1, 3 / 2])


@pytest.mark.parametrize(
    ("growth", "expected"),
    [("none", "agrees"), ("falls", "agrees"), ("neurons", "differs"), ("depth", "differs")],
)
def test_one_constant_for_all_sizes_and_depths_decides_the_theorem(growth: str, expected: str, tmp_path: Path) -> None:
    def rows(cell: Cell) -> list[dict[str, Any]]:
        n, depth = sum(hidden(cell["network"])), len(hidden(cell["network"]))
        t = {"none": 1.0, "falls": 4.0**-depth, "neurons": n / 16, "depth": 2.0**depth}[growth]
        return [{"metric": "T", "value": t}, {"metric": "neurons", "value": float(n)}]

    assert verdict("hanin2019.expectation", "R1", made(tmp_path, "hanin2019.expectation", rows)) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ({0: 1.0, 29: 0.8, 469: 0.9, 9380: 1.1}, "agrees"),
        ({0: 1.0, 29: 1.1, 469: 1.2, 9380: 1.3}, "differs"),
        ({0: 1.0, 29: 0.9, 469: 0.8, 9380: 0.7}, "differs"),
        ({0: 5.0, 29: 4.0, 469: 4.5, 9380: 6.0}, "differs"),
    ],
    ids=["dips and comes back", "only rises", "only falls", "far from the reference"],
)
def test_regions_that_dip_and_come_back_agree(at: dict[int, float], expected: str, tmp_path: Path) -> None:
    results = made(tmp_path, "hanin2019.training", lambda cell: planes("step", at))
    assert verdict("hanin2019.training", "R2", results) == expected


@pytest.mark.parametrize(
    ("slope", "noise", "expected"),
    [
        (0.4, 0.0, "agrees"),
        (0.4, 0.5, "not run at this scale"),
        (0.0, 0.0, "differs"),
        (-0.4, 0.0, "differs"),
        (9.0, 0.0, "differs"),
    ],
    ids=["slightly", "within what seeds differ by", "not at all", "fewer", "many more"],
)
def test_corruption_must_raise_regions_and_only_slightly(
    slope: float, noise: float, expected: str, tmp_path: Path
) -> None:
    def rows(cell: Cell) -> list[dict[str, Any]]:
        # seeds lie further apart than corruption moves them: only pairs tell
        value = (1 + cell["seed"]) * (1 + (slope + noise * (-1) ** cell["seed"]) * cell["corrupted"])
        return [
            *planes("epoch", {40: value}),
            {"epoch": 40, "metric": labels._ON_LINES, "value": value},
            {"epoch": 40, "metric": "accuracy", "split": "train", "value": 0.5},
        ]

    assert verdict("hanin2019.labels", "R3", made(tmp_path, "hanin2019.labels", rows)) == expected


@pytest.mark.parametrize(
    ("growth", "fails", "expected"), [(0.2, True, "agrees"), (0.2, False, "differs"), (3.0, True, "differs")]
)
def test_memorizing_must_raise_regions_slightly_and_fail_at_last(
    growth: float, fails: bool, expected: str, tmp_path: Path
) -> None:
    def rows(cell: Cell) -> list[dict[str, Any]]:
        value = 1 + growth * math.log10(cell["points"] / 10)
        accuracy = 0.6 if fails and cell["points"] > 3000 else 1.0
        counts = ("regions in the plane over N²/2", "regions in the square over N²/2", "regions on a line over N")
        return [
            {"step": 10_000, "metric": metric, "value": number}
            for metric, number in [*((name, value) for name in counts), ("accuracy", accuracy)]
        ]

    assert verdict("hanin2019.memorization", "R4", made(tmp_path, "hanin2019.memorization", rows)) == expected


def test_the_picture_of_memorization_spreads_its_points_over_the_axis(tmp_path: Path) -> None:
    def rows(cell: Cell) -> list[dict[str, Any]]:
        return [{"step": 10_000, "metric": metric, "value": 1.0} for metric in memorization._PANELS]

    figure = memorization._figure(made(tmp_path, "hanin2019.memorization", rows))
    for ax in figure.axes:
        x = ax.lines[0].get_xdata()
        places = ax.transAxes.inverted().transform(ax.transData.transform(np.column_stack([x, np.ones(len(x))])))[:, 0]
        assert places[0] < 0.1
        assert places[-1] > 0.9


@pytest.mark.parametrize(("power", "expected"), [(0.1, "agrees"), (1.0, "differs")])
def test_settings_that_learn_must_stay_within_a_factor(power: float, expected: str, tmp_path: Path) -> None:
    def rows(cell: Cell) -> list[dict[str, Any]]:
        # what has not learned anything is not counted
        learned = cell["lr"] > 1e-4
        value = (cell["lr"] / 1e-3) ** power if learned else 1000.0
        return [
            *planes("epoch", {5: value}),
            {"epoch": 5, "metric": "accuracy", "split": "test", "value": 0.9 if learned else 0.1},
        ]

    assert verdict("hanin2019.hyperparameters", "R5", made(tmp_path, "hanin2019.hyperparameters", rows)) == expected


@pytest.mark.parametrize(
    ("density", "whole", "expected"),
    [
        ("gradient", "kept", "agrees"),
        ("gradient", "falls", "differs"),
        ("against", "kept", "differs"),
        ("constant", "kept", "not run at this scale"),
    ],
)
def test_density_must_follow_the_gradient_and_the_whole_count_must_stay(
    density: str, whole: str, expected: str, tmp_path: Path
) -> None:
    def rows(cell: Cell) -> list[dict[str, Any]]:
        gradient = cell["weights"] ** 4 * (1 + 0.01 * cell["seed"])
        near = (
            {"gradient": gradient, "against": 1 / gradient, "constant": 1.0}[density] if cell["biases"] > 0.05 else 1.0
        )
        count = 1 + 0.1 * cell["seed"]
        return [
            {"metric": initialization._NEAR, "value": near},
            {"metric": initialization._WHOLE, "value": count * cell["weights"] ** (0 if whole == "kept" else -0.05)},
            {"metric": "gradient norm", "value": gradient},
        ]

    results = made(tmp_path, "hanin2019.initialization", rows)
    assert verdict("hanin2019.initialization", "R10", results) == expected
    assert verdict("hanin2019.initialization", "R9", results) == "agrees"


def test_all_seven_are_in_the_catalogue() -> None:
    assert [find_study(study.name) for study in STUDIES] == list(STUDIES)
    assert len(STUDIES) == 7
