"""Label noise: networks trained on partly shuffled labels (He et al. 2021, Section 5.5, Figure 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, verdict
from actscope.studies.he2021.networks import MNIST_WIDTHS, RECIPES, hash_cells, mlp_cell, recipe_for, seeds
from actscope.studies.he2021.networks import specimen as clean_specimen
from actscope.studies.he2021.panels import hash_figure, last_epoch, means
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen
from actscope.studies.study import Grid, Place, Study
from actscope.training import LabelledData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NOISE"]

_VERSION = 1
_RATES = (0.0, 0.1, 0.2, 0.3)


def _cells(grid: Grid) -> list[Cell]:
    widths = (3, 10, 30) if grid.scale == "smoke" else MNIST_WIDTHS
    epochs = {"smoke": (5,), "small": (10,), "paper": (10, 2000)}[grid.scale]
    recipe = recipe_for(grid, epochs[-1])
    return [
        mlp_cell(NOISE.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, epochs=epochs, noise=rate)
        for rate in _RATES
        for width in widths
        for seed in seeds(grid, 3)
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    noisy: dict[tuple[str, float, int], LabelledData] = {}
    return hash_cells(cells, place, specimen=partial(_specimen, noisy), neighbours_of_train=False)


def _specimen(noisy: dict[tuple[str, float, int], LabelledData], cell: Cell, place: Place) -> Specimen:
    key = (cell["dataset"], cell["noise"], cell["seed"])
    if key not in noisy:
        noisy[key] = place.data(cell["dataset"])[0].with_label_noise(cell["noise"], seed=cell["seed"])
    return clean_specimen(cell, place, train=noisy[key])


def _figure(results: Results) -> Figure:
    return hash_figure(results, "width", by="noise", where=f"epoch = {last_epoch(results)}")


def _h22(results: Results) -> Finding:
    """With label noise the encoding properties stand but become worse."""
    said, worse, stand = [], True, True
    epoch = last_epoch(results)
    for metric, split, better in (
        ("redundancy", "train", -1),
        ("kmeans", "test", 1),
        ("knn", "test", 1),
        ("logistic", "test", 1),
    ):
        at = [means(results, "width", metric, split, epoch, where=f"noise = {rate}") for rate in _RATES]
        average = [float(values.mean()) for _, values in at]
        said.append(f"{metric} ({split}), mean over widths: " + " → ".join(f"{value:.3f}" for value in average))
        worse &= bool(better * (average[-1] - average[0]) < 0)
        widest = [float(values[-1]) for _, values in at]
        stand &= widest[-1] < 0.05 if metric == "redundancy" else bool(np.min(widest) > 0.8 * widest[0])
    ours = f"noise 0, 0.1, 0.2, 0.3 at epoch {epoch}: " + "; ".join(said)
    why = (
        ""
        if worse
        else "codes are categorized against the clean labels, and these do better with some noise: it is redundancy that gets worse; "
        f"after {epoch} of 2,000 epochs no noisy label can have been learned by heart"
    )
    return Finding(verdict(worse and stand), ours, why)


NOISE = Study(
    name="he2021.noise",
    title="Codes of networks that were trained on partly shuffled labels, categorized against the clean ones",
    source="He et al. 2021, Figure 7",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"noise": _figure},
    claims=(Claim("H22", _h22, ("mnist",)),),
)
