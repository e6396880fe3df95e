"""How likely two examples are to fall into one region, and the sample sizes at which that begins to show."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actscope.codes import Codes
from actscope.hashing.redundancy import regions

__all__ = ["CONFIDENCE", "Determinism", "collision_probability_limit", "determinism"]

CONFIDENCE = 0.95
"""Confidence of the one-sided limit that stands in for an estimate where no two examples collided."""


@dataclass(frozen=True, repr=False)
class Determinism:
    """How nearly every example has a region of its own, in one sample, and what that says about larger ones.

    With c_g examples in region g, n = Σ c_g, and m regions:

    - collision probability p2 = Σ c_g (c_g - 1) / (n (n - 1)), the unbiased estimate of the probability that two examples drawn
      independently have the same code;
    - collision entropy H2 = -log2 p2 (Rényi's of order 2), in bits: as many regions, if all were equally likely, are 2^H2;
    - first collisions: n(n - 1) p2 / 2 pairs collide on average in a sample of n, one pair near n = √2 · 2^(H2/2);
    - one percent: redundancy is at most (n - 1) p2 / 2 on average, which is 0.01 at n = 1 + 2 · 0.01 · 2^H2.

    How far to trust them:

    - They speak of this network and of examples drawn as these were. A network retrained on more examples is another network. If the
      sample was chosen (one class, augmented copies, neighbouring frames), so are the numbers.
    - H2 is a plug-in: with k colliding pairs in separate regions p2 is known to about 1/√k of itself, so with few pairs the
      sizes are orders of magnitude, and far beyond n they are extrapolations.
    - With no collision seen, p2 is 0 and only a limit can be given: with 95 % confidence p2 is below a², where a solves
      P(Binomial(n, a) ≤ 1) = 0.05. It holds whatever the distribution, because among all with one p2 a single heavy region of
      probability √p2 hides its collisions best. H2 and both sizes are then lower limits (`entropy_is_lower_bound`).
    - Both sizes are exact averages of colliding pairs, and only pairs. Where regions are about equally likely, a sample of
      the first size has no collision with probability 0.37, and redundancy is 1 % at the second. Where a few regions hold most of
      the pairs, collisions come in clumps (no collision: up to 0.59) and 1 % redundancy is reached later than said, never sooner.
      Where a size is below n, `rarefaction` gives the curve itself.

    Attributes:
        n_examples: n.
        n_regions: m, the regions that hold at least one of the examples.
        largest_region: examples in the fullest region.
        n_colliding_pairs: unordered pairs of examples with equal codes.
        redundancy_ratio: (n - m) / n (He et al. 2021, Definition 1).
        shared_ratio: share of examples whose code another example has.
        collision_probability: p2, 0 where no pair collided.
        collision_entropy: H2 in bits.
        entropy_is_lower_bound: whether H2 and both sizes are one-sided limits, because no pair collided.
        first_collision_size: the sample size at which one colliding pair is to be expected.
        one_percent_size: the sample size before which no redundancy of 1 % is to be expected.
    """

    n_examples: int
    n_regions: int
    largest_region: int
    n_colliding_pairs: int
    redundancy_ratio: float
    shared_ratio: float
    collision_probability: float
    collision_entropy: float
    entropy_is_lower_bound: bool
    first_collision_size: float
    one_percent_size: float

    @classmethod
    def from_region_sizes(cls, sizes: np.ndarray) -> Determinism:
        """The numbers of a sample with so many examples in each of its regions, (n_regions,) positive integers."""
        n = int(sizes.sum())
        pairs = sum(
            int(size) * (int(size) - 1) // 2 * int(times)
            for size, times in zip(*np.unique(sizes, return_counts=True), strict=True)
        )
        seen = pairs > 0
        probability = pairs / (n * (n - 1) // 2) if seen else 0.0
        entropy = -math.log2(probability if seen else collision_probability_limit(n)) + 0.0
        return cls(
            n_examples=n,
            n_regions=len(sizes),
            largest_region=int(sizes.max()),
            n_colliding_pairs=pairs,
            redundancy_ratio=(n - len(sizes)) / n,
            shared_ratio=int(sizes[sizes > 1].sum()) / n,
            collision_probability=probability,
            collision_entropy=entropy,
            entropy_is_lower_bound=not seen,
            first_collision_size=math.sqrt(2) * 2 ** (entropy / 2),
            one_percent_size=1 + 2 * 0.01 * 2**entropy,
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return asdict(self)

    def __repr__(self) -> str:
        return (
            f"Determinism({self.n_examples:,} examples in {self.n_regions:,} regions: redundancy {self.redundancy_ratio:.4g}, "
            f"shared {self.shared_ratio:.4g}; {self._entropy()}; {self._sizes()})"
        )

    def __str__(self) -> str:
        return "\n".join(
            (
                f"{self.n_examples:,} examples in {self.n_regions:,} regions, at most {self.largest_region:,} in one",
                f"redundancy ratio   {self.redundancy_ratio:.4g}, (examples - regions) / examples",
                f"shared ratio       {self.shared_ratio:.4g} of the examples have a code that another has",
                f"collision entropy  {self._entropy().removeprefix('collision entropy ')}",
                f"larger samples     {self._sizes()}",
                "These speak of this network and of examples drawn as these were; unequal regions make 1 % come later than said.",
            )
        )

    def _entropy(self) -> str:
        if self.entropy_is_lower_bound:
            return f"collision entropy at least {self.collision_entropy:.1f} bits (no pair collided; {CONFIDENCE:.0%} confidence)"
        pairs = f"{self.n_colliding_pairs:,} colliding pair{'s' * (self.n_colliding_pairs != 1)}"
        return f"collision entropy {self.collision_entropy:.1f} bits (plug-in, {pairs})"

    def _sizes(self) -> str:
        first, percent = f"{self.first_collision_size:,.3g}", f"{self.one_percent_size:,.3g}"
        where = "not before" if self.entropy_is_lower_bound else "near"
        return f"first collisions {where} {_count(first)} examples, 1 % redundancy not before {_count(percent)}"


def determinism(codes: Codes) -> Determinism:
    """How nearly every example has a region of its own: redundancy, collision entropy, and the sample sizes they lead to.

    See `Determinism` for the formulas and how far each can be trusted. `RedundancyRatio` gives the same for codes that come in parts;
    for one site, call it on `codes.select(site)`.

    Raises:
        ValueError: if there are no examples.

    Example:
        >>> import numpy as np
        >>> result = determinism(Codes.from_bits(np.eye(4, dtype=bool)[[0, 1, 2, 3, 3]]))
        >>> result.n_regions, result.redundancy_ratio, result.collision_probability
        (4, 0.2, 0.1)
        >>> result
        Determinism(5 examples in 4 regions: redundancy 0.2, shared 0.4; collision entropy 3.3 bits (plug-in, 1 colliding pair);
        first collisions near 4.47 examples, 1 % redundancy not before 1.2)
    """
    return Determinism.from_region_sizes(regions(codes).counts)


def collision_probability_limit(n_examples: int, confidence: float = CONFIDENCE) -> float:
    """The largest collision probability that n examples without a collision leave possible, one-sided.

    Without a collision among n independent examples, P(none | p2) ≤ P(Binomial(n, √p2) ≤ 1) for every distribution with collision
    probability p2: moving the probability of two regions into one, at equal p2, frees probability for regions that are never met
    twice, and the chance of no collision does not fall. So p2 ≤ a² where the right-hand side is 1 - confidence; a is about 4.74 / n
    at 95 %.

    Example:
        >>> round(collision_probability_limit(2), 4), round(collision_probability_limit(1000) * 1000**2, 1)
        (0.95, 22.4)
    """
    if n_examples < 2:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(2, n_examples - 1, confidence)) ** 2


def _count(number: str) -> str:
    value = float(number.replace(",", ""))
    return f"{value:,.0f}" if 100 <= value < 1e7 else number
