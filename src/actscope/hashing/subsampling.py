"""What smaller samples of the same examples would have shown: rarefaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes import Codes
from actscope.hashing.collisions import Determinism
from actscope.hashing.redundancy import regions
from actscope.hashing.streaming import RedundancyRatio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Rarefaction", "rarefaction"]


@dataclass(frozen=True, eq=False, repr=False)
class Rarefaction:
    """Expected redundancy of random subsets of one sample, by the size of the subset.

    The expectation is over subsets, for these examples and this network. A network retrained on so few examples is another experiment.

    Attributes:
        sizes: (k,) int64, subset sizes, ascending.
        redundancy_ratio: (k,) float64, expected R at each size.
        shared_ratio: (k,) float64, expected share of the subset's examples whose code another of them has.
        sample: the numbers of the whole sample, with the two borders that `plot` draws.
    """

    sizes: NDArray[np.int64]
    redundancy_ratio: NDArray[np.float64]
    shared_ratio: NDArray[np.float64]
    sample: Determinism

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curve, with the sizes at which first collisions and one percent redundancy are to be expected."""
        from actscope.figures.hashing import draw_rarefaction

        return draw_rarefaction(
            self.sizes,
            self.redundancy_ratio,
            self.shared_ratio,
            first_collision_size=self.sample.first_collision_size,
            one_percent_size=self.sample.one_percent_size,
            borders_are_lower_bounds=self.sample.entropy_is_lower_bound,
            ax=ax,
        )

    def to_dict(self) -> dict[str, Any]:
        """The curve as plain values that JSON can hold."""
        return {
            "sizes": self.sizes.tolist(),
            "redundancy_ratio": self.redundancy_ratio.tolist(),
            "shared_ratio": self.shared_ratio.tolist(),
            "sample": self.sample.to_dict(),
        }

    def __repr__(self) -> str:
        points = ", ".join(
            f"{self.sizes[i]:,}: {self.redundancy_ratio[i]:.4g}"
            for i in np.unique(np.linspace(0, len(self.sizes) - 1, 5).astype(int))
        )
        return f"Rarefaction(expected redundancy by subset size, {points})"


def rarefaction(codes: Codes | RedundancyRatio, sizes: Iterable[int] | None = None) -> Rarefaction:
    """The expected redundancy of a random subset of the examples, for each subset size, exactly.

    A subset of s of the n examples is drawn without replacement. Line up the examples of each region in any order: a
    member of the subset is redundant if one of the j examples before it is in the subset as well, which has probability

        u_j(s) = 1 - C(n-1-j, s-1) / C(n-1, s-1) = 1 - Π_{i=1..j} (1 - (s-1)/(n-i)).

    With T_j regions of more than j examples, E[R_s] = (1/n) Σ_j T_j u_j(s), and the expected share of members with a fellow in their
    region is (1/n) Σ_g c_g u_{c_g - 1}(s) over region sizes c_g. All terms are positive, so nothing cancels.
    (The same number as (s - Σ_g [1 - C(n-c_g, s) / C(n, s)]) / s, the rarefaction of Hurlbert 1971.)

    Args:
        codes: codes of one sample, or what a `RedundancyRatio` has seen.
        sizes: subset sizes between 1 and n; by default up to 60 of them, evenly spaced in their logarithm and ending at n.

    Raises:
        ValueError: if there are no examples, or a size is not a whole number between 1 and n.

    Example:
        >>> curve = rarefaction(Codes.from_bits([[0, 1], [0, 1], [1, 1], [1, 0]]), [1, 2, 4])
        >>> curve.redundancy_ratio.round(4)
        array([0.    , 0.0833, 0.25  ])
    """
    counts = codes.region_sizes() if isinstance(codes, RedundancyRatio) else regions(codes).counts
    n_examples = int(counts.sum())
    chosen = _default_sizes(n_examples) if sizes is None else _checked_sizes(sizes, n_examples)
    redundancy, shared = _expectations(counts, n_examples, chosen)
    return Rarefaction(chosen, redundancy, shared, Determinism.from_region_sizes(counts))


def _expectations(counts: np.ndarray, n: int, sizes: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    of_size = np.bincount(counts)
    larger_than = (len(counts) - np.cumsum(of_size))[1:-1]  # T_j for j = 1 … largest - 1; T_0 goes with u_0 = 0
    members = (of_size * np.arange(len(of_size)))[2:]  # examples in regions of j + 1, for the same j
    remaining = n - np.arange(1.0, len(larger_than) + 1)
    redundancy, shared = np.zeros(len(sizes)), np.zeros(len(sizes))
    for k, size in enumerate(sizes):
        with np.errstate(divide="ignore"):  # log 0: the subset is so large that j others cannot all be outside
            some_before = -np.expm1(np.cumsum(np.log1p(-np.minimum((size - 1) / remaining, 1.0))))
        redundancy[k] = larger_than @ some_before / n
        shared[k] = members @ some_before / n
    return redundancy, shared


def _default_sizes(n_examples: int) -> NDArray[np.int64]:
    return np.unique(np.geomspace(1, n_examples, 60).round().astype(np.int64))


def _checked_sizes(sizes: Iterable[int], n_examples: int) -> NDArray[np.int64]:
    array = np.asarray(list(sizes))
    if array.size == 0 or array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"sizes must be whole numbers between 1 and {n_examples}; got {array.tolist()}")
    if array.min() < 1 or array.max() > n_examples:
        raise ValueError(
            f"sizes must lie between 1 and the {n_examples} examples there are; got {array.min()} … {array.max()}. Larger samples are "
            "not in these codes: `determinism` says what to expect of them"
        )
    return np.unique(array).astype(np.int64)
