"""Bars are drawn where they are asked for, one below the other, and leave nothing behind."""

from __future__ import annotations

import pytest

import actscope.progress as progress
from actscope.progress import progress_bar


def test_a_bar_within_a_bar_is_a_line_of_the_same_display() -> None:
    with progress_bar("outer", total=2, show=True) as outer:
        (display,) = progress._shown
        with progress_bar("inner", total=5, show=True, unit="cells") as inner:
            assert progress._shown == [display]
            assert [task.description for task in display.tasks] == ["outer", "inner"]
            inner(3)
            outer(1)
            assert [task.completed for task in display.tasks] == [1, 3]
        assert [task.description for task in display.tasks] == ["outer"]
    assert not progress._shown


def test_after_an_exception_nothing_is_on_the_screen() -> None:
    with (
        pytest.raises(KeyError),
        progress_bar("outer", total=None, show=True),
        progress_bar("inner", total=1, show=True),
    ):
        raise KeyError
    assert not progress._shown


def test_without_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("quiet", total=1) as advance:
        advance(1)
    assert not progress._shown
    assert capsys.readouterr() == ("", "")
