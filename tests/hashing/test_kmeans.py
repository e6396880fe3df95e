from functools import partial
from itertools import permutations

import numpy as np
import pytest

from actscope import Codes
from actscope.hashing import fit_kmeans, fit_kmeans_each, kmeans_accuracy
from actscope.hashing.features import features_of
from actscope.hashing.lloyd import TOLERANCE, cluster


def clustered(n=400, d=32, n_classes=4, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    bits = (rng.random((n_classes, d)) < 0.5)[labels] ^ (rng.random((n, d)) < noise)
    return Codes.from_bits(bits, labels=10 * labels)


def test_separate_classes_are_found():
    for matching in ("purity", "hungarian"):
        accuracy = kmeans_accuracy(clustered(noise=0.02), matching=matching, n_init=5)
        assert accuracy == 1
        assert accuracy.method == f"4-Means, {matching}"


def test_purity_gives_each_cluster_its_most_frequent_label():
    # Two codes, so two clusters: one holds labels 0, 0, 1, the other 0, 0, 0, 2.
    codes = Codes.from_bits([[0, 0]] * 3 + [[1, 1]] * 4, labels=[0, 0, 1, 0, 0, 0, 2])
    assert kmeans_accuracy(codes, n_clusters=2) == 5 / 7


def test_hungarian_gives_each_label_to_one_cluster_at_most():
    codes = Codes.from_bits([[0, 0]] * 3 + [[1, 1]] * 4, labels=[0, 0, 1, 0, 0, 0, 2])
    tables = [{0: 2, 1: 1}, {0: 3, 2: 1}]
    best = max(
        sum(table.get(label, 0) for table, label in zip(tables, given, strict=True))
        for given in permutations(range(3), 2)
    )
    assert kmeans_accuracy(codes, matching="hungarian", n_clusters=2) == best / 7


def test_fewer_codes_than_clusters_is_said():
    codes = Codes.from_bits([[0, 0]] * 3 + [[1, 1]] * 4, labels=[0, 0, 1, 0, 0, 0, 2])
    accuracy = kmeans_accuracy(codes)
    assert accuracy == 5 / 7
    assert accuracy.note == "only 2 different codes, so as many clusters"


def test_constant_codes_are_one_cluster():
    accuracy = kmeans_accuracy(Codes.from_bits(np.ones((5, 3)), labels=[1, 1, 1, 2, 2]))
    assert accuracy == 0.6
    assert accuracy.n_bits_used == 0


def test_purity_is_never_below_hungarian_or_the_largest_class():
    codes = clustered(noise=0.4, n_classes=5)
    purity, hungarian = kmeans_accuracy(codes), kmeans_accuracy(codes, matching="hungarian")
    assert purity >= hungarian
    assert purity >= np.unique(codes.labels, return_counts=True)[1].max() / len(codes)


def test_the_seed_decides():
    codes = clustered(noise=0.4)
    assert kmeans_accuracy(codes, seed=3) == kmeans_accuracy(codes, seed=3)
    assert len({float(kmeans_accuracy(codes, seed=seed)) for seed in range(6)}) > 1


def test_the_accuracy_is_that_of_scikit_learn_on_average():
    from sklearn.cluster import KMeans

    codes = clustered(n=600, noise=0.28, seed=1)

    def purity(assigned):
        return sum(np.unique(codes.labels[assigned == k], return_counts=True)[1].max() for k in range(4)) / len(codes)

    x = codes.bits().astype(np.float32)
    theirs = [purity(KMeans(4, n_init=1, random_state=seed).fit_predict(x)) for seed in range(12)]
    ours = [kmeans_accuracy(codes, seed=seed) for seed in range(12)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.04)


def test_a_subset_to_fit_on_is_said_and_all_are_measured():
    codes = clustered(noise=0.02)
    accuracy = kmeans_accuracy(codes, max_train=100, n_init=5, seed=2)
    assert accuracy == 1
    assert (accuracy.n_train, accuracy.n_test) == (100, 400)
    assert accuracy.note == "fitted on a random 100 of 400 examples, seed 2"


def test_more_than_the_budget_holds_is_not_fitted_on():
    codes = clustered(n=600, d=600, noise=0.05)
    accuracy = kmeans_accuracy(codes, max_bytes=30_000, n_init=5)
    assert accuracy.n_train < 600
    assert "max_bytes=30,000" in accuracy.note
    assert accuracy == 1


def test_codes_that_occur_often_count_once_against_the_budget():
    codes = clustered(n=30, d=600)
    many = Codes.from_bits(np.tile(codes.bits(), (50, 1)), labels=np.tile(codes.labels, 50))
    assert kmeans_accuracy(many, max_bytes=50_000).n_train == 1500


def test_wide_codes_are_clustered():
    assert kmeans_accuracy(clustered(n=60, d=3000, noise=0.3), n_init=5) == 1


def rough(n=90, d=4000, seed=1):
    """Codes so alike that starts end in different clusters."""
    return clustered(n=n, d=d, n_classes=6, noise=0.45, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_few_wide_codes_are_clustered_by_their_inner_products_as_by_their_bits(seed, monkeypatch):
    codes = rough()
    by_products = fit_kmeans(codes, seed=seed)
    monkeypatch.setattr("actscope.hashing.kmeans.features_of", partial(by_bits, features_of))
    by_their_bits = fit_kmeans(codes, seed=seed)
    np.testing.assert_array_equal(by_products.assigned, by_their_bits.assigned)
    np.testing.assert_array_equal(by_products.table, by_their_bits.table)


def by_bits(make, *arguments, **options):
    features = make(*arguments, max_bytes=0)
    assert features.gram is None
    return features


def test_codes_that_were_not_fitted_on_go_to_the_nearest_centre_whatever_the_features(monkeypatch):
    codes = rough(n=400)
    by_products = fit_kmeans(codes, max_train=60, seed=2)
    monkeypatch.setattr("actscope.hashing.kmeans.features_of", partial(by_bits, features_of))
    by_their_bits = fit_kmeans(codes, max_train=60, seed=2)
    np.testing.assert_array_equal(by_products.assigned, by_their_bits.assigned)


@pytest.mark.parametrize("max_train", [None, 70])
def test_fits_of_many_seeds_are_those_of_each(max_train):
    codes = rough()
    fits = fit_kmeans_each(codes, range(5), max_train=max_train)
    for seed, fit in enumerate(fits):
        alone = fit_kmeans(codes, seed=seed, max_train=max_train)
        np.testing.assert_array_equal(fit.assigned, alone.assigned)
        assert (fit.n_train, fit.note) == (alone.n_train, alone.note)
    assert len({float(fit.accuracy()) for fit in fits}) > 1


def test_centres_rest_by_the_variance_of_a_bit_whatever_the_features_and_codes_are_prepared_once(monkeypatch):
    seen, made = [], []

    def watched(rows, *arguments, tol, **options):
        seen.append((tol, rows.n_features))
        return cluster(rows, *arguments, tol=tol, **options)

    def counted(*arguments, **options):
        made.append(options)
        return features_of(*arguments, **options)

    monkeypatch.setattr("actscope.hashing.kmeans.cluster", watched)
    monkeypatch.setattr("actscope.hashing.kmeans.features_of", counted)
    narrow, wide = clustered(n=90, d=40), rough()
    for codes in (narrow, wide):
        fits = fit_kmeans_each(codes, range(3))
        n_bits = fits[0].n_bits_used
        # the sum of squared movements is held against tol times the whole variance over the number of features
        assert [tol / n_features for tol, n_features in seen[-3:]] == pytest.approx([TOLERANCE / n_bits] * 3)
    assert seen[0][1] == 40
    assert seen[-1][1] == 90
    assert len(made) == 2


def test_mistakes_are_named():
    codes = clustered(n=20)
    with pytest.raises(ValueError, match="codes has no labels"):
        kmeans_accuracy(codes.with_labels(None))
    with pytest.raises(ValueError, match="matching='best'"):
        kmeans_accuracy(codes, matching="best")
    with pytest.raises(ValueError, match="n_clusters=0"):
        kmeans_accuracy(codes, n_clusters=0)
    with pytest.raises(ValueError, match="n_init=0"):
        kmeans_accuracy(codes, n_init=0)
    with pytest.raises(ValueError, match="no examples"):
        kmeans_accuracy(codes[:0])


def test_one_fit_gives_both_matchings_of_the_same_clusters() -> None:
    rng = np.random.default_rng(3)
    codes = Codes.from_bits(rng.random((120, 9)) < 0.4, labels=rng.integers(4, size=120))
    fit = fit_kmeans(codes, seed=5)
    for matching in ("purity", "hungarian"):
        assert float(fit.accuracy(matching)) == float(kmeans_accuracy(codes, matching=matching, seed=5))
    by_hand = sum(np.bincount(codes.labels[fit.assigned == cluster]).max() for cluster in np.unique(fit.assigned))
    assert float(fit.accuracy()) == by_hand / 120
    with pytest.raises(ValueError, match="matching='best'"):
        fit.accuracy("best")
