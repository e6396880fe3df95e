"""The figures of a report's page, drawn once for light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from actscope.figures.accuracies import draw_accuracies
from actscope.figures.bars import draw_bars
from actscope.figures.bit_matrix import draw_bit_matrix
from actscope.figures.code_map import draw_code_map
from actscope.figures.labels import percent
from actscope.figures.liveness import draw_liveness
from actscope.figures.palette import TEST, TRAIN
from actscope.figures.region_sizes import draw_region_sizes
from actscope.figures.svg import inline_svg, page_style
from actscope.report.unavailable import Unavailable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from actscope.report.examination import Report
    from actscope.report.findings import SplitFindings

__all__ = ["MOST_BARS", "draw_figures"]

MOST_BARS = 24
"""Rows in a bar chart at most; the table beside it has them all."""


def draw_figures(report: Report) -> dict[str, str]:
    """The figures that this report's data admit, by name, as SVG elements."""
    drawings: tuple[tuple[str, Callable[[Report], tuple[Axes, str] | None]], ...] = (
        ("region-sizes", _region_sizes),
        ("site-redundancy", _site_redundancy),
        ("class-redundancy", _class_redundancy),
        ("rarefaction", _rarefaction),
        ("accuracies", _accuracies),
        ("code-map", _code_map),
        ("liveness", _liveness),
        ("bit-matrix", _bit_matrix),
    )
    figures = {}
    with page_style():
        for name, draw in drawings:
            drawn = draw(report)
            if drawn is not None:
                ax, label = drawn
                figures[name] = inline_svg(cast("Figure", ax.figure), name=name, label=label)
    return figures


def _splits(report: Report) -> list[tuple[SplitFindings, str]]:
    splits = [(report.train, TRAIN)]
    if report.test is not None:
        splits.append((report.test, TEST))
    return splits


def _region_sizes(report: Report) -> tuple[Axes, str] | None:
    splits = _splits(report)
    if all(split.determinism.redundancy_ratio == 0 for split, _ in splits):
        return None
    ax = draw_region_sizes(
        {split.name: split.region_sizes for split, _ in splits}, colours=[colour for _, colour in splits]
    )
    alone = " and ".join(
        f"{percent(1 - split.determinism.shared_ratio)} of the {split.name} examples" for split, _ in splits
    )
    return ax, f"Bar chart of how many examples share a region: {alone} are alone in theirs."


def _site_redundancy(report: Report) -> tuple[Axes, str] | None:
    names = list(report.train.redundancy_by_site)
    if len(names) < 2:
        return None
    ratios = np.array([[split.redundancy_by_site[name] for name in names] for split, _ in _splits(report)])
    shown = _most(ratios[0])
    series = {split.name: ratios[k][shown] for k, (split, _) in enumerate(_splits(report))}
    ax = draw_bars(
        [names[i] for i in shown],
        series,
        colours=[colour for _, colour in _splits(report)],
        xlabel="redundancy ratio of this site alone",
    )
    worst = names[int(ratios[0].argmax())]
    return (
        ax,
        f"Bar chart of redundancy by site; on training examples it is largest, {percent(ratios[0].max())}, at {worst}.",
    )


def _class_redundancy(report: Report) -> tuple[Axes, str] | None:
    by_split = [
        (split, colour, split.collisions)
        for split, colour in _splits(report)
        if not isinstance(split.collisions, Unavailable)
    ]
    if not by_split or all(split.determinism.shared_ratio == 0 for split, _, _ in by_split):
        return None
    classes = np.unique(np.concatenate([collisions.classes for _, _, collisions in by_split]))
    if len(classes) < 2:
        return None
    shares = np.zeros((len(by_split), len(classes)))
    for k, (_, _, collisions) in enumerate(by_split):
        shares[k, np.searchsorted(classes, collisions.classes)] = collisions.shared_ratio
    shown = _most(shares[0])
    ax = draw_bars(
        [report.class_name(classes[i]) for i in shown],
        {split.name: shares[k][shown] for k, (split, _, _) in enumerate(by_split)},
        colours=[colour for _, colour, _ in by_split],
        xlabel="share of the class's examples that share a region",
    )
    most = report.class_name(classes[int(shares[0].argmax())])
    return (
        ax,
        f"Bar chart of shared regions by class; class {most} shares most, {percent(shares[0].max())} of its examples.",
    )


