"""Pattern similarity of the fully connected network of Jiang et al. (2022) through training on MNIST, by activation.

    python examples/dying_neurons.py train DIR RESULTS --activation relu [--steps 24000]     # one network; goes on where it was stopped
    python examples/dying_neurons.py report RESULTS --out docs/                              # figures, and the page's table

Nine hidden layers of 256, batch normalization, SGD at a rate that falls linearly from 0.1 to 0.0001, batches of 128. DIR holds MNIST's
four IDX files, or a folder mnist/ with them. Measured on test images: similarity and prediction distance of 1,000 fixed pairs with
different labels through training (Figures 7 and 8), PS_D of the first 800 images of each label and of 1,000 drawn from all (Figure 6), mean
and variance of the post-activations by layer (Figure 1), and the share of neurons that stay in one interval (abstract). Training takes
about five minutes a network on one core.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from actscope import encode, neurons
from actscope.training import MLP, load_dataset
from actscope.training.recipes import named_recipe

ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu")
COLOURS = {"sigmoid": "#bd1f01", "tanh": "#e8a33d", "relu": "#2f6fb0", "gelu": "#832db6"}
PAIR_BREAKPOINTS: Mapping[str, tuple[float, ...]] = {
    "sigmoid": (-0.5, 0.0, 0.5),
    "tanh": (-0.5, 0.0, 0.5),
    "relu": (0.0,),
    "gelu": (0.0,),
}
CURVE_BREAKPOINTS: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "sigmoid": ((-0.25, 0.25), (-0.5, 0.5)),
    "tanh": ((-0.25, 0.25), (-0.5, 0.5)),
    "relu": ((0.0,),),
    "gelu": ((0.0,),),
}
THRESHOLDS = np.round(np.linspace(0, 1, 51), 2)


def measured_at(step: int, n_steps: int) -> bool:
    """Whether the pairs are looked at after this step: every 5 at first, every 100 later, as in the paper."""
    return (step <= 200 and step % 5 == 0) or step % 100 == 0 or step == n_steps


def train(activation: str, data_dir: Path, results: Path, n_steps: int, seed: int) -> None:
    """Train one network, measure as it goes, and write what was measured as one Parquet file."""
    torch.set_num_threads(1)
    data, test = load_dataset("mnist", data_dir=data_dir)
    x, y = torch.as_tensor(data.x).flatten(1), torch.as_tensor(data.y)
    recipe = named_recipe("jiang2022").replace(steps=n_steps)
    model = MLP(784, [256] * 9, 10, activation=activation, batch_norm=True, init="torch", seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr)
    examined = Examined(activation, torch.as_tensor(test.x).flatten(1), torch.as_tensor(test.y), seed)
    rows: list[dict[str, Any]] = []
    checkpoint, first = results / f"{activation}.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        rows, first = json.loads(state["rows"]), int(state["step"])
    else:
        rows += examined.pairs(model, 0) + examined.curves(model, 0)
    order, place = torch.zeros(0, dtype=torch.int64), 0
    for step in range(1, n_steps + 1):
        if place + recipe.batch_size > len(order):
            epoch = step * recipe.batch_size // len(x)
            order, place = torch.randperm(len(x), generator=torch.Generator().manual_seed(1000 * seed + epoch)), 0
        batch = order[place : place + recipe.batch_size]
        place += recipe.batch_size
        if step <= first:
            continue
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr + (float(recipe.lr_end or 0) - recipe.lr) * (step - 1) / max(1, n_steps - 1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        if measured_at(step, n_steps):
            rows += examined.pairs(model, step)
        if step % 1000 == 0 and step < n_steps:
            state = {"model": model.state_dict(), "rows": json.dumps(rows), "step": torch.tensor(step)}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
            print(f"{activation}: step {step} of {n_steps}", flush=True)
    rows += examined.curves(model, n_steps) + examined.layers(model, n_steps)
    about = {
        "steps": n_steps,
        "seed": seed,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "activation": activation,
    }
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"about": json.dumps(about)})
    written = results / f"{activation}.part.parquet"
    pq.write_table(table, written, compression="zstd")
    written.rename(results / f"{activation}.parquet")


class Examined:
    """The test images that one network is measured on."""

    def __init__(self, activation: str, x: Tensor, y: Tensor, seed: int) -> None:
        self._activation = activation
        self._x, self._y = x, y
        generator = torch.Generator().manual_seed(seed)
        one, other = (torch.randperm(len(x), generator=generator) for _ in range(2))
        different = y[one] != y[other]
        self._one, self._other = one[different][:1000], other[different][:1000]
        self._combined = torch.randperm(len(x), generator=generator)[:1000]
        self._single = [torch.nonzero(y == label)[:, 0][:800] for label in range(10)]

    def pairs(self, model: nn.Module, step: int) -> list[dict[str, Any]]:
        """Similarity and prediction distance of the pairs, and the accuracy."""
        points = PAIR_BREAKPOINTS[self._activation]
        both = torch.cat([self._one, self._other])
        outputs: list[Tensor] = []
        codes = encode(
            model,
            self._x[both],
            breakpoints=points,
            batch_size=2000,
            progress=False,
            on_output=lambda out, _: outputs.append(out),
        )
        similarity = neurons.pattern_similarity(codes[:1000], codes[1000:])
        logits = torch.cat(outputs)
        distance = (logits[:1000] - logits[1000:]).norm(dim=1)
        accuracy = float((logits.argmax(1) == self._y[both]).float().mean())
        values = {
            "similarity": float(similarity.mean()),
            "similarity spread": float(similarity.std()),
            "distance": float(distance.mean()),
            "distance spread": float(distance.std()),
            "accuracy": accuracy,
        }
        return [self._row(step, measure, value) for measure, value in values.items()]

    def curves(self, model: nn.Module, step: int) -> list[dict[str, Any]]:
        """PS_D of single and combined sets."""
        rows = []
        for points in CURVE_BREAKPOINTS[self._activation]:
            named = {"combined": [self._combined], "single": self._single}
            for name, sets in named.items():
                shares = []
                for chosen in sets:
                    codes = encode(model, self._x[chosen], breakpoints=points, batch_size=1000, progress=False)
                    shares.append(neurons.similarity_distribution(codes, THRESHOLDS).combined.shares)
                for threshold, share in zip(THRESHOLDS, np.mean(shares, axis=0), strict=True):
                    rows.append(self._row(step, f"PS_D {name}", float(share), at=float(threshold), points=points))
        return rows

    def layers(self, model: nn.Module, step: int) -> list[dict[str, Any]]:
        """Post-activations by layer, the accuracy on all images, and the share of neurons in their commonest interval."""
        rows, found = [], []
        hooks = [
            module.register_forward_hook(
                lambda module, inputs, output: found.append((output.mean().item(), output.var().item()))
            )
            for name, module in model.named_modules()
            if name.startswith(self._activation)
        ]
        model.eval()
        with torch.no_grad():
            logits = model(self._x)
        for hook in hooks:
            hook.remove()
        for layer, (mean, variance) in enumerate(found, start=1):
            rows += [
                self._row(step, "post-activation mean", mean, at=layer),
                self._row(step, "post-activation variance", variance, at=layer),
            ]
        rows.append(self._row(step, "test accuracy", float((logits.argmax(1) == self._y).float().mean())))
        for points in (PAIR_BREAKPOINTS[self._activation], *CURVE_BREAKPOINTS[self._activation]):
            codes = encode(model, self._x, breakpoints=points, batch_size=2000, progress=False)
            intervals = codes.intervals()
            counts = np.stack([(intervals == k).mean(axis=0) for k in range(len(points) + 1)])
            rows.append(
                self._row(step, "share in the commonest interval", float(counts.max(axis=0).mean()), points=points)
            )
        return rows

    def _row(
        self, step: int, measure: str, value: float, *, at: float = -1.0, points: tuple[float, ...] = ()
    ) -> dict[str, Any]:
        given = ", ".join(f"{point:g}" for point in points)
        return {
            "activation": self._activation,
            "step": step,
            "measure": measure,
            "at": at,
            "breakpoints": given,
            "value": value,
        }


Found = dict[str, list[dict[str, Any]]]
"""Rows of each activation."""


def report(results: Path, out: Path) -> None:
    """Draw the figures, and write the claims beside ours into the page."""
    tables = {name: pq.read_table(results / f"{name}.parquet") for name in ACTIVATIONS}
    found: Found = {name: table.to_pylist() for name, table in tables.items()}
    about = json.loads(tables["relu"].schema.metadata[b"about"])
    draw_training(found, out / "dying_neurons_training.svg")
    draw_curves(found, out / "dying_neurons_curves.svg")
    draw_layers(found, out / "dying_neurons_layers.svg")
    lines = ["| claim | the paper | here | agrees if | verdict |", "| --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(row) + " |" for row in claims(found)]
    accuracies = ", ".join(f"{name} {100 * value(found[name], 'test accuracy'):.2f} %" for name in ACTIVATIONS)
    made = f"{about['steps']:,} steps, seed {about['seed']}, torch {about['torch']}, {about['machine']}. Test accuracy: {accuracies}."
    page = out / "dying_neurons.md"
    text = page.read_text(encoding="utf-8")
    begin, end = "<!-- generated -->", "<!-- end -->"
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(before + "\n".join([begin, made, "", *lines, end]) + after, encoding="utf-8")


def series(rows: list[dict[str, Any]], measure: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps (or layers, or thresholds) and values of one measure, in order."""
    chosen = [row for row in rows if row["measure"] == measure]
    key = "at" if chosen and chosen[0]["at"] >= 0 else "step"
    chosen.sort(key=lambda row: row[key])
    return np.array([row[key] for row in chosen]), np.array([row["value"] for row in chosen])


