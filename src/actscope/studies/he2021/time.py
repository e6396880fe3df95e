"""Training time: redundancy and accuracy epoch by epoch (He et al. 2021, Section 5.2, Figures 3 and 2(f))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from actscope.codes import encode
from actscope.figures.canvas import new_figure
from actscope.hashing import redundancy_ratio
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, trend, verdict
from actscope.studies.he2021.networks import DATASETS, RECIPES, hash_cells, mlp_cell, recipe_for, seeds
from actscope.studies.he2021.panels import METRICS, hash_figure, last_epoch
from actscope.studies.printed import PrintedValue, printed_table
from actscope.studies.results import Results, Row, series
from actscope.studies.specimens import Specimen
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP, unit_ball

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TIME"]

_VERSION = 1
_EPOCHS = {
    "mnist": (0, 1, 3, 6, 10, 20, 30, 60, 100, 300, 600, 1000, 1200, 1500, 1800, 2000),
    "cifar10": (0, 1, 3, 6, 10, 20, 30, 40, 60, 80, 100, 120, 140, 160, 180, 200),
    "digits": (0, 1, 3, 10),
}
_SMALL = {"mnist": 300, "cifar10": 30, "digits": 10}
"""The last epoch at small scale."""


def _cells(grid: Grid) -> list[Cell]:
    widths = {"mnist": (40, 50, 60), "cifar10": (10, 20, 40, 80), "digits": (10, 30)}[grid.dataset]
    last = _EPOCHS[grid.dataset][-1] if grid.scale == "paper" else _SMALL[grid.dataset]
    epochs = tuple(epoch for epoch in _EPOCHS[grid.dataset] if epoch <= last)
    recipe = recipe_for(grid, last)
    return [
        mlp_cell(TIME.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, epochs=epochs)
        for width in widths
        for seed in seeds(grid, 2 if grid.dataset == "cifar10" else 5)
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return hash_cells(cells, place, more=_in_the_ball)


def _in_the_ball(cell: Cell, one: Specimen, model: MLP, place: Place) -> list[Row]:
    """Redundancy on as many points of the unit ball as there are test examples, and as many as training examples."""
    rows: list[Row] = []
    for split, data in (("train", one.train), ("test", place.data(cell["dataset"])[1])):
        points = unit_ball(len(data), data.x.shape[1], seed=0)
        value = redundancy_ratio(encode(model, points, device=place.device, progress=False))
        rows.append({"metric": "redundancy of the unit ball", "split": split, "value": value})
    return rows


def _figure(results: Results) -> Figure:
    return hash_figure(results, "epoch", by="width", printed=_printed(results.dataset), log_x=True)


def _ball_figure(results: Results) -> Figure:
    from actscope.figures.curves import Curve, draw_curves

    figure = new_figure(7.5, 3.2)
    for ax, (metric, title) in zip(
        figure.subplots(1, 2, sharey=True),
        (("redundancy", "training examples"), ("redundancy of the unit ball", "as many points of the unit ball")),
        strict=True,
    ):
        curves = []
        for (width,) in results.query("select distinct width from results order by 1"):
            axis, mean, sd, _ = series(
                results, "epoch", metric, where="split = 'train' and width = ?", parameters=[width]
            )
            curves.append(Curve(f"width {width}", axis, mean, sd))
        draw_curves(curves, xlabel="epoch", ylabel="redundancy", log_x=True, ax=ax)
        ax.set_ylim(-0.02, 1.02)
        ax.set_title(title, fontsize=9)
    return figure


def _printed(dataset: str) -> list[PrintedValue]:
    return [
        PrintedValue(
            figure="Figure 3",
            label=f"{METRICS[row['metric']].label}, width {row['width']}",
            value=float(row["value"]),
            metric=METRICS[row["metric"]].metric,
            at={"split": METRICS[row["metric"]].split, "width": int(row["width"]), "epoch": int(row["epoch"])},
        )
        for row in printed_table("he2021_fig3")
        if row["dataset"] == dataset and row["value"]
    ]


def _h12(results: Results) -> Finding:
    """Redundancy falls and accuracies rise with training time; an untrained network has redundancy near 0."""
    last = last_epoch(results)
    if last < 3:
        raise NotRun("needs three epochs")
    said, rises, has_any = [], [], []
    for metric, split in (("redundancy", "train"), ("kmeans", "test"), ("knn", "test"), ("logistic", "test")):
        found = results.arrays(
            "select epoch, value, width || '/' || seed as network from results "
            "where metric = ? and split = ? and epoch >= 1 order by epoch, network",
            [metric, split],
        )
        if metric == "redundancy":  # what is 0 from the beginning cannot fall
            has_any = [
                name for name in np.unique(found["network"]) if found["value"][found["network"] == name].max() > 1e-3
            ]
            some = np.isin(found["network"], has_any)
            found = {name: values[some] for name, values in found.items()}
        along = trend(found["epoch"], found["value"], found["network"])
        change = found["value"][found["epoch"] == last] - found["value"][found["epoch"] == 1]
        of = f" of the {len(has_any)} networks that have any" if metric == "redundancy" else ""
        said.append(f"{metric}{of} {change.mean():+.3f} ± {change.std():.3f}, rank correlation {along}")
        rises.append(bool(-change.mean() > 0 and along.falls) if metric == "redundancy" else bool(change.mean() > 0))
    low, mean, high = results.query(
        "select min(value), avg(value), max(value) from results where metric = 'redundancy' and split = 'train' and epoch = 0"
    )[0]
    ours = f"epoch 1 to {last}: " + "; ".join(said) + f"; untrained redundancy {mean:.3f} ({low:.3f} to {high:.3f})"
    near_zero = mean < 0.05 or results.dataset != "mnist"
    why = "accuracies count as rising if they end higher than after one epoch"
    if results.dataset == "cifar10":
        why += "; that an untrained network has redundancy near 0 is said of MNIST alone" + _of_which_codes(results)
    elif all(rises):
        why += "; they rise in the first ten epochs and then stay, in the printed numbers too: only K-NN's rises on throughout"
    return Finding(verdict(all(rises) and near_zero), ours, why)


def _of_which_codes(results: Results) -> str:
    """How far the late printed K-Means accuracies are from ours on test codes, and from ours on training codes."""
    apart = {}
    for split in ("test", "train"):
        found = {
            (width, epoch): value
            for width, epoch, value in results.query(
                "select width, epoch, avg(value) from results where metric = 'kmeans' and split = ? and epoch >= 20 group by all",
                [split],
            )
        }
        gaps = [
            abs(found[one.at["width"], one.at["epoch"]] - one.value)
            for one in _printed(results.dataset)
            if one.metric == "kmeans" and (one.at["width"], one.at["epoch"]) in found
        ]
        if not gaps:
            return ""
        apart[split] = float(np.mean(gaps))
    return (
        f"; from epoch 20 on, the printed K-Means accuracies are {apart['test']:.3f} from ours on test codes and {apart['train']:.3f} from "
        "ours on training codes (mean absolute difference)"
    )


def _h10(results: Results) -> Finding:
    """Redundancy on random data of the unit ball is over 0.8."""
    last = last_epoch(results)
    found = results.arrays(
        "select width, avg(value) as mean, min(value) as low, max(value) as high from results "
        "where metric = 'redundancy of the unit ball' and split = 'train' and epoch = ? group by 1 order by 1",
        [last],
    )
    if not len(found["width"]):
        raise NotRun("no epoch is measured")
    mean = float(found["mean"].mean())
    ours = f"epoch {last}, as many points as training examples: {mean:.3f} on average; " + ", ".join(
        f"width {width} {at:.3f} ({low:.3f} to {high:.3f})"
        for width, at, low, high in zip(
            *(found[name].tolist() for name in ("width", "mean", "low", "high")), strict=True
        )
    )
    return Finding(verdict(mean > 0.8), ours, _of_the_ball(results))


def _of_the_ball(results: Results) -> str:
    if (True,) in results.query("select distinct batch_norm from results"):
        return (
            "batch normalization takes the mean of the data away, beside which a point of the ball, whose entries are about 1/√d in size, "
            "is hardly anything: most neurons have one sign in all of the ball. Before training averages are zero, and so is the redundancy"
        )
    return "without batch normalization points of the ball have signs of their own, as their entries are of both signs"


TIME = Study(
    name="he2021.time",
    title="Redundancy and categorization accuracy against training time, and redundancy on random data",
    source="He et al. 2021, Figures 3 and 2(f)",
    datasets=DATASETS,
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"time": _figure, "ball": _ball_figure},
    claims=(Claim("H10", _h10, DATASETS), Claim("H12", _h12, DATASETS)),
    printed=_printed,
    notes=(
        "Random data are uniform in the unit ball around the origin, as many points as there are training examples; "
        "`he2021.diameters` has other random data beside them."
    ),
)
