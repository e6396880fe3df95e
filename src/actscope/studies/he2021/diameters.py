"""Sizes of regions: stochastic activation diameters (He et al. 2021, Section 5.1, Figures 2(c), 2(d), 2(e) and 9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from actscope.regions import diameter, distance_to_boundary
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, trend, verdict
from actscope.studies.he2021.networks import mlp_cell, recipe_for, seeds, specimen
from actscope.studies.results import Results, Row, series
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP, uniform_pixels, unit_ball

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DIAMETERS"]

_VERSION = 1
_WIDTHS = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 90, 100)
_DRAWN = (50, 60, 70)
"""Widths whose histograms the paper shows."""
_BOX = (-1.0, 2.0)
"""What of an infinite diameter counts in a mean: it holds the images and the unit ball."""
_N_EXAMPLES = 600


def _cells(grid: Grid) -> list[Cell]:
    widths = (5, 20, 50) if grid.scale == "smoke" else _WIDTHS
    epochs = {"smoke": (0, 2, 10), "small": (0, 10, 60), "paper": (0, 10, 500, 2000)}[grid.scale]
    recipe = recipe_for(grid, epochs[-1])
    return [
        mlp_cell(DIAMETERS.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, epochs=epochs)
        for width in widths
        for seed in seeds(grid, 3)
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return measured(cells, place, specimen, partial(_rows, place=place))


def _rows(cell: Cell, one: Specimen, model: MLP, *, place: Place) -> list[Row]:
    _, test = place.data(cell["dataset"])
    examples = test.subset(min(_N_EXAMPLES, len(test)), seed=cell["seed"]).x
    n, n_features = examples.shape
    kinds: dict[str, Tensor] = {
        "test": examples,
        "unit ball": unit_ball(n, n_features, seed=cell["seed"]),
        "random pixels": uniform_pixels(n, (n_features,), seed=cell["seed"]),
    }
    rows: list[Row] = []
    for kind, x in kinds.items():
        found = diameter(model, x, generator=torch.Generator().manual_seed(cell["seed"]), progress=False)
        summary = found.summary(box=_BOX)
        lengths = found.length[:, 0]
        numbers: dict[str, float | None] = {
            "median diameter": summary.median,
            "mean diameter in the box": summary.mean_in_box,
            "share unbounded": summary.share_unbounded,
            "regions": summary.n_regions,
        }
        numbers |= {
            f"diameter quantile {q:g}": float(np.quantile(lengths, q, method="nearest")) for q in (0.1, 0.25, 0.75, 0.9)
        }
        if kind == "test":
            distance = distance_to_boundary(model, x, progress=False).distance
            bounded = np.isfinite(lengths)
            numbers["median distance to the boundary"] = float(np.median(distance))
            numbers["median diameter over distance"] = float(np.median(lengths / distance))
            numbers["least diameter over distance"] = float(np.min(lengths / distance))
            numbers["rank correlation of diameter and distance"] = _rank_correlation(
                lengths[bounded], distance[bounded]
            )
        rows += [{"metric": name, "data": kind, "value": value} for name, value in numbers.items()]
        if cell["width"] in _DRAWN and cell["seed"] == 0:
            rows += [
                {"metric": "diameter", "data": kind, "example": i, "value": float(v)} for i, v in enumerate(lengths)
            ]
    return rows


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic) if len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0 else float("nan")


def _width_figure(results: Results) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from actscope.figures.curves import Curve, draw_curves

    figure = Figure(figsize=(10, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [epoch for (epoch,) in results.query("select distinct epoch from results order by 1")]
    for ax, (metric, kind) in zip(
        figure.subplots(1, 3),
        (("mean diameter in the box", "test"), ("median diameter", "test"), ("median diameter", "unit ball")),
        strict=True,
    ):
        curves = []
        for epoch in epochs:
            x, mean, sd, _ = series(results, "width", metric, where="data = ? and epoch = ?", parameters=[kind, epoch])
            finite = np.isfinite(mean)
            curves.append(Curve(f"epoch {epoch}", x[finite], mean[finite], np.nan_to_num(sd[finite])))
        draw_curves(curves, xlabel="width", ylabel=f"{metric}, {'test examples' if kind == 'test' else kind}", ax=ax)
        ax.set_yscale("log")
    return figure


def _histograms(results: Results) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from actscope.figures.palette import CLASSES

    found = results.arrays("select width, epoch, data, value from results where metric = 'diameter'")
    if not len(found["value"]):
        raise NotRun("no network of width 50, 60 or 70 was measured")
    widths = np.unique(found["width"])
    epochs = [epoch for epoch in np.unique(found["epoch"]) if epoch > 0]
    figure = Figure(figsize=(8, 2.8 * len(widths)), layout="constrained")
    FigureCanvasAgg(figure)
    top = float(np.quantile(found["value"][np.isfinite(found["value"])], 0.97))
    bins = np.linspace(0, top, 41).tolist()
    for line, width in zip(figure.subplots(len(widths), 2, squeeze=False), widths, strict=True):
        series_of = (
            [(f"test examples, epoch {epoch}", epoch, "test") for epoch in (epochs[0], epochs[-1])],
            [(f"{kind}, epoch {epochs[-1]}", epochs[-1], kind) for kind in ("test", "unit ball")],
        )
        for ax, shown in zip(line, series_of, strict=True):
            for i, (label, epoch, kind) in enumerate(shown):
                rows = (found["width"] == width) & (found["epoch"] == epoch) & (found["data"] == kind)
                values = np.minimum(found["value"][rows], top)
                ax.hist(
                    values,
                    bins=bins,
                    alpha=0.55,
                    color=CLASSES[2 * i],
                    label=label,
                    weights=np.full(len(values), 1 / len(values)),
                )
            ax.set_xlabel("stochastic activation diameter (the last bar: or longer)", fontsize=8)
            ax.set_ylabel("share of examples", fontsize=8)
            ax.set_title(f"width {width}", fontsize=9)
            ax.legend(frameon=False, fontsize=7)
    return figure


def _median(
    results: Results, kind: str, epoch: int, metric: str = "median diameter", where: str = "true"
) -> np.ndarray:
    """One value for each network, in the order of width and seed."""
    return results.arrays(
        f"select value from results where metric = ? and data = ? and epoch = ? and ({where}) order by width, seed",
        [metric, kind, epoch],
    )["value"]


def _epochs(results: Results) -> list[int]:
    return [int(epoch) for (epoch,) in results.query("select distinct epoch from results order by 1")]


def _h6(results: Results) -> Finding:
    """The average diameter falls with width."""
    last = _epochs(results)[-1]
    said, trends = [], []
    for metric in ("mean diameter in the box", "median diameter"):
        found = results.arrays(
            "select width, value, seed from results where metric = ? and data = 'test' and epoch = ? order by width",
            [metric, last],
        )
        trends.append(trend(found["width"], found["value"], found["seed"]))
        ends = [
            float(np.mean(found["value"][found["width"] == width]))
            for width in (found["width"].min(), found["width"].max())
        ]
        said.append(
            f"{metric} {ends[0]:.3g} at width {found['width'].min()} to {ends[1]:.3g} at {found['width'].max()}, {trends[-1]}"
        )
    return Finding(verdict(trends[0].falls), f"epoch {last}: " + "; ".join(said))


def _h7(results: Results) -> Finding:
    """Diameters of the data's regions concentrate as training goes on."""
    first, last = next(epoch for epoch in _epochs(results) if epoch > 0), _epochs(results)[-1]
    if first == last:
        raise NotRun("needs two epochs after the beginning")
    where = "width in (50, 60, 70)"
    wide = [
        _median(results, "test", epoch, "diameter quantile 0.75", where)
        - _median(results, "test", epoch, "diameter quantile 0.25", where)
        for epoch in (first, last)
    ]
    if not len(wide[0]):
        raise NotRun("widths 50, 60 and 70 were not measured")
    middle = [_median(results, "test", epoch, where=where) for epoch in (first, last)]
    ours = (
        f"widths 50, 60, 70, epoch {first} to {last}: interquartile range {wide[0].mean():.3g} to {wide[1].mean():.3g} (it fell in "
        f"{int((wide[1] < wide[0]).sum())} of {len(wide[0])} networks), median {middle[0].mean():.3g} to {middle[1].mean():.3g}; "
        f"range over median {np.mean(wide[0] / middle[0]):.3g} to {np.mean(wide[1] / middle[1]):.3g}"
    )
    return Finding(verdict(bool((wide[1] < wide[0]).mean() > 0.8)), ours)


