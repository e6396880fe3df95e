"""Categorization by logistic regression on bits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from actscope.codes import Codes, Site
from actscope.codes.groups import distinct
from actscope.hashing.accuracy import Accuracy
from actscope.hashing.bitmatrix import BitMatrix, varying_bits
from actscope.hashing.blocks import row_blocks, spread_blocks
from actscope.hashing.budget import within_budget
from actscope.hashing.features import features_of
from actscope.hashing.labelled import labels_of, require_same_sites
from actscope.hashing.lbfgs import minimise
from actscope.hashing.losses import LabelledRows, multinomial_loss, pair_losses

__all__ = ["LogisticFit", "Scheme", "fit_logistic", "logistic_accuracy"]

Scheme: TypeAlias = Literal["ovo", "multinomial"]
"""One binary regression for each pair of classes, which vote; or one regression with a softmax."""

_COPIES = 40  # float32 arrays of the size of the weights: 10 pairs of changes, and what a step and an evaluation need


@dataclass(frozen=True, eq=False, repr=False)
class LogisticFit:
    """A logistic regression from bits to labels.

    Attributes:
        scheme: `"ovo"` or `"multinomial"`.
        classes: (n_classes,) int64 labels, ascending.
        pairs: (n_problems, 2) int64, the classes that each row of weights tells apart (positive scores are for the second); empty for
            a multinomial fit, which has one row for each class.
        columns: (n_bits_used,) int64, positions in the packed rows of the bits that vary.
        weights: (n_problems, n_bits_used) float32.
        intercepts: (n_problems,) float32.
        sites: the sites that the bits come from.
        n_train: examples fitted on.
        note: what sets the fit apart, such as a subset or missing convergence; else `None`.
    """

    scheme: Scheme
    classes: NDArray[np.int64]
    pairs: NDArray[np.int64]
    columns: NDArray[np.int64]
    weights: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    sites: tuple[Site, ...]
    n_train: int
    note: str | None

    def predict(self, codes: Codes) -> NDArray[np.int64]:
        """The most likely label of each code, (n_examples,) int64.

        Raises:
            ValueError: if the codes come from other sites than those fitted on.
        """
        if codes.sites != self.sites:
            raise ValueError(
                f"fitted on sites {[str(site) for site in self.sites]}, but these codes come from {[str(site) for site in codes.sites]}"
            )
        best = np.empty(len(codes), np.int64)

        def work(first: int, last: int) -> None:
            for start, stop in blocks[first:last]:
                bits = BitMatrix.of(codes.packed[start:stop], self.columns)
                scores = bits.dots(self.weights, 0, stop - start) + self.intercepts[:, None]
                best[start:stop] = (
                    _votes(scores, self.pairs, len(self.classes)) if len(self.pairs) else scores
                ).argmax(axis=0)

        blocks = row_blocks(len(codes), len(self.columns))
        spread_blocks(work, blocks, len(self.columns))
        return np.take(self.classes, best)

    def accuracy(self, codes: Codes) -> Accuracy:
        """The share of the codes whose predicted label is their own.

        Raises:
            ValueError: if the codes have no labels or no examples, or come from other sites than those fitted on.
        """
        truth = labels_of(codes, "codes")
        return Accuracy(
            float(np.mean(self.predict(codes) == truth)),
            method=f"logistic regression, {'one-vs-one' if self.scheme == 'ovo' else 'multinomial'}",
            n_train=self.n_train,
            n_test=len(codes),
            n_bits=codes.n_bits,
            n_bits_used=len(self.columns),
            note=self.note,
        )

    def __repr__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return (
            f"LogisticFit({self.scheme}, {len(self.classes)} classes, {len(self.columns):,} bits, fitted on {self.n_train:,} "
            f"examples{note})"
        )


def logistic_accuracy(
    train: Codes,
    test: Codes | None = None,
    *,
    scheme: Scheme = "ovo",
    C: float = 1.0,
    tol: float = 1e-4,
    max_iter: int = 300,
    max_train: int | None = None,
    max_bytes: int = 1 << 30,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Accuracy:
    """The accuracy of logistic regression on bits (He et al. 2021, Section 4; one-vs-one, as in the paper).

    For several sets of codes, `fit_logistic` once and ask the fit for its `accuracy` on each.

    Args:
        train: labelled codes to fit on.
        test: labelled codes to classify; `None` classifies the training codes themselves. A label that does not occur in `train` is
            never predicted.
        scheme, C, tol, max_iter, max_train, max_bytes, seed, device: as for `fit_logistic`.

    Raises:
        ValueError: if codes have no labels or no examples, train and test come from different sites, all training
            examples have one label, or an argument is out of range.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]], labels=[4, 4, 7, 7])
        >>> logistic_accuracy(codes, scheme="multinomial")
        1.0000 (logistic regression, multinomial; fitted on 4 examples, measured on 4; 3 bits)
    """
    if test is not None:
        require_same_sites(train, test)
        labels_of(test, "test")
    fit = fit_logistic(
        train,
        scheme=scheme,
        C=C,
        tol=tol,
        max_iter=max_iter,
        max_train=max_train,
        max_bytes=max_bytes,
        seed=seed,
        device=device,
    )
    return fit.accuracy(train if test is None else test)


def fit_logistic(
    train: Codes,
    *,
    scheme: Scheme = "ovo",
    C: float = 1.0,
    tol: float = 1e-4,
    max_iter: int = 300,
    max_train: int | None = None,
    max_bytes: int = 1 << 30,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> LogisticFit:
    """A logistic regression from bits to labels, with an L2 penalty that spares intercepts: Σ loss + |w|² / (2C).

    All pairs of classes are fitted at once. Equal codes with one label count as one weighted row, which is the same objective.

    Args:
        train: labelled codes.
        scheme: `"ovo"`, a binary regression for each pair of classes on the examples of these two, and a vote of all, ties
            going to the more confident (as scikit-learn's `OneVsOneClassifier`); or `"multinomial"`, one softmax.
        C: inverse strength of the penalty.
        tol: a problem has converged when no entry of its gradient, divided by its number of examples, is larger.
        max_iter: evaluations of a problem at most; whether that was enough is in the fit's note.
        max_train: fits on a random subset of so many examples. By default all are used if they fit `max_bytes`, else as many
            as do. A number asks for that many, however long it takes.
        max_bytes: limit for the features that are fitted on, and for the weights.
        seed: chooses the subset.
        device: an accelerator for the products with bits; the CPU by default.

    Raises:
        ValueError: if there are no labels or no examples, all have one label, an argument is out of range, or the weights
            alone are larger than `max_bytes`.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]], labels=[4, 4, 7, 7])
        >>> fit_logistic(codes).predict(codes)
        array([4, 4, 7, 7])
    """
    _require_settings(scheme, C, tol, max_iter)
    order, weights, edges, classes = _labelled_rows(train)
    fitted, note = within_budget(train, len(order), max_train=max_train, max_bytes=max_bytes, seed=seed)
    if fitted is not train:
        order, weights, edges, classes = _labelled_rows(fitted)
    packed = fitted.packed[order]
    columns = varying_bits(packed)
    pairs = np.array(list(itertools.combinations(range(len(classes)), 2)) if scheme == "ovo" else [], np.int64).reshape(
        -1, 2
    )
    n_problems = len(pairs) if scheme == "ovo" else len(classes)
    if 4 * n_problems * len(columns) > max_bytes:
        raise ValueError(
            f"scheme={scheme!r} on {len(classes)} classes and {len(columns):,} bits needs {n_problems:,} × {len(columns):,} weights, "
            f"{4 * n_problems * len(columns):,} bytes, but max_bytes={max_bytes:,}: raise it, choose layers"
            + (", or use scheme='multinomial'" if scheme == "ovo" else "")
        )
    by_class = [weights[start:stop] for start, stop in itertools.pairwise(edges)]
    rows = LabelledRows.of(features_of(packed, columns, edges, max_bytes=max_bytes, device=device), by_class)
    with rows.features.threads():
        if scheme == "ovo":
            points, n_open = _fit_pairs(rows, pairs, C, tol, max_iter, max_bytes)
        else:
            points, n_open = _fit_multinomial(rows, C, tol, max_iter)
    unfinished = f"{n_open} of {n_problems} pairs " if scheme == "ovo" else ""
    notes = [note, f"{unfinished}not converged after {max_iter} evaluations" if n_open else None]
    w = points[:, :-1]
    return LogisticFit(
        scheme=scheme,
        classes=classes,
        pairs=pairs,
        columns=columns,
        weights=rows.features.in_bits(w),
        intercepts=points[:, -1] - w @ rows.mean,
        sites=train.sites,
        n_train=len(fitted),
        note="; ".join(part for part in notes if part) or None,
    )


def _fit_pairs(
    rows: LabelledRows, pairs: NDArray[np.int64], C: float, tol: float, max_iter: int, max_bytes: int
) -> tuple[NDArray[np.float32], int]:
    """Weights and intercept of each pair, (n_pairs, n_features + 1), and how many pairs have not converged."""
    n_variables = rows.features.n_features + 1
    points, n_open = np.empty((len(pairs), n_variables), np.float32), 0
    sizes = rows.class_sizes()[pairs].sum(axis=1)
    step = max(1, max_bytes // (4 * _COPIES * n_variables))
    for start in range(0, len(pairs), step):
        some = slice(start, min(start + step, len(pairs)))
        n = sizes[some]
        start_point = np.zeros((len(n), n_variables), np.float32)
        first_step = 1 / (n / 16 + 1 / C)  # the variance of a bit is at most 1/4, the second derivative of the loss too
        minimum = minimise(
            pair_losses(rows, pairs[some], C), start_point, tol=tol * n, first_step=first_step, max_iter=max_iter
        )
        points[some] = minimum.x
        n_open += int((~minimum.converged).sum())
    return points, n_open


def _fit_multinomial(rows: LabelledRows, C: float, tol: float, max_iter: int) -> tuple[NDArray[np.float32], int]:
    """Weights and intercept of each class, (n_classes, n_features + 1), and whether that has not converged."""
    n = rows.class_sizes().sum(keepdims=True)
    start_point = np.zeros((1, rows.n_classes * (rows.features.n_features + 1)), np.float32)
    first_step = 1 / (n / 16 + 1 / C)
    minimum = minimise(multinomial_loss(rows, C), start_point, tol=tol * n, first_step=first_step, max_iter=max_iter)
    return minimum.x.reshape(rows.n_classes, -1), int((~minimum.converged).sum())


def _labelled_rows(codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.float32], list[int], NDArray[np.int64]]:
    """One example of each code and label that occur together, class after class, and how often they do; edges; classes."""
    classes, label = np.unique(labels_of(codes, "train"), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"all {len(codes)} training examples have the label {classes[0]}: logistic regression tells classes apart, so give it at "
            "least two"
        )
    groups = distinct(codes.packed)
    together = label.reshape(-1) * len(groups.first) + groups.inverse
    kinds, order, counts = np.unique(together, return_index=True, return_counts=True)
    edges = np.searchsorted(kinds, np.arange(len(classes) + 1) * len(groups.first))
    return order, counts.astype(np.float32), edges.tolist(), classes


def _votes(scores: NDArray[np.float32], pairs: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Votes of all pairs for each class, plus less than a third of a vote by the sum of confidences, which decides between equals.

    Scores are (n_pairs, n_examples), votes (n_classes, n_examples).
    """
    votes, confidence = np.zeros((2, n_classes, scores.shape[1]), np.float32)
    for (a, b), score in zip(pairs, scores, strict=True):
        votes[a] += score <= 0
        votes[b] += score > 0
        confidence[a] -= score
        confidence[b] += score
    return np.asarray(votes + confidence / (3 * (np.abs(confidence) + 1)), np.float32)


def _require_settings(scheme: str, C: float, tol: float, max_iter: int) -> None:
    if scheme not in get_args(Scheme):
        raise ValueError(
            f"scheme={scheme!r}: choose 'ovo' (one regression for each pair of classes, as in the paper) or 'multinomial'"
        )
    for name, value in (("C", C), ("tol", tol), ("max_iter", max_iter)):
        if not value > 0:
            raise ValueError(f"{name}={value}: it must be positive")
