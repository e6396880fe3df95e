"""Logistic regression and K-Means on codes against scikit-learn on the same bits."""

from __future__ import annotations

import warnings
from functools import partial

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
    """Time both sides once each; both end at the same accuracy, which the note tells."""
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LogisticRegression

    rows = []
    for n_bits, flipped in ((100, 0.3), (1000, 0.42)):
        codes = noisy_prototypes(n_bits, flipped)
        bits, labels = codes.bits().astype(np.float32), codes.labels
        model = LogisticRegression(max_iter=300)
        hashing.fit_logistic(codes[:2000], scheme="multinomial")  # compiles what is compiled once
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            naive = median_seconds(partial(model.fit, bits, labels), 1, 0)
        ours = median_seconds(partial(hashing.fit_logistic, codes, scheme="multinomial"), 1, 0)
        theirs = float(model.score(bits, labels))
        same = float(hashing.logistic_accuracy(codes, scheme="multinomial"))
        rows.append(
            Row(
                what=f"logistic regression, multinomial, 60,000 × {n_bits} bits",
                naive="scikit-learn LogisticRegression on float32",
                naive_seconds=naive,
                ours_seconds=ours,
                goal=4,
                note=f"training accuracy {same:.4f}, theirs {theirs:.4f}",
            )
        )
    codes = noisy_prototypes(1000, 0.42)
    dense = codes.bits().astype(np.uint8)
    clusters = KMeans(N_CLASSES, n_init=1, random_state=0)
    naive = median_seconds(lambda: clusters.fit(dense), 1, 0)
    ours = median_seconds(lambda: hashing.kmeans_accuracy(codes), 1, 1)
    rows.append(
        Row(
            what="K-Means, 60,000 × 1,000 bits, ten clusters",
            naive="scikit-learn KMeans on uint8",
            naive_seconds=naive,
            ours_seconds=ours,
            goal=None,
            note="one start each, from different centres",
        )
    )
    return rows
