"""The mean similarity of codes in parts is that of all of them."""

import pickle
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope import Codes, Site
from actscope.neurons import MeanSimilarity, mean_similarity

examples = st.lists(st.integers(0, 7), min_size=2, max_size=40)


def codes_of(rows, **given):
    return Codes.from_bits((np.array(rows, np.int64).reshape(-1, 1) >> np.arange(3)) & 1, **given)


def seen(*parts):
    metric = MeanSimilarity()
    for part in parts:
        metric.update(part)
    return metric


@given(examples, st.lists(st.lists(st.integers(0, 39), max_size=25), max_size=8), st.booleans(), st.booleans())
def test_overlapping_parts_in_any_order_count_each_example_once(rows, parts, strings, labelled):
    ids = [f"example {i}" for i in range(len(rows))] if strings else None
    codes = codes_of(rows, ids=ids, labels=[row % 2 for row in rows] if labelled else None)
    chosen = [sorted({i for i in part if i < len(rows)}, key=lambda i: (i * 7) % 11) for part in parts]
    covered = sorted(set().union(*chosen)) if chosen else []
    metric = seen(*(codes[part] for part in chosen))
    assert metric.n_examples == len(covered)
    if len(covered) > 1:
        assert metric.compute() == mean_similarity(codes[covered])


@given(examples, st.lists(st.integers(0, 2), min_size=40, max_size=40))
def test_merging_is_associative_and_commutative(rows, owners):
    codes = codes_of(rows, labels=[row % 3 for row in rows])
    workers = [np.flatnonzero([owner == k for owner in owners[: len(rows)]]) for k in range(3)]

    def worker(k):
        return seen(codes[workers[k]])

    left = worker(0).merge(worker(1)).merge(worker(2)).compute()
    right = worker(0).merge(worker(1).merge(worker(2))).compute()
    turned = worker(2).merge(worker(0)).merge(worker(1)).compute()
    assert left == right == turned == mean_similarity(codes)


def test_several_breakpoints_are_counted_too():
    rng = np.random.default_rng(0)
    site = Site("tanh", "tanh", (8,), (-0.5, 0.0, 0.5))
    low, middle, high = (rng.integers(0, 256, 300, dtype=np.uint8) for _ in range(3))
    codes = Codes(np.stack([low | middle | high, middle | high, high], axis=1), (site,), labels=rng.integers(0, 4, 300))
    assert seen(*(codes[start : start + 7] for start in range(0, 300, 7))).compute() == mean_similarity(codes)


def test_many_updates_do_not_lose_anything():
    rng = np.random.default_rng(0)
    codes = codes_of(rng.integers(0, 8, 3000), labels=rng.integers(0, 5, 3000))
    order = rng.permutation(3000)
    assert seen(*(codes[order[start : start + 7]] for start in range(0, 3000, 7))).compute() == mean_similarity(codes)
    assert reduce(MeanSimilarity.merge, [seen(codes[i::4]) for i in range(4)]).compute() == mean_similarity(codes)


def test_merging_leaves_the_other_as_it_was():
    codes = codes_of([1, 1, 2, 5])
    other = seen(codes[2:])
    before = other.compute()
    seen(codes[:2]).merge(other).update(codes)
    assert other.compute() == before


def test_an_id_that_both_have_seen_is_an_error_and_nothing_is_taken_in():
    codes = codes_of([1, 2, 3])
    metric = seen(codes[:2])
    before = metric.compute()
    with pytest.raises(ValueError, match=r"both have seen id 1 \(1 ids in common\).*drop_last=True"):
        metric.merge(seen(codes[1:]))
    assert metric.compute() == before


def test_one_id_with_two_codes_is_an_error_and_nothing_is_taken_in():
    metric = seen(codes_of([1, 2], ids=[10, 11]))
    with pytest.raises(ValueError, match="id 11 occurs twice with different codes"):
        metric.update(codes_of([3, 5], ids=[12, 11]))
    assert metric.compute() == mean_similarity(codes_of([1, 2]))


def test_it_travels_between_processes():
    metric = seen(codes_of([1, 1, 3], split="train"))
    assert pickle.loads(pickle.dumps(metric)).compute() == metric.compute()


def test_reset_forgets():
    metric = seen(codes_of([1, 1], split="train"))
    metric.reset()
    metric.update(codes_of([2, 3], split="test"))
    assert metric.compute().n_examples == 2


def test_fewer_than_two_examples_are_an_error():
    for metric in (MeanSimilarity(), seen(codes_of([])), seen(codes_of([1])), MeanSimilarity().merge(MeanSimilarity())):
        with pytest.raises(ValueError, match="a pair takes two"):
            metric.compute()


def test_what_does_not_belong_together_is_an_error():
    metric = seen(codes_of([1], split="train"))
    with pytest.raises(ValueError, match="other sites"):
        metric.update(codes_of([1], split="train", name="conv"))
    with pytest.raises(ValueError, match="split 'test'"):
        metric.update(codes_of([1], split="test"))
    with pytest.raises(ValueError, match="integer ids and some have strings"):
        metric.update(codes_of([1], ids=["a"], split="train"))
    with pytest.raises(ValueError, match="some of the codes have labels"):
        metric.update(codes_of([1], ids=[5], labels=[1], split="train"))
    with pytest.raises(ValueError, match="some of the codes have labels"):
        metric.merge(seen(codes_of([1], ids=[5], labels=[1], split="train")))


def test_it_shows_what_it_has_seen():
    assert repr(seen(codes_of([1, 2]))) == "MeanSimilarity(2 examples so far, 1 site)"
