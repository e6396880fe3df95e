from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actscope.training import DataFileError
from actscope.training.datafile import md5
from actscope.training.idx import IdxFiles, parse_idx, read_idx_set

HERE = Path("file")


def test_an_array_comes_back_as_it_was_written(idx_bytes: Callable[[np.ndarray], bytes]) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    np.testing.assert_array_equal(parse_idx(idx_bytes(array), HERE, n_axes=3), array)


@pytest.mark.parametrize("n_bytes", [0, 3, 15])
def test_a_file_that_ends_within_its_header_is_refused(idx_bytes: Callable[[np.ndarray], bytes], n_bytes: int) -> None:
    content = idx_bytes(np.zeros((3, 4, 5), dtype=np.uint8))[:n_bytes]
    with pytest.raises(DataFileError, match=f"got {n_bytes} bytes that begin"):
        parse_idx(content, HERE, n_axes=3)


def test_labels_in_the_place_of_images_are_refused(idx_bytes: Callable[[np.ndarray], bytes]) -> None:
    content = idx_bytes(np.zeros(100, dtype=np.uint8))
    with pytest.raises(
        DataFileError, match=r"with 3 axes \(first bytes 00 00 08 03\), got .* begin with '00 00 08 01'"
    ):
        parse_idx(content, HERE, n_axes=3)


@pytest.mark.parametrize("change", [-1, 1])
def test_more_or_fewer_values_than_the_header_says_are_refused(
    idx_bytes: Callable[[np.ndarray], bytes], change: int
) -> None:
    content = idx_bytes(np.zeros((3, 4), dtype=np.uint8))
    content = content[:change] if change < 0 else content + bytes(change)
    with pytest.raises(DataFileError, match=rf"expected 12 values, as its header says \(3 × 4\), got {12 + change}\."):
        parse_idx(content, HERE, n_axes=2)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_a_set_is_read_packed_or_not_and_under_both_spellings_of_its_names(
    tmp_path: Path, write_idx_set: Callable[..., dict[str, np.ndarray]], packed: bool, dotted: bool
) -> None:
    arrays = write_idx_set(tmp_path, packed=packed, dotted=dotted)
    splits = read_idx_set(tmp_path, IdxFiles(packed={}), verify=False)
    assert splits is not None
    for split, stem in (("train", "train"), ("test", "t10k")):
        np.testing.assert_array_equal(splits[split].pixels[:, 0], arrays[f"{stem}-images-idx3-ubyte"])
        np.testing.assert_array_equal(splits[split].labels, arrays[f"{stem}-labels-idx1-ubyte"])
        assert splits[split].note == "checksums were not checked"


def checksums(folder: Path) -> dict[str, str]:
    return {path.name.removesuffix(".gz"): md5(path.read_bytes()) for path in folder.iterdir()}


def test_the_content_is_checked_where_its_checksum_is_known_however_it_is_packed(
    tmp_path: Path, write_idx_set: Callable[..., dict[str, np.ndarray]]
) -> None:
    write_idx_set(tmp_path / "plain", packed=False)
    files = IdxFiles(packed={}, unpacked=checksums(tmp_path / "plain"))
    write_idx_set(tmp_path / "packed")
    splits = read_idx_set(tmp_path / "packed", files, verify=True)
    assert splits is not None
    assert splits["train"].note == ""
    write_idx_set(tmp_path / "other", seed=1)
    with pytest.raises(DataFileError, match=r"images-idx3-ubyte\.gz: expected the published content"):
        read_idx_set(tmp_path / "other", files, verify=True)
    assert read_idx_set(tmp_path / "other", files, verify=False) is not None


def test_the_packed_file_is_checked_where_only_its_checksum_is_known(
    tmp_path: Path, write_idx_set: Callable[..., dict[str, np.ndarray]]
) -> None:
    write_idx_set(tmp_path / "right")
    files = IdxFiles(packed=checksums(tmp_path / "right"))
    assert read_idx_set(tmp_path / "right", files, verify=True) is not None
    write_idx_set(tmp_path / "wrong", seed=1)
    with pytest.raises(DataFileError, match="expected the published content"):
        read_idx_set(tmp_path / "wrong", files, verify=True)


def test_unpacked_files_without_a_known_checksum_are_taken_and_the_note_says_so(
    tmp_path: Path, write_idx_set: Callable[..., dict[str, np.ndarray]]
) -> None:
    write_idx_set(tmp_path, packed=False)
    splits = read_idx_set(tmp_path, IdxFiles(packed={}), verify=True)
    assert splits is not None
    assert splits["train"].note == "unpacked files whose checksums are not known"


def test_the_files_of_another_set_of_the_same_names_are_refused(
    tmp_path: Path, write_idx_set: Callable[..., dict[str, np.ndarray]]
) -> None:
    write_idx_set(tmp_path, packed=False)
    files = IdxFiles(packed={}, strangers=dict.fromkeys(checksums(tmp_path).values(), "MNIST"))
    with pytest.raises(DataFileError, match="got the file of MNIST that has the same name"):
        read_idx_set(tmp_path, files, verify=True)


def test_a_folder_with_none_of_the_files_is_no_set_and_one_with_some_is_an_error(
    tmp_path: Path, write_idx_set: Callable[..., dict[str, np.ndarray]]
) -> None:
    assert read_idx_set(tmp_path, IdxFiles(packed={}), verify=True) is None
    write_idx_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="only part of the data set; missing: t10k-labels-idx1-ubyte"):
        read_idx_set(tmp_path, IdxFiles(packed={}), verify=True)
