"""The activation regions that a line meets, exactly: every breakpoint, every pattern, many lines at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.groups import count_distinct
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.progress import progress_bar
from actscope.regions.analysis import read_program
from actscope.regions.points import as_points
from actscope.regions.program import Program
from actscope.regions.sweeping import Sweep, Swept, Switches
from actscope.regions.verifying import verify_cells, verify_total

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from actscope.regions.sampling import SampledLine

__all__ = ["Line", "Lines", "count_on_lines", "count_on_rays", "interval_midpoints", "line", "on_lines"]

TOLERANCE = 1e-9
"""A value counts as positive or negative beyond this share of its scale."""

_ANCHOR = 0.38196601125010515
"""Where a whole line is taken apart in two half lines: a place where nothing happens but by accident."""

_BYTES = 1 << 26
"""Memory for the values of all points of one chunk."""


@dataclass(frozen=True, repr=False)
class Lines:
    """The partition of many lines x(t) = start + t (end - start) into intervals on which nothing switches.

    An interval is where one line meets one cell: every kink and every pooling choice is fixed on it. Where each cell has a
    pattern of its
    own (no pooling, all kinks count), intervals are activation regions.

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


@overload
def line(
    model: nn.Module | Program,
    start: Tensor,
    end: Tensor,
    *,
    extend: bool = ...,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    samples: None = ...,
    verify: bool = ...,
    tolerance: float = ...,
    device: torch.device | str | None = ...,
) -> Line: ...
@overload
def line(
    model: nn.Module,
    start: Tensor,
    end: Tensor,
    *,
    extend: bool = ...,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    samples: int,
    device: torch.device | str | None = ...,
) -> SampledLine: ...
def line(
    model: nn.Module | Program,
    start: Tensor,
    end: Tensor,
    *,
    extend: bool = False,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    samples: int | None = None,
    verify: bool = False,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
) -> Line | SampledLine:
    """The activation regions on the segment from `start` to `end`, exactly: a `Line`.

    All sites are resolved in the order in which they run: between two known points all pre-activations up to the first site that is not
    resolved are affine, so their zeros are found by interpolation, without sampling and without forming matrices.

    Args:
        model: a model that is piecewise linear, up to the last site that counts; or its `Program`.
        start, end: (*input_shape) two inputs.
        extend: take the whole infinite line through them.
        layers, breakpoints, activations: as for `actscope.encode`: the pattern that is counted.
        samples: for a model that is not piecewise linear: look at so many equidistant points instead, and return a `SampledLine`.
        verify: compare the result with the model itself, and raise on a mismatch.
        tolerance: values within this share of their scale count as zero.
        device: where to compute; the model's own device if `None`.

    Raises:
        NotPiecewiseLinearError: if the model is not piecewise linear; the message names the operation.
        PartitionError: with `verify`, if the result and the model differ.
        ValueError: if shapes differ or values are not finite.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = model.load_state_dict({"0.weight": torch.tensor([[1.0], [1.0]]), "0.bias": torch.tensor([0.0, -0.5]),
        ...                            "2.weight": torch.tensor([[2.0, -4.0]]), "2.bias": torch.zeros(1)})
        >>> found = line(model, torch.tensor([-1.0]), torch.tensor([1.0]), verify=True)
        >>> found
        Line(3 activation regions, 3 linear regions; 2 neurons, t from 0 to 1)
        >>> found.breakpoints
        array([0.5 , 0.75])
    """
    if samples is not None:
        from actscope.regions.sampling import sample_line

        if isinstance(model, Program):
            raise TypeError("samples= looks at the model itself: give the model, not its Program")
        return sample_line(
            model, start, end, samples=samples, extend=extend, layers=layers, breakpoints=breakpoints, activations=activations,
            device=device,
        )  # fmt: skip
    found = on_lines(
        model, start[None], end[None], extend=extend, layers=layers, breakpoints=breakpoints, activations=activations,
        verify=verify, tolerance=tolerance, device=device, progress=False,
    )  # fmt: skip
    return found[0]


