"""Prediction distance, transition density and similarity of 1,225 pairs (Jiang et al. 2022, Section VI-B, Figure 5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from actscope import neurons
from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, verdict
from actscope.studies.jiang2022.fcnn import ACTIVATIONS, RECIPES, fcnn_cell, train_and_look
from actscope.studies.jiang2022.patterns import PAIR_SPLITS, split_name
from actscope.studies.looking import has_diverged
from actscope.studies.results import Results, Row
from actscope.studies.study import Grid, Place, Study
from actscope.training import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PAIRS"]

_VERSION = 1
_SAMPLES = 512
_COLUMNS = ("similarity", "transition density", "prediction distance")


def _cells(grid: Grid) -> list[Cell]:
    steps, examples, samples = {"smoke": (40, 8, 32), "small": (800, 50, _SAMPLES), "paper": (24_000, 50, _SAMPLES)}[
        grid.scale
    ]
    return [
        fcnn_cell(
            PAIRS.name,
            _VERSION,
            grid,
            activation=activation,
            steps=steps,
            examples=examples,
            samples=samples,
            breakpoints=split_name(PAIR_SPLITS[activation]),
        )
        for activation in ACTIVATIONS
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        _, test = place.data(cell["dataset"])
        model, rows = train_and_look(cell, place, (), lambda step, model: ())
        if has_diverged(rows):
            yield cell, rows
            continue
        x, y = test.subset(cell["examples"], seed=cell["seed"]).tensors
        one, other = np.triu_indices(len(x), 1)
        found = neurons.pair_relations(
            model,
            x[one],
            x[other],
            same_label=(y[one] == y[other]).numpy(),
            samples=cell["samples"],
            breakpoints=PAIR_SPLITS[cell["activation"]],
            device=place.device,
            progress=False,
        )
        rows += _rows(found)
        if cell["activation"] == "relu":  # the one that is piecewise linear
            density = neurons.transition_density(model, x[one], x[other], breakpoints=0.0, progress=False)
            exact = dataclasses.replace(found, density=density, samples=None)
            rows += [{"counted": "exactly", **row} for row in _summary(exact)]
            rows.append({"metric": "density seen of exact", "value": float(found.density.sum() / density.sum())})
        rows.append({"metric": "accuracy", "value": evaluate(model, test, device=place.device).accuracy})
        yield cell, rows


def _rows(found: neurons.PairRelations) -> list[Row]:
    assert found.same_label is not None
    rows: list[Row] = []
    columns = (found.similarity, found.density, found.prediction_distance)
    for pair, (same, *values) in enumerate(zip(found.same_label, *columns, strict=True)):
        rows += [
            {"metric": metric, "pair": pair, "same label": bool(same), "value": float(value)}
            for metric, value in zip(_COLUMNS, values, strict=True)
        ]
    return rows + [{"counted": "by points", **row} for row in _summary(found)]


def _summary(found: neurons.PairRelations) -> list[Row]:
    """Rank correlations of the theorems, shares of the equation, and how well labels are told apart."""
    assert found.same_label is not None
    numbers = {
        "rank correlation of density and similarity": found.density_and_similarity.value,
        "rank correlation of density and ratio": found.density_and_ratio.value,
        "rank correlation of density and prediction distance": found.density_and_distance.value,
        "share with TD = N(1 - PS)": found.equal_share,
        "share with TD of N(1 - PS) or more": found.at_least_share,
        "labels apart by similarity": _apart(-found.similarity, found.same_label),
        "labels apart by density": _apart(found.density, found.same_label),
        "labels apart by prediction distance": _apart(found.prediction_distance, found.same_label),
        "neurons": found.n_neurons,
    }
    return [{"metric": name, "value": float(value)} for name, value in numbers.items()]


def _apart(values: np.ndarray, same: np.ndarray) -> float:
    """The probability that a pair with different labels has the higher value of two, ties counting half; NaN without both kinds."""
    from scipy.stats import mannwhitneyu

    n_same, n_different = int(same.sum()), int((~same).sum())
    if not n_same or not n_different:
        return float("nan")
    return float(mannwhitneyu(values[~same], values[same]).statistic / (n_same * n_different))


def _figure(results: Results) -> Figure:
    figure = new_figure(12, 5.4)
    axes = figure.subplots(2, len(ACTIVATIONS))
    for (upper, lower), activation in zip(axes.T, ACTIVATIONS, strict=True):
        found = results.arrays(
            "select pair, any_value(\"same label\") as same, max(case when metric = 'similarity' then value end) as similarity, "
            "max(case when metric = 'transition density' then value end) as density, "
            "max(case when metric = 'prediction distance' then value end) as distance "
            "from results where activation = ? and pair is not null group by 1 order by 1",
            [activation],
        )
        same = found["same"].astype(bool)
        for ax, other in ((upper, "density"), (lower, "similarity")):
            for chosen, colour, label in ((~same, "#2f6fb0", "different labels"), (same, "#d95f02", "same label")):
                ax.scatter(
                    found[other][chosen],
                    found["distance"][chosen],
                    s=5,
                    color=colour,
                    alpha=0.6,
                    linewidths=0,
                    label=label,
                )
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(labelsize=7)
        upper.set_title(activation, fontsize=9)
        upper.set_xlabel("transition density", fontsize=8)
        lower.set_xlabel("pattern similarity", fontsize=8)
        lower.invert_xaxis()
    for ax in axes[:, 0]:
        ax.set_ylabel("prediction distance", fontsize=8)
    axes[0, 0].legend(frameon=False, fontsize=7)
    return figure


def _values(results: Results, metric: str, counted: str = "by points") -> dict[str, float]:
    return dict(
        results.query(
            "select activation, avg(value) from results where metric = ? and counted = ? group by 1 order by 1", [metric, counted]
        )
    )  # fmt: skip


def _listed(values: dict[str, float], form: str = "{:.2f}") -> str:
    return ", ".join(f"{name} {form.format(values[name])}" for name in ACTIVATIONS if name in values)


def _j5(results: Results) -> Finding:
    """Different labels: higher density and distance, lower similarity; strips apart for ReLU and GELU, mixed for sigmoid and tanh."""
    by = {
        name: _values(results, f"labels apart by {name}") for name in ("similarity", "density", "prediction distance")
    }
    order = all(value > 0.5 for of in by.values() for value in of.values())
    overall = {name: float(np.mean([by["similarity"][name], by["density"][name]])) for name in ACTIVATIONS}
    strips = min(overall["relu"], overall["gelu"]) > max(overall["sigmoid"], overall["tanh"]) + 0.02
    ours = "probability that of two pairs the one with different labels is further apart: " + "; ".join(
        f"by {name} {_listed(of)}" for name, of in by.items()
    )
    why = _saturated(results)
    if not strips:
        why += "; pairs of different labels are told apart as well with sigmoid and tanh as with ReLU and GELU"
    gaps = _gaps(results)
    if gaps:
        why += (
            f"; between the strips, from the 95 % quantile of pairs with one label to the 5 % quantile of the others, lies this part of "
            f"the range of prediction distances (which does not decide the verdict): {_listed(gaps)}"
        )
    return Finding(verdict(order and strips), ours, why)


def _gaps(results: Results) -> dict[str, float]:
    """How far the two strips are apart in prediction distance, in units of its range; below 0 they overlap."""
    rows = results.query(
        'select activation, (quantile_cont(value, 0.05) filter (not "same label") - quantile_cont(value, 0.95) filter ("same label")) '
        "/ (max(value) - min(value)) as gap from results where metric = 'prediction distance' and \"same label\" is not null group by 1"
    )
    found = {name: float(gap) for name, gap in rows if gap is not None}
    return {name: found[name] for name in ACTIVATIONS if name in found}


def _saturated(results: Results) -> str:
    """How many pairs change pattern in nearly every step between two points, so that the count says how many points there are."""
    rows = results.query(
        "select activation, avg((value >= samples - 2)::int) from results where metric = 'transition density' group by 1"
    )
    return f"pairs whose density is within one of the most that the points can show: {_listed(dict(rows))}"


def _j13(results: Results) -> Finding:
    """Lower density goes with higher similarity; TD + agreement = N does not always hold."""
    rank, equal, more = (
        _values(results, name)
        for name in (
            "rank correlation of density and similarity",
            "share with TD = N(1 - PS)",
            "share with TD of N(1 - PS) or more",
        )
    )
    exact = _values(results, "share with TD of N(1 - PS) or more", "exactly")
    ours = (
        f"rank correlation {_listed(rank)}; equation (28) holds for a share of {_listed(equal)}; TD ≥ N(1 - PS) for {_listed(more)} "
        f"counted by points, for ReLU counted exactly {exact.get('relu', float('nan')):.2f}"
    )
    exact_rank = _values(results, "rank correlation of density and similarity", "exactly")["relu"]
    ours += f", rank correlation {exact_rank:.2f}"
    holds = exact_rank < 0 and exact["relu"] == 1 and max(equal.values()) < 1
    return Finding(verdict(holds), ours, f"judged by the exact counts; {_saturated(results)}")


def _j14(results: Results) -> Finding:
    """Lower density goes with a smaller ratio of prediction distance to data distance."""
    rank = _values(results, "rank correlation of density and ratio")
    distance = _values(results, "rank correlation of density and prediction distance")
    ours = f"rank correlation of TD with the ratio {_listed(rank, '{:+.2f}')}; with the prediction distance {_listed(distance, '{:+.2f}')}"
    why = "a rank correlation, no law: kinks may be small and many, or few and large"
    return Finding(verdict(all(value > 0.3 for value in rank.values())), ours, why)


PAIRS = Study(
    name="jiang2022.pairs",
    title="Prediction distance, transition density and pattern similarity of 1,225 pairs, by activation",
    source="Jiang et al. 2022, Figure 5",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"pairs": _figure},
    claims=(Claim("J5", _j5, ("mnist",)), Claim("J13", _j13, ("mnist",)), Claim("J14", _j14, ("mnist",))),
    together=("activation",),
    notes=(
        "All pairs of 50 test examples; pairs share examples, so they are not independent. Normalized before each activation, breakpoints "
        "on pre-activations. 512 points on each segment, which see at most 511 changes; ReLU also exactly."
    ),
)
