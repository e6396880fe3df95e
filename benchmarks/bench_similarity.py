"""Pattern similarity over all pairs, against forming the pairs; transition density, against sampling each segment."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial.distance import pdist
from torch import nn

from actscope import Codes, Site
from actscope.codes.bits import pack_bits
from actscope.neurons import mean_similarity, similarity_distribution, transition_density
from benchmarks.measure import Row, alternating_seconds, median_seconds

THRESHOLDS = np.arange(101) / 100


def run() -> list[Row]:
    return [_mean(), *_distributions(), _transitions()]


def _mean() -> Row:
    """A matrix product of ±1 gives N(2 PS - 1) of every pair; a strip of the pairs is timed, and all of them follow."""
    n, n_strip = 60_000, 2_000
    bits = np.random.default_rng(0).random((n, 2_304), dtype=np.float32) < 0.5
    codes = Codes.from_bits(bits)
    signs = bits.astype(np.float32) * 2 - 1

    def strip() -> float:
        return float((signs[:n_strip] @ signs.T).mean())

    naive, ours = alternating_seconds(strip, lambda: mean_similarity(codes), repeats=3)
    return Row(
        "mean similarity, 60,000 × 2,304 neurons",
        "float32 product of all pairs",
        naive * n / n_strip,
        ours,
        1000.0,
        f"product extrapolated from {n_strip:,} × {n:,}",
    )


def _distributions() -> list[Row]:
    rng = np.random.default_rng(0)
    return [_distribution(rng.integers(0, k + 1, (10_000, 512), dtype=np.uint8), k) for k in (1, 3)]


def _distribution(intervals: np.ndarray, n_planes: int) -> Row:
    codes = _codes(intervals, n_planes)
    n_neurons = intervals.shape[1]
    rows = intervals if n_planes > 1 else intervals.astype(bool)

    def with_pdist() -> np.ndarray:
        agreeing = np.rint((1 - pdist(rows, "hamming")) * n_neurons).astype(np.int64)
        pairs = np.bincount(agreeing, minlength=n_neurons + 1)
        similarity = np.arange(n_neurons + 1) / n_neurons
        shares: np.ndarray = np.array([pairs[similarity > limit].sum() for limit in THRESHOLDS]) / pairs.sum()
        return shares

    def ours() -> object:
        return similarity_distribution(codes, THRESHOLDS)

    return Row(
        f"similarity distribution, all pairs, 10,000 × 512 neurons, {n_planes} breakpoint{'s' * (n_planes > 1)}",
        "scipy pdist and bincount",
        median_seconds(with_pdist, repeats=1, warmup=0),
        median_seconds(ours, 5),
        100.0,
        f"memory: ours {_peak_megabytes(ours):.1f} MB, pdist's result 400 MB",
    )


def _transitions() -> Row:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i in range(9):
        layers += [nn.Linear(784 if i == 0 else 256, 256), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(256, 10))
    x, y = torch.rand(50, 784), torch.rand(50, 784)
    sampled, exact = alternating_seconds(
        lambda: transition_density(model, x, y, samples=512, progress=False),
        lambda: transition_density(model, x, y, progress=False),
        repeats=3,
    )
    return Row(
        "transition density, 50 pairs, 9 × 256 ReLU",
        "512 points a segment",
        sampled,
        exact,
        None,
        "ours is exact, in float64",
    )


def _codes(intervals: np.ndarray, n_planes: int) -> Codes:
    site = Site("act", "tanh", (intervals.shape[1],), tuple(float(point) for point in range(n_planes)))
    return Codes(np.concatenate([pack_bits(intervals > plane) for plane in range(n_planes)], axis=1), (site,))


def _peak_megabytes(work: Callable[[], object]) -> float:
    """The most memory that NumPy holds at once during the work, beyond what it held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
