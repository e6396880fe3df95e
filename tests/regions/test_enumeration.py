"""All regions in a box: against exact arithmetic, known numbers, samples, and the model itself."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.regions.references import GOLDEN, cells_in_square, golden_layers, model_of, n_linear_regions
from torch import Tensor, nn

from actscope import encode
from actscope.regions import NotPiecewiseLinearError, read_program
from actscope.regions.arrangements import arrangement
from actscope.regions.enumeration import BoxRegions, enumerate_regions
from actscope.regions.polyhedra import enclosing
from actscope.regions.verifying import PartitionError
from actscope.training import MLP


def linear(weight: Any, bias: Any) -> nn.Linear:
    w, b = torch.as_tensor(weight, dtype=torch.float64), torch.as_tensor(bias, dtype=torch.float64)
    layer = nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(w)
        layer.bias.copy_(b)
    return layer


def drawn(*widths: int, seed: int = 0) -> list[nn.Linear]:
    """Linear layers from the first width to the last, normal weights and biases."""
    generator = np.random.default_rng(seed)
    return [
        linear(generator.standard_normal((n_out, n_in)), generator.standard_normal(n_out))
        for n_in, n_out in itertools.pairwise(widths)
    ]


def with_relus(layers: list[nn.Linear]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in layers[:-1]:
        modules += [layer, nn.ReLU()]
    return nn.Sequential(*modules, layers[-1])


class Pooled(nn.Module):
    """A layer, its ReLUs in pairs of which the larger goes on, another layer with ReLUs."""

    def __init__(self, n_in: int = 2, *, seed: int = 3) -> None:
        super().__init__()
        self.first, self.second, self.last = drawn(n_in, 6, 6, 1, seed=seed)
        self.second = linear(self.second.weight.detach()[:, :3], self.second.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        h = torch.max_pool1d(torch.relu(self.first(x))[:, None], 2)[:, 0]
        return self.last(torch.relu(self.second(h)))


class Residual(nn.Module):
    """A block added to its input, batch-normalized, behind a LeakyReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last = drawn(2, 5, 5, 1, seed=5)
        self.norm = nn.BatchNorm1d(5).double()
        nn.init.uniform_(self.norm.weight, 0.5, 2.0, generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.leaky_relu(self.first(x), 0.2)
        return self.last(nn.functional.relu6(h + self.norm(self.inner(h))))


def sampled_patterns(model: nn.Module, found: BoxRegions, n: int = 3000) -> set[bytes]:
    points = torch.from_numpy(np.random.default_rng(0).uniform(*found.box, (n, found.box.shape[1])))
    points = points.reshape(-1, *found.input_shape)
    return {row.tobytes() for row in encode(model, points, dtype=torch.float64, progress=False).packed}


@pytest.mark.parametrize(
    ("m", "d", "n"), [(3, 2, 7), (4, 2, 11), (5, 2, 16), (8, 2, 37), (4, 3, 15), (5, 3, 26), (5, 4, 31), (3, 1, 4)]
)
def test_one_layer_has_as_many_regions_as_an_arrangement_in_general_position(m: int, d: int, n: int) -> None:
    found = enumerate_regions(nn.Sequential(*drawn(d, m, seed=1), nn.ReLU()), (-1e3, 1e3), verify=True)
    assert found.n_regions == n == arrangement(m, d)
    assert found.complete


@pytest.mark.parametrize("net", GOLDEN[:5], ids=lambda net: f"{net['hidden_widths']} seed {net['seed']}")
def test_known_numbers_of_regions_in_squares_are_found(net: dict[str, Any]) -> None:
    model = model_of(golden_layers(net["n_in"], net["hidden_widths"], net["seed"]))
    known = {w: n for w, n in net["square_half_width_to_regions"].items() if n < 200}
    found = {w: enumerate_regions(model, (-float(w), float(w)), verify=True) for w in known}
    assert {w: result.n_regions for w, result in found.items()} == known
    assert all(result.complete for result in found.values())


@pytest.mark.parametrize("slope", [Fraction(0), Fraction(1, 4)], ids=["ReLU", "LeakyReLU"])
def test_areas_patterns_and_linear_regions_are_those_of_exact_arithmetic(slope: Fraction) -> None:
    layers = golden_layers(2, [5, 4], 3)
    exact = cells_in_square(layers, 10, slope=slope)
    found = enumerate_regions(model_of(layers, slope=slope), (-10, 10), verify=True)
    area = {cell.pattern: float(cell.size) for cell in exact}
    patterns = [tuple(row) for row in found.codes.bits().tolist()]
    assert sorted(patterns) == sorted(area)
    np.testing.assert_allclose(found.volumes, [area[pattern] for pattern in patterns], rtol=1e-9)
    assert found.n_linear_regions == n_linear_regions(exact)


@given(seed=st.integers(0, 10**6), bound=st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_integer_weights_whose_hyperplanes_meet_in_common_points_lose_and_invent_nothing(seed: int, bound: int) -> None:
    generator = np.random.default_rng(seed)
    layers = [
        (
            [tuple(Fraction(int(w)) for w in generator.integers(-bound, bound + 1, n_in)) for _ in range(n_out)],
            tuple(Fraction(int(b)) for b in generator.integers(-bound, bound + 1, n_out)),
        )
        for n_in, n_out in ((2, 4), (4, 4), (4, 3))
    ]
    exact = cells_in_square(layers, 4)
    found = enumerate_regions(model_of(layers), (-4, 4), verify=True)
    assert found.complete
    assert (found.n_regions, found.n_linear_regions) == (len({cell.pattern for cell in exact}), n_linear_regions(exact))


@given(seed=st.integers(0, 10**6), d=st.integers(1, 4), wide=st.integers(1, 5))
@settings(max_examples=8, deadline=None)
def test_cells_fill_the_box_neighbours_are_mutual_and_linear_regions_are_no_more_than_cells(
    seed: int, d: int, wide: int
) -> None:
    found = enumerate_regions(
        with_relus(drawn(d, wide, 3, 2, seed=seed)), (-2, 2), verify=True
    )  # which adds volumes up
    assert found.complete
    assert (found.neighbours[:, 0] < found.neighbours[:, 1]).all()
    assert found.n_linear_regions is not None
    assert found.n_linear_regions <= found.n_cells == found.n_regions


@pytest.mark.parametrize("d", [2, 3])
def test_neighbours_differ_by_what_owns_the_facet_between_them(d: int) -> None:
    found = enumerate_regions(nn.Sequential(*drawn(d, 5, seed=2), nn.ReLU()), (-5, 5))
    bits = found.codes.bits()
    for (i, j), owners in zip(found.neighbours, found.owners, strict=True):
        assert [owner.neuron for owner in owners] == [(k,) for k in np.flatnonzero(bits[i] != bits[j])]


def test_many_dimensions_give_the_same_by_rays_as_few_by_vertices(monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_relus(drawn(3, 5, 4, 1))
    by_vertices = enumerate_regions(model, (-3, 3))
    monkeypatch.setattr(enclosing, "MOST_DIMENSIONS", 1)
    by_rays = enumerate_regions(model, (-3, 3), verify=True)
    assert len(by_rays.neighbours) == len(by_vertices.neighbours)
    order, other = (np.lexsort(found.packed.T) for found in (by_vertices, by_rays))
    np.testing.assert_array_equal(by_vertices.packed[order], by_rays.packed[other])
    np.testing.assert_allclose(by_vertices.radii[order], by_rays.radii[other], rtol=1e-6)


def test_a_box_of_six_dimensions_holds_every_sampled_pattern() -> None:
    model = with_relus(drawn(6, 4, 3, 1))
    found = enumerate_regions(model, (-2, 2), verify=True)
    assert found.complete
    assert sampled_patterns(model, found) <= {row.tobytes() for row in found.packed}


def test_duplicate_and_opposite_neurons_switch_together() -> None:
    first, second, last = drawn(2, 3, 3, 1)
    w, b = first.weight.detach(), first.bias.detach()
    doubled = linear(torch.cat([w, w / 3, -2 * w[:1]]), torch.cat([b, b / 3, -2 * b[:1]]))
    mixed = linear(torch.cat([second.weight.detach(), torch.full((3, 4), 0.1)], dim=1), second.bias.detach())
    model = with_relus([doubled, mixed, last])
    found = enumerate_regions(model, (-20, 20), verify=True)
    assert found.complete
    assert sampled_patterns(model, found) <= {row.tobytes() for row in found.packed}
    assert {len(owners) for owners in found.owners if owners[0].name == "1"} == {2, 3}


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        (torch.zeros(3, 2), torch.tensor([0.0, 1.0, -1.0])),
        (torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), torch.zeros(3)),
    ],
    ids=["all zero", "some zero"],
)
def test_neurons_without_weights_bound_nothing(weight: Tensor, bias: Tensor) -> None:
    found = enumerate_regions(nn.Sequential(linear(weight, bias), nn.ReLU()), (-1, 1), verify=True)
    assert found.n_regions == 1 + int(weight.any())


