"""Figures of verdicts and of units over training show what they are given."""

from __future__ import annotations

import numpy as np

from actscope.figures.unit_series import draw_unit_series
from actscope.figures.verdict_shares import draw_verdict_shares


def test_each_share_is_a_bar_in_its_row_and_column_and_an_unknown_one_a_dash() -> None:
    ax = draw_verdict_shares(["a", "b"], {"dead": [0.5, 0.0], "saturated": [np.nan, 1.0]})
    bars = [(round(bar.get_x()), round(float(bar.get_width()) / 0.9, 6)) for bar in ax.patches]
    assert bars == [(0, 0.5), (0, 0.0), (1, 0.0), (1, 1.0)]
    assert [text.get_text() for text in ax.texts] == ["50.0 %", "0 %", "–", "100 %"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["dead", "saturated"]


def test_a_layer_is_the_median_of_its_units_and_readings_without_one_are_left_out() -> None:
    rows = np.array([[1.0, 2.0, 9.0], [np.nan, np.nan, np.nan], [3.0, np.inf, 5.0]])
    ax = draw_unit_series([0, 10, 20], {"first": rows, "second": np.full((3, 2), np.nan)}, ylabel="a measure")
    assert len(ax.lines) == 1
    assert ax.lines[0].get_xdata().tolist() == [0, 20]
    assert ax.lines[0].get_ydata().tolist() == [2.0, 4.0]
