"""The distribution of pattern similarity over pairs of examples: how large a share of pairs is more alike than a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from actscope.codes import Codes
from actscope.neurons.intervals import require_thermometer
from actscope.neurons.paircounts import PairCounts, count_all_pairs, count_drawn_pairs, n_pairs
from actscope.neurons.similarity import require_neurons
from actscope.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SimilarityCurve", "SimilarityDistribution", "similarity_distribution"]


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityCurve:
    """PS_D(λ) of one set of pairs.

    Attributes:
        n_pairs: how many pairs were counted.
        mean: their mean similarity; NaN without pairs.
        shares: (k,) float64, the share of pairs with a similarity above each threshold; NaN without pairs.
        standard_errors: (k,) float64, √(s(1 - s)/(m - 1)) for a share s of m drawn pairs; `None` where all pairs were counted. It says 0
            where no drawn pair, or every one, lies above: there, the true share is within 3/m of it with 95 % confidence.
    """

    n_pairs: int
    mean: float
    shares: NDArray[np.float64]
    standard_errors: NDArray[np.float64] | None

    def to_dict(self) -> dict[str, Any]:
        """The curve as plain values that JSON can hold: `None` where there were no pairs."""
        seen = self.n_pairs > 0
        return {
            "n_pairs": self.n_pairs,
            "mean": self.mean if seen else None,
            "shares": self.shares.tolist() if seen else None,
            "standard_errors": None if self.standard_errors is None or not seen else self.standard_errors.tolist(),
        }

    def __repr__(self) -> str:
        return f"SimilarityCurve({self.n_pairs:,} pairs, mean similarity {self.mean:.4g})"


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityDistribution:
    """PS_D(X, λ) = P(PS(xi, xj) > λ) (Jiang et al. 2022, (27)), over pairs of different examples, in all and by label.

    Attributes:
        thresholds: (k,) float64, λ.
        n_examples, n_neurons: the sample.
        exact: whether every pair was counted; else pairs were drawn, and curves have standard errors.
        combined: all pairs, whatever their labels (the paper's *combined* set).
        within_class, between_classes: pairs of one label, and of two; `None` without labels.
        single: the pairs of each label's examples alone (the paper's *single* sets); `None` without labels.
        by_site: the same of each site's neurons alone, by site name, if asked for.
    """

    thresholds: NDArray[np.float64]
    n_examples: int
    n_neurons: int
    exact: bool
    combined: SimilarityCurve
    within_class: SimilarityCurve | None = None
    between_classes: SimilarityCurve | None = None
    single: Mapping[int, SimilarityCurve] | None = None
    by_site: Mapping[str, SimilarityDistribution] = field(default_factory=dict)

    @property
    def mean_single(self) -> NDArray[np.float64] | None:
        """(k,) the mean of the *single* curves, each label weighing the same; labels without a pair are left out."""
        if self.single is None:
            return None
        curves = [curve.shares for curve in self.single.values() if curve.n_pairs]
        return np.mean(curves, axis=0) if curves else np.full(len(self.thresholds), np.nan)

    @property
    def gap(self) -> NDArray[np.float64] | None:
        """(k,) `mean_single` minus the *combined* curve: the practical expressivity of Jiang et al. 2022 (VI-C); `None` without labels."""
        return None if self.mean_single is None else self.mean_single - self.combined.shares

    def plot(self, ax: Axes | None = None, *, name: str = "", dashed: bool = False) -> Axes:
        """Draw the share of pairs above each threshold, for the *combined* set and the *single* sets (Jiang et al. 2022, Figure 6).

        Args:
            ax: where to draw; a new figure if `None`. Several distributions can share axes.
            name: what the legend calls this one, such as "trained".
            dashed: whether to dash the curves, as the paper does for the untrained network.
        """
        from actscope.figures.similarity import draw_similarity_curves

        curves = {"combined": self.combined.shares}
        band = None
        if self.single is not None and self.mean_single is not None:
            shares = [curve.shares for curve in self.single.values() if curve.n_pairs]
            curves["single (mean over labels)"] = self.mean_single
            band = (np.min(shares, axis=0), np.max(shares, axis=0)) if shares else None
        return draw_similarity_curves(self.thresholds, curves, band=band, name=name, dashed=dashed, ax=ax)

    def to_dict(self) -> dict[str, Any]:
        """The curves as plain values that JSON can hold."""
        single = None if self.single is None else {label: curve.to_dict() for label, curve in self.single.items()}
        return {
            "thresholds": self.thresholds.tolist(),
            "n_examples": self.n_examples,
            "n_neurons": self.n_neurons,
            "exact": self.exact,
            "combined": self.combined.to_dict(),
            "within_class": None if self.within_class is None else self.within_class.to_dict(),
            "between_classes": None if self.between_classes is None else self.between_classes.to_dict(),
            "single": single,
            "by_site": {name: site.to_dict() for name, site in self.by_site.items()},
        }

    def __repr__(self) -> str:
        pairs = f"all {self.combined.n_pairs:,} pairs" if self.exact else f"{self.combined.n_pairs:,} drawn pairs"
        shown = np.unique(np.linspace(0, len(self.thresholds) - 1, 5).astype(int))
        points = ", ".join(f"{self.thresholds[i]:.4g}: {self.combined.shares[i]:.4g}" for i in shown)
        return (
            f"SimilarityDistribution({pairs} of {self.n_examples:,} examples × {self.n_neurons:,} neurons; "
            f"share of pairs above {points})"
        )


def similarity_distribution(
    codes: Codes,
    thresholds: ArrayLike | None = None,
    *,
    by_site: bool = False,
    pairs: int | None = None,
    seed: int | np.random.Generator = 0,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> SimilarityDistribution:
    """The share of pairs of examples whose pattern similarity is above each threshold, over all pairs or over drawn ones.

    PS_D(X, λ) = P(PS(xi, xj) > λ) (Jiang et al. 2022, (27)). All pairs are counted exactly, in compiled arithmetic on packed bits and in
    memory that does not grow with them; their time does: about half a minute for 100,000 examples of 2,304 neurons on one core.

    Args:
        codes: two examples or more; their labels, if they have any, give curves by label.
        thresholds: (k,) λ; by default 0, 0.01 … 1. Above means above: no pair is above 1.
        by_site: whether to give the distribution of each site's neurons too.
        pairs: how many pairs to draw, independently and uniformly, each of two different examples; `None` for all of them. If there are no
            more than that, all are counted.
        seed: of the draw, or a generator to draw from.
        device: an accelerator to count all pairs on; the CPU by default.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Raises:
        ValueError: if there are fewer than two examples or no neurons, thresholds are not numbers, `pairs` is below 2, or the planes
            of a site are no thermometer code.

    Example:
        >>> codes = Codes.from_bits([[0, 1], [0, 1], [1, 1], [1, 0]], labels=[3, 3, 8, 8])
        >>> distribution = similarity_distribution(codes, [0.0, 0.5])
        >>> distribution.combined.shares.round(4)
        array([0.6667, 0.1667])
        >>> distribution.within_class.shares
        array([1. , 0.5])
    """
    require_neurons(codes)
    if len(codes) < 2:
        raise ValueError(f"{codes!r} has no two examples to compare; encode at least two")
    if pairs is not None and pairs < 2:
        raise ValueError(f"pairs={pairs}: a standard error takes two drawn pairs or more, or None for all pairs")
    limits = _checked(thresholds)
    require_thermometer(codes.packed, codes.sites)
    names = [site.name for site in codes.sites if site.n_neurons] if by_site else []
    total = n_pairs(len(codes))
    exact = pairs is None or pairs >= total
    if pairs is None or pairs >= total:
        counted = []
        tables = [(codes.packed, codes.sites), *((codes.site_packed(name), (_site(codes, name),)) for name in names)]
        within = (
            0 if codes.labels is None else sum(map(n_pairs, np.unique(codes.labels, return_counts=True)[1].tolist()))
        )
        steps = (total + within) * len(tables)
        with progress_bar("similarity", total=steps, show=progress, unit="pairs") as advance:
            for packed, sites in tables:
                counted.append(count_all_pairs(packed, sites, codes.labels, device=device, advance=advance))
    else:
        generator = np.random.default_rng(seed)
        with progress_bar("similarity", total=pairs, show=progress, unit="pairs") as advance:
            every = count_drawn_pairs(
                codes.packed, codes.sites, codes.labels, pairs=pairs, generator=generator, advance=advance
            )
        chosen = {site.name: counts for site, counts in zip(codes.sites, every[1:], strict=True)}
        counted = [every[0], *(chosen[name] for name in names)]
    of_sites = {
        name: _distribution(counts, limits, len(codes), exact, {})
        for name, counts in zip(names, counted[1:], strict=True)
    }
    return _distribution(counted[0], limits, len(codes), exact, of_sites)


def _site(codes: Codes, name: str) -> Any:
    return next(site for site in codes.sites if site.name == name)


def _checked(thresholds: ArrayLike | None) -> NDArray[np.float64]:
    if thresholds is None:
        return np.arange(101) / 100
    try:
        limits = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    except (TypeError, ValueError):
        limits = np.empty(0)
    if limits.ndim != 1 or not limits.size or not np.isfinite(limits).all():
        raise ValueError(f"thresholds must be one or more finite numbers, such as [0.5, 0.9]; got {thresholds!r}")
    return limits


def _distribution(
    counts: PairCounts,
    limits: NDArray[np.float64],
    n_examples: int,
    exact: bool,
    by_site: Mapping[str, SimilarityDistribution],
) -> SimilarityDistribution:
    n_neurons = len(counts.combined) - 1
    combined = _curve(counts.combined, limits, exact)
    if counts.single is None:
        return SimilarityDistribution(limits, n_examples, n_neurons, exact, combined, by_site=by_site)
    within = sum(counts.single.values(), np.zeros_like(counts.combined))
    return SimilarityDistribution(
        limits,
        n_examples,
        n_neurons,
        exact,
        combined,
        _curve(within, limits, exact),
        _curve(counts.combined - within, limits, exact),
        {label: _curve(own, limits, exact) for label, own in counts.single.items()},
        by_site,
    )


def _curve(differing: NDArray[np.int64], limits: NDArray[np.float64], exact: bool) -> SimilarityCurve:
    """The curve of pairs that are counted by the number of neurons that differ."""
    n_neurons = len(differing) - 1
    agreeing = differing[::-1]
    n = int(agreeing.sum())
    # divided as the similarity of one pair is, so that a pair on a threshold is on it here too
    similarity = np.arange(n_neurons + 1) / n_neurons
    up_to = np.concatenate([[0], np.cumsum(agreeing)])
    above = n - up_to[np.searchsorted(similarity, limits, side="right")]
    if not n:
        nothing = np.full(len(limits), np.nan)
        return SimilarityCurve(0, np.nan, nothing, None if exact else nothing)
    shares = above / n
    errors = None if exact else np.sqrt(shares * (1 - shares) / (n - 1)) if n > 1 else np.full(len(limits), np.nan)
    mean = int(agreeing @ np.arange(n_neurons + 1)) / (n * n_neurons)
    return SimilarityCurve(n, mean, shares, errors)
