"""Exact sums over examples of what one site's neurons do, that can be added up in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.site import Site
from actscope.neurons.fingerprints import weight_bytes

__all__ = ["BatchRows", "By", "SiteTally", "flat_ends", "n_positions"]

By: TypeAlias = Literal["neuron", "channel"]
"""Whether each neuron stands for itself, or all positions of a channel (a site of three or more axes) stand for one unit."""

_MOST_COUNT_BYTES = 8 << 30
_VALUES_AT_ONCE = 1 << 23
_ROWS_AT_ONCE = 1 << 15  # byte sums of so many rows are exact in float32

# where the slope is below 5 % of its largest
_SMOOTH_ENDS = {
    "sigmoid": 4.3567,  # 4 s (1 - s) = 0.05
    "tanh": 2.1784,  # 1 - t² = 0.05
    "softsign": 3.4721,  # (1 + |z|)^-2 = 0.05
}


def flat_ends(site: Site) -> tuple[float, float] | None:
    """The pre-activations below and above which a bounded activation is flat: slope 0, or below 5 % of its largest.

    `None` for an activation without two flat ends, such as ReLU: it does not saturate.

    Example:
        >>> flat_ends(Site("act", "relu6", (4,), (0.0, 6.0), kinks=(0.0, 6.0), slopes=(0.0, 1.0, 0.0)))
        (0.0, 6.0)
        >>> flat_ends(Site("act", "tanh", (4,), (0.0,)))
        (-2.1784, 2.1784)
    """
    if site.kind in _SMOOTH_ENDS:
        return -_SMOOTH_ENDS[site.kind], _SMOOTH_ENDS[site.kind]
    if len(site.kinks) > 1 and site.slopes[0] == site.slopes[-1] == 0 and any(site.slopes[1:-1]):
        return site.kinks[0], site.kinks[-1]
    return None


def n_positions(site: Site, by: By) -> int:
    """How many neurons make one unit: all positions of a channel, or one."""
    return site.n_neurons // site.shape[0] if by == "channel" and len(site.shape) >= 3 and site.shape[0] else 1


@dataclass(frozen=True, eq=False)
class BatchRows:
    """Which rows of a batch count, and for whom.

    Attributes:
        keep: (n_kept,) positions of the rows that count, or `None` for all.
        labels: the different labels of these rows, ascending; one 0 where there are no labels.
        selectors: (n_labels + 8, n_kept) float32: a row of ones for each label's examples, then the bytes of the examples' weights.
    """

    keep: Tensor | None
    labels: tuple[int, ...]
    selectors: Tensor

    @classmethod
    def of(
        cls,
        weights: NDArray[np.uint64],
        labels: NDArray[np.int64] | None,
        keep: NDArray[np.int64] | None,
        device: torch.device,
    ) -> BatchRows:
        """The rows `keep` of a batch, with (n_kept,) weights and labels."""
        values, inverse = np.unique(np.zeros(len(weights), np.int64) if labels is None else labels, return_inverse=True)
        selectors = np.concatenate(
            [inverse.reshape(1, -1) == np.arange(len(values))[:, None], weight_bytes(weights)], axis=0
        ).astype(np.float32)
        return cls(
            None if keep is None else torch.from_numpy(keep).to(device),
            tuple(values.tolist()),
            torch.from_numpy(selectors).to(device),
        )


class SiteTally:
    """What one site's neurons did over some examples, as sums that add up exactly whatever the order of examples and parts.

    Attributes:
        site: the site.
        by: what a unit is.
        planes: the site's breakpoints, and 0 where it is none of them, ascending.
        n_examples: by label, how many examples were seen.
        above: by label, (n_planes, n_units) int64: how often a pre-activation lay above each plane.
        low, high, output_low, output_high: (n_neurons,) float64, extremes of pre- and post-activation.
        lowest, highest: (n_neurons,) uint8, the intervals that the extreme pre-activations lie in.
        fingerprint: (n_neurons,) uint64, of the pattern at the site's breakpoints.
        n_flat: (n_units,) int64, how often a bounded activation was on a flat end.
        output_mean, output_squares: (n_units,) float64, mean of the post-activation and sum of squared distances from it.
        gradient_sum, gradient_size: (n_units,) float64, Σ g and Σ |g| over examples of the gradient by the pre-activation, for a
            channel added up over positions first, as its bias gets it.
    """

    def __init__(self, site: Site, by: By) -> None:
        self.site, self.by = site, by
        self.planes = tuple(sorted({*site.breakpoints, 0.0}))
        self.n_positions = n_positions(site, by)
        n_neurons, n_units = site.n_neurons, site.n_neurons // self.n_positions
        self.n_units = n_units
        self.n_examples: dict[int, int] = {}
        self.above: dict[int, NDArray[np.int64]] = {}
        self.low = np.full(n_neurons, np.inf)
        self.high = np.full(n_neurons, -np.inf)
        self.output_low = np.full(n_neurons, np.inf)
        self.output_high = np.full(n_neurons, -np.inf)
        self.lowest = np.full(n_neurons, 255, dtype=np.uint8)
        self.highest = np.zeros(n_neurons, dtype=np.uint8)
        self.fingerprint = np.zeros(n_neurons, dtype=np.uint64)
        self.n_flat = np.zeros(n_units, dtype=np.int64)
        self.output_mean = np.zeros(n_units)
        self.output_squares = np.zeros(n_units)
        self.gradient_sum = np.zeros(n_units)
        self.gradient_size = np.zeros(n_units)

    def merge(self, other: SiteTally) -> None:
        """Add what another tally of the same site has seen.

        Raises:
            MemoryError: if the counts by label would take more than 8 GiB.
        """
        n_own, n_other = sum(self.n_examples.values()), sum(other.n_examples.values())
        if not n_other:
            return
        n_labels = len({*self.n_examples, *other.n_examples})
        n_bytes = 8 * n_labels * len(self.planes) * self.n_units
        if n_bytes > _MOST_COUNT_BYTES:
            raise MemoryError(
                f"the counts of site {self.site.name!r}, {self.n_units:,} units by {n_labels:,} labels, would take {n_bytes / 2**30:.0f} "
                "GiB: take by='channel', leave the site out by layers=, or give labels of fewer kinds"
            )
        share = n_other / (n_own + n_other)
        gap = other.output_mean - self.output_mean
        self.output_squares += other.output_squares + gap**2 * (n_own * share * self.n_positions)
        self.output_mean += gap * share
        for label, count in other.n_examples.items():
            self.n_examples[label] = self.n_examples.get(label, 0) + count
            known = self.above.get(label)
            self.above[label] = other.above[label].copy() if known is None else known + other.above[label]
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        np.minimum(self.lowest, other.lowest, out=self.lowest)
        np.maximum(self.highest, other.highest, out=self.highest)
        np.minimum(self.output_low, other.output_low, out=self.output_low)
        np.maximum(self.output_high, other.output_high, out=self.output_high)
        self.fingerprint += other.fingerprint
        self.n_flat += other.n_flat
        self.gradient_sum += other.gradient_sum
        self.gradient_size += other.gradient_size

    def per_neuron(self, unit_values: NDArray) -> NDArray:
        """(n_neurons,) from (n_units,): each position gets its channel's value."""
        return np.repeat(unit_values, self.n_positions)


