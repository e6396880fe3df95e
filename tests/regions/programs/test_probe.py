"""A probe computes what the model computes, at points, at infinity, and at combinations of what it knows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.regions.model_grammar import random_model, tensor_of
from torch import Tensor, nn

import actscope
from actscope.regions import Program, read_program
from actscope.regions.programs.probe import Probe
from actscope.regions.programs.program import ChoiceStep, SiteStep

SEEDS = range(50)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def random_points(shape: tuple[int, ...], n: int, seed: int = 0) -> Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def forward(model: nn.Module, points: Tensor) -> Tensor:
    with torch.no_grad():
        return tensor_of(copy.deepcopy(model).double()(points)).flatten(1)


def run(probe: Probe) -> Tensor:
    while probe.advance() is not None:
        pass
    return probe.output


def cells(program: Program, points: Tensor) -> list[tuple[bytes, ...]]:
    """For each point, on which side of every level it is at every stop, and which entries are the largest."""
    probe = Probe(program, points)
    found: list[np.ndarray] = []
    while (step := probe.advance()) is not None:
        z = probe.z.numpy()
        if isinstance(step, SiteStep):
            found.append(np.concatenate([z > level for level in step.levels], axis=1))
        else:
            entries = np.where(step.windows < 0, -np.inf, z[:, step.windows])
            found.append(entries.argmax(axis=2))
    return [tuple(each[row].tobytes() for each in found) for row in range(len(points))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_output_is_the_models_whatever_the_number_of_points(seed: int) -> None:
    model, shape = random_model(seed)
    program = read_program(model, torch.randn(1, *shape))
    for n in (1, 2, 7):
        points = random_points(shape, n, seed)
        torch.testing.assert_close(run(Probe(program, points)), forward(model, points), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_at_a_direction_the_output_is_what_the_model_grows_by_far_out(seed: int) -> None:
    model, shape = random_model(seed)
    program = read_program(model, torch.randn(1, *shape))
    directions = random_points(shape, 3, seed)
    far = 1e9
    grown = forward(model, far * directions) / far
    points = torch.cat([directions, torch.ones(1, *shape), directions[:1]])
    output = run(Probe(program, points, weights=np.array([0.0, 0, 0, 1, 0])))
    torch.testing.assert_close(output[:3], grown, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(output[4:], grown[:1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(output[3:4], forward(model, points[3:4]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_combination_of_points_of_one_cell_is_carried_on_as_the_combined_point(seed: int) -> None:
    model, shape = random_model(seed)
    program = read_program(model, torch.randn(1, *shape))
    start = random_points(shape, 1, seed)
    points = torch.cat([start, start + 1e-5 * random_points(shape, 1, seed + 1)])
    factors = torch.tensor([[0.3, 0.7], [1.0, 0.0]], dtype=torch.float64)
    one, other = cells(program, points)
    assert one == other
    stops = sum(isinstance(step, (SiteStep, ChoiceStep)) for step in program.steps)
    for stop in range(stops):  # wherever the points are combined
        probe = Probe(program, points)
        for _ in range(stop + 1):
            probe.advance()
        probe.grow(lambda rows, first: torch.cat([rows, factors @ rows[first:]]), np.ones(2))
        assert probe.n_points == 4
        combined = (factors @ points.flatten(1)).reshape(2, *shape)
        torch.testing.assert_close(run(probe)[2:], forward(model, combined), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_a_point_moved_along_a_direction_in_an_unbounded_cell_is_carried_on_as_the_moved_point(seed: int) -> None:
    model, shape = random_model(seed)
    program = read_program(model, torch.randn(1, *shape))
    direction = random_points(shape, 1, seed)
    points = torch.cat([1e6 * direction, direction])
    probe = Probe(program, points, weights=np.array([1.0, 0.0]))
    probe.advance()
    probe.grow(
        lambda rows, first: torch.cat([rows, rows[first : first + 1] + 1e6 * rows[first + 1 : first + 2]]), np.ones(1)
    )
    expected = forward(model, 2e6 * direction)
    torch.testing.assert_close(run(probe)[2:], expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_selected_points_go_on_as_they_would_have(seed: int) -> None:
    model, shape = random_model(seed)
    program = read_program(model, torch.randn(1, *shape))
    points, rows = random_points(shape, 5, seed), np.array([3, 0, 4])
    for weights in (None, np.array([1.0, 0, 0, 1, 0])):
        whole, probe = Probe(program, points, weights=weights), Probe(program, points, weights=weights)
        probe.advance()
        part = probe.select(rows)
        z = probe.z
        assert torch.equal(part.z, z[rows])
        assert part.weights.tolist() == probe.weights[rows].tolist()
        torch.testing.assert_close(run(part), run(whole)[rows], rtol=1e-12, atol=1e-12)
        assert torch.equal(probe.z, z)


@pytest.mark.parametrize("seed", SEEDS)
def test_signs_at_the_sites_are_the_codes_of_the_model(seed: int) -> None:
    model, shape = random_model(seed)
    program = read_program(model, torch.randn(1, *shape))
    chosen = [step for step in program.steps if isinstance(step, SiteStep) and step.site is not None]
    # `encode` wants a row for each example
    names = [s.name for s in chosen if (program.layouts[s.register].axis, program.layouts[s.register].span) == (0, 1)]
    program = read_program(model, torch.randn(1, *shape), layers=names)
    points = random_points(shape, 7, seed)
    probe, planes = Probe(program, points), []
    while (step := probe.advance()) is not None:
        if isinstance(step, SiteStep) and step.site is not None:
            planes += [
                np.packbits(probe.z.numpy() > level, axis=1, bitorder="little") for level in step.site.breakpoints
            ]
    codes = actscope.encode(model, points, layers=names, dtype=torch.float64)
    assert np.array_equal(np.concatenate(planes, axis=1), codes.packed)


def test_a_constant_minus_infinity_is_never_the_largest_for_points_and_directions() -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(x)
            return torch.nn.functional.pad(x, (1, 0), value=-torch.inf).amax(dim=1, keepdim=True)

    points = torch.tensor([[1.0, 2.0], [1.0, 3.0], [-1.0, -3.0]], dtype=torch.float64)
    program = read_program(Masked(), points[:1])
    assert run(Probe(program, points, weights=np.array([1.0, 0.0, 0.0]))).tolist() == [[2.0], [3.0], [0.0]]


def test_a_constant_beside_the_input_counts_for_nothing_at_infinity() -> None:
    class Floored(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = torch.relu(x)
            return torch.cat([torch.maximum(y, torch.full_like(x, 3.0)), torch.minimum(y, torch.tensor(5.0))], dim=1)

    points = torch.tensor([[1.0], [4.0], [9.0], [1.0]], dtype=torch.float64)
    output = run(Probe(read_program(Floored(), points[:1]), points, weights=np.array([1.0, 1, 1, 0])))
    assert output.tolist() == [[3, 1], [4, 4], [9, 5], [1, 0]]


def test_the_points_given_stay_as_they_are() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2))
    points = random_points((3,), 4)
    before = points.clone()
    run(Probe(read_program(model, points[:1]), points, weights=np.array([1.0, 0, 1, 0])))
    assert torch.equal(points, before)


ADDING = {
    "a number": lambda y: y + 1.5,
    "a number less": lambda y: y - 1,
    "less than a number": lambda y: 2 - y,
    "padding": lambda y: torch.nn.functional.pad(y, (1, 0), value=3),
    "filling": lambda y: torch.cat([y, y.clone().fill_(2.0)], dim=1),
    "writing": lambda y: torch.cat([y, y.clone().zero_() + 1], dim=1),
    "masking": lambda y: y.masked_fill(torch.tensor([True, False]), 4.0),
}


@pytest.mark.parametrize("form", ADDING)
def test_what_an_operation_adds_counts_for_nothing_at_infinity(form: str) -> None:
    class Added(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ADDING[form](torch.relu(x))

    directions = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    output = run(Probe(read_program(Added(), directions[:1]), directions, weights=np.zeros(2)))
    torch.testing.assert_close(output, forward(Added(), 1e9 * directions) / 1e9, rtol=1e-6, atol=1e-6)


def test_nothing_is_kept_for_gradients() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    points = random_points((3,), 2).requires_grad_()
    output = run(Probe(read_program(model, points[:1]), points, weights=np.array([1.0, 0.0])))
    assert not output.requires_grad


def test_z_away_from_a_stop_is_an_error() -> None:
    probe = Probe(read_program(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.ones(1, 2)), torch.ones(1, 2).double())
    with pytest.raises(RuntimeError, match="not at a stop"):
        _ = probe.z


def test_directions_cannot_join_a_probe_that_began_without_any() -> None:
    probe = Probe(read_program(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.ones(1, 2)), torch.ones(1, 2).double())
    probe.advance()
    with pytest.raises(ValueError, match="began without directions"):
        probe.grow(lambda rows, first: torch.cat([rows, rows]), np.zeros(1))
