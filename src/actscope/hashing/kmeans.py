"""Categorization by clusters of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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

__all__ = ["kmeans_accuracy"]


def kmeans_accuracy(
    codes: Codes,
    *,
    matching: Literal["purity", "hungarian"] = "purity",
    n_clusters: int | None = None,
    n_init: int = 1,
    max_train: int | None = None,
    max_bytes: int = 1 << 30,
    seed: int = 0,
) -> Accuracy:
    """The accuracy of calling every cluster of codes after one class (He et al. 2021, Appendix A).

    K-Means sees the codes alone. Then each cluster gets a label, and the share of examples with the label of their cluster is the accuracy.
    It is fitted on the codes it is measured on: for train and test, call it for each, as the paper does.

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
    labels = labels_of(codes, "codes")
    if matching not in ("purity", "hungarian"):
        raise ValueError(
            f"matching={matching!r}: choose 'purity' (as in the paper) or 'hungarian' (each label to at most one cluster)"
        )
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
    if matching == "purity":
        hits = table.max(axis=1).sum()
    else:
        from scipy.optimize import linear_sum_assignment

        hits = table[linear_sum_assignment(table, maximize=True)].sum()
    return Accuracy(
        float(hits / len(codes)),
        method=f"{k}-Means, {matching}",
        n_train=len(fitted),
        n_test=len(codes),
        n_bits=codes.n_bits,
        n_bits_used=len(fit.columns),
        note="; ".join(part for part in notes if part) or None,
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
