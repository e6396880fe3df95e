"""Ten neurons and one input: who learns the cosine, and whose gradients cancel (Jiang et al. 2022, Section III-C, Figure 2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.jiang2022.toynetworks import N_NEURONS, Array, ToyNetworks, Update, target
from actscope.studies.results import Results, Row
from actscope.studies.study import Grid, Place, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TOY"]

_VERSION = 1
_MODELS = (
    ("sigmoid", 1.0, 1.0),
    ("sigmoid", 15.0, 0.0),
    ("sigmoid", 15.0, 15.0),
    ("relu", 1.0, 1.0),
    ("relu", 15.0, 1.0),
    ("relu", 15.0, 0.0),
)
"""Activation and largest first weight and bias, as in Figure 2(a) to 2(f)."""
_NAMES = tuple(f"{activation}({w:g}, {b:g})" for activation, w, b in _MODELS)
_LR = 1e-3
_EACH: Update = "each example"
_WHOLE: Update = "whole epoch"
_ADAM: Update = "whole epoch by Adam"
_UPDATES = (_EACH, _WHOLE, _ADAM)
_ALL, _HIDDEN = "all layers", "hidden layer"
_CONSTANT = 0.1
"""A neuron whose contribution varies by less than this share of what the target varies by is constant."""
_SHOWN = 41
"""Places where the contributions and gradients of the first seed are kept, to be drawn."""
_AT = 1000
"""Epochs of Figure 2."""


def _cells(grid: Grid) -> list[Cell]:
    n_seeds, epochs = {
        "smoke": (2, (1, 5)),
        "small": (20, (30, 100, 300, 1000)),
        "paper": (100, (30, 100, 300, 1000, 3000, 10_000)),
    }[grid.scale]
    return [
        Cell(
            TOY.name,
            _VERSION,
            {
                "dataset": grid.dataset,
                "activation": activation,
                "weight": w,
                "bias": b,
                "model": f"{activation}({w:g}, {b:g})",
                "drawn": drawn,
                "update": update,
                "measured": ",".join(map(str, epochs)),
                "points": 100,
                "seeds": n_seeds,
            },
        )
        for update, drawn in itertools.product(_UPDATES, (_ALL, _HIDDEN))
        for activation, w, b in _MODELS
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    def kind(cell: Cell) -> tuple[Update, str, int]:
        return cell["update"], cell["measured"], cell["points"]

    for (update, measured, n_points), group in itertools.groupby(sorted(cells, key=kind), key=kind):
        together = list(group)
        x = np.linspace(-1, 1, n_points)
        each = [(cell, seed) for cell in together for seed in range(cell["seeds"])]
        networks = ToyNetworks.drawn(
            [(cell["activation"], cell["weight"], cell["bias"], cell["drawn"], seed) for cell, seed in each]
        )
        rows: dict[str, list[Row]] = {cell.id: [] for cell in together}
        epochs = [int(epoch) for epoch in measured.split(",")]
        for epoch in epochs:
            networks.train(x, epochs=epoch - networks.step, lr=_LR, update=update)
            outputs, parts, gradients = networks.outputs(x), networks.contributions(x), networks.gradients(x)["w"]
            for i, (cell, seed) in enumerate(each):
                shown = seed == 0 and epoch == (_AT if _AT in epochs else epochs[-1])
                found = _rows(cell, x, outputs[i], parts[i], gradients[i], shown=shown)
                rows[cell.id] += [{"epoch": epoch, "seed": seed, **row} for row in found]
        for cell in together:
            yield cell, rows[cell.id]


def _rows(cell: Cell, x: Array, output: Array, parts: Array, gradients: Array, *, shown: bool) -> list[Row]:
    if not np.isfinite(output).all():
        return [{"metric": "blew up", "value": 1.0}]
    y = target(x)
    rows: list[Row] = [
        {"metric": "blew up", "value": 0.0},
        {"metric": "fit error", "value": float(np.sqrt(np.mean((output - y) ** 2)))},
        {"metric": "unexplained share", "value": float(np.mean((output - y) ** 2) / np.var(y))},
    ]
    constant = np.ptp(parts, axis=0) < _CONSTANT * np.ptp(y)
    size = np.abs(gradients).mean(0)
    moved = size > 0
    cancelling = np.abs(gradients.mean(0)) / np.where(moved, size, 1)
    numbers: dict[str, float] = {
        "constant share": float(constant.mean()),
        "gradient": float(size.mean()),
        "gradient of constant neurons": float(size[constant].mean()) if constant.any() else math.nan,
        "share without a gradient": float((~moved).mean()),
        "cancellation": float(cancelling[moved].mean()) if moved.any() else math.nan,
        "cancellation of constant neurons": (
            float(cancelling[moved & constant].mean()) if (moved & constant).any() else math.nan
        ),
    }
    rows += [{"metric": name, "value": value} for name, value in numbers.items()]
    if shown and cell["drawn"] == _HIDDEN and cell["update"] != _WHOLE:
        for i in np.linspace(0, len(x) - 1, _SHOWN).round().astype(int):
            rows.append({"metric": "output", "x": float(x[i]), "value": float(output[i])})
            for name, values in (("contribution", parts), ("weight gradient", gradients)):
                rows += [
                    {"metric": name, "x": float(x[i]), "neuron": neuron, "value": float(value)}
                    for neuron, value in enumerate(values[i])
                ]
    return rows


def _figure(results: Results) -> Figure:
    from actscope.figures.palette import CLASSES

    drawn = results.query("select distinct \"update\", epoch from results where metric = 'output' order by 1")
    figure = new_figure(14, 4.6 * len(drawn))
    parts = figure.subfigures(len(drawn), 1, squeeze=False)[:, 0]
    for part, (update, epoch) in zip(parts, drawn, strict=True):
        part.suptitle(f"hidden layer drawn as named, a step for {update}, {epoch:,} epochs", fontsize=9)
        axes = part.subplots(2, len(_MODELS), sharex=True)
        for i, name in enumerate(_NAMES):
            upper, lower = axes[:, i]
            where = 'model = ? and "update" = ?'
            for ax, metric in ((upper, "contribution"), (lower, "weight gradient")):
                found = results.arrays(
                    f"select neuron, x, value from results where metric = ? and {where} order by neuron, x",
                    [metric, name, update],
                )
                for neuron in range(N_NEURONS):
                    rows = found["neuron"] == neuron
                    ax.plot(found["x"][rows], found["value"][rows], color=CLASSES[neuron], linewidth=0.8, alpha=0.8)
                ax.tick_params(labelsize=7)
            shown = results.arrays(
                f"select x, value from results where metric = 'output' and {where} order by x", [name, update]
            )
            x = np.linspace(-1, 1, 101)
            upper.plot(x, target(x), color="red", linewidth=1.8, label="objective")
            upper.plot(shown["x"], shown["value"], color="blue", linewidth=1.8, linestyle=(0, (4, 1.5)), label="fit")
            upper.set_ylim(-6, 6)
            upper.set_title(f"({'abcdef'[i]}) {name}", fontsize=9)
            lower.set_xlabel("input", fontsize=8)
            lower.axhline(0, color="0.6", linewidth=0.5)
        axes[0, 0].set_ylabel("contribution", fontsize=8)
        axes[1, 0].set_ylabel("gradient by the weight", fontsize=8)
        axes[0, 0].legend(frameon=False, fontsize=7, loc="lower left")
    return figure


def _errors(results: Results) -> Figure:
    """Median fit error of every model through training, for each way of drawing and training."""
    from actscope.figures.palette import CLASSES

    figure = new_figure(10, 5.4)
    axes = figure.subplots(2, len(_UPDATES), sharex=True, sharey=True)
    for line, drawn in zip(axes, (_ALL, _HIDDEN), strict=True):
        for ax, update in zip(line, _UPDATES, strict=True):
            for i, name in enumerate(_NAMES):
                found = results.arrays(
                    "select epoch, median(value) as value from results where metric = 'fit error' and model = ? and \"update\" = ? "
                    "and drawn = ? group by 1 order by 1",
                    [name, update, drawn],
                )
                style = "solid" if name.startswith("relu") else "dashed"
                ax.plot(
                    found["epoch"],
                    found["value"],
                    marker="o",
                    markersize=3,
                    linestyle=style,
                    color=CLASSES[i % 3 * 2],
                    label=name,
                )
            ax.set_xscale("log")
            ax.set_title(f"{drawn}, {update}", fontsize=9)
    axes[0, 0].set_ylim(0, 2)
    axes[0, 0].legend(frameon=False, fontsize=7)
    for ax in axes[1]:
        ax.set_xlabel("epoch", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("root mean squared error", fontsize=8)
    return figure


def _medians(results: Results, metric: str) -> dict[tuple[str, str, int, str], float]:
    """Over seeds, by how networks are drawn and updated, epoch and model."""
    rows = results.query(
        'select drawn, "update", epoch, model, median(value) from results where metric = ? and not isnan(value) group by all',
        [metric],
    )
    return {(drawn, update, epoch, model): value for drawn, update, epoch, model, value in rows}


def _j2(results: Results) -> Finding:
    """Sigmoid(1, 1) fits worst, its neurons constant with gradients that cancel; ReLU fits whatever its initialization."""
    errors, constant, gradient, cancelling = (
        _medians(results, metric)
        for metric in (
            "fit error",
            "constant share",
            "gradient of constant neurons",
            "cancellation of constant neurons",
        )
    )
    epochs = sorted({epoch for _, _, epoch, _ in errors})
    if _AT not in epochs:
        raise NotRun(f"the paper trains for {_AT:,} epochs")
    first = _NAMES[0]
    worst: dict[tuple[str, str], bool] = {}
    said: list[str] = []
    for drawn, update in itertools.product((_HIDDEN, _ALL), _UPDATES):
        way = (drawn, update)
        at = {name: errors.get((*way, _AT, name), math.inf) for name in _NAMES}
        worst[way] = at[first] == max(at.values()) and max(at[name] for name in _NAMES[3:]) < 0.75 * at[first]
        said.append(f"{drawn}, {update}: " + ", ".join(f"{name} {error:.2f}" for name, error in at.items()))
    key = (_HIDDEN, _ADAM, _AT, first)
    early, late = ((_HIDDEN, _EACH, epoch, first) for epoch in (epochs[0], epochs[-1]))
    neurons = (
        f"{first}, {_HIDDEN}, {_ADAM}: {100 * constant[key]:.0f} % of neurons constant, their mean |g| {gradient[key]:.3f} and |Σg|/Σ|g| "
        f"{cancelling.get(key, math.nan):.2f}; {_EACH}: {100 * constant[early]:.0f} % constant after {epochs[0]:,} epochs, "
        f"{100 * constant[late]:.0f} % after {epochs[-1]:,}, error {errors[early]:.2f} to {errors[late]:.2f}"
    )
    ours = (
        f"median error over seeds after {_AT:,} epochs, {sum(worst.values())} of {len(worst)} ways of drawing and training with {first} "
        f"worst and every ReLU at least a quarter better: {'; '.join(said)}. {neurons}"
    )
    cancel = cancelling.get(key, math.nan) <= 0.1
    holds = sum(worst.values()) > len(worst) / 2 and constant[key] >= 0.7 and gradient[key] > 0 and cancel
    why = ""
    if not all(worst.values()):
        why = (
            "the paper does not say what is drawn from [-w, w] and how steps are taken: that decides. With a step for each example "
            f"{first} is slow, not trapped: constant neurons wake up and the fit becomes as good as ReLU's"
            if errors[late] < 1.5 * max(errors[_HIDDEN, _EACH, epochs[-1], name] for name in _NAMES[3:])
            else "the paper does not say what is drawn from [-w, w] and how steps are taken: that decides"
        )
    return Finding(verdict(bool(holds)), ours, why)


TOY = Study(
    name="jiang2022.toy",
    title="Ten neurons fit a function of one input: contributions and gradients by initialization",
    source="Jiang et al. 2022, Figure 2 and equation (11)",
    datasets=("none",),
    cells=_cells,
    measure=_measure,
    figures={"neurons": _figure, "errors": _errors},
    claims=(Claim("J2", _j2),),
    together=("update",),
    notes=(
        f"A neuron is constant if what it adds to the output varies by less than {_CONSTANT:.0%} of the target's range; gradients "
        "are those of the squared errors of single inputs by its weight. 100 equidistant inputs; six ways of drawing and training that "
        "the paper's words allow."
    ),
)
