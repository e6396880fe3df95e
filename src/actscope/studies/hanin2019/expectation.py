"""The expected number of regions at initialization (Hanin & Rolnick 2019, Theorem 5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from actscope.figures.canvas import new_figure
from actscope.regions import count_in_plane, count_on_lines
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.hanin2019.networks import hidden
from actscope.studies.results import Results, Row
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTATION"]

_VERSION = 1
_NETWORKS = ("16x1", "32x1", "64x1", "128x1", "16x2", "32x2", "64x2", "16x4", "32x4", "64x4", "16x8", "32x8")
_BIASES = (0.1, 1.0)
"""Standard deviations: the theorem needs biases with a density, and T depends on it."""


def _cells(grid: Grid) -> list[Cell]:
    return [
        Cell(
            EXPECTATION.name,
            _VERSION,
            {
                "network": network,
                "inputs": n_in,
                "biases": biases,
                "draws": {"smoke": 5, "small": 100, "paper": 1000}[grid.scale],
            },
        )
        for n_in in (1, 2)
        for biases in _BIASES
        for network in (_NETWORKS if grid.scale != "smoke" else ("16x1", "16x2"))
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        counts = np.array([_count(cell, draw) for draw in range(cell["draws"])], float)
        n, dim = sum(hidden(cell["network"])), cell["inputs"]
        per_volume = counts.mean() / 2**dim
        yield (
            cell,
            [
                {"metric": "mean regions per volume", "value": float(per_volume)},
                {"metric": "its standard error", "value": float(counts.std(ddof=1) / math.sqrt(len(counts)) / 2**dim)},
                {"metric": "neurons", "value": float(n)},
                {"metric": "T", "value": float((per_volume * math.factorial(dim)) ** (1 / dim) / n)},
            ],
        )


def _count(cell: Cell, draw: int) -> int:
    """Regions of one random network in the cube [-1, 1]^n."""
    model = MLP(cell["inputs"], hidden(cell["network"]), 1, init="he", seed=draw)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.mul_(cell["biases"] / 1e-3)
    if cell["inputs"] == 1:
        return int(count_on_lines(model, torch.tensor([[-1.0]]), torch.tensor([[1.0]]), progress=False)[0])
    return count_in_plane(model, progress=False)


def _figure(results: Results) -> Figure:
    from actscope.figures.palette import CLASSES

    figure = new_figure(8.5, 3.4)
    for ax, n_in in zip(figure.subplots(1, 2), (1, 2), strict=True):
        for i, (biases,) in enumerate(results.query("select distinct biases from results order by 1")):
            found = results.arrays(
                "select network, max(value) filter (metric = 'neurons') as n, max(value) filter (metric = 'T') as t from results "
                "where inputs = ? and biases = ? group by network",
                [n_in, biases],
            )
            depth = np.array([int(name.split("x")[1]) for name in found["network"]])
            for level, marker in zip((1, 2, 4, 8), "osD^", strict=True):
                rows = depth == level
                ax.plot(
                    found["n"][rows],
                    found["t"][rows],
                    marker,
                    color=CLASSES[2 * i],
                    label=f"biases {biases:g}, depth {level}",
                    markersize=5,
                )
        ax.set_xscale("log", base=2)
        ax.set_xticks([16, 32, 64, 128, 256], ["16", "32", "64", "128", "256"])
        ax.set_ylim(0, None)
        ax.set_xlabel("neurons N")
        ax.set_ylabel("T that the mean count needs")
        ax.set_title("on a line, n = 1" if n_in == 1 else "in a square, n = 2", fontsize=9)
    ax.legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _r1(results: Results) -> Finding:
    """One T bounds the mean number of regions of all sizes and depths: that which the smallest network needs."""
    rows = results.query(
        "with networks as (select inputs, biases, network, max(value) filter (metric = 'T') as t, max(value) filter "
        "(metric = 'neurons') as n from results group by all) "
        "select inputs, biases, arg_min(t, n), max(t), min(t), arg_min(network, t), arg_min(network, n), count(*) from networks "
        "group by all order by all"
    )
    if rows[0][-1] < 4:
        raise NotRun("needs more networks")
    ours = f"T that the mean count needs, {rows[0][6].replace('x', '×')} first, then the most and the least of {rows[0][7]} networks: "
    ours += "; ".join(
        f"n = {n}, biases {biases:g}: {first:.3f}, {high:.3f}, {low:.3f} ({where.replace('x', '×')})"
        for n, biases, first, high, low, where, _, _ in rows
    )
    return Finding(
        verdict(all(high <= 1.1 * first for _, _, first, high, *_ in rows)),
        ours,
        "means over draws at initialization, in the cube [-1, 1]ⁿ: nothing is said of one network, or of a trained one",
    )


EXPECTATION = Study(
    name="hanin2019.expectation",
    title="Mean number of regions per volume at initialization over many draws, and the T that it needs",
    source="Hanin & Rolnick 2019, Theorem 5",
    datasets=("none",),
    cells=_cells,
    measure=_measure,
    figures={"expectation": _figure},
    claims=(Claim("R1", _r1),),
    together=("network",),
    notes=(
        "The theorem bounds the mean by (T N)ⁿ / n! per volume; T is what equality would need. Were T to grow with N or depth, no bound of "
        "this form could hold."
    ),
)
