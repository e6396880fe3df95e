"""Theorem 1 under its true conditions, and how it fails without each of them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actscope.neurons import gradient_affinity


def problem(act: nn.Module, *, seed: int = 0, depth: int = 2) -> tuple[nn.Sequential, Tensor, Tensor]:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Linear(3, 8), act]
    for _ in range(depth - 1):
        layers += [nn.Linear(8, 8), act]
    model = nn.Sequential(*layers, nn.Linear(8, 2))
    return model, torch.randn(4, 3), torch.randn(4, 2)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), depth=st.integers(1, 3), layer=st.integers(0, 2), leaky=st.booleans())
def test_the_gradient_of_squared_error_is_affine_in_one_weight_within_a_region(
    seed: int, depth: int, layer: int, leaky: bool
) -> None:
    model, x, target = problem(nn.LeakyReLU(0.2) if leaky else nn.ReLU(), seed=seed, depth=depth)
    found = gradient_affinity(model, x, target, parameter=f"{2 * min(layer, depth)}.weight", seed=seed)
    assert found.same_region
    assert found.affine, found


def test_it_is_affine_for_every_other_activation_with_kinks_at_its_breakpoints() -> None:
    for act in (nn.ReLU6(), nn.Hardtanh(), nn.Hardsigmoid()):
        model, x, target = problem(act)
        assert gradient_affinity(model, x, target, parameter="2.weight").affine


def test_it_is_not_proportional_to_the_weight() -> None:
    model, x, target = problem(nn.ReLU())

    def gradient(scale: float) -> Tensor:
        weight = model[4].weight
        with torch.no_grad():
            weight.mul_(scale)
        (found,) = torch.autograd.grad(F.mse_loss(model(x), target), weight)
        with torch.no_grad():
            weight.div_(scale)
        return found

    one, two, three = (gradient(scale) for scale in (1.0, 2.0, 3.0))
    torch.testing.assert_close(three - two, two - one)
    assert (two - 2 * one).norm() > 0.1 * one.norm()


def test_it_is_not_affine_for_cross_entropy() -> None:
    model, x, target = problem(nn.ReLU())
    for some in (slice(0, 1), slice(None)):
        classes = torch.tensor([0, 1, 1, 0])[some]
        found = gradient_affinity(model, x[some], classes, parameter="0.weight", loss=F.cross_entropy)
        squared = gradient_affinity(model, x[some], target[some], parameter="0.weight")
        assert found.same_region
        assert not found.affine
        assert squared.affine
        assert found.deviation > 1000 * squared.deviation


def test_it_is_not_affine_across_regions() -> None:
    model, x, target = problem(nn.ReLU())
    found = gradient_affinity(model, x, target, parameter="0.weight", step=2.0, stay_in_region=False)
    assert not found.same_region
    assert found.deviation > 1e-2


@pytest.mark.parametrize("act", [nn.Sigmoid(), nn.GELU()])
def test_it_is_not_affine_for_smooth_activations(act: nn.Module) -> None:
    model, x, target = problem(act)
    found = gradient_affinity(model, x, target, parameter="0.weight", step=0.1)
    assert found.same_region
    assert not found.affine


def test_it_is_not_affine_in_a_weight_that_is_used_twice() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.relu(self.layer(x)))

    torch.manual_seed(0)
    found = gradient_affinity(Tied(), torch.randn(4, 3), torch.randn(4, 3), parameter="layer.weight")
    assert found.same_region
    assert not found.affine


def test_the_model_comes_out_as_it_went_in() -> None:
    model, x, target = problem(nn.ReLU())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient_affinity(model, x, target, parameter="0.weight")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_cannot_be_examined_is_an_error() -> None:
    model, x, target = problem(nn.ReLU())
    with pytest.raises(ValueError, match=r"parameter='9.weight' is none of the model's; it has: 0.weight, 0.bias"):
        gradient_affinity(model, x, target, parameter="9.weight")
    with pytest.raises(ValueError, match="two points are always on a line"):
        gradient_affinity(model, x, target, parameter="0.weight", n_points=2)
    with pytest.raises(ValueError, match=r"output has shape \(4, 2\) and the target \(4,\)"):
        gradient_affinity(model, x, target[:, 0], parameter="0.weight")


def test_a_pre_activation_on_a_breakpoint_leaves_no_step() -> None:
    model, x, target = problem(nn.ReLU())
    with torch.no_grad():
        model[0].weight[0].zero_()
        model[0].bias[0].zero_()
    with pytest.raises(ValueError, match="lies on a breakpoint"):
        gradient_affinity(model, x, target, parameter="0.weight")
