"""A sample of codes as a matrix to look at: examples sorted by class, neurons by what they answer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes.site import Site
from actscope.codes.table import Codes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BitMatrix", "sample_bit_matrix"]


@dataclass(frozen=True, eq=False, repr=False)
class BitMatrix:
    """Some examples' codes at some neurons, in an order that shows structure.

    Rows are sorted by class and, within a class, from its most typical code (nearest to the class's mean) to its least typical one.
    Columns keep the order of sites; within a site they are sorted by the class for which they are on most above their average, or
    without labels by how often they are on; those that are the same in every row come last.

    Attributes:
        levels: (n_rows, n_columns) float32, interval divided by the number of breakpoints: 0 is off, 1 the topmost interval.
        labels: (n_rows,) int64, or `None`.
        sites: name and number of columns of each site that has any.
        n_examples, n_neurons: how many there were to draw from.
    """

    levels: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    sites: tuple[tuple[str, int], ...]
    n_examples: int
    n_neurons: int

    def __repr__(self) -> str:
        rows, columns = self.levels.shape
        return f"BitMatrix({rows} of {self.n_examples} examples × {columns} of {self.n_neurons} neurons)"

    def to_dict(self) -> dict[str, Any]:
        """How much of the codes is shown, as plain values."""
        rows, columns = self.levels.shape
        return {
            "n_rows": rows,
            "n_columns": columns,
            "n_examples": self.n_examples,
            "n_neurons": self.n_neurons,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the matrix."""
        from actscope.figures.bit_matrix import draw_bit_matrix

        if self.labels is None:
            return draw_bit_matrix(self.levels, sites=self.sites, ax=ax)
        classes, index = np.unique(self.labels, return_inverse=True)
        return draw_bit_matrix(
            self.levels, index, class_names=[str(label) for label in classes], sites=self.sites, ax=ax
        )


def sample_bit_matrix(codes: Codes, *, max_rows: int = 240, max_columns: int = 360, seed: int = 0) -> BitMatrix:
    """A sample of `codes` in an order that shows structure.

    Args:
        codes: the examples.
        max_rows: examples shown: equally many of each class as far as they go, drawn at random.
        max_columns: neurons shown: each site has its share, at least one if there is room, drawn at random.
        seed: of both draws.

    Raises:
        ValueError: if there is no example or no neuron.

    Example:
        >>> codes = Codes.from_bits([[1, 0, 1], [0, 1, 1], [1, 0, 0]], labels=[0, 1, 0])
        >>> sample_bit_matrix(codes).levels.astype(int)
        array([[1, 0, 1],
               [1, 0, 0],
               [0, 1, 1]])
    """
    if not len(codes) or not codes.n_neurons:
        raise ValueError(f"there is nothing to show: {len(codes)} examples, {codes.n_neurons} neurons")
    rng = np.random.default_rng(seed)
    rows = _sample_rows(codes, max_rows, rng)
    shown = codes[rows]
    columns, site_of_column = _sample_columns(codes.sites, max_columns, rng)
    planes = np.repeat([site.n_planes for site in codes.sites], [site.n_neurons for site in codes.sites])
    levels = (shown.intervals()[:, columns] / np.maximum(planes[columns], 1)).astype(np.float32)
    labels = shown.labels
    if labels is not None:
        order = _row_order(levels, labels)
        levels, labels = levels[order], labels[order]
    same = np.ptp(levels, axis=0) == 0
    by_answer = np.lexsort((*_column_keys(levels, labels), same, site_of_column))
    names, counts = np.unique(site_of_column, return_counts=True)
    return BitMatrix(
        levels=np.ascontiguousarray(levels[:, by_answer]),
        labels=labels,
        sites=tuple((codes.sites[i].name, int(count)) for i, count in zip(names, counts, strict=True)),
        n_examples=len(codes),
        n_neurons=codes.n_neurons,
    )


def _sample_rows(codes: Codes, max_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if len(codes) <= max_rows:
        return np.arange(len(codes))
    shuffled = rng.permutation(len(codes))
    if codes.labels is None:
        return np.sort(shuffled[:max_rows])
    # The first of every class, then the second of every class, …: equal shares for as long as a class has examples.
    labels = codes.labels[shuffled]
    by_class = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[by_class], prepend=labels[by_class[0]] - 1))
    turn = np.empty(len(codes), dtype=np.int64)
    turn[by_class] = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:max_rows]])


def _sample_columns(
    sites: Sequence[Site], max_columns: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the neurons shown, ascending, and the position of the site of each."""
    neurons = np.array([site.n_neurons for site in sites], dtype=np.int64)
    total = int(neurons.sum())
    site_of_neuron = np.repeat(np.arange(len(sites)), neurons)
    if total <= max_columns:
        return np.arange(total), site_of_neuron
    quota = np.minimum(neurons, np.maximum(1, neurons * max_columns // total))
    while quota.sum() > max_columns:  # many small sites were rounded up to one: what is over comes off the largest
        quota[quota.argmax()] -= 1
    starts = np.cumsum(neurons) - neurons
    columns = np.concatenate(
        [start + np.sort(rng.choice(n, k, replace=False)) for start, n, k in zip(starts, neurons, quota, strict=True)]
    )
    return columns, site_of_neuron[columns]


def _row_order(levels: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    classes, index = np.unique(labels, return_inverse=True)
    means = np.stack([levels[index == k].mean(axis=0) for k in range(len(classes))])
    return np.lexsort((np.abs(levels - means[index]).sum(axis=1), index))


def _column_keys(levels: NDArray[np.float32], labels: NDArray[np.int64] | None) -> tuple[NDArray, ...]:
    """Sorting keys of the columns within a site, the last one first."""
    if labels is None:
        return (-levels.mean(axis=0),)
    classes, index = np.unique(labels, return_inverse=True)
    means = np.stack([levels[index == k].mean(axis=0) for k in range(len(classes))])
    return (-means.max(axis=0), (means - levels.mean(axis=0)).argmax(axis=0))
