"""Taking units out of a chain of layers: constants go into biases, copies into the weights of the unit that stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.neurons.chains import Branch, Chain, UnprunableError
from actscope.neurons.duplicates import Duplicate

__all__ = ["Surgery", "constants", "contribution"]

_FLAT = 1e-6
_WIDTHS = {
    0: ("out_features", "out_channels", "num_features"),
    1: ("in_features", "in_channels"),
}


def contribution(branch: Branch, constant: Tensor, units: Sequence[int]) -> Tensor | None:
    """What constant units add to each output of the layer behind them, (n_outputs,) float64, if it is one number per output.

    `None` where it differs from position to position, as behind a zero-padded convolution whose border sees zeros in place of the
    constant: then no bias can stand for it.

    Args:
        branch: the way to the layer.
        constant: of the activation's shape, examples first: what these units give.
        units: which they are.
    """
    with torch.no_grad():
        moved = constant
        for step in branch.steps:
            moved = step.function(moved, *step.args[1:], **step.kwargs)
        columns = torch.tensor(_columns(branch, units), device=moved.device)
        weight = branch.call.argument(1, "weight").double().index_select(1, columns)
        if branch.convolves:
            shares = moved.double().index_select(1, columns)
            out = branch.call.function(shares, weight, None, *_convolution_settings(branch)).movedim(1, -1)
        else:
            out = moved.double().index_select(-1, columns) @ weight.T
        rows = out.reshape(-1, out.shape[-1])
        spread = float((rows.amax(0) - rows.amin(0)).max())
        return None if spread > _FLAT * max(1.0, float(rows.abs().max())) else rows.mean(0)


def _convolution_settings(branch: Branch) -> tuple[object, ...]:
    call = branch.call
    return tuple(
        call.argument(place, name, default)
        for place, name, default in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))
    )


class Surgery:
    """Edits of modules that can be taken back."""

    def __init__(self) -> None:
        self._before: list[tuple[nn.Module, str, object]] = []

    def undo(self) -> None:
        """Put everything back, the last edit first."""
        for module, name, value in reversed(self._before):
            setattr(module, name, value)
        self._before.clear()

    def add_to_bias(self, layer: nn.Module, values: Tensor) -> None:
        """Add (n_outputs,) numbers to a layer's bias, which it gets if it has none."""
        if not bool((values != 0).any()):
            return
        weight = _parameter(layer, "weight")
        bias = getattr(layer, "bias", None)
        old = torch.zeros(len(values), dtype=weight.dtype, device=weight.device) if bias is None else bias.detach()
        new = (old.double() + values.to(old.device)).to(old.dtype)
        self._set(layer, "bias", nn.Parameter(new, requires_grad=weight.requires_grad))

    def merge_columns(self, branch: Branch, duplicate: Duplicate) -> None:
        """Give the unit that stays what its copy added to the layer behind."""
        weight = _parameter(branch.layer, "weight")
        new = weight.detach().double().clone()
        stays, goes = _columns(branch, [duplicate.of]), _columns(branch, [duplicate.unit])
        new[:, stays] += duplicate.scale * new[:, goes]
        self._set(branch.layer, "weight", nn.Parameter(new.to(weight.dtype), requires_grad=weight.requires_grad))

    def keep_units(self, chain: Chain, keep: Sequence[int]) -> None:
        """Leave only these units in the layers around the site."""
        self._select(chain.producer, ("weight", "bias"), 0, list(keep))
        norms = [chain.norm, *(norm for branch in chain.branches for norm in branch.norms)]
        for norm in {id(norm): norm for norm in norms if norm is not None}.values():
            self._select(norm, ("weight", "bias", "running_mean", "running_var"), 0, list(keep))
        for branch in {id(branch.layer): branch for branch in chain.branches}.values():
            self._select(branch.layer, ("weight",), 1, _columns(branch, keep))

    def _select(self, module: nn.Module, names: Sequence[str], axis: int, keep: list[int]) -> None:
        for name in names:
            old = getattr(module, name, None)
            if old is None:
                continue
            index = torch.tensor(keep, device=old.device)
            new = old.detach().index_select(axis, index)
            self._set(
                module,
                name,
                nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new,
            )
        for name in _WIDTHS[axis]:
            if hasattr(module, name):
                self._set(module, name, len(keep))

    def _set(self, module: nn.Module, name: str, value: object) -> None:
        self._before.append((module, name, getattr(module, name, None)))
        setattr(module, name, value)


def _columns(branch: Branch, units: Sequence[int]) -> list[int]:
    return [unit * branch.block + place for unit in units for place in range(branch.block)]


def _parameter(module: nn.Module, name: str) -> Tensor:
    found = getattr(module, name)
    if not isinstance(found, Tensor):
        raise UnprunableError(f"{type(module).__name__} has no {name}")
    return found


def constants(values: NDArray[np.float64], chain: Chain, like: Tensor) -> Tensor:
    """(n_neurons,) outputs of a site's neurons, as its activation gives them for the examples of the trace, in the dtype of `like`."""
    grid = torch.from_numpy(values.reshape(chain.shape[1:]))
    return grid.expand(chain.shape).to(dtype=like.dtype, device=like.device, copy=True)
