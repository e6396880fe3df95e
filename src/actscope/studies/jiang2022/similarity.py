"""Pattern similarity of single and combined sets, and through training (Jiang et al. 2022, Section VI-C and D, Figures 6 to 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.studies.cells import Cell
from actscope.studies.claims import Claim
from actscope.studies.jiang2022.fcnn import ACTIVATIONS, NORMALIZATIONS, RECIPES, fcnn_cell, train_and_look
from actscope.studies.jiang2022.patterns import PAIR_SPLITS, SPLITS, Patterns, split_name
from actscope.studies.jiang2022.similarityclaims import j1, j6, j7, j15
from actscope.studies.jiang2022.similarityfigures import curves_figure, layers_figure, training_figure
from actscope.studies.results import Row
from actscope.studies.study import Grid, Place, Study
from actscope.training import LabelledData, evaluate

__all__ = ["SIMILARITY", "pairs_with_different_labels", "share_of_pairs_above"]

_VERSION = 1
THRESHOLDS = tuple(round(i / 50, 2) for i in range(51))


def _cells(grid: Grid) -> list[Cell]:
    printed = {"smoke": 40, "small": 24_000, "paper": 24_000}[grid.scale]
    # without normalization nothing moves for thousands of steps; what weight decay does takes all of them
    steps = {"before": printed, "after": printed if grid.recipe else min(printed, 1500), "none": min(printed, 200)}
    pairs, combined, single = {"smoke": (40, 40, 15), "small": (1000, 500, 200), "paper": (1000, 1000, 1000)}[
        grid.scale
    ]
    return [
        fcnn_cell(
            SIMILARITY.name,
            _VERSION,
            grid,
            activation=activation,
            normalization=normalization,
            steps=printed if grid.scale == "paper" else steps[normalization],
            pairs=pairs,
            combined=combined,
            single=single,
        )
        for normalization in NORMALIZATIONS
        for activation in ACTIVATIONS
    ]


def looked_at(n_steps: int) -> list[int]:
    """When: every 5 steps at first, every 100 later, as in the paper, and at the end."""
    return sorted({*range(0, min(200, n_steps) + 1, 5), *range(0, n_steps + 1, 100), n_steps})


def pairs_with_different_labels(data: LabelledData, n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the two examples of `n` drawn pairs, fewer if there are not so many.

    Example:
        >>> data = LabelledData(torch.zeros(4, 1), torch.tensor([0, 0, 1, 1]), name="four")
        >>> one, other = pairs_with_different_labels(data, 3, seed=0)
        >>> (data.tensors[1][one] != data.tensors[1][other]).all().item()
        True
    """
    y = data.tensors[1]
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randint(len(y), (2, 20 * n), generator=generator)
    different = y[one] != y[other]
    return one[different][:n], other[different][:n]


def share_of_pairs_above(intervals: NDArray[np.uint8], thresholds: Sequence[float]) -> NDArray[np.float64]:
    """PS_D(λ): the share of pairs of different rows whose similarity is above each threshold (Jiang et al. 2022, (27)).

    Example:
        >>> share_of_pairs_above(np.array([[0, 1], [0, 1], [1, 1]], np.uint8), [0.4, 0.5])
        array([1.        , 0.33333333])
    """
    n, n_neurons = intervals.shape
    agreeing = np.zeros((n, n), np.float32)
    for k in range(int(intervals.max()) + 1):
        here = (intervals == k).astype(np.float32)
        agreeing += here @ here.T
    similarity = agreeing[np.triu_indices(n, 1)].astype(np.float64) / n_neurons
    return np.array([(similarity > threshold).mean() for threshold in thresholds])


