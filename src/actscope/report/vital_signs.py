"""The neurons' vital signs for a report: taken where model and data admit it, else the reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from actscope.neurons import Vitals, vitals
from actscope.report.unavailable import Unavailable, attempt

__all__ = ["vital_signs"]


def vital_signs(model: nn.Module, data: Any, **choices: Any) -> Vitals | Unavailable:
    """The vital signs of a model whose codes were read from `data` already, channels counted as one; or why they cannot be had.

    A model that runs forward need not run backward, and data need not come a second time: neither is an error of a report.

    Args:
        model, data: as for `actscope.neurons.vitals`.
        choices: its other arguments.
    """
    if isinstance(data, Iterator):
        return Unavailable("the data can be read only once")
    try:
        return attempt(lambda: vitals(model, data, by="channel", **choices))
    except RuntimeError as error:
        return Unavailable(f"the backward pass failed: {str(error).splitlines()[0]}")
