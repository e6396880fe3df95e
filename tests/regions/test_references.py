"""The slow counts themselves, against known numbers, the model, and each other."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from tests.regions.references import (
    BOUNDS,
    GOLDEN,
    Cell,
    Layer,
    cells_in_square,
    cells_on_segment,
    golden_layers,
    layers_of,
    model_of,
    n_linear_regions,
    switches_by_sampling,
)
from torch import nn

from actscope import encode
from actscope.training import MLP

HALF = Fraction(1, 2)
TENT: Layer = ([(Fraction(1),), (Fraction(1),)], (Fraction(0), -HALF))
TENT_AGAIN: Layer = ([(Fraction(2), Fraction(-4))] * 2, (Fraction(0), -HALF))
TENT_END: Layer = ([(Fraction(2), Fraction(-4))], (Fraction(0),))

golden = pytest.mark.parametrize("net", GOLDEN, ids=lambda net: f"{net['hidden_widths']} seed {net['seed']}")
slopes = pytest.mark.parametrize("slope", [Fraction(0), Fraction(1, 4)], ids=["ReLU", "LeakyReLU"])


def layers_for(net: dict[str, Any]) -> list[Layer]:
    return golden_layers(net["n_in"], net["hidden_widths"], net["seed"])


def small_layers(seed: int = 3) -> list[Layer]:
    return golden_layers(2, [5, 4], seed)


def centre(cell: Cell) -> list[float]:
    return [float(sum(axis) / len(cell.corners)) for axis in zip(*cell.corners, strict=True)]


@golden
def test_known_numbers_of_regions_in_squares_are_found(net: dict[str, Any]) -> None:
    known = {int(half_width): n for half_width, n in net["square_half_width_to_regions"].items()}
    assert {w: len(cells_in_square(layers_for(net), w)) for w in known} == known


@golden
def test_known_numbers_of_regions_on_a_segment_are_found(net: dict[str, Any]) -> None:
    found = cells_on_segment(layers_for(net), (-1000, 0), (1000, 0))
    assert len(found) == net["segments_on_y0_from_x_minus_1000_to_1000"]


@pytest.mark.parametrize("n_neurons", [3, 5, 8])
def test_lines_in_general_position_make_as_many_regions_as_zaslavsky_says(n_neurons: int) -> None:
    lines = golden_layers(2, [n_neurons], seed=1)
    assert len(cells_in_square(lines, 10**6)) == BOUNDS["arrangement_regions_general_position"]["d=2"][str(n_neurons)]


@pytest.mark.parametrize("k", range(1, 7))
def test_the_tent_map_has_two_to_the_k_linear_pieces(k: int) -> None:
    hidden = [TENT] + [TENT_AGAIN] * (k - 1)
    assert n_linear_regions(cells_on_segment(hidden, [0], [1], output=TENT_END)) == 2**k


@slopes
def test_areas_add_up_to_the_square(slope: Fraction) -> None:
    assert sum(cell.size for cell in cells_in_square(small_layers(), 2, slope=slope)) == 16


@slopes
def test_lengths_add_up_to_the_segment_without_gaps(slope: Fraction) -> None:
    cells = cells_on_segment(small_layers(), (-2, 1), (3, -1), slope=slope)
    ends = [t for cell in cells for (t,) in sorted(cell.corners)]
    assert ends == sorted(ends)
    assert sum(cell.size for cell in cells) == 1


def test_every_edge_inside_the_square_is_an_edge_of_two_cells() -> None:
    edges = Counter(edge for cell in cells_in_square(small_layers(), 2) for edge in cell.edges)
    on_border = {edge for edge in edges if any({abs(corner[axis]) for corner in edge} == {2} for axis in (0, 1))}
    assert {n for edge, n in edges.items() if edge not in on_border} == {2}
    assert {edges[edge] for edge in on_border} == {1}


@slopes
def test_pattern_and_local_map_of_each_cell_are_the_models(slope: Fraction) -> None:
    cells = cells_in_square(small_layers(), 2, slope=slope)
    model = model_of(small_layers(), slope=slope)
    points = torch.tensor([centre(cell) for cell in cells], dtype=torch.float64)
    assert encode(model, points, dtype=torch.float64).bits().tolist() == [list(cell.pattern) for cell in cells]
    maps = np.array([cell.output for cell in cells], dtype=np.float64)
    expected = np.einsum("cok,ck->co", maps[..., :-1], points) + maps[..., -1]
    np.testing.assert_allclose(model(points).detach(), expected, rtol=0, atol=1e-13)


def test_a_neuron_that_is_zero_everywhere_is_off() -> None:
    silent: Layer = ([(Fraction(0), Fraction(0))], (Fraction(0),))
    assert [cell.pattern for cell in cells_in_square([silent], 1)] == [(False,)]


def test_no_two_cells_share_a_pattern() -> None:
    patterns = [cell.pattern for cell in cells_in_square(small_layers(), 2)]
    assert len(set(patterns)) == len(patterns)


def test_a_slope_of_one_leaves_one_linear_region_however_many_activation_regions() -> None:
    cells = cells_in_square(small_layers(), 2, slope=Fraction(1))
    assert len(cells) > 10
    assert n_linear_regions(cells) == 1


def test_linear_regions_join_where_a_dead_layer_hides_what_changes() -> None:
    dead: Layer = ([(Fraction(0),) * 5], (Fraction(-1),))
    cells = cells_in_square([small_layers()[0], dead], 2)
    assert len(cells) > 5
    assert n_linear_regions(cells) == 1


@pytest.mark.parametrize("seed", range(8))
@slopes
def test_sampling_finds_the_switches_that_rational_arithmetic_finds(seed: int, slope: Fraction) -> None:
    layers = golden_layers(3, [6, 5, 4], seed)
    start, end = (-2.0, 1.0, 0.5), (3.0, -1.0, 0.25)
    exact = cells_on_segment(layers, start, end, slope=slope)
    sampled = switches_by_sampling(model_of(layers, slope=slope), torch.tensor(start), torch.tensor(end), n=50)
    np.testing.assert_allclose(sampled, [float(max(cell.corners)[0]) for cell in exact[:-1]], rtol=0, atol=1e-9)


def test_sampling_counts_the_breakpoints_that_are_asked_for() -> None:
    start, end = torch.tensor([-3.0]), torch.tensor([3.0])
    switches = switches_by_sampling(nn.ReLU(), start, end, n=10, breakpoints=(-1.0, 1.0))
    np.testing.assert_allclose(switches, [1 / 3, 2 / 3], rtol=0, atol=1e-9)


def test_layers_of_a_model_are_its_floats_exactly() -> None:
    model = MLP(2, [4], 3, seed=1)
    (weight, bias), output = layers_of(model)
    assert [[float(w) for w in row] for row in weight] == model.linear1.weight.tolist()
    assert [float(b) for b in bias] == model.linear1.bias.tolist()
    assert len(output[0]) == 3
