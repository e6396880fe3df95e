"""Codes as a picture: an example a row, a neuron a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import shortened
from actscope.figures.palette import NEUTRAL, class_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_bit_matrix"]


def draw_bit_matrix(
    levels: ArrayLike,
    classes: ArrayLike | None = None,
    *,
    class_names: Sequence[str] = (),
    sites: Sequence[tuple[str, int]] = (),
    ax: Axes | None = None,
) -> Axes:
    """A picture of codes: the higher a neuron's interval, the stronger the pixel, in the colour of the example's class.

    Args:
        levels: (n_examples, n_neurons) interval divided by the number of breakpoints: 0 is off, 1 is the topmost interval. The rows
            of a class must follow each other.
        classes: (n_examples,) the position of each example's class in `class_names`.
        class_names: (n_classes,) written at the left of the class's rows.
        sites: name and number of columns of each site, in the order of the columns; they are parted by a line.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_bit_matrix([[0, 1], [1, 1]], [0, 1], class_names=["cat", "dog"], sites=[("relu", 2)])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['cat', 'dog']
    """
    from matplotlib.colors import to_rgb

    ax = axes_or_new(ax, height=4.2)
    shown = np.asarray(levels, dtype=float)
    n_examples, n_neurons = shown.shape
    pixels = np.empty((n_examples, n_neurons, 4))
    given = None if classes is None else np.asarray(classes)
    colours = [NEUTRAL] * n_examples if given is None else [class_colour(index) for index in given]
    pixels[:, :, :3] = np.array([to_rgb(colour) for colour in colours]).reshape(n_examples, 1, 3)
    pixels[:, :, 3] = shown
    ax.imshow(pixels, aspect="auto", interpolation="none", extent=(0, n_neurons, n_examples, 0))
    if given is not None:
        first = np.flatnonzero(np.diff(given, prepend=given[0] - 1))
        height = np.diff(first, append=n_examples)
        wide_enough = height >= n_examples / 34
        ax.set_yticks(
            (first + height / 2)[wide_enough],
            [shortened(class_names[given[row]], length=14) for row in first[wide_enough]],
        )
        for row in first[1:]:
            ax.axhline(row, linewidth=0.6, color=NEUTRAL)
    else:
        ax.set_yticks([])
    ax.tick_params(length=0)
    edges = np.cumsum([0, *(columns for _, columns in sites)])
    for edge in edges[1:-1]:
        ax.axvline(edge, linewidth=0.8, color=NEUTRAL)
    named = [i for i, (_, columns) in enumerate(sites) if columns >= n_neurons / 5]
    ax.set_xticks([(edges[i] + edges[i + 1]) / 2 for i in named], [shortened(sites[i][0], length=16) for i in named])
    ax.xaxis.tick_top()
    ax.set_xlabel(f"{n_neurons} neurons")
    ax.set_ylabel(f"{n_examples} examples")
    return ax
