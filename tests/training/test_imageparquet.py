from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from actscope.training import DataFileError
from actscope.training.imageparquet import read_image_parquet, read_image_parquet_set


def encoded(pixels: np.ndarray, image_format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def images(n: int, seed: int = 0, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *size, 3), dtype=np.uint8)


def write(path: Path, contents: list[bytes | None], labels: list[int | None]) -> Path:
    rows = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(contents)]
    table = pa.table({"img": pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()})), "label": labels})
    pq.write_table(table, path, row_group_size=3)
    return path


def test_images_and_labels_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    pixels = images(10)
    path = write(tmp_path / "train.parquet", [encoded(image) for image in pixels], list(range(10)))
    read = read_image_parquet([path], image_size=(32, 32))
    np.testing.assert_array_equal(read.pixels, pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(read.labels, np.arange(10))
    assert read.note == "a Parquet copy whose checksum is not known"


def test_jpeg_images_are_close_to_the_original_and_the_note_says_they_were_jpeg(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None] * 4, (32, 32, 3))
    path = write(tmp_path / "train.parquet", [encoded(smooth, "JPEG")], [3])
    read = read_image_parquet([path], image_size=(32, 32))
    assert np.abs(read.pixels[0].transpose(1, 2, 0).astype(int) - smooth).max() < 10
    assert read.note == "images were JPEG-encoded, so pixels differ slightly from the published ones"


def test_a_grey_image_gets_three_equal_channels(tmp_path: Path) -> None:
    grey = images(1)[0, :, :, 0]
    path = write(tmp_path / "train.parquet", [encoded(grey)], [0])
    np.testing.assert_array_equal(read_image_parquet([path], image_size=(32, 32)).pixels[0], np.stack([grey] * 3))


@pytest.mark.parametrize(
    "names",
    [
        ["train.parquet", "test.parquet"],
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"],
    ],
)
def test_a_set_is_read_whole_or_in_shards(tmp_path: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        write(tmp_path / name, [encoded(image) for image in images(2, seed)], [seed, seed])
    splits = read_image_parquet_set(tmp_path, image_size=(32, 32))
    assert splits is not None
    n_shards = len(names) - 1
    assert splits["train"].labels.tolist() == [label for shard in range(n_shards) for label in (shard, shard)]
    assert splits["test"].labels.tolist() == [n_shards, n_shards]


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    assert read_image_parquet_set(tmp_path, image_size=(32, 32)) is None
    write(tmp_path / "test.parquet", [encoded(images(1)[0])], [0])
    with pytest.raises(FileNotFoundError, match=r"missing: train\.parquet"):
        read_image_parquet_set(tmp_path, image_size=(32, 32))


@pytest.mark.parametrize("damage", ["cut short", "garbage", "empty"])
def test_a_file_that_is_not_whole_parquet_is_refused(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "train.parquet", [encoded(image) for image in images(5)], [0] * 5)
    whole = path.read_bytes()
    path.write_bytes({"cut short": whole[: len(whole) // 2], "garbage": b"no parquet", "empty": b""}[damage])
    with pytest.raises(DataFileError, match=r"train\.parquet: expected a whole Parquet file"):
        read_image_parquet([path], image_size=(32, 32))


@pytest.mark.parametrize(
    "columns",
    [
        {"a": [1]},
        {"img": [b"x"], "label": [0]},
        {"img": [{"path": "a"}], "label": [0]},
        {"img": [{"bytes": b"x"}], "label": ["a"]},
    ],
)
def test_other_columns_are_refused_by_name_and_type(tmp_path: Path, columns: dict[str, Any]) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataFileError, match=rf"expected columns img .* got {next(iter(columns))} \("):
        read_image_parquet([path], image_size=(32, 32))


@pytest.mark.parametrize(
    "broken", [None, b"", b"no image", encoded(images(1)[0])[:100], encoded(images(1)[0], "JPEG")[:300]]
)
def test_an_image_that_cannot_be_decoded_is_refused_by_its_row(tmp_path: Path, broken: bytes | None) -> None:
    path = write(tmp_path / "train.parquet", [encoded(images(1)[0]), broken], [0, 1])
    with pytest.raises(DataFileError, match="in row 1 that cannot be decoded"):
        read_image_parquet([path], image_size=(32, 32))


def test_an_image_of_another_size_is_refused_by_its_row(tmp_path: Path) -> None:
    wide = encoded(images(1, size=(16, 24))[0])
    path = write(tmp_path / "train.parquet", [encoded(images(1)[0]), wide], [0, 1])
    with pytest.raises(DataFileError, match="expected images of 32×32 pixels, got 16×24 in row 1"):
        read_image_parquet([path], image_size=(32, 32))


def test_a_missing_label_is_refused_by_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "train.parquet", [encoded(image) for image in images(2)], [0, None])
    with pytest.raises(DataFileError, match="expected a label in every row, got none in row 1"):
        read_image_parquet([path], image_size=(32, 32))
