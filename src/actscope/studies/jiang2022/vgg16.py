"""Pattern similarity of VGG16 through training on CIFAR-10, and its accuracy (Jiang et al. 2022, Section VI-D, Figure 9 and Table I)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actscope.codes import encode
from actscope.figures.canvas import new_figure
from actscope.neurons import pattern_similarity
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.jiang2022.fcnn import ACTIVATIONS
from actscope.studies.jiang2022.patterns import PAIR_SPLITS, split_name
from actscope.studies.jiang2022.similarity import pairs_with_different_labels
from actscope.studies.jiang2022.similarityfigures import COLOURS
from actscope.studies.looking import fit_and_look, has_diverged
from actscope.studies.printed import PrintedValue, printed_table
from actscope.studies.results import Results, Row, series
from actscope.studies.study import Grid, Place, Study
from actscope.training import LabelledData, Recipe, evaluate, load_dataset
from actscope.training.architectures.vgg import vgg
from actscope.training.recipes import named_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["VGG16"]

_VERSION = 1
_GROUPS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_HIDDEN = (4096, 4096)
_EARLY = 200
"""Updates that Figure 9(a) shows at most; every fifth is looked at."""
_PRINTED_STEPS = 120 * 391


@dataclasses.dataclass(frozen=True)
class _Part:
    """Networks of one size, and how long they are trained.

    Attributes:
        narrowing: channels and widths are divided by this.
        sample_size: training images.
        steps: updates.
        schedule_steps: over how many updates the rate falls; beyond `steps`, training ends at a rate above the last.
        every: updates between looks after the early ones.
        pairs: pairs of test images.
    """

    narrowing: int
    sample_size: int
    steps: int
    schedule_steps: int
    every: int
    pairs: int


_PARTS: dict[str, dict[str, _Part]] = {
    "smoke": {"narrow": _Part(32, 100, 8, 8, 4, 10)},
    "small": {
        "early": _Part(1, 10_000, 60, _PRINTED_STEPS, 60, 100),
        "narrow": _Part(4, 10_000, 1560, 1560, 78, 200),
    },
    "paper": {"whole": _Part(1, 50_000, _PRINTED_STEPS, _PRINTED_STEPS, 391, 1000)},
}


def _cells(grid: Grid) -> list[Cell]:
    return [
        Cell(
            VGG16.name,
            _VERSION,
            {
                "dataset": grid.dataset,
                "part": name,
                "activation": activation,
                "breakpoints": split_name(PAIR_SPLITS[activation]),
                "seed": 0,
                **dataclasses.asdict(part),
            },
            _recipe(part, batch_size=32 if grid.scale == "smoke" else 128),
        )
        for name, part in _PARTS[grid.scale].items()
        for activation in ACTIVATIONS
    ]


def _recipe(part: _Part, batch_size: int) -> Recipe:
    """The paper's: SGD, the rate from 0.1 to 0.0001 over `schedule_steps`, of which these are the first `steps`."""
    whole = named_recipe("jiang2022").replace(steps=part.steps, batch_size=batch_size)
    last = whole.lr_at(part.steps - 1, steps_per_epoch=1, n_steps=part.schedule_steps)
    return whole.replace(lr_end=last)


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        train, test = _images(cell, place)
        one, other = pairs_with_different_labels(test, cell["pairs"], seed=cell["seed"])
        x = test.tensors[0]
        n, every = cell["steps"], cell["every"]

        def look(
            step: int, model: nn.Module, cell: Cell = cell, pairs: tuple[Tensor, Tensor] = (x[one], x[other])
        ) -> list[Row]:
            return _rows(cell, model.eval(), *pairs, device=place.device)

        model = _network(cell)
        steps = sorted({*range(0, min(_EARLY, n) + 1, 5), *range(0, n + 1, every), n})
        rows = fit_and_look(model, train, cell, place, steps, look)
        if not has_diverged(rows):
            found = evaluate(model, test, device=place.device)
            rows.append({"step": n, "metric": "accuracy", "value": found.accuracy})
        yield cell, rows


