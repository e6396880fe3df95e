import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope import Codes
from actscope.hashing import knn_accuracy, knn_labels


def expected_labels(train, queries, k):
    """Every step written out: sort by (distance, id), count votes, smallest of the most frequent."""
    predicted = []
    for row in queries.bits():
        distances = (train.bits() != row).sum(axis=1)
        order = sorted(range(len(train)), key=lambda i: (distances[i], train.ids[i]))[:k]
        votes = train.labels[order].tolist()
        predicted.append(min(set(votes), key=lambda label: (-votes.count(label), label)))
    return np.array(predicted)


def random_codes(rng, n, *, n_bits=6, n_classes=3, ids=None):
    return Codes.from_bits(rng.integers(0, 2, (n, n_bits)), labels=rng.integers(0, n_classes, n) - 1, ids=ids)


@given(st.integers(0, 10**6), st.integers(1, 12), st.booleans())
def test_predictions_are_those_of_the_definition_where_ties_are_everywhere(seed, k, strings):
    rng = np.random.default_rng(seed)
    ids = rng.permutation(30)
    train = random_codes(rng, 30, ids=[f"{i:02}" for i in ids] if strings else ids)
    queries = random_codes(rng, 20)
    np.testing.assert_array_equal(knn_labels(train, queries, k=k), expected_labels(train, queries, k))


@given(st.integers(0, 10**6))
def test_the_order_of_the_training_examples_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    train, queries = random_codes(rng, 25), random_codes(rng, 15)
    shuffled = train[rng.permutation(25)]
    np.testing.assert_array_equal(knn_labels(train, queries, k=4), knn_labels(shuffled, queries, k=4))


def test_accuracy_is_the_share_of_right_predictions():
    rng = np.random.default_rng(0)
    train, test = random_codes(rng, 40), random_codes(rng, 30)
    accuracy = knn_accuracy(train, test, k=5)
    assert accuracy == np.mean(expected_labels(train, test, 5) == test.labels)
    assert (accuracy.n_train, accuracy.n_test, accuracy.n_bits, accuracy.note) == (40, 30, 6, None)


def test_on_the_training_codes_each_example_is_its_own_neighbour():
    codes = Codes.from_bits(np.eye(6), labels=range(6))
    assert knn_accuracy(codes, k=1) == 1
    assert knn_accuracy(codes, k=6) == 1 / 6


def test_agrees_with_scikit_learn_where_no_distance_ties():
    from sklearn.neighbors import KNeighborsClassifier

    train = Codes.from_bits(np.tri(33, 32, -1), labels=np.random.default_rng(0).integers(0, 4, 33))
    model = KNeighborsClassifier(n_neighbors=1, metric="hamming").fit(train.bits(), train.labels)
    assert knn_accuracy(train, k=1) == model.score(train.bits(), train.labels)
    model = KNeighborsClassifier(n_neighbors=33, metric="hamming").fit(train.bits(), train.labels)
    np.testing.assert_array_equal(knn_labels(train, train, k=33), model.predict(train.bits()))


def test_a_subset_is_said_and_chosen_by_the_seed():
    rng = np.random.default_rng(0)
    train, test = random_codes(rng, 50), random_codes(rng, 50)
    accuracy = knn_accuracy(train, test, max_train=10, seed=3)
    assert accuracy.n_train == 10
    assert accuracy.note == "fitted on a random 10 of 50 examples, seed 3"
    assert repr(knn_accuracy(train, test, max_train=10, seed=3)) == repr(accuracy)
    assert knn_accuracy(train, test, max_train=50).note is None


def test_classes_that_training_never_saw_are_missed():
    train = Codes.from_bits([[0], [1]], labels=[0, 1])
    assert knn_accuracy(train, Codes.from_bits([[0], [1]], labels=[0, 5]), k=1) == 0.5


def test_progress_does_not_change_the_answer(capsys):
    rng = np.random.default_rng(0)
    train, test = random_codes(rng, 40, n_bits=12), random_codes(rng, 200, n_bits=12)
    assert knn_accuracy(train, test, progress=True) == knn_accuracy(train, test)
    assert capsys.readouterr().out == ""


def test_constant_bits_leave_ids_to_decide():
    train = Codes.from_bits(np.ones((4, 3)), labels=[5, 5, 2, 2], ids=[9, 8, 1, 0])
    np.testing.assert_array_equal(knn_labels(train, train, k=2), [2, 2, 2, 2])
    assert knn_accuracy(train, k=2).n_bits_used == 0


def test_mistakes_are_named():
    labelled = Codes.from_bits([[0], [1]], labels=[0, 1])
    with pytest.raises(ValueError, match=r"k=9 neighbours cannot vote: there are 2 training examples"):
        knn_accuracy(labelled)
    with pytest.raises(ValueError, match="k=0"):
        knn_accuracy(labelled, k=0)
    with pytest.raises(ValueError, match="train has no labels"):
        knn_accuracy(labelled.with_labels(None), k=1)
    with pytest.raises(ValueError, match="test has no labels"):
        knn_accuracy(labelled, labelled.with_labels(None), k=1)
    with pytest.raises(ValueError, match="different sites"):
        knn_accuracy(labelled, Codes.from_bits([[0, 1]], labels=[0]), k=1)
    with pytest.raises(ValueError, match="test has no examples"):
        knn_accuracy(labelled, labelled[:0], k=1)
    with pytest.raises(ValueError, match="max_train=0"):
        knn_accuracy(labelled, k=1, max_train=0)
