"""Axes to draw on, without pyplot and its global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["axes_or_new", "new_figure"]


def axes_or_new(ax: Axes | None, *, width: float = 4.5, height: float = 3.0) -> Axes:
    """The given axes, or those of a new figure of `width` × `height` inches that no window and no registry holds on to.

    Example:
        >>> ax = axes_or_new(None, width=4, height=2)
        >>> axes_or_new(ax) is ax
        True
    """
    if ax is not None:
        return ax
    return new_figure(width, height).add_subplot()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` × `height` inches that no window and no registry holds on to.

    Example:
        >>> len(new_figure(6, 3).subplots(1, 2))
        2
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