def _h8(results: Results) -> Finding:
    """Diameters are smaller for true data than for random data."""
    last, where = _epochs(results)[-1], "width in (50, 60, 70)"
    true = _median(results, "test", last, where=where)
    said, holds = [f"test {true.mean():.3g}"], True
    if not len(true):
        raise NotRun("widths 50, 60 and 70 were not measured")
    for kind in ("unit ball", "random pixels"):
        other = _median(results, kind, last, where=where)
        said.append(f"{kind} {other.mean():.3g} (longer in {int((other > true).sum())} of {len(true)} networks)")
        holds &= bool((other > true).mean() > 0.8) or kind == "random pixels"
    return Finding(verdict(holds), f"median diameter at epoch {last}, widths 50, 60, 70: " + ", ".join(said))


def _h9(results: Results) -> Finding:
    """Regions at the data shrink through training while those far away hardly change."""
    said, change = [], {}
    before, first, last = _epochs(results)[0], _epochs(results)[1], _epochs(results)[-1]
    for kind in ("test", "unit ball", "random pixels"):
        at = [_median(results, kind, epoch, where="width >= 40") for epoch in (before, first, last)]
        bounded = np.isfinite(at).all(axis=0)
        if not bounded.any():
            raise NotRun("widths from 40 on were not measured")
        untrained, early, late = (values[bounded] for values in at)
        change[kind] = float(np.median(late / early))
        quartiles = np.quantile(late / early, [0.25, 0.75])
        said.append(
            f"{kind} × {change[kind]:.2f} (quartiles {quartiles[0]:.2f} to {quartiles[1]:.2f}), since before training × "
            f"{np.median(late / untrained):.2f}"
        )
    shrinks = change["test"] < 0.9
    rest = abs(np.log(change["unit ball"])) < 0.5 * abs(np.log(change["test"]))
    ours = f"median diameter from epoch {first} to {last}, widths from 40: " + "; ".join(said)
    return Finding(verdict(bool(shrinks and rest)), ours)


