import numpy as np
import pytest
from sklearn.cluster import KMeans

from actscope.codes.bits import pack_bits
from actscope.codes.groups import distinct
from actscope.hashing.bitmatrix import BitMatrix, varying_bits
from actscope.hashing.features import features_of
from actscope.hashing.lloyd import cluster, lloyd, seed_centres


def problem(n=700, d=40, n_groups=5, noise=0.15, seed=0):
    """Noisy copies of a few patterns: all rows; and the different ones as features, with weights and the bits that vary."""
    rng = np.random.default_rng(seed)
    bits = (rng.random((n_groups, d)) < 0.5)[rng.integers(0, n_groups, n)] ^ (rng.random((n, d)) < noise)
    groups = distinct(pack_bits(bits))
    packed = pack_bits(bits)[groups.first]
    columns = varying_bits(packed)
    features = BitMatrix.of(packed, columns)
    return bits[:, columns].astype(np.float32), features, groups.counts.astype(np.float32), groups


def reference_lloyd(x, centres):
    """Lloyd's iterations by definition, until nothing moves."""
    while True:
        assigned = ((x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.stack([x[assigned == k].mean(axis=0) for k in range(len(centres))])
        if np.allclose(moved, centres):
            return assigned, ((x - moved[assigned]) ** 2).sum()
        centres = moved


@pytest.mark.parametrize("noise", [0.02, 0.15])
def test_weighted_different_rows_give_the_clustering_of_all_rows(noise):
    x, features, weights, groups = problem(noise=noise)
    start = x[[3, 50, 111, 222, 400]]
    found = lloyd(features, weights, start, tol=0)
    assigned, inertia = reference_lloyd(x.astype(np.float64), start.astype(np.float64))
    np.testing.assert_array_equal(found.assigned[groups.inverse], assigned)
    assert found.inertia == pytest.approx(inertia, rel=1e-5)
    assert found.converged


def test_inertia_is_that_of_scikit_learn_from_the_same_centres():
    x, features, weights, _ = problem(n=2000, d=60, n_groups=8, noise=0.3)
    start = x[::250].copy()
    theirs = KMeans(8, init=start, n_init=1, tol=1e-4, algorithm="lloyd").fit(x)
    ours = lloyd(features, weights, start)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-4)


def test_centres_are_the_means_of_their_rows():
    x, features, weights, groups = problem()
    found = lloyd(features, weights, x[:5], tol=0)
    assigned = found.assigned[groups.inverse]
    np.testing.assert_allclose(found.centres, [x[assigned == k].mean(axis=0) for k in range(5)], atol=1e-5)


def test_an_empty_cluster_restarts_at_the_farthest_row():
    x, features, weights, _ = problem()
    start = np.concatenate([x[:3], np.full((2, x.shape[1]), 50, np.float32)])
    found = lloyd(features, weights, start)
    assert len(np.unique(found.assigned)) == 5
    assert np.isfinite(found.centres).all()


def test_stopping_early_is_said():
    x, features, weights, _ = problem(noise=0.3)
    found = lloyd(features, weights, x[:5], max_iter=1)
    assert (found.converged, found.n_iterations) == (False, 1)


def test_seeds_are_different_rows_and_follow_the_generator():
    x, features, weights, _ = problem()
    seeds = seed_centres(features, weights, 30, np.random.default_rng(4))
    assert len(np.unique(seeds, axis=0)) == 30
    np.testing.assert_array_equal(seeds, seed_centres(features, weights, 30, np.random.default_rng(4)))
    assert all((x == seed).all(axis=1).any() for seed in seeds)


def test_seeds_spread_over_groups_that_are_far_apart():
    _, features, weights, _ = problem(n_groups=6, d=64, noise=0.01, seed=2)
    for seed in range(5):
        seeds = seed_centres(features, weights, 6, np.random.default_rng(seed))
        distances = ((seeds[:, None] - seeds) ** 2).sum(axis=2)
        assert distances[~np.eye(6, dtype=bool)].min() > 8


def test_more_runs_never_give_a_larger_inertia():
    _, features, weights, _ = problem(noise=0.35)
    inertias = [cluster(features, weights, 5, seed=1, n_init=n).inertia for n in (1, 4, 8)]
    assert inertias == sorted(inertias, reverse=True)


def test_inner_products_give_the_inertia_of_the_bits():
    _, bits, weights, _ = problem(n=60, d=2500)
    (products,) = features_of(bits.packed, bits.columns, [0, bits.n_rows], max_bytes=1 << 30).parts
    assert products.n_features == bits.n_rows
    start = np.array([3, 11, 50])
    ours = lloyd(products, weights, products.rows(start), tol=0)
    theirs = lloyd(bits, weights, bits.rows(start), tol=0)
    np.testing.assert_array_equal(ours.assigned, theirs.assigned)
    assert ours.n_iterations == theirs.n_iterations
    assert ours.inertia == pytest.approx(theirs.inertia, rel=1e-5)
