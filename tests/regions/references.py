"""Slow, obvious counts of regions: rational arithmetic for small perceptrons, sampling for any model, and known numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actscope import encode

Numbers = tuple[Fraction, ...]
Layer = tuple[list[Numbers], Numbers]
"""The weight, one row a neuron, and the bias."""

HERE = Path(__file__).parent
GOLDEN: list[dict[str, Any]] = json.loads((HERE / "golden_regions.json").read_text())["nets"]
"""Networks with known numbers of regions: n_in, hidden_widths and seed for `golden_layers`, and the numbers."""
BOUNDS: dict[str, Any] = json.loads((HERE / "bounds_oracles.json").read_text())
"""Known values of bounds and of hyperplane arrangements."""


def golden_layers(n_in: int, hidden_widths: Sequence[int], seed: int) -> list[Layer]:
    """The hidden layers that the recipe in golden_regions.json draws."""
    state = seed

    def draw() -> Fraction:
        nonlocal state
        state = (1103515245 * state + 12345) % 2**31
        return Fraction((state >> 16) % 201 - 100, 100)

    layers = []
    for n_inputs, width in zip([n_in, *hidden_widths], hidden_widths, strict=False):
        weight = [tuple(draw() for _ in range(n_inputs)) for _ in range(width)]
        layers.append((weight, tuple(draw() for _ in range(width))))
    return layers


def layers_of(model: nn.Module) -> list[Layer]:
    """The linear layers of a model, their floats taken as the rational numbers that they are."""
    return [
        ([tuple(map(Fraction, row)) for row in module.weight.tolist()], tuple(map(Fraction, module.bias.tolist())))
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]


def model_of(layers: Sequence[Layer], *, slope: float | Fraction = 0) -> nn.Sequential:
    """Layers, each with a (Leaky) ReLU, as a float64 model whose output is the last activation."""
    modules: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.Linear(len(weight[0]), len(weight), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor([[float(w) for w in row] for row in weight], dtype=torch.float64))
            linear.bias.copy_(torch.tensor([float(b) for b in bias], dtype=torch.float64))
        modules += [linear, nn.LeakyReLU(float(slope)) if slope else nn.ReLU()]
    return nn.Sequential(*modules)


@dataclass(frozen=True)
class Cell:
    """An activation region's part of a square or a segment.

    Attributes:
        corners: of the polygon, in order, (x, y) each; or the two ends of the part of a segment, (t,) each.
        pattern: [z > 0] of every hidden neuron, layer by layer.
        output: the affine map from x, y or t to each output: its slopes, then its constant.
    """

    corners: tuple[Numbers, ...]
    pattern: tuple[bool, ...]
    output: tuple[Numbers, ...]

    @property
    def edges(self) -> set[frozenset[Numbers]]:
        """The pairs of corners that an edge joins; each end alone, of a segment."""
        if len(self.corners) == 2:
            return {frozenset([corner]) for corner in self.corners}
        return {frozenset(pair) for pair in self._sides}

    @property
    def size(self) -> Fraction:
        """The polygon's area, or the length in t."""
        if len(self.corners) == 2:
            return abs(self.corners[1][0] - self.corners[0][0])
        return abs(sum((p[0] * q[1] - q[0] * p[1] for p, q in self._sides), Fraction(0))) / 2

    @property
    def _sides(self) -> list[tuple[Numbers, Numbers]]:
        return list(zip(self.corners, self.corners[1:] + self.corners[:1], strict=True))


def cells_in_square(
    hidden: Sequence[Layer],
    half_width: int | Fraction,
    *,
    slope: float | Fraction = 0,
    output: Layer | None = None,
) -> list[Cell]:
    """The activation regions of a (Leaky) ReLU network with two inputs in the open square [-half_width, half_width]².

    Args:
        slope: of the activation below 0; a float is taken as the rational number that it is, so that no map has floats in it.
        output: the layer after the last hidden one; without it the last activations are the output.
    """
    one, zero, w = Fraction(1), Fraction(0), Fraction(half_width)
    square = ((-w, -w), (w, -w), (w, w), (-w, w))
    return _cells(square, ((one, zero, zero), (zero, one, zero)), hidden, Fraction(slope), output)


def cells_on_segment(
    hidden: Sequence[Layer],
    start: Sequence[float | Fraction],
    end: Sequence[float | Fraction],
    *,
    slope: float | Fraction = 0,
    output: Layer | None = None,
) -> list[Cell]:
    """The activation regions that a segment passes through, as parts of 0 ≤ t ≤ 1 in the order in which it does."""
    a, b = ([Fraction(value) for value in point] for point in (start, end))
    along = tuple((q - p, p) for p, q in zip(a, b, strict=True))
    cells = _cells(((Fraction(0),), (Fraction(1),)), along, hidden, Fraction(slope), output)
    return sorted(cells, key=lambda cell: sum(cell.corners[0] + cell.corners[1]))


