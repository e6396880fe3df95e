"""Diameters, against forward passes along the line and against bisection."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.regions.membership import in_cells_of
from tests.regions.model_grammar import random_model, tensor_of
from torch import Tensor, nn

from actscope import encode
from actscope.regions import NotPiecewiseLinearError, read_program
from actscope.regions.boundaries import Boundaries
from actscope.regions.crossings import Crossings
from actscope.regions.diameters import diameter
from actscope.regions.maps import affine
from actscope.regions.programs.linearization import Linearizer


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def along(points: Tensor, directions: Tensor, t: np.ndarray) -> Tensor:
    """(n, *input_shape) the points x + t v, v of length one."""
    lengths = torch.linalg.vector_norm(directions.flatten(1), dim=1)
    steps = (torch.from_numpy(t) / lengths).reshape(-1, *[1] * (points.ndim - 1))
    return points + steps * directions


def mlp(n_in: int, *widths: int, seed: int = 0, activation: type[nn.Module] | None = None) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in zip((n_in, *widths), widths, strict=False):
        layers += [nn.Linear(before, after), (activation or nn.ReLU)()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 2))


class ResidualNetwork(nn.Module):
    """Convolutions, batch normalization, max pooling and a residual connection on 6×6 images."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.pool, self.second, self.head = (
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(3, 3, 3, padding=1),
            nn.Linear(27, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(torch.relu(self.norm(self.first(x))))
        y = torch.nn.functional.leaky_relu(y + self.second(y), 0.1)
        return self.head(y.flatten(1))


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_cell_goes_on_up_to_both_ends_and_no_further(seed: int) -> None:
    model, shape = random_model(seed)
    points, directions = normal(6, *shape, seed=seed), normal(6, 1, *shape, seed=seed + 1)
    program = read_program(model, points)
    found = diameter(program, points, directions=directions)
    linearizer = Linearizer(program.until_last_site())
    for signed in (found.right[:, 0], -found.left[:, 0]):
        size = np.where(np.isinf(signed), math.copysign(1e3, signed[0]), signed)
        for share in (0.3, 0.9, 1 - 1e-7):
            assert in_cells_of(linearizer, points, along(points, directions[:, 0], share * size)).all()
        beyond = size * (1 + 1e-7) + np.copysign(1e-9, size)
        outside = ~in_cells_of(linearizer, points, along(points, directions[:, 0], beyond))
        assert (outside == np.isfinite(signed)).all()


def test_the_model_is_affine_in_the_region_and_bends_behind_it() -> None:
    torch.manual_seed(1)
    model, points, directions = ResidualNetwork().eval(), normal(20, 1, 6, 6), normal(20, 1, 1, 6, 6, seed=1)
    found, maps = diameter(model, points, directions=directions), affine(model, points)
    model.double()
    for ends in (found.right[:, 0], -found.left[:, 0]):
        inside, outside = (along(points, directions[:, 0], share * ends) for share in (0.999, 1.5))
        torch.testing.assert_close(maps(inside), model(inside).detach(), atol=1e-12, rtol=0)
        bends = (maps(outside) - model(outside)).abs().amax(dim=1) > 1e-9
        # a unit that the pooling behind it passes over switches unseen
        assert float(bends.double().mean()) > 0.3


@pytest.mark.parametrize(
    ("model", "breakpoints"),
    [
        (mlp(12, 20, 20, 20), None),
        (mlp(12, 20, 20, activation=nn.LeakyReLU), None),
        (mlp(12, 20, 20, activation=nn.Hardtanh), (-1.0, 0.0, 1.0)),
        (mlp(12, 20, activation=nn.Tanh), None),
        (mlp(12, 20, 20, activation=nn.ReLU), (-0.5, 0.0, 0.5)),
    ],
    ids=["relu", "leaky relu", "hardtanh", "one layer of tanh", "several breakpoints"],
)
def test_lengths_agree_with_bisection(model: nn.Module, breakpoints: tuple[float, ...] | None) -> None:
    points, directions = normal(50, 12), normal(50, 1, 12, seed=1)
    found = diameter(model, points, directions=directions, breakpoints=breakpoints)

    def pattern(x: Tensor) -> np.ndarray:
        return encode(model, x, breakpoints=breakpoints, dtype=torch.float64).packed

    own = pattern(points)
    for ends, sign in ((found.right[:, 0], 1.0), (found.left[:, 0], -1.0)):
        low, high = np.zeros(50), np.full(50, 100.0)
        beyond = (pattern(along(points, directions[:, 0], sign * high)) != own).any(axis=1)
        for _ in range(45):
            middle = (low + high) / 2
            inside = (pattern(along(points, directions[:, 0], sign * middle)) == own).all(axis=1)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        assert beyond.sum() > 10
        np.testing.assert_allclose(ends[beyond], low[beyond], rtol=1e-8, atol=2e-8)
        assert (ends[~beyond] > 100).all()


def test_the_boundary_is_the_neuron_that_switches_first() -> None:
    model = mlp(5, 8, 8)
    points, directions = normal(30, 5), normal(30, 2, 5, seed=1)
    found = diameter(model, points, directions=directions)
    codes = encode(model, points, dtype=torch.float64)
    names, before = [site.name for site in codes.sites], codes.intervals()
    for column in range(2):
        beyond = along(points, directions[:, column], found.right[:, column] * (1 + 1e-7) + 1e-9)
        after = encode(model, beyond, dtype=torch.float64).intervals()
        for i in np.flatnonzero(np.isfinite(found.right[:, column])):
            boundary = found.boundary(i, column)
            assert boundary is not None
            assert np.flatnonzero(before[i] != after[i]).tolist() == [
                names.index(boundary.name) * 8 + boundary.neuron[0]
            ]


def test_a_pair_of_inputs_of_a_pooling_can_be_the_boundary() -> None:
    model = nn.Sequential(nn.Unflatten(1, (1, 2)), nn.MaxPool1d(2), nn.ReLU())
    point = torch.tensor([[2.0, 1.0]])
    found = diameter(model, point, directions=torch.tensor([[[0.0, 1.0]]]))
    assert (found.right, found.left) == (1.0, math.inf)
    boundary = found.boundary(0)
    assert boundary is not None
    assert boundary.pair == (0, 1)
    assert str(boundary).startswith("inputs 0 and 1 for output")
    assert "max_pool" in boundary.name
    assert found.boundary(0, side="left") is None


def test_twin_inputs_of_a_pooling_never_part() -> None:
    torch.manual_seed(0)
    layer = nn.Conv1d(1, 1, 3)
    model = nn.Sequential(nn.Linear(3, 5), layer, nn.MaxPool1d(3, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[:1].expand(5, 3) / 3), model[0].bias.fill_(0.7)
    found = diameter(model, normal(10, 1, 3), directions=normal(10, 3, 1, 3))
    assert all(b is None or b.pair is None for i in range(10) for d in range(3) for b in [found.boundary(i, d)])


def test_a_point_on_a_level_leaves_at_once_on_the_side_on_which_the_value_rises() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    nn.init.ones_(model[0].weight), nn.init.zeros_(model[0].bias)
    found = diameter(model, torch.zeros(1, 1), directions=torch.tensor([[[1.0], [-1.0]]]))
    assert found.right.tolist() == [[0.0, math.inf]]
    assert found.left.tolist() == [[math.inf, 0.0]]


def test_dead_layers_and_zero_weights_have_no_end() -> None:
    model = mlp(4, 6, 6)
    with torch.no_grad():
        model[0].weight.zero_(), model[2].weight.zero_()
    found = diameter(model, normal(3, 4), directions=2)
    assert np.isinf(found.length).all()
    assert (found.left_boundary == -1).all()
    assert found.summary().share_unbounded == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_lengths_scale_with_the_input(scale: float) -> None:
    model = mlp(6, 10, 10)
    points, directions = normal(20, 6), normal(20, 1, 6, seed=1)
    expected = diameter(model, points, directions=directions).length
    with torch.no_grad():
        model.double()[0].weight.div_(scale)
    np.testing.assert_allclose(diameter(model, scale * points, directions=directions).length, scale * expected)


def test_the_length_of_a_given_direction_does_not_matter() -> None:
    model, points, directions = mlp(6, 10), normal(5, 6), normal(5, 2, 6, seed=1)
    expected = diameter(model, points, directions=directions)
    np.testing.assert_allclose(diameter(model, points, directions=1e5 * directions).left, expected.left)


def test_compiled_loops_find_what_torch_finds() -> None:
    torch.manual_seed(0)
    program = read_program(ResidualNetwork().eval(), normal(1, 1, 6, 6))
    linearization = Linearizer(program).at(normal(9, 1, 6, 6))
    compiled, plain = Crossings.none(9, 4), Crossings.none(9, 4)
    slopes = linearization.along(normal(9, 4, 1, 6, 6, seed=1))
    for stop, dz, offset in zip(linearization.stops, slopes, Boundaries(program).offsets, strict=False):
        compiled.take(stop, dz, offset)
        plain.take_with_torch(stop, dz, offset)
    np.testing.assert_allclose(compiled.rates, plain.rates)
    np.testing.assert_array_equal(compiled.numbers, plain.numbers)


def test_the_batch_size_changes_nothing() -> None:
    model, points = mlp(6, 10, 10), normal(23, 6)
    whole, parts = (diameter(model, points, directions=3, batch_size=size) for size in (None, 5))
    np.testing.assert_allclose(whole.left, parts.left, rtol=1e-12)
    np.testing.assert_array_equal(whole.regions, parts.regions)


def test_one_seed_gives_one_result_and_another_seed_another() -> None:
    model, points = mlp(6, 10), normal(5, 6)
    one, again, other = (
        diameter(model, points, generator=torch.Generator().manual_seed(seed)).left for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_directions_are_uniform_on_the_sphere() -> None:
    found = diameter(mlp(3, 4), torch.zeros(1, 3), directions=4000)
    unit = torch.nn.functional.normalize(found.directions[0], dim=1)
    torch.testing.assert_close(unit.mean(dim=0), torch.zeros(3, dtype=torch.float64), atol=0.04, rtol=0)
    torch.testing.assert_close(unit.T @ unit / 4000, torch.eye(3, dtype=torch.float64) / 3, atol=0.03, rtol=0)


def test_every_region_counts_once_however_many_examples_it_holds() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Hardtanh())
    nn.init.ones_(model[0].weight), nn.init.zeros_(model[0].bias)
    x = torch.tensor([[0.0], [0.1], [0.2], [5.0]])  # three in (-1, 1], one beyond
    found = diameter(model, x, directions=2)
    assert found.regions.tolist() == [0, 0, 0, 1]
    assert found.weights.sum(axis=1).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    summary = found.summary(box=(-3, 7))
    assert (summary.n_regions, summary.share_unbounded) == (2, pytest.approx(0.5))
    assert summary.mean_in_box == pytest.approx((2 + 6) / 2)
    assert "box" in repr(summary)
    assert json.loads(json.dumps(summary.to_dict()))["median"] is None


def test_a_box_cuts_lines_where_they_leave_it() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
    nn.init.zeros_(model[0].weight), nn.init.ones_(model[0].bias)
    directions = torch.tensor([[[3.0, 4.0]]])
    found = diameter(model, torch.zeros(1, 2), directions=directions)
    assert found.summary(box=([-1, -1], [2, 1])).mean_in_box == pytest.approx(1.25 + 1.25)
    with pytest.raises(ValueError, match="does not hold example 0"):
        found.summary(box=(1, 2))


def test_layers_that_are_left_out_still_bend_what_comes_after_them() -> None:
    model, points, directions = mlp(5, 8, 8), normal(20, 5), normal(20, 1, 5, seed=1)
    whole = diameter(model, points, directions=directions)
    first, second = (diameter(model, points, directions=directions, layers=name) for name in ("1", "3"))
    np.testing.assert_allclose(second.length, whole.length)
    assert (first.length >= whole.length).all()
    assert (first.length > whole.length).any()


def test_examples_of_one_region_are_told_together() -> None:
    model, points = mlp(3, 4), normal(40, 3)
    codes = encode(model, points, dtype=torch.float64).packed
    regions = diameter(model, points).regions
    for i in range(40):
        assert ((regions == regions[i]) == (codes == codes[i]).all(axis=1)).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([[1.0, math.nan]]), "not finite"),
        (torch.zeros(2), "along the first axis"),
        (torch.zeros(1, 3), "does not run on x of shape"),
        (torch.zeros(0, 2), "no example"),
    ],
)
def test_bad_examples_are_refused_in_words(x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diameter(mlp(2, 3), x)


@pytest.mark.parametrize(
    "directions", [torch.zeros(3, 1, 2), torch.ones(3, 2), torch.full((3, 1, 2), math.inf), 0], ids=repr
)
def test_directions_that_point_nowhere_are_refused(directions: Tensor | int) -> None:
    with pytest.raises(ValueError, match="directions"):
        diameter(mlp(2, 3), torch.zeros(3, 2), directions=directions)


def test_a_model_that_is_not_piecewise_linear_is_refused_by_its_operation() -> None:
    with pytest.raises(NotPiecewiseLinearError, match="tanh"):
        diameter(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU()), torch.zeros(1, 2))


def test_the_model_is_left_as_it_was() -> None:
    model = mlp(2, 3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    diameter(model, torch.zeros(1, 2))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_histogram_says_what_it_cannot_show() -> None:
    found = diameter(mlp(3, 2), normal(20, 3), directions=3)
    share = found.summary().share_unbounded
    assert 0 < share < 1
    assert f"{100 * share:.1f} % have no end" in found.plot().texts[0].get_text()
    assert json.dumps(found.to_dict()["left_boundary"])


def test_outputs_in_tuples_and_dictionaries_are_no_obstacle() -> None:
    model, shape = next((m, s) for m, s in map(random_model, range(50)) if isinstance(m(torch.zeros(2, *s)), dict))
    assert tensor_of(model(torch.zeros(2, *shape))).ndim == 2
    assert len(diameter(model, normal(2, *shape))) == 2
