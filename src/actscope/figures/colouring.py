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

    Greedy, each choice drawn from the colours that are left, in the smallest-last order (Matula & Beck 1983): a map in the plane,
    of which every part has a member with five neighbours or fewer, then never needs more than six. Where all are taken, as can
    happen with things that touch in more ways than parts of a plane do, the colour that the fewest neighbours have.

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
    for i in reversed(_smallest_first(starts, others)):
        taken = [0] * n_colours
        for j in others[starts[i] : starts[i + 1]]:
            if colours[j] >= 0:
                taken[colours[j]] += 1
        fewest = min(taken)
        free = [colour for colour, count in enumerate(taken) if count == fewest]
        colours[i] = free[int(draws[i] * len(free))]
    return np.array(colours, dtype=np.int64)


def _smallest_first(starts: list[int], others: list[int]) -> list[int]:
    """Things in an order in which each has the fewest neighbours among those that come after it."""
    n = len(starts) - 1
    degrees = [starts[i + 1] - starts[i] for i in range(n)]
    waiting: list[list[int]] = [[] for _ in range(max(degrees, default=0) + 1)]
    for i, degree in enumerate(degrees):
        waiting[degree].append(i)
    order: list[int] = []
    gone = [False] * n
    fewest = 0
    while len(order) < n:
        while not waiting[fewest]:
            fewest += 1
        i = waiting[fewest].pop()
        if gone[i] or degrees[i] != fewest:  # it waits elsewhere by now
            continue
        gone[i] = True
        order.append(i)
        for j in others[starts[i] : starts[i + 1]]:
            if not gone[j]:
                degrees[j] -= 1
                waiting[degrees[j]].append(j)
                fewest = min(fewest, degrees[j])
    return order
