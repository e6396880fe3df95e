"""What a model is read from: a copy of it in float64, and two batches that differ in size and values."""

from __future__ import annotations

import copy
import inspect
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actscope.devices import device_of
from actscope.regions.programs.alignment import ROWS

__all__ = ["DoubleCopy", "double_copy", "two_batches"]


@dataclass(frozen=True)
class DoubleCopy:
    """A copy of a model in float64, and the device where it is."""

    module: nn.Module
    device: torch.device


def double_copy(model: nn.Module, device: torch.device | str | None) -> DoubleCopy:
    """A copy of `model` that shares nothing with it, in float64, without gradients.

    Raises:
        TypeError: if it cannot be copied.
        ValueError: if it is on the meta device, or a parameter is not finite.
    """
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    place = device_of(device) if device is not None else (torch.device("cpu") if first is None else first.device)
    if first is not None and first.device.type == "meta":
        raise ValueError("the model is on the meta device, where tensors have no values: load its weights first")
    # a tensor that came out of a computation with gradients, as hooks of older PyTorch versions leave on modules, has no deepcopy
    memo: dict[int, Any] = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        double = copy.deepcopy(model, memo)
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"regions work on a copy of the model, and {type(model).__name__} cannot be copied: {error}"
        ) from error
    double = double.to(device=place, dtype=torch.float64).requires_grad_(False)
    for name, tensor in itertools.chain(double.named_parameters(), double.named_buffers()):
        broken = (
            tensor.isnan() if not isinstance(tensor, nn.Parameter) else ~tensor.isfinite()
        )  # a buffer may be a mask of -inf
        if bool(broken.any()):
            raise ValueError(
                f"{name!r} of the model has a value that is not finite: look for broken weights, or a training that diverged"
            )
    for module in double.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):  # neither parameter nor buffer, so that it was left where it is
                floating = value.is_floating_point()
                setattr(module, name, value.detach().to(device=place, dtype=torch.float64 if floating else value.dtype))
    return DoubleCopy(double, place)


def two_batches(model: nn.Module, example: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two batches of 2 and 3 points around `example`; the first point of the first is the second of the second.

    Raises:
        TypeError: if `example` is not one tensor of floating-point numbers, or `model` takes several.
        ValueError: if it is empty or not finite.
    """
    if not isinstance(example, Tensor):
        raise TypeError(
            f"example must be a tensor (1, …): regions lie in the space of one input tensor; got {type(example).__name__}. For a model "
            "with several inputs, wrap it in a module that fixes all but one"
        )
    if not example.is_floating_point():
        raise TypeError(
            f"example must hold floating-point numbers, on which regions are defined; got {example.dtype}. Convert it as the "
            "model's data are, or give the model behind its embedding"
        )
    if example.ndim == 0 or example.numel() == 0:
        raise ValueError(f"example must be (1, …) with at least one number; got the shape {tuple(example.shape)}")
    _require_one_input(model)
    point = example.detach()[:1].to(device=device, dtype=torch.float64)
    if not bool(torch.isfinite(point).all()):
        raise ValueError("example must be finite; it holds nan or inf")
    scale = float(point.abs().max()) or 1.0
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((sum(ROWS) - 2, *point.shape[1:]), generator=generator, dtype=torch.float64)
    others = point + scale * noise.to(device)
    return torch.cat([point, others[:1]]), torch.cat([others[1:2], point, others[2:]])


def _require_one_input(model: nn.Module) -> None:
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # a forward written in C tells nothing
        return
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) > 1:
        raise TypeError(
            f"{type(model).__name__}.forward takes {len(needed)} inputs ({', '.join(needed)}); regions lie in the space of one tensor: "
            "wrap the model in a module that fixes the others"
        )
