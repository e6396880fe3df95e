"""Pattern similarity, its mean and its distribution against their definitions, pair by pair on plain intervals."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actscope import Codes, Site
from actscope.codes.bits import pack_bits
from actscope.codes.products import histogram_by_products
from actscope.neurons import (
    MeanSimilarity,
    mean_similarity,
    paircounts,
    pattern_similarity,
    similarity,
    similarity_distribution,
)
from actscope.neurons.equidistant import bits_apart, equidistant
from actscope.neurons.expectation import _sum_of_pairs
from actscope.neurons.intervals import count_bits, interval_counts


def codes_of(intervals: Sequence[np.ndarray], n_planes: Sequence[int], labels: Any = None, **given: Any) -> Codes:
    """Codes of sites with so many breakpoints each, from the intervals of their neurons, (n_examples, n_neurons) each."""
    sites, parts = [], []
    for i, (numbers, k) in enumerate(zip(intervals, n_planes, strict=True)):
        sites.append(Site(f"site{i}", "tanh", (numbers.shape[1],), tuple(float(point) for point in range(k))))
        parts.extend(pack_bits(numbers > plane) for plane in range(k))
    return Codes(np.concatenate(parts, axis=1), tuple(sites), labels=labels, **given)


@st.composite
def some_codes(draw: st.DrawFn) -> Codes:
    """Two to twelve examples of one to three sites with one to five breakpoints and up to 20 neurons, with labels or without."""
    n_planes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    n = draw(st.integers(2, 12))
    intervals = [
        draw(hnp.arrays(np.uint8, (n, draw(st.integers(1, 20))), elements=st.integers(0, k))) for k in n_planes
    ]
    labels = draw(st.none() | st.lists(st.integers(-1, 2), min_size=n, max_size=n))
    return codes_of(intervals, n_planes, labels)


def random_codes(n: int, *, seed: int = 0, labels: int | None = 3) -> Codes:
    rng = np.random.default_rng(seed)
    intervals = [rng.integers(0, k + 1, (n, size)) for k, size in ((3, 21), (1, 70), (6, 9))]
    return codes_of(intervals, [3, 1, 6], None if labels is None else rng.integers(0, labels, n))


def agreement(codes: Codes) -> np.ndarray:
    """Which neurons agree, of every example with every other, (n, n, n_neurons)."""
    intervals = codes.intervals()
    return intervals[:, None] == intervals[None]


def pairs_of(codes: Codes) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(len(codes), 1)


def columns(codes: Codes, name: str) -> slice:
    start = 0
    for site in codes.sites:
        if site.name == name:
            return slice(start, start + site.n_neurons)
        start += site.n_neurons
    raise KeyError(name)


# pattern similarity of pairs


@given(some_codes())
def test_similarity_is_the_share_of_neurons_in_the_same_interval(codes: Codes) -> None:
    a, b = codes, codes[::-1]
    agree = a.intervals() == b.intervals()
    np.testing.assert_array_equal(pattern_similarity(a, b), agree.mean(axis=1))
    for name, found in pattern_similarity(a, b, by_site=True).items():
        np.testing.assert_array_equal(found, agree[:, columns(codes, name)].mean(axis=1))


def test_a_single_row_is_compared_with_all_others() -> None:
    codes = random_codes(9)
    expected = (codes.intervals() == codes.intervals()[4]).mean(axis=1)
    np.testing.assert_array_equal(pattern_similarity(codes[4], codes), expected)
    np.testing.assert_array_equal(pattern_similarity(codes, codes[4]), expected)


def test_with_several_breakpoints_similarity_is_not_one_minus_the_share_of_differing_bits() -> None:
    far = codes_of([np.array([[0, 1], [3, 1]])], [3])
    assert pattern_similarity(far[0], far[1]).tolist() == [0.5]
    assert np.mean(far.bits()[0] == far.bits()[1]) == 0.5
    near = codes_of([np.array([[0, 1], [1, 1]])], [3])
    assert pattern_similarity(near[0], near[1]).tolist() == [0.5]
    assert np.mean(near.bits()[0] == near.bits()[1]) == 5 / 6


def test_similarity_is_the_same_in_many_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_codes(40)
    whole = pattern_similarity(codes, codes[::-1])
    monkeypatch.setattr(similarity, "_BYTES_AT_A_TIME", 100)
    np.testing.assert_array_equal(pattern_similarity(codes, codes[::-1]), whole)


def test_what_cannot_be_compared_is_an_error() -> None:
    codes = random_codes(5)
    with pytest.raises(ValueError, match="codes_a has 2 examples and codes_b 3"):
        pattern_similarity(codes[:2], codes[:3])
    with pytest.raises(ValueError, match="come from different sites"):
        pattern_similarity(codes, codes.select("site1"))
    with pytest.raises(ValueError, match="no neurons"):
        pattern_similarity(Codes.from_bits(np.zeros((2, 0))), Codes.from_bits(np.zeros((2, 0))))


# its mean over all pairs


@given(some_codes())
def test_means_without_and_with_the_diagonal_are_those_over_all_pairs(codes: Codes) -> None:
    agree, pairs = agreement(codes), pairs_of(codes)
    means = mean_similarity(codes)
    assert means.without_diagonal == pytest.approx(agree[pairs].mean(), rel=1e-12)
    assert means.with_diagonal == pytest.approx(agree.mean(), rel=1e-12)
    for name, site in means.by_site.items():
        own = agree[..., columns(codes, name)]
        assert site.without_diagonal == pytest.approx(own[pairs].mean(), rel=1e-12)
        assert site.with_diagonal == pytest.approx(own.mean(), rel=1e-12)


def mean_or_nan(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


@given(some_codes().filter(lambda codes: codes.labels is not None))
def test_means_by_label_are_those_over_the_pairs_of_the_labels(codes: Codes) -> None:
    labels = codes.labels
    a, b = pairs_of(codes)
    means = mean_similarity(codes)
    for found, agree in [
        (means, agreement(codes)[a, b]),
        *((site, agreement(codes)[a, b][:, columns(codes, name)]) for name, site in means.by_site.items()),
    ]:
        approx = {"rel": 1e-12, "nan_ok": True}
        assert found.within_class == pytest.approx(mean_or_nan(agree[labels[a] == labels[b]]), **approx)
        assert found.between_classes == pytest.approx(mean_or_nan(agree[labels[a] != labels[b]]), **approx)
        single = {label: mean_or_nan(agree[(labels[a] == label) & (labels[b] == label)]) for label in np.unique(labels)}
        assert found.single == pytest.approx(single, **approx)
        known = [value for value in single.values() if not np.isnan(value)]
        expected = np.mean(known) - agree.mean() if known else float("nan")
        assert found.gap == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_without_labels_there_are_no_means_by_label() -> None:
    means = mean_similarity(random_codes(5, labels=None))
    assert (means.within_class, means.between_classes, means.single, means.gap) == (None, None, None, None)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 600), st.integers(0, 11))))
@settings(max_examples=30)
def test_bits_are_counted_by_column(packed: np.ndarray) -> None:
    expected = np.unpackbits(packed, axis=1, bitorder="little").sum(axis=0)
    np.testing.assert_array_equal(count_bits(packed), expected)
    np.testing.assert_array_equal(
        count_bits(packed[:, ::-1]), np.unpackbits(packed[:, ::-1], axis=1, bitorder="little").sum(axis=0)
    )
    np.testing.assert_array_equal(count_bits(packed, np.arange(len(packed))[::-1]), expected)


def test_bits_of_many_rows_are_counted_where_a_byte_would_overflow() -> None:
    assert count_bits(np.full((100_000, 9), 255, np.uint8)).tolist() == [100_000] * 72


@given(some_codes())
def test_intervals_are_counted_by_neuron(codes: Codes) -> None:
    counts = interval_counts(count_bits(codes.packed), codes.sites, len(codes))
    for site, found in zip(codes.sites, counts, strict=True):
        own = codes.intervals()[:, columns(codes, site.name)]
        np.testing.assert_array_equal(found, [(own == v).sum(axis=0) for v in range(site.n_planes + 1)])


def test_agreements_beyond_64_bits_are_still_exact() -> None:
    n = 3_000_000_000
    assert _sum_of_pairs(np.full((1, 5), n), n) == 5 * n * (n - 1) // 2


# its distribution


some_thresholds = st.lists(st.floats(-0.5, 1.5) | st.sampled_from([0.0, 0.1, 0.5, 0.75, 1.0]), min_size=1, max_size=5)


@given(some_codes(), some_thresholds)
def test_shares_are_those_of_all_pairs_above_each_threshold(codes: Codes, thresholds: list[float]) -> None:
    agree, (a, b) = agreement(codes), pairs_of(codes)
    found = similarity_distribution(codes, thresholds, by_site=True)
    assert found.exact
    for own, values in [
        (found, agree[a, b].mean(axis=1)),
        *((site, agree[a, b][:, columns(codes, name)].mean(axis=1)) for name, site in found.by_site.items()),
    ]:
        assert own.combined.n_pairs == len(a)
        assert own.combined.mean == pytest.approx(values.mean(), rel=1e-12)
        np.testing.assert_array_equal(own.combined.shares, [np.mean(values > limit) for limit in thresholds])
        if codes.labels is None:
            assert own.single is None
            continue
        alike = codes.labels[a] == codes.labels[b]
        for curve, chosen in [
            (own.within_class, alike),
            (own.between_classes, ~alike),
            *((curve, alike & (codes.labels[a] == label)) for label, curve in own.single.items()),
        ]:
            assert curve.n_pairs == chosen.sum()
            expected = [mean_or_nan(values[chosen] > limit) for limit in thresholds]
            np.testing.assert_array_equal(curve.shares, expected)


def test_the_gap_is_that_of_the_mean_single_and_the_combined_curve() -> None:
    found = similarity_distribution(random_codes(30), [0.4, 0.5])
    expected = np.mean([curve.shares for curve in found.single.values()], axis=0) - found.combined.shares
    np.testing.assert_array_equal(found.gap, expected)


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_codes(150)
    whole = similarity_distribution(codes)
    monkeypatch.setattr(paircounts, "_ROWS_AT_A_TIME", 64)
    monkeypatch.setattr("actscope.neurons.equidistant._BYTES_AT_A_TIME", 300)
    pieces = similarity_distribution(codes)
    assert pieces.to_dict() == whole.to_dict()


def test_memory_does_not_grow_with_the_pairs() -> None:
    codes = random_codes(3000)
    similarity_distribution(codes[:10])
    tracemalloc.start()
    similarity_distribution(codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # a byte for each of 4.5 million pairs would be more


def test_the_mean_of_the_distribution_is_the_mean_similarity() -> None:
    codes = random_codes(80)
    means, distribution = mean_similarity(codes), similarity_distribution(codes)
    assert distribution.combined.mean == pytest.approx(means.without_diagonal, rel=1e-12)
    assert distribution.between_classes.mean == pytest.approx(means.between_classes, rel=1e-12)


def test_drawn_pairs_are_within_their_standard_errors_of_all_pairs() -> None:
    codes = random_codes(60)
    limits = [0.35, 0.4, 0.45, 0.5]
    exact = similarity_distribution(codes, limits, by_site=True)
    scores = []
    for seed in range(40):
        drawn = similarity_distribution(codes, limits, pairs=1000, seed=seed, by_site=True)
        assert not drawn.exact
        for own, true in [
            (drawn.combined, exact.combined),
            (drawn.within_class, exact.within_class),
            (drawn.single[1], exact.single[1]),
            (drawn.by_site["site1"].combined, exact.by_site["site1"].combined),
        ]:
            seen = own.standard_errors > 0
            scores.extend(((own.shares - true.shares)[seen] / own.standard_errors[seen]).tolist())
    assert np.mean(scores) == pytest.approx(0, abs=0.3)
    assert np.std(scores) == pytest.approx(1, abs=0.2)


def test_an_example_is_never_drawn_with_itself() -> None:
    different = codes_of([np.arange(3)[:, None]], [2])
    for seed in range(20):
        assert similarity_distribution(different, [0.5], pairs=2, seed=seed).combined.shares.tolist() == [0.0]


def test_one_seed_gives_one_result_and_a_generator_goes_on() -> None:
    codes = random_codes(60)

    def shares(seed: int | np.random.Generator) -> list[float]:
        return similarity_distribution(codes, [0.4], pairs=500, seed=seed).combined.shares.tolist()

    generator = np.random.default_rng(7)
    assert shares(7) == shares(7) == shares(generator) != shares(generator)


def test_more_pairs_than_there_are_are_all_counted() -> None:
    codes = random_codes(10)
    assert similarity_distribution(codes, pairs=45).to_dict() == similarity_distribution(codes).to_dict()


def test_an_accelerator_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_codes(70)
    expected = similarity_distribution(codes).to_dict()

    def with_products(a: np.ndarray, b: np.ndarray | None = None, *, device: Any) -> np.ndarray:
        return histogram_by_products(a, b, device=torch.device("cpu"))

    monkeypatch.setattr(paircounts, "hamming_histogram", with_products)
    assert similarity_distribution(codes).to_dict() == expected


def test_what_has_no_distribution_is_an_error() -> None:
    codes = random_codes(5)
    with pytest.raises(ValueError, match="no two examples"):
        similarity_distribution(codes[:1])
    with pytest.raises(ValueError, match="no two examples"):
        mean_similarity(codes[:1])
    with pytest.raises(ValueError, match="pairs=1: a standard error takes two"):
        similarity_distribution(codes, pairs=1)
    for thresholds in ([0.5, float("nan")], [], "high", [[0.5]]):
        with pytest.raises(ValueError, match="finite numbers"):
            similarity_distribution(codes, thresholds)


def test_planes_that_are_no_thermometer_are_an_error() -> None:
    site = Site("tanh", "tanh", (1,), (-0.5, 0.5))
    codes = Codes(np.array([[0, 1], [0, 0]], np.uint8), (site,))
    for measure in (mean_similarity, similarity_distribution, MeanSimilarity().update):
        with pytest.raises(ValueError, match=r"site 'tanh' has a neuron above breakpoint 0.5 but not above -0.5"):
            measure(codes)


@pytest.mark.parametrize("n_planes", [1, 2, 3, 4, 7])
def test_different_intervals_are_equally_far_apart_in_an_equidistant_code(n_planes: int) -> None:
    intervals = np.arange(n_planes + 1)[:, None]
    codes = codes_of([intervals, 0 * intervals], [n_planes, 2])
    bits = np.unpackbits(equidistant(codes.packed, codes.sites), axis=1)
    distances = (bits[:, None] != bits[None]).sum(axis=2)
    np.testing.assert_array_equal(distances, bits_apart(codes.sites) * (intervals != intervals.T))


def test_neurons_without_a_breakpoint_always_agree() -> None:
    codes = codes_of([np.array([[0], [1]])], [1])
    free = Site("free", "tanh", (3,), ())
    both = Codes(codes.packed, (*codes.sites, free))
    assert pattern_similarity(both[0], both[1]).tolist() == [0.75]
    assert mean_similarity(both).without_diagonal == 0.75
    assert similarity_distribution(both, [0.7, 0.8]).combined.shares.tolist() == [1.0, 0.0]


# what a person sees


def test_curves_are_drawn_as_the_paper_does() -> None:
    trained, untrained = (similarity_distribution(random_codes(30, seed=seed)) for seed in (0, 1))
    ax = untrained.plot(trained.plot(name="trained"), name="untrained", dashed=True)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert list(lines) == [
        "trained: combined",
        "trained: single (mean over labels)",
        "untrained: combined",
        "untrained: single (mean over labels)",
    ]
    np.testing.assert_array_equal(lines["trained: combined"].get_ydata(), trained.combined.shares)
    assert lines["untrained: combined"].get_linestyle() == "--"
    ax.figure.canvas.draw()


def test_means_are_drawn_by_site() -> None:
    for codes in (random_codes(30), random_codes(30, labels=None), random_codes(30, labels=1)):
        means = mean_similarity(codes)
        ax = means.plot()
        widths = [bar.get_width() for bar in ax.patches]
        first = means.by_site["site0"]
        expected = [first.within_class, first.between_classes] if first.within_class else [first.without_diagonal]
        assert widths[:: len(codes.sites)] == [value for value in expected if not np.isnan(value)]
        ax.figure.canvas.draw()


def test_results_are_plain_values_for_json() -> None:
    codes = codes_of([np.array([[0], [1], [1]])], [1], labels=[0, 1, 2])
    means = json.loads(json.dumps(mean_similarity(codes).to_dict(), allow_nan=False))
    assert means["within_class"] is None
    assert means["single"] == {"0": None, "1": None, "2": None}
    curves = json.loads(json.dumps(similarity_distribution(codes, by_site=True).to_dict(), allow_nan=False))
    assert curves["within_class"]["shares"] is None
