"""Random data: networks trained on uniform pixels (He et al. 2021, Section 5.5, Figure 8 and Table 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.he2021.networks import RECIPES, mlp_cell, recipe_for, seeds
from actscope.studies.he2021.networks import specimen as whole_specimen
from actscope.studies.printed import PrintedValue
from actscope.studies.results import Results, Row, series
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP, LabelledData, evaluate, random_labels, uniform_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RANDOM_PIXELS"]

_VERSION = 1
_LABELS = ("of the images", "uniform")
"""Labels of the data set in their order, which have nothing to do with the pixels; or drawn from all classes alike."""
_PRINTED = {0: (0.1092, 2.3056), 100: (0.1124, 2.3013), 300: (0.1124, 2.3013), 500: (0.1124, 2.3013)}
"""Table 3: accuracy and loss by epoch; the printed losses are a hundred times these, which are near ln 10."""


def _cells(grid: Grid) -> list[Cell]:
    epochs = {"smoke": (0, 10), "small": (0, 1, 10, 30, 60), "paper": (0, 1, 10, 30, 100, 300, 500)}[grid.scale]
    recipe = recipe_for(grid, epochs[-1])
    return [
        mlp_cell(
            RANDOM_PIXELS.name,
            _VERSION,
            grid,
            width=100,
            seed=seed,
            recipe=recipe.replace(lr=lr),
            epochs=epochs,
            labels=labels,
            lr=lr,
        )
        for labels in _LABELS
        for lr in (1e-3, 1e-2)
        for seed in seeds(grid, 2)
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    made: dict[tuple[str, str, int], LabelledData] = {}
    return measured(cells, place, partial(_specimen, made), partial(_rows, place=place))


def _specimen(made: dict[tuple[str, str, int], LabelledData], cell: Cell, place: Place) -> Specimen:
    train, _ = place.data(cell["dataset"])
    for labels in _LABELS:
        key = (cell["dataset"], labels, cell["seed"])
        if key not in made:
            # both kinds of labels on one tensor of pixels, so that their networks share batches
            pixels = next((made[k].x for k in made if k[0] == key[0] and k[2] == key[2]), None)
            x = uniform_pixels(len(train), train.x.shape[1:], seed=cell["seed"]) if pixels is None else pixels
            of_images = dataclasses.replace(train, x=x, name="random pixels")
            made[key] = of_images if labels == _LABELS[0] else random_labels(x, train.n_classes, seed=cell["seed"])
    return whole_specimen(cell, place, train=made[cell["dataset"], cell["labels"], cell["seed"]])


def _rows(cell: Cell, one: Specimen, model: MLP, *, place: Place) -> list[Row]:
    found = evaluate(model, one.train, device=place.device, batch_size=8192)
    counts = np.bincount(one.train.y.numpy())
    shares = counts[counts > 0] / counts.sum()
    return [
        {"metric": "accuracy", "split": "train", "value": found.accuracy},
        {"metric": "loss", "split": "train", "value": found.loss},
        {"metric": "share of the largest class", "split": "train", "value": float(shares.max())},
        {"metric": "entropy of the labels", "split": "train", "value": float(-(shares * np.log(shares)).sum())},
    ]


def _figure(results: Results) -> Figure:
    from actscope.figures.curves import Curve, draw_curves

    figure = new_figure(8, 3.2)
    for i, (ax, metric) in enumerate(zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True)):
        curves = []
        for labels, lr in results.query("select distinct labels, lr from results order by all"):
            x, mean, sd, _ = series(results, "epoch", metric, where="labels = ? and lr = ?", parameters=[labels, lr])
            curves.append(Curve(f"labels {labels}, rate {lr:g}", x, mean, sd))
        points = [(float(epoch), values[i], None) for epoch, values in _PRINTED.items()]
        draw_curves(curves, points=points, xlabel="epoch", ylabel=f"training {metric}", log_x=True, ax=ax)
    return figure


def _printed(dataset: str) -> list[PrintedValue]:
    if dataset != "mnist":
        return []
    return [
        PrintedValue("Table 3", f"training {metric}", value, metric, {"epoch": epoch, "labels": _LABELS[0], "lr": 1e-3})
        for epoch, values in _PRINTED.items()
        for metric, value in zip(("accuracy", "loss"), values, strict=True)
    ]


def _h21(results: Results) -> Finding:
    """A network of width 100 cannot fit uniform random pixels."""
    last = results.query("select max(epoch) from results")[0][0]
    if last < 10:
        raise NotRun("needs ten epochs")
    share, entropy = (
        results.query("select avg(value) from results where metric = ? and labels = ?", [name, _LABELS[0]])[0][0]
        for name in ("share of the largest class", "entropy of the labels")
    )
    rows = results.query(
        "select labels, lr, avg(value) filter (metric = 'accuracy'), avg(value) filter (metric = 'loss') from results where epoch = ? "
        "group by all order by all",
        [last],
    )
    ours = f"epoch {last}: " + "; ".join(
        f"labels {labels}, rate {lr:g}: accuracy {a:.4f}, loss {loss:.4f}" for labels, lr, a, loss in rows
    )
    stuck = [(labels, lr) for labels, lr, a, _ in rows if labels == _LABELS[0] and abs(a - share) < 0.005]
    why = (
        f"the printed 11.24 % and 230.13 are the share of the largest class ({share:.2%}) and a hundred times the entropy of the labels "
        f"({entropy:.4f}): the labels were MNIST's own, and the network only learned their frequencies. "
    )
    if stuck:
        why += "Here that happens at rate " + " and ".join(f"{lr:g}" for _, lr in stuck)
        why += (
            "."
            if len(stuck) == 2
            else f"; at the other rate the network begins to fit by epoch {last} of 500, so it is no matter of what it can fit."
        )
    else:
        why += (
            f"Here networks begin to fit at both rates by epoch {last} of 500, so it is no matter of what they can fit."
        )
    return Finding(verdict(len(stuck) == 2), ours, why)


RANDOM_PIXELS = Study(
    name="he2021.random",
    title="Training on uniform random pixels, with the images' labels and with random ones",
    source="He et al. 2021, Figure 8 and Table 3",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"random": _figure},
    claims=(Claim("H21", _h21, ("mnist",)),),
    printed=_printed,
    notes=(
        "The paper does not say which labels and which rate; both kinds and two rates were run. Its losses are a hundred times a "
        "cross-entropy."
    ),
)
