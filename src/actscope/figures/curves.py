"""Curves with a shaded deviation, and single points beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actscope.figures.canvas import axes_or_new
from actscope.figures.palette import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Curve", "draw_curves"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A mean along an axis, and its deviation.

    Attributes:
        label: for the legend.
        x: (n,) places.
        mean: (n,) values.
        sd: (n,) deviations; a band of this width on both sides is shaded.
    """

    label: str
    x: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


def draw_curves(
    curves: Sequence[Curve],
    *,
    points: Sequence[tuple[float, float, object]] = (),
    xlabel: str = "",
    ylabel: str = "",
    log_x: bool = False,
    log_y: bool = False,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Each curve as a line with a shaded band, and points as crosses.

    A logarithmic vertical axis is linear below 0.001, so that zero can be drawn. So is a logarithmic horizontal one below 1, if
    there is a place below 1 to draw.

    Args:
        curves: what to draw, in the order of the legend.
        points: (x, y, of) each; a point whose `of` ends the label of a curve gets its colour, others are grey.
        xlabel: the horizontal axis.
        ylabel: the vertical axis.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is.
        legend: whether the curves are named, if there are several.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> curve = Curve("epoch 10", np.array([1, 2]), np.array([0.5, 0.25]), np.array([0.1, 0.1]))
        >>> draw_curves([curve], points=[(1, 0.4, 10)], ylabel="redundancy").get_ylabel()
        'redundancy'
    """
    ax = axes_or_new(ax)
    colours = {curve.label: CLASSES[i % len(CLASSES)] for i, curve in enumerate(curves)}
    for curve in curves:
        colour = colours[curve.label]
        ax.plot(curve.x, curve.mean, color=colour, marker="o", markersize=2.5, linewidth=1.2, label=curve.label)
        ax.fill_between(curve.x, curve.mean - curve.sd, curve.mean + curve.sd, color=colour, alpha=0.2, linewidth=0)
    for x, y, of in points:
        match = next(
            (colours[curve.label] for curve in curves if of is not None and curve.label.endswith(f" {of}")), "0.25"
        )
        ax.plot(x, y, marker="x", color=match, markersize=5, linestyle="none", markeredgewidth=1.2)
    if log_x:
        if min((float(np.min(curve.x)) for curve in curves), default=1) < 1:
            ax.set_xscale("symlog", linthresh=1)
            ax.set_xlim(left=-0.2)  # what is drawn at 0 is not cut
        else:
            ax.set_xscale("log")
    if log_y:
        ax.set_yscale("symlog", linthresh=1e-3)
        ax.set_ylim(bottom=-2e-4)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if legend and len(curves) > 1:
        ax.legend(frameon=False, fontsize=7)
    return ax
