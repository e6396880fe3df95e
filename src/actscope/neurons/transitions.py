"""Transition density: how often the activation pattern changes along a segment."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.batches import Adapt
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.reading import ExampleDim, PatternReader
from actscope.codes.selection import Layers
from actscope.neurons.predictions import Inputs, batch_size_for, paired
from actscope.progress import progress_bar
from actscope.regions import read_program
from actscope.regions.lines import count_on_lines, on_lines

__all__ = ["transition_density"]

_BYTES_AT_A_TIME = 1 << 26
_OFF_CENTRE = 0.38196601125010515
"""Where a segment is taken apart: at places where nothing changes but by accident."""


def transition_density(
    model: nn.Module,
    x: Inputs,
    y: Inputs,
    *,
    samples: int | None = None,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    adapt: Adapt = None,
    example_dim: ExampleDim = 0,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool | None = None,
) -> NDArray[np.int64]:
    """How many times the activation pattern changes on the way from each input to its partner.

    TD = lim Σ_i [A(x_i) ≠ A(x_{i+1})] over ever finer equidistant points of the segment (Jiang et al. 2022, (24) and (25)). With `samples`,
    the sum over that many points, both ends included: never above the limit, since changes between two neighbouring points count as one,
    or as none if they cancel. Without, the limit itself, for models that are piecewise linear: see `actscope.regions.lines`.

    Args:
        model: any module whose forward pass is Python; a piecewise-linear one if `samples` is not given.
        x, y: (n_pairs, …) inputs: the segments run from row i of one to row i of the other.
        samples: points on each segment, 2 or more; 512 in the paper. `None` counts exactly.
        layers, breakpoints, activations: which pattern, as for `actscope.encode`.
        adapt, example_dim: as for `actscope.encode`, for sampled points alone.
        batch_size: points in one forward pass; by default a size that fits the size of an input, 16 to 1,024. Memory does not grow with
            pairs or samples.
        device, dtype: where and in what precision to run, on a copy of the model. Exact counts are made in float64.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Returns:
        (n_pairs,) int64.

    Raises:
        NotPiecewiseLinearError: without `samples`, if the model is not piecewise linear, by the name of what is not.
        ValueError: if x and y differ in shape or hold no pair, `samples` is below 2, or as `actscope.encode` raises.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 3), nn.ReLU())
        >>> with torch.no_grad():
        ...     _ = model[0].weight.fill_(1), model[0].bias.copy_(torch.tensor([-0.2, -0.5, -2.0]))
        >>> transition_density(model, torch.zeros(1, 1), torch.ones(1, 1), samples=512)
        array([2])
    """
    starts, ends = paired(x, y)
    if samples is not None and samples < 2:
        raise ValueError(f"samples={samples}: a segment has at least its two ends, or None to count exactly")
    if samples is None:
        if adapt is not None or example_dim != 0:
            raise ValueError(
                "adapt= and example_dim= are for sampled points alone: pass samples= too, or inputs as the model takes them"
            )
        return _exact(model, starts, ends, layers, breakpoints, activations, device, progress)
    if dtype is not None:
        starts, ends = starts.to(dtype), ends.to(dtype)
    reader = PatternReader(
        model,
        layers=layers,
        breakpoints=breakpoints,
        activations=activations,
        example_dim=example_dim,
        device=device,
        dtype=dtype,
    )
    n = len(starts) * samples
    changes = np.zeros(len(starts), np.int64)
    before: Tensor | None = None
    step = batch_size or batch_size_for(starts)
    with reader, progress_bar("transitions", total=len(starts), show=progress, unit="pairs") as advance:
        first_two = _points(starts, ends, np.arange(2), samples)
        reader.observe(first_two if adapt is None else adapt(first_two))
        reader.plan(2)
        for first in range(0, n, step):
            places = np.arange(first, min(first + step, n))
            points = _points(starts, ends, places, samples)
            packed = torch.as_tensor(reader.read(points if adapt is None else adapt(points), places)[0])
            rows = packed if before is None else torch.cat([before, packed])
            changed = (rows[1:] != rows[:-1]).any(dim=1).cpu().numpy()
            later = places[len(places) - len(changed) :]
            changed &= later % samples != 0  # from the end of one segment to the start of the next is no step
            changes += np.bincount(later[changed] // samples, minlength=len(starts))
            before = packed[-1:]
            advance(int(places[-1] + 1) // samples - first // samples)
    return changes


def _exact(
    model: nn.Module,
    starts: Tensor,
    ends: Tensor,
    layers: Layers,
    breakpoints: Breakpoints,
    activations: Activations | None,
    device: torch.device | str | None,
    progress: bool | None,
) -> NDArray[np.int64]:
    starts, ends = starts.double(), ends.double()
    program = read_program(
        model, starts, layers=layers, breakpoints=breakpoints, activations=activations, device=device
    )
    if program.exposes_cells:  # regions are convex then, and a segment meets each of them once
        return count_on_lines(program, starts, ends, progress=progress) - 1
    # the pattern of every stretch is kept while a segment is looked at, and there are about as many as neurons
    segment_bytes = program.n_neurons * sum(site.n_bytes for site in program.sites)
    step = max(1, _BYTES_AT_A_TIME // segment_bytes)
    n_pieces = -(-segment_bytes // _BYTES_AT_A_TIME)
    edges = [0.0, *((np.arange(1, n_pieces) - _OFF_CENTRE) / n_pieces).tolist(), 1.0]
    changes = np.zeros(len(starts), np.int64)
    with progress_bar("transitions", total=len(starts), show=progress, unit="pairs") as advance:
        for first in range(0, len(starts), step):
            a, b = starts[first : first + step], ends[first : first + step]
            for left, right in itertools.pairwise(edges):
                piece = on_lines(program, torch.lerp(a, b, left), torch.lerp(a, b, right), progress=False)
                changes[first : first + step] += piece.n_transitions
            advance(len(a))
    return changes


def _points(starts: Tensor, ends: Tensor, places: NDArray[np.int64], samples: int) -> Tensor:
    """Equidistant points of the segments, numbered segment after segment."""
    pairs = torch.from_numpy(places // samples).to(starts.device)
    along = torch.from_numpy(places % samples / (samples - 1)).to(starts.device, starts.dtype)
    return torch.lerp(starts[pairs], ends[pairs], along.reshape(-1, *[1] * (starts.ndim - 1)))
