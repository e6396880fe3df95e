"""Categorization by clusters of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from actscope.codes import Codes
from actscope.codes.groups import Groups, distinct
from actscope.hashing.accuracy import Accuracy
from actscope.hashing.bitmatrix import BitMatrix, varying_bits
from actscope.hashing.blocks import row_blocks, spread_blocks
from actscope.hashing.budget import within_budget
from actscope.hashing.labelled import labels_of
from actscope.hashing.lloyd import Clustering, cluster

__all__ = ["KMeansFit", "Matching", "fit_kmeans", "kmeans_accuracy"]

Matching: TypeAlias = Literal["purity", "hungarian"]
"""How clusters get labels: each its most frequent one, or each label at most one cluster, in the best way."""


def kmeans_accuracy(
    codes: Codes,
    *,
    matching: Matching = "purity",
    n_clusters: int | None = None,
    n_init: int = 1,
    max_train: int | None = None,
    max_bytes: int = 1 << 30,
    seed: int = 0,
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

    Raises:
        ValueError: if there are no labels or no examples, or an argument is out of range.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1]], labels=[4, 4, 7, 7])
        >>> kmeans_accuracy(codes)
        1.0000 (2-Means, purity; fitted on 4 examples, measured on 4; 3 of 4 bits vary)
    """
    _require_matching(matching)
    fit = fit_kmeans(codes, n_clusters=n_clusters, n_init=n_init, max_train=max_train, max_bytes=max_bytes, seed=seed)
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
) -> KMeansFit:
    """K-Means clusters of labelled codes, to ask for their accuracy under several matchings.

    Args:
        codes, n_clusters, n_init, max_train, max_bytes, seed: as for `kmeans_accuracy`.

    Raises:
        ValueError: if there are no labels or no examples, or an argument is out of range.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1]], labels=[4, 4, 7, 7])
        >>> fit_kmeans(codes)
        KMeansFit(2 clusters of 4 codes, 3 bits vary)
    """
    labels = labels_of(codes, "codes")
    classes, truth = np.unique(labels, return_inverse=True)
    k = len(classes) if n_clusters is None else n_clusters
    for name, value in (("n_clusters", k), ("n_init", n_init), ("max_train", max_train)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: it must be at least 1")
    different = distinct(codes.packed)
    fitted, note = within_budget(codes, len(different.first), max_train=max_train, max_bytes=max_bytes, seed=seed)
    groups = different if fitted is codes else distinct(fitted.packed)
    fit = _fit(fitted, groups, k, n_init=n_init, seed=seed)
    if fitted is codes:
        clusters = fit.clustering.assigned[groups.inverse]
    else:
        clusters = fit.nearest(codes.packed[different.first])[different.inverse]
    notes = [
        note,
        f"only {len(groups.first)} different codes, so as many clusters" if len(groups.first) < k else None,
        None if fit.clustering.converged else f"not converged after {fit.clustering.n_iterations} iterations",
    ]
    n_clusters_found = len(fit.clustering.centres)
    table = np.bincount(clusters * len(classes) + truth.reshape(-1), minlength=n_clusters_found * len(classes))
    table = table.reshape(n_clusters_found, len(classes))
    return KMeansFit(
        assigned=clusters,
        table=table,
        k=k,
        n_train=len(fitted),
        n_bits=codes.n_bits,
        n_bits_used=len(fit.columns),
        note="; ".join(part for part in notes if part) or None,
    )


def _require_matching(matching: str) -> None:
    if matching not in get_args(Matching):
        raise ValueError(
            f"matching={matching!r}: choose 'purity' (as in the paper) or 'hungarian' (each label to at most one cluster)"
        )


def _fit(codes: Codes, groups: Groups, k: int, *, n_init: int, seed: int) -> _Fit:
    packed = codes.packed[groups.first]
    columns = varying_bits(packed)
    weights = groups.counts.astype(np.float32)
    clustering = cluster(BitMatrix.of(packed, columns), weights, min(k, len(packed)), seed=seed, n_init=n_init)
    return _Fit(clustering, columns)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Clusters of some codes: the centre nearest to bits x is that with the largest w·x - |w|²/2."""

    clustering: Clustering
    columns: NDArray[np.int64]

    def nearest(self, packed: np.ndarray) -> NDArray[np.int64]:
        """The cluster with the nearest centre for any codes, (n_examples,)."""
        centres = self.clustering.centres
        half_norms = (centres.astype(np.float64) ** 2).sum(axis=1, keepdims=True) / 2
        found = np.empty(len(packed), np.int64)
        blocks = row_blocks(len(packed), len(self.columns))

        def work(first: int, last: int) -> None:
            for start, stop in blocks[first:last]:
                bits = BitMatrix.of(packed[start:stop], self.columns)
                closeness = bits.dots(centres, 0, stop - start) - half_norms
                found[start:stop] = closeness.argmax(axis=0)

        spread_blocks(work, blocks, len(self.columns))
        return found