def value(rows: list[dict[str, Any]], measure: str, breakpoints: str = "") -> float:
    """One number, at the end of training."""
    return next(
        float(row["value"])
        for row in reversed(rows)
        if row["measure"] == measure and (not breakpoints or row["breakpoints"] == breakpoints)
    )


def curve(rows: list[dict[str, Any]], name: str, step: int, breakpoints: str) -> np.ndarray:
    """PS_D at each threshold."""
    chosen = [
        row
        for row in rows
        if row["measure"] == f"PS_D {name}" and row["step"] == step and row["breakpoints"] == breakpoints
    ]
    return np.array([row["value"] for row in sorted(chosen, key=lambda row: row["at"])])


def holds_until(shares: np.ndarray, level: float) -> float:
    """The largest threshold up to which the share of pairs stays at `level` or more.

    >>> holds_until(np.where(THRESHOLDS <= 0.8, 1.0, 0.2), 0.9)
    0.8
    """
    below = np.flatnonzero(shares < level)
    return float(THRESHOLDS[-1] if not len(below) else THRESHOLDS[max(below[0] - 1, 0)])


def claims(found: Found) -> list[tuple[str, str, str, str, str]]:
    """Each claim with what the paper says, what was found, the rule, and whether they agree."""
    last = max(row["step"] for row in found["relu"])
    rows: list[tuple[str, str, str, str, str]] = []

    def add(name: str, words: str, ours: str, rule: str, agrees: bool) -> None:
        rows.append((name, words, ours, rule, "agrees" if agrees else "differs"))

    layers = {
        name: [series(found[name], f"post-activation {what}")[1] for what in ("mean", "variance")]
        for name in ("sigmoid", "relu")
    }
    mean, variance = layers["sigmoid"]
    add(
        "J1", "sigmoid: mean about 0.5, variance about 0.05 in all nine layers",
        f"mean {mean.min():.2f} to {mean.max():.2f}, variance {variance.min():.3f} to {variance.max():.3f}",
        "mean in 0.4 … 0.6 and variance in 0.025 … 0.1 in each",
        bool((abs(mean - 0.5) < 0.1).all() and (variance > 0.025).all() and (variance < 0.1).all()),
    )  # fmt: skip
    mean, _ = layers["relu"]
    add(
        "J1", "ReLU: mean about 0.1",
        f"mean {mean.min():.2f} to {mean.max():.2f}",
        "mean in 0.05 … 0.2 in each layer",
        bool((mean > 0.05).all() and (mean < 0.2).all()),
    )  # fmt: skip
    points = {"sigmoid": "-0.5, 0.5", "relu": "0"}
    untrained = {n: holds_until(curve(found[n], "combined", 0, points[n]), 0.5) for n in points}
    add(
        "J6", "untrained: similarity near 0.9 everywhere",
        ", ".join(f"half of the pairs above {v:.2f} ({n})" for n, v in untrained.items()),
        "half of the pairs above 0.85 … 0.95 for both",
        all(0.85 <= v <= 0.95 for v in untrained.values()),
    )  # fmt: skip
    single, combined = (curve(found["relu"], name, last, "0") for name in ("single", "combined"))
    add(
        "J6", "trained ReLU: single stays high up to 0.7, combined falls",
        f"90 % of the pairs above {holds_until(single, 0.9):.2f} (single), {holds_until(combined, 0.9):.2f} (combined)",
        "single at 0.65 or more, combined 0.1 lower",
        holds_until(single, 0.9) >= 0.65 and holds_until(combined, 0.9) <= holds_until(single, 0.9) - 0.1,
    )  # fmt: skip
    for breakpoints in ("-0.25, 0.25", "-0.5, 0.5"):
        single, combined = (curve(found["sigmoid"], name, last, breakpoints) for name in ("single", "combined"))
        gap = float((single - combined).mean())
        add(
            "J6", f"trained sigmoid, breakpoints {{{breakpoints}}}: both at 1 up to about 0.8, a gap under 10 %",
            f"99 % of the pairs above {holds_until(single, 0.99):.2f} (single), {holds_until(combined, 0.99):.2f} (combined); "
            f"means {100 * gap:.1f} % apart",
            "both at 0.75 or more, means less than 10 % apart",
            min(holds_until(single, 0.99), holds_until(combined, 0.99)) >= 0.75 and gap < 0.1,
        )  # fmt: skip
    early = {n: lowest(found[n], 1000) for n in ACTIVATIONS}
    add(
        "J7", "early, similarity falls to about 0.5",
        ", ".join(f"{n} {v:.2f} at step {at}" for n, (at, v) in early.items()),
        "lowest of the first 1,000 steps in 0.4 … 0.6 for each",
        all(0.4 <= v <= 0.6 for _, v in early.values()),
    )  # fmt: skip
    half = {n: half_way(found[n]) for n in ACTIVATIONS}
    add(
        "J7", "sigmoid falls more slowly",
        ", ".join(f"{n} half-way at step {at}" for n, at in half.items()),
        "sigmoid last", half["sigmoid"] > max(at for n, at in half.items() if n != "sigmoid"),
    )  # fmt: skip
    end = {n: value(found[n], "similarity") for n in ACTIVATIONS}
    add(
        "J7", "later, sigmoid and tanh rise to about 0.95",
        f"at the end {end['sigmoid']:.2f} (sigmoid), {end['tanh']:.2f} (tanh)", "both in 0.9 … 1",
        min(end["sigmoid"], end["tanh"]) >= 0.9,
    )  # fmt: skip
    level = {n: at_step(found[n], 1000) for n in ("relu", "gelu")}
    add(
        "J7", "ReLU and GELU stay level",
        ", ".join(f"{n} {v:.2f} at step 1,000 and {end[n]:.2f} at the end" for n, v in level.items()),
        "less than 0.1 apart", all(abs(end[n] - v) < 0.1 for n, v in level.items()),
    )  # fmt: skip
    shares = {n: value(found[n], "share in the commonest interval", "-0.5, 0, 0.5") for n in ("sigmoid", "tanh")}
    wide = {n: value(found[n], "share in the commonest interval", "-0.5, 0.5") for n in ("sigmoid", "tanh")}
    add(
        "J15", "sigmoid and tanh: about 80 % of post-activations lie in one region",
        ", ".join(f"{n} {100 * v:.0f} % ({{-0.5, 0, 0.5}}), {100 * wide[n]:.0f} % ({{-0.5, 0.5}})" for n, v in shares.items()),
        "70 % … 90 % for both, by either set of breakpoints",
        all(0.7 <= v <= 0.9 for v in shares.values()) or all(0.7 <= v <= 0.9 for v in wide.values()),
    )  # fmt: skip
    return rows


