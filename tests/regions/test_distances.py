"""Distances to the boundary, halfspaces and affine maps, against membership by forward passes and against many directions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.regions.membership import in_cells_of
from tests.regions.model_grammar import random_model
from torch import Tensor, nn

from actscope.regions import read_program
from actscope.regions.diameters import diameter
from actscope.regions.distances import distance_to_boundary
from actscope.regions.halfspaces import halfspaces
from actscope.regions.programs.linearization import Linearizer


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mlp(n_in: int, *widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in zip((n_in, *widths), widths, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_point_satisfies_all_halfspaces_exactly_if_it_lies_in_the_cell(seed: int) -> None:
    model, shape = random_model(seed)
    points = normal(3, *shape, seed=seed)
    program = read_program(model, points)
    linearizer = Linearizer(program)
    for i, found in enumerate(halfspaces(program, points)):
        others = points[i] + normal(60, *shape, seed=seed + i) * torch.logspace(-3, 1, 60).reshape(
            -1, *[1] * len(shape)
        )
        slack = found.b - others.flatten(1).numpy() @ found.A.T
        inside = in_cells_of(linearizer, points[i].expand_as(others), others)
        clear = (np.abs(slack) > 1e-9).all(axis=1)
        assert ((slack > 0).all(axis=1) == inside)[clear].all()
        assert (found.b >= points[i].flatten().numpy() @ found.A.T - 1e-9).all()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_distance_is_the_smallest_to_any_halfspace(seed: int) -> None:
    model, shape = random_model(seed)
    points = normal(4, *shape, seed=seed)
    program = read_program(model, points)
    found = distance_to_boundary(program, points)
    for i, each in enumerate(halfspaces(program.until_last_site(), points)):
        to_each = (each.b - each.A @ points[i].flatten().numpy()) / np.linalg.norm(each.A, axis=1)
        assert found.distance[i] == pytest.approx(to_each.min(initial=math.inf), rel=1e-6, abs=1e-12)
        if len(each) and np.isfinite(found.distance[i]):
            of_nearest = to_each[each.boundaries == found.nearest[i]]
            assert of_nearest == pytest.approx(to_each.min(), rel=1e-6, abs=1e-12)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_no_direction_leaves_the_region_sooner_than_the_distance(seed: int) -> None:
    model, shape = random_model(seed)
    points = normal(4, *shape, seed=seed)
    program = read_program(model, points)
    distance = distance_to_boundary(program, points).distance[:, None]
    found = diameter(program, points, directions=20)
    assert (found.left >= distance * (1 - 1e-9)).all()
    assert (found.right >= distance * (1 - 1e-9)).all()
    assert (found.length >= 2 * distance * (1 - 1e-9)).all()


def test_the_soonest_of_all_directions_leaves_at_the_distance() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 4)), nn.MaxPool1d(3, 1), nn.ReLU(), nn.Flatten())
    model = nn.Sequential(*model, nn.Linear(6, 6), nn.Hardtanh())
    points = normal(20, 2)
    angles = torch.linspace(0, math.pi, 5001, dtype=torch.float64)
    around = torch.stack([angles.cos(), angles.sin()], dim=1).expand(20, -1, -1)
    found = diameter(model, points, directions=around)
    soonest = np.minimum(found.left, found.right).min(axis=1)
    np.testing.assert_allclose(distance_to_boundary(model, points).distance, soonest, rtol=1e-6)


def test_the_nearest_point_of_the_boundary_is_where_the_named_neuron_switches() -> None:
    model, points = mlp(6, 10, 10), normal(30, 6)
    found = distance_to_boundary(model, points)
    for i, halves in enumerate(halfspaces(read_program(model, points), points)):
        row = halves.A[halves.boundaries == found.nearest[i]][0]
        step = torch.from_numpy(row / np.linalg.norm(row) * found.distance[i])
        boundary = found.boundary(i)
        assert boundary is not None
        part = model.double()[: int(boundary.name)]
        assert float(part(points[i] + step)[boundary.neuron].abs().detach()) < 1e-9


def test_halfspaces_of_several_levels_are_those_next_to_the_value() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU6())
    nn.init.ones_(model[0].weight), nn.init.zeros_(model[0].bias)
    points = torch.tensor([[-2.0], [0.0], [2.0], [6.0], [7.0]], dtype=torch.float64)
    bounds = []
    for found in halfspaces(read_program(model, points, breakpoints=(0.0, 3.0, 6.0)), points):
        bounds.append(sorted((float(a), float(b)) for a, b in zip(found.A[:, 0], found.b, strict=True)))
    assert bounds == [
        [(1.0, 0.0)],
        [(1.0, 0.0)],
        [(-1.0, 0.0), (1.0, 3.0)],
        [(-1.0, -3.0), (1.0, 6.0)],
        [(-1.0, -6.0)],
    ]


class Cancelling(nn.Module):
    """Three neurons, and three that are 0 but for the order in which 50 numbers are added."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(3, 3)
        self.register_buffer("one", torch.randn(50, 3))
        self.register_buffer("other", torch.randn(3, 50))

    def forward(self, x: Tensor) -> Tensor:
        backwards = x @ self.one.flip(0).T @ self.other.flip(1).T
        return torch.relu(torch.cat([self.last(x), x @ self.one.T @ self.other.T - backwards - 0.5], dim=1))


