"""Codes as points in the plane, coloured by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import shortened
from actscope.figures.palette import NEUTRAL, class_colour, class_marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_code_map"]

_VECTOR_POINTS = 2500
"""Beyond so many points an SVG gets slow and large, and the points become one picture."""

_NAMED_CLASSES = 30


def draw_code_map(
    positions: ArrayLike,
    classes: ArrayLike | None = None,
    *,
    class_names: Sequence[str] = (),
    sizes: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A point for each code, coloured by class, with the class's name in the middle of its points.

    Args:
        positions: (n, 2) where the points are.
        classes: (n,) the position of each point's class in `class_names`; `None` leaves all points in one colour.
        class_names: (n_classes,) what to write; up to 30 are written.
        sizes: (n,) how many examples a point stands for; its area grows with it, in powers of two up to 64.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_code_map([[0, 0], [1, 1], [1, 2]], [0, 1, 1], class_names=["cat", "dog"])
        >>> [text.get_text() for text in ax.texts]
        ['cat', 'dog']
    """
    points = np.asarray(positions, dtype=float).reshape(-1, 2)
    extent = np.maximum(np.ptp(points, axis=0), 1e-6)
    ax = axes_or_new(ax, height=0.5 + 4.3 * float(np.clip(extent[1] / extent[0], 0.6, 1.0)))
    doublings = (
        np.zeros(len(points)) if sizes is None else np.log2(np.clip(np.asarray(sizes, dtype=float), 1, 64)).round()
    )
    given = np.zeros(len(points), dtype=np.int64) if classes is None else np.asarray(classes)
    area = 9.0 if len(points) > 600 else 16.0
    for doubling in np.unique(doublings)[::-1]:  # small ones on top; one size at a time is one symbol in an SVG
        for index in np.unique(given):
            mine = (given == index) & (doublings == doubling)
            ax.scatter(
                points[mine, 0],
                points[mine, 1],
                s=area * 2.0**doubling,
                color=NEUTRAL if classes is None else class_colour(index),
                marker=class_marker(index),
                alpha=0.8,
                linewidths=0,
                rasterized=len(points) > _VECTOR_POINTS,
            )
    if classes is not None and len(np.unique(given)) <= _NAMED_CLASSES:
        _write_names(ax, points, given, class_names, np.ones(len(points)) if sizes is None else np.asarray(sizes))
        _write_legend(ax, np.unique(given), class_names)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    margin = 0.03 * extent.max()
    ax.set_xlim(points[:, 0].min() - margin, points[:, 0].max() + margin)
    ax.set_ylim(points[:, 1].min() - margin, points[:, 1].max() + margin)
    ax.set_aspect("equal")
    return ax


def _write_names(
    ax: Axes, points: NDArray[np.float64], classes: NDArray[np.int64], names: Sequence[str], weights: NDArray
) -> None:
    import matplotlib

    paper = matplotlib.rcParams["axes.facecolor"]
    for index in np.unique(classes):
        ax.annotate(
            shortened(names[index], length=14),
            _middle(points[classes == index], weights[classes == index]),
            ha="center",
            va="center",
            weight="bold",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": paper, "edgecolor": "none", "alpha": 0.8},
        )


def _write_legend(ax: Axes, present: NDArray[np.int64], names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    labels = [shortened(names[index], length=14) for index in present]
    handles = [
        Line2D([], [], marker=class_marker(index), color=class_colour(index), linestyle="none", markersize=6)
        for index in present
    ]
    ax.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=max(1, min(10, len(labels), 50 // (3 + max(map(len, labels))))),
        frameon=False,
        handlelength=0.8,
        handletextpad=0.3,
        columnspacing=1.0,
    )


def _middle(points: NDArray[np.float64], weights: NDArray) -> tuple[float, float]:
    """The point with the least sum of weighted distances, so that a name lies on its class even if that is in two parts."""
    step = max(1, len(points) // 300)
    distances = np.linalg.norm(points[::step, None] - points[None, ::step], axis=2) @ weights[::step]
    x, y = points[::step][int(distances.argmin())]
    return float(x), float(y)
