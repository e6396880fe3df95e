"""Categorization by the nearest codes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from actscope.codes import Codes
from actscope.codes.groups import distinct
from actscope.codes.neighbours import nearest
from actscope.hashing.accuracy import Accuracy
from actscope.hashing.bitmatrix import varying_bits
from actscope.hashing.budget import sampled
from actscope.hashing.labelled import labels_of, require_same_sites
from actscope.progress import progress_bar

__all__ = ["knn_accuracy", "knn_labels"]

_STEPS_OF_PROGRESS = 50


def knn_accuracy(
    train: Codes,
    test: Codes | None = None,
    *,
    k: int = 9,
    max_train: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> Accuracy:
    """The accuracy of the majority label among the k nearest training codes in Hamming distance (He et al. 2021, Section 4; k = 9).

    Exact, on packed bits; memory does not grow with the number of bits. `knn_labels` gives the predicted labels.

    Args:
        train: labelled codes to search in.
        test: labelled codes to classify; `None` classifies the training codes themselves, each being its own neighbour as well.
        k: neighbours that vote.
        max_train: searches in a random subset of so many training examples; all by default.
        seed: chooses that subset.
        device: an accelerator to search on; the CPU by default.
        progress: shows a progress bar on stderr.

    Raises:
        ValueError: if codes have no labels or no examples, train and test come from different sites, or k is not between 1 and the
            number of training examples.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]], labels=[4, 4, 7, 7])
        >>> knn_accuracy(codes, k=1)
        1.0000 (1-NN, Hamming distance; fitted on 4 examples, measured on 4; 3 bits)
    """
    queries = train if test is None else test
    labels_of(train, "train")
    truth = labels_of(queries, "test")
    searched, note = sampled(train, max_train, seed=seed)
    predicted = knn_labels(searched, queries, k=k, device=device, progress=progress)
    return Accuracy(
        float(np.mean(predicted == truth)),
        method=f"{k}-NN, Hamming distance",
        n_train=len(searched),
        n_test=len(queries),
        n_bits=train.n_bits,
        n_bits_used=len(varying_bits(searched.packed)),
        note=note,
    )


def knn_labels(
    train: Codes,
    codes: Codes,
    *,
    k: int = 9,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> NDArray[np.int64]:
    """The majority label among the k nearest training codes, for each of `codes`.

    Of training examples equally far, those with smaller ids are nearer, so the answer depends neither on their order nor on the
    device. Of labels with equally many votes, the smallest wins.

    Args:
        train: labelled codes to search in.
        codes: codes to classify.
        k, device, progress: as for `knn_accuracy`.

    Returns:
        (n_examples,) int64.

    Raises:
        ValueError: as for `knn_accuracy`.
    """
    labels = labels_of(train, "train")
    require_same_sites(train, codes)
    if not 1 <= k <= len(train):
        raise ValueError(
            f"k={k} neighbours cannot vote: there are {len(train)} training examples; choose k from 1 to {len(train)}"
        )
    database = train.packed
    if not np.all(train.ids[1:] > train.ids[:-1]):
        by_id = np.argsort(train.ids, kind="stable")
        database, labels = database[by_id], labels[by_id]
    different = distinct(codes.packed)  # equal codes have the same neighbours
    queries = codes.packed[different.first]
    if database.shape[1] == 0:
        return np.full(len(codes), _majority(labels[None, :k])[0])
    votes = np.empty((len(queries), k), np.int64)
    step = max(1, -(-len(queries) // _STEPS_OF_PROGRESS)) if progress else max(1, len(queries))
    with progress_bar(f"{k}-NN", total=len(queries), show=progress, unit="codes") as advance:
        for start in range(0, len(queries), step):
            _, rows = nearest(queries[start : start + step], database, k, device=device)
            votes[start : start + step] = labels[rows]
            advance(len(rows))
    return np.take(_majority(votes), different.inverse)


def _majority(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most frequent value of each row of (n, k), the smallest of several: (n,)."""
    votes = np.sort(votes, axis=1)
    times = np.zeros(votes.shape, np.int32)
    for column in votes.T:
        times += votes == column[:, None]
    return np.take_along_axis(votes, times.argmax(axis=1)[:, None], axis=1)[:, 0]
