"""Initialization: scales of weights and biases against the number of regions, near and far (Hanin & Rolnick 2019)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from actscope.figures.canvas import new_figure
from actscope.regions import Plane, count_in_plane
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.hanin2019.averages import differs_from_one, ratios
from actscope.studies.hanin2019.networks import TRIO, drawn, half_square
from actscope.studies.results import Results, Row, series
from actscope.studies.study import Grid, Place, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from actscope.figures.curves import Curve

__all__ = ["INITIALIZATION"]

_VERSION = 1
_WEIGHTS = (0.5, 1.0, 2.0, 4.0)
_BIASES = (0.0, 1e-3, 1e-2, 1e-1, 1.0)
_WHOLE = "regions in the whole plane over N²/2"
_NEAR = "regions in the triangle's window over N²/2"


def _cells(grid: Grid) -> list[Cell]:
    return [
        Cell(
            INITIALIZATION.name,
            _VERSION,
            {"dataset": grid.dataset, "network": TRIO, "weights": weights, "biases": biases, "seed": seed},
        )
        for weights in (_WEIGHTS if grid.scale != "smoke" else (1.0, 2.0))
        for biases in (_BIASES if grid.scale != "smoke" else (1e-3, 0.1))
        for seed in range({"smoke": 2, "small": 10, "paper": 30}[grid.scale])
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        images, _ = place.data(cell["dataset"])
        yield cell, _rows(cell, images.x)


def _rows(cell: Cell, images: Tensor) -> list[Row]:
    model = drawn(images.shape[1], cell["network"], 10, cell["seed"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # biases are drawn with a deviation of 1e-3: the same draw at another scale
            parameter.mul_(cell["biases"] / 1e-3 if name.endswith("bias") else cell["weights"])
    generator = torch.Generator().manual_seed(cell["seed"])
    one, other, third = images[torch.randperm(len(images), generator=generator)[:3]].double()
    origin = Plane.through_origin(one, other)
    near = Plane.through(one, other, third)
    half = half_square(cell["network"])
    return [
        {
            "metric": _WHOLE,
            "value": count_in_plane(model, origin, window=None, progress=False) / half,
        },
        {
            "metric": _NEAR,
            "value": count_in_plane(model, near, progress=False) / half,
        },
        {"metric": "gradient norm", "value": _gradient_norm(model, images[:32].double())},
    ]


def _gradient_norm(model: nn.Module, x: Tensor) -> float:
    """Root mean square over examples and outputs of the gradient's length with respect to the input."""
    exact = copy.deepcopy(model).double()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: exact(one[None])[0]))(x)
    return float(jacobian.detach().square().sum(-1).mean().sqrt())


def _figure(results: Results) -> Figure:
    from actscope.figures.curves import draw_curves
    from actscope.figures.palette import CLASSES

    figure = new_figure(12, 3.4)
    whole, near, gradient = figure.subplots(1, 3)
    for ax, metric, label in (
        (whole, _WHOLE, "regions in the whole plane / (N²/2)"),
        (near, _NEAR, "regions near three images / (N²/2)"),
    ):
        draw_curves(_curves(results, metric), xlabel="weights, in units of He's", ylabel=label, ax=ax)
        ax.set_xscale("log", base=2)
        ax.set_ylim(bottom=0)
    found = results.arrays(
        "select a.biases as biases, a.value as density, b.value as gradient from results a join results b using (cell) "
        "where a.metric = ? and b.metric = 'gradient norm' order by all",
        [_NEAR],
    )
    for i, biases in enumerate(np.unique(found["biases"])):
        rows = found["biases"] == biases
        gradient.plot(
            found["gradient"][rows],
            found["density"][rows],
            linestyle="none",
            marker="o",
            markersize=3,
            alpha=0.6,
            color=CLASSES[i % len(CLASSES)],
            label=f"biases {biases:g}",
        )
    gradient.set_xscale("log")
    gradient.set_ylim(bottom=0)
    gradient.set_xlabel("gradient norm at images")
    gradient.set_ylabel("regions near three images / (N²/2)")
    gradient.legend(frameon=False, fontsize=7)
    return figure


