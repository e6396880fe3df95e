"""Logistic regression and K-Means on codes against scikit-learn on the same bits."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np

from actscope import Codes, hashing
from benchmarks.measure import Row, median_seconds

N_EXAMPLES, N_CLASSES = 60_000, 10


def noisy_prototypes(n_bits: int, flipped: float) -> Codes:
    """Codes of ten classes: a random prototype each, of which every example has a share of the bits flipped."""
    rng = np.random.default_rng(0)
    labels = rng.integers(N_CLASSES, size=N_EXAMPLES)
    prototypes = rng.random((N_CLASSES, n_bits)) < 0.5
    return Codes.from_bits(prototypes[labels] ^ (rng.random((N_EXAMPLES, n_bits)) < flipped), labels=labels)


def run() -> list[Row]:
    """Time both sides; both end at the same accuracy, which the note tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says where it has not converged
        return [*logistic_rows(), *kmeans_rows()]


def logistic_rows() -> list[Row]:
    """Both schemes, each against scikit-learn with its default settings."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsOneClassifier

    schemes: dict[hashing.Scheme, Any] = {
        "multinomial": LogisticRegression(),
        "ovo": OneVsOneClassifier(LogisticRegression()),
    }
    rows = []
    for n_bits, flipped in ((100, 0.3), (1000, 0.42)):
        codes = noisy_prototypes(n_bits, flipped)
        bits, labels = codes.bits().astype(np.float32), codes.labels
        for scheme, model in schemes.items():
            naive = median_seconds(partial(model.fit, bits, labels), 1, 0)
            ours = median_seconds(partial(hashing.fit_logistic, codes, scheme=scheme), 3, 1)
            theirs = float(model.score(bits, labels))
            same = float(hashing.logistic_accuracy(codes, scheme=scheme))
            rows.append(
                Row(
                    what=f"logistic regression, {scheme}, {N_EXAMPLES:,} × {n_bits:,} bits",
                    naive="scikit-learn on float32",
                    naive_seconds=naive,
                    ours_seconds=ours,
                    goal=4,
                    note=f"training accuracy {same:.4f}, theirs {theirs:.4f}",
                )
            )
    return rows


def kmeans_rows() -> list[Row]:
    """One start each."""
    from sklearn.cluster import KMeans

    codes = noisy_prototypes(1000, 0.42)
    ours = median_seconds(lambda: hashing.kmeans_accuracy(codes), 3, 1)
    model = KMeans(N_CLASSES, n_init=1, random_state=0)
    return [
        Row(
            what=f"K-Means, {N_EXAMPLES:,} × 1,000 bits, ten clusters",
            naive=f"scikit-learn on {np.dtype(dtype).name}",
            naive_seconds=median_seconds(partial(model.fit, codes.bits().astype(dtype)), 1, 0),
            ours_seconds=ours,
            goal=None,
            note="from different first centres, so not after as many iterations",
        )
        for dtype in (np.uint8, np.float32)
    ]
