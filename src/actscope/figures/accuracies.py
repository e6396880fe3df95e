"""Accuracies of several classifiers on the same examples, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import percent
from actscope.figures.palette import NEUTRAL, TEST, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_accuracies"]


def draw_accuracies(
    names: Sequence[str],
    *,
    train: ArrayLike,
    test: ArrayLike | None = None,
    chance: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A row for each classifier with a dot for its accuracy on either split, and a line where guessing the largest class lands.

    Args:
        names: (n,) the classifiers.
        train, test: (n,) accuracies in [0, 1]; NaN where there is none.
        chance: accuracy of always answering the most frequent class.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_accuracies(["model", "9-NN on codes"], train=[1.0, 0.97], test=[0.95, 0.93], chance=0.1)
        >>> [text.get_text() for text in ax.texts]
        ['100 %', '97.0 %', '95.0 %', '93.0 %']
    """
    ax = axes_or_new(ax, height=0.85 + 0.42 * len(names))
    rows = np.arange(len(names))
    splits = [("train", np.asarray(train, dtype=float), TRAIN)]
    if test is not None:
        splits.append(("test", np.asarray(test, dtype=float), TEST))
    for row, values in enumerate(zip(*(accuracies for _, accuracies, _ in splits), strict=True)):
        if not np.isnan(values).any():
            ax.plot([min(values), max(values)], [row, row], color=NEUTRAL, linewidth=1.5, zorder=1)
    for k, (label, accuracies, colour) in enumerate(splits):
        known = ~np.isnan(accuracies)
        ax.plot(
            accuracies[known],
            rows[known],
            "os"[k],
            color=colour,
            markersize=7,
            label=label,
            linestyle="none",
            clip_on=False,
        )
        above = 1 if k else -1
        for row in rows[known]:
            ax.annotate(
                percent(accuracies[row]),
                (accuracies[row], row),
                xytext=(0, -9 * above),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=9,
                color=colour,
            )
    if chance is not None:
        ax.axvline(chance, color=NEUTRAL, linewidth=1, linestyle=(0, (4, 3)), zorder=0, label="largest class")
    ax.set_xlim(0, 1)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(rows, list(names))
    ax.tick_params(axis="y", length=0)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlabel("accuracy")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
    return ax
