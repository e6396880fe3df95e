"""Sizes of regions: stochastic activation diameters (He et al. 2021, Section 5.1, Figures 2(c), 2(d), 2(e) and 9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from actscope.codes import encode
from actscope.figures.canvas import new_figure
from actscope.hashing import redundancy_ratio
from actscope.regions import diameter, distance_to_boundary
from actscope.studies.cells import Cell
from actscope.studies.claims import NotRun
from actscope.studies.he2021.diameterclaims import CLAIMS
from actscope.studies.he2021.networks import RECIPES, mlp_cell, recipe_for, seeds, specimen
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
    n_train = len(one.train)
    many = {
        "unit ball": unit_ball(n_train, n_features, seed=cell["seed"]),
        "random pixels": uniform_pixels(n_train, (n_features,), seed=cell["seed"]),
    }
    for kind, x in (("train", one.train.x), *many.items()):
        value = redundancy_ratio(encode(model, x, device=place.device, progress=False))
        rows.append({"metric": "redundancy", "data": kind, "value": value})
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
    from actscope.figures.curves import Curve, draw_curves

    figure = new_figure(10, 3.3)
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
    from actscope.figures.palette import CLASSES

    found = results.arrays("select width, epoch, data, value from results where metric = 'diameter'")
    if not len(found["value"]):
        raise NotRun("no network of width 50, 60 or 70 was measured")
    widths = np.unique(found["width"])
    epochs = [epoch for epoch in np.unique(found["epoch"]) if epoch > 0]
    figure = new_figure(8, 2.8 * len(widths))
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


DIAMETERS = Study(
    name="he2021.diameters",
    title="Stochastic activation diameters against width and training time, at true and at random data",
    source="He et al. 2021, Figures 2(c), 2(d), 2(e) and 9",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"width": _width_figure, "histograms": _histograms},
    claims=CLAIMS,
    notes=(
        "Lengths are exact. Every region counts once, however many of the 600 test examples it holds. Means are of what lies in the box "
        "[-1, 2] in every pixel, since a region may have no end."
    ),
)
