"""The device that a caller names, if it is there."""

from __future__ import annotations

import torch

__all__ = ["device_of"]


def device_of(device: torch.device | str) -> torch.device:
    """The device.

    Raises:
        ValueError: there is no such device here, or no device is called so.

    Example:
        >>> device_of("cpu")
        device(type='cpu')
    """
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device='{device}' is no device; choose 'cpu', 'cuda', 'cuda:1' or another that PyTorch knows"
        ) from error
    if place.type in ("cpu", "meta"):
        return place
    # modules of devices, such as torch.cuda, have these two in common
    module = getattr(torch, place.type, None)
    n_devices = module.device_count() if module is not None and module.is_available() else 0
    if n_devices <= (place.index or 0):
        there = f"sees {n_devices} of them" if n_devices else "sees none"
        raise ValueError(
            f"device='{device}' is not here: PyTorch {torch.__version__} {there}; use device='cpu', or install a build of PyTorch for it"
        )
    return place
