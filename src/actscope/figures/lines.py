"""Where along a line the neurons of each site switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import counted, shortened_alike
from actscope.figures.palette import NEUTRAL, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_switches"]

_VECTOR_TICKS = 4000
"""Beyond so many ticks an SVG gets slow and large, and they become one picture."""

_CROWDED = 150
"""Ticks in a row beyond which a curve of their density tells more than they do."""


def draw_switches(
    t: ArrayLike,
    step: ArrayLike,
    *,
    names: Sequence[str],
    extent: tuple[float, float] = (0.0, 1.0),
    ax: Axes | None = None,
) -> Axes:
    """A row for each site, in it a tick wherever one of its neurons switches; in a crowded row, their density behind them.

    Args:
        t: (n,) where on the line. step: (n,) which row, a position in `names`.
        names: (n_rows,) what the rows are, the first one lowest, as layers are drawn.
        extent: from where to where the line goes. Where an end is infinite, the outermost twentieths of the switches are not
            shown, and how many lie beyond is said; the two inputs, t = 0 and t = 1, then are marked.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_switches([0.2, 0.5, 0.7], [0, 1, 1], names=["relu1", "relu2"])
        >>> [text.get_text() for text in ax.texts]
        ['1', '2']
    """
    at, row = np.asarray(t, dtype=float).ravel(), np.asarray(step, dtype=np.int64).ravel()
    n_rows = len(names)
    ax = axes_or_new(ax, width=6.0, height=0.75 + 0.46 * max(n_rows, 1))
    low, high = _shown(at, extent)
    within = (at >= low) & (at <= high)
    for i in range(n_rows):
        mine = at[(row == i) & within]
        crowded = len(mine) > _CROWDED
        ax.hlines(i - 0.16 * crowded, low, high, color=NEUTRAL, linewidth=0.5, alpha=0.5, zorder=1)
        if crowded:
            _draw_density(ax, mine, low, high, i)
        ax.vlines(
            mine,
            i - 0.36 if not crowded else i - 0.4,
            i + 0.36 if not crowded else i - 0.22,
            color=TRAIN,
            linewidth=float(np.clip(90 / max(len(mine), 1), 0.25, 1.2)),
            alpha=float(np.clip(160 / max(len(mine), 1), 0.25, 0.95)),
            rasterized=len(mine) > _VECTOR_TICKS,
            zorder=2,
        )
        ax.annotate(
            f"{int((row == i).sum()):,}",
            (1, i),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=NEUTRAL,
            fontsize=9,
        )
    if np.isinf(extent).any():
        for end in (0.0, 1.0):
            if low <= end <= high:
                ax.axvline(end, color=NEUTRAL, linestyle=(0, (3, 2)), linewidth=0.9, zorder=0)
        beyond = int((~within).sum())
        if beyond:
            ax.set_title(
                f"{counted(beyond, 'switch').replace('switchs', 'switches')} beyond what is shown",
                fontsize=9,
                loc="right",
            )
    ax.set_xlim(low, high)
    ax.set_ylim(-0.6, n_rows - 0.4)
    ax.set_yticks(range(n_rows), shortened_alike(list(names)) if names else [])
    ax.tick_params(axis="y", length=0)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.set_xlabel("t")
    return ax


def _draw_density(ax: Axes, t: NDArray[np.float64], low: float, high: float, row: int) -> None:
    """How many switches there are along a row, as an area above its ticks."""
    n_bins = int(np.clip(len(t) // 12, 20, 160))
    counts, edges = np.histogram(t, bins=n_bins, range=(low, high))
    heights = row - 0.16 + 0.54 * counts / max(int(counts.max()), 1)
    ax.stairs(heights, edges, baseline=row - 0.16, fill=True, color=TRAIN, alpha=0.35, linewidth=0, zorder=2)


def _shown(t: NDArray[np.float64], extent: tuple[float, float]) -> tuple[float, float]:
    """Finite ends of what is shown of a line."""
    low, high = extent
    inside = np.concatenate([t, [0.0, 1.0]])
    first, last = np.quantile(inside, [0.05, 0.95])
    first, last = min(float(first), 0.0), max(float(last), 1.0)
    margin = 0.04 * (last - first)
    return (low if np.isfinite(low) else first - margin, high if np.isfinite(high) else last + margin)
