"""Pictures of single examples, where the examples are pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

__all__ = ["example_pictures", "indexable", "png_data_uri"]

_SMALLEST, _LARGEST = 4, 1024
"""Sides, in pixels, between which an array is taken for a picture."""

_COLOUR_CHANNELS = (1, 3)


def example_pictures(data: Any, ids: Sequence[Any]) -> dict[Any, NDArray[np.uint8]]:
    """The examples with these ids as pictures, as far as `data` can be indexed and holds pictures.

    Args:
        data: what `actscope.encode` takes. An id is the example's index in it.
        ids: of the examples wanted.

    Returns:
        By id, (height, width) or (height, width, 3) uint8, all stretched alike so that the darkest value among them is 0 and the
        brightest 255. Empty if the examples are no pictures: (height, width) or (1 or 3, height, width), 4 to 1,024 pixels a side.
    """
    indexed = indexable(data)
    if indexed is None:
        return {}
    pictures: dict[Any, NDArray[np.float64]] = {}
    for name in ids:
        if not isinstance(name, (int, np.integer)) or not 0 <= name < len(indexed):
            continue
        picture = _as_picture(indexed[int(name)])
        if picture is not None:
            pictures[name] = picture
    if not pictures:
        return {}
    finite = np.concatenate([picture[np.isfinite(picture)] for picture in pictures.values()])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scale = 255 / (high - low) if high > low else 0.0
    return {
        name: np.nan_to_num((picture - low) * scale, nan=0.0, posinf=255.0, neginf=0.0)
        .clip(0, 255)
        .round()
        .astype(np.uint8)
        for name, picture in pictures.items()
    }


def png_data_uri(picture: NDArray[np.uint8]) -> str:
    """The picture, (height, width) or (height, width, 3) uint8, as a `data:` address that needs no file.

    Example:
        >>> png_data_uri(np.zeros((2, 2), dtype=np.uint8))[:22]
        'data:image/png;base64,'
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def indexable(data: Any) -> Any:
    """What gives an example for an index: the tensor of inputs, or a map-style data set."""
    if isinstance(data, DataLoader):
        data = data.dataset
    if isinstance(data, IterableDataset):
        return None
    if isinstance(data, (tuple, list)) and data:
        data = data[0]
    return data if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping) else None


def _as_picture(example: Any) -> NDArray[np.float64] | None:
    if isinstance(example, (tuple, list)) and example:
        example = example[0]
    if isinstance(example, Tensor):
        example = example.detach().cpu().double().numpy()
    if not isinstance(example, np.ndarray) or example.dtype.kind not in "fiub":
        return None
    if example.ndim == 3 and example.shape[0] in _COLOUR_CHANNELS:
        example = example[0] if len(example) == 1 else example.transpose(1, 2, 0)
    is_picture = example.ndim in (2, 3) and (example.ndim == 2 or example.shape[2] == 3)
    if not is_picture or not all(_SMALLEST <= side <= _LARGEST for side in example.shape[:2]):
        return None
    picture: NDArray[np.float64] = example.astype(np.float64)
    return picture
