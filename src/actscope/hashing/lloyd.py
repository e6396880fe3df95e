"""K-Means on weighted rows: greedy k-means++ and Lloyd's iterations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.hashing.blocks import row_blocks, spread_blocks
from actscope.hashing.features import FeatureMatrix

__all__ = ["TOLERANCE", "Clustering", "cluster", "lloyd", "seed_centres"]

TOLERANCE = 1e-4
"""Movement of the centres at which they are at rest, as scikit-learn has it; see `lloyd`."""


@dataclass(frozen=True, eq=False)
class Clustering:
    """Rows in clusters.

    Attributes:
        centres: (k, n_features) float32, the weighted mean of each cluster.
        assigned: (n_rows,) int64, the cluster of each row: the one with the nearest centre.
        inertia: weighted sum of squared distances of the rows to their centres.
        n_iterations: passes over the rows.
        converged: whether centres had come to rest when it stopped.
    """

    centres: NDArray[np.float32]
    assigned: NDArray[np.int64]
    inertia: float
    n_iterations: int
    converged: bool


def cluster(
    rows: FeatureMatrix,
    weights: NDArray[np.float32],
    k: int,
    *,
    seed: int,
    n_init: int = 1,
    tol: float = TOLERANCE,
    max_iter: int = 300,
) -> Clustering:
    """The clustering with the smallest inertia among `n_init` runs from different first centres.

    Args:
        rows: what to cluster, all rows different.
        weights: (n_rows,) how often each occurs, whole numbers.
        k: number of clusters, at most n_rows.
        seed: chooses the first centres.
        n_init: runs.
        tol, max_iter: as for `lloyd`.
    """
    generator = np.random.default_rng(seed)
    runs = (
        lloyd(rows, weights, seed_centres(rows, weights, k, generator), tol=tol, max_iter=max_iter)
        for _ in range(n_init)
    )
    return min(runs, key=lambda run: run.inertia)


def seed_centres(
    rows: FeatureMatrix, weights: NDArray[np.float32], k: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """First centres by greedy k-means++ (Arthur & Vassilvitskii 2007): (k, n_features).

    Each next centre is the best of 2 + log k rows, drawn with probability proportional to their squared distance to
    the nearest centre so far, as scikit-learn does.
    """
    mass = weights.astype(np.float64)
    norms = rows.squared_norms()
    chosen = [int(generator.choice(rows.n_rows, p=mass / mass.sum()))]
    nearest = _squared_distances(rows, norms, np.array(chosen))[0]
    n_trials = 2 + int(np.log(k))
    while len(chosen) < k:
        potential = np.cumsum(nearest * mass)
        trials = np.searchsorted(potential, generator.random(n_trials) * potential[-1], side="right")
        trials = np.minimum(trials, rows.n_rows - 1)
        closer = np.minimum(nearest, _squared_distances(rows, norms, trials))
        best = int((closer @ mass).argmin())
        chosen.append(int(trials[best]))
        nearest = closer[best]
    return rows.rows(np.array(chosen))


def lloyd(
    rows: FeatureMatrix,
    weights: NDArray[np.float32],
    centres: NDArray[np.float32],
    *,
    tol: float = TOLERANCE,
    max_iter: int = 300,
) -> Clustering:
    """Lloyd's iterations from given centres.

    Stops when no row changes its cluster, or when the squared movement of all centres is below `tol` times the mean variance of a
    feature (scikit-learn's criterion). A cluster that loses all its rows restarts at the row farthest from its centre.

    Args:
        rows: what to cluster.
        weights: (n_rows,) float32, whole numbers.
        centres: (k, n_features) float32.
        tol: see above; 0 asks for rows that no longer change.
        max_iter: passes over the rows.
    """
    norms = rows.squared_norms()
    assigned = np.full(rows.n_rows, -1)
    sums, masses = np.zeros(centres.shape), np.zeros(len(centres))
    threshold, changed, n_iterations, converged = 0.0, rows.n_rows, 0, False
    while not converged and n_iterations < max_iter:
        n_iterations += 1
        nearest, closest = _nearest(rows, centres)
        changed = _move(rows, weights, nearest, assigned, sums, masses)
        changed += _refill(rows, weights, norms + closest, assigned, sums, masses)
        if n_iterations == 1:
            total = masses.sum()
            variance = norms @ weights / total - ((sums.sum(axis=0) / total) ** 2).sum()
            threshold = tol * variance / max(rows.n_features, 1)
        moved = (sums / masses[:, None]).astype(np.float32)
        shift = float(((moved - centres).astype(np.float64) ** 2).sum())
        centres = moved
        converged = changed == 0 or shift <= threshold
    nearest, closest = _nearest(rows, centres)
    inertia = float(np.maximum(norms + closest, 0) @ weights)
    return Clustering(centres, nearest, inertia, n_iterations, converged)


def _nearest(rows: FeatureMatrix, centres: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest centre of each row, of several the first; the squared distance to it less the row's squared norm."""
    minus_twice = -2 * centres
    offsets = (centres.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)[:, None]
    blocks = row_blocks(rows.n_rows, rows.n_features, whole=rows.on_device)
    nearest = np.empty(rows.n_rows, np.int64)
    closest = np.empty(rows.n_rows, np.float32)

    def work(first: int, last: int) -> None:
        for start, stop in blocks[first:last]:
            distances = rows.dots(minus_twice, start, stop) + offsets
            least = distances.min(axis=0, out=closest[start:stop])
            nearest[start:stop] = (distances == least).argmax(
                axis=0
            )  # half the time of argmin, which floats do not vectorise

    spread_blocks(work, blocks, rows.n_features)
    return nearest, closest


def _move(
    rows: FeatureMatrix,
    weights: NDArray[np.float32],
    nearest: NDArray[np.int64],
    assigned: NDArray[np.int64],
    sums: NDArray[np.float64],
    masses: NDArray[np.float64],
) -> int:
    """Assign rows anew and take their share of sums and masses along; only rows that move cost anything. Returns how many did."""
    changed = np.flatnonzero(nearest != assigned)
    before, after, mass = assigned[changed], nearest[changed], weights[changed]
    parts: dict[int, NDArray[np.float64]] = {}

    def work(first: int, last: int) -> None:
        parts[first] = np.zeros(sums.shape)
        for start, stop in blocks[first:last]:
            some, place = slice(start, stop), np.arange(stop - start)
            change = np.zeros((len(sums) + 1, len(place)), np.float32)  # rows that were nowhere leave the last
            change[after[some], place] = mass[some]
            change[before[some], place] -= mass[some]
            parts[first] += rows.sums(change[:-1], changed[some])

    blocks = row_blocks(len(changed), rows.n_features, whole=rows.on_device)
    spread_blocks(work, blocks, rows.n_features)
    for first in sorted(parts):
        sums += parts[first]
    masses += np.bincount(after, weights=mass, minlength=len(masses))
    masses -= np.bincount(before[before >= 0], weights=mass[before >= 0], minlength=len(masses))
    assigned[changed] = after
    return len(changed)


def _refill(
    rows: FeatureMatrix,
    weights: NDArray[np.float32],
    distances: NDArray[np.float64],
    assigned: NDArray[np.int64],
    sums: NDArray[np.float64],
    masses: NDArray[np.float64],
) -> int:
    """Give each empty cluster the row farthest from its centre, and return how many were empty."""
    empty = np.flatnonzero(masses < 0.5)
    for cluster_index in empty:
        alone = masses[assigned] <= weights
        row = int(np.where(alone, -1, distances).argmax())
        features = rows.rows(np.array([row]))[0].astype(np.float64) * float(weights[row])
        sums[assigned[row]] -= features
        masses[assigned[row]] -= weights[row]
        sums[cluster_index], masses[cluster_index] = features, weights[row]
        assigned[row] = cluster_index
        distances[row] = 0
    return len(empty)


def _squared_distances(
    rows: FeatureMatrix, norms: NDArray[np.float64], chosen: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n_chosen, n_rows)."""
    others = rows.rows(chosen)
    blocks = row_blocks(rows.n_rows, rows.n_features, whole=rows.on_device)
    distances = np.empty((len(chosen), rows.n_rows))

    def work(first: int, last: int) -> None:
        for start, stop in blocks[first:last]:
            distances[:, start:stop] = norms[start:stop] + norms[chosen][:, None] - 2 * rows.dots(others, start, stop)

    spread_blocks(work, blocks, rows.n_features)
    distances[np.arange(len(chosen)), chosen] = 0
    return np.maximum(distances, 0)
