"""The activation regions that a line meets, exactly: every breakpoint, every pattern, many lines at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.groups import count_distinct
from actscope.codes.selection import Layers
from actscope.progress import progress_bar
from actscope.regions.lineregions import Line, Lines, interval_midpoints
from actscope.regions.points import as_points
from actscope.regions.programs.analysis import read_program
from actscope.regions.programs.program import Program
from actscope.regions.subdivision.sweeping import Sweep, Swept
from actscope.regions.tolerances import TOLERANCE, require_tolerance
from actscope.regions.verifying import verify_cells, verify_total

if TYPE_CHECKING:
    from actscope.regions.sampling import SampledLine

__all__ = ["Line", "Lines", "count_on_lines", "count_on_rays", "line", "on_lines"]

_ANCHOR = 0.38196601125010515
"""Where a whole line is taken apart in two half lines: a place where nothing happens but by accident."""

_BYTES = 1 << 26
"""Memory for the values of all points of one chunk."""


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
        tolerance: values within this share of their scale count as zero; 1e-13 to 1e-5.
        device: where to compute; the model's own device if `None`.

    Raises:
        NotPiecewiseLinearError: if the model is not piecewise linear; the message names the operation.
        PartitionError: with `verify`, if the result and the model differ.
        ValueError: if shapes differ, values are not finite, or the tolerance is out of its range.

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
        if verify:
            raise ValueError("verify= is for exact partitions; a sampled one (samples=) has nothing to verify")
        return sample_line(
            model, start, end, samples=samples, extend=extend, layers=layers, breakpoints=breakpoints, activations=activations,
            device=device,
        )  # fmt: skip
    start, end = (as_points(torch.as_tensor(x)[None], name)[0] for x, name in ((start, "start"), (end, "end")))
    if start.shape != end.shape:
        raise ValueError(
            f"start has shape {tuple(start.shape)} and end {tuple(end.shape)}: a line needs two inputs of one shape, without a batch axis"
        )
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
    require_tolerance(tolerance)
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
    require_tolerance(tolerance)
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
