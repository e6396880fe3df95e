"""The picture of bits: what is drawn, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from actscope.codes import Codes
from actscope.report.bit_matrix import sample_bit_matrix


def test_nothing_is_lost_where_all_fits(make_codes: Callable[..., Codes]) -> None:
    codes = make_codes(50)
    matrix = sample_bit_matrix(codes)
    planes = np.repeat([site.n_planes for site in codes.sites], [site.n_neurons for site in codes.sites])
    given = (codes.intervals() / planes).astype(np.float32)
    assert sorted(map(tuple, np.sort(matrix.levels, axis=1))) == sorted(map(tuple, np.sort(given, axis=1)))
    assert sorted(map(tuple, np.sort(matrix.levels.T, axis=1))) == sorted(map(tuple, np.sort(given.T, axis=1)))
    assert matrix.sites == tuple((site.name, site.n_neurons) for site in codes.sites)


def test_rows_are_sorted_by_class_and_within_one_the_most_typical_comes_first(make_codes: Callable[..., Codes]) -> None:
    matrix = sample_bit_matrix(make_codes(90))
    assert (np.diff(matrix.labels) >= 0).all()
    for label in np.unique(matrix.labels):
        mine = matrix.levels[matrix.labels == label]
        distance = np.abs(mine - mine.mean(axis=0)).sum(axis=1)
        assert (np.diff(distance) > -1e-4).all()


def test_columns_that_are_the_same_in_every_row_come_last_in_their_site() -> None:
    bits = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0]])
    for labels in (None, [0, 1, 0]):
        matrix = sample_bit_matrix(Codes.from_bits(bits, labels=labels))
        assert (np.ptp(matrix.levels, axis=0) == 0).tolist() == [False, False, True, True]


def test_classes_have_equal_shares_of_the_rows_as_far_as_they_go() -> None:
    labels = np.array([0] * 500 + [1] * 300 + [2] * 4)
    codes = Codes.from_bits(np.random.default_rng(0).random((804, 8)) < 0.5, labels=labels)
    matrix = sample_bit_matrix(codes, max_rows=64)
    assert np.bincount(matrix.labels).tolist() == [30, 30, 4]
    assert matrix.n_examples == 804


def test_every_site_has_its_share_of_the_columns(make_codes: Callable[..., Codes]) -> None:
    codes = make_codes(30)
    matrix = sample_bit_matrix(codes, max_columns=16)
    shares = dict(matrix.sites)
    assert matrix.levels.shape[1] == sum(shares.values()) <= 16
    assert shares == {"block.relu": 6, "block.relu6": 3, "head.gelu": 4, "head.tanh": 2}


def test_more_sites_than_columns_still_fit(make_codes: Callable[..., Codes]) -> None:
    matrix = sample_bit_matrix(make_codes(10), max_columns=2)
    assert matrix.levels.shape[1] == 2


def test_no_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="0 examples"):
        sample_bit_matrix(Codes.from_bits(np.zeros((0, 3))))
