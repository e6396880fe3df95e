"""Model size: redundancy and accuracy against the width of layers (He et al. 2021, Section 5.1, Figures 2(a) and 2(b))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, trend, verdict
from actscope.studies.he2021.networks import DATASETS, MNIST_WIDTHS, RECIPES, hash_cells, mlp_cell, recipe_for, seeds
from actscope.studies.he2021.panels import METRICS, hardly_learned, hash_figure, last_epoch, means
from actscope.studies.printed import PrintedValue, printed_table
from actscope.studies.results import Results
from actscope.studies.study import Grid, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WIDTH"]

_VERSION = 1


def _cells(grid: Grid) -> list[Cell]:
    cifar = grid.dataset == "cifar10"
    widths = {
        "smoke": (3, 10, 30),
        "small": (10, 20, 40, 80, 120, 200) if cifar else MNIST_WIDTHS,
        "paper": tuple(range(10, 201, 10)) if cifar else MNIST_WIDTHS,
    }[grid.scale]
    epochs = {
        "smoke": (0, 10),
        "small": (10, 20) if cifar else (10, 100),
        "paper": (10, 200) if cifar else (10, 100, 2000),
    }[grid.scale]
    recipe = recipe_for(grid, epochs[-1])
    return [
        mlp_cell(WIDTH.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, epochs=epochs)
        for width in widths
        for seed in seeds(grid, 2 if cifar else 5)
    ]


def _figure(results: Results) -> Figure:
    return hash_figure(results, "width", by="epoch", printed=_printed(results.dataset))


def _printed(dataset: str) -> list[PrintedValue]:
    return [
        PrintedValue(
            figure=f"Figure {row['figure']}",
            label=f"{METRICS[row['metric']].label}, width {row['width']}",
            value=float(row["value"]),
            metric=METRICS[row["metric"]].metric,
            at={"split": METRICS[row["metric"]].split, "width": int(row["width"])},
        )
        for row in printed_table("he2021_fig2")
        if row["dataset"] == dataset and row["value"]
    ]


def _h4(results: Results) -> Finding:
    """Redundancy falls from near 1 to near 0 with width on MNIST, and from about 0.1 on CIFAR-10."""
    epoch = last_epoch(results)
    widths, test = means(results, "width", "redundancy", "test", epoch)
    _, train = means(results, "width", "redundancy", "train", epoch)
    found = results.arrays(
        "select width, value, seed from results where metric = 'redundancy' and split = 'train' and epoch = ?", [epoch]
    )
    falling = trend(found["width"], found["value"], found["seed"])
    dataset = results.dataset
    first = train[0] > 0.95 if dataset == "mnist" else 0.02 < train[0] < 0.3
    ours = (
        f"epoch {epoch}: train {train[0]:.3f} at width {widths[0]:.0f} to {train[-1]:.4f} at {widths[-1]:.0f}, test {test[0]:.3f} to "
        f"{test[-1]:.4f}; rank correlation with width {falling}"
    )
    return Finding(verdict(bool(first and train[-1] < 0.02 and falling.falls)), ours, hardly_learned(results))


def _h5(results: Results) -> Finding:
    """K-Means reaches about 70 % on both, K-NN and regression over 90 % on MNIST and about 50 % on CIFAR-10."""
    epoch, dataset = last_epoch(results), results.dataset
    top = {
        metric: (float(values[-1]), int(widths[-1]))
        for metric in ("kmeans", "knn", "logistic")
        for widths, values in [means(results, "width", metric, "test", epoch)]
    }
    ours = (
        f"epoch {epoch}, width {top['knn'][1]}: K-Means {top['kmeans'][0]:.3f}, K-NN {top['knn'][0]:.3f}, "
        f"logistic regression {top['logistic'][0]:.3f}"
    )
    if dataset == "mnist":
        holds = abs(top["kmeans"][0] - 0.7) < 0.1 and min(top["knn"][0], top["logistic"][0]) > 0.9
        return Finding(verdict(holds), ours)
    fair = all(abs(top[name][0] - 0.5) < 0.07 for name in ("knn", "logistic"))
    clustered = abs(top["kmeans"][0] - 0.7) < 0.1
    why = hardly_learned(results)
    if fair and not clustered:
        why = "K-NN and regression do; K-Means, for which the paper's text has about 70 % on both data sets, does not: its plot has "
        why += f"0.694 at width 200 after 200 epochs, this is after {epoch}"
    return Finding(verdict(fair and clustered), ours, why)


WIDTH = Study(
    name="he2021.width",
    title="Redundancy and categorization accuracy against layer width",
    source="He et al. 2021, Figures 2(a) and 2(b)",
    datasets=DATASETS,
    cells=_cells,
    recipes=RECIPES,
    measure=hash_cells,
    figures={"width": _figure},
    claims=(Claim("H4", _h4, DATASETS), Claim("H5", _h5, DATASETS)),
    printed=_printed,
)
