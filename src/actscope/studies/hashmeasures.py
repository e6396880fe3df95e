"""How good a hash one network is: what every study of He et al. measures, as rows."""

from __future__ import annotations

import numpy as np
from torch import nn

from actscope import hashing
from actscope.codes import Codes
from actscope.studies.results import Row
from actscope.training import LabelledData, evaluate

__all__ = ["code_rows", "network_rows"]

N_STARTS = 10
"""Starts of K-Means, of which the tightest counts: scikit-learn's number when the paper was written."""


def network_rows(model: nn.Module, train: LabelledData, test: LabelledData, *, device: str | None = None) -> list[Row]:
    """The network's own loss and accuracy on both splits, against the labels that it was trained on."""
    rows: list[Row] = []
    for split, data in (("train", train), ("test", test)):
        found = evaluate(model, data, device=device, batch_size=8192)
        rows += [
            {"metric": "accuracy", "split": split, "value": found.accuracy},
            {"metric": "loss", "split": split, "value": found.loss},
        ]
    return rows


def code_rows(
    train: Codes,
    test: Codes,
    *,
    n_classes: int,
    seed: int = 0,
    device: str | None = None,
    neighbours_of_train: bool = True,
    max_bytes: int = 1 << 30,
) -> list[Row]:
    """Redundancy and collisions on both splits, and the accuracies of K-Means, K-NN and logistic regression.

    K-Means is fitted on each split by itself; K-NN (k = 9) and logistic regression (one-vs-one) are fitted on the training codes.
    Training codes are classified with each being its own neighbour.

    Args:
        train: codes of training examples, labelled.
        test: codes of test examples, labelled.
        n_classes: K of K-Means.
        seed: of the first centres of K-Means.
        device: where neighbours are searched, and products with bits are taken.
        neighbours_of_train: whether K-NN classifies the training codes too, the longest of all for wide codes.
        max_bytes: what K-Means and logistic regression may take each, as for `hashing.kmeans_accuracy`.
    """
    rows: list[Row] = []
    for split, codes in (("train", train), ("test", test)):
        found = hashing.determinism(codes)
        for metric, value in {
            "redundancy": found.redundancy_ratio,
            "shared": found.shared_ratio,
            "regions": found.n_regions,
            "examples": found.n_examples,
            "colliding_pairs": found.n_colliding_pairs,
            "collision_probability": found.collision_probability,
        }.items():
            rows.append({"metric": metric, "split": split, "value": float(value)})
        n_starts = N_STARTS if split == "test" else 1
        kmeans = hashing.kmeans_accuracy(
            codes, n_clusters=min(n_classes, len(codes)), n_init=n_starts, seed=seed, max_bytes=max_bytes, device=device
        )
        rows.append({"metric": "kmeans", "split": split, "value": float(kmeans)})
    if train.labels is None or test.labels is None:
        raise ValueError("codes must have labels to be categorized against")
    fit = (
        None if len(set(train.labels.tolist())) < 2 else hashing.fit_logistic(train, max_bytes=max_bytes, device=device)
    )
    for split, codes in (("train", train), ("test", test)):
        # regression on examples of one class can only name that class
        logistic = fit.accuracy(codes) if fit is not None else float(np.mean(codes.labels == train.labels[0]))
        if split == "test" or neighbours_of_train:
            knn = hashing.knn_accuracy(train, codes, k=min(9, len(train)), device=device)
            rows.append({"metric": "knn", "split": split, "value": float(knn)})
        rows.append({"metric": "logistic", "split": split, "value": float(logistic)})
    return rows