def on_lines(
    model: nn.Module | Program,
    starts: Tensor,
    ends: Tensor,
    *,
    extend: bool = False,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    verify: bool = False,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Lines:
    """The activation regions on many segments at once, each as `line` finds them.

    Args:
        model: as for `line`.
        starts, ends: (n_lines, *input_shape).
        extend, layers, breakpoints, activations, verify, tolerance, device: as for `line`.
        progress: whether a bar is shown; `None` shows one on a terminal.

    Raises:
        As `line`.

    Example:
        >>> from actscope.training import MLP
        >>> found = on_lines(MLP(4, [8], 2, seed=1), torch.zeros(3, 4), torch.eye(4)[:3], extend=True)
        >>> len(found), found.n_regions.shape, found[2].breakpoints.shape == (found.n_regions[2] - 1,)
        (3, (3,), True)
    """
    starts, ends, program = _prepared(model, starts, ends, layers, breakpoints, activations, device)
    sweep = Sweep(program, tolerance=tolerance, patterns=True, memory=_BYTES)
    swept: list[Swept] = []
    with progress_bar("lines", total=len(starts), show=progress, unit="lines") as advance:
        for rows in _chunks(program, len(starts)):
            swept += sweep.run(*_initial(starts[rows], ends[rows], extend, rows.start))
            advance(len(starts[rows]))
    found = _assembled(program, sweep, swept, starts, ends)
    if verify:
        _verify(program, found)
    return found


def count_on_lines(
    model: nn.Module | Program,
    starts: Tensor,
    ends: Tensor,
    *,
    extend: bool = False,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> NDArray[np.int64]:
    """The number of activation regions on each of many segments, (n_lines,) int64, by a faster path than `on_lines`.

    Args:
        model, starts, ends, extend, layers, breakpoints, activations, tolerance, device, progress: as for `on_lines`.

    Example:
        >>> from actscope.training import MLP
        >>> model, ends = MLP(4, [8, 8], 2, seed=1), torch.eye(4)
        >>> (count_on_lines(model, -ends, ends) == on_lines(model, -ends, ends).n_regions).all().item()
        True
    """
    starts, ends, program = _prepared(model, starts, ends, layers, breakpoints, activations, device)
    program = program.until_last_site()
    if (
        extend or not program.exposes_cells
    ):  # intervals are not regions, or a region may lie on both sides of where a line is taken apart
        return on_lines(program, starts, ends, extend=extend, tolerance=tolerance, progress=progress).n_regions
    sweep = Sweep(program, tolerance=tolerance, patterns=False, memory=_BYTES, count_only=True)
    counts = np.zeros(len(starts), dtype=np.int64)
    with progress_bar("lines", total=len(starts), show=progress, unit="lines") as advance:
        for rows in _chunks(program, len(starts)):
            for part in sweep.run(*_initial(starts[rows], ends[rows], extend, rows.start)):
                np.add.at(counts, part.line, part.counts)
            advance(len(starts[rows]))
    return counts


def count_on_rays(
    program: Program, start: Tensor, directions: Tensor, *, tolerance: float = TOLERANCE
) -> NDArray[np.int64]:
    """(n_rays,) how many cells each half line start + s v, s > 0, goes through, for a program up to its last site that counts.

    Args:
        program: as `Program.until_last_site` returns it.
        start: (*input_shape); directions: (n_rays, *input_shape), float64, on the program's device.
        tolerance: as for `line`.
    """
    n = len(directions)
    sweep = Sweep(program, tolerance=tolerance, patterns=False, memory=_BYTES, count_only=True)
    places = np.repeat([[0.0, 1.0], [1.0, 0.0]], n, axis=0)
    numbers = np.arange(n)
    counts = np.zeros(n, dtype=np.int64)
    for part in sweep.run(torch.cat([start.expand_as(directions), directions]), places, numbers, numbers + n, numbers):
        np.add.at(counts, part.line, part.counts)
    return counts


def _verify(program: Program, found: Lines) -> None:
    """Compare each interval's midpoint with the model itself.

    Raises:
        PartitionError: on a mismatch.
    """
    t = torch.from_numpy(interval_midpoints(found.left, found.right)).to(program.device)
    line = torch.from_numpy(np.repeat(np.arange(len(found)), np.diff(found.offsets))).to(program.device)
    steps = t.reshape(-1, *[1] * len(program.input_shape))
    points = found.starts[line] + steps * (found.ends - found.starts)[line]
    verify_cells(program, points, found.packed, found.values, tolerance=found.tolerance, name="interval")
    first, last = found.left[found.offsets[:-1]], found.right[found.offsets[1:] - 1]
    for a, b, rows in zip(first, last, itertools.pairwise(found.offsets), strict=True):
        lengths = found.right[slice(*rows)] - found.left[slice(*rows)]
        if np.isfinite(a) and np.isfinite(b):
            verify_total(lengths, b - a, "the lengths of the intervals")


def interval_midpoints(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) a point inside each interval, of which one end or both may be infinite."""
    low, high = np.isfinite(left), np.isfinite(right)
    finite_left, finite_right = np.where(low, left, 0.0), np.where(high, right, 0.0)
    middle = (finite_left + finite_right) / 2
    outside = 1.0 + np.abs(finite_left) + np.abs(finite_right)
    return np.where(low & high, middle, np.where(low, finite_left + outside, finite_right - outside))


def _prepared(
    model: nn.Module | Program,
    starts: Tensor,
    ends: Tensor,
    layers: Layers,
    breakpoints: Breakpoints,
    activations: Activations | None,
    device: torch.device | str | None,
) -> tuple[Tensor, Tensor, Program]:
    starts, ends = as_points(starts, "starts"), as_points(ends, "ends")
    if starts.shape != ends.shape:
        raise ValueError(
            f"starts has shape {tuple(starts.shape)} and ends {tuple(ends.shape)}: each line needs both, of one shape"
        )
    if not len(starts):
        raise ValueError("starts and ends hold no points: give one line or more")
    program = read_program(
        model, starts, layers=layers, breakpoints=breakpoints, activations=activations, device=device
    )
    if tuple(starts.shape[1:]) != program.input_shape:
        raise ValueError(
            f"the points have shape {tuple(starts.shape[1:])}, but the program was read for inputs of {program.input_shape}"
        )
    place = program.device
    return starts.to(place), ends.to(place), program


def _chunks(program: Program, n_lines: int) -> Iterator[slice]:
    widest = max(site.n_neurons for site in program.sites)
    step = max(1, _BYTES // (8 * widest * (2 + program.n_neurons // 2)))
    return (slice(first, min(first + step, n_lines)) for first in range(0, n_lines, step))


def _initial(
    starts: Tensor, ends: Tensor, extend: bool, first_line: int
) -> tuple[Tensor, NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Points, places, left, right and line of the intervals before anything is cut."""
    n = len(starts)
    numbers = np.arange(n)
    if not extend:
        places = np.repeat([[0.0, 1.0], [1.0, 1.0]], n, axis=0)
        return torch.cat([starts, ends]), places, numbers, numbers + n, numbers + first_line
    away = ends - starts
    points = torch.cat([-away, starts + _ANCHOR * away, away])
    places = np.repeat([[-1.0, 0.0], [_ANCHOR, 1.0], [1.0, 0.0]], n, axis=0)
    left, right = np.stack([numbers, numbers + n], axis=1), np.stack([numbers + n, numbers + 2 * n], axis=1)
    return points, places, left.reshape(-1), right.reshape(-1), np.repeat(numbers + first_line, 2)


def _assembled(program: Program, sweep: Sweep, swept: list[Swept], starts: Tensor, ends: Tensor) -> Lines:
    line = np.concatenate([part.line for part in swept])
    packed = np.concatenate([part.packed for part in swept])
    left, right = (_parameters(np.concatenate([getattr(part, end) for part in swept])) for end in ("left", "right"))
    slopes = values = references = None
    bends = np.zeros(len(line) - 1, dtype=bool)
    if program.output is not None:
        at_left, at_right = (
            np.concatenate([part.values[end] for part in swept if part.values is not None]) for end in (0, 1)
        )
        slopes, noise = _slopes(left, right, at_left, at_right, line)
        bends = _bends(slopes, noise)
        references = np.where(np.isfinite(left), left, right)
        values = np.where(np.isfinite(left)[:, None], at_left, at_right)
    # where a whole line was taken apart, the two intervals are one, unless something switches there
    seam = (right[:-1] == _ANCHOR) & (left[1:] == _ANCHOR) & (line[1:] == line[:-1]) & ~bends
    seam &= (packed[1:] == packed[:-1]).all(axis=1)
    keep = np.concatenate([[True], ~seam])
    line, left, packed = line[keep], left[keep], packed[keep]
    right = right[np.concatenate([~seam, [True]])]
    if slopes is not None and values is not None and references is not None:
        slopes = slopes[keep]
        values = values[keep] + slopes * (interval_midpoints(left, right) - references[keep])[:, None]
    offsets = np.searchsorted(line, np.arange(len(starts) + 1))
    bends = np.append(bends[keep[1:]] & (line[1:] == line[:-1]), False)
    return Lines(
        starts=starts,
        ends=ends,
        offsets=offsets,
        left=left,
        right=right,
        packed=packed,
        sites=program.sites,
        switches=sweep.switches(),
        values=values,
        slopes=slopes,
        n_regions=_regions(packed, offsets, cells=program.exposes_cells),
        n_linear_regions=None if slopes is None else 1 + np.add.reduceat(bends.astype(np.int64), offsets[:-1]),
        tolerance=sweep.tolerance,
        n_near_ties=sweep.n_near_ties,
    )


def _parameters(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The parameter t of homogeneous places (t, weight); infinite where the weight is 0."""
    return np.where(places[:, 1] > 0, places[:, 0], np.copysign(math.inf, places[:, 0]))


def _slopes(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    at_left: NDArray[np.float64],
    at_right: NDArray[np.float64],
    line: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The output's change per unit of t on each interval, and how much of that may be rounding."""
    finite = np.isfinite(left) & np.isfinite(right)
    length = np.where(finite, right - left, 1.0)[:, None]
    change = np.where(finite[:, None], at_right - at_left, np.where(np.isfinite(left)[:, None], at_right, -at_left))
    largest = np.maximum(np.abs(at_left), np.abs(at_right)).max(axis=1, initial=0.0)
    # rounding is that of the hidden layers, also where outputs vanish: it goes with the largest outputs on the line
    distances = np.maximum(*(np.where(np.isfinite(t), np.maximum(np.abs(t), 1.0), 1.0) for t in (left, right)))
    suggested = np.zeros(int(line[-1]) + 1)
    np.maximum.at(suggested, line, largest / distances)
    largest = suggested[line] * distances
    return change / length, 1e-14 * largest / length[:, 0]


def _bends(slopes: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n_intervals - 1,) whether the slope changes from one interval to the next by more than rounding."""
    change = np.abs(slopes[1:] - slopes[:-1]).max(axis=1, initial=0.0)
    largest = np.abs(slopes).max(axis=1, initial=0.0)
    found: NDArray[np.bool_] = change > noise[1:] + noise[:-1] + 1e-9 * np.maximum(largest[1:], largest[:-1])
    return found


def _regions(packed: NDArray[np.uint8], offsets: NDArray[np.int64], *, cells: bool) -> NDArray[np.int64]:
    """Distinct patterns on each line. Where every cell is convex and has its own, no pattern comes back after it was left."""
    if cells:
        return np.diff(offsets)
    return np.array([count_distinct(packed[a:b]) for a, b in itertools.pairwise(offsets)], dtype=np.int64)
