"""How long regions are: a histogram over many scales, with what has no end beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import percent, round_percent
from actscope.figures.palette import TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_diameters"]


def draw_diameters(
    lengths: ArrayLike,
    weights: ArrayLike,
    *,
    colour: str = TRAIN,
    name: str = "",
    xlabel: str = "length of the region along the line",
    n_bins: int = 40,
    ax: Axes | None = None,
) -> Axes:
    """A histogram of lengths on a logarithmic axis; how many are infinite or zero is said in words, since neither has a place on it.

    Several calls can share axes.

    Args:
        lengths: (n,) of which some may be infinite.
        weights: (n,) adding up to 1.
        colour, name: of this histogram.
        xlabel: what the lengths are.
        n_bins: bars between the shortest and the longest.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_diameters([0.5, 1.0, 2.0, np.inf], [0.25] * 4, n_bins=3)
        >>> [text.get_text() for text in ax.texts]
        ['25.0 % have no end']
    """
    ax = axes_or_new(ax)
    flat, shares = np.asarray(lengths, dtype=float), np.asarray(weights, dtype=float)
    shown = np.isfinite(flat) & (flat > 0)
    if shown.any():
        low, high = float(flat[shown].min()), float(flat[shown].max())
        if high < low * 1.01:
            low, high = low / 2, high * 2
        edges = np.geomspace(low, high, n_bins + 1)
        edges[0], edges[-1] = low, high  # geomspace rounds
        ax.hist(
            flat[shown],
            bins=list(edges),
            weights=shares[shown],
            histtype="stepfilled",
            facecolor=(colour, 0.35),
            edgecolor=colour,
            label=name or None,
        )
        ax.set_xscale("log")
    ax.yaxis.set_major_formatter(lambda share, _: round_percent(share))
    ax.set_xlabel(xlabel)
    ax.set_ylabel("share of regions")
    words = [
        f"{percent(share)} {text}"
        for share, text in (
            (float(shares[np.isinf(flat)].sum()), "have no end"),
            (float(shares[flat == 0].sum()), "are 0"),
        )
        if share > 0
    ]
    if words:
        ax.text(
            0.98,
            0.97 - 0.09 * len(ax.texts),
            ", ".join(words),
            transform=ax.transAxes,
            ha="right",
            va="top",
            color=colour,
        )
    if name:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
    return ax
