"""The affine map of each region, against the model in the region."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.regions.model_grammar import random_model, tensor_of
from torch import Tensor, nn

from actscope.regions import NotPiecewiseLinearError, read_program
from actscope.regions.distances import distance_to_boundary
from actscope.regions.maps import affine, spectral_norms


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_map_is_the_model_as_far_as_the_boundary(seed: int) -> None:
    model, shape = random_model(seed)
    points = normal(4, *shape, seed=seed)
    maps, far = affine(model, points), distance_to_boundary(model, points).distance
    steps = normal(4, *shape, seed=seed + 1)
    sizes = torch.from_numpy(far).clamp(max=10.0) * 0.99 / torch.linalg.vector_norm(steps.flatten(1), dim=1)
    nearby = points + steps * sizes.reshape(-1, *[1] * len(shape))
    expected = tensor_of(model.double()(nearby)).flatten(1).detach()
    torch.testing.assert_close(maps(nearby), expected, atol=1e-10 * (1 + float(expected.abs().max())), rtol=0)


@pytest.mark.parametrize(("n_in", "n_out"), [(2, 40), (40, 2)])
def test_few_inputs_go_forwards_and_few_outputs_backwards(n_in: int, n_out: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(n_in, 50), nn.ReLU(), nn.Linear(50, n_out)).double()
    points = normal(3, n_in)
    maps = affine(model, points)
    on = (model[0](points) > 0).double()
    expected = torch.einsum("oh,nh,hi->noi", model[2].weight, on, model[0].weight).detach()
    torch.testing.assert_close(maps.weight, expected)
    torch.testing.assert_close(maps(points), model(points).detach())


def test_norms_are_those_of_the_matrices() -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    maps = affine(model, normal(4, 5))
    for order in (1, 2, math.inf):
        expected = torch.linalg.matrix_norm(maps.weight, ord=order)
        torch.testing.assert_close(maps.norms(order), expected)
    with pytest.raises(ValueError, match="order=3"):
        maps.norms(3)


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1.0, 1e200])
def test_spectral_norms_neither_vanish_nor_overflow(scale: float) -> None:
    matrices = scale * normal(3, 4, 6)
    torch.testing.assert_close(spectral_norms(matrices), scale * torch.linalg.matrix_norm(normal(3, 4, 6), ord=2))


def test_points_of_another_shape_are_refused() -> None:
    maps = affine(nn.Sequential(nn.Linear(5, 7), nn.ReLU()), normal(4, 5))
    with pytest.raises(ValueError, match="a point for each"):
        maps(normal(3, 5))
    assert repr(maps) == "AffineMaps(4 from 5 inputs to 7 outputs)"
    assert len(maps.to_dict()["bias"]) == 4


def test_a_smooth_output_is_refused_by_its_operation_although_the_sites_are_not() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.Softmax(dim=1))
    with pytest.raises(NotPiecewiseLinearError, match="softmax"):
        affine(model, torch.zeros(1, 2))


def test_a_program_stands_for_its_model() -> None:
    torch.manual_seed(0)
    model, points = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), normal(2, 3)
    program = read_program(model, points)
    torch.testing.assert_close(affine(program, points).weight, affine(model, points).weight)
    with pytest.raises(ValueError, match="has its layers and breakpoints"):
        distance_to_boundary(program, points, layers="1")
    with pytest.raises(ValueError, match="takes examples of shape"):
        affine(program, normal(2, 4))
