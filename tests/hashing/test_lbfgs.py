import numpy as np
import pytest

from actscope.hashing.lbfgs import minimise


def quadratics(n_problems=6, n_variables=30, seed=0):
    """Random strongly convex quadratics x'Ax/2 - b'x, and their minima."""
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(n_problems, n_variables, n_variables))
    spectrum = 10 ** rng.uniform(0, 2, (n_problems, n_variables))
    q = np.linalg.qr(q)[0]
    a = q * spectrum[:, None] @ q.transpose(0, 2, 1)
    b = rng.normal(size=(n_problems, n_variables))

    def evaluate(points, which):
        x = points.astype(np.float64)
        ax = np.einsum("pij,pj->pi", a[which], x)
        return ((ax / 2 - b[which]) * x).sum(axis=1), (ax - b[which]).astype(np.float32)

    return evaluate, np.linalg.solve(a, b[..., None])[..., 0]


def run(evaluate, n_problems, n_variables=30, **given):
    settings = {"tol": np.full(n_problems, 1e-4), "first_step": np.ones(n_problems), "max_iter": 500}
    return minimise(evaluate, np.zeros((n_problems, n_variables), np.float32), **{**settings, **given})


def test_every_problem_reaches_its_minimum():
    evaluate, minima = quadratics()
    found = run(evaluate, 6)
    np.testing.assert_allclose(found.x, minima, atol=1e-3)
    assert found.converged.all()


def test_a_problem_does_not_notice_the_others():
    evaluate, _ = quadratics()
    together = run(evaluate, 6)
    for i in range(6):
        alone = run(lambda points, which, i=i: evaluate(points, which + i), 1)
        np.testing.assert_allclose(alone.x[0], together.x[i], atol=1e-6)
        assert alone.n_iterations[0] == together.n_iterations[i]


def test_finished_problems_are_evaluated_no_more():
    evaluate, _ = quadratics()
    asked = []

    def counting(points, which):
        asked.append(which.copy())
        return evaluate(points, which)

    found = run(counting, 6, tol=np.array([10.0, 1e-4, 1e-4, 1e-2, 1e-4, 1e-4]))
    assert found.n_iterations[0] == 0
    for i in range(6):
        assert sum(i in which for which in asked) == found.n_iterations[i] + 1


def test_a_first_step_that_is_far_too_long_is_shortened():
    evaluate, minima = quadratics()
    found = run(evaluate, 6, first_step=np.full(6, 1e6))
    np.testing.assert_allclose(found.x, minima, atol=1e-3)


def test_too_few_iterations_are_said():
    evaluate, _ = quadratics()
    found = run(evaluate, 6, max_iter=3)
    assert not found.converged.any()
    assert (found.n_iterations == 3).all()


def test_values_that_overflow_are_stepped_back_from():
    def evaluate(points, which):
        x = points.astype(np.float64)
        with np.errstate(over="ignore"):
            return np.exp(x[:, 0] * 1e3) - x[:, 0] * 1e3, (1e3 * (np.exp(x * 1e3) - 1)).astype(np.float32)

    with np.errstate(over="ignore", invalid="ignore"):
        found = minimise(
            evaluate, np.full((1, 1), -1, np.float32), tol=np.full(1, 1e-2), first_step=np.ones(1), max_iter=200
        )
    assert found.x[0, 0] == pytest.approx(0, abs=1e-4)
