"""Which layers make the code: single ones, the first ones, the last ones (He et al. 2021, Section 5.4, Figure 5)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actscope.codes import encode
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, trend, verdict
from actscope.studies.hashmeasures import code_rows, network_rows
from actscope.studies.he2021.networks import RECIPES, mlp_cell, recipe_for, seeds, specimen
from actscope.studies.he2021.panels import hardly_learned, hash_figure, last_epoch, means
from actscope.studies.results import Results, Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training import MLP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LAYERS"]

_VERSION = 1
_DEPTH = 5


def _parts() -> dict[str, tuple[str, ...]]:
    """Names of parts of the code, and the layers of each."""
    single = {f"layer {k}": (f"relu{k}",) for k in range(1, _DEPTH + 1)}
    first = {f"first {k}": tuple(f"relu{i}" for i in range(1, k + 1)) for k in range(2, _DEPTH)}
    last = {f"last {k}": tuple(f"relu{i}" for i in range(_DEPTH - k + 1, _DEPTH + 1)) for k in range(2, _DEPTH)}
    return single | first | last | {"all": tuple(f"relu{k}" for k in range(1, _DEPTH + 1))}


def _cells(grid: Grid) -> list[Cell]:
    epochs = {
        "smoke": (0, 5),
        "small": (0, 1, 3, 10, 20),
        "paper": (0, 1, 3, 6, 10, 20, 30, 40, 60, 80, 100, 120, 140, 160, 180, 200),
    }[grid.scale]
    recipe = recipe_for(grid, epochs[-1])
    width = 15 if grid.dataset == "digits" else 40
    return [
        mlp_cell(LAYERS.name, _VERSION, grid, width=width, seed=seed, recipe=recipe, epochs=epochs, depth=_DEPTH)
        for seed in seeds(grid, 3)
    ]


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    return measured(cells, place, specimen, partial(_rows, place=place))


def _rows(cell: Cell, one: Specimen, model: MLP, *, place: Place) -> list[Row]:
    _, test = place.data(cell["dataset"])
    train_codes = encode(model, one.train, split="train", device=place.device, progress=False)
    test_codes = encode(model, test, split="test", device=place.device, progress=False)
    rows: list[Row] = [{"part": "all", **row} for row in network_rows(model, one.train, test, device=place.device)]
    for part, names in _parts().items():
        codes = train_codes.select(list(names)), test_codes.select(list(names))
        rows += [{"part": part, **row} for row in code_rows(*codes, n_classes=test.n_classes, device=place.device)]
    return rows


def _single_figure(results: Results) -> Figure:
    return hash_figure(results, "epoch", by="part", where="part like 'layer %' or part = 'all'", log_x=True)


def _joint_figure(results: Results) -> Figure:
    return hash_figure(results, "epoch", by="part", where="part not like 'layer %'", log_x=True)


def _along(results: Results, parts: Sequence[str], metric: str, split: str) -> tuple[list[float], np.ndarray]:
    """Means over seeds at the last epoch, one for each part, and the rank correlations with their order, one for each seed."""
    epoch = last_epoch(results)
    values, order, of = [], [], []
    for place, part in enumerate(parts):
        found = results.arrays(
            "select value, seed from results where metric = ? and split = ? and part = ? and epoch = ?",
            [metric, split, part, epoch],
        )
        if not len(found["value"]):
            raise NotRun(f"{metric} of {part} was not measured")
        values += found["value"].tolist()
        order += [place] * len(found["value"])
        of += found["seed"].tolist()
    middle = [
        float(np.mean([v for v, o in zip(values, order, strict=True) if o == place])) for place in range(len(parts))
    ]
    return middle, trend(order, values, of).correlations


_SINGLE = [f"layer {k}" for k in range(1, _DEPTH + 1)]
_FIRST = ["layer 1", *(f"first {k}" for k in range(2, _DEPTH)), "all"]
_LAST = [f"layer {_DEPTH}", *(f"last {k}" for k in range(2, _DEPTH)), "all"]
_ACCURACIES = {"kmeans": "K-Means", "knn": "K-NN", "logistic": "regression"}


def _said(values: Sequence[float]) -> str:
    return " → ".join(f"{value:.3f}" for value in values)


def _h14(results: Results) -> Finding:
    """The first layer alone has a redundancy near 0 and poor accuracy."""
    redundancy, _ = _along(results, _SINGLE, "redundancy", "train")
    accuracy = {name: _along(results, _SINGLE, metric, "test")[0] for metric, name in _ACCURACIES.items()}
    poorest = [name for name, values in accuracy.items() if values[0] <= min(values[1:])]
    ours = f"layer 1: redundancy {redundancy[0]:.4f}; test accuracy of layers 1 to {_DEPTH}: " + "; ".join(
        f"{name} {_said(values)}" for name, values in accuracy.items()
    )
    return Finding(verdict(redundancy[0] < 0.02 and len(poorest) == len(accuracy)), ours, hardly_learned(results))


def _h15(results: Results) -> Finding:
    """From the first single layer to the last, redundancy rises and accuracy improves."""
    redundancy, r = _along(results, _SINGLE, "redundancy", "train")
    accuracy = {name: _along(results, _SINGLE, metric, "test") for metric, name in _ACCURACIES.items()}
    ours = f"layers 1 to {_DEPTH}: redundancy {_said(redundancy)}; " + "; ".join(
        f"{name} {_said(values)}" for name, (values, _) in accuracy.items()
    )
    return Finding(
        verdict(r.mean() > 0.5 and all(c.mean() > 0.5 for _, c in accuracy.values())), ours, hardly_learned(results)
    )


def _h16(results: Results) -> Finding:
    """Training time acts on single layers as on the whole code."""
    ours, holds = [], True
    for metric, split in (("redundancy", "train"), ("knn", "test")):
        _, whole = means(results, "epoch", metric, split, where="part = 'all'")
        like = []
        for part in _SINGLE:
            _, single = means(results, "epoch", metric, split, where=f"part = '{part}'")
            flat = np.ptp(whole) < 0.005 or np.ptp(single) < 0.005
            like.append("flat" if flat else f"{np.corrcoef(whole, single)[0, 1]:+.2f}")
            holds &= flat or float(np.corrcoef(whole, single)[0, 1]) > 0.5
        ours.append(
            f"correlation over epochs of {metric} of layers 1 to {_DEPTH} with that of the whole: {', '.join(like)}"
        )
    why = hardly_learned(results)
    if "flat" in ours[0]:
        said = "flat: the whole code's redundancy moves by less than 0.005, so that nothing is decided for redundancy, and K-NN decides"
        why = f"{said}; {why}" if why else said
    return Finding(verdict(holds), "; ".join(ours), why)


def _h17(results: Results) -> Finding:
    """Redundancy falls as more layers form the code."""
    first, _ = _along(results, _FIRST, "redundancy", "train")
    last, _ = _along(results, _LAST, "redundancy", "train")
    ours = f"first 1 to {_DEPTH} layers: {_said(first)}; last 1 to {_DEPTH}: {_said(last)}"
    falls = all(b <= a for values in (first, last) for a, b in itertools.pairwise(values))
    return Finding(
        verdict(falls),
        ours,
        _joined("it cannot rise: examples with one code of more layers share the code of fewer, too", results),
    )


def _h18(results: Results) -> Finding:
    """Accuracy rises as layers are added from the first on, and does not as they are added from the last on."""
    ours, first_rise, last_rise = [], [], []
    for metric, name in _ACCURACIES.items():
        first, up = _along(results, _FIRST, metric, "test")
        last, down = _along(results, _LAST, metric, "test")
        first_rise.append(up.mean() > 0.5)
        last_rise.append(down.mean() > 0.5)
        ours.append(f"{name}: first 1 to {_DEPTH} {_said(first)}, last 1 to {_DEPTH} {_said(last)}")
    alike = [name for name, a, b in zip(_ACCURACIES.values(), first_rise, last_rise, strict=True) if a and not b]
    why = ""
    if len(alike) < len(_ACCURACIES):
        why = f"it holds for {', '.join(alike) or 'none of the three'}; the others rise either way: a layer more never takes a bit away"
    return Finding(verdict(all(first_rise) and not any(last_rise)), "; ".join(ours), _joined(why, results))


def _h19(results: Results) -> Finding:
    """The last layer alone is about as accurate as all."""
    gaps = {}
    for metric, name in _ACCURACIES.items():
        values, _ = _along(results, [f"layer {_DEPTH}", "all", "all"], metric, "test")
        gaps[name] = values[0] - values[1]
    ours = "last layer minus all layers: " + ", ".join(f"{name} {gap:+.3f}" for name, gap in gaps.items())
    _, test = means(results, "part", "shared", "test", last_epoch(results), where=f"part = 'layer {_DEPTH}'")
    why = f"{test[0]:.2f} of the test examples share their code of the last layer with another; of all layers together hardly any do"
    holds = all(gap > -0.05 for gap in gaps.values())
    rule = "comparable: none is more than 0.05 lower"
    return Finding(verdict(holds), ours, _joined(rule if holds else f"{rule}; {why}", results))


def _joined(why: str, results: Results) -> str:
    return "; ".join(part for part in (why, hardly_learned(results)) if part)


LAYERS = Study(
    name="he2021.layers",
    title="Codes of single layers, of the first and of the last layers, through training",
    source="He et al. 2021, Figure 5",
    datasets=("cifar10",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"single": _single_figure, "joint": _joint_figure},
    claims=tuple(
        Claim(name, check, ("cifar10",))
        for name, check in (("H14", _h14), ("H15", _h15), ("H16", _h16), ("H17", _h17), ("H18", _h18), ("H19", _h19))
    ),
)
