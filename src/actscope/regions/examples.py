"""Examples whose regions are asked for: reading the model for them, going through them in chunks, telling which share a cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.bits import pack
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.selection import Layers
from actscope.devices import device_of
from actscope.regions.points import as_points
from actscope.regions.programs.analysis import read_program
from actscope.regions.programs.linearization import Linearization
from actscope.regions.programs.program import Program, SiteStep

__all__ = ["cell_codes", "chunks", "read_at"]

_BYTES = 1 << 24
"""Memory for the values of one chunk: more would not stay near the processor."""


def read_at(
    model: nn.Module | Program,
    x: Any,
    *,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
) -> tuple[Program, Tensor]:
    """The model's program and the examples (n, *input_shape) float64, as the caller gave both, checked.

    Raises:
        ValueError: if there is no example, one is not finite, or their shape is not what the model takes; see also `read_program`.
    """
    points = as_points(x, "x")
    if not len(points):
        raise ValueError("x holds no example: give one or more along the first axis")
    try:
        program = read_program(
            model, points, layers=layers, breakpoints=breakpoints, activations=activations, device=device
        )
    except RuntimeError as error:
        raise ValueError(
            f"the model does not run on x of shape {tuple(points.shape)}, the first axis being the examples: {error}"
        ) from error
    if tuple(points.shape[1:]) != program.input_shape:
        raise ValueError(
            f"x has shape {tuple(points.shape)}, but the program takes examples of shape {program.input_shape} along the first axis"
        )
    if device is not None and device_of(device).type != program.device.type:
        raise ValueError(f"the program was read on {program.device}: read it again with device={str(device)!r}")
    return program, points


def chunks(n: int, width: int, batch_size: int | None) -> Iterator[slice]:
    """Ranges that cover n examples, each of `batch_size`, or of as many as fit the memory of a chunk.

    Args:
        width: the most float64 numbers that one example takes at a time.

    Raises:
        ValueError: if `batch_size` is not positive.

    Example:
        >>> list(chunks(5, 100, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: give 1 or more, or None for a size that fits the model")
    step = batch_size or max(1, _BYTES // (8 * width))
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def cell_codes(linearization: Linearization) -> NDArray[np.uint8]:
    """(n, n_bytes) the cell of each example: every bit [z > level], and which entry every choice takes."""
    parts: list[NDArray[np.uint8]] = []
    for stop in linearization.stops:
        if isinstance(stop.step, SiteStep):
            packed = pack(stop.z, stop.step.levels)
            parts.append(packed.cpu().numpy() if isinstance(packed, Tensor) else packed)
        elif stop.chosen is not None:
            few = stop.step.windows.shape[1] <= 256
            columns = stop.chosen.to(torch.uint8 if few else torch.int64).cpu().numpy()
            parts.append(np.ascontiguousarray(columns).view(np.uint8))
    return np.concatenate(parts, axis=1)
