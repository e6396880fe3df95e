"""Regions in a plane through training on images (Hanin & Rolnick 2019, Figure 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, verdict
from actscope.studies.hanin2019.averages import over_networks
from actscope.studies.hanin2019.networks import NETWORKS, image_rows, specimen
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training.recipes import named_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TRAINING"]

_VERSION = 1
_METRIC = "regions in a plane over N²/2"
_STEPS_PER_EPOCH = {"mnist": 469, "digits": 12}
_FRACTIONS = {
    "smoke": (0, 1 / 4, 1, 3),
    "small": (0, 1 / 32, 1 / 8, 1 / 2, 1, 3, 10, 20),
    "paper": (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 3, 5, 10, 15, 20),
}
"""Epochs after which regions are counted."""


def _cells(grid: Grid) -> list[Cell]:
    names = ("16x4", "20x3") if grid.scale == "smoke" else NETWORKS
    per_epoch = _STEPS_PER_EPOCH[grid.dataset]
    steps = sorted({round(fraction * per_epoch) for fraction in _FRACTIONS[grid.scale]})
    recipe = named_recipe("hanin2019").replace(steps=steps[-1])
    return [
        Cell(
            TRAINING.name,
            _VERSION,
            {
                "dataset": grid.dataset,
                "network": network,
                "seed": seed,
                "steps_per_epoch": per_epoch,
                "planes": {"smoke": 1, "small": 2, "paper": 5}[grid.scale],
                "measured": ",".join(map(str, steps)),
            },
            recipe,
        )
        for network in names
        for seed in range({"smoke": 2, "small": 10, "paper": 10}[grid.scale])
    ]


def _specimen(cell: Cell, place: Place) -> Specimen:
    return specimen(cell, place.data(cell["dataset"])[0], by_steps=True)


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return measured(cells, place, _specimen, partial(image_rows, place=place))


def _figure(results: Results) -> Figure:
    from actscope.figures.curves import Curve, draw_curves

    figure = new_figure(9, 3.6)
    per_epoch = results.query("select any_value(steps_per_epoch) from results")[0][0]
    for ax, depth in zip(figure.subplots(1, 2, sharey=True), (4, 3), strict=True):
        curves = []
        for (network,) in results.query("select distinct network from results order by len(network), 1"):
            if network.endswith(f"x{depth}"):
                x, mean, sd, _ = over_networks(results, "step", _METRIC, where="network = ?", parameters=[network])
                curves.append(Curve(network.replace("x", "×"), x / per_epoch, mean, sd))
        ax.axhline(1, color="0.6", linewidth=0.8, linestyle="--")
        draw_curves(curves, xlabel="epoch", ylabel="regions / (N²/2)", log_x=True, ax=ax)
        ax.set_xscale("symlog", linthresh=1 / 32)
        ax.set_xticks([0, 1 / 32, 1 / 4, 1, 5, 20], ["0", "1/32", "1/4", "1", "5", "20"])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_title(f"{depth} hidden layers", fontsize=9)
        ax.legend(frameon=False, fontsize=7)
    return figure


def _r2(results: Results) -> Finding:
    """Regions start near N²/2, dip and come back whatever the depth."""
    said, holds = [], True
    for (network,) in results.query("select distinct network from results order by len(network), 1"):
        step, mean, sd, _ = over_networks(results, "step", _METRIC, where="network = ?", parameters=[network])
        low = int(np.argmin(mean))
        said.append(
            f"{network.replace('x', '×')} {mean[0]:.2f} ± {sd[0]:.2f}, least {mean[low]:.2f} at step {step[low]:,}, last "
            f"{mean[-1]:.2f} ± {sd[-1]:.2f}"
        )
        holds &= bool(
            0.5 < mean[0] < 2
            and 0 < low < len(mean) - 1
            and mean[-1] > mean[low]
            and mean.min() > 0.25
            and mean.max() < 4
        )
    return Finding(verdict(holds), "regions over N²/2: " + "; ".join(said))


TRAINING = Study(
    name="hanin2019.training",
    title="Activation regions in a plane through training, beside N²/2",
    source="Hanin & Rolnick 2019, Figure 1",
    datasets=("mnist",),
    cells=_cells,
    measure=_measure,
    figures={"training": _figure},
    claims=(Claim("R2", _r2, ("mnist",)),),
    notes=(
        "Planes go through the origin and two training images; a unit is 1.25 times the longer of the two, the window [-20, 20]². Counts "
        "are exact. Every network of a kind has planes of its own, the same at all times. Deviations are between networks: "
        "planes of one network are averaged first."
    ),
)
