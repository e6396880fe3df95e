"""Which interval each neuron is in, by what is split: its linear layer's output, its pre-activation, or its post-activation."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes import encode

__all__ = ["PAIR_SPLITS", "READINGS", "SPLITS", "Patterns", "Reading", "Split", "on_pre_activations", "split_name"]

Reading = Literal["linear output", "pre-activation", "post-activation"]
READINGS: tuple[Reading, ...] = ("linear output", "pre-activation", "post-activation")
"""What breakpoints may be put on. Definition 1 says: on w·z + b, the linear layer's output; normalized, that is the pre-activation."""

Split = tuple[float, ...]
_BENT = ((-0.5, 0.0, 0.5), (-0.25, 0.25), (-0.5, 0.5), (0.0,))
SPLITS: Mapping[str, tuple[Split, ...]] = {
    "sigmoid": _BENT,
    "tanh": _BENT,
    "relu": ((0.0,),),
    "gelu": ((0.0,),),
}
"""Breakpoints of Figures 5 to 7 by activation, and {0} for all."""
PAIR_SPLITS: Mapping[str, Split] = {name: splits[0] for name, splits in SPLITS.items()}
"""Breakpoints of Figures 5, 7 and 8."""


def split_name(split: Split) -> str:
    """The breakpoints in words.

    Example:
        >>> split_name((-0.5, 0.0, 0.5))
        '-0.5, 0, 0.5'
    """
    return ", ".join(f"{point:g}" for point in split)


def on_pre_activations(split: Split, activation: str) -> Split:
    """The pre-activations where the post-activation crosses the breakpoints; those that it never crosses are left out.

    Raises:
        ValueError: an activation that is not one of the paper's, or GELU with other breakpoints than {0}, which it can cross twice.

    Example:
        >>> on_pre_activations((-0.5, 0.0, 0.5), "sigmoid")
        (0.0,)
    """
    if activation == "sigmoid":
        return tuple(math.log(point / (1 - point)) for point in split if 0 < point < 1)
    if activation == "tanh":
        return tuple(math.atanh(point) for point in split if -1 < point < 1)
    if activation == "relu":
        return tuple(point for point in split if point >= 0)
    if activation == "gelu" and split == (0.0,):
        return split
    raise ValueError(f"activation='{activation}' with breakpoints {split} is not one of the paper's")


class Patterns:
    """What every neuron of a network does on examples, to be split by any of the paper's breakpoints.

    Args:
        model: from `fcnn`.
        x: (n, …) examples.
        activation: its name.
        normalized_before: whether normalization stands between linear layer and activation.
        batch_statistics: whether to normalize by these examples' mean and variance, as in training, not by running averages.

    Attributes:
        logits: (n, n_classes).
        widths: neurons of each hidden layer.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, *, activation: str, normalized_before: bool, batch_statistics: bool = False
    ) -> None:
        if batch_statistics:
            model = copy.deepcopy(model)
            for module in model.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.running_mean = module.running_var = None
        splits = SPLITS[activation]
        self._activation, self._normalized_before = activation, normalized_before
        self._points = {
            "norm": sorted({point for split in splits for point in split}),
            "act": sorted({p for split in splits for p in (*split, *on_pre_activations(split, activation))}),
        }
        outputs: list[Tensor] = []
        breakpoints = {f"{activation}*": self._points["act"]}
        if normalized_before:
            breakpoints["norm*"] = self._points["norm"]
        codes = encode(
            model,
            x,
            breakpoints=breakpoints,
            activations={nn.BatchNorm1d: (0.0,)} if normalized_before else None,
            batch_size=len(x),
            progress=False,
            on_output=lambda output, _: outputs.append(output.detach().float().cpu()),
        )
        self.logits = torch.cat(outputs)
        every = codes.intervals()
        parts: dict[str, list[NDArray[np.uint8]]] = {"norm": [], "act": []}
        start = 0
        for site in codes.sites:
            kind = "norm" if site.name.startswith("norm") else "act"
            parts[kind].append(every[:, start : start + site.n_neurons])
            start += site.n_neurons
        self.widths = [part.shape[1] for part in parts["act"]]
        self._fine = {kind: np.concatenate(part, axis=1) for kind, part in parts.items() if part}

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Those that differ: without normalization between them, linear outputs are pre-activations."""
        return READINGS if self._normalized_before else READINGS[1:]

    def intervals(self, reading: Reading, split: Split) -> NDArray[np.uint8]:
        """(n, n_neurons) numbers of intervals, first layer first; breakpoints that no value can cross are not counted."""
        kind = "norm" if reading == "linear output" and self._normalized_before else "act"
        wanted = on_pre_activations(split, self._activation) if reading == "post-activation" else split
        points = np.array(self._points[kind])
        # interval k of the fine split lies above its first k points
        coarse = np.concatenate([[0], np.searchsorted(np.array(wanted), points, side="right")]).astype(np.uint8)
        return coarse[self._fine[kind]]

    def by_layer(self, intervals: NDArray[np.uint8]) -> Sequence[NDArray[np.uint8]]:
        """The columns of each hidden layer."""
        return np.split(intervals, np.cumsum(self.widths)[:-1], axis=1)
