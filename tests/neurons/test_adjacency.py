"""Regions on two sides of a border, and where the definition by patterns and the geometry part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from actscope import encode
from actscope.neurons import region_borders, transition_density


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), depth=st.integers(1, 3), act=st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.ReLU6]))
def test_regions_that_touch_differ_in_one_neuron_and_come_arbitrarily_close(
    seed: int, depth: int, act: type[nn.Module]
) -> None:
    torch.manual_seed(seed)
    layers = [layer for i in range(depth) for layer in (nn.Linear(2 if i == 0 else 12, 12), act())]
    x, y = torch.randn(20, 2), torch.randn(20, 2)
    found = region_borders(nn.Sequential(*layers), x, y)
    assert found.adjacent.all(), found
    assert (found.distances < 1e-14 * (1 + (x - y).norm(dim=1).numpy()[found.rows])).all()


def test_the_border_is_where_the_pattern_changes() -> None:
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(1), model.bias.fill_(-0.3)
    found = region_borders(nn.Sequential(model, nn.ReLU()), torch.zeros(2, 1), torch.tensor([[0.2], [1.0]]))
    assert found.rows.tolist() == [1]
    np.testing.assert_allclose(found.along, 0.3, rtol=1e-6)


def test_copies_of_a_neuron_change_together() -> None:
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [1.0], [4.0]]))
        model[0].bias.copy_(torch.tensor([-0.3, -0.3, 1.0]))
    found = region_borders(model, torch.zeros(1, 1), torch.ones(1, 1))
    assert found.n_differing.tolist() == [2]
    assert found.adjacent_share == 0.0


def bump() -> nn.Sequential:
    """One input and four neurons; the last is on from 1 to 3, and the third changes at 2: (… 0, 0) (… 0, 1) (… 1, 1) (… 1, 0)."""
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [0.0], [1.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 1.0, -2.0]))
        model[2].weight.copy_(torch.tensor([[1.0, -1.0, -2.0]]))
        model[2].bias.zero_()
    return model


def test_deeper_regions_whose_patterns_differ_in_one_neuron_need_not_touch() -> None:
    model = bump()
    x, y = torch.tensor([[0.5]]), torch.tensor([[3.5]])
    a, b = (encode(model, points, progress=False) for points in (x, y))
    assert (a.intervals() != b.intervals()).sum() == 1
    line = torch.linspace(0.5, 3.5, 301)[:, None]
    assert len(np.unique(encode(model, line, progress=False).packed, axis=0)) == 4
    assert transition_density(model, x, y).tolist() == [3]


def test_with_one_hidden_layer_regions_whose_patterns_differ_in_one_neuron_touch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 6), nn.ReLU())
    points = torch.randn(300, 2)
    patterns = encode(model, points, progress=False).intervals()
    a, b = np.nonzero((patterns[:, None] != patterns[None]).sum(axis=2) == 1)
    chosen = np.arange(0, len(a), max(1, len(a) // 200))
    assert len(chosen) > 50
    assert (transition_density(model, points[a[chosen]], points[b[chosen]]) == 1).all()


def test_segments_within_one_region_have_no_border() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with pytest.raises(ValueError, match="none of the 1 segments has different patterns"):
        region_borders(model, torch.zeros(1, 1), torch.zeros(1, 1))
