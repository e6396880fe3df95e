"""The regions on a line or in a plane as a file: one HTML page that needs no other, a picture, or the numbers."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import nn

from actscope.figures.svg import inline_svg, page_style
from actscope.regions.lines import Line
from actscope.regions.planes import PlaneRegions
from actscope.regions.sampling import SampledLine, SampledPlane
from actscope.report.page import templates
from actscope.report.partition import Partition, PartitionFacts, facts_of, to_dict
from actscope.report.picked import Picked
from actscope.report.thumbnails import png_data_uri
from actscope.report.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SUFFIXES", "render_partition", "save_partition"]

Colour = Literal["region", "linear_region", "norm", "class"]

SUFFIXES = (".html", ".png", ".svg", ".pdf", ".json", ".geojson")
"""What `save_partition` can write."""

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def save_partition(
    found: Partition,
    path: str | os.PathLike[str],
    *,
    model: nn.Module | None = None,
    picked: Picked | None = None,
    colour: Colour = "region",
    class_names: Sequence[str] = (),
    title: str = "Activation regions",
    subtitle: str = "",
) -> Path:
    """Write a result to a file of the kind that its name ends in, whole or not at all.

    Args:
        found: what `regions.line` or `regions.plane` gave.
        path: ends in .html (a page), .png, .svg or .pdf (the picture), .json (the numbers) or .geojson (the cells of an exact plane).
        model: for the bound on how many regions there can be, if it is a plain chain of layers.
        picked: the examples that the line or plane goes through.
        colour, class_names: as for `PlaneRegions.plot`.
        title, subtitle: of the page.

    Raises:
        ValueError: if the name ends otherwise, or the result has no cells to write as GeoJSON.
        FileNotFoundError: if there is no such folder.
    """
    target = Path(path)
    kind = require_suffix(target, found)
    if kind == ".html":
        page = render_partition(
            found, model=model, picked=picked, colour=colour, class_names=class_names, title=title, subtitle=subtitle
        )
        write_whole(target, page)
    elif kind == ".geojson":
        write_whole(target, json.dumps(cast(PlaneRegions, found).to_geojson(), allow_nan=False))
    elif kind == ".json":
        write_whole(
            target, json.dumps({"title": title} | to_dict(found, facts_of(found, model)), indent=1, allow_nan=False)
        )
    else:
        figure = cast("Figure", _picture(found, picked, colour, class_names).figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind[1:], dpi=250)
        _write_bytes(target, buffer.getvalue())
    return target


def require_suffix(path: Path, found: Partition | None = None) -> str:
    """What the path ends in, if that can be written.

    Raises:
        ValueError: as `save_partition`. FileNotFoundError: if there is no such folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{path} ends in {path.suffix or 'nothing'}: give a name that ends in one of {', '.join(SUFFIXES)}"
        )
    if found is not None and path.suffix.lower() == ".geojson" and not isinstance(found, PlaneRegions):
        raise ValueError(f"{path}: GeoJSON holds the cells of an exact plane, which a {type(found).__name__} is not")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    return path.suffix.lower()


def render_partition(
    found: Partition,
    *,
    model: nn.Module | None = None,
    picked: Picked | None = None,
    colour: Colour = "region",
    class_names: Sequence[str] = (),
    title: str = "Activation regions",
    subtitle: str = "",
) -> str:
    """The page as HTML text: styles, figures and pictures are in it, and every name from outside is escaped."""
    from importlib.metadata import version

    from markupsafe import Markup

    facts = facts_of(found, model)
    figures = {name: Markup(svg) for name, svg in _figures(found, facts, picked, colour, class_names).items()}
    is_line = isinstance(found, (Line, SampledLine))
    return (
        templates()
        .get_template("partition.html.jinja")
        .render(
            title=title,
            subtitle=subtitle,
            facts=facts,
            figures=figures,
            examples=_examples(picked, is_line),
            is_line=is_line,
            exact=isinstance(found, (Line, PlaneRegions)),
            complete=not isinstance(found, PlaneRegions) or found.complete,
            window=None if isinstance(found, (Line, SampledLine)) else found.window,
            colour=colour,
            has_boundary=_has_boundary(found),
            unit=None if is_line else _unit(cast(PlaneRegions, found)),
            versions={name: version(name) for name in ("actscope", "torch", "numpy")},
        )
    )


def _figures(
    found: Partition, facts: PartitionFacts, picked: Picked | None, colour: Colour, class_names: Sequence[str]
) -> dict[str, str]:
    from actscope.figures.diameters import draw_diameters

    drawn: dict[str, tuple[Axes, str]] = {}
    with page_style():
        counted = f"{facts.numbers[0][0].lower()}: {facts.numbers[0][1]}"
        drawn["picture"] = (_picture(found, picked, colour, class_names), f"Picture of the partition; {counted}.")
        if facts.sizes is not None and len(facts.sizes) > 2:
            n = len(facts.sizes)
            what = "length of an interval, in t" if isinstance(found, Line) else "area of a cell, in units of the plane"
            axes = draw_diameters(facts.sizes, [1 / n] * n, xlabel=what, n_bins=min(40, 4 + n // 4))
            axes.set_ylabel("share of the intervals" if isinstance(found, Line) else "share of the cells")
            drawn["sizes"] = (axes, "Histogram of sizes on a logarithmic axis.")
        return {
            name: inline_svg(cast("Figure", ax.figure), name=name, label=label) for name, (ax, label) in drawn.items()
        }


def _picture(found: Partition, picked: Picked | None, colour: Colour, class_names: Sequence[str]) -> Axes:
    if not isinstance(found, PlaneRegions):
        return found.plot()
    names = [] if picked is None else [name for name, _ in _names(picked, is_line=False)]
    return found.plot(colour=colour, boundary=_has_boundary(found), names=names, class_names=class_names)


def _has_boundary(found: Partition) -> bool:
    """Whether there is a decision boundary that can be drawn."""
    return isinstance(found, PlaneRegions) and found.complete and found.values is not None and found.values.shape[1] > 1


def _names(picked: Picked, *, is_line: bool) -> list[tuple[str, str]]:
    """What each example is called in the picture, and what it is."""
    short = [f"t = {i}" if is_line else "x" + str(i + 1).translate(_SUBSCRIPTS) for i in range(len(picked.indices))]
    said = [f"example {i}" for i in picked.indices]
    if picked.labels is not None:
        said = [f"{text}, class {label}" for text, label in zip(said, picked.labels, strict=True)]
    return list(zip(short, said, strict=True))


def _examples(picked: Picked | None, is_line: bool) -> list[dict[str, Any]]:
    if picked is None:
        return []
    pictures: list[str | None] = [png_data_uri(picture) for picture in picked.pictures] or [None] * len(picked.indices)
    named = zip(_names(picked, is_line=is_line), pictures, strict=True)
    return [{"name": name, "said": said, "picture": picture} for (name, said), picture in named]


def _unit(found: PlaneRegions | SampledPlane) -> str:
    u, v = float(found.section.u.norm()), float(found.section.v.norm())
    return f"{u:.3g}" if abs(u - v) <= 1e-9 * u else f"{u:.3g} and {v:.3g}"


def _write_bytes(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