def n_linear_regions(cells: Sequence[Cell]) -> int:
    """How many maximal connected sets of cells have one affine map to the output; cells are connected by a shared edge."""
    leader = list(range(len(cells)))

    def find(i: int) -> int:
        while leader[i] != i:
            i = leader[i]
        return i

    beside: dict[frozenset[Numbers], list[int]] = {}
    for i, cell in enumerate(cells):
        for edge in cell.edges:
            beside.setdefault(edge, []).append(i)
    for sharing in beside.values():
        for other in sharing[1:]:
            if cells[other].output == cells[sharing[0]].output:
                leader[find(other)] = find(sharing[0])
    return sum(find(i) == i for i in range(len(cells)))


def _cells(
    corners: tuple[Numbers, ...],
    inputs: tuple[Numbers, ...],
    hidden: Sequence[Layer],
    slope: Fraction,
    output: Layer | None,
) -> list[Cell]:
    cells = [Cell(corners, (), inputs)]
    for layer in hidden:
        cells = [part for cell in cells for part in _split(cell, layer, slope)]
    if output is None:
        return cells
    return [Cell(cell.corners, cell.pattern, _after(cell.output, output)) for cell in cells]


def _split(cell: Cell, layer: Layer, slope: Fraction) -> list[Cell]:
    """The parts of a cell that the neurons of a layer cut it into, one neuron after the other."""
    z = _after(cell.output, layer)
    parts = [Cell(cell.corners, cell.pattern, ())]
    for row in z:
        halves = []
        for part in parts:
            values = [_at(row, corner) for corner in part.corners]
            if min(values) >= 0 or max(values) <= 0:
                on = max(values) > 0
                halves.append(Cell(part.corners, (*part.pattern, on), (*part.output, _activated(row, on, slope))))
                continue
            for on, signed in ((False, [-value for value in values]), (True, values)):
                inside = _positive_part(part.corners, signed)
                halves.append(Cell(inside, (*part.pattern, on), (*part.output, _activated(row, on, slope))))
        parts = halves
    return parts


def _after(maps: Sequence[Numbers], layer: Layer) -> tuple[Numbers, ...]:
    """The affine maps that a layer makes of its inputs' affine maps."""
    zero, rows = Fraction(0), []
    for weights, bias in zip(*layer, strict=True):
        row = [sum((w * x for w, x in zip(weights, column, strict=True)), zero) for column in zip(*maps, strict=True)]
        rows.append((*row[:-1], row[-1] + bias))
    return tuple(rows)


def _at(row: Numbers, corner: Numbers) -> Fraction:
    return sum((slope * x for slope, x in zip(row, corner, strict=False)), row[-1])


def _activated(row: Numbers, on: bool, slope: Fraction) -> Numbers:
    return row if on else tuple(slope * number for number in row)


def _positive_part(corners: tuple[Numbers, ...], values: Sequence[Fraction]) -> tuple[Numbers, ...]:
    kept = []
    for i, (corner, value) in enumerate(zip(corners, values, strict=True)):
        before, value_before = corners[i - 1], values[i - 1]
        if value * value_before < 0:
            share = value_before / (value_before - value)
            kept.append(tuple(p + share * (q - p) for p, q in zip(before, corner, strict=True)))
        if value >= 0:
            kept.append(corner)
    return tuple(dict.fromkeys(kept))  # both edges of a segment, there and back, are cut at one point


def switches_by_sampling(
    model: nn.Module, start: Tensor, end: Tensor, *, n: int = 1000, tolerance: float = 1e-9, **chosen: Any
) -> np.ndarray:
    """Where the activation pattern changes between two inputs, ascending t in [0, 1]: there are regions one more than these.

    ``n`` even samples in float64; then every interval with different patterns at its ends is halved until it is no longer than
    ``tolerance``. Regions of a piecewise-linear model are convex, so nothing hides between equal patterns, and only a region shorter
    than ``tolerance`` is missed; where they are not, ``n`` has to be large.

    Args:
        start, end: one input each, without a batch axis.
        chosen: what `actscope.encode` reads: `layers`, `breakpoints`, …
    """
    a, b = start.double(), end.double()

    def read(t: np.ndarray) -> np.ndarray:
        steps = torch.from_numpy(t).reshape(-1, *[1] * a.ndim)
        return encode(model, torch.lerp(a, b, steps), dtype=torch.float64, progress=False, **chosen).packed

    t = np.linspace(0, 1, n)
    packed = read(t)
    while True:
        changes = np.flatnonzero((packed[1:] != packed[:-1]).any(axis=1))
        wide = changes[t[changes + 1] - t[changes] > tolerance]
        if not len(wide):
            return (t[changes] + t[changes + 1]) / 2
        between = (t[wide] + t[wide + 1]) / 2
        packed = np.insert(packed, wide + 1, read(between), axis=0)
        t = np.insert(t, wide + 1, between)