class _Look:
    """What one network is looked at with, and what is seen of it."""

    def __init__(self, cell: Cell, test: LabelledData) -> None:
        self.cell, self.rows = cell, list[Row]()
        x, y = test.tensors
        seed = cell["seed"]
        self.one, self.other = pairs_with_different_labels(test, cell["pairs"], seed=seed)
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed + 1))
        self.x, self.y = x, y
        self.combined = order[: cell["combined"]]
        self.single = [order[y[order] == label][: cell["single"]] for label in range(test.n_classes)]

    def patterns(self, which: Tensor, model: nn.Module, *, batch_statistics: bool = False) -> Patterns:
        return Patterns(
            model,
            self.x[which],
            activation=self.cell["activation"],
            normalized_before=self.cell["normalization"] == "before",
            batch_statistics=batch_statistics,
        )

    def __call__(self, step: int, model: nn.Module) -> list[Row]:
        self.rows = []
        n, last = len(self.one), self.cell["steps"]
        both = self.patterns(torch.cat([self.one, self.other]), model)
        distance = (both.logits[:n] - both.logits[n:]).norm(dim=1)
        self.add("prediction distance", float(distance.mean()))
        self.add("prediction distance deviation", float(distance.std()))
        for reading in both.readings:
            for split in SPLITS[self.cell["activation"]]:
                where = {"reading": reading, "breakpoints": split_name(split)}
                intervals = both.intervals(reading, split)
                agreeing = intervals[:n] == intervals[n:]
                self.add("similarity", float(agreeing.mean()), **where)
                if step in (0, last):
                    for layer, part in enumerate(both.by_layer(agreeing.astype(np.uint8)), start=1):
                        self.add("similarity of a layer", float(part.mean()), layer=layer, **where)
                    counts = np.stack([intervals == k for k in range(len(split) + 1)])
                    by_neuron, by_example = (float(counts.mean(axis=axis).max(axis=0).mean()) for axis in (1, 2))
                    self.add("share in the neuron's commonest interval", by_neuron, **where)
                    self.add("share in the example's commonest interval", by_example, **where)
        if step in (0, last):
            self.sets(model)
        if step == last:
            alike = self.patterns(torch.cat([self.one, self.other]), model, batch_statistics=True)
            intervals = alike.intervals("pre-activation", PAIR_SPLITS[self.cell["activation"]])
            self.add("similarity by batch statistics", float((intervals[:n] == intervals[n:]).mean()))
            self.add("accuracy", evaluate(model, (self.x, self.y)).accuracy)
            self.layers(model)
        return self.rows

    def sets(self, model: nn.Module) -> None:
        """PS_D of the combined set, and its mean over the sets of one label."""
        for name, sets in (("combined", [self.combined]), ("single", self.single)):
            every = [self.patterns(one, model) for one in sets if len(one) > 1]
            for reading in every[0].readings:
                for split in SPLITS[self.cell["activation"]]:
                    shares = [share_of_pairs_above(one.intervals(reading, split), THRESHOLDS) for one in every]
                    where = {"reading": reading, "breakpoints": split_name(split), "set": name}
                    for threshold, share in zip(THRESHOLDS, np.mean(shares, axis=0), strict=True):
                        self.add("share of pairs", float(share), threshold=threshold, **where)

    def layers(self, model: nn.Module) -> None:
        """Mean and variance of each layer's post-activations on the examples of the pairs."""
        found: list[Tensor] = []
        names = [f"{self.cell['activation']}{k}" for k in range(1, self.cell["depth"] + 1)]
        hooks = [
            model.get_submodule(name).register_forward_hook(lambda module, inputs, output: found.append(output))
            for name in names
        ]
        model.eval()
        with torch.no_grad():
            model(self.x[torch.cat([self.one, self.other])].to(next(model.parameters()).device))
        for hook in hooks:
            hook.remove()
        for layer, values in enumerate(found, start=1):
            self.add("post-activation mean", float(values.mean()), layer=layer)
            self.add("post-activation variance", float(values.var()), layer=layer)

    def add(self, metric: str, value: float, **where: str | float) -> None:
        self.rows.append({"metric": metric, **where, "value": value})


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    for cell in cells:
        _, rows = train_and_look(cell, place, looked_at(cell["steps"]), _Look(cell, place.data(cell["dataset"])[1]))
        yield cell, rows


SIMILARITY = Study(
    name="jiang2022.similarity",
    title="Pattern similarity of single and combined sets and through training, by activation, normalization and what is split",
    source="Jiang et al. 2022, Figures 6, 7 and 8",
    datasets=("mnist",),
    cells=_cells,
    recipes=RECIPES,
    measure=_measure,
    figures={"training": training_figure, "curves": curves_figure, "layers": layers_figure},
    claims=tuple(Claim(name, check, ("mnist",)) for name, check in (("J1", j1), ("J6", j6), ("J7", j7), ("J15", j15))),
    together=("normalization", "activation"),
    notes=(
        "The paper does not say where normalization stands nor on what breakpoints are put, so all are here: normalization before or after "
        "each activation or none, breakpoints on linear layers' outputs (w·z + b, as Definition 1 words it), on pre-activations (the "
        "same, normalized) or on post-activations. At small scale only networks normalized before the activation are trained for the "
        "printed 24,000 steps, those normalized after it for 1,500, and those without normalization for 200. "
        "`--recipe jiang2022.decay` adds momentum 0.9 and weight decay 5e-4, which the paper does not name; there those normalized after "
        "it are trained for 24,000 too."
    ),
)
