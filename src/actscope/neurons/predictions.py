"""How far apart a model's outputs for pairs of inputs are."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.batches import Adapt
from actscope.codes.discovery import unwrapped
from actscope.codes.restoring import evaluating, random_state_kept
from actscope.devices import device_of
from actscope.progress import progress_bar

__all__ = ["Inputs", "Output", "batch_size_for", "paired", "prediction_distance", "predictions"]

Inputs: TypeAlias = Tensor | NDArray[Any]
"""(n, …) inputs, one a row."""

Output: TypeAlias = Callable[[Any], Tensor] | None
"""From what the model returns to its prediction, (n, …); `None` takes what it returns."""

_BATCH_BYTES = 2**21


def prediction_distance(
    model: nn.Module,
    x: Inputs,
    y: Inputs,
    *,
    output: Output = None,
    adapt: Adapt = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool | None = None,
) -> NDArray[np.float64]:
    """The Euclidean distance between the model's outputs for each pair of inputs, D(F(x), F(y)) = ‖F(x) - F(y)‖₂.

    Of what the model returns: logits, where it ends in a linear layer (Jiang et al. 2022, VI-B, name the distance, and not what of). The
    forward pass runs in eval mode without gradients, and the model comes out as it went in.

    Args:
        model: any module.
        x, y: (n_pairs, …) inputs: row i of one is compared with row i of the other.
        output: from what the model returns to the tensor to compare, such as `lambda out: out.logits`.
        adapt: from a batch of inputs to the model's input (a tensor, a tuple of positional or a dict of keyword arguments).
        batch_size: inputs in one forward pass; by default a size that fits the size of an input, 16 to 1,024.
        device, dtype: where and in what precision to run, on a copy of the model.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Returns:
        (n_pairs,) float64.

    Raises:
        ValueError: if x and y differ in shape or hold no pair.
        TypeError: if they are not floating-point, or what the model returns is no tensor.

    Example:
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = nn.init.eye_(model.weight)
        >>> prediction_distance(model, torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        array([5.])
    """
    starts, ends = paired(x, y)
    size = batch_size or batch_size_for(starts)
    model, device, dtype = placed(model, device, dtype)  # once, not for each part
    distances = np.empty(len(starts))
    with progress_bar("prediction distance", total=len(starts), show=progress, unit="pairs") as advance:
        for first in range(0, len(starts), size):
            some = slice(first, first + size)
            both = predictions(
                model,
                torch.cat([starts[some], ends[some]]),
                output=output,
                adapt=adapt,
                batch_size=2 * size,
                device=device,
                dtype=dtype,
            )
            a, b = both.chunk(2)
            distances[some] = (a - b).reshape(len(a), -1).norm(dim=1).numpy()
            advance(len(a))
    return distances


def predictions(
    model: nn.Module,
    x: Tensor,
    *,
    output: Output = None,
    adapt: Adapt = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The model's outputs, (n, …) float64 on the CPU, from a forward pass in eval mode without gradients.

    Raises:
        ValueError: if the output's first axis is not the examples.
        TypeError: if what the model returns is no tensor.
    """
    model, device, dtype = placed(model, device, dtype)
    step = batch_size or batch_size_for(x)
    parts = []
    with random_state_kept(device), evaluating(model), torch.no_grad():
        for first in range(0, len(x), step):
            some = x[first : first + step]
            inputs: Any = some.to(device=device, dtype=dtype)
            inputs = inputs if adapt is None else adapt(inputs)
            if isinstance(inputs, dict):
                out = model(**inputs)
            else:
                out = model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)
            out = out if output is None else output(out)
            if not isinstance(out, Tensor):
                raise TypeError(
                    f"the model returns a {type(out).__name__}; pass output=, a function from it to the tensor to compare (such as "
                    "lambda out: out.logits)"
                )
            if not out.ndim or len(out) != len(some):
                raise ValueError(
                    f"the model returns a tensor of shape {tuple(out.shape)} for {len(some)} inputs: its first axis must be the inputs "
                    "(output= can move it)"
                )
            parts.append(out.to(device="cpu", dtype=torch.float64))
    return torch.cat(parts)


def placed(
    model: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None
) -> tuple[nn.Module, torch.device, torch.dtype | None]:
    """The model itself, or a copy of it where another device or dtype is wanted, and the device and dtype of its inputs."""
    model = unwrapped(model)
    own = list(itertools.chain(model.parameters(), model.buffers()))
    floating = [tensor for tensor in own if tensor.is_floating_point()]
    target = device_of(device) if device is not None else own[0].device if own else torch.device("cpu")
    moves = any(tensor.device != target for tensor in own)
    if moves or (dtype is not None and any(tensor.dtype != dtype for tensor in floating)):
        model = copy.deepcopy(model).to(device=target, dtype=dtype)
    return model, target, dtype or (floating[0].dtype if floating else None)


def paired(x: Inputs, y: Inputs) -> tuple[Tensor, Tensor]:
    """Both as tensors, if they are pairs of inputs.

    Raises:
        ValueError: if they differ in shape or hold no pair.
        TypeError: if they are not floating-point.
    """
    starts, ends = (torch.as_tensor(inputs).detach() for inputs in (x, y))
    if starts.shape != ends.shape or starts.ndim < 1 or not len(starts):
        raise ValueError(
            f"x and y must be pairs of inputs, (n_pairs, …) each; got shapes {tuple(starts.shape)} and {tuple(ends.shape)}"
        )
    for name, inputs in (("x", starts), ("y", ends)):
        if not inputs.is_floating_point():
            raise TypeError(f"{name} must be floating-point, so that there is a line from x to y; got {inputs.dtype}")
    return starts, ends.to(dtype=starts.dtype, device=starts.device)


def batch_size_for(x: Tensor) -> int:
    """A number of inputs that a model can take at once: small enough for the activations of a CNN."""
    example_bytes = x[0].numel() * x.element_size()
    return min(max(_BATCH_BYTES // max(example_bytes, 1), 16), 1024)
