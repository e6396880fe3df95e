"""Files of published data sets: read whole, unpacked if they are packed, checked before anything is made of them."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["DataFileError", "Images", "check_md5", "md5", "read_unpacked"]

_GZIP_MAGIC = b"\x1f\x8b"


class DataFileError(ValueError):
    """A data file that is not what it should be: which one, what was expected, what it is, what to do about it.

    Attributes:
        path: the file.
        expected: what it should hold.
        got: what it holds.
        advice: what to do.

    Example:
        >>> print(DataFileError(Path("labels.gz"), expected="10 labels", got="9", advice="Fetch it again."))
        labels.gz: expected 10 labels, got 9. Fetch it again.
    """

    def __init__(self, path: Path, expected: str, got: str, advice: str) -> None:
        super().__init__(path, expected, got, advice)
        self.path = path
        self.expected = expected
        self.got = got
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}. {self.advice}"


@dataclass(frozen=True)
class Images:
    """One split of an image data set as its files hold it.

    Attributes:
        pixels: (n_examples, channels, height, width) uint8.
        labels: (n_examples,) integers.
        path: the file or folder they come from, for messages.
        note: what a result on them should say.
    """

    pixels: np.ndarray
    labels: np.ndarray
    path: Path
    note: str = ""


def read_unpacked(path: Path) -> tuple[bytes, bytes]:
    """The file as it lies on disk and its content, the same bytes unless the file is gzip (told by its first bytes, not its name).

    Raises:
        DataFileError: it is gzip, but cut short or damaged.
    """
    raw = path.read_bytes()
    if not raw.startswith(_GZIP_MAGIC):
        return raw, raw
    try:
        return raw, gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFileError(
            path,
            expected="a whole gzip file",
            got=f"one that cannot be unpacked ({error})",
            advice="It was probably cut short while it was copied or downloaded: delete it and fetch it again.",
        ) from error


def md5(content: bytes) -> str:
    """The MD5 of `content` in hexadecimal: a check against accidents, as publishers of data sets give it, not against forgery.

    Example:
        >>> md5(b"")
        'd41d8cd98f00b204e9800998ecf8427e'
    """
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def check_md5(path: Path, content: bytes, expected: str) -> None:
    """Nothing, if `content`, read from `path`, has the MD5 `expected`.

    Raises:
        DataFileError: it has another.
    """
    got = md5(content)
    if got != expected:
        raise DataFileError(
            path,
            expected=f"the published content (MD5 {expected})",
            got=f"MD5 {got}",
            advice="It is damaged or another version: fetch it again, or pass verify=False to use it as it is.",
        )
