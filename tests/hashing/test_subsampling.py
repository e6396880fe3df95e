import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from actscope import Codes
from actscope.hashing import RedundancyRatio, determinism, rarefaction, redundancy_ratio, shared_ratio


def codes_of(sizes):
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return Codes.from_bits((rows[:, None] >> np.arange(20)) & 1)


small = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(codes_of)


@settings(max_examples=30)
@given(small)
def test_the_curve_is_the_mean_over_all_subsets(codes):
    n = len(codes)
    curve = rarefaction(codes, range(1, n + 1))
    for i, size in enumerate(range(1, n + 1)):
        subsets = [codes[list(rows)] for rows in combinations(range(n), size)]
        assert curve.redundancy_ratio[i] == pytest.approx(np.mean([redundancy_ratio(s) for s in subsets]), abs=1e-12)
        assert curve.shared_ratio[i] == pytest.approx(np.mean([shared_ratio(s) for s in subsets]), abs=1e-12)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_the_curve_agrees_with_the_printed_formula_of_rarefaction(sizes):
    n = sum(sizes)
    curve = rarefaction(codes_of(sizes))

    def log_choose(a, b):
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

    for s, ratio in zip(curve.sizes, curve.redundancy_ratio, strict=True):
        absent = [math.exp(log_choose(n - c, s) - log_choose(n, s)) if s <= n - c else 0 for c in sizes]
        assert ratio == pytest.approx((s - sum(1 - q for q in absent)) / s, abs=1e-9)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_the_curve_rises_from_nothing_to_the_sample_itself(sizes):
    codes = codes_of(sizes)
    curve = rarefaction(codes)
    assert (curve.sizes[0], curve.sizes[-1]) == (1, len(codes))
    assert curve.redundancy_ratio[0] == curve.shared_ratio[0] == 0
    assert curve.redundancy_ratio[-1] == pytest.approx(redundancy_ratio(codes))
    assert curve.shared_ratio[-1] == pytest.approx(shared_ratio(codes))
    assert (np.diff(curve.redundancy_ratio) >= -1e-15).all()


def test_tiny_ratios_keep_their_digits():
    n = 10**6
    sizes = np.ones(n - 1, np.int64)
    sizes[0] = 2
    counts = RedundancyRatioWith(sizes)
    ratio = rarefaction(counts, [2]).redundancy_ratio[0]
    assert ratio == pytest.approx(
        1 / (n * (n - 1)), rel=1e-12
    )  # the two of them are drawn, of n(n-1)/2 pairs, and 1 of 2 is redundant


class RedundancyRatioWith(RedundancyRatio):
    """What a stream with these region sizes would have seen."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes

    def region_sizes(self):
        return self.sizes


def test_a_stream_gives_the_same_curve():
    codes = codes_of([5, 1, 1, 3])
    stream = RedundancyRatio()
    stream.update(codes[:4])
    stream.update(codes[4:])
    expected, got = rarefaction(codes), rarefaction(stream)
    np.testing.assert_array_equal(got.redundancy_ratio, expected.redundancy_ratio)
    assert got.sample == determinism(codes)


def test_the_result_is_plain_json_and_shows_its_ends():
    curve = rarefaction(codes_of([2, 2]), [1, 4])
    assert json.loads(json.dumps(curve.to_dict()))["sizes"] == [1, 4]
    assert repr(curve) == "Rarefaction(expected redundancy by subset size, 1: 0, 4: 0.5)"


@pytest.mark.parametrize("sizes", [[0], [5], [], [1.5], [[1]]])
def test_sizes_that_no_subset_has_are_errors(sizes):
    with pytest.raises(ValueError, match=r"sizes must"):
        rarefaction(codes_of([2, 2]), sizes)


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        rarefaction(Codes.from_bits(np.zeros((0, 3))))


def test_the_plot_shows_both_borders():
    curve = rarefaction(codes_of([3] * 50))
    labels = [line.get_label() for line in curve.plot().get_lines()]
    assert labels[0] == "redundancy ratio"
    assert any(label.startswith("first collisions near") for label in labels)
    assert any(label.startswith("1 % not before") for label in labels)


def test_the_plot_of_unique_codes_says_that_there_is_nothing_to_see():
    ax = rarefaction(codes_of([1] * 20)).plot()
    assert [text.get_text() for text in ax.texts] == ["no two examples share a code"]
