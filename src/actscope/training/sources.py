"""Where data sets are published, what they must hold, and how they are found."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from actscope.training.cifar import BINARY, PYTHON, read_cifar_set
from actscope.training.data import LabelledData
from actscope.training.datafile import DataFileError, Images
from actscope.training.downloads import fetch
from actscope.training.idx import IdxFiles, read_idx_set
from actscope.training.imageparquet import read_image_parquet_set

__all__ = ["SOURCES", "Source", "load_source"]

_DIGITS = tuple(str(i) for i in range(10))
_CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_MNIST = IdxFiles(
    packed={
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    unpacked={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)
_FASHION_MNIST = IdxFiles(
    packed={
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    strangers=dict.fromkeys(_MNIST.unpacked.values(), "MNIST"),
)


@dataclass(frozen=True)
class Source:
    """One published data set of images.

    Attributes:
        name: of the data set, and of its folder.
        classes: names of the classes.
        image_shape: (channels, height, width).
        n_examples: for each split.
        folders: folders, relative to the one a user gives, in which its files usually lie.
        readers: for each form it comes in, what reads both splits from a folder, or gives None if they are not there.
        archives: the files to download and their MD5.
        mirrors: addresses of folders that hold them; each ends in a slash.
    """

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    n_examples: Mapping[str, int]
    folders: tuple[str, ...]
    readers: tuple[Callable[[Path, bool], dict[str, Images] | None], ...]
    archives: Mapping[str, str]
    mirrors: tuple[str, ...]


def _read_idx(files: IdxFiles, folder: Path, verify: bool) -> dict[str, Images] | None:
    return read_idx_set(folder, files, verify=verify)


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="mnist",
            classes=_DIGITS,
            image_shape=(1, 28, 28),
            n_examples={"train": 60_000, "test": 10_000},
            folders=("mnist", "MNIST/raw", "."),
            readers=(partial(_read_idx, _MNIST),),
            archives={f"{name}.gz": checksum for name, checksum in _MNIST.packed.items()},
            mirrors=(
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "http://yann.lecun.com/exdb/mnist/",
            ),
        ),
        Source(
            name="fashion-mnist",
            classes=_CLOTHES,
            image_shape=(1, 28, 28),
            n_examples={"train": 60_000, "test": 10_000},
            folders=("fashion-mnist", "FashionMNIST/raw", "."),
            readers=(partial(_read_idx, _FASHION_MNIST),),
            archives={f"{name}.gz": checksum for name, checksum in _FASHION_MNIST.packed.items()},
            mirrors=(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            ),
        ),
        Source(
            name="cifar10",
            classes=_THINGS,
            image_shape=(3, 32, 32),
            n_examples={"train": 50_000, "test": 10_000},
            folders=("cifar10", "."),
            readers=(
                lambda folder, verify: read_cifar_set(folder, BINARY, verify=verify),
                lambda folder, verify: read_cifar_set(folder, PYTHON, verify=verify),
                lambda folder, verify: read_image_parquet_set(folder, image_size=(32, 32)),
            ),
            archives={BINARY.archive: BINARY.archive_md5},
            mirrors=("https://www.cs.toronto.edu/~kriz/",),
        ),
    )
}


def load_source(
    source: Source,
    *,
    data_dir: str | os.PathLike[str] | None,
    cache: Path,
    download: bool,
    verify: bool,
    progress: bool,
) -> tuple[LabelledData, LabelledData]:
    """The training and the test split of `source`, from `data_dir`, else `cache`, else its mirrors.

    What comes from the cache or a mirror is always verified; see `load_dataset` for the rest.
    """
    looked_in = []
    if data_dir is not None:
        root = Path(data_dir).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"data_dir='{data_dir}' is not a folder")
        for sub in source.folders:
            looked_in.append(root / sub)
            if splits := _read(source, root / sub, verify=verify):
                return splits
    folder = cache / source.name
    looked_in.append(folder)
    if download:
        for file_name, checksum in source.archives.items():
            fetch(file_name, md5=checksum, mirrors=source.mirrors, folder=folder, progress=progress)
    if splits := _read(source, folder, verify=True):
        return splits
    raise FileNotFoundError(
        f"{source.name} is in none of {', '.join(map(str, looked_in))}. Give the folder of {', '.join(source.archives)} as data_dir=,"
        " or allow a download"
    )


def _read(source: Source, folder: Path, *, verify: bool) -> tuple[LabelledData, LabelledData] | None:
    for reader in source.readers:
        if splits := reader(folder, verify):
            return tuple(_labelled(source, split, splits[split], verify=verify) for split in ("train", "test"))  # type: ignore[return-value]
    return None


def _labelled(source: Source, split: str, images: Images, *, verify: bool) -> LabelledData:
    pixels, labels = images.pixels, images.labels
    n_classes = len(source.classes)
    wrong = None
    if len(pixels) != len(labels) or len(pixels) == 0:
        wrong = ("as many images as labels", f"{len(pixels)} images and {len(labels)} labels")
    elif labels.min() < 0 or labels.max() >= n_classes:
        wrong = (f"labels from 0 to {n_classes - 1}", f"labels from {labels.min()} to {labels.max()}")
    elif verify and pixels.shape != (source.n_examples[split], *source.image_shape):
        wrong = (
            f"{source.n_examples[split]} images of {_by(source.image_shape)} for {source.name}'s {split} split",
            f"{len(pixels)} of {_by(pixels.shape[1:])}",
        )
    if wrong:
        raise DataFileError(
            images.path, *wrong, "Fetch it again, or pass verify=False to take another number or size of images."
        )
    x = torch.from_numpy(pixels.astype(np.float32)).div_(255)
    y = torch.from_numpy(labels.astype(np.int64))
    return LabelledData(x, y, name=source.name, split=split, classes=source.classes, note=images.note)


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
