"""Which share of each site's units bears each verdict: small bars in columns, since verdicts overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.bars import bars_height
from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import percent, shortened_alike
from actscope.figures.palette import ALIVE, ALWAYS_ON, CONSTANT, DEAD, NEUTRAL, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_verdict_shares"]

_COLOURS = {"dead": DEAD, "constant pattern": CONSTANT, "always on": ALWAYS_ON, "alive": ALIVE, "redundant": NEUTRAL}
_SHORT = {"constant pattern": "constant"}


def draw_verdict_shares(names: Sequence[str], shares: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """A row for each site, a column for each verdict, and in each cell a bar as long as the share, with its number.

    Args:
        names: (n_sites,) the sites.
        shares: by verdict, (n_sites,) shares in [0, 1]; NaN where a site cannot bear it. They may overlap.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_verdict_shares(["relu1", "relu2"], {"dead": [0.25, 0.0], "alive": [0.75, 1.0]})
        >>> [text.get_text() for text in ax.texts]
        ['25.0 %', '0 %', '75.0 %', '100 %']
    """
    ax = axes_or_new(ax, width=1.4 + 0.95 * len(shares), height=bars_height(len(names)) + 0.1)
    rows = np.arange(len(names))
    for column, (verdict, values) in enumerate(shares.items()):
        share = np.asarray(values, dtype=float)
        ax.barh(rows, np.nan_to_num(share) * 0.9, left=column, height=0.66, color=_COLOURS.get(verdict, TRAIN))
        ax.axvline(column, color=NEUTRAL, linewidth=0.6)
        for row, value in enumerate(share):
            ax.annotate(
                percent(value), (column, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8.5
            )
    ax.set_xlim(0, len(shares))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(rows, shortened_alike(names))
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(len(shares)) + 0.02, [_SHORT.get(name, name) for name in shares], ha="left")
    ax.tick_params(axis="both", length=0)
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set_visible(False)
    return ax
