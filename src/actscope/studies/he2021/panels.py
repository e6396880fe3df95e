"""Figures in the manner of He et al. 2021: redundancy, and three accuracies, against one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actscope.figures.canvas import new_figure
from actscope.figures.curves import Curve, draw_curves
from actscope.studies.claims import NotRun
from actscope.studies.printed import PrintedValue
from actscope.studies.results import Results, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["METRICS", "hardly_learned", "hash_figure", "last_epoch", "means"]


class Metric(NamedTuple):
    """A printed metric: its name and split in the results, and what it is in words."""

    metric: str
    split: str
    label: str


METRICS: Mapping[str, Metric] = {
    "redundancy_train": Metric("redundancy", "train", "redundancy, train"),
    "redundancy_test": Metric("redundancy", "test", "redundancy, test"),
    "kmeans_acc": Metric("kmeans", "test", "K-Means, test"),
    "knn_acc": Metric("knn", "test", "K-NN, test"),
    "lr_acc": Metric("logistic", "test", "logistic regression, test"),
    "model_test_acc": Metric("accuracy", "test", "the network, test"),
}
"""By their names in the tables of printed values."""

_PANELS = (
    ("redundancy", "train"),
    ("redundancy", "test"),
    ("kmeans", "test"),
    ("knn", "test"),
    ("logistic", "test"),
    ("accuracy", "test"),
)


def last_epoch(results: Results) -> int:
    """The last epoch at which networks were measured."""
    return int(results.query("select max(epoch) from results")[0][0])


def means(
    results: Results, x: str, metric: str, split: str, epoch: int | None = None, *, where: str = "true"
) -> tuple[np.ndarray, np.ndarray]:
    """Values of an axis, and a metric's mean over all else at each; (n,) each.

    Raises:
        NotRun: it was not measured.
    """
    condition = f"split = '{split}' and ({where})" + ("" if epoch is None else f" and epoch = {epoch}")
    axis, mean, _, _ = series(results, x, metric, where=condition)
    if not len(axis):
        raise NotRun(f"{metric} was not measured")
    return axis, mean


def hardly_learned(results: Results) -> str:
    """Why codes say little where networks themselves do; empty where one is right for more than 0.35 of CIFAR-10's test images."""
    epoch = last_epoch(results)
    best, normed = results.query(
        "select max(value), bool_or(batch_norm) from results where metric = 'accuracy' and split = 'test' and epoch = ?",
        [epoch],
    )[0]
    if results.dataset != "cifar10" or best is None or best > 0.35:
        return ""
    how = (
        ""
        if normed
        else "; it is judged anew after training as their code does, with batch normalization (he2021.code)"
    )
    return f"the networks themselves have hardly learned by epoch {epoch} of 200: the best is right for {best:.3f} of the test images{how}"


def hash_figure(
    results: Results,
    x: str,
    *,
    by: str,
    printed: Sequence[PrintedValue] = (),
    log_x: bool = False,
    where: str = "true",
    title: str = "",
) -> Figure:
    """Six panels against the column `x`: redundancy on both splits, the three accuracies on codes, and the network's own.

    A curve is a mean with its standard deviation over seeds, for every value of the column `by`; crosses are what the paper prints.

    Args:
        results: what was measured.
        x: the column along the axis.
        by: the column that tells curves apart.
        printed: the paper's numbers.
        log_x: whether the axis is logarithmic.
        where: a condition in SQL.
        title: above all.
    """
    figure = new_figure(10.5, 5.6)
    groups = [
        value
        for (value,) in results.query(
            f'select distinct "{by}" from results where {where} and "{by}" is not null order by 1'
        )
    ]
    for ax, (metric, split) in zip(figure.subplots(2, 3).flat, _PANELS, strict=True):
        curves = []
        for value in groups:
            axis, mean, sd, _ = series(
                results, x, metric, where=f"split = '{split}' and \"{by}\" = ? and ({where})", parameters=[value]
            )
            if len(axis):
                curves.append(Curve(_label(by, value), axis, mean, sd))
        points = [
            (float(one.at[x]), one.value, one.at.get(by))
            for one in printed
            if one.metric == metric and one.at["split"] == split
        ]
        name = next(found.label for found in METRICS.values() if (found.metric, found.split) == (metric, split))
        draw_curves(
            curves,
            points=points,
            xlabel=x.replace("_", " "),
            ylabel=name,
            log_x=log_x,
            log_y=metric == "redundancy",
            legend=False,
            ax=ax,
        )
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), frameon=False, fontsize=8)
    crosses = ", printed values as crosses" if printed else ""
    figure.suptitle(title or f"{results.study}: mean and standard deviation over seeds{crosses}", fontsize=10)
    return figure


def _label(by: str, value: object) -> str:
    """What a curve is of: a name says it by itself, a number needs that of its column."""
    return value if isinstance(value, str) else f"{by.replace('_', ' ')} {value}"
