"""Transition density against patterns read point by point, and against borders that are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from actscope import encode
from actscope.neurons import pattern_similarity, prediction_distance, transition_density, transitions
from actscope.neurons.predictions import predictions
from actscope.regions import NotPiecewiseLinearError


def mlp(*sizes: int, act: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), act()]
    return nn.Sequential(*layers[:-1])


def points(n: int, d: int, *, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def steps(*thresholds: float) -> nn.Sequential:
    """One input, a ReLU for each threshold: the pattern changes exactly there."""
    model = nn.Sequential(nn.Linear(1, len(thresholds)), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.copy_(-torch.tensor(thresholds))
    return model


def by_definition(model: nn.Module, x: torch.Tensor, y: torch.Tensor, samples: int) -> list[int]:
    found = []
    for start, end in zip(x, y, strict=True):
        along = torch.linspace(0, 1, samples, dtype=torch.float64).float()[:, None]
        packed = encode(model, torch.lerp(start[None], end[None], along), progress=False).packed
        found.append(int((packed[1:] != packed[:-1]).any(axis=1).sum()))
    return found


@pytest.mark.parametrize("batch_size", [1, 7, 33, 1000])
@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.GELU])
def test_sampled_density_is_the_number_of_steps_where_the_pattern_changes(
    act: type[nn.Module], batch_size: int
) -> None:
    model = mlp(3, 10, 10, 2, act=act)
    x, y = points(5, 3), points(5, 3, seed=2)
    found = transition_density(model, x, y, samples=33, batch_size=batch_size)
    assert found.dtype == np.int64
    assert found.tolist() == by_definition(model, x, y, 33)


def test_changes_between_two_neighbouring_points_count_once() -> None:
    model = steps(0.1, 0.2, 0.7)
    x, y = torch.zeros(1, 1), torch.ones(1, 1)
    assert [transition_density(model, x, y, samples=k).tolist() for k in (2, 3, 11, 512)] == [[1], [2], [3], [3]]


def test_exact_density_counts_every_change() -> None:
    close = steps(0.1, 0.1 + 1e-7, 0.7)
    x, y = torch.zeros(2, 1), torch.tensor([[1.0], [0.5]])
    assert transition_density(close, x, y).tolist() == [3, 2]
    assert transition_density(close, x, y, samples=512).tolist() == [2, 1]


@pytest.mark.parametrize("sizes", [(3, 12, 2), (4, 10, 10, 10, 2)])
def test_exact_density_is_the_limit_of_sampled_density(sizes: tuple[int, ...]) -> None:
    model = mlp(*sizes).double()
    x, y = points(8, sizes[0]).double(), points(8, sizes[0], seed=2).double()
    exact = transition_density(model, x, y)
    sampled = transition_density(model, x, y, samples=40_001)
    assert (sampled <= exact).all()
    assert (exact - sampled).sum() <= 1
    assert (transition_density(model, x, y, samples=64) <= exact).all()


def test_the_pattern_is_that_of_the_chosen_layers_and_breakpoints() -> None:
    model = mlp(2, 6, 6, 2)
    x, y = points(6, 2), points(6, 2, seed=2)
    for chosen in ({"layers": "1"}, {"layers": "3"}, {"breakpoints": (-0.5, 0.0, 0.5)}, {"breakpoints": 0.3}):
        exact = transition_density(model, x, y, dtype=torch.float64, **chosen)
        sampled = transition_density(model, x, y, samples=20_001, dtype=torch.float64, **chosen)
        assert (sampled <= exact).all()
        assert (exact - sampled).sum() <= 1


def test_with_pooling_regions_that_come_back_count_again() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2)
    )
    x, y = torch.randn(3, 1, 6, 6), torch.randn(3, 1, 6, 6)
    exact = transition_density(model, x, y)
    sampled = transition_density(model, x, y, samples=20_001, dtype=torch.float64)
    assert (sampled <= exact).all()
    assert (exact - sampled).sum() <= 3


def test_segments_are_counted_alike_in_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 8), nn.ReLU())
    x, y = torch.randn(5, 1, 6, 6), torch.randn(5, 1, 6, 6)
    whole = transition_density(model, x, y)
    for size in (300, 3000):
        monkeypatch.setattr(transitions, "_BYTES_AT_A_TIME", size)
        assert transition_density(model, x, y).tolist() == whole.tolist()


def test_a_model_that_is_not_piecewise_linear_needs_samples() -> None:
    model = mlp(2, 5, 5, 2, act=nn.GELU)
    with pytest.raises(NotPiecewiseLinearError, match=r"gelu.*samples="):
        transition_density(model, points(1, 2), points(1, 2, seed=2))


def test_a_batch_is_adapted_to_the_model() -> None:
    class TwoInputs(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.relu(a + b)

    x, y = -torch.ones(1, 1), torch.ones(1, 1)
    found = transition_density(TwoInputs(), x, y, samples=3, adapt=lambda batch: (batch, batch - 0.5))
    assert found.tolist() == [1]
    distance = prediction_distance(TwoInputs(), x, y, adapt=lambda batch: {"a": batch, "b": batch - 0.5})
    assert distance.tolist() == [1.5]


def test_the_model_comes_out_as_it_went_in() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    x, y = points(3, 2), points(3, 2, seed=2)
    transition_density(model, x, y, samples=9)
    transition_density(model, x, y)
    prediction_distance(model, x, y)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_has_no_segment_is_an_error() -> None:
    model = mlp(2, 3, 1)
    with pytest.raises(ValueError, match=r"shapes \(3, 2\) and \(2, 2\)"):
        transition_density(model, points(3, 2), points(2, 2))
    with pytest.raises(TypeError, match=r"x must be floating-point.*torch.int64"):
        transition_density(model, torch.ones(1, 2, dtype=torch.int64), torch.ones(1, 2))
    with pytest.raises(ValueError, match="samples=1: a segment has at least its two ends"):
        transition_density(model, points(1, 2), points(1, 2), samples=1)
    with pytest.raises(ValueError, match="adapt= and example_dim= are for sampled points"):
        transition_density(model, points(1, 2), points(1, 2), adapt=lambda batch: batch)


# prediction distance


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_prediction_distance_is_euclidean_on_the_models_output(batch_size: int | None) -> None:
    model = mlp(3, 6, 4)
    x, y = points(7, 3), points(7, 3, seed=2)
    with torch.no_grad():
        expected = (model(x) - model(y)).norm(dim=1)
    found = prediction_distance(model, x, y, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(
        prediction_distance(model, x.numpy(), y.numpy(), dtype=torch.float64), expected, rtol=1e-5
    )


def test_distances_of_outputs_with_several_axes_are_over_all_of_them() -> None:
    x, y = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    assert prediction_distance(nn.Identity(), x, y).tolist() == [2.0, 2.0]


def test_an_output_that_is_no_tensor_has_to_be_chosen() -> None:
    class Named(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": 2 * x}

    x, y = torch.zeros(1, 1), torch.ones(1, 1)
    with pytest.raises(TypeError, match=r"returns a dict; pass output="):
        prediction_distance(Named(), x, y)
    assert prediction_distance(Named(), x, y, output=lambda out: out["logits"]).tolist() == [2.0]


def test_an_output_whose_first_axis_is_not_the_inputs_is_an_error() -> None:
    with pytest.raises(ValueError, match="its first axis must be the inputs"):
        predictions(nn.Flatten(0), torch.zeros(3, 2))


def test_equal_inputs_have_no_transition_no_distance_and_full_similarity() -> None:
    model, x = mlp(2, 5, 1), points(4, 2)
    codes = encode(model, x, progress=False)
    assert not transition_density(model, x, x, samples=5).any()
    assert not transition_density(model, x, x).any()
    assert not prediction_distance(model, x, x).any()
    assert (pattern_similarity(codes, codes) == 1).all()