class BatchTally(SiteTally):
    """The tally of one batch, filled while the model runs."""

    def __init__(self, site: Site, by: By, rows: BatchRows) -> None:
        super().__init__(site, by)
        self._rows = rows
        n_labels = len(rows.labels)
        counts = rows.selectors[:n_labels].sum(1, dtype=torch.float64).cpu().numpy()
        self.n_examples = {label: round(count) for label, count in zip(rows.labels, counts, strict=True)}

    def see_pre_activations(self, z: Tensor) -> None:
        """Count from (n_rows, n_neurons) pre-activations."""
        n_labels = len(self._rows.labels)
        totals = torch.zeros((n_labels, len(self.planes), self.n_units), dtype=torch.float64, device=z.device)
        for selectors, block in self._blocks(z):
            for plane, gamma in enumerate(self.planes):
                sums = selectors @ (block > gamma).to(torch.float32)
                totals[:, plane] += (
                    sums[:n_labels].to(torch.float64).view(n_labels, self.n_units, self.n_positions).sum(2)
                )
                if gamma in self.site.breakpoints:
                    self.fingerprint += _from_bytes(sums[n_labels:])
            lowest, highest = self._widen("low", "high", block)
            self.lowest = np.minimum(self.lowest, self._intervals(lowest))
            self.highest = np.maximum(self.highest, self._intervals(highest))
            ends = flat_ends(self.site)
            if ends is not None:
                flat = ((block <= ends[0]) | (block >= ends[1])).sum(0)
                self.n_flat += flat.view(self.n_units, self.n_positions).sum(1).cpu().numpy()
        above = totals.cpu().numpy().round().astype(np.int64)
        self.above = dict(zip(self._rows.labels, above, strict=True))

    def see_post_activations(self, a: Tensor) -> None:
        """Sum up (n_rows, n_neurons) post-activations."""
        done = 0
        for _, block in self._blocks(a):
            self._widen("output_low", "output_high", block)
            values = block.to(torch.float64).view(len(block), self.n_units, self.n_positions)
            mean = values.mean((0, 2))
            squares = ((values - mean[:, None]) ** 2).sum((0, 2)).cpu().numpy()
            n = len(block)
            gap = mean.cpu().numpy() - self.output_mean
            self.output_squares += squares + gap**2 * (done * n / (done + n) * self.n_positions)
            self.output_mean += gap * (n / (done + n))
            done += n

    def see_gradients(self, g: Tensor) -> None:
        """Sum up (n_rows, n_neurons) gradients of each example's loss by its pre-activations."""
        for _, block in self._blocks(g):
            values = block.to(torch.float64).view(len(block), self.n_units, self.n_positions).sum(2)
            self.gradient_sum += values.sum(0).cpu().numpy()
            self.gradient_size += values.abs().sum(0).cpu().numpy()

    def _blocks(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The rows that count, with their columns of the selectors, a bounded number of values at once."""
        if self._rows.keep is not None:
            values = values[self._rows.keep]
        step = max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // max(1, self.site.n_neurons)))
        return [
            (self._rows.selectors[:, start : start + step], values[start : start + step])
            for start in range(0, len(values), step)
        ]

    def _widen(self, low: str, high: str, block: Tensor) -> tuple[Tensor, Tensor]:
        lowest, highest = torch.aminmax(block, dim=0)
        setattr(self, low, np.minimum(getattr(self, low), lowest.to(torch.float64).cpu().numpy()))
        setattr(self, high, np.maximum(getattr(self, high), highest.to(torch.float64).cpu().numpy()))
        return lowest, highest

    def _intervals(self, z: Tensor) -> NDArray[np.uint8]:
        # compared in the precision of z, as the codes are
        planes = [z > gamma for gamma in self.site.breakpoints]
        return np.asarray(torch.stack(planes).sum(0).to(torch.uint8).cpu().numpy())


def _from_bytes(sums: Tensor) -> NDArray[np.uint64]:
    """Numbers modulo 2^64 from (8, n) sums of their bytes."""
    total = np.zeros(sums.shape[1], dtype=np.uint64)
    for k, row in enumerate(sums.cpu().numpy()):
        total += row.astype(np.uint64) << np.uint64(8 * k)
    return total
