"""Penalised logistic losses of many binary problems, or of one with many classes, on weighted rows of codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.hashing.blocks import Block, row_blocks, spread_blocks
from actscope.hashing.features import Features
from actscope.hashing.lbfgs import Evaluate, Points

__all__ = ["LabelledRows", "multinomial_loss", "pair_losses"]


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows to fit on, class by class.

    Attributes:
        features: a part for each class, with one row for each code that occurs with its label.
        weights: for each class (n_rows,) float32, how many examples each row stands for.
        mean: (n_features,) float32, weighted mean of all rows. Losses are functions of rows less their mean: with a free intercept
            the minimum is the same, and it is reached in fewer steps.
    """

    features: Features
    weights: list[NDArray[np.float32]]
    mean: NDArray[np.float32]

    @classmethod
    def of(cls, features: Features, weights: list[NDArray[np.float32]]) -> LabelledRows:
        sums = np.zeros(features.n_features)
        for part, own in zip(features.parts, weights, strict=True):
            for start, stop in row_blocks(part.n_rows, part.n_features, whole=part.on_device):
                sums += part.sums(own[None, start:stop], slice(start, stop))[0]
        return cls(features, weights, (sums / sum(own.sum(dtype=np.float64) for own in weights)).astype(np.float32))

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.weights)

    def class_sizes(self) -> NDArray[np.float64]:
        """Examples of each class, (n_classes,)."""
        return np.array([own.sum(dtype=np.float64) for own in self.weights])

    def blocks(self) -> list[tuple[int, Block]]:
        """Ranges that cover the rows of all classes, each with its class."""
        parts = enumerate(self.features.parts)
        return [
            (label, block)
            for label, part in parts
            for block in row_blocks(part.n_rows, part.n_features, whole=part.on_device)
        ]


def pair_losses(rows: LabelledRows, pairs: NDArray[np.int64], C: float) -> Evaluate:
    """Σ_i log(1 + exp(-y_i (w·x_i + b))) + |w|² / (2C) for each pair of classes, over the examples of these two; y = +1 in the second.

    Args:
        rows: all classes.
        pairs: (n_pairs, 2) classes.
        C: inverse strength of the penalty, which spares the intercept.

    Returns:
        A function of points (k, n_features + 1), weights and then the intercept, for the pairs numbered (k,).
    """

    def evaluate(points: Points, which: NDArray[np.int64]) -> tuple[NDArray[np.float64], Points]:
        total = _Sums.at(points, rows.mean)
        chosen = pairs[which]
        members = [np.flatnonzero((chosen == label).any(axis=1)) for label in range(rows.n_classes)]
        signs = [
            np.where(chosen[own, 1] == label, 1, -1).astype(np.float32)[:, None] for label, own in enumerate(members)
        ]
        weights = [total.w[own] for own in members]

        def add(label: int, start: int, stop: int, sums: _Sums) -> None:
            own, sign, mass = members[label], signs[label], rows.weights[label][start:stop]
            if len(own) == 0:
                return
            part = rows.features.parts[label]
            behind = part.dots(weights[label], start, stop)  # how far each row is on the wrong side
            behind += total.intercepts[own][:, None]
            behind *= -sign
            norm = 1 + np.exp(-np.abs(behind))
            front = np.minimum(behind, 0)
            losses = np.log(norm) + (behind - front)
            residuals = np.exp(front, out=front) / norm  # the logistic function of behind, without overflow
            sums.values[own] += losses @ mass
            residuals *= mass
            residuals *= -sign
            sums.products[own] += part.sums(residuals, slice(start, stop))
            sums.residuals[own] += residuals.sum(axis=1)

        total.add_all(rows, add)
        return total.penalised(C)

    return evaluate


def multinomial_loss(rows: LabelledRows, C: float) -> Evaluate:
    """Σ_i -log softmax(W x_i + b)_{y_i} + |W|² / (2C), one problem, as a function of one point (1, n_classes * (n_features + 1)).

    Args:
        rows: all classes.
        C: inverse strength of the penalty, which spares the intercepts.
    """

    def evaluate(points: Points, which: NDArray[np.int64]) -> tuple[NDArray[np.float64], Points]:
        total = _Sums.at(points.reshape(rows.n_classes, -1), rows.mean)

        def add(label: int, start: int, stop: int, sums: _Sums) -> None:
            part, mass = rows.features.parts[label], rows.weights[label][start:stop]
            scores = part.dots(total.w, start, stop)
            scores += total.intercepts[:, None]
            scores -= scores.max(axis=0)
            own = scores[label].copy()
            np.exp(scores, out=scores)
            norm = scores.sum(axis=0)
            sums.values[label] += ((np.log(norm) - own) * mass).sum(dtype=np.float64)
            scores *= mass / norm
            scores[label] -= mass
            sums.products[:] += part.sums(scores, slice(start, stop))
            sums.residuals[:] += scores.sum(axis=1)

        total.add_all(rows, add)
        values, gradients = total.penalised(C)
        return values.sum(keepdims=True), gradients.reshape(1, -1)

    return evaluate


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over rows at given points: of losses, of residuals, and of residuals times rows."""

    w: Points
    intercepts: NDArray[np.float32]  # those that belong to rows from which no mean was taken
    mean: NDArray[np.float32]
    values: NDArray[np.float64]
    residuals: NDArray[np.float32]
    products: Points

    @classmethod
    def at(cls, points: Points, mean: NDArray[np.float32]) -> _Sums:
        w = points[:, :-1]
        return cls(w, points[:, -1] - w @ mean, mean, *cls._zeros(w))

    @staticmethod
    def _zeros(w: Points) -> tuple[NDArray[np.float64], NDArray[np.float32], Points]:
        return np.zeros(len(w)), np.zeros(len(w), np.float32), np.zeros(w.shape, np.float32)

    def add_all(self, rows: LabelledRows, add: Callable[[int, int, int, _Sums], None]) -> None:
        """Let `add` add each block of rows, on several threads, in an order that does not depend on which is faster."""
        blocks = rows.blocks()
        parts: dict[int, _Sums] = {}

        def work(first: int, last: int) -> None:
            sums = _Sums(self.w, self.intercepts, self.mean, *self._zeros(self.w))
            for label, block in blocks[first:last]:
                add(label, *block, sums)
            parts[first] = sums

        ranges = [block for _, block in blocks]
        spread_blocks(work, ranges, rows.features.n_features, bytes_per_call=self.products.nbytes)
        for first in sorted(parts):
            self.values[:] += parts[first].values
            self.residuals[:] += parts[first].residuals
            self.products[:] += parts[first].products

    def penalised(self, C: float) -> tuple[NDArray[np.float64], Points]:
        """Values and gradients with the penalty, for rows less their mean."""
        values = self.values + (self.w.astype(np.float64) ** 2).sum(axis=1) / (2 * C)
        slopes = self.products - self.residuals[:, None] * self.mean + self.w / np.float32(C)
        return values, np.concatenate([slopes, self.residuals[:, None]], axis=1)
