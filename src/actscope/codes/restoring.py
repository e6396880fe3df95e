"""A model and the random states put back as they were, whatever happens in between."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

__all__ = ["evaluating", "random_state_kept"]


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every module of `model` in eval mode, and then in the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.track_running_stats:
            warnings.warn(
                f"module {name!r} normalizes each batch by itself even in eval mode (track_running_stats=False), so an example's "
                "code depends on the batch it is in",
                stacklevel=5,
            )
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Python's, NumPy's and PyTorch's global random states as they were, whatever the model and the data draw."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - it is the global state of others that is kept
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
