"""How alike the activation patterns of pairs of examples are: over thresholds, and over sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.bars import draw_bars
from actscope.figures.canvas import axes_or_new
from actscope.figures.palette import NEUTRAL, TEST, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_mean_similarity", "draw_pairs", "draw_similarity_curves"]

_COLOURS = (TRAIN, TEST)
_MANY_POINTS = 2000


def draw_similarity_curves(
    thresholds: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    band: tuple[ArrayLike, ArrayLike] | None = None,
    name: str = "",
    dashed: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Shares of pairs above each threshold of similarity, one curve a set of pairs; several calls can share axes.

    Args:
        thresholds: (k,) similarity that pairs have to exceed.
        curves: (k,) shares by what they are of, two at most.
        band: (k,) lowest and (k,) highest share, shaded in the colour of the last curve.
        name: what goes before each curve's name in the legend.
        dashed: whether the curves are dashed.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_similarity_curves([0.0, 0.5, 1.0], {"combined": [1, 0.4, 0], "single": [1, 0.9, 0]}, name="trained")
        >>> [line.get_label() for line in ax.get_lines()]
        ['trained: combined', 'trained: single']
    """
    ax = axes_or_new(ax)
    x = np.asarray(thresholds, dtype=float)
    colour = TRAIN
    for (label, shares), colour in zip(curves.items(), _COLOURS, strict=False):
        ax.plot(
            x,
            np.asarray(shares, dtype=float),
            color=colour,
            linestyle="dashed" if dashed else "solid",
            label=f"{name}: {label}" if name else label,
        )
    if band is not None:
        low, high = (np.asarray(edge, dtype=float) for edge in band)
        ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("threshold λ of pattern similarity")
    ax.set_ylabel("share of pairs above λ")
    ax.legend(loc="lower left", frameon=False, fontsize="small")  # few pairs are less alike than a low threshold
    return ax


def draw_mean_similarity(
    sites: Sequence[str], series: Mapping[str, Sequence[float]], *, ax: Axes | None = None
) -> Axes:
    """The mean pattern similarity of each site as a bar, first site on top, for one set of pairs or two.

    Args:
        sites: site names, in the order in which they run.
        series: a mean a site, by what pairs it is of.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_mean_similarity(["fc1", "fc2"], {"within a class": [0.9, 0.8], "between classes": [0.7, 0.4]})
        >>> len(ax.patches)
        4
    """
    colours = [NEUTRAL] if len(series) == 1 else [TEST, TRAIN]
    return draw_bars(sites, series, colours=colours, xlabel="mean pattern similarity", ax=ax)


def draw_pairs(
    similarity: ArrayLike,
    values: ArrayLike,
    *,
    ylabel: str,
    same_label: ArrayLike | None = None,
    n_neurons: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Pairs of examples as points, by their pattern similarity and something else.

    Args:
        similarity: (n_pairs,) pattern similarity.
        values: (n_pairs,) what else, called `ylabel`.
        same_label: (n_pairs,) whether both examples of a pair have one label; `None` draws all alike.
        n_neurons: N, to draw the line N(1 - PS) on which transition densities would lie; `None` for none.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_pairs([0.5, 0.9], [60, 12], ylabel="transition density", same_label=[False, True], n_neurons=100)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['different labels', 'same label', 'TD = N(1 - PS)']
    """
    ax = axes_or_new(ax)
    x, y = np.asarray(similarity, dtype=float), np.asarray(values, dtype=float)
    if same_label is None:
        sets = [("", np.ones(len(x), bool), NEUTRAL)]
    else:
        same = np.asarray(same_label, dtype=bool)
        sets = [("different labels", ~same, TRAIN), ("same label", same, TEST)]
    for label, chosen, colour in sets:
        ax.scatter(
            x[chosen],
            y[chosen],
            s=9,
            color=colour,
            alpha=0.6,
            linewidths=0,
            label=label or None,
            rasterized=len(x) > _MANY_POINTS,
        )
    if n_neurons is not None:
        ends = np.array([x.min(initial=1.0), 1.0])
        ax.plot(ends, n_neurons * (1 - ends), color=NEUTRAL, linewidth=1.2, label="TD = N(1 - PS)")
    ax.set_xlabel("pattern similarity")
    ax.set_ylabel(ylabel)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="upper right", frameon=False, fontsize="small")
    return ax