def test_gradients_of_rounding_alone_bound_nothing() -> None:
    model, points = Cancelling(), normal(5, 3)
    linearization = Linearizer(read_program(model, points)).at(points)
    dz = next(linearization.along(torch.eye(3, dtype=torch.float64)))
    assert 0 < float(dz[..., 3:].abs().max()) < 1e-12
    assert all(len(found) == 3 for found in halfspaces(read_program(model, points), points))
    with torch.no_grad():
        model.last.weight[1:] = 0.0
    nearest = distance_to_boundary(model, points)
    assert [b.neuron for i in range(5) if (b := nearest.boundary(i)) is not None] == [(0,)] * 5
    along = model.last.weight.detach()[:1].double()
    found = diameter(model, points, directions=along.expand(5, 1, 3))
    assert (np.isinf(found.left) != np.isinf(found.right)).all()  # beyond the one neuron's hyperplane there is none


def test_a_region_without_boundary_is_infinitely_far_from_it() -> None:
    model = mlp(3, 4)
    with torch.no_grad():
        model[0].weight.zero_()
    found = distance_to_boundary(model, normal(2, 3))
    assert found.distance.tolist() == [math.inf, math.inf]
    assert found.boundary(0) is None
    assert json.loads(json.dumps(found.to_dict()))["nearest"] == [-1, -1]


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_distances_scale_with_the_input(scale: float) -> None:
    model, points = mlp(6, 10, 10), normal(20, 6)
    expected = distance_to_boundary(model, points).distance
    with torch.no_grad():
        model.double()[0].weight.div_(scale)
    np.testing.assert_allclose(distance_to_boundary(model, scale * points).distance, scale * expected)


def test_the_batch_size_changes_nothing() -> None:
    model, points = mlp(6, 10, 10), normal(11, 6)
    np.testing.assert_allclose(
        distance_to_boundary(model, points).distance, distance_to_boundary(model, points, batch_size=3).distance
    )
    with pytest.raises(ValueError, match="batch_size=0"):
        distance_to_boundary(model, points, batch_size=0)


def test_identical_examples_have_one_distance_and_the_result_can_be_read() -> None:
    found = distance_to_boundary(mlp(3, 1), torch.ones(4, 3))
    assert len(set(found.distance.tolist())) == 1
    assert repr(found).startswith("Distances(4 examples: median")
    assert found.plot().get_xlabel() == "distance to the boundary"
