"""What collisions in a part of the data say about redundancy in the rest, and in larger samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["first_collision", "redundancy_by_chao", "redundancy_by_pairs", "size_of_redundancy"]


def redundancy_by_pairs(collision_probability: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Redundancy of n examples if it is all of single pairs: R = (n - 1) p2 / 2, at most 1 - 1/n.

    On average an upper bound: of c examples in one region c - 1 are redundant, and c (c - 1) / 2 pairs collide.

    Args:
        collision_probability: p2, of one pair.
        n: sample sizes.

    Raises:
        ValueError: a sample size below 1.

    Example:
        >>> redundancy_by_pairs(1e-4, 201)
        array(0.01)
    """
    size = np.asarray(n, float)
    if (size < 1).any():
        raise ValueError(f"n={n!r}: a sample has at least one example")
    return np.asarray(np.minimum((size - 1) * np.asarray(collision_probability, float) / 2, 1 - 1 / size))


def redundancy_by_chao(region_sizes: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Redundancy of n examples, extrapolated or interpolated from the sizes of regions in another sample of the same source.

    With f1 regions that hold one example and f2 that hold two out of N examples in S regions, Chao's (1984) estimate of the regions
    not yet seen is f0 = (N - 1)/N · f1²/(2 f2), or (N - 1)/N · f1 (f1 - 1)/2 without pairs, and Colwell et al. (2012, "Models and
    estimators linking individual-based and sample-based rarefaction, extrapolation and comparison of assemblages", equation (9))
    expect S + f0 (1 - (1 - f1/(N f0 + f1))^(n - N)) in n > N. At n ≤ N it is the exact mean over subsets. R = 1 - regions / n.

    Reliable to about 2N; beyond, f0 is a lower bound, and so R an upper one.

    Args:
        region_sizes: (n_regions,) examples in each region of the sample.
        n: sizes of the other sample.

    Raises:
        ValueError: the sample is empty, a region holds no example, or a sample size is below 1.

    Example:
        >>> redundancy_by_chao([2, 2, 1], [5]).round(3)
        array([0.4])
    """
    sizes = np.asarray(region_sizes, int)
    if sizes.size == 0:
        raise ValueError("region_sizes is empty: there is no sample to learn from")
    if sizes.min() < 1 or np.min(n) < 1:
        raise ValueError(
            f"region_sizes from {sizes.min()} and n={n!r} on: regions and samples have at least one example"
        )
    total, seen = int(sizes.sum()), len(sizes)
    f1, f2 = int((sizes == 1).sum()), int((sizes == 2).sum())
    unseen = (total - 1) / total * (f1**2 / (2 * f2) if f2 else f1 * (f1 - 1) / 2)
    found = []
    for size in np.atleast_1d(np.asarray(n, int)):
        if size <= total:
            regions = _expected_regions(sizes, total, int(size))
        elif unseen == 0:
            regions = float(seen)
        else:
            regions = seen + unseen * -np.expm1((size - total) * np.log1p(-f1 / (total * unseen + f1)))
        found.append(1 - regions / size)
    return np.array(found)


def size_of_redundancy(region_sizes: ArrayLike, redundancy: float) -> float:
    """How many examples of a sample have that redundancy on average over subsets; NaN if all of them have less.

    Args:
        region_sizes: (n_regions,) examples in each region of the sample.
        redundancy: to be reached.

    Example:
        >>> size_of_redundancy([2, 2, 2, 2], 0.5), size_of_redundancy([1, 1, 1], 0.5)
        (8.0, nan)
    """
    sizes = np.asarray(region_sizes, int)
    low, high = 1, int(sizes.sum())
    if redundancy_by_chao(sizes, [high])[0] < redundancy:
        return float("nan")
    while high - low > 1:
        middle = (low + high) // 2
        if redundancy_by_chao(sizes, [middle])[0] < redundancy:
            low = middle
        else:
            high = middle
    return float(high)


def first_collision(regions_of: ArrayLike, *, n_orders: int, seed: int) -> float:
    """At which example, in random order, a region is met for the second time: the mean over orders; NaN if that never happens.

    Args:
        regions_of: (n_examples,) the number of each example's region.
        n_orders: random orders.
        seed: decides them.

    Example:
        >>> first_collision([7, 7], n_orders=3, seed=0), first_collision([1, 2], n_orders=3, seed=0)
        (2.0, nan)
    """
    numbers = np.asarray(regions_of)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_orders):
        order = rng.permutation(numbers)
        by_region = np.argsort(order, kind="stable")
        again = order[by_region][1:] == order[by_region][:-1]
        if not again.any():
            return float("nan")
        # the second of any two neighbours of one region is met no earlier than the first again
        found.append(int(by_region[1:][again].min()) + 1)
    return float(np.mean(found))


def _expected_regions(sizes: NDArray[np.int64], total: int, n: int) -> float:
    """Mean number of regions that n of the examples fall in: Σ 1 - C(total - c, n) / C(total, n)."""
    from scipy.special import gammaln

    counts, times = np.unique(sizes, return_counts=True)
    possible = total - counts >= n
    rest = total - counts[possible]
    log_none = gammaln(rest + 1) - gammaln(rest - n + 1) + gammaln(total - n + 1) - gammaln(total + 1)
    return float(len(sizes) - np.sum(times[possible] * np.exp(log_none)))
