from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actscope.training import DATASETS, DataFileError, digits, load_dataset
from actscope.training.datafile import Images, md5
from actscope.training.idx import IdxFiles, read_idx_set
from actscope.training.sources import SOURCES, Source, load_source

WriteIdx = Callable[..., dict[str, np.ndarray]]


@pytest.fixture
def source(tmp_path: Path, write_idx_set: WriteIdx) -> Source:
    """MNIST, if it had 6 and 4 examples, on a mirror that is a folder here."""
    mirror = tmp_path / "mirror"
    write_idx_set(mirror)
    packed = {path.name.removesuffix(".gz"): md5(path.read_bytes()) for path in mirror.iterdir()}

    def read(folder: Path, verify: bool) -> dict[str, Images] | None:
        return read_idx_set(folder, IdxFiles(packed=packed), verify=verify)

    return dataclasses.replace(
        SOURCES["mnist"],
        n_examples={"train": 6, "test": 4},
        readers=(read,),
        archives={f"{name}.gz": checksum for name, checksum in packed.items()},
        mirrors=(),
    )


@pytest.fixture
def load(tmp_path: Path, source: Source) -> Callable[..., Any]:
    defaults = {"data_dir": None, "cache": tmp_path / "cache", "download": False, "verify": True, "progress": False}

    def load_with(**changes: Any) -> Any:
        return load_source(changes.pop("source", source), **{**defaults, **changes})

    return load_with


@pytest.mark.parametrize("place", [".", "mnist", "MNIST/raw"])
def test_files_are_found_in_the_folder_given_and_its_usual_folders(
    tmp_path: Path, write_idx_set: WriteIdx, load: Callable[..., Any], place: str
) -> None:
    arrays = write_idx_set(tmp_path / "data" / place)
    train, test = load(data_dir=tmp_path / "data")
    assert (train.name, train.split, test.split, len(train), len(test)) == ("mnist", "train", "test", 6, 4)
    expected = torch.tensor(arrays["train-images-idx3-ubyte"].astype(np.float64) / 255).float()[:, None]
    assert torch.equal(train.x, expected)
    assert train.y.tolist() == arrays["train-labels-idx1-ubyte"].tolist()
    assert train.n_classes == 10


def test_the_cache_serves_where_the_folder_given_has_nothing(
    tmp_path: Path, write_idx_set: WriteIdx, load: Callable[..., Any]
) -> None:
    write_idx_set(tmp_path / "cache" / "mnist")
    (tmp_path / "data").mkdir()
    assert len(load(data_dir=tmp_path / "data")[0]) == 6


def test_the_folder_given_goes_before_the_cache(
    tmp_path: Path, write_idx_set: WriteIdx, load: Callable[..., Any]
) -> None:
    write_idx_set(tmp_path / "cache" / "mnist")
    arrays = write_idx_set(tmp_path / "data", seed=1)
    train, _ = load(data_dir=tmp_path / "data", verify=False)
    assert int(train.x[0, 0, 0, 0] * 255) == arrays["train-images-idx3-ubyte"][0, 0, 0]
    assert train.note == "checksums were not checked"


def test_the_cache_is_always_verified(tmp_path: Path, write_idx_set: WriteIdx, load: Callable[..., Any]) -> None:
    write_idx_set(tmp_path / "cache" / "mnist", seed=1)
    with pytest.raises(DataFileError, match="expected the published content"):
        load(verify=False)


def test_nothing_found_and_no_download_names_every_place_and_what_to_do(
    tmp_path: Path, load: Callable[..., Any]
) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        load(data_dir=tmp_path / "data")
    message = str(caught.value)
    for place in ("data/mnist", "data/MNIST/raw", "cache/mnist"):
        assert str(tmp_path / place) in message
    assert "train-images-idx3-ubyte.gz" in message
    assert "data_dir=" in message


def test_a_data_dir_that_does_not_exist_is_refused_even_if_the_cache_has_the_data(
    tmp_path: Path, write_idx_set: WriteIdx, load: Callable[..., Any]
) -> None:
    write_idx_set(tmp_path / "cache" / "mnist")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load(data_dir=tmp_path / "no")


