"""What codes need before their labels can be predicted from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actscope.codes import Codes

__all__ = ["labels_of", "require_same_sites"]


def labels_of(codes: Codes, argument: str) -> NDArray[np.int64]:
    """The labels of `codes`, (n_examples,) int64.

    Raises:
        ValueError: if there are none, or no examples; it calls the codes `argument`.
    """
    if len(codes) == 0:
        raise ValueError(f"{argument} has no examples: {codes!r}")
    if codes.labels is None:
        raise ValueError(
            f"{argument} has no labels, and accuracy compares with labels: {codes!r}. Encode data that yields (input, label), or "
            f"use {argument}.with_labels(labels)"
        )
    return codes.labels


def require_same_sites(train: Codes, test: Codes) -> None:
    """Raise a `ValueError` unless the bits of both mean the same."""
    if train.sites != test.sites:
        raise ValueError(
            "train and test come from different sites, so their bits do not mean the same: train has "
            f"{[str(site) for site in train.sites]}, test has {[str(site) for site in test.sites]}; encode both with the same model, "
            "layers= and breakpoints="
        )
