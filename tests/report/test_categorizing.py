"""Accuracies on codes for a report: what is measured, what is left out and why, and what a reader is told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from actscope import hashing
from actscope.codes import Codes
from actscope.report.categorizing import categorize
from actscope.report.unavailable import Unavailable


def test_the_numbers_are_those_of_the_measures_themselves(make_codes: Callable[..., Codes]) -> None:
    train, test = make_codes(80, seed=1, noise=9.0), make_codes(40, seed=2, noise=9.0)
    found = {method.name: (method.train, method.test) for method in categorize(train, test, seed=5)}
    assert found == {
        "9-NN": (hashing.knn_accuracy(train), hashing.knn_accuracy(train, test)),
        "Logistic, one-vs-one": (hashing.logistic_accuracy(train), hashing.logistic_accuracy(train, test)),
        "Logistic, multinomial": (
            hashing.logistic_accuracy(train, scheme="multinomial"),
            hashing.logistic_accuracy(train, test, scheme="multinomial"),
        ),
        "K-Means, purity": (hashing.kmeans_accuracy(train, seed=5), hashing.kmeans_accuracy(test, seed=5)),
        "K-Means, matched": (
            hashing.kmeans_accuracy(train, matching="hungarian", seed=5),
            hashing.kmeans_accuracy(test, matching="hungarian", seed=5),
        ),
    }
    assert found["K-Means, purity"] != found["K-Means, matched"]


def test_without_labels_nothing_is_measured(make_codes: Callable[..., Codes]) -> None:
    assert categorize(make_codes(20, n_classes=None), None) == ()


def test_without_a_test_set_there_is_only_train(make_codes: Callable[..., Codes]) -> None:
    assert all(method.test is None for method in categorize(make_codes(30), None))


def test_a_measure_that_cannot_be_taken_says_why_and_leaves_the_others() -> None:
    codes = Codes.from_bits(np.eye(6), labels=[0, 0, 0, 1, 1, 1])
    found = {method.name: method.train for method in categorize(codes, None)}
    neighbours = found.pop("9-NN")
    assert isinstance(neighbours, Unavailable)
    assert "fewer (6)" in neighbours.reason
    assert all(isinstance(value, float) for value in found.values())


def test_an_unlabelled_test_set_leaves_the_training_accuracies(make_codes: Callable[..., Codes]) -> None:
    for method in categorize(make_codes(40), make_codes(20, n_classes=None)):
        assert isinstance(method.train, float)
        assert isinstance(method.test, Unavailable)
        assert "no labels" in method.test.reason


def test_a_subset_is_used_where_asked_and_every_method_says_so(make_codes: Callable[..., Codes]) -> None:
    for method in categorize(make_codes(80, seed=1), make_codes(60, seed=2), max_examples=50, seed=3):
        said = " ".join(method.notes)
        assert "50 of 80" in said
    neighbours = categorize(make_codes(80, seed=1), make_codes(60, seed=2), max_examples=50, seed=3)[0]
    assert "fitted on a random 50 of 80 examples, seed 3" in neighbours.notes
    assert "test: measured on a random 50 of 60, seed 3" in neighbours.notes


def test_pairs_of_very_many_classes_are_left_out_in_favour_of_one_classifier_for_all() -> None:
    rng = np.random.default_rng(0)
    codes = Codes.from_bits(rng.random((600, 60)) < 0.5, labels=np.arange(600) % 200)
    found = {method.name: method.train for method in categorize(codes, None)}
    assert isinstance(found["Logistic, one-vs-one"], Unavailable)
    assert "19,900 pairs of classes" in found["Logistic, one-vs-one"].reason
    assert isinstance(found["Logistic, multinomial"], float)


def test_one_class_leaves_nothing_to_tell_apart(make_codes: Callable[..., Codes]) -> None:
    alone = {method.name: method for method in categorize(make_codes(20, n_classes=1), None)}
    logistic = alone["Logistic, one-vs-one"]
    assert isinstance(logistic.train, Unavailable)
    assert logistic.test is None
    assert alone["9-NN"].train == 1.0


@pytest.mark.parametrize("n", [1, 8])
def test_a_handful_of_examples_raises_nothing(n: int) -> None:
    codes = Codes.from_bits(np.eye(8)[:n], labels=np.zeros(n, dtype=int))
    assert len(categorize(codes, codes)) == 5
