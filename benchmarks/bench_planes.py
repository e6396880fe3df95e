"""Exact regions in planes, against polygon by polygon in numpy, a grid of forward passes, and the forward passes alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from actscope.regions import Plane, count_in_plane, plane, read_program
from benchmarks.baselines import planes_grid, planes_numpy
from benchmarks.baselines.forward_only import outputs
from benchmarks.baselines.networks import NETWORKS, images, layers_of
from benchmarks.baselines.windows import Window, square, through
from benchmarks.measure import Row, alternating_seconds, median_seconds

UNIT = (-1.0, 1.0, -1.0, 1.0)


def run() -> list[Row]:
    three = images(3).flatten(1)
    cases: list[tuple[str, Window, Plane | None]] = [
        ("2-3×32", square(1.0), None),
        ("784-3×32", through(three, margin=1.25), Plane.through(*three)),
        ("2-3×128", square(1.0), None),
    ]
    return [row for case in cases for row in _perceptron(*case)] + [_whole(), _residual()]


def _perceptron(name: str, window: Window, section: Plane | None) -> list[Row]:
    model = NETWORKS[name]()
    section = section or Plane(torch.zeros(2), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    # the same window of the same plane: its corners in our coordinates
    corners = section.coordinates(
        window.lift(np.array([[window.bounds[0], window.bounds[2]], [window.bounds[1], window.bounds[3]]]))
    )
    bounds = (*sorted(corners[:, 0].tolist()), *sorted(corners[:, 1].tolist()))
    program = read_program(model, section.origin[None])
    with_geometry, counted = (
        partial(plane, program, section, window=bounds),
        partial(count_in_plane, program, section, window=bounds),
    )
    n = counted()
    naive = partial(planes_numpy.polygons, layers_of(model), window)
    n_naive = len(naive())
    rows, ours_seconds = [], 0.0
    for words, ours in (("counted", counted), ("with geometry", with_geometry)):
        times = alternating_seconds(naive, ours, 7)
        ours_seconds = times[1]
        speed = f"{n:,} regions ({n_naive:,} polygon by polygon), {n / times[1]:,.0f} a second"
        rows.append(Row(f"plane, {name}, {words}", "polygon by polygon, numpy", *times, 20.0, speed))
    seen = planes_grid.count(model, window)
    seconds = median_seconds(partial(planes_grid.count, model, window), repeats=1, warmup=0)
    note = f"the grid finds {seen:,} of {n:,}"
    rows.append(
        Row(f"plane, {name}, with geometry", "a 1000² grid of passes, float32", seconds, ours_seconds, 10.0, note)
    )
    return rows


def _whole() -> Row:
    name = "2-3×32"
    model = NETWORKS[name]()
    program = read_program(model, torch.zeros(1, 2))
    n_naive = len(planes_numpy.polygons(layers_of(model), square(1e6)))
    times = alternating_seconds(
        partial(planes_numpy.polygons, layers_of(model), square(1e6)), partial(plane, program, window=None), 5
    )
    n = plane(program, window=None).n_regions
    return Row(
        f"whole plane, {name}", "a square of 2e6, numpy", *times, None, f"{n:,} regions ({n_naive:,} in the square)"
    )


def _residual() -> Row:
    model, x = NETWORKS["residual CNN"](), images(3)
    section = Plane.through(*x)
    program = read_program(model, x)
    window = (-0.03, 0.03, -0.03, 0.03)
    found = plane(program, section, window=window)
    points = section.points(found.places[:, :2])
    times = alternating_seconds(partial(outputs, model, points), partial(plane, program, section, window=window), 3)
    what = f"plane, residual CNN, {found.n_cells:,} cells, {len(points):,} points"
    return Row(what, "the forward passes on the same points alone", *times, 0.5)
