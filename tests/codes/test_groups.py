"""Groups of equal rows against a dictionary of bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actscope.codes import groups
from actscope.codes.groups import _grouped, _hashes, count_distinct, distinct

at_any_pace = settings(deadline=None)  # the first call of a kernel compiles it

packed_rows = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(0, 40), st.one_of(st.integers(0, 10), st.sampled_from([31, 32, 33, 70]))),
    elements=st.integers(0, 2),
)


def reference(packed: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    groups: dict[bytes, list[int]] = {}
    for row, content in enumerate(packed):
        groups.setdefault(content.tobytes(), []).append(row)
    numbers = {content: number for number, content in enumerate(groups)}
    first = [rows[0] for rows in groups.values()]
    return first, [numbers[content.tobytes()] for content in packed], [len(rows) for rows in groups.values()]


def check(packed: np.ndarray) -> None:
    groups = distinct(packed)
    first, inverse, counts = reference(packed)
    assert groups.first.tolist() == first
    assert groups.inverse.tolist() == inverse
    assert groups.counts.tolist() == counts
    assert {groups.first.dtype, groups.inverse.dtype, groups.counts.dtype} == {np.dtype(np.int64)}
    assert count_distinct(packed) == len(groups) == len(first)


@at_any_pace
@given(packed_rows)
def test_groups_are_those_of_a_dictionary_of_bytes(packed: np.ndarray) -> None:
    check(packed)


@at_any_pace
@given(packed_rows, st.integers(0, 2**64 - 1), st.integers(0, 3))
def test_groups_are_exact_even_if_different_rows_have_equal_hashes(packed: np.ndarray, hash_: int, n_kept: int) -> None:
    crude = packed[:, :n_kept].sum(axis=1, dtype=np.uint64) + np.uint64(hash_)
    groups = _grouped(packed, crude)
    assert (groups.first.tolist(), groups.inverse.tolist(), groups.counts.tolist()) == reference(packed)


def test_groups_are_found_in_columns_of_a_larger_table_and_in_read_only_memory() -> None:
    table = np.random.default_rng(0).integers(0, 2, (200, 30), dtype=np.uint8)
    table.flags.writeable = False
    for view in (table[:, 3:5], table[:, 4:15], table[::-1, :6], table[::7, 1:], table[:, ::5], table[:5].T):
        check(view)


def test_rows_of_equal_hash_are_compared_where_they_lie() -> None:
    table = np.zeros((200, 30), np.uint8)
    table[190:, 29] = 1
    assert _grouped(table[:, 20:], np.zeros(200, np.uint64)).counts.tolist() == [190, 10]


@pytest.mark.parametrize("n_bytes", [3, 40, 513])
def test_threads_leave_no_seam(n_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_BYTES_WORTH_A_THREAD", 1000)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    rng = np.random.default_rng(0)
    check(rng.integers(0, 256, (300, n_bytes), dtype=np.uint8)[rng.integers(0, 300, 1000)])


@pytest.mark.parametrize("n_bytes", [1, 7, 8, 9, 13])
def test_one_or_two_bits_anywhere_make_a_row_and_its_hash_different(n_bytes: int) -> None:
    n_bits = 8 * n_bytes
    a, b = np.triu_indices(n_bits)
    bits = np.zeros((len(a) + 1, n_bits), np.bool_)
    bits[np.arange(len(a)), a] = bits[np.arange(len(a)), b] = True
    for packed in (np.packbits(bits, axis=1), np.packbits(~bits, axis=1)):
        assert count_distinct(packed) == len(distinct(packed)) == len(packed)
        assert len(np.unique(_hashes(packed))) == len(packed)


def test_long_rows_are_hashed_to_their_ends() -> None:
    packed = np.concatenate([np.eye(77, dtype=np.uint8), np.zeros((1, 77), np.uint8)])
    assert len(np.unique(_hashes(packed))) == len(packed)


def test_rows_of_no_bytes_are_all_equal() -> None:
    assert distinct(np.zeros((5, 0), np.uint8)).counts.tolist() == [5]


def test_rows_that_are_not_bytes_are_refused() -> None:
    for wrong in (np.zeros((3, 4), np.int64), np.zeros(3, np.uint8)):
        with pytest.raises(ValueError, match="uint8; got shape"):
            distinct(wrong)
        with pytest.raises(ValueError, match="uint8; got shape"):
            count_distinct(wrong)


def test_groups_print_their_numbers_and_convert_to_lists() -> None:
    groups = distinct(np.array([[1], [1], [2]], np.uint8))
    assert repr(groups) == "Groups(2 distinct among 3 rows, the largest has 2)"
    assert groups.to_dict() == {"first": [0, 2], "inverse": [0, 0, 1], "counts": [2, 1]}
