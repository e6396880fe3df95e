"""Extrapolation of collisions, regimes of a chart, and the place of a network in it."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.codes import Codes
from actscope.hashing import rarefaction
from actscope.studies import run
from actscope.studies.phase import Chart, OutsideChartError, locate
from actscope.studies.phase.extrapolation import (
    first_collision,
    redundancy_by_chao,
    redundancy_by_pairs,
    size_of_redundancy,
)
from actscope.studies.phase.regimes import Thresholds, find_thresholds, regimes_by_sensitivity, sensitivities
from actscope.training import MLP, Recipe, digits, fit

sizes = st.lists(st.integers(1, 6), min_size=1, max_size=12)


def expected_regions(regions: list[int], n: int) -> Fraction:
    """Of n of the examples, by counting subsets."""
    total = sum(regions)
    return sum((1 - Fraction(math.comb(total - c, n), math.comb(total, n)) for c in regions), Fraction(0))


@given(sizes, st.data())
def test_within_the_sample_the_expectation_over_subsets_is_exact(regions: list[int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, sum(regions)))
    assert redundancy_by_chao(regions, [n])[0] == pytest.approx(float(1 - expected_regions(regions, n) / n), abs=1e-9)


@given(sizes)
def test_beyond_the_sample_regions_grow_and_redundancy_rises(regions: list[int]) -> None:
    total = sum(regions)
    n = np.arange(1, 5 * total)
    found = redundancy_by_chao(regions, n)
    assert (np.diff(found) > -1e-9).all()
    assert (np.diff((1 - found) * n) > -1e-6).all()


def test_it_is_the_rarefaction_of_codes() -> None:
    codes = Codes.from_bits(np.array([[0, 0], [0, 1], [0, 1], [1, 1], [1, 1], [1, 1]], bool))
    ours = redundancy_by_chao([1, 2, 3], [2, 4, 6])
    np.testing.assert_allclose(ours, rarefaction(codes, [2, 4, 6]).redundancy_ratio)


def test_with_equally_likely_regions_both_predictions_come_true() -> None:
    rng = np.random.default_rng(0)
    n_regions, n, larger = 500_000, 100_000, 200_000
    seen = np.unique(rng.integers(n_regions, size=n), return_counts=True)[1]
    true = 1 - n_regions * (1 - (1 - 1 / n_regions) ** larger) / larger
    assert redundancy_by_chao(seen, [larger])[0] == pytest.approx(true, abs=0.01)
    pairs = (seen * (seen - 1)).sum() / (n * (n - 1))
    assert true <= redundancy_by_pairs(pairs, larger) <= true + 0.03


@given(sizes)
def test_the_size_of_a_redundancy_is_the_first_that_has_it(regions: list[int]) -> None:
    n = size_of_redundancy(regions, 0.1234)
    total = sum(regions)
    mean = [float(1 - expected_regions(regions, k) / k) for k in range(1, total + 1)]
    reached = [k + 1 for k, value in enumerate(mean) if value >= 0.1234]
    assert (n == reached[0]) if reached else math.isnan(n)


def test_the_first_collision_is_where_the_birthday_problem_has_it() -> None:
    n_regions = 10_000
    regions = np.random.default_rng(3).integers(n_regions, size=4000)
    assert first_collision(regions, n_orders=400, seed=0) == pytest.approx(math.sqrt(math.pi * n_regions / 2), rel=0.1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_the_first_collision_is_counted_as_one_would(regions: list[int]) -> None:
    order = np.random.default_rng(0).permutation(regions).tolist()
    slow = next((float(i + 1) for i in range(len(order)) if order[i] in order[:i]), math.nan)
    np.testing.assert_equal(first_collision(regions, n_orders=1, seed=0), slow)


def test_redundancy_from_pairs_never_passes_that_of_one_region() -> None:
    np.testing.assert_allclose(redundancy_by_pairs(1.0, [2, 10]), [0.5, 0.9])


def test_samples_and_regions_without_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        redundancy_by_chao([], [3])
    for sizes, n in (([1, 0], [3]), ([1, 2], [0])):
        with pytest.raises(ValueError, match="at least one example"):
            redundancy_by_chao(sizes, n)
    with pytest.raises(ValueError, match="at least one example"):
        redundancy_by_pairs(0.1, [0])


def test_the_slope_for_a_doubling_is_found_along_either_axis() -> None:
    x, y = np.array([1.0, 2, 4, 8]), np.array([3.0, 6, 12])
    values = 0.1 * np.log2(x)[None, None, :] - 0.3 * np.log2(y)[None, :, None] + np.zeros((2, 1, 1))
    np.testing.assert_allclose(sensitivities(values, x, along="x").slope, 0.1)
    np.testing.assert_allclose(sensitivities(values, y, along="y").slope, -0.3)


def chart_of(along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Three equal seeds of redundancies that depend on the column and on the row."""
    return np.stack([along_y[:, None] + along_x[None, :]] * 3)


