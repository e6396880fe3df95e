"""How the neurons of each site divide into dead, always on, otherwise constant, and varying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.bars import bars_height
from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import percent, shortened_alike
from actscope.figures.palette import ALIVE, ALWAYS_ON, CONSTANT, DEAD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_liveness"]


def draw_liveness(
    names: Sequence[str], *, dead: ArrayLike, always_on: ArrayLike, constant: ArrayLike, ax: Axes | None = None
) -> Axes:
    """One stacked bar for each site: the share of its neurons in each state.

    Args:
        names: (n_sites,) the sites.
        dead, always_on: (n_sites,) shares in [0, 1].
        constant: (n_sites,) share of the neurons whose pattern is constant in any way, dead and always on included.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_liveness(["relu"], dead=[0.25], always_on=[0.0], constant=[0.25])
        >>> [round(float(bar.get_width()), 2) for bar in ax.patches]
        [0.25, 0.0, 0.0, 0.75]
    """
    ax = axes_or_new(ax, height=bars_height(len(names)))
    rows = np.arange(len(names))
    dead, always_on, constant = (np.asarray(share, dtype=float) for share in (dead, always_on, constant))
    parts = (
        ("dead", dead, DEAD),
        ("always on", always_on, ALWAYS_ON),
        ("constant", np.maximum(constant - dead - always_on, 0.0), CONSTANT),
        ("varying", 1.0 - constant, ALIVE),
    )
    start = np.zeros(len(names))
    for label, shares, colour in parts:
        ax.barh(rows, shares, left=start, height=0.66, color=colour, label=label)
        start = start + shares
    for row, share in enumerate(constant):
        ax.annotate(percent(share), (1, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xlim(0, 1)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(rows, shortened_alike(names))
    ax.tick_params(axis="y", length=0)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlabel("share of neurons (number: those that never change)")
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=4,
        frameon=False,
        borderaxespad=0.2,
        handlelength=0.9,
        columnspacing=1.1,
    )
    return ax