def test_behind_a_dead_layer_there_is_one_linear_region() -> None:
    first = drawn(2, 4)[0]
    dead = linear(-torch.ones(3, 4), [-1.0, 0.0, -2.0])
    model = nn.Sequential(first, nn.ReLU(), dead, nn.ReLU(), linear(torch.ones(2, 3), [0.0, 1.0]), nn.ReLU())
    found = enumerate_regions(model, (-5, 5), verify=True)
    assert found.n_linear_regions == 1
    assert found.n_regions == enumerate_regions(nn.Sequential(first, nn.ReLU()), (-5, 5)).n_regions


def test_layers_of_one_neuron_cut_the_box_in_parallel_slabs() -> None:
    model = with_relus([linear([[1.0, 2.0]], [0.0]), linear([[1.0]], [-0.5]), linear([[-1.0]], [1.0])])
    assert enumerate_regions(model, (-1, 1), verify=True).n_regions == 3


def test_one_input_gives_intervals() -> None:
    model = nn.Sequential(linear([[1.0], [1.0]], [0.0, -0.5]), nn.ReLU(), linear([[2.0, -4.0]], [0.0]))
    found = enumerate_regions(model, (0.0, 1.0), verify=True)
    np.testing.assert_allclose(found.volumes, [0.5, 0.5], rtol=1e-12)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_the_scale_of_the_inputs_does_not_matter(scale: float) -> None:
    first, second, last = drawn(2, 5, 4, 1)
    scaled = with_relus([linear(first.weight.detach() / scale, first.bias.detach()), second, last])
    one, other = (
        enumerate_regions(with_relus([first, second, last]), (-4, 4)),
        enumerate_regions(scaled, (-4 * scale, 4 * scale), verify=True),
    )
    np.testing.assert_array_equal(one.packed, other.packed)
    np.testing.assert_allclose(other.radii, scale * one.radii, rtol=1e-6)


