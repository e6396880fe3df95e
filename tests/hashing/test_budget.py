import numpy as np
import pytest

from actscope import Codes
from actscope.hashing.budget import sampled, within_budget


def codes(n=100, d=64):
    return Codes.from_bits(np.random.default_rng(0).integers(0, 2, (n, d)), labels=np.arange(n))


def test_a_sample_is_a_subset_in_the_order_of_the_examples():
    some, note = sampled(codes(), 20, seed=1)
    assert len(set(some.ids)) == 20
    assert (np.diff(some.ids) > 0).all()
    assert (some.labels == some.ids).all()
    assert note == "fitted on a random 20 of 100 examples, seed 1"


def test_the_seed_decides_the_sample():
    assert (sampled(codes(), 20, seed=1)[0].ids == sampled(codes(), 20, seed=1)[0].ids).all()
    assert (sampled(codes(), 20, seed=1)[0].ids != sampled(codes(), 20, seed=2)[0].ids).any()


@pytest.mark.parametrize("n", [None, 100, 1000])
def test_all_examples_are_no_sample(n):
    everything = codes()
    assert sampled(everything, n, seed=0) == (everything, None)


def test_what_fits_the_budget_is_used_whole():
    everything = codes()
    assert within_budget(everything, 100, max_train=None, max_bytes=1 << 20, seed=0) == (everything, None)


def test_what_does_not_fit_is_sampled_and_the_note_says_why():
    some, note = within_budget(codes(), 100, max_train=None, max_bytes=5000, seed=0)
    assert len(some) == 39
    assert note == "fitted on a random 39 of 100 examples, seed 0: what max_bytes=5,000 holds; max_train= takes more"


def test_a_number_of_examples_overrides_the_budget():
    some, _ = within_budget(codes(), 100, max_train=90, max_bytes=5000, seed=0)
    assert len(some) == 90
