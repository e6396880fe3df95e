"""The polytope around an input: against one linear program a halfspace, against samples, against what the model says beyond a facet."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor, nn

from actscope import encode
from actscope.regions import NotPiecewiseLinearError, read_program
from actscope.regions.polyhedra.convexsets import merged
from actscope.regions.polyhedra.facets import facets_by_vertices
from actscope.regions.polyhedra.linear_programs import LinearProgram, LinearProgramError, maximize
from actscope.regions.polyhedra.rays import facets_by_rays
from actscope.regions.polytopes import polytope
from actscope.training import MLP


def mlp(*widths: int, seed: int = 0) -> nn.Module:
    return MLP(widths[0], list(widths[1:]), 1, init="torch", seed=seed).double()


def point(d: int, *, seed: int = 0) -> Tensor:
    return torch.rand(d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Convolutional(nn.Module):
    """A convolution, max pooling, a residual layer; 1×6×6 images."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            self.conv = nn.Conv2d(1, 2, 3)
            self.inner, self.last = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.max_pool2d(torch.relu(self.conv(x)), 2).flatten(1)
        return self.last(torch.relu(h + self.inner(h)))


def irredundant(A: NDArray[np.float64], b: NDArray[np.float64]) -> list[int]:
    """The halfspaces that a polytope cannot do without, by a linear program for each: can it be violated where all others hold?"""
    kept = []
    for i in range(len(b)):
        others = np.delete(np.arange(len(b)), i)
        best = linprog(
            -A[i],
            A_ub=np.vstack([A[others], A[i : i + 1]]),
            b_ub=np.append(b[others], b[i] + 1),
            bounds=(None, None),
            method="highs-ipm",
        )
        assert best.status == 0
        if -best.fun > b[i] + 1e-7:
            kept.append(i)
    return kept


def pattern(model: nn.Module, x: Tensor) -> NDArray[np.uint8]:
    return encode(model, x[None], dtype=torch.float64, progress=False).packed[0]


@given(seed=st.integers(0, 10**6), d=st.integers(1, 6), bounded=st.booleans())
@settings(max_examples=15, deadline=None)
def test_facets_are_the_halfspaces_that_linear_programs_find_irredundant(seed: int, d: int, bounded: bool) -> None:
    cell = polytope(mlp(d, 6, 6, seed=seed), point(d, seed=seed), box=(-3, 3) if bounded else None)
    assert cell.facets.tolist() == irredundant(cell.A, cell.b)