def test_the_place_and_the_shape_of_the_box_do_not_matter() -> None:
    first, second, last = drawn(2, 5, 4, 1)
    stretch, shift = torch.tensor([1e5, 1e-3], dtype=torch.float64), torch.tensor([3e6, 0.2], dtype=torch.float64)
    weight = first.weight.detach() / stretch
    moved = with_relus([linear(weight, first.bias.detach() - weight @ shift), second, last])
    found = enumerate_regions(moved, (shift - 4 * stretch, shift + 4 * stretch), verify=True)
    assert found.n_regions == enumerate_regions(with_relus([first, second, last]), (-4, 4)).n_regions


def test_balls_are_round_in_the_input_space_whatever_the_proportions_of_the_box() -> None:
    model = nn.Sequential(linear([[1.0, 0.0]], [-4.0]), nn.ReLU())
    found = enumerate_regions(model, ([0.0, 0.0], [10.0, 5.0]), verify=True)
    np.testing.assert_allclose(np.sort(found.radii), [2.0, 2.5])


def test_a_choice_between_entries_that_are_equal_but_for_rounding_bounds_nothing() -> None:
    class Largest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(torch.maximum(x * 0.1 * 3, x * 0.3))

    assert enumerate_regions(Largest(), ([-1.0, -1.0], [1.0, 1.0]), verify=True).n_cells == 4


def test_pooling_choices_bound_cells_but_not_regions() -> None:
    model = Pooled()
    found = enumerate_regions(model, (-4, 4), verify=True)
    assert found.complete
    assert found.n_cells > found.n_components >= found.n_regions
    assert sampled_patterns(model, found) <= {row.tobytes() for row in found.packed}
    assert any(owner.pair is not None for owners in found.owners for owner in owners)


def test_residual_normalized_models_with_several_breakpoints_are_counted() -> None:
    model = Residual().eval()
    found = enumerate_regions(model, (-3, 3), verify=True)
    assert found.complete
    assert sampled_patterns(model, found) <= {row.tobytes() for row in found.packed}


def test_layers_choose_the_pattern_that_is_counted_and_not_the_cells() -> None:
    model = with_relus(drawn(2, 5, 4, 1))
    found, of_all = enumerate_regions(model, (-4, 4), layers="3", verify=True), enumerate_regions(model, (-4, 4))
    assert found.n_cells == of_all.n_cells
    assert found.n_linear_regions == of_all.n_linear_regions
    assert found.n_regions == len(np.unique(of_all.codes.select("3").packed, axis=0)) < of_all.n_regions


