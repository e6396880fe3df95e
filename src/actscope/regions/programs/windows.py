"""Which entries each output of a pooling, or of another largest value, is the largest of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["choice_windows"]


def choice_windows(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    inputs: Sequence[tuple[int, ...]],
    output: tuple[int, ...],
    *,
    axis: int | None = 0,
) -> Tensor:
    """The entries of its inputs that each output is the largest of, ascending, filled up with -1.

    Args:
        name: the operation (`max_pool2d_with_indices`, `adaptive_max_pool2d`, `amax`, `max`, `maximum`).
        args, kwargs: what it was called with.
        inputs: the shapes of its inputs for one point, whose axis comes before them.
        output: the shape of its result for one point.
        axis: the axis of the operation's input along which the points lie, if it is not among those of its shape for one point.

    Returns:
        (n_outputs, most entries of one) int64: entries are numbered through all inputs, each flattened.

    Example:
        >>> choice_windows("max_pool1d", (None, [2], [2]), {}, [(1, 5)], (1, 2))
        tensor([[0, 1],
                [2, 3]])
    """
    if name == "maximum" or (name == "max" and len(inputs) == 2):
        entries = [torch.arange(math.prod(shape)).reshape(shape).expand(output).reshape(-1) for shape in inputs]
        offset = math.prod(inputs[0])
        return torch.stack([entries[0], entries[1] + offset], dim=1) if len(entries) == 2 else entries[0][:, None]
    shape = inputs[0]
    if "pool" in name:
        n_axes = int(name[name.index("pool") + 4])
        return _pooled(name, args, kwargs, shape, output[len(output) - n_axes :])
    dims = args[1] if len(args) > 1 else kwargs.get("dim", ())
    dims = [dims] if isinstance(dims, int) else list(dims)
    n_axes = len(shape) + (axis is not None)
    places = [dim % n_axes for dim in dims]
    axes = sorted(place - (axis is not None and place > axis) for place in places) if dims else list(range(len(shape)))
    kept = [i for i in range(len(shape)) if i not in axes]
    numbers = torch.arange(math.prod(shape)).reshape(shape).permute([*kept, *axes])
    return numbers.reshape(math.prod(shape[i] for i in kept), -1)


def _pooled(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], shape: tuple[int, ...], out: tuple[int, ...]
) -> Tensor:
    n_axes = len(out)
    sizes = shape[len(shape) - n_axes :]
    if name.startswith("adaptive"):
        along = [
            [range(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
            for size, n in zip(sizes, out, strict=True)
        ]
    else:
        options = dict(zip(("kernel_size", "stride", "padding", "dilation"), args[1:5], strict=False)) | dict(kwargs)
        kernel = _per_axis(options["kernel_size"], n_axes)
        stride = _per_axis(options.get("stride") or kernel, n_axes)
        padding = _per_axis(options.get("padding") or 0, n_axes)
        dilation = _per_axis(options.get("dilation") or 1, n_axes)
        along = [
            [
                range(
                    i * stride[axis] - padding[axis],
                    i * stride[axis] - padding[axis] + dilation[axis] * kernel[axis],
                    dilation[axis],
                )
                for i in range(out[axis])
            ]
            for axis in range(n_axes)
        ]
    flat = torch.zeros((1, 1), dtype=torch.int64)
    for axis in range(n_axes):
        most = max(len(places) for places in along[axis])
        rows = torch.tensor(
            [
                [i if 0 <= i < sizes[axis] else -1 for i in places] + [-1] * (most - len(places))
                for places in along[axis]
            ]
        )
        combined = flat[:, None, :, None] * sizes[axis] + rows[None, :, None, :]
        outside = (flat[:, None, :, None] < 0) | (rows[None, :, None, :] < 0)
        flat = combined.masked_fill(outside, -1).reshape(len(flat) * len(rows), -1)
    n_channels, area = math.prod(shape[: len(shape) - n_axes]), math.prod(sizes)
    offsets = area * torch.arange(n_channels)[:, None, None]
    windows = torch.where(flat[None] < 0, -1, flat[None] + offsets).reshape(n_channels * len(flat), -1)
    last = torch.iinfo(torch.int64).max
    ordered = windows.masked_fill(windows < 0, last).sort(dim=1).values
    return ordered.masked_fill(ordered == last, -1)


def _per_axis(value: Any, n_axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return [int(v) for v in (values * n_axes if len(values) == 1 else values)]
