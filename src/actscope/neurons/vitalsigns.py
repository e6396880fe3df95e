"""What was found out about the neurons of one site: interval shares, rates, information, gradients, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes.site import Site
from actscope.neurons.fingerprints import twins
from actscope.neurons.tallies import By, SiteTally, flat_ends
from actscope.neurons.verdicts import Thresholds, dying, same_everywhere, with_alive

__all__ = ["SiteVitals", "entropy_bits", "site_vitals"]


@dataclass(frozen=True, eq=False, repr=False)
class SiteVitals:
    """How each unit of one site behaves over the examples seen. A unit is a neuron, or all positions of a channel.

    Attributes:
        site: the site.
        by: `neuron` or `channel`.
        n_examples: how many examples were seen.
        shares: (n_units, n_intervals), how often the pre-activation lies in each interval; for a channel over examples and positions.
        firing_rate: (n_units,), share of pre-activations above 0.
        entropy: (n_units,), of the interval, in bits.
        information: (n_units,), mutual information of the interval with the label in bits, the plug-in estimate (biased upwards by
            about (n_intervals - 1)(n_classes - 1) / (2 n ln 2)); `None` without labels.
        rate_by_class: (n_classes, n_units), firing rate of each class; `None` without labels.
        same_interval: (n_units,), the smallest share that any class has in the unit's most frequent interval.
        mean, variance: (n_units,), of the post-activation.
        gradient: (n_units,), mean over examples of |g|, g being the gradient of an example's loss by the pre-activation (added up
            over a channel's positions); `None` if gradients were not measured.
        cancellation: (n_units,), |Σ g| / Σ |g| over examples; NaN where every g is 0.
        flat: (n_units,), share of pre-activations on a flat end; `None` for activations without two flat ends.
        twin: (n_units,) int64, another unit with the same pattern or its mirror image, or -1.
        mirrored: (n_units,) bool, whether it is the mirror image.
        output_low, output_high: (n_neurons,), extremes of each neuron's post-activation.
        verdicts: by name, (n_units,) bool.
    """

    site: Site
    by: By
    n_examples: int
    shares: NDArray[np.float64]
    firing_rate: NDArray[np.float64]
    entropy: NDArray[np.float64]
    information: NDArray[np.float64] | None
    rate_by_class: NDArray[np.float64] | None
    same_interval: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    gradient: NDArray[np.float64] | None
    cancellation: NDArray[np.float64] | None
    flat: NDArray[np.float64] | None
    twin: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    output_low: NDArray[np.float64]
    output_high: NDArray[np.float64]
    verdicts: Mapping[str, NDArray[np.bool_]]

    @property
    def n_units(self) -> int:
        """Neurons, or channels."""
        return len(self.mean)

    @property
    def unit_noun(self) -> str:
        """What to call a unit of this site."""
        return "channel" if self.n_units < self.site.n_neurons else "neuron"

    def share(self, verdict: str) -> float:
        """The share of units that bear a verdict."""
        mask = self.verdicts[verdict]
        return float(mask.mean()) if mask.size else 0.0

    def can_be(self, verdict: str) -> bool:
        """Whether a unit of this site could bear the verdict: some need a slope, a flat end or gradients."""
        needs = {
            "saturated": self.flat is not None,
            "dying": self.gradient is not None,
            "always on": self.site.piecewise_linear and 1.0 in self.site.slopes,
        }
        return needs.get(verdict, True)

    def of(self, unit: int) -> tuple[str, ...]:
        """The verdicts that one unit bears, the gravest first."""
        return tuple(name for name, mask in self.verdicts.items() if mask[unit])

    def __repr__(self) -> str:
        counts = ", ".join(f"{int(mask.sum())} {name}" for name, mask in self.verdicts.items() if mask.any())
        return f"SiteVitals({self.site.name}: {counts or 'nothing'} of {self.n_units} {self.unit_noun}s)"

    def to_dict(self) -> dict[str, Any]:
        """Shares and means over units as plain values; `Vitals.to_arrow` has every unit."""
        return {
            "site": self.site.name,
            "kind": self.site.kind,
            "unit": self.unit_noun,
            "n_units": self.n_units,
            "n_examples": self.n_examples,
            "verdicts": {name: int(mask.sum()) for name, mask in self.verdicts.items()},
            "mean_firing_rate": _mean(self.firing_rate),
            "mean_entropy_bits": _mean(self.entropy),
            "mean_information_bits": _mean(self.information),
            "mean_gradient": _mean(self.gradient),
            "median_cancellation": _median(self.cancellation),
        }


def site_vitals(
    tally: SiteTally, *, labelled: bool, gradients: bool, weight_sum: int, thresholds: Thresholds
) -> SiteVitals:
    """What a tally says of each unit.

    Args:
        tally: the site's sums.
        labelled: whether its labels are labels, and not the one 0 of data without.
        gradients: whether gradients were measured.
        weight_sum: Σ r(id) over the examples, for mirror images.
        thresholds: where verdicts begin.
    """
    site, labels = tally.site, sorted(tally.n_examples)
    n_by_label = np.array([tally.n_examples[label] for label in labels])
    n = int(n_by_label.sum())
    above = np.stack([tally.above[label] for label in labels])  # (n_labels, n_planes, n_units)
    planes = [tally.planes.index(point) for point in site.breakpoints]
    counts = _interval_counts(above[:, planes], n_by_label * tally.n_positions)
    shares = counts.sum(0) / (n * tally.n_positions)
    by_class = counts / (n_by_label * tally.n_positions)[:, None, None]
    fired = above[:, tally.planes.index(0.0)]
    same = same_everywhere(by_class, shares)
    varies = _any_position(tally, tally.lowest != tally.highest)
    # a channel is constant, dead or always on if it is so at every position
    masks = {
        "constant pattern": ~varies,
        "dead": ~_any_position(tally, tally.output_high - tally.output_low > thresholds.same_output * _size(tally)),
        "always on": ~_any_position(tally, ~_on_slope_one(tally)),
    }
    flat = None if flat_ends(site) is None else tally.n_flat / (n * tally.n_positions)
    masks["saturated"] = np.zeros(tally.n_units, dtype=bool) if flat is None else flat >= thresholds.flat
    twin, mirrored = _twins(tally, weight_sum, varies)
    masks["redundant"] = twin >= 0
    gradient = cancellation = None
    masks["dying"] = np.zeros(tally.n_units, dtype=bool)
    if gradients:
        gradient = tally.gradient_size / n
        some = tally.gradient_size > 0
        cancellation = np.full(tally.n_units, np.nan)
        cancellation[some] = np.abs(tally.gradient_sum[some]) / tally.gradient_size[some]
        masks["dying"] = dying(same, gradient, cancellation, thresholds=thresholds, n_examples=n)
    return SiteVitals(
        site=site,
        by=tally.by,
        n_examples=n,
        shares=shares,
        firing_rate=fired.sum(0) / (n * tally.n_positions),
        entropy=entropy_bits(shares),
        information=_information(by_class, n_by_label / n, shares) if labelled else None,
        rate_by_class=fired / (n_by_label * tally.n_positions)[:, None] if labelled else None,
        same_interval=same,
        mean=tally.output_mean.copy(),
        variance=tally.output_squares / (n * tally.n_positions),
        gradient=gradient,
        cancellation=cancellation,
        flat=flat,
        twin=twin,
        mirrored=mirrored,
        output_low=tally.output_low.copy(),
        output_high=tally.output_high.copy(),
        verdicts=with_alive(masks),
    )


def entropy_bits(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """-Σ p log2 p along the last axis.

    Example:
        >>> entropy_bits(np.array([[0.5, 0.5], [1.0, 0.0]]))
        array([1., 0.])
    """
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    bits: NDArray[np.float64] = np.maximum(-(shares * logs).sum(-1), 0.0)
    return bits


def _interval_counts(above: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n_labels, n_units, n_intervals) counts from how often each breakpoint was exceeded."""
    everything = np.broadcast_to(totals[:, None, None], (len(above), 1, above.shape[2]))
    edges = np.concatenate([everything, above, np.zeros_like(everything)], axis=1)
    return np.moveaxis(edges[:, :-1] - edges[:, 1:], 1, 2)


