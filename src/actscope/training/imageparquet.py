"""Image data sets as Parquet files of encoded images: columns `img` (struct of bytes and path) and `label`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from actscope.training.datafile import DataFileError, Images

__all__ = ["read_image_parquet", "read_image_parquet_set"]

_ROWS_AT_ONCE = 2048


def read_image_parquet_set(folder: Path, *, image_size: tuple[int, int]) -> dict[str, Images] | None:
    """The splits `train` and `test` from `train.parquet` or `train-….parquet`, and likewise; None if neither is in `folder`.

    Raises:
        FileNotFoundError: one split is there and the other is not.
        DataFileError: a file is damaged or holds something else.
    """
    paths = {
        split: sorted(folder.glob(f"{split}.parquet")) or sorted(folder.glob(f"{split}-*.parquet"))
        for split in ("train", "test")
    }
    if not any(paths.values()):
        return None
    if missing := [split for split, found in paths.items() if not found]:
        raise FileNotFoundError(f"{folder} holds only part of the data set; missing: {missing[0]}.parquet")
    return {split: read_image_parquet(found, image_size=image_size) for split, found in paths.items()}


def read_image_parquet(paths: Sequence[Path], *, image_size: tuple[int, int]) -> Images:
    """The colour images in Parquet files, in the order of their rows; the note says if they were JPEG, which loses detail.

    Args:
        paths: the files, one after the other.
        image_size: (height, width) that every image must have.

    Raises:
        DataFileError: not Parquet, cut short, without these columns, or with an image that cannot be decoded or has another size.
    """
    parts = [_read_file(path, image_size) for path in paths]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*(part[:2] for part in parts), strict=True))
    is_jpeg = any("JPEG" in part[2] for part in parts)
    if is_jpeg:
        note = "images were JPEG-encoded, so pixels differ slightly from the published ones"
    else:
        note = "a Parquet copy whose checksum is not known"
    return Images(pixels, labels, paths[0], note)


def _read_file(path: Path, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, set[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file, ThreadPoolExecutor() as threads:
            _check_columns(path, file.schema_arrow)
            pixels = np.empty((file.metadata.num_rows, 3, *image_size), dtype=np.uint8)
            labels: list[int | None] = []
            formats: set[str] = set()
            for rows in file.iter_batches(_ROWS_AT_ONCE, columns=["img", "label"]):
                start = len(labels)
                labels += rows.column("label").to_pylist()
                encoded = rows.column("img").field("bytes").to_pylist()
                decoded = threads.map(lambda one: _decode(path, one[0], one[1], image_size), enumerate(encoded, start))
                for row, (image, image_format) in enumerate(decoded, start):
                    pixels[row] = image
                    formats.add(image_format)
    except (pa.ArrowException, OSError) as error:
        raise DataFileError(
            path, expected="a whole Parquet file", got=f"one that cannot be read ({error})", advice="Fetch it again."
        ) from error
    if None in labels:
        raise DataFileError(
            path, expected="a label in every row", got=f"none in row {labels.index(None)}", advice="Fetch it again."
        )
    return pixels, np.array(labels, dtype=np.int64), formats


def _check_columns(path: Path, schema: Any) -> None:
    import pyarrow as pa

    has_images = "img" in schema.names and pa.types.is_struct(schema.field("img").type)
    has_bytes = has_images and schema.field("img").type.get_field_index("bytes") >= 0
    has_labels = "label" in schema.names and pa.types.is_integer(schema.field("label").type)
    if not (has_bytes and has_labels):
        raise DataFileError(
            path,
            expected="columns img (struct of bytes and path) and label (whole numbers)",
            got=", ".join(f"{field.name} ({field.type})" for field in schema) or "no columns",
            advice="Check that the file is the one its name says.",
        )


def _decode(path: Path, row: int, encoded: bytes | None, image_size: tuple[int, int]) -> tuple[np.ndarray, str]:
    from PIL import Image

    height, width = image_size
    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            if image.size != (width, height):
                raise DataFileError(
                    path,
                    expected=f"images of {height}×{width} pixels",
                    got=f"{image.size[1]}×{image.size[0]} in row {row}",
                    advice="Check that the file is the one its name says.",
                )
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1), image.format or ""
    except (OSError, SyntaxError) as error:
        # Pillow reports a broken PNG as a SyntaxError
        raise DataFileError(
            path,
            expected="encoded images",
            got=f"one in row {row} that cannot be decoded ({error})",
            advice="Fetch it again.",
        ) from error
