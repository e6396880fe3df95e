"""Where along a line neurons switch, as a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actscope.figures.lines import draw_switches
from actscope.regions import line
from actscope.training import MLP


def ticks(ax: Axes, row: int) -> NDArray[np.float64]:
    """Where the ticks of a row are."""
    segments = [
        segment
        for collection in ax.collections
        if hasattr(collection, "get_segments")
        for segment in collection.get_segments()
        if segment[0][0] == segment[1][0] and abs(np.mean(np.array(segment)[:, 1]) - row) < 0.45
    ]
    return np.array([segment[0][0] for segment in segments])


def test_every_switch_is_a_tick_in_the_row_of_its_site() -> None:
    t, step = np.array([0.1, 0.9, 0.5, 0.6]), np.array([0, 0, 1, 0])
    ax = draw_switches(t, step, names=["a", "b"])
    assert sorted(ticks(ax, 0)) == [0.1, 0.6, 0.9]
    assert ticks(ax, 1).tolist() == [0.5]
    assert [text.get_text() for text in ax.texts] == ["3", "1"]


def test_a_crowded_row_shows_its_density_too() -> None:
    few, many = (
        draw_switches(np.linspace(0, 1, 9), np.zeros(9, int), names=["a"]),
        draw_switches(np.linspace(0, 1, 5000), np.zeros(5000, int), names=["a"]),
    )
    assert len(many.patches) > len(few.patches) == 0
    assert len(ticks(many, 0)) == 5000


def test_a_segment_is_shown_from_end_to_end() -> None:
    assert draw_switches([0.4], [0], names=["a"], extent=(0.0, 1.0)).get_xlim() == (0, 1)


def test_an_infinite_line_is_shown_where_most_happens_and_says_what_is_beyond() -> None:
    t = np.concatenate([np.linspace(-1, 2, 98), [-1e9, 1e9]])
    ax = draw_switches(t, np.zeros(100, int), names=["a"], extent=(-np.inf, np.inf))
    low, high = ax.get_xlim()
    assert -2 < low < 0
    assert 1 < high < 3
    beyond = int(((t < low) | (t > high)).sum())
    assert beyond >= 2
    assert ax.get_title(loc="right") == f"{beyond} switches beyond what is shown"


def test_a_half_line_is_cut_only_where_it_has_no_end() -> None:
    low, high = draw_switches([0.5, 3.0], [0, 0], names=["a"], extent=(0.0, np.inf)).get_xlim()
    assert low == 0
    assert np.isfinite(high)


@pytest.mark.parametrize("extent", [(0.0, 1.0), (-np.inf, np.inf)])
def test_a_line_on_which_nothing_switches_can_be_drawn(extent: tuple[float, float]) -> None:
    draw_switches([], [], names=["a"], extent=extent).figure.canvas.draw()


def test_given_axes_are_drawn_on_and_returned() -> None:
    ax = Figure().add_subplot()
    assert draw_switches([0.4], [0], names=["a"], ax=ax) is ax


@pytest.mark.parametrize("extend", [False, True])
def test_a_line_plots_every_switch_that_it_counts(extend: bool) -> None:
    found = line(MLP(3, [20, 9], 2, seed=0), -torch.ones(3), torch.tensor([1.0, 0.5, 2.0]), extend=extend)
    ax = found.plot()
    assert sum(int(text.get_text()) for text in ax.texts) == len(found.switches)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["relu1", "relu2"]
