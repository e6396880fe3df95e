"""Regions on lines: exact counts, every breakpoint, many lines at once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.regions.model_grammar import random_model
from tests.regions.networks import ResidualPooled, images
from tests.regions.references import (
    GOLDEN,
    cells_on_segment,
    golden_layers,
    layers_of,
    model_of,
    n_linear_regions,
    switches_by_sampling,
)
from torch import Tensor, nn

import actscope.regions.lines as lines_module
from actscope import encode, regions
from actscope.regions.lines import count_on_rays
from actscope.training import MLP


class Tent(nn.Module):
    """The tent map on [0, 1], folded k times: 2^k linear pieces, whose breakpoints touch zero."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, h: Tensor) -> Tensor:
        for _ in range(self.k):
            h = 2 * torch.relu(h) - 4 * torch.relu(h - 0.5)
        return h


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer


@pytest.mark.parametrize("net", GOLDEN, ids=lambda net: f"{net['hidden_widths']}")
def test_golden_segments_have_the_number_of_regions_of_rational_arithmetic(net: dict) -> None:
    model = model_of(golden_layers(net["n_in"], net["hidden_widths"], net["seed"]))
    start, end = torch.tensor([-1000.0, 0.0]), torch.tensor([1000.0, 0.0])
    assert regions.line(model, start, end, verify=True).n_regions == net["segments_on_y0_from_x_minus_1000_to_1000"]
    assert regions.count_on_lines(model, start[None], end[None])[0] == net["segments_on_y0_from_x_minus_1000_to_1000"]


@pytest.mark.parametrize("k", range(1, 13))
def test_the_tent_map_folded_k_times_has_two_to_the_k_linear_regions(k: int) -> None:
    found = regions.line(Tent(k), torch.tensor([0.0]), torch.tensor([1.0]), verify=True)
    assert found.n_linear_regions == 2**k
    assert np.allclose(found.breakpoints, np.arange(1, 2**k) / 2**k)


