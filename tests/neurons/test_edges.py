"""Uses at the edge of what is common, each of which once gave a wrong number or an error that said nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actscope import Codes, neurons
from actscope.codes import encode


def test_draws_without_a_pair_of_one_label_have_no_curve_of_single_labels() -> None:
    codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (50, 10)), labels=np.arange(50))
    found = neurons.similarity_distribution(codes, [0.5], pairs=10)
    assert found.combined.n_pairs == 10
    assert found.single is not None
    assert all(np.isnan(curve.shares).all() for curve in found.single.values())


def near_copies() -> nn.Sequential:
    """Two units alike but for a weight of a millionth, whose difference is the output."""
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0, 1.0], [1e-6, 1.0], [0.0, 0.3], [0.0, 0.6]]))
        model[0].bias.zero_()
        model[2].weight.copy_(torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
        model[2].bias.zero_()
    return model


def test_near_copies_are_no_copies() -> None:
    model, x = near_copies(), torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    x[:, 0] *= 1e6
    x[:8, 0] = 0  # the few examples on which pruning is tried do not tell them apart
    pruned = neurons.prune(model, neurons.vitals(model, x), examples=x)
    assert pruned.max_difference < 1e-6
    assert all(0 not in site.merged and 1 not in site.merged for site in pruned.sites)


class Root(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 3), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(self.b(F.relu(self.a(x))))


def test_an_output_that_becomes_nan_has_moved_infinitely() -> None:
    model = Root()
    with torch.no_grad():
        model.a.weight.copy_(torch.tensor([[1.0], [1.0], [-1.0]]))
        model.a.bias.copy_(torch.tensor([-5.0, 2.0, 0.0]))
        model.b.weight.copy_(torch.tensor([[10.0, -1.0, 0.0]]))
        model.b.bias.fill_(5)
    pruned = neurons.prune(
        model, neurons.vitals(model, torch.linspace(-1, 1, 40)[:, None]), examples=torch.tensor([[9.0]])
    )
    assert pruned.model(torch.tensor([[9.0]])).isnan().all()
    assert pruned.max_difference == float("inf")


class Cast(nn.Module):
    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=self.dtype):
            out: Tensor = self.model(x)
            return out.float()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_within_a_model_does_not_round_what_is_counted(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Cast(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)), dtype)
    x, y = torch.randn(4000, 3), torch.arange(4000) % 2
    live = neurons.vitals(model, (x, y), batch_size=4000).sites[0]
    codes = encode(model, x, batch_size=4000, progress=False)
    np.testing.assert_allclose(live.firing_rate, codes.bits().mean(axis=0), atol=1e-12)
    assert len(np.unique(codes.bits(), axis=1).T) == 8
    assert (live.twin < 0).all()


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_scaler_skips_is_no_step_and_leaves_nothing_behind(fused: bool) -> None:
    model = net()
    x, y = torch.randn(32, 4), torch.arange(32) % 3
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
    with neurons.watch(model, every=1) as seen:
        for i in range(4):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y) * (float("inf") if i == 1 else 1)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert seen.n_steps == 3
    assert np.isfinite(seen.log.series("1", "cancellation")).any(axis=1).all()
    assert [reading.n_examples for reading in seen.log.readings] == [32, 32, 32]


@pytest.mark.parametrize("by_name", [False, True])
def test_weights_of_a_step_with_a_closure_are_those_before_the_update(by_name: bool) -> None:
    model = net()
    x, y = torch.randn(32, 4), torch.arange(32) % 3
    before = model[0].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with neurons.watch(model, every=1) as seen:
        given: Any = {"closure": closure} if by_name else {}
        assert optimizer.step(*(() if by_name else (closure,)), **given) is not None
    np.testing.assert_allclose(seen.log.series("0.weight", "weight")[0], before.abs().mean(1), rtol=1e-6)


class HalfInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.a(x)
        z[:, :4].relu_()
        out: Tensor = self.b(z)
        return out


def test_a_gradient_that_does_not_arrive_is_not_measured_rather_than_zero() -> None:
    vitals = neurons.vitals(HalfInPlace(), (torch.randn(64, 4), torch.arange(64) % 3))
    assert vitals.sites[0].gradient is None


class PooledFeatures(nn.Module):
    """Pools neighbouring features of (n, features), which has no axis of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(F.max_pool1d(F.relu(self.a(x)), 2))
        return out


class NormedTokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(3, 4), nn.BatchNorm1d(5), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(F.relu(self.norm(self.a(x)))).mean(1)
        return out


@pytest.mark.parametrize(("model", "shape"), [(PooledFeatures(), (3,)), (NormedTokens(), (5, 3))], ids=["pool", "norm"])
def test_axes_that_are_not_those_of_units_are_refused_with_the_reason(model: nn.Module, shape: tuple[int, ...]) -> None:
    with torch.no_grad():
        model.get_parameter("a.weight")[2] = 0
        model.get_parameter("a.bias")[2] = -1
    x = torch.randn(40, *shape)
    pruned = neurons.prune(model.eval(), neurons.vitals(model, x))
    assert not pruned.sites
    assert pruned.refused
    assert "failed" not in pruned.refused[0].reason


def test_models_of_one_number_an_example_have_distances() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1), nn.Flatten(0))
    x, y = torch.randn(7, 3), torch.randn(7, 3)
    found = neurons.prediction_distance(model, x, y)
    np.testing.assert_allclose(found, (model(x) - model(y)).abs().detach(), rtol=1e-5)
    assert len(neurons.pair_relations(model, x, y, progress=False).prediction_distance) == 7


def test_gradients_of_two_losses_are_not_added_up() -> None:
    model, x, y = net(), torch.randn(20, 4), torch.arange(20) % 3
    one, other = neurons.VitalsTally(), neurons.VitalsTally(loss=lambda out, target: out.square().sum(1))
    one.update(model, (x[:10], y[:10]))
    other.update(model, (x[10:], y[10:]), ids=range(10, 20))
    with pytest.raises(ValueError, match="other losses"):
        one.merge(other)


def test_a_watch_on_a_model_of_which_only_parts_are_called_says_so() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="no forward pass"), neurons.watch(model):  # noqa: PT031  # the warning comes at the end
        F.cross_entropy(model[2](model[1](model[0](torch.randn(8, 4)))), torch.arange(8) % 3).backward()
        optimizer.step()
