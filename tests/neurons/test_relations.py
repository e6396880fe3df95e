"""Equation (28), Theorems 3 and 4: where they hold, and pairs that refute them elsewhere."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from actscope import encode
from actscope.neurons import pair_relations


def mlp(*sizes: int, act: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), act()]
    return nn.Sequential(*layers[:-1])


def some_pairs(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, d), torch.randn(n, d)


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), act=st.sampled_from([nn.ReLU, nn.LeakyReLU]))
def test_with_one_hidden_layer_and_one_breakpoint_28_holds(seed: int, act: type[nn.Module]) -> None:
    relations = pair_relations(mlp(3, 30, 2, act=act, seed=seed), *some_pairs(20, 3))
    assert relations.equal_share == 1.0
    assert relations.density_and_similarity.value == pytest.approx(-1.0)


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), depth=st.integers(2, 4))
def test_deeper_density_is_at_least_the_number_of_neurons_that_differ(seed: int, depth: int) -> None:
    relations = pair_relations(mlp(3, *[10] * depth, 2, seed=seed), *some_pairs(20, 3))
    assert relations.at_least_share == 1.0


def test_with_several_breakpoints_density_is_at_least_the_number_of_neurons_that_differ() -> None:
    relations = pair_relations(mlp(3, 30, 2), *some_pairs(40, 3), breakpoints=(-0.5, 0.0, 0.5))
    assert relations.at_least_share == 1.0
    assert relations.equal_share < 1.0


def test_deeper_28_fails() -> None:
    relations = pair_relations(mlp(2, 16, 16, 16, 2), *some_pairs(50, 2))
    assert relations.equal_share < 0.9
    assert (relations.density > relations.n_differing).any()


def test_copies_of_a_neuron_break_even_the_inequality() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.fill_(-0.5)
    relations = pair_relations(model, torch.zeros(1, 1), torch.ones(1, 1))
    assert (relations.density.tolist(), relations.n_differing.tolist()) == ([1], [2])
    assert relations.at_least_share == 0.0


def wave() -> nn.Sequential:
    """One input; the last neuron goes on and off at 1, 2 … 6, by kinks of the first layer halfway between."""
    kinks = torch.arange(7) + 0.5
    model = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.copy_(torch.cat([torch.tensor([10.0]), -kinks]))
        slopes = torch.tensor([1.0, -2, 2, -2, 2, -2, 2, -2])
        model[2].weight.copy_(slopes[None])
        model[2].bias.fill_(-10.0)
    return model


def test_lower_density_does_not_always_come_with_higher_similarity() -> None:
    model = wave()
    line = torch.linspace(0.01, 7.2, 4000)[:, None]
    last = encode(model, line, layers="3", progress=False).bits()[:, 0]
    assert (last[1:] != last[:-1]).sum() >= 3
    layered = nn.Sequential(*model, nn.Linear(1, 1))
    relations = pair_relations(layered, torch.tensor([[0.2], [-20.0]]), torch.tensor([[4.2], [2.8]]))
    few, many = np.argsort(relations.density)
    assert relations.density[few] < relations.density[many]
    assert relations.similarity[few] < relations.similarity[many]


def test_lower_density_does_not_always_come_with_a_smaller_ratio() -> None:
    model = nn.Hardtanh()
    relations = pair_relations(model, torch.zeros(2, 1), torch.tensor([[1.0], [4.0]]))
    assert relations.density.tolist() == [0, 1]
    assert relations.ratio.tolist() == [1.0, 0.25]


def test_each_part_is_what_it_is_called() -> None:
    model = mlp(3, 9, 9, 2, act=nn.GELU)
    x, y = some_pairs(5, 3)
    relations = pair_relations(model, x, y, samples=65, same_label=[True, False, True, False, True])
    a, b = (encode(model, points, progress=False).intervals() for points in (x, y))
    np.testing.assert_allclose(relations.similarity, (a == b).mean(axis=1))
    np.testing.assert_array_equal(relations.n_differing, (a != b).sum(axis=1))
    np.testing.assert_allclose(relations.data_distance, (x - y).norm(dim=1), rtol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(relations.prediction_distance, (model(x) - model(y)).norm(dim=1), rtol=1e-4)
    np.testing.assert_allclose(relations.ratio, relations.prediction_distance / relations.data_distance)
    assert json.loads(json.dumps(relations.to_dict()))["samples"] == 65


def test_rank_correlations_are_between_the_right_quantities_and_know_when_there_is_none() -> None:
    from scipy.stats import spearmanr

    relations = pair_relations(mlp(2, 12, 12, 1), *some_pairs(30, 2))
    expected = spearmanr(relations.density, relations.ratio).statistic
    assert relations.density_and_ratio.value == pytest.approx(expected)
    expected = spearmanr(relations.density, relations.prediction_distance).statistic
    assert relations.density_and_distance.value == pytest.approx(expected)
    same = pair_relations(mlp(2, 12, 1), torch.ones(5, 2), torch.ones(5, 2))
    assert np.isnan(same.density_and_ratio.value)
    assert np.isnan(same.density_and_similarity.value)


def test_labels_have_to_be_as_many_as_pairs() -> None:
    with pytest.raises(ValueError, match=r"same_label has shape \(3,\), but there are 2 pairs"):
        pair_relations(mlp(2, 3, 1), *some_pairs(2, 2), same_label=[True, False, True])


def test_pairs_are_drawn_with_the_line_of_28() -> None:
    relations = pair_relations(mlp(2, 12, 12, 1), *some_pairs(30, 2), same_label=np.arange(30) % 2 == 0)
    ax = relations.plot()
    drawn = np.concatenate([points.get_offsets() for points in ax.collections])
    assert sorted(map(tuple, drawn)) == sorted(zip(relations.similarity, relations.density, strict=True))
    assert np.allclose(ax.get_lines()[0].get_ydata()[-1], 0)
    ax.figure.canvas.draw()
    other = relations.plot(y="prediction_distance")
    assert not other.get_lines()
    assert other.get_ylabel() == "prediction distance"
