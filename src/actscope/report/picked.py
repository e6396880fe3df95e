"""Single examples taken out of data by their index, with what a page says and shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.report.thumbnails import example_pictures, indexable

__all__ = ["Picked", "pick"]


@dataclass(frozen=True, eq=False)
class Picked:
    """Some examples.

    Attributes:
        x: (n, *input_shape) floating.
        indices: of the examples in their data.
        labels: what class each is of, by name where there is one; `None` where there are no labels.
        pictures: (height, width) or (height, width, 3) uint8 each; empty where the examples are none.
        source: what they were taken from, such as "mnist, test".
    """

    x: Tensor
    indices: tuple[int, ...]
    labels: tuple[str, ...] | None
    pictures: tuple[NDArray[np.uint8], ...]
    source: str


def pick(data: Any, indices: Sequence[int], *, source: str = "") -> Picked:
    """The examples with these indices.

    Args:
        data: inputs, a pair (inputs, labels), a map-style data set, or a loader of one.
        indices: from 0.
        source: the name of the data, for errors and captions.

    Raises:
        ValueError: if the data cannot be indexed, an index is beyond it, or an example is no tensor or array.

    Example:
        >>> found = pick((torch.arange(6.0).reshape(3, 2), torch.tensor([5, 6, 7])), [2, 0])
        >>> found.x.tolist(), found.labels
        ([[4.0, 5.0], [0.0, 1.0]], ('7', '5'))
    """
    inputs = indexable(data)
    if inputs is None:
        raise ValueError(
            f"{source or 'the data'} cannot be asked for one example: give arrays, a data set with indices, or a loader of one"
        )
    n = len(inputs)
    for i in indices:
        if not 0 <= i < n:
            raise ValueError(f"example {i}: {source or 'the data'} has {n:,} examples, 0 to {n - 1:,}")
    found = [inputs[int(i)] for i in indices]
    labels: list[Any] | None = None
    if isinstance(found[0], (tuple, list)):
        labels = [one[1] for one in found] if len(found[0]) > 1 else None
        found = [one[0] for one in found]
    elif isinstance(data, (tuple, list)) and len(data) > 1:
        labels = [data[1][int(i)] for i in indices]
    for i, one in zip(indices, found, strict=True):
        if not isinstance(one, (Tensor, np.ndarray)):
            raise ValueError(
                f"example {i} of {source or 'the data'} is a {type(one).__name__}; a tensor or an array is needed"
            )
    x = torch.stack([torch.as_tensor(one) for one in found])
    x = x if x.is_floating_point() else x.float()
    shown = example_pictures(data, indices)
    pictures = tuple(shown[i] for i in indices) if all(i in shown for i in indices) else ()
    return Picked(x, tuple(int(i) for i in indices), _named(labels, getattr(inputs, "classes", None)), pictures, source)


def _named(labels: list[Any] | None, classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if labels is None or not all(np.ndim(label) == 0 for label in labels):
        return None
    numbers = [int(label) for label in labels]
    known = classes is not None and all(0 <= number < len(classes) for number in numbers)
    return tuple(str(classes[number]) if known and classes is not None else str(number) for number in numbers)
