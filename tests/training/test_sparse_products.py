"""Compiled products of sparse examples: what numpy's dense ones give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actscope.training.stacking.sparseproducts import VECTOR_BYTES, add_up, compress


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=40)
@given(n_vectors=st.integers(1, 15), n_rows=st.integers(1, 6), n_columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_strips_of_every_width_add_up_to_the_dense_product(
    dtype: type[np.floating], n_vectors: int, n_rows: int, n_columns: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    x = (draw.standard_normal((n_rows, n_columns)) * (draw.random((n_rows, n_columns)) < 0.4)).astype(dtype)
    table = draw.standard_normal((n_columns, n_vectors * VECTOR_BYTES // x.itemsize)).astype(dtype)
    starts = np.concatenate([[0], np.cumsum((x != 0).sum(1))])
    columns, values = np.empty(starts[-1] + 1, np.int32), np.empty(starts[-1] + 1, dtype)
    compress(x, np.arange(n_columns, dtype=np.int32), starts, columns, values)
    np.testing.assert_array_equal(columns[:-1], np.nonzero(x)[1])
    np.testing.assert_array_equal(values[:-1], x[x != 0])
    out = np.full((n_rows + 1, table.shape[1]), np.nan, dtype)
    add_up(starts, columns[:-1], values[:-1], table, out[:-1])
    np.testing.assert_allclose(out[:-1], x @ table, rtol=1e-5, atol=1e-5)
    assert np.isnan(out[-1]).all()
