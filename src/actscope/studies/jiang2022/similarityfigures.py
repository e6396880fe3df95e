"""The figures of similarity: through training, of sets, and by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actscope.figures.canvas import new_figure
from actscope.studies.jiang2022.patterns import PAIR_SPLITS, split_name
from actscope.studies.jiang2022.variants import Seen, Variant
from actscope.studies.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "curves_figure", "layers_figure", "training_figure"]

COLOURS = {"sigmoid": "#bd1f01", "tanh": "#e8a33d", "relu": "#2f6fb0", "gelu": "#832db6"}


_NARROW = "-0.25, 0.25"
"""Other breakpoints of the paper, of Figure 6."""


def training_figure(results: Results) -> Figure:
    """Similarity of pairs with different labels, early and through training, for every variant (Figures 7 and 8), and the distance."""
    seen = Seen(results)
    variants = list(seen.variants())
    figure = new_figure(9.5, 2.1 * len(variants))
    axes = figure.subplots(len(variants), 3, squeeze=False)
    for line, variant in zip(axes, variants, strict=True):
        early, whole, apart = line
        for name, colour in COLOURS.items():
            steps, values = seen.through_training(variant, name, split_name(PAIR_SPLITS[name]))
            first = steps <= 200
            early.plot(steps[first], values[first], color=colour, label=name)
            whole.plot(steps, values, color=colour)
            if name in ("sigmoid", "tanh"):
                steps, values = seen.through_training(variant, name, _NARROW)
                first = steps <= 200
                early.plot(steps[first], values[first], color=colour, linestyle="dashed", linewidth=1)
                whole.plot(steps, values, color=colour, linestyle="dashed", linewidth=1)
            found = results.arrays(
                "select step, avg(value) as value from results where metric = 'prediction distance' and activation = ? and "
                "normalization = ? group by 1 order by 1",
                [name, variant.normalization],
            )
            apart.plot(found["step"], found["value"], color=colour)
        early.set_ylabel(_title(variant), fontsize=8)
        for ax in (early, whole):
            ax.axhline(0.5, color="0.8", linewidth=0.7, zorder=0)
            ax.axhline(0.95, color="0.8", linewidth=0.7, zorder=0)
            ax.set_ylim(0, 1.02)
        for ax in line:
            ax.locator_params(axis="x", nbins=5)
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right"]].set_visible(False)
    for ax, label in zip(axes[0], ("similarity, first 200 steps", "similarity", "prediction distance"), strict=True):
        ax.set_title(label, fontsize=9)
    split = split_name(PAIR_SPLITS["sigmoid"])
    figure.suptitle(
        f"breakpoints {{{split}}} (dashed {{{_NARROW}}}) of sigmoid and tanh, {{0}} of ReLU and GELU", fontsize=9
    )
    for ax in axes[-1]:
        ax.set_xlabel("step", fontsize=8)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    return figure


def curves_figure(results: Results) -> Figure:
    """PS_D of single and combined sets, trained and untrained, for every variant (Figure 6)."""
    seen = Seen(results)
    variants = list(seen.variants())
    cases = (("sigmoid", "-0.25, 0.25"), ("sigmoid", "-0.5, 0.5"), ("relu", "0"))
    figure = new_figure(9.5, 2.1 * len(variants))
    axes = figure.subplots(len(variants), len(cases), squeeze=False, sharex=True, sharey=True)
    for column, (name, split) in zip(axes.T, cases, strict=True):
        for ax, variant in zip(column, variants, strict=True):
            for kind, colour in (("single", "#d95f02"), ("combined", "#2f6fb0")):
                for trained in (False,) if seen.untrained(variant) else (True, False):
                    x, y = seen.curve(variant, name, split, kind, trained=trained)
                    label = f"{kind}, {'trained' if trained else 'untrained'}"
                    ax.plot(x, y, color=colour, linestyle="solid" if trained else "dashed", linewidth=1.2, label=label)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(labelsize=7)
        column[0].set_title(f"{name}, {{{split}}}", fontsize=9)
    for ax, variant in zip(axes[:, 0], variants, strict=True):
        ax.set_ylabel(_title(variant), fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("λ", fontsize=8)
    figure.suptitle("share of pairs whose similarity is above λ", fontsize=10)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    return figure


def layers_figure(results: Results) -> Figure:
    """Similarity of each layer by itself at the end, for every variant."""
    seen = Seen(results)
    variants = list(seen.variants())
    n_columns = min(4, len(variants))
    n_rows = -(-len(variants) // n_columns)
    figure = new_figure(2.6 * n_columns, 2.6 * n_rows)
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).flat)
    for ax in axes[len(variants) :]:
        ax.remove()
    for ax, variant in zip(axes, variants, strict=False):
        for name, colour in COLOURS.items():
            found = results.arrays(
                "select layer, avg(value) as value from results where metric = 'similarity of a layer' and step = steps and activation = ? "
                "and normalization = ? and reading = ? and breakpoints = ? group by 1 order by 1",
                [name, variant.normalization, variant.reading, split_name(PAIR_SPLITS[name])],
            )
            ax.plot(found["layer"], found["value"], color=colour, marker="o", markersize=3, label=name)
        ax.set_title(_title(variant), fontsize=8)
        ax.set_xlabel("layer", fontsize=8)
        ax.set_ylim(0, 1.02)
        ax.tick_params(labelsize=7)
        ax.xaxis.set_major_locator(_whole())
    axes[0].set_ylabel("similarity", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def _whole() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def _title(variant: Variant) -> str:
    where = {"before": "normalized before", "after": "normalized after", "none": "not normalized"}[
        variant.normalization
    ]
    return f"{where},\n{variant.reading}s"