def test_regimes_are_those_of_the_words() -> None:
    """Redundancy falls along both axes in one corner, along one in two others, and hardly along either in the last."""
    axis = 2.0 ** np.arange(9)
    falls = np.where(np.arange(9) < 4, 0.4 - 0.1 * np.arange(9), 0.0)
    redundancy = chart_of(falls, falls)
    found = regimes_by_sensitivity(redundancy, np.ones_like(redundancy), axis, axis)
    assert found[1, 1] == 0
    assert found[7, 7] == 2
    # what moves along one axis alone is critical, whichever it is
    assert found[1, 7] == found[7, 1] == 1
    assert found.tolist() == found.T.tolist()


def test_what_is_more_redundant_than_all_that_improves_is_under_expressive() -> None:
    axis = 2.0 ** np.arange(9)
    along = np.array([0.53, 0.52, 0.51, 0.5, 0.3, 0.1, 0.0, 0.0, 0.0])
    redundancy = chart_of(along, np.linspace(0.5, 0.0, 9))
    found = regimes_by_sensitivity(redundancy, np.ones_like(redundancy), axis, axis)
    assert found[0, 0] == 0


@pytest.mark.parametrize("axis", ["x", "y"])
def test_accuracy_that_moves_along_one_axis_alone_is_critical(axis: str) -> None:
    places = 2.0 ** np.arange(5)
    rises, still = 0.1 * np.arange(5), np.zeros(5)
    accuracy = chart_of(rises, still) if axis == "x" else chart_of(still, rises)
    assert (regimes_by_sensitivity(np.zeros_like(accuracy), accuracy, places, places) == 1).all()


def test_a_quiet_corner_with_redundancy_left_is_not_sufficient() -> None:
    axis = 2.0 ** np.arange(5)
    redundancy = np.full((3, 5, 5), 0.5)
    found = regimes_by_sensitivity(redundancy, np.ones_like(redundancy), axis, axis)
    assert (found == 1).all()


def test_thresholds_that_made_the_regimes_are_found_again() -> None:
    rng = np.random.default_rng(1)
    redundancy, accuracy = rng.random((20, 20)), rng.random((20, 20))
    truth = Thresholds(0.6, 0.2, 0.5, 1.0)
    found = find_thresholds(redundancy, accuracy, truth.regime(redundancy, accuracy))
    assert found.agreement > 0.95


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    return Chart.of(run("phase.time", tmp_path_factory.mktemp("phase"), scale="smoke", progress=False).results)


def trained(width: int, *, epochs: int = 10) -> MLP:
    model = MLP(64, [width], 10, seed=7)
    fit(model, digits()[0].flatten(), recipe=Recipe(lr=1e-2, batch_size=32, epochs=epochs))
    return model


def test_a_chart_has_its_axes_and_leaves_out_what_is_untrained(chart: Chart) -> None:
    assert chart.widths.tolist() == [3, 6, 12, 24, 48]
    assert chart.y.tolist() == [1, 3, 10]
    assert chart.values["redundancy"].shape == (2, 3, 5)
    assert chart.kind["dataset"] == "digits"
    assert {one.method for one in chart.predictions} >= {"pairs", "Chao's estimate"}
    assert [one.border for one in chart.borders] == ["first collision", "one percent"]
    assert all(0.2 < one.ratio < 5 for one in chart.borders)


def test_the_border_is_where_redundancy_passes_a_value(chart: Chart) -> None:
    border = chart.border(0.3)
    for row, width in enumerate(border):
        if np.isfinite(width):
            left = np.interp(np.log2(width), np.log2(chart.widths), chart.mean("redundancy")[row])
            assert left == pytest.approx(0.3, abs=1e-6)


def test_a_network_is_located_where_it_was_trained(chart: Chart) -> None:
    train, test = (data.flatten() for data in digits())
    narrow, wide = (locate(trained(width), train, test, chart=chart, epochs=10) for width in (4, 40))
    assert narrow.redundancy > wide.redundancy
    assert sum(narrow.shares.values()) == pytest.approx(1)
    assert narrow.regime == "under"
    assert wide.regime in ("critical", "sufficient")
    assert "width" in narrow.advice
    assert f"{narrow.redundancy:.3f}" in str(narrow)


@pytest.mark.parametrize(
    ("width", "epochs", "message"),
    [(100, 10, "width 100 lies outside"), (12, 50, "epoch 50 lies outside")],
)
def test_outside_its_support_the_chart_says_nothing(chart: Chart, width: int, epochs: int, message: str) -> None:
    train, test = (data.flatten() for data in digits())
    with pytest.raises(OutsideChartError, match=message):
        locate(MLP(64, [width], 10), train, test, chart=chart, epochs=epochs)


def test_networks_and_data_of_another_kind_are_refused(chart: Chart) -> None:
    train, test = (data.flatten() for data in digits())
    with pytest.raises(OutsideChartError, match="1 equally wide hidden ReLU layer; this one has"):
        locate(MLP(64, [12, 12], 10), train, test, chart=chart, epochs=10)
    with pytest.raises(OutsideChartError, match="unlike those of the chart"):
        locate(MLP(64, [12], 10), train, test, chart=chart, epochs=10)
    with pytest.raises(ValueError, match="how many epochs"):
        locate(MLP(64, [12], 10), train, test, chart=chart)


def test_results_of_other_studies_make_no_chart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"phase.time or phase.samples, not of he2021.width"):
        Chart.of(run("he2021.width", tmp_path, scale="smoke", progress=False).results)
