"""The decision boundary within a plane."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.regions import NotPiecewiseLinearError, plane
from actscope.regions.deciding import decision_boundary
from actscope.training import MLP

MODEL = MLP(2, [12, 12], 5, init="he", seed=2).double()
with torch.no_grad():  # larger biases: many classes near the origin
    for layer in (MODEL.linear1, MODEL.linear2, MODEL.output):
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=torch.Generator().manual_seed(1)))

WINDOWS = [(-4.0, 4.0, -4.0, 4.0), None]


def outputs(points: NDArray[np.float64]) -> Tensor:
    with torch.no_grad():
        found: Tensor = MODEL(torch.from_numpy(points))
    return found


def crossed(start: NDArray[np.float64], end: NDArray[np.float64], segments: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) how many of the segments each way from start to end crosses."""

    def turn(p: NDArray, q: NDArray, r: NDArray) -> NDArray:
        u, v = q - p, r - p
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    p, q = start[:, None], end[:, None]
    a, b = segments[None, :, 0], segments[None, :, 1]
    both: NDArray[np.int64] = ((turn(p, q, a) * turn(p, q, b) < 0) & (turn(a, b, p) * turn(a, b, q) < 0)).sum(axis=1)
    return both


@pytest.mark.parametrize("window", WINDOWS)
def test_on_the_boundary_the_two_largest_outputs_are_equal(window: tuple[float, float, float, float] | None) -> None:
    segments = decision_boundary(plane(MODEL, window=window))
    assert len(segments) > 20
    for share in (0.0, 0.3, 1.0):
        values = outputs((1 - share) * segments[:, 0] + share * segments[:, 1])
        first, second = values.topk(2, dim=1).values.unbind(1)
        assert float(((first - second) / values.abs().amax(1)).max()) < 1e-9


def test_between_points_of_different_classes_lies_a_boundary_and_between_near_ones_of_one_class_none() -> None:
    segments = decision_boundary(plane(MODEL, window=(-4.0, 4.0, -4.0, 4.0)))
    rng = np.random.default_rng(0)
    start = rng.uniform(-3.5, 3.5, (4000, 2))
    end = start + rng.normal(size=(4000, 2)) * 0.1
    changes = (outputs(start).argmax(1) != outputs(end).argmax(1)).numpy()
    n = crossed(start, end, segments)
    assert changes.sum() > 20
    assert (n[changes] >= 1).all()
    assert (n[~changes] == 0).mean() > 0.995  # a way may cut off a corner of the boundary


def test_three_classes_meet_in_one_cell() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    directions = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    model.load_state_dict({"0.weight": directions, "0.bias": torch.full((3,), 5.0)})
    segments = decision_boundary(plane(model))
    assert len(segments) == 3
    assert np.allclose(np.abs(segments).sum(axis=2).min(axis=1), 0, atol=1e-6)


def test_a_class_that_changes_on_the_edge_between_two_cells_makes_it_a_boundary() -> None:
    class Signs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.relu(x[:, 0]), torch.relu(-x[:, 0])], dim=1)

    for window in ((-1.0, 1.0, -2.0, 1.0), None):
        found = plane(Signs(), window=window)
        segments = decision_boundary(found)
        bounds = window or found.corner_window
        assert np.allclose(segments[..., 0], 0)
        assert np.abs(np.diff(segments[..., 1], axis=1)).sum() == pytest.approx(bounds[3] - bounds[2])
        assert (segments[..., 1].min(), segments[..., 1].max()) == pytest.approx(bounds[2:])


def test_a_narrower_window_cuts_the_boundary() -> None:
    found = plane(MODEL, window=None)
    segments = decision_boundary(found, (-1, 1, -1, 1))
    assert np.abs(segments).max() <= 1
    assert len(segments) > 2


def test_outputs_that_are_equal_everywhere_have_no_boundary() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.load_state_dict({"0.weight": torch.ones(2, 2), "0.bias": torch.zeros(2)})
    assert decision_boundary(plane(model)).shape == (0, 2, 2)


def test_one_output_has_no_classes() -> None:
    with pytest.raises(ValueError, match="one output"):
        decision_boundary(plane(MLP(2, [3], 1, seed=0)))


def test_an_output_that_is_not_piecewise_linear_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(dim=1))
    with pytest.raises(NotPiecewiseLinearError, match="logits"):
        decision_boundary(plane(model))


def test_cells_that_are_not_all_there_are_refused() -> None:
    with pytest.raises(ValueError, match="max_regions"):
        decision_boundary(plane(MODEL, max_regions=5))
