"""CIFAR-10 as published, in binary or Python batches, packed in their archive or not."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actscope.training.datafile import DataFileError, Images, check_md5, read_unpacked

__all__ = ["BINARY", "PYTHON", "BatchFiles", "parse_binary_batch", "parse_python_batch", "read_cifar_set"]

_IMAGE_SHAPE = (3, 32, 32)
_IMAGE_BYTES = 3 * 32 * 32
_ADVICE = "Fetch the file again."

Batch = tuple[np.ndarray, np.ndarray]


def read_cifar_set(folder: Path, files: BatchFiles, *, verify: bool) -> dict[str, Images] | None:
    """The splits `train` and `test` from the archive or the batches in `folder`; None if neither is there.

    Raises:
        FileNotFoundError: some batches are there and some are not.
        DataFileError: a file is damaged or, with `verify`, not the published one.
    """
    archive = folder / files.archive
    if archive.is_file():
        contents = _read_archive(archive, files, verify=verify)
        verified = verify
    else:
        place = next((p for p in (folder / files.folder, folder) if _present(p, files)), None)
        if place is None:
            return None
        if missing := [name for name in files.batches if not (place / name).is_file()]:
            raise FileNotFoundError(f"{place} holds only part of the data set; missing: {', '.join(missing)}")
        contents = {place / name: (place / name).read_bytes() for name in files.batches}
        known = {name: checksum for name, checksum in files.batches.items() if checksum is not None}
        verified = verify and len(known) == len(files.batches)
        for path, content in contents.items():
            if verify and path.name in known:
                check_md5(path, content, known[path.name])
    batches = {path: files.parse(content, path) for path, content in contents.items()}
    if not verify:
        note = "checksums were not checked"
    else:
        note = "" if verified else "unpacked files whose checksums are not known"
    splits = {}
    for split, is_test in (("train", False), ("test", True)):
        chosen = {path: batch for path, batch in batches.items() if path.name.startswith("test") is is_test}
        pixels, labels = (np.concatenate(arrays) for arrays in zip(*chosen.values(), strict=True))
        splits[split] = Images(pixels, labels, next(iter(chosen)).parent, note)
    return splits


def parse_binary_batch(content: bytes, path: Path) -> Batch:
    """Pixels (n, 3, 32, 32) uint8 and labels (n,) uint8 of a binary batch: per image a label byte, then three planes of pixels.

    Raises:
        DataFileError: not a whole number of images.

    Example:
        >>> pixels, labels = parse_binary_batch(bytes([7]) + bytes(3072), Path("data_batch_1.bin"))
        >>> pixels.shape, labels
        ((1, 3, 32, 32), array([7], dtype=uint8))
    """
    if not content or len(content) % (1 + _IMAGE_BYTES):
        raise DataFileError(
            path,
            expected=f"a whole number of records of {1 + _IMAGE_BYTES} bytes",
            got=f"{len(content)} bytes",
            advice=_ADVICE,
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, 1 + _IMAGE_BYTES)
    return records[:, 1:].reshape(-1, *_IMAGE_SHAPE), records[:, 0]


def parse_python_batch(content: bytes, path: Path) -> Batch:
    """Pixels (n, 3, 32, 32) uint8 and labels (n,) int64 of a pickled batch: a dict with `data` (n, 3072) and `labels`.

    A pickle can run any program. This one may only build dicts, lists, text, numbers and numpy arrays; whatever else it asks for
    is refused before it is looked up.

    Raises:
        DataFileError: not such a pickle, or one that asks for anything else.
    """
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataFileError(
            path,
            expected="a pickled batch of CIFAR-10",
            got=f"a file that cannot be read as one ({error or type(error).__name__})",
            advice="Fetch it again, or use the binary version of the data set.",
        ) from error
    data, labels = (batch.get("data"), batch.get("labels")) if isinstance(batch, dict) else (None, None)
    whole = (
        isinstance(data, np.ndarray)
        and data.dtype == np.uint8
        and data.ndim == 2
        and data.shape[1] == _IMAGE_BYTES
        and isinstance(labels, list)
        and len(labels) == len(data) > 0
        and all(isinstance(label, int) for label in labels)
    )
    if not whole:
        raise DataFileError(
            path,
            expected=f"a dict with 'data', (n, {_IMAGE_BYTES}) bytes, and 'labels', n whole numbers",
            got=f"a dict with {sorted(map(str, batch))}" if isinstance(batch, dict) else f"a {type(batch).__name__}",
            advice=_ADVICE,
        )
    return np.asarray(data).reshape(-1, *_IMAGE_SHAPE), np.array(labels, dtype=np.int64)


@dataclass(frozen=True)
class BatchFiles:
    """One published form of the data set.

    Attributes:
        archive: name of the archive, which holds all batches in `folder`.
        archive_md5: its MD5.
        folder: the folder it unpacks to.
        batches: the files and their MD5, None where it is not known; names of test batches begin with `test`.
        parse: what turns the content of one into pixels and labels.
    """

    archive: str
    archive_md5: str
    folder: str
    batches: Mapping[str, str | None]
    parse: Callable[[bytes, Path], Batch]


BINARY = BatchFiles(
    archive="cifar-10-binary.tar.gz",
    archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    batches={**{f"data_batch_{i}.bin": None for i in range(1, 6)}, "test_batch.bin": None},
    parse=parse_binary_batch,
)
PYTHON = BatchFiles(
    archive="cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    batches={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    parse=parse_python_batch,
)


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows the three names a numpy array is rebuilt with, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        # an array says itself how it is rebuilt, which spares an import of a private module of numpy
        rebuild = np.empty(0).__reduce__()[0]
        known = {
            ("numpy.core.multiarray", "_reconstruct"): rebuild,
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a batch has no need of")
        return known[module, name]


def _present(folder: Path, files: BatchFiles) -> bool:
    return any((folder / name).is_file() for name in files.batches)


def _read_archive(archive: Path, files: BatchFiles, *, verify: bool) -> dict[Path, bytes]:
    raw, content = read_unpacked(archive)
    if verify:
        check_md5(archive, raw, files.archive_md5)
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as members:
            for name in files.batches:
                member = members.extractfile(f"{files.folder}/{name}")
                if member is None:
                    raise KeyError(f"'{name}' in it is no file")
                contents[archive / name] = member.read()
    except (tarfile.TarError, KeyError) as error:
        raise DataFileError(
            archive, expected=f"an archive of {', '.join(files.batches)}", got=str(error), advice=_ADVICE
        ) from error
    return contents
