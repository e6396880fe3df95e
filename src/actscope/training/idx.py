"""MNIST and the sets made like it: IDX files, which are a magic number, the sizes of the axes, then bytes, big-endian."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from actscope.training.datafile import DataFileError, Images, check_md5, md5, read_unpacked

__all__ = ["IdxFiles", "parse_idx", "read_idx_set"]

_UNSIGNED_BYTES = 0x08
_ADVICE = "Fetch the file again, and check that it is the one its name says."
_SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class IdxFiles:
    """The checksums of one set of four IDX files, by the names they are published under (without `.gz`).

    Attributes:
        packed: MD5 of each gzip file.
        unpacked: MD5 of each file's content, where it is known: it also holds for a file that was packed again.
        strangers: MD5 of contents that bear these names but belong to another data set, and that set's name.
    """

    packed: Mapping[str, str]
    unpacked: Mapping[str, str] = field(default_factory=dict)
    strangers: Mapping[str, str] = field(default_factory=dict)


def read_idx_set(folder: Path, files: IdxFiles, *, verify: bool) -> dict[str, Images] | None:
    """The splits `train` and `test` from the four files in `folder`, gzip or not; None if none of them is there.

    Raises:
        FileNotFoundError: some are there and some are not.
        DataFileError: one of them is damaged or, with `verify`, not the published one.
    """
    names = [name for pair in _SPLITS.values() for name in pair]
    paths = {name: path for name in names if (path := _find(folder, name)) is not None}
    missing = [name for name in names if name not in paths]
    if len(missing) == len(names):
        return None
    if missing:
        raise FileNotFoundError(f"{folder} holds only part of the data set; missing: {', '.join(missing)} (or .gz)")
    splits = {}
    for split, (images_name, labels_name) in _SPLITS.items():
        pixels, images_note = _read(paths[images_name], images_name, files, n_axes=3, verify=verify)
        labels, labels_note = _read(paths[labels_name], labels_name, files, n_axes=1, verify=verify)
        splits[split] = Images(pixels[:, None], labels, paths[images_name], images_note or labels_note)
    return splits


def parse_idx(content: bytes, path: Path, *, n_axes: int) -> np.ndarray:
    """The array in an IDX file of unsigned bytes: a read-only view of `content`.

    Args:
        content: the unpacked file.
        path: where it comes from, for messages.
        n_axes: axes that it must have: 3 for images, 1 for labels.

    Raises:
        DataFileError: wrong magic number, or more or fewer bytes than the sizes say.

    Example:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), Path("labels"), n_axes=1)
        array([7, 8, 9], dtype=uint8)
    """
    magic = bytes((0, 0, _UNSIGNED_BYTES, n_axes))
    header_bytes = len(magic) + 4 * n_axes
    if not content.startswith(magic) or len(content) < header_bytes:
        raise DataFileError(
            path,
            expected=f"an IDX file of unsigned bytes with {n_axes} axes (first bytes {magic.hex(' ')})",
            got=f"{len(content)} bytes that begin with '{content[:4].hex(' ')}'",
            advice=_ADVICE,
        )
    shape = struct.unpack_from(f">{n_axes}I", content, len(magic))
    n_values = len(content) - header_bytes
    expected_values = int(np.prod(shape, dtype=object))
    if n_values != expected_values:
        raise DataFileError(
            path,
            expected=f"{expected_values} values, as its header says ({' × '.join(map(str, shape))})",
            got=f"{n_values}",
            advice=_ADVICE,
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header_bytes).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    """Some archives write `train-images.idx3-ubyte` for `train-images-idx3-ubyte`."""
    dotted = name.replace("-idx", ".idx")
    candidates = (folder / f"{stem}{suffix}" for stem in (name, dotted) for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path, name: str, files: IdxFiles, *, n_axes: int, verify: bool) -> tuple[np.ndarray, str]:
    raw, content = read_unpacked(path)
    array = parse_idx(content, path, n_axes=n_axes)
    if not verify:
        return array, "checksums were not checked"
    if name in files.unpacked:
        check_md5(path, content, files.unpacked[name])
    elif raw is not content:
        check_md5(path, raw, files.packed[name])
    elif stranger := files.strangers.get(md5(content)):
        raise DataFileError(
            path,
            expected="the data set asked for",
            got=f"the file of {stranger} that has the same name",
            advice="Give the folder that holds the right files.",
        )
    else:
        return array, "unpacked files whose checksums are not known"
    return array, ""
