"""The device that a caller names, if it is there; what is free on it, and how exactly it multiplies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["device_of", "free_bytes", "precision"]


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


def free_bytes(place: torch.device) -> float:
    """Memory that is free on a device, with what PyTorch holds there but does not use; a gigabyte if it cannot be asked."""
    if place.type == "cuda":
        unused = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
        return float(torch.cuda.mem_get_info(place)[0] + unused)
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):  # not every system tells
        return 2.0**30


@contextmanager
def precision(tf32: bool | None) -> Iterator[None]:
    """Products of float32 matrices in TensorFloat-32 or not, on devices that can; None leaves PyTorch's setting."""
    if tf32 is None:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