@pytest.mark.parametrize("seed", range(1, 25))
def test_random_models_have_the_switches_that_dense_sampling_converges_to(seed: int) -> None:
    model, shape = random_model(seed)
    start, end = 2 * torch.randn((2, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = regions.line(model, start, end, verify=True)
    expected = switches_by_sampling(model, start, end, n=300)
    changes = found.breakpoints[(found.packed[1:] != found.packed[:-1]).any(axis=1)]
    assert len(changes) == len(expected)
    assert np.allclose(changes, expected, atol=1e-7)


def test_a_residual_cnn_with_pooling_has_the_switches_that_dense_sampling_converges_to() -> None:
    model = ResidualPooled.drawn(0)
    start, end = images(2)
    found = regions.line(model, start, end, verify=True)
    expected = switches_by_sampling(model, start.double(), end.double(), n=2000)
    assert found.n_transitions == len(expected) > 100
    assert regions.count_on_lines(model, start[None], end[None])[0] == found.n_regions


@pytest.mark.parametrize("seed", range(100, 116))
def test_whole_lines_of_random_models_agree_with_the_models_themselves(seed: int) -> None:
    model, shape = random_model(seed)
    start, end = torch.randn((2, *shape), generator=torch.Generator().manual_seed(seed))
    found = regions.line(model, start, end, extend=True, verify=True)
    assert found.left[0] == -np.inf
    assert found.right[-1] == np.inf
    assert regions.count_on_lines(model, start[None], end[None], extend=True)[0] == found.n_regions


@given(st.integers(0, 10_000), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.sampled_from([0.0, 0.25]))
@settings(max_examples=25)
def test_counts_equal_those_of_rational_arithmetic(seed: int, widths: list[int], slope: float) -> None:
    layers = golden_layers(2, widths, seed)
    expected = len(cells_on_segment(layers, (-3, 1), (4, -2), slope=slope))
    found = regions.line(model_of(layers, slope=slope), torch.tensor([-3.0, 1.0]), torch.tensor([4.0, -2.0]))
    assert found.n_regions == len(found.left) == expected


@pytest.mark.parametrize("seed", range(40))
def test_where_the_output_vanishes_rounding_makes_no_linear_regions(seed: int) -> None:
    layers = [(weight, (Fraction(0),) * len(bias)) for weight, bias in golden_layers(2, [5, 4, 3, 2], seed)]
    cells = cells_on_segment(layers, (-3, 1), (4, -2))
    found = regions.line(model_of(layers), torch.tensor([-3.0, 1.0]), torch.tensor([4.0, -2.0]))
    assert found.n_linear_regions == n_linear_regions(cells)


def test_many_lines_at_once_are_the_same_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP(6, [12, 12], 3, init="torch", seed=2)
    starts, ends = torch.randn((2, 9, 6), generator=torch.Generator().manual_seed(0))
    together = regions.on_lines(model, starts, ends)
    monkeypatch.setattr(lines_module, "_BYTES", 1000)  # a line at a time, and its intervals in halves
    apart = regions.on_lines(model, starts, ends)
    assert together.packed.tolist() == apart.packed.tolist()
    assert np.allclose(together.left, apart.left, rtol=1e-12)
    for i, one in enumerate(together):
        alone = regions.line(model, starts[i], ends[i])
        assert alone.packed.tolist() == one.packed.tolist()
        assert np.allclose(alone.slopes, one.slopes, rtol=1e-9, atol=1e-12)
        assert one.n_regions == apart.n_regions[i]
        assert one.n_linear_regions == apart[i].n_linear_regions


def test_patterns_are_the_codes_of_the_midpoints() -> None:
    model = nn.Sequential(nn.Linear(4, 9), nn.Hardtanh(), nn.Linear(9, 7), nn.LeakyReLU())
    found = regions.line(model, torch.full((4,), -3.0), torch.tensor([3.0, 2.0, 1.0, -1.0]))
    codes = encode(model, found.points(found.midpoints), dtype=torch.float64)
    assert found.sites == codes.sites
    assert found.packed.tolist() == codes.packed.tolist()


def test_each_switch_says_which_neuron_crosses_which_breakpoint_and_which_way() -> None:
    model = nn.Sequential(linear([[1.0], [-1.0]], [-0.25, 0.75]), nn.ReLU6())
    switches = regions.line(model, torch.tensor([0.0]), torch.tensor([8.0])).switches
    assert switches.to_dict() == {
        "t": [0.25 / 8, 0.75 / 8, 6.25 / 8],
        "where": ["1", "1", "1"],
        "index": [0, 1, 0],
        "level": [0.0, 0.0, 6.0],
        "rises": [True, False, True],
        "before": [None] * 3,
        "after": [None] * 3,
    }


def test_a_pooling_switches_between_its_inputs_without_a_change_of_pattern() -> None:
    model = nn.Sequential(
        linear([[1.0], [-1.0], [0.0]], [2.0, 3.0, 2.6]), nn.ReLU(), nn.Unflatten(1, (1, 3)), nn.MaxPool1d(3)
    )
    found = regions.line(model, torch.tensor([0.0]), torch.tensor([1.0]), verify=True)
    assert found.n_regions == 1
    assert found.n_linear_regions == 3
    assert np.allclose(found.breakpoints, [0.4, 0.6])
    assert found.switches.before.tolist() == [1, 2]
    assert found.switches.after.tolist() == [2, 0]


def test_the_pattern_that_counts_can_be_chosen() -> None:
    model = MLP(3, [8, 8], 2, init="torch", seed=5)
    a, b = torch.full((3,), -4.0), torch.tensor([4.0, 3.0, 4.0])
    first = regions.line(model, a, b, layers="relu1", verify=True)
    assert [site.name for site in first.sites] == ["relu1"]
    assert regions.count_on_lines(model, a[None], b[None], layers="relu1")[0] == first.n_regions
    assert first.n_regions < regions.line(model, a, b).n_regions
    shifted = regions.line(model, a, b, breakpoints={"relu1": (-0.5, 0.5)}, verify=True)
    expected = switches_by_sampling(model, a, b, n=2000, breakpoints={"relu1": (-0.5, 0.5)})
    assert shifted.n_transitions == len(expected)


def test_smooth_activations_are_cut_where_nothing_smooth_comes_before() -> None:
    model = nn.Sequential(nn.Linear(2, 5), nn.Sigmoid(), nn.Linear(5, 1))
    a, b = torch.tensor([-9.0, 5.0]), torch.tensor([8.0, 7.0])
    found = regions.line(model, a, b, verify=True)
    assert found.n_transitions == len(switches_by_sampling(model, a, b, n=1000))
    assert found.n_linear_regions is None


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scaled_inputs_and_biases_keep_every_region(scale: float) -> None:
    model = MLP(4, [10, 10], 2, init="torch", seed=1)
    a, b = torch.randn((2, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = regions.line(model, a, b, extend=True)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data *= scale
    found = regions.line(model, scale * a, scale * b, extend=True, verify=True)
    assert found.n_regions == expected.n_regions
    assert np.allclose(found.breakpoints, expected.breakpoints, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 1000), st.floats(1e-4, 1e4))
@settings(max_examples=20)
def test_scaling_all_biases_keeps_the_number_of_regions_on_a_line_through_the_origin(seed: int, factor: float) -> None:
    """Hanin & Rolnick 2019, Lemma 6; for the whole line, ReLU and no normalization."""
    model = MLP(3, [7, 7], 2, init="torch", seed=seed).double()
    direction = torch.randn((1, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    before = regions.count_on_lines(model, -direction, direction, extend=True)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data *= factor
    assert regions.count_on_lines(model, -direction, direction, extend=True) == before


def test_a_network_without_biases_switches_at_the_origin_alone() -> None:
    model = MLP(3, [7, 7], 2, seed=4)  # Keras's initialization: biases are zero
    found = regions.line(model, torch.zeros(3), torch.tensor([1.0, 2.0, -1.0]), extend=True, verify=True)
    assert found.n_regions == 2
    assert abs(found.breakpoints[0]) < 1e-12


def test_ends_may_be_lists_of_numbers() -> None:
    model = MLP(3, [7], 2, init="torch", seed=4)
    found = regions.line(model, [-3, 0, 1], [4, 0.5, 1])  # type: ignore[call-overload]  # as users type them
    assert found.n_regions == regions.line(model, torch.tensor([-3.0, 0, 1]), torch.tensor([4, 0.5, 1])).n_regions


def test_equal_ends_make_one_region() -> None:
    model = MLP(3, [7], 2, init="torch", seed=4)
    found = regions.line(model, torch.ones(3), torch.ones(3), verify=True)
    assert (found.n_regions, found.n_linear_regions) == (1, 1)


def test_duplicate_dead_and_constant_neurons_add_no_regions() -> None:
    weight = [[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [0.0, 0.0], [0.0, 0.0]]
    model = nn.Sequential(linear(weight, [0.3, 0.3, -0.3, 0.0, -1.0]), nn.ReLU(), nn.Linear(5, 4), nn.ReLU())
    model[2].bias.data.fill_(-100.0)
    found = regions.line(model, torch.tensor([-2.0, 0.5]), torch.tensor([1.0, 1.0]), verify=True)
    assert found.n_regions == 2
    assert found.n_near_ties == 2


def test_a_model_that_is_not_piecewise_linear_is_refused_with_the_operation_that_is_not() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.GELU(), nn.Linear(3, 3), nn.ReLU())
    with pytest.raises(regions.NotPiecewiseLinearError, match="gelu"):
        regions.line(model, torch.zeros(2), torch.ones(2))
    seen = regions.line(model, torch.zeros(2), torch.ones(2), samples=64)
    assert type(seen).__name__ == "SampledLine"


def test_inputs_that_do_not_fit_are_refused_by_name() -> None:
    model = MLP(3, [4], 2)
    with pytest.raises(ValueError, match=r"start\[0\] has a value that is not finite"):
        regions.line(model, torch.tensor([0.0, np.nan, 0.0]), torch.ones(3))
    with pytest.raises(ValueError, match=r"start has shape \(3,\) and end \(2,\)"):
        regions.line(model, torch.zeros(3), torch.ones(2))
    with pytest.raises(ValueError, match=r"starts has shape \(1, 3\) and ends \(1, 2\)"):
        regions.on_lines(model, torch.zeros(1, 3), torch.ones(1, 2))
    program = regions.read_program(model, torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"points have shape \(4,\)"):
        regions.line(program, torch.zeros(4), torch.ones(4))


@pytest.mark.parametrize("tolerance", [-1.0, 0.0, 1e-3, float("nan")])
def test_a_tolerance_that_rounding_is_not_within_is_refused(tolerance: float) -> None:
    model, ends = MLP(2, [4], 2), torch.eye(2)
    with pytest.raises(ValueError, match=r"tolerance=.*: give a share from 1e-13"):
        regions.line(model, *ends, tolerance=tolerance)
    with pytest.raises(ValueError, match=r"tolerance=.*: give a share from 1e-13"):
        regions.count_on_lines(model, ends, -ends, tolerance=tolerance)
    with pytest.raises(ValueError, match=r"tolerance=.*: give a share from 1e-13"):
        regions.plane(model, tolerance=tolerance)
    with pytest.raises(ValueError, match=r"tolerance=.*: give a share from 1e-13"):
        regions.count_in_plane(model, tolerance=tolerance)


def test_verification_finds_a_wrong_pattern_and_a_wrong_value() -> None:
    model = MLP(3, [6], 2, init="torch", seed=3)
    program = regions.read_program(model, torch.zeros(1, 3))
    found = regions.on_lines(program, -3 * torch.ones(1, 3), torch.tensor([[3.0, 2.0, 4.0]]), verify=True)
    assert len(found.left) > 2
    wrong = found.packed.copy()
    wrong[1] ^= 1
    with pytest.raises(regions.PartitionError, match="interval 1: neuron 0 of site 'relu1'"):
        lines_module._verify(program, replace(found, packed=wrong))
    with pytest.raises(regions.PartitionError, match="differs from the model's"):
        lines_module._verify(program, replace(found, values=found.values + 1e-3))
    with pytest.raises(regions.PartitionError, match="add up to"):
        lines_module._verify(program, replace(found, values=None, right=found.right - 1e-6))


def test_rays_count_the_cells_that_they_go_through() -> None:
    model = MLP(2, [6, 6], 2, init="torch", seed=3)
    program = regions.read_program(model, torch.zeros(1, 2)).until_last_site()
    start = torch.tensor([0.1, 0.2], dtype=torch.float64)
    directions = torch.randn((5, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    counts = count_on_rays(program, start, directions)
    far = regions.count_on_lines(model, start.expand(5, 2), start + 1e5 * directions)
    assert counts.tolist() == far.tolist()


def test_the_same_layers_are_found_in_a_model_and_in_its_program() -> None:
    model = MLP(3, [5, 5], 2, init="torch", seed=1)
    assert layers_of(model)  # a plain chain, which the reference can read too
    program = regions.read_program(model, torch.zeros(1, 3), layers="relu2")
    a, b = -torch.ones(3), torch.ones(3)
    assert regions.line(program, a, b).packed.tolist() == regions.line(model, a, b, layers="relu2").packed.tolist()
    with pytest.raises(ValueError, match="a Program has its layers and breakpoints already"):
        regions.line(program, a, b, layers="relu1")
