"""The measurements behind a phase chart: width × training time, and width × sample size (He et al. 2021, Section 5.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from actscope.codes import encode
from actscope.hashing.redundancy import regions
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun
from actscope.studies.he2021.networks import RECIPES, hash_cells, mlp_cell, recipe_for
from actscope.studies.he2021.samples import part_measurer
from actscope.studies.phase.extrapolation import (
    first_collision,
    redundancy_by_chao,
    redundancy_by_pairs,
    size_of_redundancy,
)
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SAMPLE_CHART", "TIME_CHART"]

_VERSION = 1
_WIDTHS = {
    "digits": (3, 6, 12, 24, 48),
    "mnist": (5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100),
    "cifar10": (3, 5, 7, 10, 14, 20, 28, 40),
}
_EPOCHS = {
    "smoke": (0, 1, 3, 10),
    "small": (0, 1, 2, 3, 6, 10, 20, 40),
    "paper": (0, 1, 3, 10, 30, 100, 300, 1000, 2000),
}
_SIZES = {
    "digits": (50, 200, 1000),
    "mnist": (100, 300, 1000, 3000, 10_000, 30_000, 60_000),
    "cifar10": (500, 2000, 10_000, 50_000),
}
_STEPS = {"smoke": 200, "small": 4690, "paper": 46_900}
_SEEN = 6
"""One in so many training examples is what predictions are made from."""


def _time_cells(grid: Grid) -> list[Cell]:
    epochs = tuple(
        epoch
        for epoch in _EPOCHS[grid.scale]
        if grid.dataset != "cifar10" or epoch <= (10 if grid.scale == "small" else 200)
    )
    recipe = recipe_for(grid, epochs[-1])
    return [
        mlp_cell(TIME_CHART.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, epochs=epochs)
        for width in _WIDTHS[grid.dataset]
        for seed in _seeds(grid)
    ]


def _sample_cells(grid: Grid) -> list[Cell]:
    steps = _STEPS[grid.scale]
    recipe = recipe_for(grid, 1).replace(schedule="constant", lr_every=None, steps=steps)
    return [
        mlp_cell(
            SAMPLE_CHART.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, steps=(steps,), sample_size=size
        )
        for size in _SIZES[grid.dataset]
        for width in _WIDTHS[grid.dataset]
        for seed in _seeds(grid)
    ]


def _seeds(grid: Grid) -> range:
    return range({"smoke": 2, "small": 3, "paper": 5}[grid.scale])


def _measure_time(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return hash_cells(cells, place, more=_predictions)


def _measure_samples(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return part_measurer(cells, place, more=_predictions)


def _predictions(cell: Cell, one: Specimen, model: MLP, place: Place) -> list[Row]:
    """What a sixth of the training examples says about redundancy among the others, and what it is.

    The examples are those that any network of the grid could see, so that all cells speak of the same sizes; which are in the
    sixth is drawn by the cell's seed.
    """
    train, _ = place.data(cell["dataset"])
    codes = encode(model, train, device=place.device, progress=False)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(cell["seed"])).numpy()
    n_seen = len(train) // _SEEN
    seen = regions(codes[order[:n_seen]]).counts
    rest = order[n_seen:]
    pairs = float((seen * (seen - 1)).sum()) / (n_seen * (n_seen - 1))
    rows: list[Row] = [
        {"metric": "part: examples", "value": float(n_seen)},
        {"metric": "part: redundancy", "value": 1 - len(seen) / n_seen},
        {"metric": "part: collision probability", "value": pairs},
    ]
    for share in (0.2, 0.5, 1.0):
        size = int(share * len(rest))
        others = regions(codes[rest[:size]]).counts
        for metric, value in {
            "rest: redundancy": 1 - len(others) / size,
            "rest: predicted from pairs": float(redundancy_by_pairs(pairs, size)),
            "rest: predicted by Chao": float(redundancy_by_chao(seen, [size])[0]),
        }.items():
            rows.append({"metric": metric, "rest_size": size, "value": value})
    if pairs > 0:
        # both borders of a collision entropy of -log2 p2, and where the others have them
        groups = regions(codes[rest])
        rows += [
            {"metric": "first collision: predicted", "value": float((2 / pairs) ** 0.5)},
            {
                "metric": "first collision: among the rest",
                "value": first_collision(groups.inverse, n_orders=10, seed=cell["seed"]),
            },
            {"metric": "one percent: predicted", "value": 1 + 0.02 / pairs},
            {"metric": "one percent: among the rest", "value": size_of_redundancy(groups.counts, 0.01)},
        ]
    return rows


def _figure(results: Results) -> Figure:
    from actscope.studies.phase.chart import Chart

    return Chart.of(results).figure()


def _h23(results: Results) -> Finding:
    """There are three regimes; the paper leaves their thresholds open."""
    from actscope.studies.phase.chart import Chart

    chart = Chart.of(results)
    if min(len(chart.widths), len(chart.y)) < 4:
        raise NotRun("a chart needs four values along each axis")
    lines = str(chart).splitlines()
    return Finding(
        "no printed value", "; ".join(lines[:4]), "the paper leaves the thresholds open; [how they are found](phase.md)"
    )


TIME_CHART = Study(
    name="phase.time",
    title="The activation hash phase chart: width against training time",
    source="He et al. 2021, Section 5.6",
    datasets=("mnist", "cifar10"),
    cells=_time_cells,
    recipes=RECIPES,
    measure=_measure_time,
    figures={"chart": _figure},
    claims=(Claim("H23", _h23),),
)
SAMPLE_CHART = Study(
    name="phase.samples",
    title="The activation hash phase chart: width against sample size",
    source="He et al. 2021, Section 5.6",
    datasets=("mnist", "cifar10"),
    cells=_sample_cells,
    recipes=RECIPES,
    measure=_measure_samples,
    figures={"chart": _figure},
    claims=(Claim("H23", _h23),),
    together=("sample_size", "seed"),
)
