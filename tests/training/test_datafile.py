from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import pytest

from actscope.training import DataFileError
from actscope.training.datafile import check_md5, md5, read_unpacked


def test_gzip_is_told_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    packed, plain = tmp_path / "packed", tmp_path / "plain.gz"
    packed.write_bytes(gzip.compress(b"content"))
    plain.write_bytes(b"content")
    assert read_unpacked(packed)[1] == b"content"
    assert read_unpacked(plain) == (b"content", b"content")


@pytest.mark.parametrize("damage", ["cut short", "one byte changed", "only the magic number"])
def test_a_damaged_gzip_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    content = bytearray(gzip.compress(bytes(range(256)) * 100))
    if damage == "cut short":
        content = content[: len(content) // 2]
    elif damage == "one byte changed":
        content[-6] ^= 1
    else:
        content = content[:2]
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"images\.gz: expected a whole gzip file, got .* fetch it again"):
        read_unpacked(path)


def test_a_wrong_checksum_is_refused_with_both_checksums() -> None:
    check_md5(Path("a"), b"right", md5(b"right"))
    with pytest.raises(DataFileError, match=f"a: expected .*{md5(b'right')}.*got MD5 {md5(b'wrong')}.*verify=False"):
        check_md5(Path("a"), b"wrong", md5(b"right"))


def test_the_error_keeps_its_parts_when_it_comes_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(DataFileError(Path("a"), "b", "c", "d")))
    assert (error.path, error.expected, error.got, error.advice) == (Path("a"), "b", "c", "d")
