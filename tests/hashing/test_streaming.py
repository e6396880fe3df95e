import pickle
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope import Codes
from actscope.hashing import RedundancyRatio, determinism

examples = st.lists(st.integers(0, 7), min_size=1, max_size=40)


def codes_of(rows, ids=None, **given):
    return Codes.from_bits((np.array(rows, np.int64).reshape(-1, 1) >> np.arange(3)) & 1, ids=ids, **given)


def seen(*parts):
    metric = RedundancyRatio()
    for part in parts:
        metric.update(part)
    return metric


@given(examples, st.lists(st.lists(st.integers(0, 39), max_size=25), max_size=8), st.booleans())
def test_overlapping_parts_in_any_order_count_each_example_once(rows, parts, strings):
    ids = [f"example {i}" for i in range(len(rows))] if strings else None
    codes = codes_of(rows, ids)
    chosen = [sorted({i for i in part if i < len(rows)}, key=lambda i: (i * 7) % 11) for part in parts]
    covered = sorted(set().union(*chosen)) if chosen else []
    metric = seen(*(codes[part] for part in chosen))
    assert metric.n_examples == len(covered)
    if covered:
        assert metric.compute() == determinism(codes[covered])


@given(examples, st.lists(st.integers(0, 2), min_size=40, max_size=40))
def test_merging_is_associative_and_commutative(rows, owners):
    codes = codes_of(rows)
    workers = [np.flatnonzero([owner in (k, 2 - k) for owner in owners[: len(rows)]]) for k in range(3)]
    everything = np.unique(np.concatenate(workers))
    if len(everything) == 0:
        return

    def worker(k):
        return seen(codes[workers[k]])

    left = worker(0).merge(worker(1)).merge(worker(2)).compute()
    right = worker(0).merge(worker(1).merge(worker(2))).compute()
    turned = worker(2).merge(worker(0)).merge(worker(1)).compute()
    assert left == right == turned == determinism(codes[everything])


def test_merging_leaves_the_other_as_it_was():
    codes = codes_of([1, 1, 2])
    other = seen(codes[1:])
    before = other.compute()
    seen(codes[:2]).merge(other).update(codes)
    assert other.compute() == before


def test_many_updates_do_not_lose_anything():
    rng = np.random.default_rng(0)
    codes = codes_of(rng.integers(0, 8, 3000))
    order = rng.permutation(3000)
    metric = seen(*(codes[order[start : start + 7]] for start in range(0, 3000, 7)))
    assert metric.compute() == determinism(codes)
    assert reduce(RedundancyRatio.merge, [seen(codes[i::4]) for i in range(4)]).compute() == determinism(codes)


def test_it_can_be_computed_in_between():
    codes = codes_of([1, 2, 1, 2])
    metric = RedundancyRatio()
    metric.update(codes[:2])
    assert metric.compute().redundancy_ratio == 0
    metric.update(codes[2:])
    assert metric.compute().redundancy_ratio == 0.5


def test_one_id_with_two_codes_is_an_error_and_nothing_is_taken_in():
    metric = seen(codes_of([1, 2], ids=[10, 11]))
    with pytest.raises(ValueError, match="id 11 occurs twice with different codes"):
        metric.update(codes_of([3, 5], ids=[12, 11]))
    assert metric.n_examples == 2
    with pytest.raises(ValueError, match="id 10 occurs twice with different codes"):
        metric.merge(seen(codes_of([7], ids=[99]), codes_of([4], ids=[10])))
    assert metric.n_examples == 2
    assert metric.compute() == determinism(codes_of([1, 2]))


def test_it_travels_between_processes():
    metric = seen(codes_of([1, 1, 3], split="train"))
    assert pickle.loads(pickle.dumps(metric)).merge(metric).compute() == metric.compute()


def test_reset_forgets():
    metric = seen(codes_of([1, 1], split="train"))
    metric.reset()
    metric.update(codes_of([2], split="test"))
    assert metric.compute().n_examples == 1


def test_nothing_seen_is_an_error():
    for metric in (RedundancyRatio(), seen(codes_of([])), RedundancyRatio().merge(RedundancyRatio())):
        with pytest.raises(ValueError, match="no codes have been seen"):
            metric.compute()


def test_what_does_not_belong_together_is_an_error():
    metric = seen(codes_of([1], split="train"))
    with pytest.raises(ValueError, match="other sites"):
        metric.update(codes_of([1], split="train", name="conv"))
    with pytest.raises(ValueError, match="split 'test'"):
        metric.update(codes_of([1], split="test"))
    with pytest.raises(ValueError, match="integer ids and some have strings"):
        metric.update(codes_of([1], ids=["a"], split="train"))
    with pytest.raises(ValueError, match="split 'test'"):
        metric.merge(seen(codes_of([1], split="test")))


def test_it_shows_what_it_has_seen():
    assert repr(seen(codes_of([1, 2]))) == "RedundancyRatio(2 examples so far, 1 site)"