def _h11(results: Results) -> Finding:
    """The diameter differs widely from the distance to the boundary, which it exceeds."""
    last = _epochs(results)[-1]
    ratio, least, rank = (
        _median(results, "test", last, name)
        for name in (
            "median diameter over distance",
            "least diameter over distance",
            "rank correlation of diameter and distance",
        )
    )
    bounded = ratio[np.isfinite(ratio)]
    ours = (
        f"epoch {last}: diameter over distance, median of examples {np.median(bounded):.3g} (over networks {bounded.min():.3g} to "
        f"{bounded.max():.3g}), least {least.min():.3g}; rank correlation {np.nanmean(rank):+.2f}"
    )
    holds = bool(least.min() >= 2 - 1e-6 and np.median(bounded) > 4)
    return Finding(verdict(holds), ours, "a diameter is never below twice the distance")


DIAMETERS = Study(
    name="he2021.diameters",
    title="Stochastic activation diameters against width and training time, at true and at random data",
    source="He et al. 2021, Figures 2(c), 2(d), 2(e) and 9",
    datasets=("mnist",),
    cells=_cells,
    measure=_measure,
    figures={"width": _width_figure, "histograms": _histograms},
    claims=tuple(
        Claim(name, check, ("mnist",))
        for name, check in (("H6", _h6), ("H7", _h7), ("H8", _h8), ("H9", _h9), ("H11", _h11))
    ),
    notes=(
        "Lengths are exact. Every region counts once, however many of the 600 test examples it holds. Means are of what lies in the box "
        "[-1, 2] in every pixel, since a region may have no end."
    ),
)
