import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from actscope import Codes
from actscope.hashing import determinism, redundancy_ratio, shared_ratio
from actscope.hashing.collisions import Determinism, collision_probability_limit

sizes = st.lists(st.integers(1, 6), min_size=1, max_size=12).map(np.array)


def codes_of(sizes):
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return Codes.from_bits((rows[:, None] >> np.arange(4)) & 1)


@given(sizes)
def test_collision_probability_is_the_share_of_pairs_with_equal_codes(sizes):
    result = determinism(codes_of(sizes))
    rows = np.repeat(np.arange(len(sizes)), sizes)
    pairs = list(combinations(rows, 2))
    assert result.n_colliding_pairs == sum(a == b for a, b in pairs)
    assert result.collision_probability == (result.n_colliding_pairs / len(pairs) if pairs else 0)


@given(sizes)
def test_the_ratios_are_those_of_the_functions(sizes):
    codes = codes_of(sizes)
    result = determinism(codes)
    assert (result.redundancy_ratio, result.shared_ratio) == (redundancy_ratio(codes), shared_ratio(codes))
    assert (result.n_examples, result.n_regions, result.largest_region) == (len(codes), len(sizes), max(sizes))


def test_equally_likely_regions_have_as_many_bits_as_their_number_and_the_known_borders():
    result = Determinism.from_region_sizes(np.full(1024, 1000))
    assert result.collision_entropy == pytest.approx(10, abs=0.01)
    assert result.first_collision_size == pytest.approx(math.sqrt(2 * 1024), rel=0.01)
    assert result.one_percent_size == pytest.approx(1 + 0.02 * 1024, rel=0.01)


def test_the_borders_hold_on_average_where_regions_are_equally_likely():
    n_regions = 4096
    rng = np.random.default_rng(0)
    result = Determinism.from_region_sizes(np.full(n_regions, 1000))

    def simulated(size):
        draws = np.sort(rng.integers(0, n_regions, (4000, round(size))), axis=1)
        repeats = (draws[:, 1:] == draws[:, :-1]).sum(axis=1)
        return (repeats == 0).mean(), repeats.mean() / size

    assert simulated(result.first_collision_size)[0] == pytest.approx(math.exp(-1), abs=0.03)
    assert simulated(result.one_percent_size)[1] == pytest.approx(0.01, rel=0.05)


def test_without_a_collision_entropy_is_a_lower_bound_and_says_so():
    result = determinism(Codes.from_bits(np.eye(9, dtype=bool)))
    assert result.entropy_is_lower_bound
    assert result.collision_probability == 0
    assert result.collision_entropy == -math.log2(collision_probability_limit(9))
    assert "at least" in repr(result)
    assert "95% confidence" in str(result)
    assert "not before" in repr(result)


def test_with_a_collision_entropy_is_an_estimate():
    result = determinism(codes_of([2, 1]))
    assert not result.entropy_is_lower_bound
    assert "plug-in, 1 colliding pair)" in repr(result)


def test_one_example_says_nothing_about_collisions():
    result = determinism(Codes.from_bits([[1]]))
    assert (result.collision_probability, result.collision_entropy, result.entropy_is_lower_bound) == (0, 0, True)


def test_equal_codes_only_have_no_entropy():
    result = determinism(Codes.from_bits(np.ones((5, 2))))
    assert (result.collision_probability, result.collision_entropy, result.redundancy_ratio) == (1, 0, 0.8)


def no_collision(probabilities, n):
    """P(n draws all different): n! times the elementary symmetric polynomial of degree n, in exact steps."""
    symmetric = np.zeros(n + 1)
    symmetric[0] = 1
    for p in probabilities:
        symmetric[1:] += p * symmetric[:-1].copy()
    return math.factorial(n) * symmetric[n]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(2, 8))
def test_no_distribution_hides_its_collisions_better_than_one_heavy_region(masses, n):
    probabilities = np.array(masses) / sum(masses)
    heaviest = math.sqrt((probabilities**2).sum())
    assert no_collision(probabilities, n) <= binom.cdf(1, n, heaviest) + 1e-12


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_at_the_limit_one_heavy_region_stays_unseen_once_in_twenty(n):
    assert binom.cdf(1, n, math.sqrt(collision_probability_limit(n))) == pytest.approx(0.05)


def test_the_result_is_plain_json():
    result = determinism(codes_of([3, 1, 1]))
    assert Determinism(**json.loads(json.dumps(result.to_dict()))) == result


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        determinism(Codes.from_bits(np.zeros((0, 3))))
