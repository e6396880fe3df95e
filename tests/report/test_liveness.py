"""Which neurons never change: the packed way against looking at every pre-activation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actscope.codes import Codes, Site
from actscope.report.liveness import site_liveness

KINDS = {
    "relu": ((0.0,), (0.0,), (0.0, 1.0), True),
    "leaky": ((0.0,), (0.0,), (0.01, 1.0), True),
    "relu6": ((0.0, 6.0), (0.0, 6.0), (0.0, 1.0, 0.0), True),
    "hardtanh": ((-1.0, 1.0), (-1.0, 1.0), (0.0, 1.0, 0.0), True),
    "gelu": ((0.0,), (), (None,), False),
    "tanh": ((-0.5, 0.0, 0.5), (), (None,), False),
    "relu at other breakpoints": ((-1.0, 2.0), (0.0,), (0.0, 1.0), True),
}


def site_of(kind: str, width: int) -> Site:
    breakpoints, kinks, slopes, linear = KINDS[kind]
    return Site(kind, kind, (width,), breakpoints, kinks=kinks, slopes=slopes, piecewise_linear=linear)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4, unique=True),
    widths=st.lists(st.integers(1, 19), min_size=4, max_size=4),
    n=st.integers(1, 6),
    seed=st.integers(0, 10_000),
)
def test_a_neuron_has_the_state_that_its_pre_activations_give_it(
    from_preactivations: Callable[..., Codes], kinds: list[str], widths: list[int], n: int, seed: int
) -> None:
    sites = [site_of(kind, width) for kind, width in zip(kinds, widths, strict=False)]
    rng = np.random.default_rng(seed)
    n_neurons = sum(site.n_neurons for site in sites)
    z = rng.normal(0, 1, (n, n_neurons)) + rng.choice([-8.0, 0.0, 3.0, 9.0], n_neurons)
    found = site_liveness(from_preactivations(z, sites))
    start = 0
    for site, live in zip(sites, found, strict=True):
        for neuron in range(site.n_neurons):
            column = z[:, start + neuron]
            intervals = {sum(value > point for point in site.breakpoints) for value in column}
            constant = len(intervals) == 1
            interval = intervals.pop()
            edges = (-np.inf, *site.breakpoints, np.inf)
            pieces = {
                slope
                for slope, low, high in zip(site.slopes, (-np.inf, *site.kinks), (*site.kinks, np.inf), strict=True)
                if low < edges[interval + 1] and high > edges[interval]
            }
            assert live.constant[neuron] == constant
            assert live.dead[neuron] == (constant and pieces == {0.0})
            assert live.always_on[neuron] == (constant and pieces == {1.0})
        start += site.n_neurons


def test_smooth_activations_have_constant_patterns_but_no_dead_neurons(
    from_preactivations: Callable[..., Codes],
) -> None:
    (live,) = site_liveness(from_preactivations(np.full((5, 3), -9.0), [site_of("gelu", 3)]))
    assert (live.constant_share, live.dead_share, live.always_on_share) == (1.0, 0.0, 0.0)


def test_relu6_above_six_is_dead(from_preactivations: Callable[..., Codes]) -> None:
    (live,) = site_liveness(from_preactivations(np.array([[7.0, 3.0, -1.0]]), [site_of("relu6", 3)]))
    assert live.dead.tolist() == [True, False, True]
    assert live.always_on.tolist() == [False, True, False]


def test_no_examples_are_refused(from_preactivations: Callable[..., Codes]) -> None:
    with pytest.raises(ValueError, match="these codes hold none"):
        site_liveness(from_preactivations(np.zeros((0, 3)), [site_of("relu", 3)]))


def test_counts_in_the_dictionary_add_up(make_codes: Callable[..., Codes]) -> None:
    for live in site_liveness(make_codes(4)):
        values = live.to_dict()
        assert values["n_dead"] + values["n_always_on"] <= values["n_constant"] <= values["n_neurons"]
        assert values["dead_share"] == values["n_dead"] / values["n_neurons"]
