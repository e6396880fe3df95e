"""Lipschitz constants: the sampled one below the exact one below the product bound, each against what it stands for."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actscope import encode
from actscope.regions import NotPiecewiseLinearError, chains, read_program
from actscope.regions.chains import NotAChainError, read_chain
from actscope.regions.maps import affine
from actscope.regions.smoothness import lipschitz


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mlp(activation: nn.Module, *widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), activation]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


def convolutional(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), activation, nn.MaxPool2d(3, 1), nn.Conv2d(3, 2, 2), activation]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    model[1].running_var.uniform_(0.5, 2.0)
    return model.eval()


@settings(max_examples=8)
@given(
    seed=st.integers(0, 1000),
    activation=st.sampled_from([nn.ReLU(), nn.LeakyReLU(-0.5), nn.PReLU(init=2.0), nn.Hardtanh(), nn.Softshrink(0.1)]),
)
def test_sampled_is_at_most_exact_is_at_most_the_product(seed: int, activation: nn.Module) -> None:
    model, x = mlp(activation, 4, 6, 6, 3, seed=seed), normal(5, 4, seed=seed)
    found = lipschitz(model, x, bounds=["lower", "exact", "upper"], samples=8)
    assert found.lower is not None
    assert found.exact is not None
    assert found.upper is not None
    assert (found.lower <= found.exact * (1 + 1e-9)).all()
    assert (found.exact <= found.upper * (1 + 1e-9)).all()
    np.testing.assert_allclose(found.lower, found.exact)  # every point of a linear region has the same Jacobian


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.ELU(2.0), nn.Softplus(3.0)], ids=str)
def test_nothing_in_the_region_is_stretched_more_than_the_product_bound(activation: nn.Module) -> None:
    model, x = convolutional(activation), normal(3, 1, 6, 6)
    found = lipschitz(model, x, bounds=["upper", "lower"], samples=8)
    assert found.upper is not None
    assert found.lower is not None
    assert (found.upper >= found.lower * (1 - 1e-9)).all()
    codes = encode(model, x, dtype=torch.float64)
    for i in range(3):
        around = x[i] + 0.02 * normal(50, 1, 6, 6, seed=i)
        inside = (encode(model, around, dtype=torch.float64).packed == codes.packed[i]).all(axis=1)
        with torch.no_grad():
            change = torch.linalg.vector_norm(model.double()(around) - model(x[i : i + 1]), dim=1)
        distance = torch.linalg.vector_norm((around - x[i]).flatten(1), dim=1)
        assert (change[inside] <= found.upper[i] * distance[inside]).all()


def test_one_linear_layer_behind_one_smooth_layer_has_the_bound_of_the_formula() -> None:
    model, x = mlp(nn.Tanh(), 3, 4, 2), normal(6, 3)
    found = lipschitz(model, x, bounds="upper", breakpoints=(-0.5, 0.0, 0.5))
    z = model.double()[0](x).detach()
    slope = {0: 1 - math.tanh(0.5) ** 2, 1: 1.0, 2: 1.0, 3: 1 - math.tanh(0.5) ** 2}  # the intervals next to 0 reach it
    intervals = torch.bucketize(z.contiguous(), torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64))
    norms = [float(torch.linalg.matrix_norm(model[i].weight.detach(), ord=2)) for i in (0, 2)]
    expected = [math.prod(norms) * max(slope[int(i)] for i in row) for row in intervals]
    assert found.upper == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "activation",
    [
        nn.GELU(),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.Mish(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.ELU(3.0),
        nn.SELU(),
        nn.Softplus(7.0),
    ],
    ids=str,
)
def test_the_steepest_slope_of_each_interval_is_found(activation: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(1, 1), activation, nn.Linear(1, 1)).double()
    points = (-1.3, 0.0, 0.4)
    found = read_chain(model, torch.ones(1, 1, dtype=torch.float64)).steepest(0, points)
    edges = (-60.0, *points, 60.0)
    for steepest, low, high in zip(found[:, 0], edges, edges[1:], strict=False):
        z = torch.linspace(low, high, 400_001, dtype=torch.float64)[1:].requires_grad_()
        (slopes,) = torch.autograd.grad(activation(z).sum(), z)
        assert steepest == pytest.approx(float(slopes.abs().max()), rel=1e-3)
        assert steepest >= float(slopes.abs().max()) * (1 - 1e-9)


def test_slopes_below_zero_count_by_their_size() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.PReLU(init=-5.0), nn.Linear(1, 1)).double()
    for layer in (model[0], model[2]):
        nn.init.ones_(layer.weight), nn.init.zeros_(layer.bias)
    found = lipschitz(model, torch.tensor([[1.0], [-1.0]]), bounds=["exact", "upper"])
    assert found.exact is not None
    assert found.upper is not None
    assert (found.exact.tolist(), found.upper.tolist()) == ([1.0, 5.0], [1.0, 5.0])


def test_every_neuron_of_a_prelu_has_its_own_slope() -> None:
    model = mlp(nn.PReLU(4), 3, 4, 4, 2).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([-3.0, 0.1, 0.2, 2.0]))
    found = lipschitz(model, normal(20, 3), bounds=["exact", "upper"])
    assert found.exact is not None
    assert found.upper is not None
    assert (found.exact <= found.upper * (1 + 1e-9)).all()
    on = [(model[:i](normal(20, 3)) > 0).detach() for i in (1, 3)]
    largest = [torch.where(each, 1.0, model[1].weight.abs().detach()).amax(dim=1) for each in on]
    norms = math.prod(float(torch.linalg.matrix_norm(model[i].weight.detach(), ord=2)) for i in (0, 2, 4))
    assert found.upper == pytest.approx((norms * largest[0] * largest[1]).numpy(), rel=1e-9)


def test_norms_by_products_are_those_of_the_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = read_chain(convolutional(nn.ReLU()).double(), normal(1, 1, 6, 6))
    written_down = chain.norms()
    monkeypatch.setattr(chains, "_MOST_ENTRIES", 0)
    assert chain.norms() == pytest.approx(written_down, rel=1e-9)
    assert len(written_down) == 3


def test_windows_that_overlap_may_stretch_what_they_share() -> None:
    model = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.MaxPool1d(3, 1, padding=1), nn.ReLU(), nn.Flatten())
    x = torch.tensor([[0.1, 5.0, 0.2, 0.3]])
    found = lipschitz(model, x, bounds=["exact", "upper"])
    assert found.exact == pytest.approx([math.sqrt(3)])
    assert found.upper == pytest.approx([math.sqrt(3)])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.linear(x))


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(F.softmax(self.linear(x), dim=1))


@pytest.mark.parametrize(("model", "name"), [(Residual(), "'add'"), (Gated(), "softmax")])
def test_what_is_no_chain_is_refused_by_its_operation(model: nn.Module, name: str) -> None:
    with pytest.raises(NotAChainError, match=name):
        lipschitz(model, normal(2, 3))
    assert lipschitz(model, normal(2, 3), bounds="lower", samples=2).lower is not None


def test_a_smooth_model_gets_both_bounds_and_no_exact_constant() -> None:
    model, x = mlp(nn.Tanh(), 3, 5, 5, 2), normal(4, 3)
    found = lipschitz(model, x)
    assert found.exact is None
    assert found.n_samples is not None
    assert (found.n_samples > 1).all()
    assert repr(found).startswith("Lipschitz(4 examples, medians: upper ")
    assert json.loads(json.dumps(found.to_dict()))["exact"] is None
    with pytest.raises(NotPiecewiseLinearError, match="tanh"):
        lipschitz(model, x, bounds="exact")


def test_the_sampled_bound_is_at_least_the_jacobian_at_the_example() -> None:
    model, x = mlp(nn.Tanh(), 3, 5, 2).double(), normal(4, 3)
    at_examples = lipschitz(model, x, bounds="lower", samples=0)
    jacobians = torch.stack([torch.autograd.functional.jacobian(model, point) for point in x])
    assert at_examples.lower == pytest.approx(torch.linalg.matrix_norm(jacobians, ord=2).numpy())
    sampled = lipschitz(model, x, bounds="lower")
    assert sampled.lower is not None
    assert at_examples.lower is not None
    assert (sampled.lower >= at_examples.lower).all()
    assert (sampled.lower > at_examples.lower).any()


@pytest.mark.parametrize("size", [1e-6, 1.0, 100.0])
def test_samples_spread_over_the_region_whatever_the_scale_of_the_input(size: float) -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Tanh()).double()
    with torch.no_grad():
        model[0].weight.fill_(1.0), model[0].bias.fill_(2.0 - size)
    found = lipschitz(model, torch.tensor([[size]]), bounds="lower")  # z = 2, in the region z > 0.5
    assert found.lower is not None
    assert 0.6 < found.lower[0] < 1 - math.tanh(0.5) ** 2


def test_one_seed_gives_one_result() -> None:
    model, x = mlp(nn.Tanh(), 3, 5, 2), normal(4, 3)
    one, again = (lipschitz(model, x, generator=torch.Generator().manual_seed(1)).lower for _ in range(2))
    np.testing.assert_array_equal(one, again)


def test_a_program_stands_for_its_model_and_breakpoints() -> None:
    model, x = mlp(nn.ReLU(), 3, 5, 5, 2), normal(4, 3)
    program = read_program(model, x, breakpoints=(-0.5, 0.0, 0.5))
    found = lipschitz(program, x, bounds=["exact", "upper", "lower"], samples=4)
    assert found.exact == pytest.approx(affine(model, x).norms().numpy())
    assert found.upper == pytest.approx(lipschitz(model, x, bounds="upper", breakpoints=(-0.5, 0.0, 0.5)).upper)


@pytest.mark.parametrize("bounds", ["best", [], ["exact", "least"]])
def test_unknown_bounds_are_refused(bounds: str | list[str]) -> None:
    with pytest.raises(ValueError, match="'exact', 'upper' and 'lower'"):
        lipschitz(mlp(nn.ReLU(), 2, 2, 1), normal(1, 2), bounds=bounds)  # type: ignore[arg-type]
