"""Sample size: networks trained on parts of the data for equally many updates (He et al. 2021, Section 5.3, Figure 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, trend, verdict
from actscope.studies.he2021.networks import DATASETS, RECIPES, hash_cells, mlp_cell, recipe_for, seeds
from actscope.studies.he2021.networks import specimen as whole_specimen
from actscope.studies.he2021.panels import hash_figure, means
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP, LabelledData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SAMPLES", "part_measurer"]

_VERSION = 1
_SIZES = {
    "mnist": (10, 30, 60, 100, 300, 600, 1000, 2000, 3000, 6000, 10_000, 20_000, 30_000, 60_000),
    "cifar10": (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 40_000),
    "digits": (10, 100, 1000),
}
_STEPS_PER_EPOCH = {"mnist": 469, "cifar10": 782, "digits": 45}
"""Of the whole training set."""


def _cells(grid: Grid) -> list[Cell]:
    widths = {"mnist": (40, 50, 60), "cifar10": (10, 20, 40, 80), "digits": (10, 30)}[grid.dataset]
    epochs = {
        "smoke": 5,
        "small": 2 if grid.dataset == "cifar10" else 10,
        "paper": 200 if grid.dataset == "cifar10" else 2000,
    }
    steps = epochs[grid.scale] * _STEPS_PER_EPOCH[grid.dataset]
    # a rate that falls by epochs would fall at once on few examples
    recipe = recipe_for(grid, 1).replace(schedule="constant", lr_every=None, steps=steps)
    if grid.dataset == "cifar10":
        recipe = recipe.replace(lr=1e-3)
    return [
        mlp_cell(SAMPLES.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, steps=(steps,), sample_size=size)
        for size in _SIZES[grid.dataset]
        for width in widths
        for seed in seeds(grid, 2 if grid.dataset == "cifar10" else 5)
    ]


def part_measurer(
    cells: Sequence[Cell], place: Place, *, more: Callable[[Cell, Specimen, MLP, Place], Sequence[Row]] | None = None
) -> Iterator[tuple[Cell, list[Row]]]:
    """Every cell's network, trained on `sample_size` examples drawn by its seed, and how good a hash it is; `more` gives further rows."""
    parts: dict[tuple[str, int, int], LabelledData] = {}
    # one size after the other: together, all parts of five seeds would take gigabytes
    for size in sorted({cell["sample_size"] for cell in cells}):
        parts.clear()
        of_size = [cell for cell in cells if cell["sample_size"] == size]
        yield from hash_cells(
            of_size, place, specimen=partial(_specimen, parts), more=more, neighbours_of_train=more is None
        )


def _specimen(parts: dict[tuple[str, int, int], LabelledData], cell: Cell, place: Place) -> Specimen:
    key = (cell["dataset"], cell["sample_size"], cell["seed"])
    if key not in parts:
        train, _ = place.data(cell["dataset"])
        size = min(cell["sample_size"], len(train))
        parts[key] = train if size == len(train) else train.subset(size, seed=cell["seed"])
    return whole_specimen(cell, place, by_steps=True, train=parts[key])


def _figure(results: Results) -> Figure:
    return hash_figure(results, "sample_size", by="width", log_x=True)


def _h13(results: Results) -> Finding:
    """Redundancy on train and test falls and accuracies rise with sample size."""
    trends, ends = {}, []
    for metric, split in (
        ("redundancy", "train"),
        ("redundancy", "test"),
        ("kmeans", "test"),
        ("knn", "test"),
        ("logistic", "test"),
    ):
        found = results.arrays(
            "select sample_size, value, width || '/' || seed as network from results where metric = ? and split = ?",
            [metric, split],
        )
        trends[metric, split] = trend(found["sample_size"], found["value"], found["network"])
        sizes, values = means(results, "sample_size", metric, split)
        ends.append(f"{metric} ({split}) {values[0]:.3f} to {values[-1]:.3f}, rank correlation {trends[metric, split]}")
    ours = f"{sizes[0]:.0f} to {sizes[-1]:,.0f} examples: " + "; ".join(ends)
    accuracies = all(trends[name, "test"].mean > 0.5 for name in ("kmeans", "knn", "logistic"))
    test, train = trends["redundancy", "test"], trends["redundancy", "train"]
    why = ""
    if not train.falls:
        why = (
            "on the training sample itself redundancy starts at 0, since ten examples seldom share a region of even a coarse partition, "
            "and rises as pairs multiply; on the same test examples it "
            + ("falls" if test.falls else "has no trend over all widths: the wide have none at any size")
        )
    return Finding(verdict(accuracies and test.falls and train.falls), ours, why)


SAMPLES = Study(
    name="he2021.samples",
    title="Redundancy and categorization accuracy against sample size, with the number of updates held constant",
    source="He et al. 2021, Figure 4",
    datasets=DATASETS,
    cells=_cells,
    recipes=RECIPES,
    measure=part_measurer,
    figures={"samples": _figure},
    claims=(Claim("H13", _h13, DATASETS),),
    together=("sample_size", "seed"),
    notes=(
        "The paper does not say how many updates; here as many as the whole set's epochs take: 10 (2 on CIFAR-10) at small scale, 2,000 "
        "(200) at the paper's. "
        "K-NN and logistic regression see only the codes of the sample."
    ),
)
