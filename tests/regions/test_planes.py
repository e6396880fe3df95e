"""Regions in planes: exact counts, polygons that tile, patterns and maps of the model itself."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.regions.model_grammar import random_model
from tests.regions.networks import ResidualPooled, images
from tests.regions.references import GOLDEN, cells_in_square, golden_layers, layers_of, model_of, n_linear_regions
from torch import nn

import actscope.regions.planes as planes_module
from actscope import encode, regions
from actscope.training import MLP


def square(half_width: float) -> tuple[float, float, float, float]:
    return (-half_width, half_width, -half_width, half_width)


@pytest.mark.parametrize("net", GOLDEN, ids=lambda net: f"{net['hidden_widths']}")
def test_golden_squares_have_the_number_of_regions_of_rational_arithmetic(net: dict) -> None:
    model = model_of(golden_layers(net["n_in"], net["hidden_widths"], net["seed"]))
    for half_width, expected in net["square_half_width_to_regions"].items():
        window = square(float(half_width))
        found = regions.plane(model, window=window, verify=True)
        assert found.n_regions == found.n_cells == found.n_components == expected
        assert regions.count_in_plane(model, window=window) == expected


@pytest.mark.parametrize("m", [3, 4, 5, 8, 10, 16, 32, 64, 130])
def test_one_hidden_layer_has_the_regions_of_an_arrangement_in_general_position(m: int) -> None:
    model = MLP(2, [m], 1, init="torch", seed=m).double()
    expected = regions.bounds.arrangement(m, 2)
    found = regions.plane(model, window=None)
    assert found.n_regions == expected
    assert regions.count_in_plane(model, window=None) == expected
    assert int(np.isfinite(found.areas).sum()) == regions.bounds.arrangement(m, 2, bounded=True)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.sampled_from([0.0, 0.25]))
@settings(max_examples=25)
@example(8915, [2, 3], 0.0)
def test_counts_equal_those_of_rational_arithmetic(seed: int, widths: list[int], slope: float) -> None:
    """Weights of two digits: neurons repeat, vanish and meet in one point now and then, and are no reason for slivers."""
    layers = golden_layers(2, widths, seed)
    expected = len(cells_in_square(layers, 2, slope=slope))
    assert regions.plane(model_of(layers, slope=slope), window=square(2.0)).n_regions == expected
    assert regions.count_in_plane(model_of(layers, slope=slope), window=square(2.0)) == expected


@pytest.mark.parametrize("seed", range(12))
def test_integer_weights_make_no_slivers(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU()).double()
    for parameter in model.parameters():
        parameter.data = torch.randint(-2, 3, parameter.shape, generator=generator).double()
    layers = layers_of(model)
    expected = len(cells_in_square(layers, 3))
    found = regions.plane(model, window=square(3.0), verify=True)
    assert found.n_regions == expected
    assert regions.count_in_plane(model, window=square(3.0)) == expected


def test_linear_regions_equal_those_of_rational_arithmetic() -> None:
    layers = golden_layers(2, [4, 3], 5)
    weight = [[1.0, -1.0, 0.5]]
    model = nn.Sequential(*model_of(layers), nn.Linear(3, 1)).double()
    model[-1].load_state_dict({"weight": torch.tensor(weight), "bias": torch.zeros(1)})
    cells = cells_in_square(layers, 10, output=layers_of(model[-1:])[0])
    found = regions.plane(model, window=square(10.0))
    assert found.n_regions == len(cells)
    assert found.n_linear_regions == n_linear_regions(cells)


@pytest.mark.parametrize("seed", range(12))
def test_a_network_of_slope_one_is_one_linear_region_however_narrow_its_cells_are(seed: int) -> None:
    model = model_of(golden_layers(2, [3, 3, 3, 3, 2, 4], seed), slope=1)
    for window in (square(100.0), None):
        found = regions.plane(model, window=window)
        assert found.n_cells > 5
        assert found.n_linear_regions == 1


@pytest.mark.parametrize("seed", range(30))
def test_random_models_agree_with_their_partition(seed: int) -> None:
    model, shape = random_model(seed)
    section = regions.Plane.through(*(2 * torch.randn((3, *shape), generator=torch.Generator().manual_seed(seed))))
    for window in (square(0.5), None):
        found = regions.plane(model, section, window=window, verify=True, max_regions=20_000)
        assert found.complete
        assert regions.count_in_plane(model, section, window=window) == found.n_regions


def test_a_residual_cnn_with_pooling_agrees_with_its_partition() -> None:
    residual_pooled = ResidualPooled.drawn(0)
    section = regions.Plane.through(*images(3))
    found = regions.plane(residual_pooled, section, window=square(0.2), verify=True)
    assert found.n_regions > 500
    assert regions.count_in_plane(residual_pooled, section, window=square(0.2)) == found.n_regions
    # the same number of regions along a line in the plane, which is found in another way
    a, b = section.points([[-0.2, 0.013], [0.2, -0.021]])
    met = np.unique(found.region[found.cell_of(np.linspace([-0.2, 0.013], [0.2, -0.021], 200_001)[1:-1])])
    assert regions.line(residual_pooled, a, b, verify=True).n_regions == len(met)


def test_polygons_tile_the_window_and_neighbours_differ_in_one_neuron() -> None:
    """Jiang et al. 2022, Definition 2 and Lemma 5, in general position: one neuron, and points as close as one likes."""
    model = MLP(2, [10, 10], 3, init="torch", seed=3).double()
    found = regions.plane(model, window=square(4.0))
    assert math.isclose(found.areas.sum(), 64.0, rel_tol=1e-9)
    differing = np.unpackbits(found.packed[found.neighbours[:, 0]] ^ found.packed[found.neighbours[:, 1]], axis=1).sum(
        axis=1
    )
    assert (differing == 1).all()
    middle = found.places[found.edges, :2].mean(axis=1)
    for side in (0, 1):
        beside = middle + 1e-7 * (found.centres[found.neighbours[:, side]] - middle)
        codes = encode(model, torch.from_numpy(beside), dtype=torch.float64)
        assert codes.packed.tolist() == found.packed[found.neighbours[:, side]].tolist()
    # every edge inside the window has a polygon on both sides: Euler's formula
    n_points = len(np.unique(found.corners))
    n_edges = (len(found.corners) + _n_border_edges(found)) // 2
    assert n_points - n_edges + len(found) == 1


def _n_border_edges(found: regions.PlaneRegions) -> int:
    return len(found.corners) - 2 * len(found.neighbours)


@given(st.integers(0, 1000))
@settings(max_examples=10)
def test_regions_are_convex_and_connected_and_linear_ones_no_more(seed: int) -> None:
    """Hanin & Rolnick 2019, Lemmas 1 to 3, for ReLU networks with every site in the pattern."""
    model = MLP(2, [6, 6], 2, init="torch", seed=seed).double()
    found = regions.plane(model, window=square(3.0))
    assert found.n_components == found.n_regions
    assert found.n_linear_regions is not None
    assert found.n_linear_regions <= found.n_regions
    rng = np.random.default_rng(seed)
    for cell in rng.integers(0, len(found), 20):
        corners = found.polygon(int(cell))[:, :2]
        inside = rng.dirichlet(np.ones(len(corners)), 5) @ corners
        codes = encode(model, torch.from_numpy(inside), dtype=torch.float64)
        assert (codes.packed == found.packed[cell]).all()


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
@settings(max_examples=10)
def test_scaling_all_biases_keeps_the_number_of_regions_of_a_whole_plane_through_the_origin(
    seed: int, factor: float
) -> None:
    """Hanin & Rolnick 2019, Lemma 6, for ReLU without normalization."""
    model = MLP(5, [8, 8], 2, init="torch", seed=seed).double()
    section = regions.Plane.random((5,), generator=torch.Generator().manual_seed(seed))
    before = regions.count_in_plane(model, section, window=None)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data *= factor
    assert regions.count_in_plane(model, section, window=None) == before


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scaled_inputs_and_biases_keep_every_region(scale: float) -> None:
    model = MLP(4, [10, 10], 2, init="torch", seed=1).double()
    examples = torch.randn((3, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = regions.plane(model, regions.Plane.through(*examples), window=None)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data *= scale
    found = regions.plane(model, regions.Plane.through(*(scale * examples)), window=None, verify=True)
    assert found.n_regions == expected.n_regions
    assert np.allclose(
        np.sort(found.areas[np.isfinite(found.areas)]), np.sort(expected.areas[np.isfinite(expected.areas)]), rtol=1e-4
    )


def test_lines_that_meet_in_one_point_are_counted_once_each() -> None:
    angles = np.arange(7) * math.pi / 7 + 0.1
    model = nn.Sequential(nn.Linear(2, 7), nn.ReLU()).double()
    model[0].load_state_dict(
        {"weight": torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], 1)), "bias": torch.zeros(7)}
    )
    for window in (square(1.0), None):
        assert regions.plane(model, window=window, verify=True).n_regions == 14
        assert regions.count_in_plane(model, window=window) == 14


def test_duplicate_opposite_dead_and_constant_neurons_add_no_regions() -> None:
    model = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU()).double()
    weight = [[1.0, 0.5], [1.0, 0.5], [-1.0, -0.5], [0.0, 0.0], [0.0, 0.0], [2.0, 1.0]]
    model[0].load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor([0.1, 0.1, -0.1, 0.0, -3.0, 0.2])})
    model[2].bias.data.fill_(-100.0)
    found = regions.plane(model, window=square(1.0), verify=True)
    assert found.n_regions == found.n_cells == 2
    assert regions.count_in_plane(model, window=square(1.0)) == 2


@pytest.mark.parametrize("window", [square(3.0), None])
def test_a_neuron_that_cancels_out_everywhere_adds_no_regions(
    window: tuple[float, float, float, float] | None,
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 7), nn.ReLU(), nn.Linear(7, 2), nn.ReLU()).double()
    model[0].weight.data = torch.randn((7, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model[0].bias.data = torch.linspace(-0.7, 0.9, 7, dtype=torch.float64)
    model[0].weight.data[1], model[0].bias.data[1] = math.pi * model[0].weight.data[0], math.pi * model[0].bias.data[0]
    model[2].weight.data[0] = torch.tensor([math.pi, -1.0, 0, 0, 0, 0, 0], dtype=torch.float64)  # rounding, and no more
    model[2].bias.data[0] = 0.0
    without = nn.Sequential(model[0], model[1], nn.Linear(7, 1), nn.ReLU()).double()
    without[2].weight.data, without[2].bias.data = model[2].weight.data[1:], model[2].bias.data[1:]
    expected = regions.plane(without, window=window).n_regions
    assert regions.plane(model, window=window, verify=True).n_regions == expected
    assert regions.count_in_plane(model, window=window) == expected
    a, b = torch.tensor([[-3.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    assert regions.line(model, a, b, verify=True).n_regions == regions.line(without, a, b).n_regions


def test_width_one_and_a_dead_layer() -> None:
    model = MLP(2, [1, 1, 1], 1, init="torch", seed=8).double()
    assert regions.plane(model, window=None, verify=True).n_regions == regions.count_in_plane(model, window=None)
    model.linear2.bias.data.fill_(-1e3)
    model.linear2.weight.data.fill_(0.0)
    assert regions.plane(model, window=square(50.0), verify=True).n_linear_regions == 1


def test_breakpoints_and_layers_choose_the_pattern() -> None:
    model = MLP(2, [5, 5], 2, init="torch", seed=2).double()
    first = regions.plane(model, window=None, layers="relu1", verify=True)
    assert (
        first.n_regions
        == regions.count_in_plane(model, window=None, layers="relu1")
        == regions.bounds.arrangement(5, 2)
    )
    last = regions.plane(model, window=square(3.0), layers="relu2", verify=True)
    assert last.n_regions == regions.count_in_plane(model, window=square(3.0), layers="relu2")
    assert last.n_cells == regions.plane(model, window=square(3.0)).n_cells > last.n_regions
    several = regions.plane(model, window=square(3.0), breakpoints=(-0.5, 0.0, 0.5), verify=True)
    assert (
        several.n_regions
        == regions.count_in_plane(model, window=square(3.0), breakpoints=(-0.5, 0.0, 0.5))
        > last.n_cells
    )


def test_one_hidden_layer_of_sigmoids_has_exact_regions() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 2)).double()
    found = regions.plane(model, window=None, verify=True)
    families = 1 + 4 * 3 + math.comb(4, 2) * 3 * 3  # four families of three parallel lines
    assert found.n_regions == regions.count_in_plane(model, window=None) == families


def test_blocks_make_the_same_partition_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP(2, [9, 9, 9], 2, init="torch", seed=4).double()
    whole = regions.plane(model, window=square(3.0))
    monkeypatch.setattr(planes_module, "_BYTES", 5000)
    parts = regions.plane(model, window=square(3.0), verify=True)
    assert sorted(map(bytes, parts.packed)) == sorted(map(bytes, whole.packed))
    assert len(parts.neighbours) == len(whole.neighbours)
    assert parts.n_components == whole.n_components
    assert np.allclose(np.sort(parts.areas), np.sort(whole.areas))
    assert regions.count_in_plane(model, window=square(3.0)) == whole.n_regions
    assert regions.count_in_plane(model, window=None) == regions.plane(model, window=None).n_regions


@pytest.mark.parametrize("seed", [8, 10, 14])
def test_blocks_of_models_with_pooling_make_the_same_partition(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, shape = random_model(seed)
    section = regions.Plane.through(*(2 * torch.randn((3, *shape), generator=torch.Generator().manual_seed(seed))))
    for window in (square(0.5), None):
        whole = regions.plane(model, section, window=window)
        with monkeypatch.context() as patched:
            patched.setattr(planes_module, "_BYTES", 1)
            parts = regions.plane(model, section, window=window, verify=True)
            assert regions.count_in_plane(model, section, window=window) == whole.n_regions
        assert sorted(map(bytes, parts.packed)) == sorted(map(bytes, whole.packed))
        assert len(parts.neighbours) == len(whole.neighbours)
        assert parts.n_linear_regions == whole.n_linear_regions
        assert parts.n_components == whole.n_components


def test_beyond_the_limit_the_partition_says_that_it_is_not_complete() -> None:
    model = MLP(2, [16, 16], 2, init="torch", seed=4).double()
    everything = regions.plane(model, window=square(3.0))
    part = regions.plane(model, window=square(3.0), max_regions=50)
    assert not part.complete
    assert part.n_cells <= 50
    assert 40 < part.n_regions <= everything.n_regions
    assert math.isclose(part.areas.sum(), 36.0, rel_tol=1e-9)
    assert "at least" in repr(part)
    assert regions.plane(model, window=square(3.0), max_regions=everything.n_cells).complete


@pytest.mark.parametrize("window", [square(3.0), None])
@pytest.mark.parametrize("layers", [None, "relu2"])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 13])
def test_a_partition_that_was_stopped_has_patterns_of_the_model_and_no_more_regions_than_there_are(
    window: tuple[float, float, float, float] | None, layers: str | None, most: int
) -> None:
    model = MLP(2, [2, 3], 2, init="torch", seed=5).double()
    everything = regions.plane(model, window=window, layers=layers)
    part = regions.plane(model, window=window, layers=layers, max_regions=most, verify=True)
    assert part.n_cells <= (most if window else max(3, most))
    assert part.n_regions <= everything.n_regions
    assert {bytes(pattern) for pattern in part.packed} <= {bytes(pattern) for pattern in everything.packed}
    if window:
        assert part.complete == (part.n_cells == everything.n_cells)


def test_local_maps_are_the_derivatives_of_the_model() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.3), nn.Linear(8, 3)).double()
    section = regions.Plane.through(*torch.randn((3, 6), generator=torch.Generator().manual_seed(2)), unit=2.0)
    found = regions.plane(model, section, window=None)
    assert found.gradients is not None
    for i, coordinates in enumerate(found.centres):
        x = section.points(coordinates)[0]
        jacobian = torch.autograd.functional.jacobian(model, x)
        along = torch.stack([jacobian @ section.u, jacobian @ section.v], dim=1)
        assert np.allclose(found.gradients[i], along, rtol=1e-8, atol=1e-10)
    basis, _ = torch.linalg.qr(torch.stack([section.u, section.v], dim=1))
    norms = [
        torch.linalg.matrix_norm(torch.autograd.functional.jacobian(model, x) @ basis, 2)
        for x in section.points(found.centres)
    ]
    assert np.allclose(found.norms, norms)


def test_planes_through_examples_hold_them_and_their_coordinates() -> None:
    x = torch.randn((3, 2, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    through = regions.Plane.through(*x)
    assert torch.allclose(through.points(through.coordinates(x)), x)
    assert np.abs(through.coordinates(x)).max() <= 0.8 + 1e-12  # a unit is 1.25 times the farthest
    at_origin = regions.Plane.through_origin(*x[:2])
    assert not at_origin.origin.any()
    assert torch.allclose(at_origin.points(at_origin.coordinates(x[:2])), x[:2])
    assert math.isclose(np.linalg.norm(at_origin.coordinates(x[:2]), axis=1).max(), 0.8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: regions.Plane.through(x, x, 2 * x), "lie on a line"),
        (lambda x: regions.Plane.through(x, x, x), "lie on a line"),
        (lambda x: regions.Plane.through_origin(x, -x), "lie on a line"),
        (lambda x: regions.Plane(x, x, 3 * x), "span no plane"),
        (lambda x: regions.Plane(x, x, torch.ones(5)), "one shape"),
        (lambda x: regions.Plane.through(x, x + 1, torch.ones(5)), r"one shape; got \(3,\), \(3,\), \(5,\)"),
        (lambda x: regions.Plane(x, x * np.nan, x), "not finite"),
    ],
)
def test_what_spans_no_plane_is_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(torch.tensor([1.0, 2.0, 3.0]))  # type: ignore[operator]  # one of the functions above


def test_what_does_not_fit_is_refused_by_name() -> None:
    model = MLP(3, [4], 2)
    with pytest.raises(ValueError, match=r"does not take inputs of shape \(2,\)|takes 3 features"):
        regions.plane(model)
    with pytest.raises(ValueError, match="is empty"):
        regions.plane(MLP(2, [4], 2), window=(1.0, 1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="four finite numbers"):
        regions.plane(MLP(2, [4], 2), window=(0.0, math.inf, 0.0, 1.0))
    for window in (5, "all", (0.0, 1.0), ("a", "b", "c", "d")):
        with pytest.raises(ValueError, match="four finite numbers"):
            regions.plane(MLP(2, [4], 2), window=window)  # type: ignore[call-overload]  # what a user may give
    with pytest.raises(TypeError, match=r"must be an actscope.regions.Plane, such as .*; got Tensor"):
        regions.plane(MLP(2, [4], 2), torch.zeros(2))  # type: ignore[call-overload]  # what a user may give
    with pytest.raises(ValueError, match="max_regions=0: give 1 or more"):
        regions.plane(MLP(2, [4], 2), max_regions=0)
    smooth = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU())
    with pytest.raises(regions.NotPiecewiseLinearError, match="tanh"):
        regions.plane(smooth)
    assert type(regions.plane(smooth, samples=8)).__name__ == "SampledPlane"


def test_a_window_may_be_an_array_and_is_told_as_numbers() -> None:
    found = regions.plane(MLP(2, [4], 2), window=np.array([-1, 1, -1, 1]))  # type: ignore[call-overload]  # as users have them
    assert repr(found.to_dict()["window"]) == "[-1.0, 1.0, -1.0, 1.0]"


def test_broken_weights_are_refused_by_name() -> None:
    model = MLP(2, [4], 2)
    model.linear1.weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"'linear1.weight' of the model has a value that is not finite"):
        regions.plane(model)


def test_what_samples_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="for exact partitions"):
        regions.plane(MLP(2, [4], 2), samples=8, verify=True)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(ValueError, match=r"does not take inputs of shape \(2,\)"):
        regions.plane(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))


def test_verification_finds_a_wrong_pattern_map_and_area() -> None:
    program = regions.read_program(MLP(2, [6], 2, init="torch", seed=3), torch.zeros(1, 2))
    found = regions.plane(program, window=square(2.0), verify=True)
    wrong = found.packed.copy()
    wrong[2] ^= 4
    with pytest.raises(regions.PartitionError, match="cell 2: neuron 2 of site 'relu1'"):
        planes_module._verify(program, replace(found, packed=wrong))
    assert found.corner_values is not None
    with pytest.raises(regions.PartitionError, match="differs from the model's"):
        planes_module._verify(program, replace(found, corner_values=found.corner_values + 1e-3))
    with pytest.raises(regions.PartitionError, match="areas of the cells add up to"):
        planes_module._verify(program, replace(found, window=square(2.1)))


def test_an_untrained_network_has_about_half_its_neurons_squared_whatever_its_depth() -> None:
    """Hanin & Rolnick 2019, Figure 1 at epoch 0: few draws here, wide bounds."""
    ratios = []
    for (width, depth), seed in itertools.product([(16, 4), (20, 3), (40, 2)], range(3)):
        model = MLP(784, [width] * depth, 10, init="he", seed=seed)
        section = regions.Plane.through_origin(*images(2).flatten(1))
        count = regions.count_in_plane(model, section, window=square(20.0))
        ratios.append(count / ((width * depth) ** 2 / 2))
    assert min(ratios) > 0.5
    assert max(ratios) < 1.5
