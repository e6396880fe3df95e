"""L-BFGS on many independent smooth convex problems at once, each with its own line search and its own end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evaluate", "Minimum", "minimise"]

Points: TypeAlias = NDArray[np.float32]
Evaluate: TypeAlias = Callable[[Points, NDArray[np.int64]], tuple[NDArray[np.float64], Points]]
"""From points (k, n_variables) of the problems numbered (k,) to their values (k,) and gradients (k, n_variables)."""

_SUFFICIENT = 1e-4
_ROUNDING = 1e-7  # values are sums of float32 terms: smaller differences say nothing
_MOST_REJECTIONS = 30


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where each problem ended.

    Attributes:
        x: (n_problems, n_variables) float32.
        n_iterations: (n_problems,) int64, points at which each was evaluated after the first.
        converged: (n_problems,) bool, whether its gradient got below the tolerance.
    """

    x: Points
    n_iterations: NDArray[np.int64]
    converged: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Change:
    """One accepted step of each problem: the changes of x and of the gradient, and their inner product."""

    x: Points
    gradient: Points
    curvature: NDArray[np.float64]

    def __getitem__(self, problems: NDArray[np.bool_]) -> _Change:
        return _Change(self.x[problems], self.gradient[problems], self.curvature[problems])


def minimise(
    evaluate: Evaluate,
    start: Points,
    *,
    tol: NDArray[np.float64],
    first_step: NDArray[np.float64],
    max_iter: int,
    history: int = 10,
) -> Minimum:
    """The minima of independent strongly convex problems (Liu & Nocedal 1989), as rows of one matrix.

    Every call of `evaluate` gives each unfinished problem its next point: a shorter step in the same direction where the value did not
    fall enough, elsewhere a step in a new direction. So no problem waits for the line search of another. Strong convexity makes
    every accepted step one of positive curvature, so sufficient decrease is all there is to ask.

    Args:
        evaluate: see `Evaluate`.
        start: (n_problems, n_variables) float32.
        tol: (n_problems,); a problem ends when no entry of its gradient is larger.
        first_step: (n_problems,) the inverse of a typical curvature, for the first step.
        max_iter: evaluations after the first.
        history: steps to remember.
    """
    n_problems = len(start)
    result, n_iterations, reached = start.copy(), np.zeros(n_problems, np.int64), np.zeros(n_problems, bool)
    running = np.arange(n_problems)
    x, scale = start, first_step
    value, gradient = evaluate(x, running)
    direction = -gradient * _column(scale)
    step, rejections = np.ones(n_problems), np.zeros(n_problems, np.int64)
    changes: deque[_Change] = deque(maxlen=history)
    for iteration in range(max_iter + 1):
        small = np.abs(gradient).max(axis=1) <= tol
        done = small | (rejections > _MOST_REJECTIONS) | (iteration == max_iter)
        if done.any():
            ended, left = running[done], ~done
            result[ended], reached[ended], n_iterations[ended] = x[done], small[done], iteration
            running, x, value, gradient, direction = (
                running[left],
                x[left],
                value[left],
                gradient[left],
                direction[left],
            )
            step, scale, rejections, tol = step[left], scale[left], rejections[left], tol[left]
            changes = deque((change[left] for change in changes), maxlen=history)
            if len(running) == 0:
                break
        slope = _inner(gradient, direction)
        new_x = x + direction * _column(step)
        new_value, new_gradient = evaluate(new_x, running)
        accepted = new_value <= value + _SUFFICIENT * step * slope + _ROUNDING * np.abs(value)
        kept = accepted[:, None]
        # A rejected step is remembered as no change at all, which the recursion passes over.
        x_change, gradient_change = np.where(kept, new_x - x, 0), np.where(kept, new_gradient - gradient, 0)
        change = _Change(x_change, gradient_change, _inner(x_change, gradient_change))
        changes.append(change)
        scale = np.where(
            change.curvature > 0, _ratio(change.curvature, _inner(gradient_change, gradient_change)), scale
        )
        rise = new_value - value - slope * step
        lowest = _ratio(-slope * step**2, 2 * rise)  # of the parabola through what is known
        step = np.where(accepted, 1.0, np.clip(lowest, 0.1 * step, 0.5 * step))
        rejections = np.where(accepted, 0, rejections + 1)
        x, value = np.where(kept, new_x, x), np.where(accepted, new_value, value)
        gradient = np.where(kept, new_gradient, gradient)
        direction = np.where(kept, -_quasi_newton(gradient, changes, scale), direction)
    return Minimum(result, n_iterations, reached)


def _quasi_newton(gradient: Points, changes: deque[_Change], scale: NDArray[np.float64]) -> Points:
    """The inverse Hessian's estimate times the gradient, by the two-loop recursion."""
    direction = gradient.copy()
    shares = []
    for change in reversed(changes):
        share = _ratio(_inner(change.x, direction), change.curvature)
        shares.append(share)
        direction -= change.gradient * _column(share)
    direction *= _column(scale)
    for change, share in zip(changes, reversed(shares), strict=True):
        direction += change.x * _column(share - _ratio(_inner(change.gradient, direction), change.curvature))
    return direction


def _inner(a: Points, b: Points) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", a, b), np.float64)


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b where b is positive, elsewhere 0."""
    return np.divide(a, b, out=np.zeros_like(b), where=b > 0)


def _column(numbers: NDArray[np.float64]) -> Points:
    return numbers[:, None].astype(np.float32)
