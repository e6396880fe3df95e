"""A measure of many units over training: a line and a band for each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import shortened_alike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_unit_series"]


def draw_unit_series(
    steps: ArrayLike, series: Mapping[str, ArrayLike], *, ylabel: str = "", ax: Axes | None = None
) -> Axes:
    """One line a layer, its units' median, with a band from their lower to their upper quartile; layers from dark to light.

    Args:
        steps: (n_readings,).
        series: by layer, (n_readings, n_units); what is not finite is left out.
        ylabel: what is measured.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_unit_series([0, 100], {"linear1": [[1.0, 2.0, 9.0], [0.5, 1.0, 1.5]]})
        >>> ax.lines[0].get_ydata().tolist()
        [2.0, 1.0]
    """
    import textwrap

    from matplotlib import colormaps

    ax = axes_or_new(ax, width=5.5, height=3.4)
    x = np.asarray(steps)
    for colour, label, values in zip(
        colormaps["viridis"](np.linspace(0, 0.9, max(len(series), 1))),
        shortened_alike(list(series)),
        series.values(),
        strict=True,
    ):
        rows = np.asarray(values, dtype=float)
        rows = np.ma.masked_invalid(rows)
        kept = [row.compressed() for row in rows]
        seen = np.array([len(row) > 0 for row in kept], dtype=bool)
        if not seen.any():
            continue
        quartiles = np.array([np.quantile(row, [0.25, 0.75]) for row in kept if len(row)])
        ax.fill_between(x[seen], quartiles[:, 0], quartiles[:, 1], color=colour, alpha=0.15, linewidth=0)
        ax.plot(x[seen], [np.median(row) for row in kept if len(row)], color=colour, linewidth=1.4, label=label)
    ax.set_xlabel("step")
    ax.set_ylabel(textwrap.fill(ylabel, 36))
    if len(series) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return ax
