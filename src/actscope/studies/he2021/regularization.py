"""Regularization: batch normalization, clipping and weight decay against none (He et al. 2021, Section 5.5, Figure 6)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.he2021.networks import MNIST_WIDTHS, RECIPES, hash_cells, mlp_cell, recipe_for, seeds
from actscope.studies.he2021.panels import last_epoch
from actscope.studies.results import Results
from actscope.studies.study import Grid, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["REGULARIZATION"]

_VERSION = 1
_METHODS = ("none", "batch normalization", "clipping", "weight decay")
_SHOWN = (("redundancy", "train"), ("kmeans", "test"), ("knn", "test"), ("logistic", "test"))


def _cells(grid: Grid) -> list[Cell]:
    widths = (3, 10, 30) if grid.scale == "smoke" else MNIST_WIDTHS
    epochs = {"smoke": (5,), "small": (10,), "paper": (10, 2000)}[grid.scale]
    plain = recipe_for(grid, epochs[-1])
    recipes = {"clipping": plain.replace(clip_norm=1.0), "weight decay": plain.replace(l2=0.01)}
    return [
        mlp_cell(
            REGULARIZATION.name,
            _VERSION,
            grid,
            width=width,
            seed=seed,
            recipe=recipes.get(method, plain),
            epochs=epochs,
            batch_norm=method == "batch normalization",
            method=method,
        )
        for method in _METHODS
        for width in widths
        for seed in seeds(grid, 3)
    ]


def _paired(results: Results, metric: str, split: str, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Width, value without and value with a method, of networks with one first draw and batch order."""
    found = results.arrays(
        "select a.width as width, a.value as without, b.value as with_it from results a join results b "
        "using (width, seed, metric, split, epoch) where a.method = 'none' and b.method = ? and metric = ? and split = ? and epoch = ? "
        "order by width",
        [method, metric, split, last_epoch(results)],
    )
    if not len(found["width"]):
        raise NotRun(f"{metric} with {method} was not measured")
    return found["width"], found["without"], found["with_it"]


def _figure(results: Results) -> Figure:
    from actscope.figures.palette import CLASSES

    figure = new_figure(11, 7.8)
    names = {
        "redundancy": "redundancy, train",
        "kmeans": "K-Means, test",
        "knn": "K-NN, test",
        "logistic": "logistic regression, test",
    }
    for line, method in zip(figure.subplots(3, 4), _METHODS[1:], strict=True):
        for i, (ax, (metric, split)) in enumerate(zip(line, _SHOWN, strict=True)):
            _, without, with_it = _paired(results, metric, split, method)
            ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
            ax.plot(without, with_it, marker="o", markersize=3, linestyle="none", color=CLASSES[i], alpha=0.6)
            ax.set_xlabel(f"{names[metric]}, without", fontsize=8)
            ax.set_ylabel(f"with {method}", fontsize=8)
            ax.set_title(f"mean difference {np.mean(with_it - without):+.3f}", fontsize=8)
    return figure


def _h20(results: Results) -> Finding:
    """Regularization matters less than size."""
    said, shares = [], dict[str, float]()
    for metric, split in _SHOWN:
        ranges = results.query(
            "select max(mean) - min(mean) from (select avg(value) as mean from results where method = 'none' and metric = ? and split = ? "
            "and epoch = ? group by width)",
            [metric, split, last_epoch(results)],
        )[0][0]
        effects = []
        for method in _METHODS[1:]:
            _, without, with_it = _paired(results, metric, split, method)
            difference = with_it - without
            effects.append(f"{method} {difference.mean():+.3f} ± {difference.std():.3f}")
            shares[f"{method} on {metric}"] = abs(float(difference.mean())) / ranges
        said.append(f"{metric} ({split}; width moves it by {ranges:.2f}): {', '.join(effects)}")
    most = max(shares, key=lambda name: shares[name])
    why = f"the largest, {most}, comes to {shares[most]:.0%} of what width does; training time and sample size are not compared here"
    return Finding(verdict(shares[most] < 1), "; ".join(said), why)


REGULARIZATION = Study(
    name="he2021.regularization",
    title="Batch normalization, clipping at norm 1 and weight decay 0.01, each against the same network without",
    source="He et al. 2021, Figure 6",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=partial(hash_cells, neighbours_of_train=False),
    figures={"regularization": _figure},
    claims=(Claim("H20", _h20, ("mnist",)),),
    notes=(
        "Weight decay is Keras's L2(0.01) on kernels and clipping its clipnorm, of each variable by itself. Pairs share first weights and "
        "batches."
    ),
)
