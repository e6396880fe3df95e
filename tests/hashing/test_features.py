import numpy as np
import pytest

from actscope.codes.bits import pack_bits
from actscope.hashing.bitmatrix import varying_bits
from actscope.hashing.features import features_of

BOTH = pytest.mark.parametrize("max_bytes", [0, 1 << 30], ids=["bits", "gram"])


def codes(n=40, d=2000, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.random((n, d)) < rng.random(d)
    bits[:, :3] = [True, False, True]
    packed = pack_bits(bits)
    columns = varying_bits(packed)
    return packed, columns, bits[:, columns].astype(float)


@BOTH
def test_narrow_features_take_the_place_of_many_bits_where_they_fit(max_bytes):
    packed, columns, _ = codes()
    features = features_of(packed, columns, [0, 15, 40], max_bytes=max_bytes)
    assert features.n_features == (40 if max_bytes else len(columns))
    assert (features.gram is not None) == (max_bytes > 0)
    assert [part.n_rows for part in features.parts] == [15, 25]


@BOTH
def test_features_have_the_inner_products_of_the_bits(max_bytes):
    packed, columns, x = codes()
    (part,) = features_of(packed, columns, [0, 40], max_bytes=max_bytes).parts
    rows = part.sums(np.eye(40, dtype=np.float32), slice(0, 40))
    np.testing.assert_allclose(part.dots(rows, 0, 40), x @ x.T, rtol=1e-4)


@BOTH
def test_functions_of_features_are_the_same_functions_of_bits(max_bytes):
    packed, columns, x = codes()
    features = features_of(packed, columns, [0, 15, 40], max_bytes=max_bytes)
    weights = np.random.default_rng(1).normal(size=(4, features.n_features)).astype(np.float32)
    on_features = np.concatenate([part.dots(weights, 0, part.n_rows) for part in features.parts], axis=1)
    np.testing.assert_allclose(features.in_bits(weights) @ x.T, on_features, atol=2e-3)


def test_equal_codes_have_a_gram_factor_too():
    packed, _, _ = codes(n=8)
    packed = np.concatenate([packed, packed])
    features = features_of(packed, varying_bits(packed), [0, 16], max_bytes=1 << 30)
    assert features.gram is not None
    assert np.isfinite(features.gram.factor).all()
