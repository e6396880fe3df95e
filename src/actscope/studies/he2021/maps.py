"""A map of codes: t-SNE of one hidden layer's codes (He et al. 2021, Section 4, Figure 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.codes import encode
from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, verdict
from actscope.studies.he2021.networks import RECIPES, mlp_cell, recipe_for, seeds, specimen
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MAPS"]

_VERSION = 1
_K = 9


def _cells(grid: Grid) -> list[Cell]:
    epochs = {"smoke": (10,), "small": (10,), "paper": (2000,)}[grid.scale]
    n_shown = {"smoke": 200, "small": 3000, "paper": 10_000}[grid.scale]
    recipe = recipe_for(grid, epochs[-1])
    return [
        mlp_cell(MAPS.name, _VERSION, grid, width=100, seed=seed, recipe=recipe, epochs=epochs, shown=n_shown)
        for seed in seeds(grid, 2)
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return measured(cells, place, specimen, partial(_rows, place=place))


def _rows(cell: Cell, one: Specimen, model: MLP, *, place: Place) -> list[Row]:
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import KNeighborsClassifier

    _, test = place.data(cell["dataset"])
    shown = test.subset(min(cell["shown"], len(test)), seed=cell["seed"], stratified=True)
    bits = encode(model, shown, device=place.device, progress=False).bits().astype(np.float32)
    # squared Euclidean distances of bits are Hamming distances
    perplexity = min(30.0, (len(bits) - 1) / 3)
    at = TSNE(perplexity=perplexity, init="pca", random_state=cell["seed"]).fit_transform(bits)
    labels = shown.y.numpy()
    near = KNeighborsClassifier(_K).fit(at, labels)
    # the vote of an example's neighbours without itself
    votes = labels[near.kneighbors(at, _K + 1, return_distance=False)[:, 1:]]
    knn = np.mean([np.bincount(row).argmax() == label for row, label in zip(votes, labels, strict=True)])
    rows: list[Row] = [
        {"metric": "silhouette in the map", "value": float(silhouette_score(at, labels))},
        {"metric": "silhouette of the codes", "value": float(silhouette_score(bits, labels))},
        {"metric": "knn in the map", "value": float(knn)},
    ]
    for axis, name in enumerate(("map x", "map y")):
        rows += [
            {"metric": name, "example": int(i), "label": int(label), "value": float(value)}
            for i, label, value in zip(shown.ids, labels, at[:, axis], strict=True)
        ]
    return rows


def _figure(results: Results) -> Figure:
    from actscope.figures.palette import class_colour, class_marker

    cells = [cell for (cell,) in results.query("select distinct cell from results order by 1")]
    figure = new_figure(4.2 * len(cells), 4)
    for ax, cell in zip(figure.subplots(1, len(cells), squeeze=False)[0], cells, strict=True):
        found = results.arrays(
            "select x.label, x.value as x, y.value as y, x.seed from results x join results y using (cell, example) "
            "where x.metric = 'map x' and y.metric = 'map y' and cell = ?",
            [cell],
        )
        for label in np.unique(found["label"]):
            rows = found["label"] == label
            ax.scatter(
                found["x"][rows],
                found["y"][rows],
                s=7,
                color=class_colour(label),
                marker=class_marker(label),
                linewidths=0,
                label=str(label),
            )
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(f"seed {found['seed'][0]}", fontsize=9)
    ax.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _h3(results: Results) -> Finding:
    """The map shows one clear cluster for each class."""
    names = ("silhouette in the map", "knn in the map", "silhouette of the codes")
    found = {name: results.arrays("select value from results where metric = ?", [name])["value"] for name in names}
    ours = "; ".join(
        f"{name} {values.mean():.3f} ({values.min():.3f} to {values.max():.3f})" for name, values in found.items()
    )
    holds = found["silhouette in the map"].min() > 0.25 and found["knn in the map"].min() > 0.85
    return Finding(verdict(bool(holds)), ours, "one cluster for each class; those of 4 and 9, and of 3 and 5, touch")


MAPS = Study(
    name="he2021.map",
    title="A map of the codes of test examples by t-SNE",
    source="He et al. 2021, Figure 1",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"map": _figure},
    claims=(Claim("H3", _h3, ("mnist",)),),
)
