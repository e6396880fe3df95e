"""Exact regions on lines, against many samples a line, and against the forward passes alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from actscope.regions import count_on_lines, line, on_lines, read_program
from benchmarks.baselines import lines_sampling
from benchmarks.baselines.forward_only import outputs
from benchmarks.baselines.networks import NETWORKS, images
from benchmarks.measure import Row, alternating_seconds, median_seconds


def run() -> list[Row]:
    return [*_perceptron(n_lines=200, n_sampled=4), _residual()]


def _perceptron(n_lines: int, n_sampled: int) -> list[Row]:
    name = "784-3×100"
    model = NETWORKS[name]()
    x = images(2 * n_lines).flatten(1)
    starts, ends = x[::2], x[1::2]
    program = read_program(model, x)
    exact = count_on_lines(program, starts, ends)
    rows = []
    for n, goal in ((100_000, 1000.0), (1_000, None)):
        for dtype in (torch.float32, torch.float64):
            sampled = NETWORKS[name]().eval().to(dtype)
            lines = list(zip(starts[:n_sampled].to(dtype), ends[:n_sampled].to(dtype), strict=True))
            seen = [lines_sampling.count(sampled, a, b, n=n) for a, b in lines]
            naive = median_seconds(partial(_each, sampled, lines, n), repeats=3) / n_sampled
            found = f"samples find {sum(seen)} of {exact[:n_sampled].sum()}; {n_lines} lines at once"
            against = f"{n:,} samples a line, {str(dtype).removeprefix('torch.')}"
            for words, ours in (("counted", count_on_lines), ("with patterns and maps", on_lines)):
                seconds = median_seconds(partial(ours, program, starts, ends), repeats=5) / n_lines
                rows.append(Row(f"a line, {name}, {words}", against, naive, seconds, goal, found))
    return rows


def _each(model: torch.nn.Module, lines: list[tuple[torch.Tensor, torch.Tensor]], n: int) -> None:
    for start, end in lines:
        lines_sampling.count(model, start, end, n=n)


def _residual() -> Row:
    model, x = NETWORKS["residual CNN"](), images(2)
    program = read_program(model, x)
    found = line(program, x[0], x[1])
    points = found.points(np.append(found.left, found.right[-1]))
    times = alternating_seconds(partial(outputs, model, points), partial(line, program, x[0], x[1]), 5)
    what = f"a line, residual CNN, {found.n_regions:,} regions, {len(points):,} points"
    return Row(what, "the forward passes on the same points alone", *times, 0.5)
