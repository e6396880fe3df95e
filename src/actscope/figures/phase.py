"""The activation hash phase chart as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from actscope.figures.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Border", "draw_chart"]

_COLOURS = ("#e8a08a", "#f3d9a4", "#a9cbe2")
_NAMES = ("under-expressive", "critically expressive", "sufficiently expressive")


@dataclass(frozen=True, eq=False)
class Border:
    """A line across a chart.

    Attributes:
        style: of the line, solid or dashed.
        name: what it is, for the legend.
        width: (n_y,) where it is at every place of the vertical axis; NaN where it is not in the chart.
        low, high: (n_y,) the range of it.
    """

    style: Literal["-", "--"]
    name: str
    width: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def draw_chart(
    widths: NDArray[np.int64],
    y: NDArray[np.int64],
    *,
    regimes: NDArray[np.int64],
    redundancy: NDArray[np.float64],
    accuracy: NDArray[np.float64],
    y_name: str,
    borders: Sequence[Border] = (),
    mark: tuple[float, float] | None = None,
) -> Figure:
    """Regimes beside redundancy and K-NN accuracy, over width and another axis, both logarithmic.

    Args:
        widths: (n_x,) positive, the horizontal axis.
        y: (n_y,) positive, the vertical axis.
        regimes: (n_y, n_x) 0 under-, 1 critically, 2 sufficiently expressive.
        redundancy: (n_y, n_x).
        accuracy: (n_y, n_x).
        y_name: the vertical axis.
        borders: lines across the chart.
        mark: (width, y) of a network to mark with a star.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure = new_figure(11.5, 3.9)
    axes = figure.subplots(1, 3, sharey=True)
    columns, rows = (_edges(values.astype(float)) for values in (widths, y))
    axes[0].pcolormesh(columns, rows, regimes, cmap=ListedColormap(list(_COLOURS)), vmin=-0.5, vmax=2.5)
    figure.legend(
        handles=[
            *(Patch(color=colour, label=name) for colour, name in zip(_COLOURS, _NAMES, strict=True)),
            *(
                Line2D([], [], color="0.1", linestyle=border.style, linewidth=1.2, label=border.name)
                for border in borders
            ),
        ],
        loc="outside lower center",
        fontsize=7,
        frameon=False,
        ncols=5,
        columnspacing=1.2,
    )
    axes[0].set_title("regimes", fontsize=9)
    for ax, values, title in ((axes[1], redundancy, "redundancy, train"), (axes[2], accuracy, "9-NN accuracy, test")):
        mesh = ax.pcolormesh(columns, rows, values, cmap="viridis", vmin=0, vmax=1)
        figure.colorbar(mesh, ax=ax, pad=0.02)
        ax.set_title(title, fontsize=9)
    for ax in axes:
        for border in borders:
            _line(border, y, ax, colour="0.1" if ax is axes[0] else "white")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(widths.tolist(), [str(width) for width in widths], fontsize=7, rotation=90)
        ax.set_yticks(y.tolist(), [f"{value:,}" for value in y], fontsize=7)
        ax.minorticks_off()
        ax.set_xlim(columns[0], columns[-1])
        ax.set_ylim(rows[0], rows[-1])
        ax.set_xlabel("width")
        if mark is not None:
            ax.plot(*mark, marker="*", markersize=13, color="black", markeredgecolor="white")
    axes[0].set_ylabel(y_name.replace("_", " "))
    return figure


def _line(border: Border, y: NDArray[np.int64], ax: Axes, *, colour: str) -> None:
    known = np.isfinite(border.width)
    ax.plot(border.width[known], y[known], linestyle=border.style, color=colour, linewidth=1.2)
    known &= np.isfinite(border.low) & np.isfinite(border.high)
    ax.fill_betweenx(y[known], border.low[known], border.high[known], color=colour, alpha=0.18, linewidth=0)


def _edges(values: np.ndarray) -> np.ndarray:
    """Borders of boxes around values on a logarithmic scale."""
    place = np.log(values)
    middle = (place[1:] + place[:-1]) / 2
    edges: np.ndarray = np.exp(np.concatenate([[2 * place[0] - middle[0]], middle, [2 * place[-1] - middle[-1]]]))
    return edges
