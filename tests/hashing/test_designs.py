import numpy as np
import pytest

from actscope.codes.bits import pack_bits
from actscope.hashing.blocks import row_blocks
from actscope.hashing.designs import designs, most_rows, varying_bits


def codes(n=40, d=400, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.random((n, d)) < rng.random(d)
    bits[:, :3] = [True, False, True]
    return bits, pack_bits(bits)


def test_varying_bits_are_those_that_are_not_constant():
    bits, packed = codes(n=6)
    np.testing.assert_array_equal(varying_bits(packed), np.flatnonzero(bits.any(axis=0) & ~bits.all(axis=0)))


@pytest.mark.parametrize("max_bytes", [0, 1 << 30])
def test_both_forms_have_the_inner_products_of_the_bits(max_bytes):
    bits, packed = codes()
    columns = varying_bits(packed)
    features = designs(packed, columns, [0, 40], max_bytes=max_bytes)
    assert features.n_features == (len(columns) if max_bytes == 0 else 40)
    (part,) = features.parts
    x = bits[:, columns].astype(float)
    own = part.rows(np.arange(40))
    np.testing.assert_allclose(own @ own.T, x @ x.T, rtol=1e-4)
    np.testing.assert_allclose(part.squared_norms(), (x**2).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("max_bytes", [0, 1 << 30])
def test_functions_of_features_are_the_same_functions_of_bits(max_bytes):
    bits, packed = codes()
    columns = varying_bits(packed)
    features = designs(packed, columns, [0, 15, 40], max_bytes=max_bytes)
    weights = np.random.default_rng(1).normal(size=(4, features.n_features)).astype(np.float32)
    on_features = np.concatenate([part.dots(weights, 0, part.n_rows) for part in features.parts], axis=1)
    np.testing.assert_allclose(features.in_bits(weights) @ bits[:, columns].T, on_features, atol=2e-3)


def test_parts_have_the_sums_of_their_rows():
    _, packed = codes()
    columns = varying_bits(packed)
    coefficients = np.random.default_rng(1).normal(size=(2, 25)).astype(np.float32)
    for max_bytes in (0, 1 << 30):
        part = designs(packed, columns, [0, 15, 40], max_bytes=max_bytes).parts[1]
        np.testing.assert_allclose(
            part.sums(coefficients, slice(0, 25)), coefficients @ part.rows(np.arange(25)), atol=1e-3
        )


def test_equal_and_dependent_codes_have_a_gram_factor_too():
    _, packed = codes(n=8)
    packed = np.concatenate([packed, packed])
    features = designs(packed, varying_bits(packed), [0, 16], max_bytes=1 << 30)
    assert features.gram is not None
    assert np.isfinite(features.parts[0].rows(np.arange(16))).all()


def test_the_largest_affordable_number_of_rows_is_affordable():
    for n_bits, max_bytes in ((100, 1 << 20), (5000, 1 << 20), (10**6, 1 << 24)):
        n = most_rows(n_bits, max_bytes)
        as_bits = n * 64 * -(-n_bits // 512) + -(-n // 512) * 512 * n_bits / 8
        one_line_of_columns = 64 * n_bits
        assert min(as_bits, 12 * n * n) <= max_bytes + one_line_of_columns


def test_row_blocks_cover_the_rows_from_multiples_of_512():
    blocks = row_blocks(5000, 300)
    assert [i for start, stop in blocks for i in range(start, stop)] == list(range(5000))
    assert all(start % 512 == 0 for start, _ in blocks)
