"""Codes of convolutional networks (He et al. 2021, Section 4, Tables 1 and 2, with the architectures of Tables 4 and 5)."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from torch.nn import functional as F

from actscope import hashing
from actscope.codes import Codes, encode
from actscope.figures.canvas import new_figure
from actscope.studies.cells import Cell
from actscope.studies.claims import Claim, Finding, NotRun, verdict
from actscope.studies.hashmeasures import code_rows, network_rows
from actscope.studies.printed import PrintedValue, printed_table
from actscope.studies.results import Results, Row
from actscope.studies.study import Grid, Place, Study
from actscope.training import LabelledData, fit, load_dataset
from actscope.training.architectures import architecture
from actscope.training.recipes import named_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CONVNETS"]

_VERSION = 1
_NAMES = {
    "mnist": ("VGG-18", "ResNet-18", "ResNet-34", "ResNeXt-26", "DenseNet-28"),
    "cifar10": ("VGG-19", "ResNet-18", "ResNet-20", "ResNet-32"),
}
_N_STARTS = 10
"""Single starts of K-Means, for its spread."""
_MAX_BYTES = 3 << 30
"""For the codes of ten thousand images, half a million bits each, without leaving any out."""


def _cells(grid: Grid) -> list[Cell]:
    kind = "cifar10" if grid.dataset == "cifar10" else "mnist"
    recipe = named_recipe(f"he2021.cnn-{kind}")
    n_train = {
        "smoke": 100,
        "small": 5000 if kind == "cifar10" else 60_000,
        "paper": 50_000 if kind == "cifar10" else 60_000,
    }[grid.scale]
    return [
        Cell(
            CONVNETS.name,
            _VERSION,
            {"dataset": grid.dataset, "architecture": name, "seed": seed, "sample_size": n_train, "epochs": epochs},
            recipe if grid.scale == "paper" else recipe.replace(epochs=epochs, lr_every=max(1, epochs // 2)),
        )
        for name in _names(grid, kind)
        for epochs in (_epochs(grid, name),)
        for seed in _seeds(grid, name)
    ]


def _names(grid: Grid, kind: str) -> tuple[str, ...]:
    if grid.scale == "smoke":
        return ("DenseNet-28",)
    return _NAMES[kind]


def _epochs(grid: Grid, name: str) -> int:
    """Of training: as printed, or few at the first two rates of the printed schedule."""
    if grid.scale == "small":
        # an epoch of the smaller networks takes a tenth of the others' time
        return 60 if name == "DenseNet-28" else (4 if grid.dataset == "cifar10" else 2)
    return {"smoke": 1, "paper": 200 if grid.dataset == "cifar10" else 500}[grid.scale]


def _seeds(grid: Grid, name: str) -> range:
    if grid.scale == "small":
        # the paper's outlier is worth more than one draw
        return range(2 if name == "DenseNet-28" else 1)
    return range({"smoke": 1, "paper": 5}[grid.scale])


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        train, test = _images(cell, place)
        kind = "cifar10" if cell["dataset"] == "cifar10" else "mnist"
        model = architecture(cell["architecture"], dataset=kind, seed=cell["seed"])
        assert cell.recipe is not None
        history = fit(
            model,
            train,
            recipe=cell.recipe,
            seed=cell["seed"],
            device=place.device,
            checkpoints=place.folder(cell),
            progress=bool(place.progress),
        )
        rows = network_rows(model, train, test, device=place.device)
        codes = [encode(model, data, split=data.split, device=place.device) for data in (train, test)]
        rows += code_rows(
            codes[0],
            codes[1],
            n_classes=test.n_classes,
            device=place.device,
            neighbours_of_train=False,
            max_bytes=_MAX_BYTES,
        )
        rows += _kmeans_rows(codes[1], test.n_classes, place.device)
        rows.append({"metric": "bits", "value": float(codes[0].n_bits)})
        rows.append({"metric": "seconds of training", "value": float(sum(history.seconds))})
        yield cell, [{"epoch": cell["epochs"], **row} for row in rows]


def _images(cell: Cell, place: Place) -> tuple[LabelledData, LabelledData]:
    train, test = load_dataset(cell["dataset"], data_dir=place.data_dir)
    if cell["dataset"] == "digits":
        train, test = (dataclasses.replace(data, x=F.interpolate(data.x, size=28)) for data in (train, test))
    n = min(cell["sample_size"], len(train))
    return (train if n == len(train) else train.subset(n, seed=0, stratified=True)), test


def _kmeans_rows(codes: Codes, n_classes: int, device: str | None) -> list[Row]:
    """K-Means on test codes from single starts: what one of them may give."""
    starts = range(100, 100 + _N_STARTS)
    fits = hashing.fit_kmeans_each(codes, starts, n_clusters=n_classes, max_bytes=_MAX_BYTES, device=device)
    found = [float(fit.accuracy()) for fit in fits]
    rows: list[Row] = [
        {"metric": "kmeans from one start", "split": "test", "start": start, "value": value}
        for start, value in enumerate(found)
    ]
    return [*rows, {"metric": "kmeans from one start, deviation", "split": "test", "value": statistics.stdev(found)}]


def _figure(results: Results) -> Figure:
    from actscope.figures.palette import CLASSES

    figure = new_figure(7.5, 3.4)
    ax = figure.add_subplot()
    names = [
        name
        for name in _NAMES.get(results.dataset, _NAMES["mnist"])
        if name in {n for (n,) in results.query("select architecture from results")}
    ]
    printed = {row["architecture"]: row for row in printed_table("he2021_table1")} if results.dataset == "mnist" else {}
    for i, (metric, label, column) in enumerate(
        (
            ("kmeans from one start", "K-Means, one start each", "kmeans_acc"),
            ("knn", "9-NN", "knn_acc"),
            ("logistic", "logistic regression", ""),
            ("accuracy", "the network", ""),
        )
    ):
        for place, name in enumerate(names):
            values = [
                v
                for (v,) in results.query(
                    "select value from results where metric = ? and split = 'test' and architecture = ?", [metric, name]
                )
            ]
            at = place + (i - 1.5) * 0.18
            ax.plot(
                [at] * len(values),
                values,
                "o",
                markersize=3.5,
                color=CLASSES[i],
                alpha=0.7,
                label=label if place == 0 else None,
            )
            if name in printed and column:
                ax.plot(
                    at,
                    float(printed[name][column]),
                    "x",
                    color="0.2",
                    markersize=6,
                    label="printed" if place == 0 and i == 0 else None,
                )
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylabel("accuracy on test codes")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=7)
    return figure


def _printed(dataset: str) -> list[PrintedValue]:
    if dataset != "mnist":
        return []
    return [
        PrintedValue(
            "Table 1",
            f"{label}, test",
            float(row[column]),
            metric,
            {"split": "test", "architecture": row["architecture"]},
            tolerance=0.005 if metric == "knn" else 0.03,
        )
        for row in printed_table("he2021_table1")
        for column, metric, label in (
            ("kmeans_acc", "kmeans", "K-Means, best of ten starts"),
            ("knn_acc", "knn", "K-NN"),
        )
    ]


def _by_architecture(results: Results, metric: str, split: str = "test") -> dict[str, tuple[float, float, float]]:
    rows = results.query(
        "select architecture, avg(value), min(value), max(value) from results where metric = ? and split = ? group by 1 order by 1",
        [metric, split],
    )
    return {name: (mean, low, high) for name, mean, low, high in rows}


def _h1(results: Results) -> Finding:
    """Redundancy near 0 and K-NN of 98.59 to 99.49 % on codes of CNNs trained on MNIST."""
    redundancy, knn, kmeans = (
        _by_architecture(results, metric) for metric in ("redundancy", "knn", "kmeans from one start")
    )
    epochs = dict(results.query("select architecture, max(epoch) from results group by 1"))
    ours = "; ".join(
        f"{name}, {epochs[name]} epochs: redundancy {redundancy[name][2]:.4f}, 9-NN {knn[name][0]:.4f}, K-Means {kmeans[name][0]:.3f} "
        f"({kmeans[name][1]:.3f} to {kmeans[name][2]:.3f} from single starts)"
        for name in knn
    )
    holds = all(r[2] < 0.001 for r in redundancy.values()) and all(k[0] >= 0.985 for k in knn.values())
    own, fitted = _by_architecture(results, "accuracy"), _by_architecture(results, "accuracy", "train")
    why = "; ".join(
        f"{name} was trained for {epochs[name]} of 500 epochs, and is itself right for {own[name][0]:.4f} of the test images"
        + (
            f" and {fitted[name][0]:.4f} of the training images: it is not for want of training"
            if epochs[name] >= 500
            else ""
        )
        for name, k in knn.items()
        if k[0] < 0.985 and name in own
    )
    return Finding(verdict(holds), ours, why)


def _h2(results: Results) -> Finding:
    """Logistic regression on codes of CNNs trained on CIFAR-10 is about as good as the network itself."""
    logistic, own = _by_architecture(results, "logistic"), _by_architecture(results, "accuracy")
    if not logistic:
        raise NotRun("no network was measured")
    n, epochs = results.query("select max(sample_size), max(epoch) from results")[0]
    ours = f"{n:,} examples, epoch {epochs}: " + "; ".join(
        f"{name} regression {logistic[name][0]:.3f}, network {own[name][0]:.3f}" for name in own
    )
    missing = [name for name in _NAMES["cifar10"] if name not in own]
    if missing:
        return Finding("not run at this scale", ours, f"not trained: {', '.join(missing)}")
    return Finding(verdict(all(logistic[name][0] > own[name][0] - 0.05 for name in own)), ours)


CONVNETS = Study(
    name="he2021.cnn",
    title="Codes of convolutional networks: redundancy, K-Means, K-NN and logistic regression",
    source="He et al. 2021, Tables 1 and 2",
    datasets=("mnist", "cifar10"),
    cells=_cells,
    measure=_measure,
    figures={"accuracies": _figure},
    claims=(Claim("H1", _h1, ("mnist",)), Claim("H2", _h2, ("cifar10",))),
    printed=_printed,
    together=("architecture", "seed"),
    notes=(
        "Codes are all activation sites, whole: tens of thousands of bits. At small scale there are few epochs, half of them at the "
        "printed first rate and half at a tenth of it: on MNIST two, but 60 of the small DenseNet; on CIFAR-10 four, with "
        "5,000 training images."
    ),
)
