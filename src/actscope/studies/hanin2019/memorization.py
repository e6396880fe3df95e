"""Memorizing random points of the plane (Hanin & Rolnick 2019, Figure 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from actscope.figures.canvas import new_figure
from actscope.regions import count_in_plane, count_on_lines
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.hanin2019.networks import TRIO, half_square, specimen
from actscope.studies.results import Results, Row, series
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP, LabelledData, evaluate
from actscope.training.recipes import named_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MEMORIZATION"]

_VERSION = 1


def _cells(grid: Grid) -> list[Cell]:
    sizes = (10, 100) if grid.scale == "smoke" else (10, 30, 100, 300, 1000, 3000, 10_000)
    steps = {"smoke": (0, 300), "small": (0, 1000, 10_000), "paper": (0, 1000, 10_000, 100_000)}[grid.scale]
    recipe = named_recipe("hanin2019").replace(steps=steps[-1])
    return [
        Cell(
            MEMORIZATION.name,
            _VERSION,
            {"network": TRIO, "points": size, "seed": seed, "measured": ",".join(map(str, steps))},
            recipe,
        )
        for size in sizes
        for seed in range({"smoke": 2, "small": 5, "paper": 10}[grid.scale])
    ]


def _points(size: int, seed: int) -> LabelledData:
    """Points uniform in the square [-1, 1]² with labels 0 and 1 alike."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(size, 2, generator=generator) * 2 - 1
    y = torch.randint(2, (size,), generator=generator)
    return LabelledData(x, y, name="random points", classes=["0", "1"])


def _specimen(made: dict[tuple[int, int], LabelledData], cell: Cell, place: Place) -> Specimen:
    data = made.setdefault((cell["points"], cell["seed"]), _points(cell["points"], cell["seed"]))
    return specimen(cell, data, by_steps=True)


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return measured(cells, place, partial(_specimen, {}), partial(_rows, place=place))


def _rows(cell: Cell, one: Specimen, model: MLP, *, place: Place) -> list[Row]:
    half = half_square(cell["network"])
    ends = one.train.x[:100].double()
    on_lines = count_on_lines(model, torch.zeros_like(ends), ends, extend=True, progress=False)
    found = evaluate(model, one.train, device=place.device, batch_size=8192)
    return [
        {
            "metric": "regions in the plane over N²/2",
            "value": count_in_plane(model, window=None, progress=False) / half,
        },
        {"metric": "regions in the square over N²/2", "value": count_in_plane(model, progress=False) / half},
        {"metric": "regions on a line over N", "value": float(on_lines.mean()) / (2 * half) ** 0.5},
        {"metric": "accuracy", "split": "train", "value": found.accuracy},
        {"metric": "loss", "split": "train", "value": found.loss},
    ]


_PANELS = {
    "regions in the plane over N²/2": "regions in the whole plane / (N²/2)",
    "regions in the square over N²/2": "regions among the points / (N²/2)",
    "accuracy": "share memorized",
}


def _figure(results: Results) -> Figure:
    from actscope.figures.curves import Curve, draw_curves

    figure = new_figure(11, 3.3)
    for ax, (metric, label) in zip(figure.subplots(1, 3), _PANELS.items(), strict=True):
        curves = [
            Curve(f"step {step:,}", *series(results, "points", metric, where="step = ?", parameters=[step])[:3])
            for (step,) in results.query("select distinct step from results order by 1")
        ]
        draw_curves(curves, xlabel="points to memorize", ylabel=label, ax=ax)
        ax.set_xscale("log")
        ax.set_ylim(bottom=0)
    return figure


def _r4(results: Results) -> Finding:
    """Memorizing more points raises the number of regions slightly before it fails."""
    last = results.query("select max(step) from results")[0][0]
    points, accuracy, _, _ = series(results, "points", "accuracy", where="step = ?", parameters=[last])
    if len(points) < 4:
        raise NotRun("needs more numbers of points")
    said, ratios = [], []
    memorized = accuracy > 0.9
    for metric in ("regions in the plane over N²/2", "regions in the square over N²/2", "regions on a line over N"):
        _, mean, _, _ = series(results, "points", metric, where="step = ?", parameters=[last])
        said.append(f"{metric} " + " → ".join(f"{value:.2f}" for value in mean))
        ratios.append(float(mean[memorized].max() / mean[0]))
    fails = bool((accuracy < 0.9).any())
    ours = (
        f"step {last:,}, {points[0]:,} to {points[-1]:,} points: memorized "
        + " → ".join(f"{value:.2f}" for value in accuracy)
        + "; "
        + "; ".join(said)
        + "; most while memorized over fewest points: "
        + ", ".join(f"× {ratio:.2f}" for ratio in ratios)
    )
    return Finding(verdict(fails and 1 < ratios[0] < 4 and 1 < ratios[1] < 4), ours)


MEMORIZATION = Study(
    name="hanin2019.memorization",
    title="Activation regions while more and more random points of the plane are memorized, until it fails",
    source="Hanin & Rolnick 2019, Figure 3",
    datasets=("none",),
    cells=_cells,
    measure=_measure,
    figures={"memorization": _figure},
    claims=(Claim("R4", _r4),),
    notes="Networks have three hidden layers of 32 and two inputs; points are uniform in [-1, 1]², labels 0 or 1 alike.",
)
