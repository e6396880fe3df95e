"""Expected pattern similarity: the mean over all pairs of examples, from counts, without forming a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes import Codes, Site
from actscope.neurons.intervals import count_bits, interval_counts, require_thermometer
from actscope.neurons.similarity import require_neurons

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SimilarityMeans", "agreeing_pairs", "mean_similarity", "means_of"]


@dataclass(frozen=True, repr=False)
class SimilarityMeans:
    """The mean pattern similarity of a sample, PS_E(X) = E[PS(xi, xj)] (Jiang et al. 2022, (26)), in all and by label.

    Everything follows from whole numbers: an *agreement* is a neuron that two different examples have in the same interval. With n
    examples, N neurons and A agreements over the n(n - 1)/2 unordered pairs:

    - without the diagonal, PS_E = A / (N n(n - 1)/2): over pairs of different examples, unbiased for two independent draws from the
      distribution that the examples come from;
    - with the diagonal, PS_E = (2A + N n) / (N n²): over all n² ordered pairs of the sample itself, an example with itself included. It
      is larger by (1 - PS_E) / n.

    Means by label are over pairs of different examples.

    Attributes:
        n_examples: n.
        n_neurons: N.
        n_agreements: A.
        class_sizes: examples of each label, ascending; `None` without labels.
        class_agreements: agreements over the pairs within each label; `None` without labels.
        by_site: the same numbers of each site's neurons alone, by site name; empty for a single site's.
    """

    n_examples: int
    n_neurons: int
    n_agreements: int
    class_sizes: Mapping[int, int] | None = None
    class_agreements: Mapping[int, int] | None = None
    by_site: Mapping[str, SimilarityMeans] = field(default_factory=dict)

    @property
    def without_diagonal(self) -> float:
        """PS_E over pairs of different examples."""
        return _mean(self.n_agreements, _pairs(self.n_examples), self.n_neurons)

    @property
    def with_diagonal(self) -> float:
        """PS_E over all ordered pairs, an example with itself included."""
        n, n_neurons = self.n_examples, self.n_neurons
        return _mean(2 * self.n_agreements + n_neurons * n, n * n, n_neurons)

    @property
    def within_class(self) -> float | None:
        """The mean over all pairs of one label; NaN where no two examples share one, `None` without labels."""
        if self.class_sizes is None or self.class_agreements is None:
            return None
        return _mean(sum(self.class_agreements.values()), sum(map(_pairs, self.class_sizes.values())), self.n_neurons)

    @property
    def between_classes(self) -> float | None:
        """The mean over all pairs of different labels; NaN where there is one label alone, `None` without labels."""
        if self.class_sizes is None or self.class_agreements is None:
            return None
        n_pairs = _pairs(self.n_examples) - sum(map(_pairs, self.class_sizes.values()))
        return _mean(self.n_agreements - sum(self.class_agreements.values()), n_pairs, self.n_neurons)

    @property
    def single(self) -> dict[int, float] | None:
        """PS_E of each label's examples alone (the paper's *single* sets); NaN for a label with one example, `None` without labels."""
        if self.class_sizes is None or self.class_agreements is None:
            return None
        agreements = self.class_agreements
        return {
            label: _mean(agreements[label], _pairs(size), self.n_neurons) for label, size in self.class_sizes.items()
        }

    @property
    def combined(self) -> float:
        """PS_E of all examples whatever their label (the paper's *combined* set): `without_diagonal`."""
        return self.without_diagonal

    @property
    def gap(self) -> float | None:
        """The mean of the *single* sets, each label weighing the same, minus the *combined* set; `None` without labels.

        Jiang et al. 2022 (VI-C) read it as practical expressivity: near 0, neurons do not tell labels apart. Labels with one example are
        left out.
        """
        if self.single is None:
            return None
        known = [value for value in self.single.values() if not math.isnan(value)]
        return sum(known) / len(known) - self.combined if known else math.nan

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the mean similarity of each site: within a class and between classes, or of all pairs where there are no labels."""
        from actscope.figures.similarity import draw_mean_similarity

        sites = list(self.by_site.values()) or [self]
        series = {
            "within a class": [site.within_class for site in sites],
            "between classes": [site.between_classes for site in sites],
        }
        known = {
            name: [mean for mean in means if mean is not None and not math.isnan(mean)]
            for name, means in series.items()
        }
        known = {name: means for name, means in known.items() if means}
        if self.class_sizes is None:
            known = {"all pairs": [site.combined for site in sites]}
        return draw_mean_similarity(list(self.by_site) or ["all neurons"], known, ax=ax)

    def to_dict(self) -> dict[str, Any]:
        """All means as plain values that JSON can hold: `None` where there is no pair to take a mean over."""
        return {
            "n_examples": self.n_examples,
            "n_neurons": self.n_neurons,
            "without_diagonal": _plain(self.without_diagonal),
            "with_diagonal": self.with_diagonal,
            "within_class": _plain(self.within_class),
            "between_classes": _plain(self.between_classes),
            "single": None if self.single is None else {label: _plain(value) for label, value in self.single.items()},
            "gap": _plain(self.gap),
            "by_site": {name: site.to_dict() for name, site in self.by_site.items()},
        }

    def __repr__(self) -> str:
        parts = [
            f"{self.n_examples:,} examples × {self.n_neurons:,} neurons: mean similarity {self.without_diagonal:.4g} without the diagonal, "
            f"{self.with_diagonal:.4g} with it"
        ]
        if self.class_sizes is not None:
            parts.append(f"within a class {self.within_class:.4g}, between classes {self.between_classes:.4g}")
            parts.append(f"gap of single and combined {self.gap:.4g}")
        return f"SimilarityMeans({'; '.join(parts)})"


def mean_similarity(codes: Codes) -> SimilarityMeans:
    """The mean pattern similarity over all pairs of examples, exact, in time and memory that grow with examples × neurons only.

    With c(j, v) examples that have neuron j in interval v, Σ_pairs #(AP(x) ∩ AP(y)) = Σ_j Σ_v c(c - 1)/2, and by label the same with the
    counts of each label; see `SimilarityMeans`. `MeanSimilarity` takes codes that come in parts.

    Args:
        codes: two examples or more; their labels, if they have any, give the means by label.

    Raises:
        ValueError: if there are fewer than two examples or no neurons, or the planes of a site are no thermometer code.

    Example:
        >>> from actscope import Codes
        >>> means = mean_similarity(Codes.from_bits([[0, 1], [0, 1], [1, 1], [1, 0]], labels=[3, 3, 8, 8]))
        >>> means
        SimilarityMeans(4 examples × 2 neurons: mean similarity 0.4167 without the diagonal, 0.5625 with it;
        within a class 0.75, between classes 0.25; gap of single and combined 0.3333)
        >>> means.single
        {3: 1.0, 8: 0.5}
    """
    require_neurons(codes)
    if len(codes) < 2:
        raise ValueError(f"{codes!r} has no two examples to compare; encode at least two")
    require_thermometer(codes.packed, codes.sites)
    if codes.labels is None:
        total = count_bits(codes.packed)
        return means_of(codes.sites, len(codes), agreeing_pairs(total, codes.sites, len(codes)))
    total = np.zeros(8 * codes.n_bytes, np.int64)
    by_label = {}
    sizes = {}
    order = np.argsort(codes.labels, kind="stable")
    labels, starts = np.unique(codes.labels[order], return_index=True)
    for label, rows in zip(labels.tolist(), np.split(order, starts[1:]), strict=True):
        counts = count_bits(codes.packed, rows)
        total += counts
        sizes[label], by_label[label] = len(rows), agreeing_pairs(counts, codes.sites, len(rows))
    return means_of(codes.sites, len(codes), agreeing_pairs(total, codes.sites, len(codes)), sizes, by_label)


def agreeing_pairs(bit_counts: NDArray[np.int64], sites: Sequence[Site], n_examples: int) -> list[int]:
    """Agreements over all pairs of different examples, for each site, from the counts of its bits."""
    return [_sum_of_pairs(counts, n_examples) for counts in interval_counts(bit_counts, sites, n_examples)]


def means_of(
    sites: Sequence[Site],
    n_examples: int,
    agreements: Sequence[int],
    class_sizes: Mapping[int, int] | None = None,
    class_agreements: Mapping[int, Sequence[int]] | None = None,
) -> SimilarityMeans:
    """The result from the agreements of each site, in all and by label."""

    def of(chosen: Sequence[int], n_neurons: int, by_site: Mapping[str, SimilarityMeans]) -> SimilarityMeans:
        return SimilarityMeans(
            n_examples,
            n_neurons,
            sum(agreements[i] for i in chosen),
            class_sizes,
            None
            if class_agreements is None
            else {label: sum(counts[i] for i in chosen) for label, counts in class_agreements.items()},
            by_site,
        )

    everything = list(range(len(sites)))
    by_site = {site.name: of([i], site.n_neurons, {}) for i, site in enumerate(sites) if site.n_neurons}
    return of(everything, sum(site.n_neurons for site in sites), by_site)


def _sum_of_pairs(counts: NDArray[np.int64], n_examples: int) -> int:
    """Σ c(c - 1)/2, in parts whose sum fits 64 bits."""
    pairs = (counts * (counts - 1) // 2).reshape(-1)
    step = max(1, (2**63 - 1) // max(_pairs(n_examples), 1))
    return sum(int(pairs[start : start + step].sum()) for start in range(0, len(pairs), step))


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _mean(n_agreements: int, n_pairs: int, n_neurons: int) -> float:
    return n_agreements / (n_pairs * n_neurons) if n_pairs else math.nan


def _plain(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