def _curves(results: Results, metric: str) -> list[Curve]:
    """A curve for each scale of biases; one for all above zero, where they are equal."""
    from actscope.figures.curves import Curve

    curves = [
        Curve(f"biases {biases:g}", *series(results, "weights", metric, where="biases = ?", parameters=[biases])[:3])
        for (biases,) in results.query("select distinct biases from results order by 1")
    ]
    above = [curve for curve in curves if curve.label != "biases 0"]
    if len(above) > 1 and all(np.array_equal(curve.mean, above[0].mean) for curve in above):
        alike = dataclasses.replace(above[0], label=f"biases above 0, {len(above)} scales alike")
        return [*(curve for curve in curves if curve.label == "biases 0"), alike]
    return curves


def _r9(results: Results) -> Finding:
    """Scaling all biases keeps the number of regions."""
    found = results.query(
        "select max(a.value - b.value), min(a.value - b.value), count(*) from results a join results b using (metric, weights, seed) "
        "where metric = 'regions in the whole plane over N²/2' and a.biases > 0 and b.biases > 0"
    )[0]
    worst = max(abs(found[0]), abs(found[1]))
    return Finding(
        verdict(worst == 0), f"largest difference between scales of biases in {found[2]:,} pairs: {worst:.4f} of N²/2"
    )


def _r10(results: Results) -> Finding:
    """Local density grows with gradient norm; scaling all weights keeps the global count."""
    said, follows = _by_gradient(results)
    found = ratios(results, "weights", 1.0, _WHOLE, where="biases = 1e-3")
    if not follows or len(found) < 2:
        raise NotRun("needs more scales of weights and of biases")
    said.append(
        "regions in the whole plane, weights scaled, over those of the same draw unscaled: "
        + ", ".join(f"{scale:g}: × {one.mean():.3f} ± {one.std(ddof=1):.3f}" for scale, one in found.items())
    )
    kept = not any(differs_from_one(one) for one in found.values())
    why = (
        "where biases are small beside pre-activations, scaling all weights changes hardly any sign and so no local count, whatever the "
        "gradient"
    )
    every = np.concatenate(list(found.values()))
    if (every != 1).any():
        how = "in the mean, not by each network" if kept else "not even in the mean"
        why += (
            f"; the whole count is kept {how} (× {every.min():.2f} to {every.max():.2f}): weights scaled by c are biases of layer l "
            "divided by c^l, and Lemma 6 asks for one factor for all layers"
        )
    return Finding(verdict(all(follows) and kept), "; ".join(said), why)


def _by_gradient(results: Results) -> tuple[list[str], list[bool]]:
    """For every scale of biases, the local count and its rank correlation with the gradient norm, in words; whether it follows, where
    the scale of weights matters to it."""
    from scipy.stats import spearmanr

    said, follows = [], []
    for (biases,) in results.query("select distinct biases from results where biases > 0 order by 1"):
        _, mean, _, n = series(results, "weights", _NEAR, where="biases = ?", parameters=[biases])
        if len(mean) < 3 or n.min() < 2:
            continue
        if mean.min() > 0.9 * mean.max():
            said.append(
                f"biases {biases:g}: local count {mean.min():.3f} to {mean.max():.3f} of N²/2, whatever the weights"
            )
            continue
        rows = results.arrays(
            "select a.value as density, b.value as gradient from results a join results b using (cell) "
            "where a.biases = ? and a.metric = ? and b.metric = 'gradient norm'",
            [biases, _NEAR],
        )
        rank = float(spearmanr(rows["density"], rows["gradient"]).statistic)
        follows.append(rank > 0.5)
        said.append(
            f"biases {biases:g}: local count {mean[0]:.3f} to {mean[-1]:.3f} from small to large weights, rank correlation with the "
            f"gradient norm {rank:+.2f}"
        )
    return said, follows


INITIALIZATION = Study(
    name="hanin2019.initialization",
    title="Regions of untrained networks, near images and in whole planes, by the scale of weights and of biases",
    source="Hanin & Rolnick 2019, on initialization",
    datasets=("mnist",),
    cells=_cells,
    measure=_measure,
    figures={"initialization": _figure},
    claims=(Claim("R9", _r9), Claim("R10", _r10, ("mnist",))),
    notes=(
        "Scales are in units of He's weights; biases by their standard deviation. All scales share their draws. Planes through the origin "
        "are whole ones."
    ),
)
