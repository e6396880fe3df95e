"""The figures of similarity: through training, of sets, and by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actscope.studies.jiang2022.patterns import PAIR_SPLITS, split_name
from actscope.studies.jiang2022.variants import Seen, Variant
from actscope.studies.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "curves_figure", "layers_figure", "new_figure", "training_figure"]

COLOURS = {"sigmoid": "#bd1f01", "tanh": "#e8a33d", "relu": "#2f6fb0", "gelu": "#832db6"}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that no window holds on to."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def training_figure(results: Results) -> Figure:
    """Similarity of pairs with different labels, early and through training, for every variant (Figures 7 and 8), and the distance."""
    seen = Seen(results)
    variants = list(seen.variants())
    figure = new_figure(2.6 * len(variants), 7)
    axes = figure.subplots(3, len(variants), squeeze=False)
    for column, variant in zip(axes.T, variants, strict=True):
        early, whole, apart = column
        for name, colour in COLOURS.items():
            steps, values = seen.through_training(variant, name, split_name(PAIR_SPLITS[name]))
            first = steps <= 200
            early.plot(steps[first], values[first], color=colour, label=name)
            whole.plot(steps, values, color=colour)
            found = results.arrays(
                "select step, avg(value) as value from results where metric = 'prediction distance' and activation = ? and "
                "normalization = ? group by 1 order by 1",
                [name, variant.normalization],
            )
            apart.plot(found["step"], found["value"], color=colour)
        early.set_title(_title(variant), fontsize=8)
        apart.set_xlabel("step", fontsize=8)
        for ax in (early, whole):
            ax.axhline(0.5, color="0.8", linewidth=0.7, zorder=0)
            ax.axhline(0.95, color="0.8", linewidth=0.7, zorder=0)
            ax.set_ylim(0, 1.02)
        for ax in column:
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right"]].set_visible(False)
    for ax, label in zip(axes[:, 0], ("similarity, first 200 steps", "similarity", "prediction distance"), strict=True):
        ax.set_ylabel(label, fontsize=8)
    axes[0, 0].legend(frameon=False, fontsize=7, loc="upper right")
    return figure


def curves_figure(results: Results) -> Figure:
    """PS_D of single and combined sets, trained and untrained, for every variant (Figure 6)."""
    seen = Seen(results)
    variants = list(seen.variants())
    cases = (("sigmoid", "-0.25, 0.25"), ("sigmoid", "-0.5, 0.5"), ("relu", "0"))
    figure = new_figure(2.6 * len(variants), 6.6)
    axes = figure.subplots(len(cases), len(variants), squeeze=False, sharex=True, sharey=True)
    for line, (name, split) in zip(axes, cases, strict=True):
        for ax, variant in zip(line, variants, strict=True):
            for kind, colour in (("single", "#d95f02"), ("combined", "#2f6fb0")):
                for trained in (True, False):
                    x, y = seen.curve(variant, name, split, kind, trained=trained)
                    label = f"{kind}, {'trained' if trained else 'untrained'}"
                    ax.plot(x, y, color=colour, linestyle="solid" if trained else "dashed", linewidth=1.2, label=label)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(labelsize=7)
        line[0].set_ylabel(f"{name}, {{{split}}}\nshare of pairs above λ", fontsize=8)
    for ax, variant in zip(axes[0], variants, strict=True):
        ax.set_title(_title(variant), fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("λ", fontsize=8)
    axes[0, 0].legend(frameon=False, fontsize=7, loc="lower left")
    return figure


def layers_figure(results: Results) -> Figure:
    """Similarity of each layer by itself at the end, for every variant."""
    seen = Seen(results)
    variants = list(seen.variants())
    figure = new_figure(2.6 * len(variants), 2.6)
    axes = figure.subplots(1, len(variants), squeeze=False, sharey=True)[0]
    for ax, variant in zip(axes, variants, strict=True):
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
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def _whole() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def _title(variant: Variant) -> str:
    where = {"before": "normalized before", "after": "normalized after", "none": "not normalized"}[
        variant.normalization
    ]
    return f"{where},\n{variant.reading}s"