def _rarefaction(report: Report) -> tuple[Axes, str] | None:
    curve = report.rarefaction
    if isinstance(curve, Unavailable):
        return None
    n, ratio = curve.sizes[-1], curve.redundancy_ratio[-1]
    ax = curve.plot()
    ax.set_xlim(1, max(10.0, ax.get_xlim()[1]))
    return ax, f"Curve of expected redundancy against sample size, ending at {percent(ratio)} for {n:,} examples."


def _accuracies(report: Report) -> tuple[Axes, str] | None:
    rows = [("the model itself", report.train.own_accuracy, None if report.test is None else report.test.own_accuracy)]
    rows += [(method.name, method.train, method.test) for method in report.categorization]
    known = [row for row in rows if isinstance(row[1], float) or isinstance(row[2], float)]
    if report.train.codes.labels is None or not known:
        return None
    ax = draw_accuracies(
        [name for name, _, _ in known],
        train=[_or_nan(train) for _, train, _ in known],
        test=None if report.test is None else [_or_nan(test) for _, _, test in known],
        chance=(report.test or report.train).largest_class_share,
    )
    said = "; ".join(f"{name} {percent(_or_nan(train if test is None else test))}" for name, train, test in known)
    return ax, f"Dot chart of accuracies: {said}."


def _code_map(report: Report) -> tuple[Axes, str] | None:
    found = report.code_map
    if isinstance(found, Unavailable):
        return None
    label = f"Map of {len(found.positions):,} codes in the plane"
    if found.labels is None:
        return draw_code_map(found.positions, sizes=found.counts), f"{label}."
    classes, names = _classes(report)
    ax = draw_code_map(found.positions, np.searchsorted(classes, found.labels), class_names=names, sizes=found.counts)
    return ax, f"{label}, coloured by {len(np.unique(found.labels))} classes."


def _liveness(report: Report) -> tuple[Axes, str] | None:
    sites = report.train.liveness
    shown = [sites[i] for i in _most(np.array([site.constant_share for site in sites]))]
    ax = draw_liveness(
        [site.site.name for site in shown],
        dead=[site.dead_share for site in shown],
        always_on=[site.always_on_share for site in shown],
        constant=[site.constant_share for site in shown],
    )
    worst = max(sites, key=lambda site: site.constant_share)
    return ax, (
        "Stacked bars of dead, always-on, otherwise constant and varying neurons by site; most never change at "
        f"{worst.site.name}, {percent(worst.constant_share)}."
    )


def _bit_matrix(report: Report) -> tuple[Axes, str] | None:
    matrix = report.bit_matrix
    if isinstance(matrix, Unavailable):
        return None
    rows, columns = matrix.levels.shape
    label = f"Picture of the codes of {rows:,} examples at {columns:,} neurons"
    if matrix.labels is None:
        return draw_bit_matrix(matrix.levels, sites=matrix.sites), f"{label}."
    classes, names = _classes(report)
    ax = draw_bit_matrix(matrix.levels, np.searchsorted(classes, matrix.labels), class_names=names, sites=matrix.sites)
    return ax, f"{label}, sorted by class."


def _classes(report: Report) -> tuple[np.ndarray, list[str]]:
    """All labels of both splits, ascending, and their names: a class has one colour in every figure."""
    labels = [split.codes.labels for split, _ in _splits(report) if split.codes.labels is not None]
    classes = np.unique(np.concatenate(labels))
    return classes, [report.class_name(label) for label in classes]


def _most(values: np.ndarray) -> np.ndarray:
    """Positions of the largest values, as many as fit, in their own order."""
    return np.sort(np.argsort(-values, kind="stable")[:MOST_BARS])


def _or_nan(value: float | Unavailable | None) -> float:
    return float(value) if isinstance(value, float) else float("nan")
