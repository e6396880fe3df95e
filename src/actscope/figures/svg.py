"""Figures as SVG elements inside an HTML page: one drawing for light and dark, text that stays text."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from actscope.figures import palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CSS_COLOURS", "inline_svg", "page_style"]

_INK = "#0b0c0d"
_PAPER = "#fbfcfd"
_GRID = "#c1c2c3"

CSS_COLOURS = {
    **{colour: f"--class-{i}" for i, colour in enumerate(palette.CLASSES)},
    palette.TRAIN: "--train",
    palette.TEST: "--test",
    palette.NEUTRAL: "--neutral",
    palette.ALIVE: "--alive",
    palette.ALWAYS_ON: "--always-on",
    palette.CONSTANT: "--constant",
    palette.DEAD: "--dead",
}
"""The palette's colours and the CSS custom properties that a page may give another value in the dark."""

_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}")
_SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def page_style() -> Iterator[None]:
    """While open, matplotlib draws for a page: sober axes, no background, and ink in a colour that `inline_svg` knows."""
    import matplotlib
    from cycler import cycler

    settings: dict[Any, Any] = {
        **matplotlib.rcParamsDefault,
        "backend": matplotlib.rcParams["backend"],
        "svg.fonttype": "none",
        "font.size": 10.0,
        "axes.titlesize": 10.5,
        "axes.labelsize": 10.0,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "legend.fontsize": 9.5,
        "legend.handlelength": 1.3,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.3,
        "axes.prop_cycle": cycler(color=list(palette.CLASSES)),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.facecolor": _PAPER,
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "savefig.dpi": 200,
        "grid.color": _GRID,
        "grid.linewidth": 0.6,
        "image.composite_image": False,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    with matplotlib.rc_context(settings):
        yield


def inline_svg(figure: Figure, *, name: str, label: str) -> str:
    """One `<svg>` element to put into an HTML page, drawn from a figure made under `page_style`.

    Ink becomes `currentColor`, the palette's colours become CSS custom properties, text takes the page's font, and every id begins
    with `name`, so that several figures live in one page. Nothing in it loads anything.

    Args:
        figure: what to show.
        name: unique in the page; letters, digits and hyphens.
        label: what the figure shows, for those who cannot see it.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG_NAMESPACE)
        _rewrite(element, name)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):  # a style element in an inline SVG would hold for the whole page
                parent.remove(child)
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": "figure", "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _rewrite(element: ElementTree.Element, name: str) -> None:
    href = element.attrib.pop(_XLINK_HREF, None)
    if href is not None:
        element.set("href", f"#{name}-{href[1:]}" if href.startswith("#") else href)
    if element.tag == "g" and "id" in element.attrib:
        del element.attrib["id"]
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif "url(#" in value:
            element.set(key, value.replace("url(#", f"url(#{name}-"))
        elif key in ("style", "fill", "stroke"):
            element.set(key, _themed(value))
        elif key in ("d", "x", "y", "transform"):
            element.set(key, _LONG_DECIMAL.sub(_rounded, value))


def _rounded(number: re.Match[str]) -> str:
    """A hundredth of a point is finer than any screen, and the page is half as long."""
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")


def _themed(style: str) -> str:
    # matplotlib measured with a wide font, so text in the page's own overflows nothing. Its versions write the font in two ways.
    style = re.sub(r"font-family:[^;]*", "font-family: var(--figure-font)", style)
    style = re.sub(r"font:\s*((?:[\w-]+\s+)*[\d.]+px)[^;]*", r"font: \1 var(--figure-font)", style)
    style = style.replace(_INK, "currentColor").replace(_PAPER, "var(--paper)").replace(_GRID, "var(--grid)")
    for colour, variable in CSS_COLOURS.items():
        style = style.replace(colour, f"var({variable}, {colour})")
    return style
