"""Derivatives through programs, against automatic differentiation of the model itself and against differences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tests.regions.model_grammar import random_model, tensor_of
from torch import Tensor, nn

from actscope.regions import read_program
from actscope.regions.programs.linearization import Linearizer


def jacobians(model: nn.Module, points: Tensor) -> Tensor:
    """(n, n_outputs, n_in) by reverse mode through the model itself."""
    inputs = points.clone().requires_grad_()
    output = tensor_of(model.double()(inputs.clone())).flatten(1)
    try:
        rows = [torch.autograd.grad(column.sum(), inputs, retain_graph=True)[0] for column in output.T]
    except RuntimeError:  # the model writes in place over what its own backward pass needs
        reject()
    return torch.stack(rows, dim=1).flatten(2)


def points_for(shape: tuple[int, ...], seed: int, n: int = 3) -> Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_derivatives_of_the_output_are_the_models_own(seed: int) -> None:
    model, shape = random_model(seed)
    points, n_in = points_for(shape, seed), torch.Size(shape).numel()
    linearization = Linearizer(read_program(model, points)).at(points)
    expected = jacobians(model, points)
    forwards = linearization.output_along(torch.eye(n_in, dtype=torch.float64).reshape(-1, *shape)).mT
    backwards = linearization.output_gradients(0, expected.shape[1]).flatten(2)
    allowed = 1e-7 * (float(expected.abs().max()) + 1)  # the backward pass of hardsigmoid has 1/6 in single precision
    torch.testing.assert_close(forwards, expected, atol=allowed, rtol=0)
    torch.testing.assert_close(backwards, forwards, atol=1e-5 * allowed, rtol=0)
    torch.testing.assert_close(linearization.output, tensor_of(model.double()(points)).flatten(1).detach())


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_values_change_along_a_direction_by_their_derivatives(seed: int) -> None:
    model, shape = random_model(seed)
    points = points_for(shape, seed)
    directions = points_for(shape, seed + 1)[:, None]
    linearizer = Linearizer(read_program(model, points))
    here, step = linearizer.at(points), 1e-7
    there = linearizer.at(points + step * directions[:, 0])
    for before, after, dz in zip(here.stops, there.stops, here.along(directions), strict=False):
        finite = torch.isfinite(before.z)
        scale = float(before.z[finite].abs().max()) + 1
        change = ((after.z - before.z) / step)[finite]
        torch.testing.assert_close(dz[:, 0][finite], change, atol=1e-6 * scale, rtol=1e-5)
        assert torch.isfinite(dz).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_directions_orthogonal_to_the_basis_change_nothing(seed: int) -> None:
    model, shape = random_model(seed)
    points = points_for(shape, seed)
    linearizer = Linearizer(read_program(model, points))
    basis = linearizer.basis().flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64))
    direction = points_for(shape, seed + 1).flatten(1)
    rest = (direction - direction @ basis.T @ basis).reshape(points.shape)
    for dz in linearizer.at(points).along(rest[:, None]):
        assert float(dz.abs().max()) < 1e-10


def test_a_narrow_first_layer_leaves_as_many_directions_as_it_has_neurons() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 5), nn.ReLU())
    assert Linearizer(read_program(model, torch.zeros(1, 3, 4))).basis().shape == (3, 3, 4)


def test_a_path_around_the_first_layer_keeps_every_direction() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow, self.wide = nn.Linear(6, 2), nn.Linear(2, 6)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x + self.wide(torch.relu(self.narrow(x))))

    assert len(Linearizer(read_program(Skipping(), torch.zeros(1, 6))).basis()) == 6


@pytest.mark.parametrize(
    ("activation", "slopes"),
    [
        (nn.ReLU(), [0, 1]),
        (nn.LeakyReLU(0.5), [0.5, 1]),
        (nn.PReLU(init=0.5), [0.5, 1]),
        (nn.Hardtanh(0.0, 1.0), [0, 1]),
    ],
    ids=str,
)
def test_a_value_on_a_level_has_the_slope_below_it(activation: nn.Module, slopes: list[float]) -> None:
    model = nn.Sequential(nn.Linear(1, 1), activation)
    nn.init.ones_(model[0].weight), nn.init.zeros_(model[0].bias)
    points = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    found = Linearizer(read_program(model, points)).at(points).output_along(torch.ones(2, 1, 1, dtype=torch.float64))
    assert found.flatten().tolist() == slopes


def test_the_first_of_equal_entries_is_chosen() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Unflatten(1, (1, 4)), nn.MaxPool1d(4))
    points = torch.zeros(2, 2, dtype=torch.float64)
    nn.init.zeros_(model[0].bias)
    (stop,) = [s for s in Linearizer(read_program(model, points)).at(points).stops if s.chosen is not None]
    assert stop.chosen is not None
    assert stop.chosen.tolist() == [[0], [0]]


def test_one_point_and_one_direction_are_enough() -> None:
    class Squeezing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 3, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.conv(x)).amax(dim=(2, 3), keepdim=True).squeeze())

    torch.manual_seed(0)
    point = torch.randn(1, 1, 5, 5, dtype=torch.float64)
    linearization = Linearizer(read_program(Squeezing(), point)).at(point)
    assert linearization.output is not None
    assert linearization.output.shape == (1, 2)
    for shared in (torch.ones(1, 1, 5, 5), torch.ones(1, 1, 1, 5, 5)):
        assert linearization.output_along(shared.double()).shape == (1, 1, 2)


def test_gradients_pass_where_the_model_detaches() -> None:
    class Detaching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.linear(x)).detach() * 2

    point = torch.ones(1, 2, dtype=torch.float64)
    model = Detaching()
    nn.init.eye_(model.linear.weight), nn.init.zeros_(model.linear.bias)
    linearization = Linearizer(read_program(model, point)).at(point)
    assert linearization.output_gradients(0, 2).tolist() == [[[2.0, 0.0], [0.0, 2.0]]]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_shared_directions_give_what_repeated_ones_give(n: int) -> None:
    model, shape = random_model(11)
    points, directions = points_for(shape, 0, n), points_for(shape, 1, 4)
    linearization = Linearizer(read_program(model, points)).at(points)
    repeated = directions.expand(n, *directions.shape)
    for one, other in zip(linearization.along(directions), linearization.along(repeated), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("k", [1, 2, 5, 100])
def test_the_basis_comes_whole_or_in_parts(k: int) -> None:
    for seed in range(6):
        model, shape = random_model(seed)
        linearizer = Linearizer(read_program(model, points_for(shape, seed)))
        parts = list(linearizer.directions(k))
        assert max(map(len, parts)) <= k
        torch.testing.assert_close(torch.cat(parts), linearizer.basis())
        assert len(linearizer.basis()) == linearizer.n_directions


def test_derivatives_that_are_not_asked_for_to_the_end_leave_gradients_on() -> None:
    model, shape = random_model(0)
    points = points_for(shape, 0)
    slopes = Linearizer(read_program(model, points)).at(points).along(points[:, None])
    next(slopes)
    assert torch.is_grad_enabled()
    assert next(slopes).requires_grad is False