def test_breakpoints_choose_the_pattern_that_is_counted() -> None:
    model = nn.Sequential(*drawn(2, 3), nn.Tanh())
    found = enumerate_regions(model, (-1e3, 1e3), breakpoints=(-1.0, 1.0), verify=True)
    assert found.n_regions == 1 + 6 + 12  # three pairs of parallel lines: Σ C(3, j) 2^j
    assert found.n_linear_regions is None


def test_a_limit_stops_the_search_and_is_said() -> None:
    found = enumerate_regions(with_relus(drawn(2, 8, 8, 1)), (-3, 3), max_regions=10, verify=True)
    assert not found.complete
    assert found.n_cells == 10
    assert "max_regions=10" in found.reason
    assert "at least 10" in repr(found)


def test_a_limit_that_is_not_exceeded_leaves_the_result_complete() -> None:
    model = nn.Sequential(*drawn(2, 3, seed=1), nn.ReLU())
    assert enumerate_regions(model, (-1e3, 1e3), max_regions=7).complete


def test_processes_do_not_change_the_result() -> None:
    model = with_relus(drawn(2, 10, 10, 1))
    alone, together = (enumerate_regions(model, (-5, 5), n_jobs=n) for n in (1, 2))
    assert alone.n_cells > 128  # more than one task at a time
    for name in ("packed", "centres", "radii", "volumes", "neighbours"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))


def test_a_program_counts_like_its_model() -> None:
    model = with_relus(drawn(2, 5, 4, 1))
    program = read_program(model, torch.zeros(1, 2))
    assert enumerate_regions(program, (-4, 4)).n_regions == enumerate_regions(model, (-4, 4)).n_regions


def test_a_model_that_is_not_piecewise_linear_is_refused_by_name() -> None:
    layers = drawn(2, 4, 4)
    with pytest.raises(NotPiecewiseLinearError, match="tanh"):
        enumerate_regions(nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.ReLU()), (-1, 1))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((1.0, -1.0), "each lower bound below its upper bound"),
        ((0.0, float("inf")), "must be finite"),
        (([0.0], [1.0]), "shape (1,), an input has (2,)"),
        ((0.0, 1.0, 2.0), "give (lower, upper)"),
    ],
)
def test_a_box_that_is_none_is_refused(box: Any, message: str) -> None:
    program = read_program(with_relus(drawn(2, 3, 1)), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=re.escape(message)):
        enumerate_regions(program, box)


def test_two_numbers_do_not_tell_the_shape_of_an_image() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 2), nn.ReLU())
    with pytest.raises(ValueError, match="bounds of the input's shape"):
        enumerate_regions(model, (0.0, 1.0))
    found = enumerate_regions(model, (torch.zeros(1, 2, 2), torch.ones(1, 2, 2)), verify=True)
    assert found.input_shape == (1, 2, 2)


def test_verification_raises_where_result_and_model_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    program = read_program(with_relus(drawn(2, 4, 1)), torch.zeros(1, 2))
    assert program.model is not None
    with torch.no_grad():
        next(program.model.parameters()).neg_()  # the model that verification runs, not the constants in the program
    other = read_program(with_relus(drawn(2, 4, 1, seed=9)), torch.zeros(1, 2))
    object.__setattr__(other, "model", program.model)
    with pytest.raises(PartitionError):
        enumerate_regions(other, (-4, 4), verify=True)


def test_polygons_are_drawn_in_two_dimensions_only() -> None:
    found = enumerate_regions(MLP(2, [6], 1, init="torch", seed=0), (-3, 3))
    assert len(found.plot().collections[0].get_paths()) == found.n_cells
    with pytest.raises(ValueError, match="3 dimensions"):
        enumerate_regions(MLP(3, [3], 1, init="torch", seed=0), (-3, 3)).plot()


def test_a_result_in_plain_values_says_how_it_was_made() -> None:
    values = enumerate_regions(nn.Sequential(*drawn(2, 3, seed=1), nn.ReLU()), (-1e3, 1e3)).to_dict()
    assert values["n_regions"] == values["n_cells"] == values["n_components"] == 7
    assert values["n_neighbours"] == 9  # three lines, each cut in three by the other two
    assert values["complete"] is True
    assert values["tolerance"] == 1e-9
