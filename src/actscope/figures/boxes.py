"""Convex polygons that tile a rectangle, neighbours told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actscope.figures.canvas import axes_or_new
from actscope.figures.palette import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_polygons"]

_EDGES_UP_TO = 3000
"""With more polygons, edges would cover the colours."""


def draw_polygons(
    polygons: Sequence[NDArray[np.float64]],
    groups: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    *,
    bounds: NDArray[np.float64],
    ax: Axes | None = None,
) -> Axes:
    """Polygons coloured by group; groups that share an edge have different colours while the palette lasts.

    Args:
        polygons: (n_corners, 2) each.
        groups: (n_polygons,) int64.
        neighbours: (n_pairs, 2) pairs of polygons that share an edge.
        bounds: (2, 2) lower and upper corner of the rectangle.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> ax = draw_polygons([square, square + [1, 0]], np.array([0, 1]), np.array([[0, 1]]), bounds=np.array([[0.0, 0], [2, 1]]))
        >>> colours = ax.collections[0].get_facecolor()
        >>> bool((colours[0] != colours[1]).any())
        True
    """
    from matplotlib.collections import PolyCollection

    axes = axes_or_new(ax, width=5.0, height=4.6)
    colours = _colours(groups, neighbours, len(CLASSES))
    few = len(polygons) <= _EDGES_UP_TO
    patches = PolyCollection(
        list(polygons),
        facecolors=[CLASSES[colour] for colour in colours[groups]],
        edgecolors="white" if few else "face",
        linewidths=0.6 if few else 0.1,
        alpha=0.75 if few else 1.0,
    )
    axes.add_collection(patches)
    axes.set_xlim(bounds[0, 0], bounds[1, 0])
    axes.set_ylim(bounds[0, 1], bounds[1, 1])
    if np.ptp(bounds[:, 0]) < 20 * np.ptp(bounds[:, 1]) < 400 * np.ptp(bounds[:, 0]):
        axes.set_aspect("equal")
    axes.set_xlabel("input 0")
    axes.set_ylabel("input 1")
    return axes


def _colours(groups: NDArray[np.int64], neighbours: NDArray[np.int64], n_colours: int) -> NDArray[np.int64]:
    """(n_groups,) a colour for each group, greedily the least used one that no neighbour has."""
    n = int(groups.max(initial=-1)) + 1
    beside: list[set[int]] = [set() for _ in range(n)]
    for i, j in groups[neighbours]:
        if i != j:
            beside[i].add(int(j))
            beside[j].add(int(i))
    colours = np.full(n, -1)
    used = np.zeros(n_colours, dtype=np.int64)
    for group in np.argsort([-len(others) for others in beside], kind="stable"):
        taken = np.zeros(n_colours, dtype=bool)
        taken[[colours[other] for other in beside[group] if colours[other] >= 0]] = True
        free = np.flatnonzero(~taken) if not taken.all() else np.arange(n_colours)
        colours[group] = free[used[free].argmin()]
        used[colours[group]] += 1
    return colours