def _information(
    by_class: NDArray[np.float64], weights: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """I(interval; label) = H(interval) - H(interval | label), (n_units,) bits."""
    conditional = np.tensordot(weights, entropy_bits(by_class), axes=1)
    bits: NDArray[np.float64] = np.maximum(entropy_bits(shares) - conditional, 0.0)
    return bits


def _size(tally: SiteTally) -> NDArray[np.float64]:
    size: NDArray[np.float64] = np.maximum(np.abs(tally.output_low), np.abs(tally.output_high))
    return size


def _on_slope_one(tally: SiteTally) -> NDArray[np.bool_]:
    """(n_neurons,) bool: whether every pre-activation seen lies on one piece of slope 1, beyond a kink."""
    site = tally.site
    edges = [-np.inf, *site.kinks, np.inf]
    on: NDArray[np.bool_] = np.zeros(site.n_neurons, dtype=bool)
    if site.piecewise_linear:
        for start, stop, slope in zip(edges[:-1], edges[1:], site.slopes, strict=True):
            if slope == 1:
                np.logical_or(on, (tally.low > start) & (tally.high <= stop), out=on)
    return on


def _any_position(tally: SiteTally, of_neurons: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n_units,) bool: whether it holds for any position of the unit."""
    found: NDArray[np.bool_] = np.logical_or.reduce(of_neurons.reshape(tally.n_units, tally.n_positions), axis=1)
    return found


def _twins(tally: SiteTally, weight_sum: int, varies: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    # a channel's fingerprint is a sum over positions with fixed odd weights, so its mirror image's is known as well
    odd = np.random.default_rng(0).integers(0, 2**63, tally.n_positions, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    if tally.n_positions == 1:
        odd[:] = 1
    prints = (tally.fingerprint.reshape(tally.n_units, tally.n_positions) * odd).sum(axis=1, dtype=np.uint64)
    mirror_of_zero = len(tally.site.breakpoints) * weight_sum * sum(odd.tolist())
    return twins(prints, mirror_of_zero=mirror_of_zero, candidates=varies)


def _mean(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None or not values.size else float(values.mean())


def _median(values: NDArray[np.float64] | None) -> float | None:
    if values is None or np.isnan(values).all():
        return None
    return float(np.nanmedian(values))
