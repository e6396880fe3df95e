"""Learning rate and batch size against the number of regions (Hanin & Rolnick 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.hanin2019.averages import over_networks
from actscope.studies.hanin2019.networks import TRIO, image_rows, specimen
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training.recipes import named_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HYPERPARAMETERS"]

_VERSION = 1
_METRIC = "regions in a plane over N²/2"


def _cells(grid: Grid) -> list[Cell]:
    rates = (1e-3, 1e-2) if grid.scale == "smoke" else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    sizes = (32,) if grid.scale == "smoke" else (32, 128, 512)
    epochs = {"smoke": 3, "small": 5, "paper": 20}[grid.scale]
    return [
        Cell(
            HYPERPARAMETERS.name,
            _VERSION,
            {
                "dataset": grid.dataset,
                "network": TRIO,
                "lr": lr,
                "batch_size": batch_size,
                "seed": seed,
                "planes": {"smoke": 1, "small": 3, "paper": 5}[grid.scale],
                "measured": f"0,{epochs}",
            },
            named_recipe("hanin2019").replace(lr=lr, batch_size=batch_size, epochs=epochs),
        )
        for lr in rates
        for batch_size in sizes
        for seed in range({"smoke": 2, "small": 3, "paper": 10}[grid.scale])
    ]


def _specimen(cell: Cell, place: Place) -> Specimen:
    return specimen(cell, place.data(cell["dataset"])[0])


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return measured(cells, place, _specimen, partial(image_rows, place=place))


def _figure(results: Results) -> Figure:
    from actscope.figures.curves import Curve, draw_curves

    figure = new_figure(8, 3.3)
    last = results.query("select max(epoch) from results")[0][0]
    for ax, (metric, label) in zip(
        figure.subplots(1, 2), ((_METRIC, "regions / (N²/2)"), ("accuracy", "test accuracy")), strict=True
    ):
        curves = [
            Curve(
                f"batches of {size}",
                *over_networks(results, "lr", metric, where="epoch = ? and batch_size = ?", parameters=[last, size])[
                    :3
                ],
            )
            for (size,) in results.query("select distinct batch_size from results order by 1")
        ]
        draw_curves(curves, xlabel="learning rate", ylabel=label, ax=ax)
        ax.set_xscale("log")
        ax.set_ylim(bottom=0)
    return figure


def _r5(results: Results) -> Finding:
    """Learning rate and batch size change the number of regions by no more than a constant factor."""
    last = results.query("select max(epoch) from results")[0][0]
    rows = results.query(
        f"select lr, batch_size, avg(value) filter (metric = '{_METRIC}') as ratio, avg(value) filter (metric = 'accuracy') as accuracy "
        "from results where epoch = ? group by all order by ratio",
        [last],
    )
    learned = [row for row in rows if row[3] > 0.5]
    if len(learned) < 2:
        raise NotRun("fewer than two settings learned anything")
    low, high = learned[0], learned[-1]
    ours = (
        f"epoch {last}: {low[2]:.2f} (rate {low[0]:g}, batches of {low[1]}) to {high[2]:.2f} (rate {high[0]:g}, batches of {high[1]}) of "
        f"N²/2 in {len(learned)} settings that learned: a factor of {high[2] / low[2]:.2f}"
    )
    return Finding(verdict(bool(np.isfinite(high[2]) and high[2] / low[2] < 4)), ours)


HYPERPARAMETERS = Study(
    name="hanin2019.hyperparameters",
    title="Activation regions in a plane by learning rate and batch size",
    source="Hanin & Rolnick 2019, on maximizing regions",
    datasets=("mnist",),
    cells=_cells,
    measure=_measure,
    figures={"hyperparameters": _figure},
    claims=(Claim("R5", _r5, ("mnist",)),),
    together=("seed", "batch_size"),
)
