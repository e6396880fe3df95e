"""A report as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actscope.figures.labels import counted, percent, round_percent
from actscope.neurons.verdicts import VERDICTS
from actscope.report.drawings import MOST_BARS, draw_figures
from actscope.report.findings import SplitFindings
from actscope.report.judgement import (
    ALMOST_NO_REDUNDANCY,
    CONSIDERABLE_REDUNDANCY,
    ENOUGH_EXAMPLES,
    FEW_DEAD,
    LARGE_LOSS,
    MANY_DEAD,
    SMALL_LOSS,
)
from actscope.report.neuron_tables import advice_rows, neuron_rows, worst_rows
from actscope.report.thumbnails import png_data_uri
from actscope.report.unavailable import Unavailable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from actscope.hashing.membership import Group
    from actscope.report.examination import Report

__all__ = ["render_page", "templates"]

_IDS_SHOWN = 10
_LABELS_SHOWN = 5
_TALL_TABLE = 16

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def render_page(report: Report) -> str:
    """The page as HTML text: styles, figures and pictures are in it, and every name from outside is escaped."""
    from markupsafe import Markup

    figures = {
        name: Markup(svg) for name, svg in draw_figures(report).items()
    }  # our own drawing; ElementTree escaped its text
    return (
        templates()
        .get_template("report.html.jinja")
        .render(
            report=report,
            train=report.train,
            test=report.test,
            splits=[split for split in (report.train, report.test) if split is not None],
            figures=figures,
            sites=_site_rows(report),
            groups=[_group_row(report, group) for group in report.train.groups],
            accuracies=_accuracy_rows(report),
            neurons=neuron_rows(report),
            verdict_names=VERDICTS,
            worst=worst_rows(report),
            advice=advice_rows(report),
            revived=_revived(report),
            most_bars=MOST_BARS,
            tall_table=_TALL_TABLE,
            thresholds={
                "almost_no_redundancy": ALMOST_NO_REDUNDANCY,
                "considerable_redundancy": CONSIDERABLE_REDUNDANCY,
                "enough_examples": ENOUGH_EXAMPLES,
                "few_dead": FEW_DEAD,
                "many_dead": MANY_DEAD,
                "small_loss": SMALL_LOSS,
                "large_loss": LARGE_LOSS,
            },
        )
    )


@cache
def templates() -> Environment:
    """The templates of all pages, and the filters that they use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("actscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=lambda share: _unbroken(percent(share)),
        round_percent=lambda share: _unbroken(round_percent(share)),
        unbroken=_unbroken,
        count=_count,
        counted=counted,
        breakable=_breakable,
        size=_size,
    )
    environment.tests["unavailable"] = lambda value: isinstance(value, Unavailable)
    return environment


def _unbroken(text: str) -> str:
    """The text with every percent sign on the line of its number."""
    return text.replace(" %", "\u00a0%")


def _breakable(name: str) -> Markup:
    """The name, escaped, that may go on in the next line after a dot."""
    from markupsafe import Markup, escape

    return escape(name).replace(".", Markup(".<wbr>"))


def _count(number: int) -> str:
    return f"{number:,}"


def _size(number: float) -> str:
    """A sample size that is an estimate: three significant digits, and powers of ten once nobody counts so far."""
    if number < 1e6:
        return f"{float(f'{number:.3g}'):,.0f}"
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def _site_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for live in report.train.liveness:
        site = live.site
        rows.append(
            {
                "name": site.name,
                "kind": site.kind,
                "shape": " × ".join(map(str, site.shape)) or "1",
                "n_neurons": site.n_neurons,
                "breakpoints": ", ".join(f"{point:g}" for point in site.breakpoints),
                "n_bits": site.n_bits,
                "dead": percent(live.dead_share) if site.dead_intervals else "–",
                "always_on": percent(live.always_on_share) if site.linear_intervals else "–",
                "constant": percent(live.constant_share),
                "redundancy": [split.redundancy_by_site[site.name] for split in _splits(report)],
            }
        )
    return rows


def _group_row(report: Report, group: Group) -> dict[str, Any]:
    labels = list((group.labels or {}).items())
    ids = group.ids[:_IDS_SHOWN].tolist()
    return {
        "size": group.size,
        "labels": [(report.class_name(label), count) for label, count in labels[:_LABELS_SHOWN]],
        "n_more_labels": max(0, len(labels) - _LABELS_SHOWN),
        "ids": ids,
        "n_more_ids": group.size - len(ids),
        "pictures": [(name, png_data_uri(_small(report.pictures[name]))) for name in ids if name in report.pictures],
    }


def _small(picture: NDArray[np.uint8], *, side: int = 68) -> NDArray[np.uint8]:
    """The picture, no larger than it is shown on a dense screen."""
    from PIL import Image

    if max(picture.shape[:2]) <= side:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    return np.asarray(image)


def _accuracy_rows(report: Report) -> list[dict[str, Any]]:
    if report.train.codes.labels is None:
        return []
    own = [split.own_accuracy for split in _splits(report)]
    rows = [_accuracy_row("The model itself", "Its largest output, on the same examples", own, key=True)]
    for method in report.categorization:
        values = [method.train] if report.test is None else [method.train, method.test]
        rows.append(
            _accuracy_row(method.name, method.explanation, values, notes=method.notes, headline=method.as_in_paper)
        )
    return rows


def _accuracy_row(
    name: str,
    explanation: str,
    values: Sequence[float | Unavailable | None],
    *,
    notes: Sequence[str] = (),
    headline: bool = True,
    key: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "explanation": explanation,
        "values": values,
        "notes": notes,
        "headline": headline,
        "key": key,
        "known": not all(isinstance(value, Unavailable) for value in values),
    }


def _revived(report: Report) -> int | None:
    """How many neurons never change on the training but do on the test examples."""
    if report.test is None:
        return None
    if not any(live.constant.any() for live in report.train.liveness):
        return None
    pairs = zip(report.train.liveness, report.test.liveness, strict=True)
    return sum(int((train.constant & ~test.constant).sum()) for train, test in pairs)


def _splits(report: Report) -> list[SplitFindings]:
    return [report.train] if report.test is None else [report.train, report.test]
