"""How training went, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.canvas import axes_or_new
from actscope.figures.palette import TEST, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_epochs"]


def draw_epochs(train: ArrayLike, *, test: ArrayLike | None = None, quantity: str, ax: Axes | None = None) -> Axes:
    """A line over epochs 1, 2, … for training and one for test examples.

    Args:
        train: (n_epochs,) values.
        test: (n_epochs,) values.
        quantity: what they are, for the axis.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> draw_epochs([0.8, 0.9], test=[0.7, 0.8], quantity="accuracy").get_ylabel()
        'accuracy'
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes_or_new(ax)
    series = [("train, as seen during the epoch", train, TRAIN)]
    if test is not None:
        series.append(("test, after the epoch", test, TEST))
    for label, values, colour in series:
        epochs = np.arange(1, np.size(values) + 1)
        ax.plot(epochs, np.asarray(values), color=colour, marker="o" if len(epochs) < 2 else None, label=label)
    ax.set_xlabel("epoch")
    ax.set_ylabel(quantity)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax
