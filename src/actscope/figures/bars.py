"""Shares of named things, as horizontal bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import percent, round_percent, shortened_alike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bars_height", "draw_bars"]


def bars_height(n_names: int, *, n_series: int = 1) -> float:
    """The height in inches at which so many names with so many bars each can be read."""
    return 0.75 + n_names * (0.14 + 0.12 * n_series)


def draw_bars(
    names: Sequence[str],
    series: Mapping[str, ArrayLike],
    *,
    colours: Sequence[str],
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Horizontal bars of shares in [0, 1]: a row for each name, in it a bar for each series, with its value at its end.

    Args:
        names: (n_names,) what the rows are.
        series: by name, (n_names,) shares.
        colours: one colour for each series.
        xlabel: what the shares are of.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_bars(["relu1", "relu2"], {"train": [0.1, 0.5]}, colours=["#2f6fb0"])
        >>> [text.get_text() for text in ax.texts]
        ['10.0 %', '50.0 %']
    """
    n_series = len(series)
    ax = axes_or_new(ax, height=bars_height(len(names), n_series=n_series))
    rows = np.arange(len(names), dtype=float)
    thickness = 0.76 / max(n_series, 1)
    largest = max(
        (float(np.max(np.asarray(shares, dtype=float), initial=0.0)) for shares in series.values()), default=0.0
    )
    for k, ((label, values), colour) in enumerate(zip(series.items(), colours, strict=True)):
        shares = np.asarray(values, dtype=float)
        at = rows + (k - (n_series - 1) / 2) * thickness
        ax.barh(at, shares, height=thickness * 0.86, color=colour, label=label)
        for y, share in zip(at, shares, strict=True):
            ax.annotate(percent(share), (share, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xlim(0, max(largest * 1.18, 1e-3))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(rows, shortened_alike(names))
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(lambda share, _: round_percent(share))
    ax.xaxis.get_major_locator().set_params(nbins=5)  # type: ignore[call-arg]  # the default locator takes it
    ax.set_xlabel(xlabel)
    if n_series > 1:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=n_series, frameon=False, borderaxespad=0.2)
    return ax
