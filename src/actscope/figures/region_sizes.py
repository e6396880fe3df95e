"""How examples spread over small and large activation regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actscope.figures.canvas import axes_or_new
from actscope.figures.labels import percent, round_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_region_sizes"]


_MOST_NAMES = 9


def draw_region_sizes(counts: Mapping[str, ArrayLike], *, colours: list[str], ax: Axes | None = None) -> Axes:
    """The share of examples that live in a region with 1, 2, 3 to 4, 5 to 8, … of them: a bar for each range of sizes.

    Args:
        counts: by split, (n_regions,) how many examples each occupied region holds.
        colours: one for each split.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> ax = draw_region_sizes({"train": [1, 1, 2, 5]}, colours=["#2f6fb0"])
        >>> [label.get_text() for label in ax.get_xticklabels()]
        ['alone', '2', '≤ 4', '≤ 8']
        >>> [round(float(bar.get_height()), 2) for bar in ax.patches]
        [0.22, 0.22, 0.0, 0.56]
    """
    ax = axes_or_new(ax, height=2.5)
    sizes = {split: np.asarray(given, dtype=np.int64) for split, given in counts.items()}
    n_ranges = 1 + max(int(_range(given).max(initial=0)) for given in sizes.values())
    width = 0.8 / len(sizes)
    for k, ((split, given), colour) in enumerate(zip(sizes.items(), colours, strict=True)):
        share = np.bincount(_range(given), weights=given, minlength=n_ranges) / max(given.sum(), 1)
        at = np.arange(n_ranges) + (k - (len(sizes) - 1) / 2) * width
        ax.bar(at, share, width=width * 0.9, color=colour, label=split)
        if n_ranges * len(sizes) <= 8:
            for x, value in zip(at, share, strict=True):
                if value > 0:
                    ax.annotate(
                        percent(value),
                        (x, value),
                        xytext=(0, 3),
                        textcoords="offset points",
                        ha="center",
                        fontsize=9,
                    )
    step = -(-n_ranges // _MOST_NAMES)
    ax.set_xticks(range(n_ranges), [_range_name(i) if i % step == 0 else "" for i in range(n_ranges)])
    ax.set_ylim(0, ax.get_ylim()[1] * 1.08)
    ax.yaxis.set_major_formatter(lambda share, _: round_percent(share))
    ax.set_xlabel("examples in one region")
    ax.set_ylabel("share of examples")
    if len(sizes) > 1:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(sizes), frameon=False, borderaxespad=0.2)
    return ax


def _range(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the ranges 1, 2, 3–4, 5–8, … a size falls in."""
    index: NDArray[np.int64] = np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.int64)
    return index


def _range_name(index: int) -> str:
    if index == 0:
        return "alone"
    if index == 1:
        return "2"
    most = 2**index
    return f"≤ {most}" if most < 1000 else f"≤ {most // 1024}k"
