"""Which classes meet in one region, against a look at every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actscope.codes import Codes
from actscope.codes.groups import distinct
from actscope.report.class_collisions import collisions_by_class


@settings(deadline=None)
@given(n=st.integers(1, 30), n_bits=st.integers(1, 4), n_classes=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_collisions_are_those_of_all_pairs(n: int, n_bits: int, n_classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits, labels = rng.random((n, n_bits)) < 0.5, rng.integers(-1, n_classes, n)
    codes = Codes.from_bits(bits, labels=labels)
    found = collisions_by_class(codes, distinct(codes.packed))
    same = (bits[:, None] == bits[None]).all(axis=2) & ~np.eye(n, dtype=bool)
    assert found.classes.tolist() == sorted(set(labels.tolist()))
    assert found.mixed_ratio == pytest.approx(np.mean((same & (labels[:, None] != labels)).any(axis=1)))
    for label, share in zip(found.classes, found.shared_ratio, strict=True):
        assert share == pytest.approx(same.any(axis=1)[labels == label].mean())


def test_codes_without_labels_are_refused() -> None:
    codes = Codes.from_bits([[0], [1]])
    with pytest.raises(ValueError, match="no labels"):
        collisions_by_class(codes, distinct(codes.packed))