def lowest(rows: list[dict[str, Any]], until: int) -> tuple[int, float]:
    """The step and value of the lowest similarity up to a step."""
    steps, values = series(rows, "similarity")
    at = int(values[steps <= until].argmin())
    return int(steps[at]), float(values[at])


def half_way(rows: list[dict[str, Any]]) -> int:
    """The first step at which similarity is half-way from its start to its lowest value of the first 1,000 steps."""
    steps, values = series(rows, "similarity")
    return int(steps[values <= (values[0] + lowest(rows, 1000)[1]) / 2][0])


def at_step(rows: list[dict[str, Any]], step: int) -> float:
    """The similarity after a step."""
    steps, values = series(rows, "similarity")
    return float(values[steps == step][0])


def new_figure(width: float, height: float, n_columns: int) -> tuple[Figure, list[Any]]:
    """A figure of axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, n_columns))
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_training(found: Found, path: Path) -> None:
    """Similarity early and through training, and prediction distance: the paper's Figures 7 and 8."""
    figure, (early, whole, distance) = new_figure(10.5, 3.2, 3)
    for name in ACTIVATIONS:
        steps, values = series(found[name], "similarity")
        early.plot(steps[steps <= 200], values[steps <= 200], color=COLOURS[name], label=name)
        every = steps % 100 == 0
        whole.plot(steps[every], values[every], color=COLOURS[name])
        steps, values = series(found[name], "distance")
        every = steps % 100 == 0
        distance.plot(steps[every], values[every], color=COLOURS[name])
    for ax, title in ((early, "similarity, first 200 steps"), (whole, "similarity"), (distance, "prediction distance")):
        ax.set_title(title, fontsize=10, loc="left")
        ax.set_xlabel("step")
        ax.set_ylim(bottom=0)
    early.legend(frameon=False)
    early.set_ylim(0, 1)
    whole.set_ylim(0, 1)
    figure.savefig(path)