@given(seed=st.integers(0, 10**6), d=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_rays_and_vertices_find_the_same_facets(seed: int, d: int) -> None:
    generator = np.random.default_rng(seed)
    normals = np.concatenate([generator.standard_normal((12, d)), np.eye(d), -np.eye(d)])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    slack = np.concatenate([generator.uniform(1, 3, 12), np.full(2 * d, 2.0)])
    whole = merged(normals, slack, np.zeros(len(slack)), np.arange(len(slack)))
    by_vertices = facets_by_vertices(whole)
    assert by_vertices is not None
    np.testing.assert_array_equal(by_vertices.rows, facets_by_rays([whole])[0].rows)


@pytest.mark.parametrize("rays", [True, False], ids=["rays first", "linear programs alone"])
def test_a_hyperplane_that_touches_a_corner_is_no_facet(rays: bool) -> None:
    s = 0.5**0.5  # a square that stands on a corner, and a line that leans on another one
    normals = np.array([[1.0, 0.0], [s, s], [s, -s], [-s, s], [-s, -s]])
    whole = merged(normals, np.array([1.0, s, s, s, s]), np.zeros(5), np.arange(5))
    assert facets_by_rays([whole], rays=rays)[0].rows.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("rays", [True, False], ids=["rays first", "linear programs alone"])
def test_rays_change_nothing_about_the_facets(rays: bool) -> None:
    cell = polytope(mlp(8, 10, 10), point(8))
    whole = merged(cell.A, cell.b - cell.A @ cell.x.numpy(), np.zeros(len(cell.b)), np.arange(len(cell.b)))
    assert facets_by_rays([whole], rays=rays)[0].rows.tolist() == irredundant(cell.A, cell.b)


def test_points_of_facets_lie_on_their_own_facet_and_strictly_within_all_others() -> None:
    cell = polytope(mlp(5, 8, 8), point(5))
    slack = cell.b[cell.facets] - cell.facet_points @ cell.A[cell.facets].T
    np.testing.assert_allclose(np.diag(slack), 0, atol=1e-9)
    np.fill_diagonal(slack, np.inf)
    assert slack.min() > 1e-6


def test_a_cell_contains_just_the_points_with_its_pattern() -> None:
    model, x = mlp(3, 6, 6), point(3)
    cell = polytope(model, x)
    near = x + 0.3 * torch.randn(2000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    same = (encode(model, near, dtype=torch.float64, progress=False).packed == cell.packed).all(axis=1)
    assert 50 < same.sum() < 1950
    np.testing.assert_array_equal(cell.contains(near), same)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_inner_ball_is_inside_and_touches_the_polytope(seed: int) -> None:
    cell = polytope(mlp(4, 6, 6, seed=seed), point(4, seed=seed), box=(-2, 2))
    assert (cell.b - cell.A @ cell.centre).min() == pytest.approx(cell.radius, rel=1e-6)
    assert ((cell.b - cell.A @ cell.centre) <= cell.radius * (1 + 1e-6)).sum() >= 2


def test_no_ball_inside_is_larger_than_the_inner_ball() -> None:
    cell = polytope(mlp(3, 6, 6), point(3), box=(-1, 2))
    generator = np.random.default_rng(0)
    centres = cell.centre + cell.radius * generator.standard_normal((20000, 3))
    assert (cell.b - centres @ cell.A.T).min(axis=1).max() <= cell.radius * (1 + 1e-9)


def test_where_balls_of_every_radius_fit_the_radius_is_infinite_and_the_centre_well_inside() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    nn.init.eye_(model[0].weight)
    cell = polytope(model, torch.tensor([1e-3, 2.0]))
    assert cell.radius == np.inf
    assert (cell.b - cell.A @ cell.centre).min() > 0.5


def test_an_infinite_slab_has_a_finite_radius() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.load_state_dict({"0.weight": torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), "0.bias": torch.tensor([0.0, 1.0])})
    cell = polytope(model, torch.tensor([0.25, 7.0]))
    assert cell.radius == pytest.approx(0.5)
    assert cell.centre == pytest.approx([0.5, 7.0])


@pytest.mark.parametrize(
    ("model", "x"),
    [(mlp(2, 6, 6), point(2)), (mlp(20, 12, 12), point(20)), (Convolutional(), point(36).reshape(1, 6, 6))],
    ids=["2 inputs", "20 inputs", "convolution and pooling"],
)
def test_neighbours_are_what_the_model_says_behind_each_facet(model: nn.Module, x: Tensor) -> None:
    cell = polytope(model, x)
    found = cell.neighbours()
    assert len(found) == len(cell.facets)
    assert not len(found.unread)
    read = encode(model, found.points, dtype=torch.float64, progress=False)
    np.testing.assert_array_equal(found.codes.packed, read.packed)
    beyond = found.points.flatten(1).numpy() @ cell.A.T > cell.b
    np.testing.assert_array_equal(beyond.argmax(axis=1), found.facets)
    np.testing.assert_array_equal(beyond.sum(axis=1), 1)


def test_behind_a_neurons_facet_that_neuron_has_switched_and_no_other_one() -> None:
    cell = polytope(mlp(6, 8), point(6))
    found = cell.neighbours()
    for row, bits in zip(found.facets, found.codes.bits(), strict=True):
        assert [owner.neuron for owner in cell.owners[row]] == [
            (k,) for k in np.flatnonzero(bits != cell.codes.bits()[0])
        ]


def test_neurons_with_one_hyperplane_share_a_row_and_switch_together() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).double()
    model.load_state_dict(
        {
            "0.weight": torch.tensor([[0.3, 0.1], [0.1, 0.1 / 3], [-0.9, -0.3]], dtype=torch.float64),
            "0.bias": torch.tensor([0.2, 0.2 / 3, -0.6], dtype=torch.float64),
        }
    )
    cell = polytope(model, torch.tensor([1.0, 1.0]))
    assert [[owner.neuron for owner in owners] for owners in cell.owners] == [[(0,), (1,), (2,)]]
    assert cell.codes.bits().tolist() == [[True, True, False]]
    assert cell.neighbours().codes.bits().tolist() == [[False, False, True]]


