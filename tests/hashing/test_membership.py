import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope import Codes
from actscope.hashing import groups, largest_groups

rows = st.lists(st.integers(0, 7), min_size=1, max_size=40)


def codes_of(rows, **given):
    return Codes.from_bits((np.array(rows)[:, None] >> np.arange(3)) & 1, **given)


@given(rows)
def test_groups_partition_the_examples_by_code_largest_first(rows):
    codes = codes_of(rows, ids=100 + np.arange(len(rows)))
    found = groups(codes)
    assert sorted(np.concatenate([group.ids for group in found]).tolist()) == codes.ids.tolist()
    assert all(len({rows[i] for i in group.rows}) == 1 for group in found)
    assert len(found) == len(set(rows))
    assert [g.size for g in found] == sorted((g.size for g in found), reverse=True)


@given(rows, st.integers(1, 5))
def test_the_largest_groups_are_the_first_of_all_groups_with_company(rows, k):
    codes = codes_of(rows)
    expected = [group.rows.tolist() for group in groups(codes) if group.size > 1][:k]
    assert [group.rows.tolist() for group in largest_groups(codes, k)] == expected


def test_equal_sizes_come_in_the_order_of_their_first_example():
    assert [group.rows.tolist() for group in groups(codes_of([5, 3, 3, 5, 1]))] == [[0, 3], [1, 2], [4]]


def test_labels_are_counted_most_frequent_first_then_smallest():
    group = groups(codes_of([2] * 5, labels=[9, 4, 4, 7, 9]))[0]
    assert list(group.labels.items()) == [(4, 2), (9, 2), (7, 1)]
    assert group.purity == 0.4


def test_without_labels_there_is_no_purity():
    group = groups(codes_of([1]))[0]
    assert group.labels is None
    assert group.purity is None


def test_a_group_shows_who_is_in_it():
    group = largest_groups(codes_of([1] * 7, ids=[f"cat{i}" for i in range(7)], labels=[3] * 7))[0]
    assert repr(group) == "Group(7 examples: 'cat0', 'cat1', 'cat2', 'cat3', 'cat4', …; labels 3: 7)"
    assert json.loads(json.dumps(group.to_dict()))["size"] == 7


def test_impossible_requests_are_errors():
    with pytest.raises(ValueError, match="k=0"):
        largest_groups(codes_of([1]), 0)
    with pytest.raises(ValueError, match="min_size=0"):
        groups(codes_of([1]), min_size=0)
    with pytest.raises(ValueError, match="no examples"):
        groups(Codes.from_bits(np.zeros((0, 3))))
