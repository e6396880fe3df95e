"""How many pairs of examples differ in how many neurons: all pairs, or drawn ones, in all and by label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from actscope.codes import Site
from actscope.codes.distances import hamming_histogram
from actscope.neurons.equidistant import bits_apart, equidistant
from actscope.neurons.similarity import count_disagreements

__all__ = ["PairCounts", "count_all_pairs", "count_drawn_pairs", "n_pairs"]

_ROWS_AT_A_TIME = 1 << 12
_PAIRS_AT_A_TIME = 1 << 16


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Histograms of pairs by the number of neurons that differ, (n_neurons + 1,) int64 each.

    Attributes:
        combined: all pairs.
        single: the pairs within each label, ascending; `None` without labels.
    """

    combined: NDArray[np.int64]
    single: dict[int, NDArray[np.int64]] | None


def n_pairs(n_examples: int) -> int:
    """Unordered pairs of different examples."""
    return n_examples * (n_examples - 1) // 2


def count_all_pairs(
    packed: NDArray[np.uint8],
    sites: Sequence[Site],
    labels: NDArray[np.int64] | None,
    *,
    device: torch.device | str | None,
    advance: Callable[[int], None],
) -> PairCounts:
    """The histograms over all pairs, exact. Memory grows with the examples, not with the pairs.

    Args:
        packed: (n_examples, n_bytes) uint8.
        sites: what the bytes mean.
        labels: (n_examples,) int64, or `None`.
        device: an accelerator to count on; the CPU by default.
        advance: called with the number of pairs just counted.
    """
    n_neurons = sum(site.n_neurons for site in sites)
    rows = equidistant(packed, sites)

    def histogram(some: NDArray[np.uint8]) -> NDArray[np.int64]:
        distances = np.zeros(8 * rows.shape[1] + 1, np.int64)
        for first in range(0, len(some), _ROWS_AT_A_TIME):
            block, later = some[first : first + _ROWS_AT_A_TIME], some[first + _ROWS_AT_A_TIME :]
            distances += hamming_histogram(block, device=device)
            if len(later):
                distances += hamming_histogram(block, later, device=device)
            advance(n_pairs(len(block)) + len(block) * len(later))
        return distances[:: bits_apart(sites)][: n_neurons + 1]

    single = None if labels is None else {label: histogram(rows[members]) for label, members in _by_label(labels)}
    return PairCounts(histogram(rows), single)


def count_drawn_pairs(
    packed: NDArray[np.uint8],
    sites: Sequence[Site],
    labels: NDArray[np.int64] | None,
    *,
    pairs: int,
    generator: np.random.Generator,
    advance: Callable[[int], None],
) -> list[PairCounts]:
    """The histograms over pairs of different examples, drawn independently and uniformly: of all neurons, then of each site's.

    Args:
        packed, sites, labels, advance: as for `count_all_pairs`.
        pairs: how many to draw.
        generator: what draws them.
    """
    n = len(packed)
    sizes = [sum(site.n_neurons for site in sites), *(site.n_neurons for site in sites)]
    names = [] if labels is None else np.unique(labels).tolist()
    found = [
        PairCounts(_none(size), None if labels is None else {name: _none(size) for name in names}) for size in sizes
    ]
    for first in range(0, pairs, _PAIRS_AT_A_TIME):
        drawn = min(_PAIRS_AT_A_TIME, pairs - first)
        a = generator.integers(0, n, drawn)
        b = generator.integers(0, n - 1, drawn)
        b += b >= a  # any example but the first one
        by_site = count_disagreements(packed, packed, sites, a, b)
        for counts, differing in zip(found, [by_site.sum(axis=1), *by_site.T], strict=True):
            counts.combined[:] += np.bincount(differing, minlength=len(counts.combined))
            if labels is not None and counts.single is not None:
                alike = labels[a] == labels[b]
                for name, members in _by_label(labels[a[alike]]):
                    counts.single[name] += np.bincount(differing[alike][members], minlength=len(counts.combined))
        advance(drawn)
    return found


def _none(n_neurons: int) -> NDArray[np.int64]:
    return np.zeros(n_neurons + 1, np.int64)


def _by_label(labels: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each label, ascending, and the rows that have it."""
    if not len(labels):
        return
    order = np.argsort(labels, kind="stable")
    names, starts = np.unique(labels[order], return_index=True)
    yield from zip(names.tolist(), np.split(order, starts[1:]), strict=True)
