"""Regions of untrained MNIST networks in a plane, beside N²/2: Hanin & Rolnick (2019), Figure 1 at epoch 0.

    python examples/untrained_regions.py DIR [--draws 10] [--out docs/]

DIR holds MNIST's four IDX files, or a folder mnist/ with them. Seven networks, each drawn ten times: weights He-normal, biases with a
standard deviation of 1e-3. Each draw is looked at in a plane of its own, through the origin and two training images; a unit is 1.25 times
the longer of the two, and the window is [-20, 20]². Writes untrained_regions.svg, and prints a table in Markdown. Half a minute on two
cores.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from actscope import regions
from actscope.training import MLP, load_dataset

NETWORKS = {3: (20, 40, 60, 80), 4: (16, 32, 64)}
"""Widths by the number of hidden layers."""

COLOURS = {3: "#2f6fb0", 4: "#d95f02"}
MARKERS = {3: "o", 4: "s"}


def counts_of(width: int, depth: int, images: torch.Tensor, n_draws: int) -> list[int]:
    """Activation regions of `n_draws` untrained networks, each in its own plane."""
    counts = []
    for draw in range(n_draws):
        model = MLP(784, [width] * depth, 10, init="he", seed=draw)
        generator = torch.Generator().manual_seed(draw)
        one, other = images[torch.randperm(len(images), generator=generator)[:2]]
        section = regions.Plane.through_origin(one, other)
        counts.append(regions.count_in_plane(model, section, window=(-20.0, 20.0, -20.0, 20.0), progress=False))
    return counts


def draw(results: dict[tuple[int, int], list[int]], path: Path) -> None:
    """The share of N²/2 against the number of neurons, every draw as a point and their mean as a bar."""
    figure = Figure(figsize=(6.2, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.axhline(1.0, color="#73797f", linewidth=1, linestyle="--", zorder=0)
    for (width, depth), counts in results.items():
        n = width * depth
        ratios = [count / (n * n / 2) for count in counts]
        first = width == NETWORKS[depth][0]
        label = f"{depth} hidden layers" if first else None
        ax.scatter(
            [n] * len(ratios),
            ratios,
            s=16,
            alpha=0.55,
            color=COLOURS[depth],
            marker=MARKERS[depth],
            linewidths=0,
            label=label,
        )
        ax.hlines(statistics.mean(ratios), n / 1.05, n * 1.05, color=COLOURS[depth], linewidth=2)
        x, align = (-9, "right") if depth == min(NETWORKS) else (9, "left")
        at = (n, statistics.mean(ratios) + 0.06)
        ax.annotate(f"{width}×{depth}", at, xytext=(x, 0), textcoords="offset points", ha=align, fontsize=9)
    ax.set_xscale("log")
    ax.set_xticks([60, 100, 150, 200, 250], ["60", "100", "150", "200", "250"])
    ax.minorticks_off()
    ax.set_xlim(48, 320)
    ax.set_ylim(0, 1.7)
    ax.set_xlabel("neurons N")
    ax.set_ylabel("regions / (N² / 2)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right")
    figure.savefig(path)


def main() -> None:
    """Count, draw, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()
    train, _ = load_dataset("mnist", data_dir=arguments.data_dir)
    images = torch.as_tensor(train.x).flatten(1).double()
    results = {}
    print("| network | N | N²/2 | regions, mean | standard deviation | regions / (N²/2) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for depth, widths in sorted(NETWORKS.items(), reverse=True):
        for width in widths:
            counts = results[width, depth] = counts_of(width, depth, images, arguments.draws)
            n, mean = width * depth, statistics.mean(counts)
            spread = statistics.stdev(counts) if len(counts) > 1 else 0.0
            half = n * n / 2
            print(
                f"| {width}×{depth} | {n} | {half:,.0f} | {mean:,.0f} | {spread:,.0f} | {mean / half:.3f} |", flush=True
            )
    draw(results, arguments.out / "untrained_regions.svg")


if __name__ == "__main__":
    main()
