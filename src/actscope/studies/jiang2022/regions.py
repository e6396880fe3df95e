"""Generalized activation regions in a plane through test images (Jiang et al. 2022, Section III-B, Figure 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from actscope import regions
from actscope.codes import encode
from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding
from actscope.studies.jiang2022.fcnn import RECIPES, Normalization, fcnn_cell, train_and_look
from actscope.studies.jiang2022.patterns import Split, split_name
from actscope.studies.looking import has_diverged
from actscope.studies.results import Results, Row
from actscope.studies.study import Grid, Place, Study
from actscope.training import LabelledData, evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["REGIONS", "plane_of_labels"]

_VERSION = 1
_VARIANTS: tuple[tuple[str, Normalization, Split], ...] = (
    ("sigmoid", "none", (-1.0, 1.0)),
    ("sigmoid", "before", (-1.0, 1.0)),
    ("tanh", "none", (-1.0, 1.0)),
    ("relu", "none", (0.0,)),
)
"""The paper's network, with normalization or without, and two to compare with."""
_WINDOW = (-1.0, 1.0, -1.0, 1.0)


def _cells(grid: Grid) -> list[Cell]:
    steps, coarsest, finest = {"smoke": (40, 16, 32), "small": (5_000, 128, 512), "paper": (24_000, 128, 1024)}[
        grid.scale
    ]
    return [
        fcnn_cell(
            REGIONS.name,
            _VERSION,
            grid,
            activation=activation,
            normalization=normalization,
            steps=steps,
            width=64,
            depth=3,
            breakpoints=split_name(split),
            coarsest=coarsest,
            finest=finest,
        )
        for activation, normalization, split in _VARIANTS
    ]


def plane_of_labels(data: LabelledData, seed: int) -> regions.Plane:
    """The plane through three examples with different labels, drawn by the seed; all three lie within [-1, 1]².

    Example:
        >>> data = LabelledData(torch.eye(4), torch.tensor([0, 0, 1, 2]))
        >>> [int(data.y[int(x.argmax())]) for x in plane_of_labels(data, 0).examples]
        [0, 2, 1]
    """
    x, y = data.tensors
    chosen: list[int] = []
    for i in torch.randperm(len(y), generator=torch.Generator().manual_seed(seed)).tolist():
        if all(y[i] != y[j] for j in chosen):
            chosen.append(i)
        if len(chosen) == 3:
            break
    if len(chosen) < 3:
        raise ValueError(f"a plane through three labels needs three: these examples have {len(chosen)}")
    one, other, third = (x[i].double() for i in chosen)
    return regions.Plane.through(one, other, third)


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        _, test = place.data(cell["dataset"])
        section = plane_of_labels(test, cell["seed"])

        def look(step: int, model: nn.Module, cell: Cell = cell, section: regions.Plane = section) -> list[Row]:
            return _rows(cell, model.eval(), section, device=place.device)

        model, rows = train_and_look(cell, place, (0, cell["steps"]), look)
        if has_diverged(rows):
            yield cell, rows
            continue
        found = evaluate(model, test, device=place.device)
        rows.append({"step": cell["steps"], "metric": "accuracy", "value": found.accuracy})
        yield cell, rows


def _rows(cell: Cell, model: nn.Module, section: regions.Plane, *, device: str | None) -> list[Row]:
    """Patterns seen on finer and finer grids, how many neurons cross a breakpoint at all, and a picture's pixels."""
    split = tuple(map(float, cell["breakpoints"].split(", ")))
    rows: list[Row] = []
    pixels = cell["coarsest"]
    while pixels <= cell["finest"]:
        seen = regions.plane(
            model, section, window=_WINDOW, breakpoints=split, samples=pixels, device=device, progress=False
        )
        rows.append({"metric": "patterns seen", "pixels": pixels, "value": float(seen.n_patterns_seen)})
        if pixels == cell["coarsest"]:
            rows += [
                {"metric": "pattern", "row": row, "column": column, "value": float(value)}
                for (row, column), value in np.ndenumerate(seen.pattern)
            ]
        pixels *= 2
    ticks = np.linspace(-1, 1, 65)
    points = section.points(np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)).float()
    codes = encode(model, points, breakpoints=split, device=device, progress=False)
    varies = (codes.intervals() != codes.intervals()[:1]).any(axis=0)
    rows.append({"metric": "share of neurons that cross a breakpoint", "value": float(varies.mean())})
    if cell["activation"] == "relu":
        exact = regions.plane(model, section, window=_WINDOW, progress=False)
        rows.append({"metric": "patterns", "value": float(exact.n_regions)})
    return rows


