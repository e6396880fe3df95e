from itertools import pairwise

import numpy as np
import pytest

from actscope.codes.bits import pack_bits
from actscope.hashing.features import features_of
from actscope.hashing.losses import LabelledRows, multinomial_loss, pair_losses

C = 0.7


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (50, 12)).astype(bool)
    weights = rng.integers(1, 4, 50).astype(np.float32)
    edges = [0, 20, 33, 50]
    features = features_of(pack_bits(bits), np.arange(12), edges, max_bytes=0)
    rows = LabelledRows.of(features, [weights[a:b] for a, b in pairwise(edges)])
    labels = np.repeat([0, 1, 2], np.diff(edges))
    x = bits - np.average(bits, axis=0, weights=weights)
    return rows, x, weights.astype(np.float64), labels, rng


def numeric_gradient(function, point, step=1e-5):
    gradient = np.zeros_like(point)
    for i in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[i] = step
        gradient[i] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


def test_rows_know_their_mean_and_class_sizes(problem):
    rows, x, weights, labels, _ = problem
    np.testing.assert_allclose(weights @ x, 0, atol=1e-9)
    np.testing.assert_array_equal(rows.class_sizes(), np.bincount(labels, weights))


def test_pair_losses_and_gradients_are_those_of_the_formula(problem):
    rows, x, weights, labels, rng = problem
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    evaluate = pair_losses(rows, pairs, C)
    which = np.array([2, 0])
    points = rng.normal(size=(2, 13)).astype(np.float32)
    values, gradients = evaluate(points, which)
    for point, pair, value, gradient in zip(points, pairs[which], values, gradients, strict=True):
        own = np.isin(labels, pair)
        y = np.where(labels[own] == pair[1], 1, -1)

        def loss(p, own=own, y=y):
            margins = y * (x[own] @ p[:-1] + p[-1])
            return weights[own] @ np.log1p(np.exp(-margins)) + p[:-1] @ p[:-1] / (2 * C)

        assert value == pytest.approx(loss(point.astype(np.float64)), rel=1e-5)
        np.testing.assert_allclose(gradient, numeric_gradient(loss, point.astype(np.float64)), atol=1e-3)


def test_the_multinomial_loss_and_gradient_are_those_of_the_formula(problem):
    rows, x, weights, labels, rng = problem
    point = rng.normal(size=(3, 13)).astype(np.float32)
    values, gradients = multinomial_loss(rows, C)(point.reshape(1, -1), np.array([0]))

    def loss(p):
        scores = x @ p[:, :-1].T + p[:, -1]
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return -weights @ np.log(probabilities[np.arange(50), labels]) + (p[:, :-1] ** 2).sum() / (2 * C)

    assert values[0] == pytest.approx(loss(point.astype(np.float64)), rel=1e-5)
    np.testing.assert_allclose(gradients.reshape(3, 13), numeric_gradient(loss, point.astype(np.float64)), atol=1e-3)


def test_huge_margins_neither_overflow_nor_warn(problem):
    rows = problem[0]
    points = np.full((1, 13), 1e4, np.float32)
    values, gradients = pair_losses(rows, np.array([[0, 1]]), C)(points, np.array([0]))
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()
    values, gradients = multinomial_loss(rows, C)(np.tile(points, (1, 3)), np.array([0]))
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()