def test_a_cell_far_thinner_than_the_facet_it_hides_behind_is_not_stepped_over() -> None:
    first, second = nn.Linear(2, 2).double(), nn.Linear(2, 1).double()
    with torch.no_grad():
        first.weight.copy_(torch.eye(2))
        first.bias.copy_(torch.tensor([0.0, 5.0]))
        second.weight.copy_(torch.tensor([[-1e5, 1.0]]))  # bends from x2 = 0 to x1 = 1e-5 x2
        second.bias.fill_(-5.0)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
    cell = polytope(model, torch.tensor([-0.5, 0.5]), box=(-1, 1))
    found = cell.neighbours()
    behind = {
        cell.owners[row][0].name: bits for row, bits in zip(found.facets, found.codes.bits().tolist(), strict=True)
    }
    assert behind == {"1": [True, True, True], "3": [False, True, False]}


def test_neighbours_are_mutual() -> None:
    model = mlp(3, 6, 6)
    cell = polytope(model, point(3))
    for other in cell.neighbours().points:
        back = polytope(model, other).neighbours()
        assert any((row == cell.packed).all() for row in back.codes.packed)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_longest_chord_is_inside_and_no_chord_through_a_sampled_point_is_longer(seed: int) -> None:
    cell = polytope(mlp(2, 6, 6, seed=seed), point(2, seed=seed), box=(-2, 2))
    v = np.array([0.6, 0.8])
    chord = cell.longest_chord(3 * v)
    assert chord.start is not None
    assert chord.end is not None
    np.testing.assert_allclose(chord.end - chord.start, chord.length * v, atol=1e-9)
    assert cell.contains(np.stack([chord.start, chord.end]), tolerance=1e-8).all()
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(cell.vertices())), 500)
    slack, rate = cell.b - weights @ cell.vertices() @ cell.A.T, cell.A @ v
    ahead = np.where(rate > 0, slack / np.where(rate > 0, rate, 1), np.inf).min(axis=1)
    behind = np.where(rate < 0, slack / np.where(rate < 0, -rate, 1), np.inf).min(axis=1)
    assert (ahead + behind).max() <= chord.length * (1 + 1e-7)


@pytest.mark.parametrize(
    ("direction", "length"),
    [((1.0, 0.0), 1.0), ((0.0, 1.0), np.inf), ((3.0, 4.0), 5 / 3)],
    ids=["across", "along", "askew"],
)
def test_a_slab_has_finite_chords_across_and_infinite_ones_along(direction: tuple[float, float], length: float) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.load_state_dict({"0.weight": torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), "0.bias": torch.tensor([0.0, 1.0])})
    assert polytope(model, torch.tensor([0.25, 7.0])).longest_chord(direction).length == pytest.approx(length)


def test_in_an_unbounded_cone_every_chord_is_infinite() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    nn.init.eye_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    assert polytope(model, torch.ones(2)).longest_chord([1.0, -1.0]).length == np.inf


