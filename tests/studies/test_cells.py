"""A cell is known by all that decides its results, and by nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.studies import Cell
from actscope.training import Recipe

settings = st.dictionaries(
    st.text(min_size=1, max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5)
)


@given(settings)
def test_the_order_of_settings_does_not_matter(chosen: dict[str, Any]) -> None:
    backwards = dict(reversed(chosen.items()))
    assert Cell("a.study", 1, chosen).id == Cell("a.study", 1, backwards).id


@pytest.mark.parametrize(
    "other",
    [
        Cell("b.study", 1, {"width": 3}, Recipe(epochs=1)),
        Cell("a.study", 2, {"width": 3}, Recipe(epochs=1)),
        Cell("a.study", 1, {"width": 4}, Recipe(epochs=1)),
        Cell("a.study", 1, {"width": 3, "seed": 0}, Recipe(epochs=1)),
        Cell("a.study", 1, {"width": 3}, Recipe(epochs=2)),
        Cell("a.study", 1, {"width": 3}),
    ],
    ids=["study", "version", "setting", "one more setting", "recipe", "no recipe"],
)
def test_whatever_differs_makes_another_cell(other: Cell) -> None:
    assert Cell("a.study", 1, {"width": 3}, Recipe(epochs=1)).id != other.id


def test_a_setting_that_is_no_plain_value_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="widths=\\[3\\]"):
        Cell("a.study", 1, {"widths": [3]})  # type: ignore[dict-item]  # what the caller got wrong
