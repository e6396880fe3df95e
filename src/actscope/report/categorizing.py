"""How well classes can be told from codes alone, by every method, as far as time allows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from actscope.codes.table import Codes
from actscope.hashing.accuracy import Accuracy
from actscope.hashing.budget import sampled
from actscope.hashing.kmeans import KMeansFit, Matching, fit_kmeans
from actscope.hashing.knn import knn_accuracy
from actscope.hashing.logistic import LogisticFit, Scheme, fit_logistic
from actscope.report.findings import Categorization
from actscope.report.unavailable import Unavailable, attempt

__all__ = ["categorize"]

_NEIGHBOURS = 9

# What one accuracy may cost, so that a report takes minutes at most: each is about half a minute on two cores.
_COMPARED_BYTES = 2e12
_FITTED_TERMS = 3e9
_PAIR_WEIGHTS = 1e6

_ALWAYS_FITTED = 2000
"""Examples that are fitted on however many bits and classes there are."""


def categorize(
    train: Codes, test: Codes | None, *, max_examples: int | None = None, seed: int = 0
) -> tuple[Categorization, ...]:
    """Accuracies of K-NN, logistic regression and K-Means on codes, for train and test; nothing without labels.

    Args:
        train, test: codes from the same sites.
        max_examples: how many examples a method is fitted on at most, and how many of each split nearest neighbours are sought for; by
            default as many as about half a minute for each method allows, and the fits' own limits on memory.
        seed: of subsets and first centres.
    """
    if train.labels is None:
        return ()
    neighbours = _each(train, test, lambda codes: _knn(train, codes, max_examples, seed))
    one_vs_one = _logistic(train, test, "ovo", max_examples, seed)
    multinomial = _logistic(train, test, "multinomial", max_examples, seed)
    purity, matched = _kmeans(train, test, max_examples, seed)
    return (
        _row(
            f"{_NEIGHBOURS}-NN",
            "The majority of the nine nearest training codes by Hamming distance; a training example is one of its own",
            neighbours,
        ),
        _row(
            "Logistic, one-vs-one",
            "One classifier for each pair of classes, fitted on training codes; they vote",
            one_vs_one,
        ),
        _row(
            "Logistic, multinomial",
            "One classifier for all classes, fitted on training codes",
            multinomial,
            as_in_paper=False,
        ),
        _row(
            "K-Means, purity",
            "As many clusters as classes, sought in each split by itself; each is called after its most frequent class",
            purity,
            sees_labels=False,
        ),
        _row(
            "K-Means, matched",
            "The same clusters, each class given to at most one of them (Hungarian matching)",
            matched,
            sees_labels=False,
            as_in_paper=False,
        ),
    )


_Measured = tuple[Accuracy, str | None]
"""An accuracy, and what must be known about it beside its own note."""

_OnSplits = tuple[_Measured | Unavailable, _Measured | Unavailable | None]


def _each(train: Codes, test: Codes | None, measure: Callable[[Codes], _Measured]) -> _OnSplits:
    return attempt(lambda: measure(train)), None if test is None else attempt(lambda: measure(test))


def _knn(train: Codes, codes: Codes, max_examples: int | None, seed: int) -> _Measured:
    if len(train) < _NEIGHBOURS:
        raise ValueError(f"{_NEIGHBOURS} neighbours need as many training examples, and there are fewer ({len(train)})")
    most = max_examples or max(_NEIGHBOURS, math.isqrt(int(_COMPARED_BYTES / max(train.n_bytes, 1))))
    queries, note = sampled(codes, most, seed=seed)
    accuracy = knn_accuracy(train, queries, k=_NEIGHBOURS, max_train=most, seed=seed)
    return accuracy, note and f"measured on a random {len(queries):,} of {len(codes):,}, seed {seed}"


def _kmeans(train: Codes, test: Codes | None, max_examples: int | None, seed: int) -> tuple[_OnSplits, _OnSplits]:
    """The same clusters of each split, named in both ways."""

    def clusters(codes: Codes) -> KMeansFit | Unavailable:
        return attempt(lambda: fit_kmeans(codes, max_train=_most_fitted(codes, max_examples), seed=seed))

    def named(fit: KMeansFit | Unavailable, matching: Matching) -> _Measured | Unavailable:
        return fit if isinstance(fit, Unavailable) else (fit.accuracy(matching), None)

    of_train, of_test = clusters(train), None if test is None else clusters(test)

    def on_splits(matching: Matching) -> _OnSplits:
        return named(of_train, matching), None if of_test is None else named(of_test, matching)

    return on_splits("purity"), on_splits("hungarian")


def _logistic(train: Codes, test: Codes | None, scheme: Scheme, max_examples: int | None, seed: int) -> _OnSplits:
    fit = attempt(lambda: _fit_logistic(train, scheme, max_examples, seed))
    if isinstance(fit, Unavailable):
        return fit, None if test is None else fit
    return _each(train, test, lambda codes: (fit.accuracy(codes), None))


def _fit_logistic(train: Codes, scheme: Scheme, max_examples: int | None, seed: int) -> LogisticFit:
    most = _most_fitted(train, max_examples)
    if _n_classes(train) == 1:
        raise ValueError("all training examples are of one class, so there is nothing to tell apart")
    n_pairs = math.comb(_n_classes(train), 2)
    if scheme == "ovo" and n_pairs * min(train.n_bits, most or len(train)) > _PAIR_WEIGHTS:
        raise ValueError(
            f"{n_pairs:,} pairs of classes on {train.n_bits:,} bits take longer than a report should; "
            "actscope.hashing.logistic_accuracy fits them"
        )
    return fit_logistic(train, scheme=scheme, max_train=most, seed=seed)


def _most_fitted(codes: Codes, max_examples: int | None) -> int | None:
    """How many examples to fit on at most; `None` leaves it to the fit, which knows how much memory it needs."""
    if max_examples is not None or codes.labels is None:
        return max_examples
    most = max(_ALWAYS_FITTED, int(_FITTED_TERMS / (_n_classes(codes) * (codes.n_bits + 100))))
    return most if most < len(codes) else None


def _n_classes(codes: Codes) -> int:
    return 0 if codes.labels is None else len(np.unique(codes.labels))


def _row(
    name: str, explanation: str, measured: _OnSplits, *, sees_labels: bool = True, as_in_paper: bool = True
) -> Categorization:
    on_train, on_test = measured
    return Categorization(
        name,
        explanation,
        _value(on_train),
        None if on_test is None else _value(on_test),
        sees_labels=sees_labels,
        as_in_paper=as_in_paper,
        notes=_notes(on_train, on_test),
    )


def _value(measured: _Measured | Unavailable) -> float | Unavailable:
    return measured if isinstance(measured, Unavailable) else measured[0]


def _notes(on_train: _Measured | Unavailable, on_test: _Measured | Unavailable | None) -> tuple[str, ...]:
    """What must be known about either accuracy, once if it holds for both."""
    said: dict[str, list[str]] = {}
    for split, measured in (("train", on_train), ("test", on_test)):
        if isinstance(measured, tuple):
            accuracy, note = measured
            for part in (accuracy.note, note):
                if part:
                    said.setdefault(part, []).append(split)
    measured_on = sum(isinstance(measured, tuple) for measured in (on_train, on_test))
    return tuple(note if len(splits) == measured_on else f"{splits[0]}: {note}" for note, splits in said.items())
