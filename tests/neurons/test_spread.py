"""Predictions inside a region and outside at one distance: what is measured, and where Theorem 2 fails."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from actscope import encode
from actscope.neurons import prediction_spread


def test_it_holds_where_the_region_beyond_is_steeper() -> None:
    found = prediction_spread(nn.ReLU(), torch.tensor([[-0.5]]), radius=1.0)
    assert (found.inside.tolist(), found.outside.tolist(), found.holds_share) == ([0.0], [0.5], 1.0)


def test_it_fails_in_the_steepest_region() -> None:
    found = prediction_spread(nn.ReLU(), torch.tensor([[0.5], [0.2]]), radius=1.0)
    assert found.holds_share == 0.0
    assert (found.inside > found.outside).all()
    assert found.quantiles[1] < 1


@pytest.mark.parametrize("radius", [0.1, 0.4])
def test_changes_are_those_of_the_points_drawn_and_equally_many_of_each_kind(radius: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    x = torch.randn(6, 2, dtype=torch.float64)
    found = prediction_spread(model, x, radius=radius, n_directions=50, seed=3)
    generator = torch.Generator().manual_seed(3)
    for row, centre in enumerate(x):
        away = torch.randn((50, 2), generator=generator, dtype=torch.float64)
        points = centre + radius * away / away.norm(dim=1, keepdim=True)
        same = (encode(model, points, progress=False).packed == encode(model, centre[None], progress=False).packed).all(
            axis=1
        )
        with torch.no_grad():
            changes = (model(points) - model(centre)).norm(dim=1).numpy()
        n = min(same.sum(), (~same).sum())
        assert found.n_inside[row] == same.sum()
        if n:
            np.testing.assert_allclose(found.inside[row], changes[same][:n].max())
            np.testing.assert_allclose(found.outside[row], changes[~same][:n].max())
        else:
            assert np.isnan(found.inside[row])
    assert found.compared.any()


def test_one_seed_gives_one_result() -> None:
    model, x = nn.Sequential(nn.Linear(2, 8), nn.ReLU()), torch.randn(3, 2)
    first, second = (prediction_spread(model, x, radius=0.5, n_directions=20, seed=5).to_dict() for _ in range(2))
    assert first == second


def test_where_nothing_can_be_compared_it_says_so() -> None:
    x = torch.tensor([[5.0]])
    for radius, words in ((1.0, "all directions stay in the region"),):
        found = prediction_spread(nn.ReLU(), x, radius=radius)
        assert not found.compared.any()
        assert np.isnan(found.holds_share)
        assert words in repr(found)
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["inside"] == [None]


def test_no_radius_and_no_floats_are_errors() -> None:
    with pytest.raises(ValueError, match="radius=0"):
        prediction_spread(nn.ReLU(), torch.zeros(1, 1), radius=0)
    with pytest.raises(TypeError, match="must be floating-point"):
        prediction_spread(nn.ReLU(), torch.zeros(1, 1, dtype=torch.int64), radius=1)
