"""Figures inside a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib
import pytest

from actscope.figures.bars import draw_bars
from actscope.figures.bit_matrix import draw_bit_matrix
from actscope.figures.palette import TEST, TRAIN
from actscope.figures.svg import inline_svg, page_style


def drawn(name: str, label: str = "what it shows") -> str:
    with page_style():
        ax = draw_bars(["first <b>", "second & last"], {"train": [0.2, 0.3], "test": [0.1, 0.0]}, colours=[TRAIN, TEST])
        return inline_svg(ax.figure, name=name, label=label)


def test_it_is_one_svg_element_that_says_what_it_shows() -> None:
    root = ElementTree.fromstring(drawn("bars", 'Bars, "quoted" <and> & escaped'))
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'Bars, "quoted" <and> & escaped'
    assert "width" not in root.attrib


def test_it_loads_nothing_and_styles_nothing_outside_itself() -> None:
    svg = drawn("bars")
    assert "http" not in svg
    assert "<style" not in svg
    assert "<metadata" not in svg
    for reference in re.findall(r'(?:href="|url\()([^")]*)', svg):
        assert reference.startswith("#bars-")


def test_ids_of_two_figures_never_meet() -> None:
    ids = [set(re.findall(r'\bid="([^"]*)"', drawn(name))) for name in ("first", "second")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_every_reference_has_its_target() -> None:
    svg = drawn("bars")
    targets = set(re.findall(r'\bid="([^"]*)"', svg))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', svg)) <= targets


def test_ink_and_palette_follow_the_page() -> None:
    svg = drawn("bars")
    assert "currentColor" in svg
    assert "var(--train, " in svg
    assert "var(--test, " in svg
    assert "#0b0c0d" not in svg
    assert "#000000" not in svg


def test_text_stays_text_in_the_font_of_the_page() -> None:
    root = ElementTree.fromstring(drawn("bars"))
    texts = {"".join(element.itertext()).strip() for element in root.iter("text")}
    assert {"first <b>", "second & last", "20.0 %", "train", "test"} <= texts
    for element in root.iter("text"):
        assert "var(--figure-font)" in element.get("style", "")
        assert "DejaVu" not in element.get("style", "")


def test_pictures_keep_their_pixels() -> None:
    with page_style():
        ax = draw_bit_matrix([[0, 1, 0], [1, 1, 0]], [0, 1], class_names=["a", "b"], sites=[("relu", 3)])
        svg = inline_svg(ax.figure, name="bits", label="bits")
    assert re.findall(r'<image[^>]* href="data:image/png;base64,', svg)


def test_the_same_figure_is_the_same_text() -> None:
    assert drawn("bars") == drawn("bars")


def test_settings_of_matplotlib_are_as_before_also_after_an_error() -> None:
    before = dict(matplotlib.rcParams)
    with page_style():
        assert dict(matplotlib.rcParams) != before
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(ZeroDivisionError), page_style():
        1 / 0  # noqa: B018
    assert dict(matplotlib.rcParams) == before


def test_a_users_own_style_does_not_reach_the_page() -> None:
    plain = drawn("bars")
    with matplotlib.rc_context({"text.color": "red", "font.size": 30, "axes.facecolor": "black"}):
        assert drawn("bars") == plain
