"""Post-activations and ratios of gradient to weight through training, and the accuracy (Jiang et al. 2022, Figures 1 and 4, Table I)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from actscope import neurons
from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.jiang2022.fcnn import ACTIVATIONS, RECIPES, fcnn_cell, train_and_look
from actscope.studies.jiang2022.similarityfigures import COLOURS
from actscope.studies.looking import Look, has_diverged
from actscope.studies.printed import PrintedValue, printed_table
from actscope.studies.results import Results, Row, series
from actscope.studies.study import Grid, Place, Study
from actscope.training import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STATISTICS"]

_VERSION = 1
_STEPS = 24_000
_WINDOW = 200
"""Steps that Figure 4 averages over."""
_WATCHED = ("sigmoid", "relu")
_EXAMPLES, _NEURONS = 128, 64
"""Of which Figure 1 shows mean and variance."""
_RATIO, _GRADIENT, _WEIGHT = "gradient to weight", "gradient", "weight"


def _cells(grid: Grid) -> list[Cell]:
    steps = 60 if grid.scale == "smoke" else _STEPS
    return [
        fcnn_cell(
            STATISTICS.name,
            _VERSION,
            grid,
            activation=activation,
            steps=steps,
            # every step at the paper's scale
            read_every={"smoke": 10, "small": 20, "paper": 1}[grid.scale],
            window=30 if grid.scale == "smoke" else _WINDOW,
            watched=activation in _WATCHED,
        )
        for activation in ACTIVATIONS
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        _, test = place.data(cell["dataset"])
        x, _ = test.subset(min(_EXAMPLES, len(test)), seed=cell["seed"]).tensors
        chosen = torch.randperm(cell["width"], generator=torch.Generator().manual_seed(cell["seed"]))[:_NEURONS]
        n, window = cell["steps"], cell["window"]
        look = partial(_post_activations, cell, x=x, chosen=chosen)
        steps = sorted({*range(0, n + 1, window), n})
        model, rows = (
            _watched(cell, place, steps, look) if cell["watched"] else train_and_look(cell, place, steps, look)
        )
        if not has_diverged(rows):
            found = evaluate(model, test, device=place.device)
            rows.append({"step": n, "metric": "accuracy", "value": found.accuracy})
        yield cell, rows


def _watched(cell: Cell, place: Place, steps: Sequence[int], look: Look) -> tuple[nn.Module, list[Row]]:
    """The trained network, watched from its first step on, and the rows of `look` and of the watch; a run of it does not go on."""
    every, window = cell["read_every"], cell["window"]
    with ExitStack() as watching:
        watches: list[neurons.Watch] = []

        def begin(step: int, model: nn.Module) -> Iterable[Row]:
            if step == 0:
                watch = neurons.watch(model, every=window if every == 1 else every, average=every == 1)
                watches.append(watching.enter_context(watch))
            return look(step, model)

        model, rows = train_and_look(cell, place, steps, begin, resumable=False)
    return model, [*rows, *_ratios(watches[0].log, every=every, window=window, depth=cell["depth"])]


def _post_activations(cell: Cell, step: int, model: nn.Module, *, x: Tensor, chosen: Tensor) -> Iterator[Row]:
    """Mean and variance of the chosen neurons' post-activations in each layer, in eval mode."""
    found: list[Tensor] = []
    hooks = [
        model.get_submodule(f"{cell['activation']}{k}").register_forward_hook(lambda m, i, output: found.append(output))
        for k in range(1, cell["depth"] + 1)
    ]
    model.eval()
    with torch.no_grad():
        model(x.to(next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    for layer, values in enumerate(found, start=1):
        some = values[:, chosen.to(values.device)]
        yield {"metric": "mean", "layer": layer, "value": float(some.mean())}
        yield {"metric": "variance", "layer": layer, "value": float(some.var())}


def _ratios(log: neurons.WatchLog, *, every: int, window: int, depth: int) -> Iterator[Row]:
    """Mean and relative deviation over each hidden layer's neurons, of their means over every window of steps."""
    size = 1 if every == 1 else window // every
    for layer in range(1, depth + 1):
        place = f"linear{layer}.weight"
        for metric, measure in ((_RATIO, "gradient_to_weight"), (_GRADIENT, "gradient"), (_WEIGHT, "weight")):
            values = np.asarray(log.series(place, measure), np.float64)  # type: ignore[arg-type]  # one of its measures
            for i in range(0, len(values) // size * size, size):
                by_neuron = np.nanmean(values[i : i + size], axis=0)
                step, mean = int(log.steps[i]) // window * window, float(by_neuron.mean())
                q1, q2, q3 = np.quantile(by_neuron, [0.25, 0.5, 0.75])
                where: dict[str, str | int] = {"layer": layer, "step": step}
                yield {**where, "metric": metric, "value": mean}
                yield {**where, "metric": f"relative deviation of {metric}", "value": float(by_neuron.std() / mean)}
                yield {**where, "metric": f"relative quartile range of {metric}", "value": float((q3 - q1) / q2)}


def _post_figure(results: Results) -> Figure:
    figure = new_figure(11, 4.6)
    axes = figure.subplots(2, len(ACTIVATIONS), sharex=True)
    for column, activation in zip(axes.T, ACTIVATIONS, strict=True):
        for ax, metric in zip(column, ("mean", "variance"), strict=True):
            layers = [
                layer for (layer,) in results.query("select distinct layer from results where layer > 0 order by 1")
            ]
            for layer in layers:
                x, y, _, _ = series(
                    results, "step", metric, where="activation = ? and layer = ?", parameters=[activation, layer]
                )
                ax.plot(x, y, color=_shade(layer, len(layers)), linewidth=1.1, label=f"layer {layer}")
            ax.spines[["top", "right"]].set_visible(False)
            ax.locator_params(axis="x", nbins=4)
            ax.tick_params(labelsize=7)
            printed = {("sigmoid", "mean"): 0.5, ("sigmoid", "variance"): 0.05, ("relu", "mean"): 0.1}.get(
                (activation, metric)
            )
            if printed is not None:
                ax.axhline(printed, color="0.4", linewidth=0.8, linestyle="dotted")
        column[0].set_title(activation, fontsize=9)
        column[1].set_xlabel("step", fontsize=8)
    axes[0, 0].set_ylabel("mean of post-activations", fontsize=8)
    axes[1, 0].set_ylabel("variance", fontsize=8)
    axes[1, -1].legend(frameon=False, fontsize=6, ncols=2)
    return figure


def _ratio_figure(results: Results) -> Figure:
    figure = new_figure(11, 3.2)
    for ax, metric in zip(figure.subplots(1, 3), (_RATIO, _GRADIENT, _WEIGHT), strict=True):
        for activation, style in (("sigmoid", "solid"), ("relu", "dashed")):
            where = "activation = ? and layer = ?"
            layers = [
                layer for (layer,) in results.query("select distinct layer from results where layer > 0 order by 1")
            ]
            for layer in (layers[0], layers[len(layers) // 2], layers[-1]):
                x, mean, _, _ = series(results, "step", metric, where=where, parameters=[activation, layer])
                _, spread, _, _ = series(
                    results, "step", f"relative deviation of {metric}", where=where, parameters=[activation, layer]
                )
                # a quarter of the deviation, as the paper scales its own
                colour = _shade(layer, len(layers), COLOURS[activation])
                ax.plot(x, mean, color=colour, linestyle=style, linewidth=1.2, label=f"{activation}, layer {layer}")
                low, high = mean * np.maximum(1 - 0.25 * spread, 1e-3), mean * (1 + 0.25 * spread)
                ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.set_yscale("log")
        ax.set_title({"gradient to weight": "|∂L/∂w / w|", "gradient": "|∂L/∂w|", "weight": "|w|"}[metric], fontsize=9)
        ax.set_xlabel("step", fontsize=8)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=6)
    return figure


def _shade(layer: int, n_layers: int, colour: str = "#2f6fb0") -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    pale = 0.65 * (1 - (layer - 1) / max(1, n_layers - 1))
    red, green, blue = (pale + (1 - pale) * part for part in to_rgb(colour))
    return red, green, blue


def _j1(results: Results) -> Finding:
    """Sigmoid: mean about 0.5, variance about 0.05 in every layer; ReLU: mean about 0.1, falling variance."""
    if set(_WATCHED) - {name for (name,) in results.query("select distinct activation from results")}:
        raise NotRun("needs sigmoid and ReLU")
    last = {
        (activation, metric): results.arrays(
            "select layer, value from results where metric = ? and activation = ? and step = steps order by layer",
            [metric, activation],
        )["value"]
        for activation in _WATCHED
        for metric in ("mean", "variance")
    }
    mean, variance = last["sigmoid", "mean"], last["sigmoid", "variance"]
    relu, relu_variance = last["relu", "mean"], last["relu", "variance"]
    first = results.arrays(
        "select layer, value from results where metric = 'variance' and activation = 'relu' and step = "
        "(select min(step) from results where metric = 'variance' and step > 0) order by layer"
    )["value"]
    sigmoid = bool((abs(mean - 0.5) < 0.1).all() and (variance > 0.025).all() and (variance < 0.1).all())
    falls = float((relu_variance < first).mean())
    near = bool((relu > 0.05).all() and (relu < 0.2).all())
    ours = (
        f"sigmoid: mean {mean.min():.2f} to {mean.max():.2f}, variance {variance.min():.3f} to {variance.max():.3f} over layers; "
        f"ReLU: mean {relu.min():.2f} to {relu.max():.2f}, variance from the first window to the last {first.mean():.2f} to "
        f"{relu_variance.mean():.2f}, lower in {100 * falls:.0f} % of the layers"
    )
    why = ""
    if relu.max() > 0.2:
        why = "normal values of deviation 1 have a mean of 0.40 after ReLU; with weight decay (jiang2022.decay) they come down"
    elif not (sigmoid and near):
        why = "ReLU comes down to about what is printed, its variance falls, and the sigmoid's falls too, below what is printed"
    return Finding(verdict(sigmoid and near and falls > 0.5), ours, why)


def _j4(results: Results) -> Finding:
    """The ratio varies far more across the sigmoid network's neurons than across ReLU's, though gradients and weights are alike."""

    def over(metric: str) -> np.ndarray:
        found = results.arrays(
            "select a.value / b.value as ratio from results a join results b using (metric, layer, step, seed) "
            "where a.activation = 'sigmoid' and b.activation = 'relu' and metric = ?",
            [metric],
        )
        return found["ratio"]

    names = (f"relative deviation of {_RATIO}", f"relative quartile range of {_RATIO}", _GRADIENT, _WEIGHT, _RATIO)
    deviation, quartile, gradient, weight, ratio = (over(name) for name in names)
    if not len(deviation):
        raise NotRun("sigmoid and ReLU were not both watched")
    absolute = deviation * ratio
    ours = (
        f"sigmoid over ReLU, median over layers and windows: deviation of the ratio across neurons {np.median(absolute):.2f} (larger "
        f"in {100 * np.mean(absolute > 1):.0f} %), relative to its mean {np.median(deviation):.2f} (larger in "
        f"{100 * np.mean(deviation > 1):.0f} %), quartile range over median {np.median(quartile):.2f}; mean ratio "
        f"{np.median(ratio):.2f}, gradient {np.median(gradient):.2f}, weight {np.median(weight):.2f}"
    )
    holds = np.median(absolute) > 2 and np.median(deviation) > 1 and 0.2 < np.median(gradient) < 5
    why = (
        ""
        if holds
        else f"the deviation is {np.median(absolute):.1f} times larger, and so are gradients ({np.median(gradient):.1f} times): relative "
        "to its mean the ratio varies alike, as it is ruled by a neuron's smallest weights in both networks"
    )
    return Finding(verdict(bool(holds)), ours, why)


def _j9(results: Results) -> Finding:
    """Of the accuracies of Table I, those that are printed apart by more than two standard errors are so here."""
    ours = dict(
        results.query(
            "select activation, avg(value) from results where metric = 'accuracy' and step >= ? group by 1", [_STEPS]
        )
    )
    printed = {row["activation"]: float(row["mnist_fcnn_acc"]) for row in printed_table("jiang2022_table1")}
    if set(ours) != set(printed):
        raise NotRun(f"needs all four activations, trained for {_STEPS:,} steps")
    error = 2 * float(np.sqrt(2 * 0.985 * 0.015 / 10_000))
    clear = [(low, high) for low in printed for high in printed if printed[high] - printed[low] > error]
    gaps = [ours[high] - ours[low] for low, high in clear]
    apart = max(abs(ours[name] - printed[name]) for name in ours)
    said = ", ".join(f"{name} {100 * ours[name]:.2f} % ({100 * printed[name]:.2f})" for name in printed)
    of = ", ".join(
        f"{high} over {low} {100 * gap:+.2f} ({100 * (printed[high] - printed[low]):+.2f})"
        for (low, high), gap in zip(clear, gaps, strict=True)
    )
    why = (
        f"MNIST alone, one seed each; two standard errors of a difference are {100 * error:.2f} points. It agrees if every lead that is "
        f"printed larger than that is as clear here, and no accuracy is more than one point off (here {100 * apart:.2f})"
    )
    return Finding(verdict(all(gap > error for gap in gaps) and apart < 0.01), f"{said}; leads: {of}", why)


def _printed(dataset: str) -> list[PrintedValue]:
    return [
        PrintedValue(
            figure="Table I",
            label=f"accuracy, {row['activation']}",
            value=float(row["mnist_fcnn_acc"]),
            metric="accuracy",
            at={"activation": row["activation"]},
            tolerance=0.005,
        )
        for row in printed_table("jiang2022_table1")
        if dataset == "mnist"
    ]


STATISTICS = Study(
    name="jiang2022.statistics",
    title="Post-activations, gradients and weights through training, and accuracy, by activation",
    source="Jiang et al. 2022, Figures 1 and 4 and Table I",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"post-activations": _post_figure, "ratios": _ratio_figure},
    claims=(Claim("J1", _j1, ("mnist",)), Claim("J4", _j4, ("mnist",)), Claim("J9", _j9, ("mnist",))),
    printed=_printed,
    together=("activation",),
    notes=(
        "Normalized before each activation. Figure 1 is of 128 test examples and 64 neurons of each layer, in eval mode. Ratios are "
        "means over windows of 200 steps, at small scale of every 20th of them; shaded is a quarter of the deviation over neurons."
    ),
)
