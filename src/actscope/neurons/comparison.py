"""Two models that should say the same: by how much their outputs differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actscope.codes.batches import Adapt, as_batches
from actscope.neurons.dataflow import call_model, tensors_in

__all__ = ["MOVES", "batches_to_compare", "largest_difference", "why_moved"]

MOVES = "the outputs would move"


def why_moved(model: nn.Module, probe: Any, expected: Any) -> str:
    """Why the edited model is no good, or nothing."""
    try:
        found = call_model(model, probe)
    except (RuntimeError, ValueError, IndexError) as error:
        return f"the model fails without them ({str(error).splitlines()[0]}): its forward pass counts on their number"
    difference, largest, dtype = _difference(expected, found)
    allowed = 200 * torch.finfo(dtype).eps * max(1.0, largest)
    if not difference <= allowed:
        return f"{MOVES} by {difference:.2g} on the examples seen"
    return ""


def _difference(expected: Any, found: Any) -> tuple[float, float, torch.dtype]:
    left, right = (
        list(tensors_in(part if _is_plain(part) else getattr(part, "__dict__", ()))) for part in (expected, found)
    )
    if [part.shape for part in left] != [part.shape for part in right]:
        return float("inf"), 1.0, torch.float32
    both = [(a, b) for a, b in zip(left, right, strict=True) if a.numel()]
    floats = [a for a, _ in both if a.is_floating_point()]
    return (
        max((_largest_gap(a, b) for a, b in both), default=0.0),
        max((float(torch.where(a.isfinite(), a, 0).abs().max()) for a in floats), default=0.0),
        floats[0].dtype if floats else torch.float32,
    )


def _largest_gap(a: Tensor, b: Tensor) -> float:
    """The largest difference; infinite where one is NaN or infinite and the other is not the same."""
    if not a.is_floating_point():
        return float((a != b).any())  # such as the class, where no rounding is allowed
    same = (a == b) | (a.isnan() & b.isnan())
    return float(torch.where(same, 0, (a - b).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)).max())


def _is_plain(content: Any) -> bool:
    return isinstance(content, (Tensor, dict, tuple, list))


def largest_difference(
    original: nn.Module, pruned: nn.Module, batches: Iterable[tuple[Any, int]]
) -> tuple[float, float, int]:
    """The largest difference of two models' outputs, the largest output, and the number of examples."""
    difference, largest, n = 0.0, 0.0, 0
    for inputs, n_inputs in batches:
        moved, size, _ = _difference(call_model(original, inputs), call_model(pruned, inputs))
        difference, largest, n = max(difference, moved), max(largest, size), n + n_inputs
    return difference, largest, n


def batches_to_compare(probe: Any, examples: Any, *, adapt: Adapt, batch_size: int | None) -> Iterable[tuple[Any, int]]:
    """Inputs with their number: those of `examples` batch by batch, or else the few that the vital signs kept."""
    if examples is None:
        yield probe, len(next(iter(tensors_in(probe))))
        return
    ids = None if hasattr(examples, "__getitem__") or hasattr(examples, "dataset") else "order"
    for batch in as_batches(examples, adapt=adapt, batch_size=batch_size, ids=ids):
        yield _as_tensors(batch.inputs), len(batch.ids)


def _as_tensors(content: Any) -> Any:
    if isinstance(content, np.ndarray):
        return torch.from_numpy(content)
    if isinstance(content, dict):
        return {key: _as_tensors(value) for key, value in content.items()}
    return tuple(_as_tensors(value) for value in content) if isinstance(content, (tuple, list)) else content
