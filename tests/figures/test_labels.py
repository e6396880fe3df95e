"""Numbers and names as figures and pages write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actscope.figures.labels import percent, round_percent, shortened


@given(st.floats(0, 1))
def test_a_percentage_is_near_the_share_and_only_none_and_all_are_written_so(share: float) -> None:
    text = percent(share)
    if text.startswith(("<", ">")):
        assert 0 < share < 0.0001 or 0.9999 < share < 1
    else:
        assert abs(float(text.removesuffix(" %")) - 100 * share) <= 0.0501
    assert (text == "0 %") == (100 * share == 0)
    assert (text == "100 %") == (100 * share == 100)


@given(st.floats(1e-4, 0.009))
def test_a_small_share_keeps_two_decimals(share: float) -> None:
    assert abs(float(percent(share).removesuffix(" %")) - 100 * share) <= 0.00501


def test_almost_nothing_and_almost_all_are_told_from_nothing_and_all() -> None:
    assert [percent(x) for x in (1e-7, 0.99999, 0.9997)] == ["< 0.01 %", "> 99.99 %", "99.97 %"]


def test_what_is_no_number_is_a_dash() -> None:
    assert percent(float("nan")) == "–"


def test_ticks_have_no_decimals_they_do_not_need() -> None:
    assert [round_percent(x) for x in (0, 1e-5, 0.025, 0.2, 1)] == ["0 %", "0.001 %", "2.5 %", "20 %", "100 %"]


@given(st.text(max_size=60), st.integers(3, 30))
def test_a_shortened_name_fits_and_keeps_both_ends(name: str, length: int) -> None:
    short = shortened(name, length=length)
    assert len(short) <= length or (short == name and len(name) <= length)
    if len(name) > length:
        assert short[0] == name[0]
        assert short[-1] == name[-1]