def _variants(results: Results) -> list[tuple[str, str, str]]:
    """Activation, normalization and breakpoints of the networks measured."""
    known = set(results.query("select distinct activation, normalization, breakpoints from results"))
    every = [(activation, where, split_name(split)) for activation, where, split in _VARIANTS]
    return [variant for variant in every if variant in known]


def _title(activation: str, normalization: str, breakpoints: str) -> str:
    return f"{activation}, {{{breakpoints}}}" + (", normalized" if normalization == "before" else "")


def _map_figure(results: Results) -> Figure:
    from actscope.figures.planes import draw_pixels

    variants = _variants(results)
    figure = new_figure(3.2 * len(variants), 6.8)
    axes = figure.subplots(2, len(variants), squeeze=False)
    for line, trained in zip(axes, (False, True), strict=True):
        for ax, (activation, where, breakpoints) in zip(line, variants, strict=True):
            found = results.arrays(
                "select value from results where metric = 'pattern' and activation = ? and normalization = ? and step = "
                + ("steps" if trained else "0")
                + ' order by "row", "column"',
                [activation, where],
            )["value"]
            side = round(len(found) ** 0.5)
            grid = found.astype(np.int64).reshape(side, side)
            draw_pixels(grid, window=_WINDOW, ax=ax)
            ax.set_title(f"{_title(activation, where, breakpoints)}\n{len(np.unique(grid)):,} seen", fontsize=8)
            ax.tick_params(labelsize=6)
            ax.set_xlabel("")
            ax.set_ylabel("")
        line[0].set_ylabel("trained" if trained else "untrained", fontsize=9)
    return figure


def _seen_figure(results: Results) -> Figure:
    figure = new_figure(5.0, 3.4)
    ax = figure.add_subplot()
    for i, (activation, where, breakpoints) in enumerate(_variants(results)):
        found = results.arrays(
            "select pixels, value from results where metric = 'patterns seen' and activation = ? and normalization = ? and step = steps "
            "order by pixels",
            [activation, where],
        )
        ax.plot(
            found["pixels"], found["value"], marker="o", color=f"C{i}", label=_title(activation, where, breakpoints)
        )
        exact = results.query(
            "select value from results where metric = 'patterns' and step = steps and activation = ? and normalization = ?",
            [activation, where],
        )
        if exact:
            ax.axhline(exact[0][0], color=f"C{i}", linestyle="dashed", linewidth=1, label=f"{activation}, exact")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("pixels on each side")
    ax.set_ylabel("patterns seen, trained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=7)
    return figure


def _j3(results: Results) -> Finding:
    """A picture: what there is to say of it in numbers."""
    said = []
    for activation, where, breakpoints in _variants(results):
        numbers = results.query(
            "select step > 0, metric, value from results where activation = ? and normalization = ? and (metric in ('share of neurons that "
            "cross a breakpoint', 'patterns') or metric = 'patterns seen' and pixels = finest) order by 1",
            [activation, where],
        )
        found = {(bool(trained), metric): value for trained, metric, value in numbers}
        words = " to ".join(
            f"{found[trained, 'patterns seen']:,.0f} ({100 * found[trained, 'share of neurons that cross a breakpoint']:.0f} %)"
            for trained in (False, True)
        )
        if (True, "patterns") in found:
            words += f", of {found[True, 'patterns']:,.0f} by exact count"
        said.append(f"{_title(activation, where, breakpoints)}: {words}")
    finest = results.query("select any_value(finest) from results")[0][0]
    return Finding(
        "no printed value",
        f"patterns seen at {finest:.0f}² points (and neurons that cross a breakpoint there) before to after training: {'; '.join(said)}",
        "the paper gives a picture without numbers, and neither the plane nor the window; patterns of a smooth network can only be sampled",
    )


REGIONS = Study(
    name="jiang2022.regions",
    title="Generalized activation regions in a plane: sigmoid and tanh with breakpoints -1 and 1, ReLU with 0",
    source="Jiang et al. 2022, Figure 3",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"maps": _map_figure, "seen": _seen_figure},
    claims=(Claim("J3", _j3, ("mnist",)),),
    together=("activation", "normalization"),
    notes=(
        "Three hidden layers of 64, in the plane through three test images with different labels, which lie in the window [-1, 1]². "
        "Breakpoints are on pre-activations. Patterns are those met at the points of a grid: a lower bound, which the finer grids show. "
        "Maps are of the coarsest grid."
    ),
)
