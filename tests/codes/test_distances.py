"""Hamming distances against counting unpacked bits, on the compiled path and as matrix products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actscope.codes import products, tiles
from actscope.codes.bits import pack, pack_bits
from actscope.codes.distances import hamming, hamming_histogram
from actscope.codes.products import histogram_by_products

at_any_pace = settings(deadline=None)  # the first call of a kernel compiles it

Histogram = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def with_products(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    return histogram_by_products(a, b, device=torch.device("cpu"))


both_paths = pytest.mark.parametrize("histogram", [hamming_histogram, with_products], ids=["compiled", "products"])


def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    x, y = np.unpackbits(a, axis=1), np.unpackbits(b, axis=1)
    return (x[:, None] != y[None]).sum(axis=2, dtype=np.int32)


@st.composite
def two_tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n_bytes = draw(st.integers(0, 9))
    rows = [hnp.arrays(np.uint8, (draw(st.integers(0, 5)), n_bytes), elements=st.integers(0, 255)) for _ in range(2)]
    repeats = draw(st.sampled_from([1, 30]))
    return np.repeat(draw(rows[0]), repeats, axis=0), np.repeat(draw(rows[1]), repeats, axis=0)


@at_any_pace
@given(two_tables())
def test_a_distance_is_the_number_of_bits_that_differ(tables: tuple[np.ndarray, np.ndarray]) -> None:
    distances = hamming(*tables)
    assert distances.dtype == np.int32
    np.testing.assert_array_equal(distances, reference(*tables))


@both_paths
@at_any_pace
@given(tables=two_tables())
def test_a_histogram_counts_every_pair_of_two_tables_once(
    histogram: Histogram, tables: tuple[np.ndarray, np.ndarray]
) -> None:
    a, b = tables
    counts = histogram(a, b)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, np.bincount(reference(a, b).ravel(), minlength=8 * a.shape[1] + 1))


@both_paths
@at_any_pace
@given(tables=two_tables())
def test_a_histogram_of_one_table_counts_every_unordered_pair_once(
    histogram: Histogram, tables: tuple[np.ndarray, np.ndarray]
) -> None:
    a = tables[0]
    pairs = reference(a, a)[np.triu_indices(len(a), 1)]
    np.testing.assert_array_equal(histogram(a), np.bincount(pairs, minlength=8 * a.shape[1] + 1))


@both_paths
def test_blocks_and_threads_leave_no_seam_in_a_histogram(histogram: Histogram, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (n, 5), dtype=np.uint8) for n in (333, 200))
    monkeypatch.setattr(tiles, "_BYTES_AT_A_TIME", 640)
    monkeypatch.setattr(tiles, "_WORDS_WORTH_A_THREAD", 1000)
    monkeypatch.setattr(products, "_MOST_QUERIES", 37)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    np.testing.assert_array_equal(histogram(a, b), np.bincount(reference(a, b).ravel(), minlength=41))
    pairs = reference(a, a)[np.triu_indices(len(a), 1)]
    np.testing.assert_array_equal(histogram(a, None), np.bincount(pairs, minlength=41))
    np.testing.assert_array_equal(hamming(a, b), reference(a, b))


@pytest.mark.parametrize("n_bytes", [12, 64, 1000])
def test_long_rows_are_counted_to_their_ends(n_bytes: int) -> None:
    zeros, ones = np.zeros((70, n_bytes), np.uint8), np.full((3, n_bytes), 255, np.uint8)
    assert np.unique(hamming(ones, zeros)).tolist() == [8 * n_bytes]
    assert hamming_histogram(ones, zeros)[-1] == 210


def test_memory_that_is_not_contiguous_or_not_aligned_measures_as_its_copy_does() -> None:
    table = np.random.default_rng(0).integers(0, 256, (150, 41), dtype=np.uint8)
    table.flags.writeable = False
    for view in (
        table[:, 1:9],
        table[::-1],
        table[::7, 1:],
        table[:, ::3],
        np.frombuffer(table, np.uint8)[1:801].reshape(100, 8),
    ):
        np.testing.assert_array_equal(hamming(view, view), reference(view, view))
        np.testing.assert_array_equal(with_products(view, view), hamming_histogram(view, view))


@at_any_pace
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(2, 6), st.integers(1, 20)), elements=st.floats(-2, 2, width=32)),
    st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.5]), min_size=1, unique=True).map(sorted),
)
def test_a_distance_between_thermometer_codes_counts_the_breakpoints_between_them(
    z: np.ndarray, breakpoints: list[float]
) -> None:
    intervals = (z[:, :, None] > np.array(breakpoints, np.float32)).sum(axis=2)
    between = np.abs(intervals[:, None] - intervals[None]).sum(axis=2)
    packed = pack(torch.from_numpy(z), breakpoints)
    np.testing.assert_array_equal(hamming(packed, packed), between)


@at_any_pace
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 40))))
def test_padding_bits_never_count(bits: np.ndarray) -> None:
    packed = pack_bits(bits)
    np.testing.assert_array_equal(hamming(packed, pack_bits(~bits)).diagonal(), np.full(len(bits), bits.shape[1]))


def test_tables_that_do_not_fit_are_refused() -> None:
    a = np.zeros((3, 4), np.uint8)
    with pytest.raises(ValueError, match="'a': 4, 'b': 5"):
        hamming(a, np.zeros((3, 5), np.uint8))
    with pytest.raises(ValueError, match=r"b must be .*int64"):
        hamming_histogram(a, np.zeros((3, 4), np.int64))
