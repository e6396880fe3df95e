import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope import Codes, Site
from actscope.hashing import redundancy_by_site, redundancy_ratio, shared_by_site, shared_ratio

matrices = st.integers(1, 4).flatmap(
    lambda n_bits: st.lists(st.lists(st.booleans(), min_size=n_bits, max_size=n_bits), min_size=1, max_size=25)
)


def sizes_of_regions(bits):
    counts = {}
    for row in np.asarray(bits, bool):
        counts[row.tobytes()] = counts.get(row.tobytes(), 0) + 1
    return sorted(counts.values())


@given(matrices)
def test_redundancy_is_the_share_of_examples_beyond_the_first_of_each_region(bits):
    n = len(bits)
    assert redundancy_ratio(Codes.from_bits(bits)) == (n - len(sizes_of_regions(bits))) / n


@given(matrices)
def test_shared_is_the_share_of_examples_with_company(bits):
    assert shared_ratio(Codes.from_bits(bits)) == sum(c for c in sizes_of_regions(bits) if c > 1) / len(bits)


@given(matrices)
def test_redundancy_lies_between_half_of_shared_and_shared(bits):
    codes = Codes.from_bits(bits)
    redundancy, shared = redundancy_ratio(codes), shared_ratio(codes)
    assert 0 <= shared / 2 <= redundancy <= shared <= 1
    assert redundancy <= 1 - 1 / len(codes)


@given(matrices, st.randoms())
def test_the_order_of_examples_does_not_matter(bits, random):
    shuffled = random.sample(bits, len(bits))
    assert redundancy_ratio(Codes.from_bits(bits)) == redundancy_ratio(Codes.from_bits(shuffled))


def test_one_example_is_not_redundant():
    assert redundancy_ratio(Codes.from_bits([[0, 1]])) == shared_ratio(Codes.from_bits([[0, 1]])) == 0


def two_sites():
    first, second = Codes.from_bits([[0, 1], [0, 1], [1, 1]], name="a"), Codes.from_bits([[0], [1], [1]], name="b")
    return Codes(np.concatenate([first.packed, second.packed], axis=1), first.sites + second.sites)


def test_each_site_is_counted_alone():
    codes = two_sites()
    assert redundancy_by_site(codes) == {"a": 1 / 3, "b": 1 / 3}
    assert shared_by_site(codes) == {"a": 2 / 3, "b": 2 / 3}
    assert redundancy_ratio(codes) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_all_sites_together_are_never_more_redundant_than_one(rows):
    packed = np.array(rows, np.uint8)
    sites = tuple(Site(name, "relu", (2,), (0.0,)) for name in "ab")
    codes = Codes(packed, sites)
    assert redundancy_ratio(codes) <= min(redundancy_by_site(codes).values())


@pytest.mark.parametrize("function", [redundancy_ratio, shared_ratio, redundancy_by_site, shared_by_site])
def test_no_examples_is_an_error(function):
    with pytest.raises(ValueError, match="no examples"):
        function(Codes.from_bits(np.zeros((0, 3))))


def test_a_site_without_neurons_puts_all_examples_into_one_region():
    codes = Codes(np.zeros((4, 0), np.uint8), (Site("empty", "relu", (0,), (0.0,)),))
    assert redundancy_ratio(codes) == 0.75
    assert shared_ratio(codes) == 1
    assert redundancy_by_site(codes) == {"empty": 0.75}
