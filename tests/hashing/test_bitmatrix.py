import numpy as np
import pytest

from actscope.codes.bits import pack_bits
from actscope.hashing.bitmatrix import BitMatrix, most_rows, varying_bits

SHAPES = [(1, 1), (3, 0), (5, 64), (512, 8), (513, 7), (1030, 600), (40, 1500)]


def matrix_of(n, d, *, all_bits=False, seed=0):
    """Some columns of random bits, and the same as a dense matrix."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (n, d if all_bits else d + 5)).astype(bool)
    columns = np.arange(d) if all_bits else np.sort(rng.choice(d + 5, d, replace=False))
    return BitMatrix.of(pack_bits(bits), columns), bits[:, columns].astype(np.float64), rng


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("k", [1, 5, 9])
def test_dots_are_products_with_vectors(n, d, k):
    matrix, dense, rng = matrix_of(n, d)
    weights = rng.normal(size=(k, d)).astype(np.float32)
    np.testing.assert_allclose(matrix.dots(weights, 0, n), weights @ dense.T, atol=1e-4)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("k", [1, 5, 9])
def test_sums_are_products_with_coefficients(n, d, k):
    matrix, dense, rng = matrix_of(n, d)
    coefficients = rng.normal(size=(k, n)).astype(np.float32)
    np.testing.assert_allclose(matrix.sums(coefficients, slice(None)), coefficients @ dense, atol=1e-4)


def test_ranges_and_positions_choose_rows():
    matrix, dense, rng = matrix_of(1200, 700)
    weights = rng.normal(size=(3, 700)).astype(np.float32)
    np.testing.assert_allclose(matrix.dots(weights, 512, 1100), weights @ dense[512:1100].T, atol=1e-4)
    coefficients = rng.normal(size=(3, 50)).astype(np.float32)
    positions = rng.permutation(1200)[:50]
    np.testing.assert_allclose(matrix.sums(coefficients, positions), coefficients @ dense[positions], atol=1e-4)
    np.testing.assert_allclose(matrix.sums(coefficients, slice(7, 57)), coefficients @ dense[7:57], atol=1e-4)
    np.testing.assert_array_equal(matrix.rows(positions), dense[positions])


def test_whole_numbers_are_summed_exactly():
    matrix, dense, rng = matrix_of(1030, 600)
    coefficients = rng.integers(-1000, 1000, (4, 1030)).astype(np.float32)
    np.testing.assert_array_equal(matrix.sums(coefficients, slice(None)), coefficients @ dense)
    np.testing.assert_array_equal(matrix.squared_norms(), dense.sum(axis=1))


def test_bits_without_padding_are_used_as_they_are():
    matrix, dense, _ = matrix_of(20, 64, all_bits=True)
    np.testing.assert_array_equal(matrix.rows(np.arange(20)), dense)
    np.testing.assert_array_equal(matrix.squared_norms(), dense.sum(axis=1))


def test_long_sums_round_like_short_ones():
    matrix = BitMatrix.of(np.full((1_000_000, 1), 1, np.uint8), np.array([0]))
    coefficients = np.full((1, 1_000_000), 0.1, np.float32)
    exact = coefficients.sum(dtype=np.float64)
    one_by_one = np.cumsum(coefficients[0])[-1]
    assert one_by_one != pytest.approx(exact, rel=1e-3)
    assert matrix.sums(coefficients, slice(None))[0, 0] == pytest.approx(exact, rel=1e-4)


def test_varying_bits_are_those_that_are_not_constant():
    bits = np.random.default_rng(0).random((6, 40)) < 0.3
    expected = np.flatnonzero(bits.any(axis=0) & ~bits.all(axis=0))
    assert 0 < len(expected) < 40
    np.testing.assert_array_equal(varying_bits(pack_bits(bits)), expected)


@pytest.mark.parametrize(("n_bits", "max_bytes"), [(100, 1 << 20), (5000, 1 << 20), (100_000, 1 << 24)])
def test_as_many_rows_as_are_affordable_take_what_was_allowed(n_bits, max_bytes):
    n = most_rows(n_bits, max_bytes)
    matrix = BitMatrix.of(np.zeros((n, -(-n_bits // 8)), np.uint8), np.arange(n_bits))
    one_line_more = 64 * n_bits
    assert 0.5 * max_bytes < matrix.by_row.nbytes + matrix.by_column.nbytes <= max_bytes + one_line_more
