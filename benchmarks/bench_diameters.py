"""Exact diameters, against samples on the same lines, bisection, and the forward passes alone."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from actscope.regions import read_program
from actscope.regions.diameters import diameter
from benchmarks.baselines.diameters_sampling import by_bisection, by_samples
from benchmarks.baselines.forward_only import outputs
from benchmarks.baselines.networks import NETWORKS, images
from benchmarks.measure import Row, alternating_seconds

HALF_LENGTH = 2.0
"""How far samples and bisection look; hardly a region reaches further."""


def run() -> list[Row]:
    return [*_perceptron(n=1024), _residual(n=256)]


def _perceptron(n: int) -> list[Row]:
    name = "784-3×100"
    x = images(n).flatten(1)
    directions = _unit(x, seed=1)
    ours = partial(diameter, read_program(NETWORKS[name](), x), x, directions=directions[:, None])
    exact = torch.from_numpy(ours().length[:, 0])
    rows = []
    for dtype in (torch.float64, torch.float32):
        model, lines = NETWORKS[name]().eval().to(dtype), (x.to(dtype), directions.to(dtype))
        sampled = partial(by_samples, model, *lines, half_length=HALF_LENGTH)
        bisected = partial(by_bisection, model, *lines, half_length=HALF_LENGTH)
        precision = str(dtype).removeprefix("torch.")
        for words, naive, goal, lengths in (
            ("200 samples a line", sampled, 80.0, sampled()),
            ("bisection", bisected, 20.0, sum(bisected())),
        ):
            times = alternating_seconds(naive, ours, 3)
            rows.append(Row(f"{n:,} diameters, {name}", f"{words}, {precision}", *times, goal, _error(lengths, exact)))
    return rows


def _residual(n: int) -> Row:
    model, x = NETWORKS["residual CNN"](), images(n)
    directions = _unit(x, seed=1)
    ours = partial(diameter, read_program(model, x), x, directions=directions[:, None])
    forward = partial(outputs, model, torch.cat([x, directions]))
    return Row(
        f"{n:,} diameters, residual CNN", "the forward passes alone", *alternating_seconds(forward, ours, 7), 0.5
    )


def _unit(x: Tensor, *, seed: int) -> Tensor:
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit: Tensor = drawn / torch.linalg.vector_norm(drawn.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
    return unit


def _error(found: Tensor | int, exact: Tensor) -> str:
    errors = (torch.as_tensor(found) - exact).abs() / exact
    within = errors[exact < HALF_LENGTH]
    return f"its error: median {within.median():.1g}, worst {within.max():.1g} of the length"