def images(n: int = 6, *, labels: list[int] | None = None, size: int = 28) -> dict[str, Images]:
    given = np.arange(n) if labels is None else np.array(labels)
    one = Images(np.zeros((n, 1, size, size), np.uint8), given, Path("train-file"))
    return {"train": one, "test": one}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (images(labels=[0, 1]), "expected as many images as labels, got 6 images and 2 labels"),
        (images(0), "got 0 images and 0 labels"),
        (images(labels=[0, 1, 2, 3, 4, 10]), "expected labels from 0 to 9, got labels from 0 to 10"),
        (images(5), "expected 6 images of 1×28×28 for mnist's train split, got 5 of 1×28×28"),
        (images(size=20), "got 6 of 1×20×20"),
    ],
    ids=["too few labels", "empty", "a label too many", "an image missing", "small images"],
)
def test_splits_of_the_wrong_shape_are_refused_by_file(
    tmp_path: Path, source: Source, load: Callable[..., Any], splits: dict[str, Images], message: str
) -> None:
    reading_these = dataclasses.replace(source, readers=(lambda folder, verify: splits,))
    with pytest.raises(DataFileError, match=f"train-file: .*{message}"):
        load(source=reading_these, data_dir=tmp_path)


def test_another_number_of_examples_is_taken_without_verification(
    tmp_path: Path, source: Source, load: Callable[..., Any]
) -> None:
    reading_five = dataclasses.replace(source, readers=(lambda folder, verify: images(5),))
    assert len(load(source=reading_five, data_dir=tmp_path, verify=False)[0]) == 5


def test_a_download_fills_the_cache_and_the_next_call_needs_none(
    tmp_path: Path, source: Source, load: Callable[..., Any], serve: Callable[[Path], AbstractContextManager[str]]
) -> None:
    with serve(tmp_path / "mirror") as address:
        mirrored = dataclasses.replace(source, mirrors=(address,))
        assert len(load(source=mirrored, download=True)[0]) == 6
    assert len(load(source=mirrored, download=True)[0]) == 6
    assert len(load(source=mirrored, download=False)[0]) == 6


def test_every_download_has_a_checksum_and_a_mirror() -> None:
    for source in SOURCES.values():
        assert source.archives
        assert all(len(checksum) == 32 for checksum in source.archives.values())
        assert all(mirror.endswith("/") for mirror in source.mirrors)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="name='imagenet' is no data set; choose one of digits, mnist"):
        load_dataset("imagenet")


def test_the_digits_are_split_once_and_for_all_with_every_class_in_its_share() -> None:
    train, test = digits()
    assert sorted([*train.ids.tolist(), *test.ids.tolist()]) == list(range(1797))
    assert torch.equal(digits()[1].ids, test.ids)
    assert not torch.equal(digits(seed=1)[1].ids, test.ids)
    share = (train.y.bincount() + test.y.bincount()) * 0.2
    assert torch.all((test.y.bincount() - share).abs() < 1)
    assert (float(train.x.min()), float(train.x.max())) == (0.0, 1.0)


@pytest.mark.parametrize("test_fraction", [0.0, 1.0])
def test_a_split_that_leaves_no_digits_on_one_side_is_refused(test_fraction: float) -> None:
    with pytest.raises(ValueError, match="leaves no examples for"):
        digits(test_fraction=test_fraction)


@pytest.mark.dataset
def test_mnist_is_the_published_one(data_dir: Path) -> None:
    train, test = load_dataset("mnist", data_dir=data_dir, download=False)
    assert (tuple(train.x.shape), tuple(test.x.shape)) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert float(train.x.mean()) == pytest.approx(0.1307, abs=1e-4)
    assert (train.note, float(train.x.max())) == ("", 1.0)


@pytest.mark.dataset
@pytest.mark.slow
def test_cifar10_has_as_many_images_of_each_class_in_colour(data_dir: Path) -> None:
    train, test = load_dataset("cifar10", data_dir=data_dir, download=False)
    assert train.y.bincount().tolist() == [5000] * 10
    assert test.y.bincount().tolist() == [1000] * 10
    means = train.x.mean(dim=(0, 2, 3))
    assert torch.allclose(means, torch.tensor([0.4914, 0.4822, 0.4465]), atol=2e-3)


def test_the_names_of_all_data_sets_are_given_out() -> None:
    assert DATASETS == ("digits", "mnist", "fashion-mnist", "cifar10")
