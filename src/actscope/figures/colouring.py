"""Colours that tell neighbours apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["REGIONS", "neighbour_colours"]

# Eight steps around the circle of hues in OKLCH (Ottosson 2020), at chromas that all are within sRGB, their lightness going up and
# down between 0.90 and 0.62: any two differ in lightness or clearly in hue, and none is loud.
REGIONS = (
    "#c6dff4",
    "#6f9fd0",
    "#f2d8a7",
    "#d98f6c",
    "#cfe6cf",
    "#6fae9b",
    "#e7d3ea",
    "#9a86bd",
)


def neighbour_colours(n: int, pairs: ArrayLike, *, n_colours: int = len(REGIONS), seed: int = 0) -> NDArray[np.int64]:
    """(n,) a colour 0 … n_colours - 1 for each of n things, so that two of a pair differ, and all colours are used about alike.

    Greedy, in the order of falling numbers of neighbours, each choice drawn from the colours that are left. Where all are taken,
    as can happen among more things than a map in the plane has, the colour that the fewest neighbours have.

    Args:
        n: how many things there are.
        pairs: (n_pairs, 2) which are neighbours; one may be there twice, or paired with itself.
        n_colours: how many colours there are.
        seed: of the choices.

    Example:
        >>> colours = neighbour_colours(4, [[0, 1], [1, 2], [2, 3], [3, 0]])
        >>> bool((colours != colours[[1, 2, 3, 0]]).all())
        True
    """
    edges = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    edges = edges[edges[:, 0] != edges[:, 1]]
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(n + 1)).tolist()
    others = both[:, 1].tolist()
    draws = np.random.default_rng(seed).random(n).tolist()
    colours = [-1] * n
    for i in np.argsort(-np.bincount(both[:, 0], minlength=n), kind="stable").tolist():
        taken = [0] * n_colours
        for j in others[starts[i] : starts[i + 1]]:
            if colours[j] >= 0:
                taken[colours[j]] += 1
        fewest = min(taken)
        free = [colour for colour, count in enumerate(taken) if count == fewest]
        colours[i] = free[int(draws[i] * len(free))]
    return np.array(colours, dtype=np.int64)