def draw_curves(found: Found, path: Path) -> None:
    """PS_D of single and combined sets, trained and untrained: the paper's Figure 6."""
    figure, axes = new_figure(10.5, 3.2, 3)
    last = max(row["step"] for row in found["relu"])
    cases = [("sigmoid", "-0.25, 0.25"), ("sigmoid", "-0.5, 0.5"), ("relu", "0")]
    for ax, (name, points) in zip(axes, cases, strict=True):
        for kind, colour in (("single", "#d95f02"), ("combined", "#2f6fb0")):
            ax.plot(THRESHOLDS, curve(found[name], kind, last, points), color=colour, label=f"{kind}, trained")
            ax.plot(
                THRESHOLDS,
                curve(found[name], kind, 0, points),
                color=colour,
                linestyle="--",
                label=f"{kind}, untrained",
            )
        ax.set_title(f"{name}, breakpoints {points}", fontsize=10, loc="left")
        ax.set_xlabel("λ")
    axes[0].set_ylabel("share of pairs with PS > λ")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path)


def draw_layers(found: Found, path: Path) -> None:
    """Mean and variance of the post-activations by layer: the paper's Figure 1."""
    figure, axes = new_figure(7.5, 3.0, 2)
    for ax, what in zip(axes, ("mean", "variance"), strict=True):
        for name in ACTIVATIONS:
            at, values = series(found[name], f"post-activation {what}")
            ax.plot(at, values, color=COLOURS[name], marker="o", markersize=4, label=name)
        ax.set_title(f"{what} of post-activations", fontsize=10, loc="left")
        ax.set_xlabel("layer")
        ax.set_xticks(range(1, 10))
    axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(path)


def main() -> None:
    """Train one network, or report on all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("data_dir", type=Path)
    training.add_argument("results", type=Path)
    training.add_argument("--activation", choices=ACTIVATIONS, required=True)
    training.add_argument("--steps", type=int, default=24_000)
    training.add_argument("--seed", type=int, default=0)
    reporting = commands.add_parser("report")
    reporting.add_argument("results", type=Path)
    reporting.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    if arguments.command == "report":
        report(arguments.results, arguments.out)
    else:
        arguments.results.mkdir(parents=True, exist_ok=True)
        train(arguments.activation, arguments.data_dir, arguments.results, arguments.steps, arguments.seed)


if __name__ == "__main__":
    main()
