"""What there is to see in partitions of lines: intervals, patterns, breakpoints, switches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.site import Site
from actscope.regions.subdivision.sweeping import Switches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Line", "Lines", "interval_midpoints"]


@dataclass(frozen=True, repr=False)
class Lines:
    """The partition of many lines x(t) = start + t (end - start) into intervals on which nothing switches.

    An interval is where one line meets one cell: every kink and every pooling choice is fixed on it. Where each cell has a
    pattern of its own (no pooling, all kinks count), intervals are activation regions.

    Attributes:
        starts, ends: (n_lines, *input_shape) float64.
        offsets: (n_lines + 1,) int64: line i has the intervals offsets[i] … offsets[i + 1] - 1, in order.
        left, right: (n_intervals,) float64: the ends of each interval; infinite on whole lines.
        packed: (n_intervals, n_bytes) uint8: the pattern of each interval, as in `Codes.packed`.
        sites: what the bytes mean.
        switches: what happens where: which neuron crosses which breakpoint, which pooling changes its choice.
        values, slopes: (n_intervals, n_outputs) float64: the model's output at each interval's midpoint (see
        `Line.midpoints`), and its change
            per unit of t; `None` where the output is not piecewise linear.
        n_regions: (n_lines,) distinct patterns on each line.
        n_linear_regions: (n_lines,) maximal intervals on which the model is one affine map; `None` where the output is
        not piecewise linear.
        tolerance: values within this share of their scale count as zero.
        n_near_ties: breakpoints that were taken for one with another within the tolerance.
    """

    starts: Tensor
    ends: Tensor
    offsets: NDArray[np.int64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    packed: NDArray[np.uint8]
    sites: tuple[Site, ...]
    switches: Switches
    values: NDArray[np.float64] | None
    slopes: NDArray[np.float64] | None
    n_regions: NDArray[np.int64]
    n_linear_regions: NDArray[np.int64] | None
    tolerance: float
    n_near_ties: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Line:
        """One of the lines."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"lines[{index}]: there are {len(self)} lines")
        index %= len(self)
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Line(
            start=self.starts[index],
            end=self.ends[index],
            left=self.left[rows],
            right=self.right[rows],
            packed=self.packed[rows],
            sites=self.sites,
            switches=self.switches.of_line(index),
            values=None if self.values is None else self.values[rows],
            slopes=None if self.slopes is None else self.slopes[rows],
            n_regions=int(self.n_regions[index]),
            n_linear_regions=None if self.n_linear_regions is None else int(self.n_linear_regions[index]),
            tolerance=self.tolerance,
            n_near_ties=self.n_near_ties,
        )

    def __iter__(self) -> Iterator[Line]:
        return (self[i] for i in range(len(self)))

    @property
    def n_transitions(self) -> NDArray[np.int64]:
        """(n_lines,) how often the pattern changes along each line: the transition density (Jiang et al. 2022, equation 24), exactly."""
        changes = np.zeros(len(self.left) + 1, dtype=np.int64)
        changes[1:-1] = (self.packed[1:] != self.packed[:-1]).any(axis=1)
        changes[self.offsets] = 0
        total: NDArray[np.int64] = np.concatenate([[0], np.cumsum(changes)])
        return total[self.offsets[1:]] - total[self.offsets[:-1]]

    def __repr__(self) -> str:
        n = self.n_regions
        spread = f"{n.min()} to {n.max()} regions, {n.mean():.4g} on average" if len(n) else "no regions"
        return f"Lines({len(self)} lines × {sum(site.n_neurons for site in self.sites):,} neurons; {spread})"

    def to_dict(self) -> dict[str, Any]:
        """Counts by line, and how they were made, as plain values."""
        return {
            "n_lines": len(self),
            "n_regions": self.n_regions.tolist(),
            "n_linear_regions": None if self.n_linear_regions is None else self.n_linear_regions.tolist(),
            "n_transitions": self.n_transitions.tolist(),
            "tolerance": self.tolerance,
            "n_near_ties": self.n_near_ties,
        }


@dataclass(frozen=True, repr=False)
class Line:
    """The partition of one line x(t) = start + t (end - start); the attributes are those of `Lines`, for one line."""

    start: Tensor
    end: Tensor
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    packed: NDArray[np.uint8]
    sites: tuple[Site, ...]
    switches: Switches
    values: NDArray[np.float64] | None
    slopes: NDArray[np.float64] | None
    n_regions: int
    n_linear_regions: int | None
    tolerance: float
    n_near_ties: int

    @property
    def breakpoints(self) -> NDArray[np.float64]:
        """(n_intervals - 1,) the values of t where something switches, ascending."""
        return self.left[1:]

    @property
    def n_transitions(self) -> int:
        """How often the pattern changes along the line."""
        return int((self.packed[1:] != self.packed[:-1]).any(axis=1).sum())

    def points(self, t: NDArray[np.float64] | float) -> Tensor:
        """The inputs at parameters `t`, (n, *input_shape) float64."""
        steps = torch.as_tensor(np.atleast_1d(np.asarray(t, dtype=float)), device=self.start.device)
        return self.start + steps.reshape(-1, *[1] * self.start.ndim) * (self.end - self.start)

    @property
    def midpoints(self) -> NDArray[np.float64]:
        """(n_intervals,) a value of t inside each interval."""
        return interval_midpoints(self.left, self.right)

    def __repr__(self) -> str:
        linear = "" if self.n_linear_regions is None else f", {self.n_linear_regions} linear regions"
        neurons = sum(site.n_neurons for site in self.sites)
        where = f"t from {self.left[0]:g} to {self.right[-1]:g}"
        return f"Line({self.n_regions} activation regions{linear}; {neurons:,} neurons, {where})"

    def to_dict(self) -> dict[str, Any]:
        """Counts, breakpoints and switches as plain values."""
        return {
            "n_regions": self.n_regions,
            "n_linear_regions": self.n_linear_regions,
            "n_transitions": self.n_transitions,
            "breakpoints": self.breakpoints.tolist(),
            "switches": self.switches.to_dict(),
            "tolerance": self.tolerance,
            "n_near_ties": self.n_near_ties,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Where along the line the neurons of each site switch."""
        from actscope.figures.lines import draw_switches

        names = [site.name for site in self.sites]
        others = [name for name in self.switches.step_names if name not in names]
        return draw_switches(
            self.switches.t,
            np.array(
                [[*names, *others].index(self.switches.step_names[k]) for k in self.switches.step], dtype=np.int64
            ),
            names=[*names, *others],
            extent=(float(self.left[0]), float(self.right[-1])),
            ax=ax,
        )


def interval_midpoints(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) a point inside each interval, of which one end or both may be infinite."""
    low, high = np.isfinite(left), np.isfinite(right)
    finite_left, finite_right = np.where(low, left, 0.0), np.where(high, right, 0.0)
    middle = (finite_left + finite_right) / 2
    outside = 1.0 + np.abs(finite_left) + np.abs(finite_right)
    return np.where(low & high, middle, np.where(low, finite_left + outside, finite_right - outside))