def _images(cell: Cell, place: Place) -> tuple[LabelledData, LabelledData]:
    train, test = load_dataset(cell["dataset"], data_dir=place.data_dir)
    if cell["dataset"] == "digits":  # as large as CIFAR-10's, and with as many channels
        train, test = (
            dataclasses.replace(data, x=F.interpolate(data.x, size=32).expand(-1, 3, -1, -1)) for data in (train, test)
        )
    n = min(cell["sample_size"], len(train))
    return (train if n == len(train) else train.subset(n, seed=0, stratified=True)), test


def _network(cell: Cell) -> nn.Module:
    divisor = cell["narrowing"]
    return vgg(
        3,
        10,
        groups=[(channels // divisor, n) for channels, n in _GROUPS],
        hidden=[width // divisor for width in _HIDDEN],
        activation=cell["activation"],
        seed=cell["seed"],
    )


def _rows(cell: Cell, model: nn.Module, one: Tensor, other: Tensor, *, device: str | None) -> list[Row]:
    """Similarity of the pairs and distance of their predictions, in eval mode; and similarity by batch statistics."""
    logits: list[Tensor] = []
    split = PAIR_SPLITS[cell["activation"]]
    by_training = copy.deepcopy(model)
    for module in by_training.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # the one class that all of them share
            module.running_mean = module.running_var = None
    similarities, alike = [], []
    for some, others in zip(torch.split(one, 64), torch.split(other, 64), strict=True):
        codes = [
            encode(
                model,
                x,
                breakpoints=split,
                device=device,
                progress=False,
                on_output=lambda output, _: logits.append(output.detach().float().cpu()),
            )
            for x in (some, others)
        ]
        similarities.append(pattern_similarity(*codes))
        both = encode(
            by_training,
            torch.cat([some, others]),
            breakpoints=split,
            device=device,
            progress=False,
            batch_size=2 * len(some),
        )
        alike.append(pattern_similarity(both[: len(some)], both[len(some) :]))
    distance = torch.cat([(a - b).norm(dim=1) for a, b in zip(logits[::2], logits[1::2], strict=True)])
    return [
        {"metric": "similarity", "value": float(np.concatenate(similarities).mean())},
        {"metric": "similarity by batch statistics", "value": float(np.concatenate(alike).mean())},
        {"metric": "prediction distance", "value": float(distance.mean())},
    ]


def _parts(results: Results) -> list[str]:
    return [name for (name,) in results.query("select part from results group by 1 order by min(narrowing)")]


def _figure(results: Results) -> Figure:
    parts = _parts(results)
    metrics = ("similarity", "similarity by batch statistics", "prediction distance")
    figure = new_figure(10, 3.0 * len(parts))
    axes = figure.subplots(len(parts), 3, squeeze=False)
    for line, part in zip(axes, parts, strict=True):
        for ax, metric in zip(line, metrics, strict=True):
            for name, colour in COLOURS.items():
                x, mean, _, _ = series(
                    results, "step", metric, where="part = ? and activation = ?", parameters=[part, name]
                )
                ax.plot(x, mean, color=colour, label=name, linewidth=1.3)
            if metric != "prediction distance":
                ax.set_ylim(0, 1.02)
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(_described(results, part), fontsize=8)
    for ax, metric in zip(axes[0], metrics, strict=True):
        ax.set_title(metric, fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("step", fontsize=8)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    return figure


def _described(results: Results, part: str) -> str:
    narrowing, n, steps = results.query(
        "select any_value(narrowing), any_value(sample_size), any_value(steps) from results where part = ?", [part]
    )[0]
    size = "VGG16" if narrowing == 1 else f"VGG16, 1/{narrowing:.0f} of the channels"
    return f"{size},\n{n:,.0f} images, {steps:,.0f} steps"


def _j8(results: Results) -> Finding:
    """Early, sigmoid's similarity stays at 100 % while the others' falls; at the end GELU's is the lowest."""
    parts = _parts(results)
    if not parts or len(results) < len(parts) * len(ACTIVATIONS):
        raise NotRun("needs all four activations")
    said = []
    early, last = parts[0], parts[-1]
    stays: dict[str, dict[str, float]] = {}
    for metric in ("similarity", "similarity by batch statistics"):
        found = results.query(
            "select activation, min(value), arg_max(value, step) from results where metric = ? and part = ? and step <= ? group by 1",
            [metric, early, _EARLY],
        )
        stays[metric] = {name: low for name, low, _ in found}
        said.append(
            f"lowest {metric} in the first {min(_EARLY, _steps(results, early)):.0f} steps: "
            + ", ".join(f"{name} {stays[metric][name]:.3f}" for name in ACTIVATIONS)
        )
    ends = dict(
        results.query(
            "select activation, avg(value) from results where metric = 'similarity' and part = ? and step = steps group by 1",
            [last],
        )
    )
    said.append(
        f"at the end of {_described(results, last).replace(chr(10), ' ')}: "
        + ", ".join(f"{name} {ends[name]:.3f}" for name in ACTIVATIONS)
    )
    accuracy = dict(
        results.query(
            "select activation, avg(value) from results where metric = 'accuracy' and part = ? group by 1", [last]
        )
    )
    said.append("accuracy there: " + ", ".join(f"{name} {accuracy[name]:.3f}" for name in ACTIVATIONS))
    holds_early = any(of["sigmoid"] > 0.99 and max(of["relu"], of["gelu"], of["tanh"]) < 0.95 for of in stays.values())
    holds_late = min(ends, key=ends.__getitem__) == "gelu"
    held = " and ".join(name for name, holds in (("the early part", holds_early), ("the end", holds_late)) if holds)
    ranked = sorted(ends, key=ends.__getitem__) == sorted(accuracy, key=lambda name: -accuracy[name])
    order = "the paper's order, less similar is more accurate, is " + ("there" if ranked else "not there")
    why = (
        f"{held or 'neither part'} holds; {order}; batch normalization before each activation and no weight decay are our reading, "
        "and weight decay is what makes sigmoid and tanh similar on MNIST (J7)"
    )
    why = order if holds_early and holds_late else why
    return Finding(verdict(holds_early and holds_late), "; ".join(said), why)


def _steps(results: Results, part: str) -> float:
    return float(results.query("select any_value(steps) from results where part = ?", [part])[0][0])


def _printed(dataset: str) -> list[PrintedValue]:
    return [
        PrintedValue(
            figure="Table I",
            label=f"accuracy, {row['activation']}",
            value=float(row["cifar10_vgg16_acc"]),
            metric="accuracy",
            at={"activation": row["activation"], "part": "whole"},
        )
        for row in printed_table("jiang2022_table1")
        if dataset == "cifar10"
    ]


VGG16 = Study(
    name="jiang2022.vgg16",
    title="Pattern similarity of VGG16 through training, and its accuracy, by activation",
    source="Jiang et al. 2022, Figure 9 and Table I",
    datasets=("cifar10",),
    cells=_cells,
    measure=_measure,
    figures={"training": _figure},
    claims=(Claim("J8", _j8, ("cifar10",)),),
    printed=_printed,
    together=("activation",),
    notes=(
        "VGG16 is configuration D with batch normalization before every activation; breakpoints are on pre-activations, {-0.5, 0, 0.5} for "
        "sigmoid and tanh and {0} for ReLU and GELU. At small scale there are two parts: the first 60 updates of the whole network at the "
        "printed rate, and a network of a quarter of the channels trained for 1,560 updates, the rate falling from 0.1 to 0.0001; both on "
        "10,000 images. Similarity by batch statistics normalizes the pairs by their own mean and variance, as training does."
    ),
)
