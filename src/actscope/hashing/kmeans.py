"""Categorization by clusters of codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from actscope.codes import Codes
from actscope.codes.groups import Groups, distinct
from actscope.hashing.accuracy import Accuracy
from actscope.hashing.bitmatrix import BitMatrix, varying_bits
from actscope.hashing.blocks import row_blocks, spread_blocks
from actscope.hashing.budget import within_budget
from actscope.hashing.features import BITS_PER_GRAM_ROW, Features, features_of
from actscope.hashing.labelled import labels_of
from actscope.hashing.lloyd import TOLERANCE, Clustering, cluster

__all__ = ["KMeansFit", "Matching", "fit_kmeans", "fit_kmeans_each", "kmeans_accuracy"]

Matching: TypeAlias = Literal["purity", "hungarian"]
"""How clusters get labels: each its most frequent one, or each label at most one cluster, in the best way."""

_STARTS_AT_MOST = 4
"""Of those that count in favour of a Gram matrix; its factor takes as long as many passes over few bits."""


def kmeans_accuracy(
    codes: Codes,
    *,
    matching: Matching = "purity",
    n_clusters: int | None = None,
    n_init: int = 1,
    max_train: int | None = None,
    max_bytes: int = 1 << 30,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Accuracy:
    """The accuracy of calling every cluster of codes after one class (He et al. 2021, Appendix A).

    K-Means sees the codes alone. Then each cluster gets a label, and the share of examples with the label of their cluster is the accuracy.
    It is fitted on the codes it is measured on: for train and test, call it for each, as the paper does. For both matchings of one
    clustering, `fit_kmeans` once and ask the fit.

    The fit works on distinct codes weighted by how often they occur, which is the same objective, and leaves out bits that are constant.

    Args:
        codes: labelled codes.
        matching: `"purity"` gives each cluster its most frequent label (of several the smallest), so that a label may be given twice and
            another never, as in the paper; `"hungarian"` gives each label to at most one cluster, in the best way.
        n_clusters: K; by default the number of different labels.
        n_init: runs from different first centres, of which the one with the smallest inertia counts. One run's accuracy depends on
            its centres (by about 0.02 on MNIST); ten, as scikit-learn took when the paper was written, hardly do.
        max_train: fits on a random subset of so many examples, and assigns all to the nearest centre. By default all are used
            if they fit `max_bytes`, else as many as do. A number asks for that many, however long it takes.
        max_bytes: limit for the matrix of bits that K-Means works on.
        seed: chooses the first centres, and the subset.
        device: an accelerator for the products with bits; the CPU by default.

    Raises:
        ValueError: if there are no labels or no examples, or an argument is out of range.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1]], labels=[4, 4, 7, 7])
        >>> kmeans_accuracy(codes)
        1.0000 (2-Means, purity; fitted on 4 examples, measured on 4; 3 of 4 bits vary)
    """
    _require_matching(matching)
    fit = fit_kmeans(
        codes, n_clusters=n_clusters, n_init=n_init, max_train=max_train, max_bytes=max_bytes, seed=seed, device=device
    )
    return fit.accuracy(matching)


@dataclass(frozen=True, eq=False, repr=False)
class KMeansFit:
    """Clusters of labelled codes, found from the codes alone.

    Attributes:
        assigned: (n_examples,) int64, the cluster of each example.
        table: (n_clusters, n_classes) int64, how many examples of each class lie in each cluster.
        k: the number of clusters asked for.
        n_train: examples fitted on.
        n_bits, n_bits_used: bits of a code, and how many of them vary.
        note: what sets the fit apart, such as a subset or missing convergence; else `None`.
    """

    assigned: NDArray[np.int64]
    table: NDArray[np.int64]
    k: int
    n_train: int
    n_bits: int
    n_bits_used: int
    note: str | None

    def accuracy(self, matching: Matching = "purity") -> Accuracy:
        """The share of examples with the label that `matching` gives to their cluster; see `kmeans_accuracy`."""
        _require_matching(matching)
        if matching == "purity":
            hits = self.table.max(axis=1).sum()
        else:
            from scipy.optimize import linear_sum_assignment

            hits = self.table[linear_sum_assignment(self.table, maximize=True)].sum()
        return Accuracy(
            float(hits / len(self.assigned)),
            method=f"{self.k}-Means, {matching}",
            n_train=self.n_train,
            n_test=len(self.assigned),
            n_bits=self.n_bits,
            n_bits_used=self.n_bits_used,
            note=self.note,
        )

    def __repr__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return f"KMeansFit({len(self.table)} clusters of {len(self.assigned):,} codes, {self.n_bits_used:,} bits vary{note})"


def fit_kmeans(
    codes: Codes,
    *,
    n_clusters: int | None = None,
    n_init: int = 1,
    max_train: int | None = None,
    max_bytes: int = 1 << 30,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> KMeansFit:
    """K-Means clusters of labelled codes, to ask for their accuracy under several matchings.

    Args:
        codes, n_clusters, n_init, max_train, max_bytes, seed, device: as for `kmeans_accuracy`.

    Raises:
        ValueError: if there are no labels or no examples, or an argument is out of range.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1]], labels=[4, 4, 7, 7])
        >>> fit_kmeans(codes)
        KMeansFit(2 clusters of 4 codes, 3 bits vary)
    """
    (fit,) = fit_kmeans_each(
        codes, (seed,), n_clusters=n_clusters, n_init=n_init, max_train=max_train, max_bytes=max_bytes, device=device
    )
    return fit


def fit_kmeans_each(
    codes: Codes,
    seeds: Iterable[int],
    *,
    n_clusters: int | None = None,
    n_init: int = 1,
    max_train: int | None = None,
    max_bytes: int = 1 << 30,
    device: torch.device | str | None = None,
) -> list[KMeansFit]:
    """K-Means clusters of labelled codes once for each seed, for their spread: the fits of `fit_kmeans`, with codes prepared only once.

    Args:
        codes, n_clusters, n_init, max_train, max_bytes, device: as for `kmeans_accuracy`.
        seeds: of the fits.

    Raises:
        ValueError: if there are no labels or no examples, or an argument is out of range.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1]], labels=[4, 4, 7, 7])
        >>> [float(fit.accuracy()) for fit in fit_kmeans_each(codes, range(3))]
        [1.0, 1.0, 1.0]
    """
    labels = labels_of(codes, "codes")
    classes, truth = np.unique(labels, return_inverse=True)
    k = len(classes) if n_clusters is None else n_clusters
    for name, value in (("n_clusters", k), ("n_init", n_init), ("max_train", max_train)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: it must be at least 1")
    different = distinct(codes.packed)
    seeds = list(seeds)
    # a Gram matrix is formed once for all starts
    bits_per_row = BITS_PER_GRAM_ROW // min(n_init * max(len(seeds), 1), _STARTS_AT_MOST)
    fits: list[KMeansFit] = []
    whole: _Prepared | None = None
    prepared: _Prepared | None = None
    for seed in seeds:
        fitted, note = within_budget(codes, len(different.first), max_train=max_train, max_bytes=max_bytes, seed=seed)
        if fitted is codes:
            prepared = whole = whole or _Prepared.of(codes, different, max_bytes, bits_per_row, device)
        else:
            prepared = None  # before the next one takes as much again
            prepared = _Prepared.of(fitted, distinct(fitted.packed), max_bytes, bits_per_row, device)
        clustering = prepared.cluster(k, n_init=n_init, seed=seed)
        if fitted is codes:
            clusters = clustering.assigned[different.inverse]
        else:
            clusters = prepared.nearest(clustering, codes.packed[different.first])[different.inverse]
        n_found, n_rows = len(clustering.centres), prepared.n_rows
        notes = [
            note,
            f"only {n_rows} different codes, so as many clusters" if n_rows < k else None,
            None if clustering.converged else f"not converged after {clustering.n_iterations} iterations",
        ]
        table = np.bincount(clusters * len(classes) + truth.reshape(-1), minlength=n_found * len(classes))
        fits.append(
            KMeansFit(
                assigned=clusters,
                table=table.reshape(n_found, len(classes)),
                k=k,
                n_train=len(fitted),
                n_bits=codes.n_bits,
                n_bits_used=len(prepared.columns),
                note="; ".join(part for part in notes if part) or None,
            )
        )
    return fits


def _require_matching(matching: str) -> None:
    if matching not in get_args(Matching):
        raise ValueError(
            f"matching={matching!r}: choose 'purity' (as in the paper) or 'hungarian' (each label to at most one cluster)"
        )


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Different codes as features, each with how often it occurs: bits, or what has their inner products."""

    features: Features
    columns: NDArray[np.int64]
    weights: NDArray[np.float32]

    @classmethod
    def of(
        cls, codes: Codes, groups: Groups, max_bytes: int, bits_per_row: int, device: torch.device | str | None
    ) -> _Prepared:
        packed = codes.packed[groups.first]
        columns = varying_bits(packed)
        features = features_of(
            packed, columns, [0, len(packed)], max_bytes=max_bytes, bits_per_row=bits_per_row, device=device
        )
        return cls(features, columns, groups.counts.astype(np.float32))

    @property
    def n_rows(self) -> int:
        return len(self.weights)

    def cluster(self, k: int, *, n_init: int, seed: int) -> Clustering:
        (rows,) = self.features.parts
        # the mean variance that centres' movement is held against is that of a bit, whatever the number of features
        tol = TOLERANCE * rows.n_features / max(len(self.columns), 1)
        with self.features.threads():
            return cluster(rows, self.weights, min(k, self.n_rows), seed=seed, n_init=n_init, tol=tol)

    def nearest(self, clustering: Clustering, packed: np.ndarray) -> NDArray[np.int64]:
        """The cluster with the nearest centre w for any codes x, (n_examples,): that with the largest w·x - |w|²/2."""
        half_norms = (clustering.centres.astype(np.float64) ** 2).sum(axis=1, keepdims=True) / 2
        centres = self.features.in_bits(clustering.centres)
        found = np.empty(len(packed), np.int64)
        blocks = row_blocks(len(packed), len(self.columns))

        def work(first: int, last: int) -> None:
            for start, stop in blocks[first:last]:
                bits = BitMatrix.of(packed[start:stop], self.columns)
                closeness = bits.dots(centres, 0, stop - start) - half_norms
                found[start:stop] = closeness.argmax(axis=0)

        spread_blocks(work, blocks, len(self.columns))
        return found
