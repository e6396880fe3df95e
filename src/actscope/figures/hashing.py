"""How hash quality changes with the size of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import round_percent
from actscope.figures.palette import NEUTRAL, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_rarefaction"]


def draw_rarefaction(
    sizes: ArrayLike,
    redundancy_ratio: ArrayLike,
    shared_ratio: ArrayLike | None = None,
    *,
    first_collision_size: float | None = None,
    one_percent_size: float | None = None,
    borders_are_lower_bounds: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Expected redundancy of random subsets against their size, both logarithmic, with two borders as upright lines.

    Args:
        sizes: (k,) subset sizes.
        redundancy_ratio: (k,) expected redundancy ratio; sizes where it is 0 are left out.
        shared_ratio: (k,) expected share of examples that share their code; not drawn if `None`.
        first_collision_size: sample size at which the first two examples in one region are to be expected.
        one_percent_size: sample size before which no redundancy of one percent is to be expected.
        borders_are_lower_bounds: whether the borders can only be further right.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_rarefaction([10, 100, 1000], [0.0, 0.002, 0.03], first_collision_size=70, one_percent_size=400)
        >>> [line.get_label() for line in ax.get_lines()]
        ['redundancy ratio', 'first collisions near 70', '1 % not before 400']
    """
    ax = axes_or_new(ax)
    x = np.asarray(sizes, dtype=float)
    curves = [("redundancy ratio", np.asarray(redundancy_ratio, dtype=float), "solid")]
    if shared_ratio is not None:
        curves.append(("share that share a code", np.asarray(shared_ratio, dtype=float), "dashed"))
    for label, y, style in curves:
        ax.plot(np.where(y > 0, x, np.nan), np.where(y > 0, y, np.nan), linestyle=style, color=TRAIN, label=label)
    borders = (
        (first_collision_size, "first collisions", "near", (0, (1, 2))),
        (one_percent_size, "1 %", "not before", (0, (5, 3))),
    )
    for size, name, where, dashes in borders:
        if size is not None:
            where = "not before" if borders_are_lower_bounds else where
            ax.axvline(size, color=NEUTRAL, linewidth=1.2, linestyle=dashes, label=f"{name} {where} {_rounded(size)}")
    known = [float(x.max()), *(size for size, *_ in borders if size is not None)]
    ax.set_xscale("log")
    ax.set_xlim(1, 1.5 * max(known))
    positive = [y[y > 0] for _, y, _ in curves if (y > 0).any()]
    if positive:
        ax.set_yscale("log")
        ax.set_ylim(max(1e-6, min(float(y.min()) for y in positive)) / 1.5, 1.1)
    else:
        ax.set_ylim(-0.02, 1)
        ax.text(0.5, 0.5, "no two examples share a code", transform=ax.transAxes, ha="center", color=NEUTRAL)
    ax.yaxis.set_major_formatter(lambda share, _: round_percent(share))
    ax.set_xlabel("examples in the sample")
    ax.set_ylabel("expected share")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2, fontsize="small")
    return ax


def _rounded(size: float) -> str:
    """Two significant digits, which is all a border knows."""
    if size < 10:
        return f"{size:.1f}"
    if size < 1e7:
        return f"{float(f'{size:.2g}'):,.0f}"
    return f"{size:.1e}".replace("e+0", "e").replace("e+", "e")
