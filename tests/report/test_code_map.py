"""The map of codes: who is on it, and that it can be repeated."""

from __future__ import annotations

import numpy as np
import pytest

from actscope.codes import Codes
from actscope.codes.distances import hamming
from actscope.report.code_map import _principal_plane, map_codes


def clusters(n: int = 60, n_bits: int = 24) -> Codes:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    centres = rng.random((3, n_bits)) < 0.5
    return Codes.from_bits(centres[labels] ^ (rng.random((n, n_bits)) < 0.08), labels=labels)


def test_the_same_seed_gives_the_same_map() -> None:
    first, second = (map_codes(clusters(), max_iter=250, seed=3) for _ in range(2))
    assert np.array_equal(first.positions, second.positions)


def test_neighbours_on_the_map_are_mostly_of_one_class_where_codes_are() -> None:
    found = map_codes(clusters())
    distances = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.mean(found.labels[distances.argmin(axis=1)] == found.labels) > 0.9


def test_every_distinct_code_is_one_point_with_its_examples_counted_and_its_most_frequent_label() -> None:
    bits = np.repeat(np.eye(6, dtype=bool), [1, 2, 3, 4, 5, 6], axis=0)
    labels = np.array([9, 1, 2, 5, 4, 5, 7, 7, 7, 7, 0, 0, 0, 1, 1, 2, 2, 2, 1, 1, 1])
    found = map_codes(Codes.from_bits(bits, labels=labels), max_iter=250)
    assert found.counts.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.labels.tolist() == [9, 1, 5, 7, 0, 1]
    assert found.positions.shape == (6, 2)
    assert np.isfinite(found.positions).all()


def test_a_subset_is_drawn_and_said() -> None:
    found = map_codes(clusters(90), max_examples=40, max_iter=250)
    assert (found.n_examples, found.n_available, int(found.counts.sum())) == (40, 90, 40)


def test_the_seed_decides_which_examples_are_drawn() -> None:
    codes = clusters(90, n_bits=60)
    drawn = [
        sorted(map(tuple, map_codes(codes, max_examples=40, max_iter=250, seed=seed).positions)) for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_long_codes_are_compared_on_some_of_their_bytes_and_that_is_said() -> None:
    codes = Codes.from_bits(np.random.default_rng(0).random((12, 40_000)) < 0.5)
    found = map_codes(codes, max_iter=250)
    assert (found.n_bytes, found.n_bytes_available) == (4096, 5000)


@pytest.mark.parametrize("n_codes", [1, 4])
def test_too_few_distinct_codes_are_refused_with_their_number(n_codes: int) -> None:
    codes = Codes.from_bits(np.eye(n_codes, dtype=bool)[np.arange(40) % n_codes])
    with pytest.raises(ValueError, match=f"there are {n_codes} \\(examples looked at: 40\\)"):
        map_codes(codes)


def test_it_starts_from_the_first_two_principal_components() -> None:
    bits = np.random.default_rng(1).random((30, 12)) < np.linspace(0.1, 0.9, 12)
    packed = np.packbits(bits, axis=1, bitorder="little")
    plane = _principal_plane(hamming(packed, packed).astype(float))
    centred = bits - bits.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    for axis in range(2):
        assert abs(np.corrcoef(plane[:, axis], u[:, axis] * s[axis])[0, 1]) == pytest.approx(1.0, abs=1e-4)