def test_the_corners_of_a_triangle_and_its_area() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    model.load_state_dict(
        {"0.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), "0.bias": torch.tensor([0.0, 0.0, 1.0])}
    )
    cell = polytope(model, torch.tensor([0.2, 0.2]))
    corners = cell.vertices()
    np.testing.assert_allclose(corners[np.lexsort(corners.T)], [[0, 0], [1, 0], [0, 1]], atol=1e-12)
    assert cell.volume() == pytest.approx(0.5)


def test_a_box_without_hyperplanes_is_the_cell() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    nn.init.zeros_(model[0].weight)
    cell = polytope(model, torch.zeros(3), box=(-1, [1.0, 2.0, 3.0]))
    assert cell.volume() == pytest.approx(2 * 3 * 4)
    assert cell.radius == pytest.approx(1)
    assert not len(cell.neighbours())


def test_without_any_hyperplane_the_cell_is_the_whole_space() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    nn.init.zeros_(model[0].weight)
    cell = polytope(model, torch.zeros(2))
    assert (len(cell.b), len(cell.facets), cell.radius) == (0, 0, np.inf)
    assert cell.contains(torch.full((1, 2), 1e9)).all()
    assert not len(cell.neighbours())
    assert cell.longest_chord([1.0, 0.0]).length == np.inf


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_the_scale_of_the_inputs_does_not_matter(scale: float) -> None:
    model, scaled, x = mlp(3, 6, 6), mlp(3, 6, 6), point(3)
    with torch.no_grad():
        next(scaled.parameters()).div_(scale)
    one, other = polytope(model, x), polytope(scaled, scale * x)
    assert one.facets.tolist() == other.facets.tolist()
    assert other.radius == pytest.approx(scale * one.radius, rel=1e-6)
    assert len(other.neighbours()) == len(one.neighbours())


def test_an_input_on_a_hyperplane_belongs_to_the_side_where_the_value_is_not_positive() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    model.load_state_dict({"0.weight": torch.tensor([[1.0], [-1.0]]), "0.bias": torch.tensor([0.0, -1.0])})
    cell = polytope(model, torch.zeros(1))
    assert cell.codes.bits().tolist() == [[False, False]]
    assert cell.centre == pytest.approx([-0.5])


def test_an_input_whose_pattern_has_no_interior_is_refused() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    model.load_state_dict({"0.weight": torch.tensor([[1.0], [-1.0]]), "0.bias": torch.zeros(2)})
    with pytest.raises(ValueError, match="no interior"):
        polytope(model, torch.zeros(1))


@pytest.mark.parametrize(
    ("x", "box", "message"),
    [
        (torch.tensor([np.nan, 0.0]), None, "not finite"),
        (torch.tensor([2.0, 0.0]), (-1, 1), "strictly inside the box"),
        (torch.zeros(3), None, "(2,)"),
    ],
)
def test_bad_inputs_are_refused(x: Tensor, box: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        polytope(read_program(mlp(2, 3), torch.zeros(1, 2)), x, box=box)


def test_a_model_that_is_not_piecewise_linear_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(NotPiecewiseLinearError, match="sigmoid"):
        polytope(model, torch.zeros(2))


def test_vertices_of_an_unbounded_polytope_are_refused() -> None:
    with pytest.raises(ValueError, match="unbounded"):
        polytope(mlp(2, 2), point(2)).vertices()


def test_a_result_in_plain_values_names_the_facets_owners() -> None:
    cell = polytope(mlp(2, 4), point(2), box=(-1, 2))
    values = cell.to_dict()
    assert [facet["owners"][0] for facet in values["facets"]] == [cell.owners[row][0].to_dict() for row in cell.facets]
    assert {facet["owners"][0]["name"] for facet in values["facets"]} >= {"box"}


def test_a_program_on_which_the_simplex_method_gives_up_is_solved_all_the_same() -> None:
    cell = polytope(mlp(5, 6, 6, seed=2087), point(5, seed=2087))
    others = np.delete(np.arange(len(cell.b)), 5)
    matrix, bounds = cell.A[[*others, 5]], np.append(cell.b[others], cell.b[5] + 1)
    value, place = maximize([LinearProgram(cell.A[5], matrix, bounds)])[0]
    assert (matrix @ place <= bounds + 1e-8).all()
    assert value == pytest.approx(cell.A[5] @ place)
    assert (value > cell.b[5] + 1e-7) == (5 in cell.facets)


def test_a_program_without_an_optimum_is_said() -> None:
    with pytest.raises(LinearProgramError, match="1 constraints"):
        maximize([LinearProgram(np.array([1.0]), np.array([[-1.0]]), np.zeros(1))])
