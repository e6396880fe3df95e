"""Nearest neighbours against a full sort of (distance, row), on the compiled path and as matrix products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actscope.codes import products, tiles
from actscope.codes.neighbours import nearest
from actscope.codes.products import nearest_by_products

at_any_pace = settings(deadline=None)  # the first call of a kernel compiles it

Search = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def with_products(queries: np.ndarray, database: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return nearest_by_products(queries, database, k, device=torch.device("cpu"))


both_paths = pytest.mark.parametrize("search", [nearest, with_products], ids=["compiled", "products"])


def reference(queries: np.ndarray, database: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.unpackbits(queries, axis=1), np.unpackbits(database, axis=1)
    distances = (x[:, None] != y[None]).sum(axis=2)
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, rows, axis=1), rows


def check(search: Search, queries: np.ndarray, database: np.ndarray, k: int) -> None:
    distances, rows = search(queries, database, k)
    assert (distances.dtype, rows.dtype) == (np.int32, np.int64)
    expected_distances, expected_rows = reference(queries, database, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(distances, expected_distances)


@st.composite
def searches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    n_bytes = draw(st.integers(0, 9))
    some_bits = st.sampled_from([0, 1, 3, 128, 255])
    queries = draw(hnp.arrays(np.uint8, (draw(st.integers(0, 4)), n_bytes), elements=some_bits))
    few = draw(hnp.arrays(np.uint8, (draw(st.integers(1, 5)), n_bytes), elements=some_bits))
    picks = draw(st.lists(st.integers(0, len(few) - 1), min_size=1, max_size=150))
    return queries, few[picks], draw(st.integers(1, len(picks)))


@both_paths
@at_any_pace
@given(case=searches())
def test_neighbours_are_the_first_of_all_rows_sorted_by_distance_and_row(
    search: Search, case: tuple[np.ndarray, np.ndarray, int]
) -> None:
    check(search, *case)


@both_paths
@pytest.mark.parametrize("k", [1, 9, 100, 500])
def test_neighbours_among_many_ties_are_the_smaller_rows(search: Search, k: int) -> None:
    rng = np.random.default_rng(0)
    check(search, rng.integers(0, 256, (20, 2), dtype=np.uint8), rng.integers(0, 256, (500, 2), dtype=np.uint8), k)


@both_paths
def test_rows_that_come_nearer_and_nearer_replace_those_before_them(search: Search) -> None:
    ladder = np.tri(8 * 40, dtype=np.bool_)[::-1]
    check(search, np.zeros((3, 40), np.uint8), np.packbits(ladder, axis=1), 7)


@both_paths
def test_blocks_and_threads_leave_no_seam_in_a_search(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    queries, database = (rng.integers(0, 256, (n, 3), dtype=np.uint8) for n in (200, 333))
    monkeypatch.setattr(tiles, "_BYTES_AT_A_TIME", 192)
    monkeypatch.setattr(tiles, "_WORDS_WORTH_A_THREAD", 1000)
    monkeypatch.setattr(products, "_MOST_QUERIES", 37)
    monkeypatch.setattr(products, "_MOST_ROWS", 23)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    check(search, queries, database, 30)


@both_paths
def test_long_rows_are_searched_to_their_ends(search: Search) -> None:
    rng = np.random.default_rng(0)
    database = rng.integers(0, 256, (130, 2001), dtype=np.uint8)
    queries = database[::13].copy()
    queries[:, -1] ^= 1
    check(search, queries, database, 5)


def test_padding_rows_of_the_last_block_are_no_neighbours() -> None:
    distances, rows = nearest(np.zeros((1, 4), np.uint8), np.full((65, 4), 255, np.uint8), 65)
    assert rows.tolist() == [list(range(65))]
    assert distances.tolist() == [[32] * 65]


def test_more_neighbours_than_rows_are_refused() -> None:
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k={k}, but the database has 3 rows"):
            nearest(np.zeros((1, 4), np.uint8), np.zeros((3, 4), np.uint8), k)


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="'queries': 4, 'database': 5"):
        nearest(np.zeros((1, 4), np.uint8), np.zeros((3, 5), np.uint8), 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    rng = np.random.default_rng(0)
    for n_bytes in (1, 13, 64, 600):
        queries, database = (rng.integers(0, 256, (n, n_bytes), dtype=np.uint8) for n in (100, 70_001))
        for ours, theirs in zip(
            nearest(queries, database, 9), nearest(queries, database, 9, device="cuda"), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
