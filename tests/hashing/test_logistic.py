import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier

from actscope import Codes
from actscope.hashing import fit_logistic, logistic_accuracy


def noisy(n=400, d=30, n_classes=4, noise=0.25, seed=0, centres=0):
    """Noisy copies of a pattern for each class, some of them repeated, with labels 0, 10, 20 …"""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(centres).random((n_classes, d)) < 0.5
    labels = rng.integers(0, n_classes, n)
    bits = patterns[labels] ^ (rng.random((n, d)) < noise)
    bits[n // 2 : n // 2 + n // 10] = bits[: n // 10]
    bits[:, 0] = True
    return Codes.from_bits(bits, labels=10 * labels)


def sklearn_model(scheme, C=1.0):
    model = LogisticRegression(C=C, tol=1e-8, max_iter=10_000)
    return OneVsOneClassifier(model) if scheme == "ovo" else model


@pytest.mark.parametrize("scheme", ["ovo", "multinomial"])
@pytest.mark.parametrize("C", [0.05, 1.0])
def test_predictions_are_those_of_scikit_learn(scheme, C):
    train, test = noisy(), noisy(n=2000, seed=1)
    theirs = sklearn_model(scheme, C).fit(train.bits(), train.labels).predict(test.bits())
    ours = fit_logistic(train, scheme=scheme, C=C, tol=1e-6).predict(test)
    assert np.mean(ours == theirs) > 0.998


@pytest.mark.parametrize("scheme", ["ovo", "multinomial"])
def test_weights_are_those_of_scikit_learn(scheme):
    train = noisy()
    theirs = sklearn_model(scheme).fit(train.bits(), train.labels)
    fit = fit_logistic(train, scheme=scheme, tol=1e-6)
    coefficients = np.concatenate([m.coef_ for m in theirs.estimators_]) if scheme == "ovo" else theirs.coef_
    np.testing.assert_allclose(fit.weights, coefficients[:, fit.columns], atol=5e-3)
    assert 0 not in fit.columns


@pytest.mark.parametrize("scheme", ["ovo", "multinomial"])
def test_accuracy_is_that_of_scikit_learn_at_default_settings(scheme):
    train, test = noisy(n=1500, d=60), noisy(n=1500, d=60, seed=1)
    theirs = OneVsOneClassifier(LogisticRegression()) if scheme == "ovo" else LogisticRegression()
    theirs.fit(train.bits(), train.labels)
    for codes in (train, test):
        assert logistic_accuracy(train, codes, scheme=scheme) == pytest.approx(
            theirs.score(codes.bits(), codes.labels), abs=0.003
        )


@pytest.mark.parametrize("scheme", ["ovo", "multinomial"])
def test_wide_codes_fitted_through_inner_products_give_the_same_predictions(scheme):
    train, test = noisy(n=100, d=4000, noise=0.4), noisy(n=500, d=4000, noise=0.48, seed=1)
    wide = fit_logistic(train, scheme=scheme, tol=1e-6)
    theirs = sklearn_model(scheme).fit(train.bits(), train.labels)
    assert np.mean(wide.predict(test) == theirs.predict(test.bits())) > 0.99


def test_two_classes_are_told_apart_by_either_scheme():
    train = noisy(n_classes=2)
    theirs = LogisticRegression(tol=1e-8).fit(train.bits(), train.labels).predict(train.bits())
    np.testing.assert_array_equal(fit_logistic(train, tol=1e-6).predict(train), theirs)
    fit = fit_logistic(train, scheme="multinomial", tol=1e-6)
    assert (
        np.mean(fit.predict(train) == theirs) > 0.98
    )  # two penalised rows of weights are half the penalty on their difference


def test_one_fit_serves_train_and_test():
    train, test = noisy(), noisy(seed=1)
    fit = fit_logistic(train)
    assert fit.accuracy(train) == logistic_accuracy(train)
    assert repr(fit.accuracy(test)) == repr(logistic_accuracy(train, test))
    assert fit.accuracy(test) == np.mean(fit.predict(test) == test.labels)
    assert repr(fit) == "LogisticFit(ovo, 4 classes, 29 bits, fitted on 400 examples)"


def test_the_order_of_examples_does_not_matter():
    train = noisy()
    shuffled = train[np.random.default_rng(0).permutation(len(train))]
    np.testing.assert_allclose(fit_logistic(train).weights, fit_logistic(shuffled).weights, atol=1e-3)


def test_classes_that_training_never_saw_are_missed():
    train = noisy(n_classes=2)
    test = train.with_labels(np.where(np.arange(len(train)) < 100, 777, train.labels))
    assert logistic_accuracy(train, test) <= 0.75


def test_contradicting_labels_of_one_code_are_both_fitted():
    codes = Codes.from_bits([[0, 1]] * 50 + [[1, 0]] * 50, labels=[0] * 30 + [1] * 70)
    assert logistic_accuracy(codes) == 0.8
    assert logistic_accuracy(codes, scheme="multinomial") == 0.8


def test_constant_codes_leave_the_most_frequent_label():
    codes = Codes.from_bits(np.ones((6, 3)), labels=[1, 2, 2, 2, 3, 1])
    for scheme in ("ovo", "multinomial"):
        accuracy = logistic_accuracy(codes, scheme=scheme)
        assert accuracy == 0.5
        assert accuracy.n_bits_used == 0


def test_pairs_fitted_in_portions_are_the_same_pairs():
    train = noisy(n_classes=6)
    whole, portions = fit_logistic(train, tol=1e-6), fit_logistic(train, tol=1e-6, max_train=400, max_bytes=10_000)
    np.testing.assert_allclose(whole.weights, portions.weights, atol=1e-3)


def test_missing_convergence_is_said_not_warned():
    accuracy = logistic_accuracy(noisy(), max_iter=2)
    assert accuracy.note == "6 of 6 pairs not converged after 2 evaluations"
    assert logistic_accuracy(noisy(), scheme="multinomial", max_iter=2).note == "not converged after 2 evaluations"


def test_more_than_the_budget_holds_is_not_fitted_on():
    train = noisy(n=600, d=600, noise=0.1)
    accuracy = logistic_accuracy(train, max_bytes=30_000)
    assert accuracy.n_train < 600
    assert accuracy.n_test == 600
    assert "max_bytes=30,000 holds" in accuracy.note
    assert accuracy > 0.9
    assert logistic_accuracy(train, max_bytes=30_000, max_train=600).n_train == 600


def test_weights_beyond_the_budget_are_refused():
    with pytest.raises(ValueError, match="needs 6 × 29 weights, 696 bytes, but max_bytes=600: raise it"):
        fit_logistic(noisy(), max_train=400, max_bytes=600)


def test_mistakes_are_named():
    train = noisy(n=40)
    with pytest.raises(ValueError, match="scheme='ovr'"):
        logistic_accuracy(train, scheme="ovr")
    with pytest.raises(ValueError, match="train has no labels"):
        logistic_accuracy(train.with_labels(None))
    with pytest.raises(ValueError, match="test has no labels"):
        logistic_accuracy(train, train.with_labels(None))
    with pytest.raises(ValueError, match="different sites"):
        logistic_accuracy(train, Codes.from_bits([[0, 1]], labels=[0]))
    with pytest.raises(ValueError, match="all 40 training examples have the label 3"):
        logistic_accuracy(train.with_labels(np.full(40, 3)))
    with pytest.raises(ValueError, match="C=0"):
        logistic_accuracy(train, C=0)
    with pytest.raises(ValueError, match="fitted on sites"):
        fit_logistic(train).predict(Codes.from_bits([[0, 1]]))
