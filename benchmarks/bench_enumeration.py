"""Facets of one polytope, and all regions in a box, against a linear program for each halfspace."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from actscope.regions import read_program
from actscope.regions.enumeration import enumerate_regions
from actscope.regions.polytopes import polytope
from actscope.training import MLP
from benchmarks.baselines.cells_flipping import cells_by_flipping, irredundant
from benchmarks.baselines.networks import layers_of
from benchmarks.measure import Row, median_seconds

SAMPLED_ROWS = 16
SAMPLED_CELLS = 40
BOXES = ((2, [32, 32]), (3, [16, 16]), (4, [8, 8]))


def run() -> list[Row]:
    return [_facets(784, [64, 64]), _facets(16, [64, 64]), *(_enumeration(d, widths) for d, widths in BOXES)]


def _facets(d: int, widths: list[int]) -> Row:
    model = MLP(d, widths, 10, init="he", seed=0)
    x = torch.rand(d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    program = read_program(model, x[None])
    found = polytope(program, x)
    rows = range(0, len(found.b), -(-len(found.b) // SAMPLED_ROWS))
    by_programs = median_seconds(partial(irredundant, found.A, found.b, rows), repeats=1, warmup=0)
    if irredundant(found.A, found.b, rows) != [row for row in rows if row in found.facets]:
        raise RuntimeError("the two ways find other facets")
    return Row(
        f"facets of one polytope, {d}-{'-'.join(map(str, widths))}: {len(found.facets)} of {len(found.b)} halfspaces",
        "a linear program for each halfspace",
        by_programs * len(found.b) / len(rows),
        median_seconds(partial(polytope, program, x), repeats=3),
        None,
        note=f"extrapolated from {len(rows)} halfspaces; ours includes the network and the inner ball",
    )


def _enumeration(d: int, widths: list[int]) -> Row:
    model = MLP(d, widths, 1, init="torch", seed=0)
    hidden = layers_of(model)[:-1]
    start = np.random.default_rng(0).uniform(-1, 1, d)
    program = read_program(model, torch.zeros(1, d))
    count = enumerate_regions(program, (-3.0, 3.0)).n_cells
    plain = partial(cells_by_flipping, hidden, 3.0, start, most=SAMPLED_CELLS)
    return Row(
        f"all {count:,} regions in a box, {d}-{'-'.join(map(str, widths))}",
        "linear programs and flipped bits",
        median_seconds(plain, repeats=1, warmup=0) * count / SAMPLED_CELLS,
        median_seconds(partial(enumerate_regions, program, (-3.0, 3.0)), repeats=3, warmup=0),
        None,
        note=f"extrapolated from {SAMPLED_CELLS} regions; ours includes balls, volumes, local maps and adjacency",
    )
