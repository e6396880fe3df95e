from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actscope.training import DataFileError
from actscope.training.cifar import BINARY, PYTHON, BatchFiles, parse_binary_batch, parse_python_batch, read_cifar_set
from actscope.training.datafile import md5

HERE = Path("batch")


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 did, and numpy by its old module names, like the published batches."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_string(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)

    dispatch[str] = dispatch[bytes] = save_string


def python2_pickle(value: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"numpy._core.", b"numpy.core.")


def batch_arrays(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, n).astype(np.uint8)


def as_binary(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], pixels.reshape(len(labels), -1)], axis=1).tobytes()


def as_python(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    names = [f"image_{i}.png" for i in range(len(labels))]
    data = pixels.reshape(len(labels), -1)
    return python2_pickle({"batch_label": "batch", "labels": labels.tolist(), "data": data, "filenames": names})


FORMS = {"binary": (BINARY, as_binary), "python": (PYTHON, as_python)}


def contents(form: str) -> dict[str, bytes]:
    files, write = FORMS[form]
    return {name: write(*batch_arrays(2, seed)) for seed, name in enumerate(files.batches)}


def test_a_binary_batch_gives_its_pixels_and_labels() -> None:
    pixels, labels = batch_arrays(3, 0)
    got_pixels, got_labels = parse_binary_batch(as_binary(pixels, labels), HERE)
    np.testing.assert_array_equal(got_pixels, pixels)
    np.testing.assert_array_equal(got_labels, labels)


@pytest.mark.parametrize("n_bytes", [0, 1, 3072, 3074])
def test_a_binary_batch_with_part_of_an_image_is_refused(n_bytes: int) -> None:
    with pytest.raises(DataFileError, match=f"expected a whole number of records of 3073 bytes, got {n_bytes} bytes"):
        parse_binary_batch(bytes(n_bytes), HERE)


def test_a_python_batch_as_python_2_pickled_it_gives_its_pixels_and_labels() -> None:
    pixels, labels = batch_arrays(3, 0)
    content = as_python(pixels, labels)
    assert b"cnumpy.core.multiarray\n_reconstruct" in content
    got_pixels, got_labels = parse_python_batch(content, HERE)
    np.testing.assert_array_equal(got_pixels, pixels)
    np.testing.assert_array_equal(got_labels, labels)


class Runs:
    """Pickles to a call of a function with a path."""

    def __init__(self, function: Any, path: Path) -> None:
        self.call = (function, (path,))

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("function", [Path.touch, np.load, eval])
def test_a_pickle_that_would_run_a_program_is_refused_and_does_not_run_it(tmp_path: Path, function: Any) -> None:
    content = pickle.dumps({"data": Runs(function, tmp_path / "ran"), "labels": [0]})
    with pytest.raises(DataFileError, match=r"it asks for .* use the binary version"):
        parse_python_batch(content, HERE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", pickle.dumps({"data": 1})[:-4], b"\x80\x02}q\x00(", b"\x80\x02K\x01R."],
    ids=["empty", "garbage", "cut short", "unfinished", "calls a number"],
)
def test_a_file_that_is_no_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(DataFileError, match="expected a pickled batch of CIFAR-10"):
        parse_python_batch(content, HERE)


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        {"data": np.zeros((1, 3072), np.uint8)},
        {"data": np.zeros((1, 3072), np.float32), "labels": [0]},
        {"data": np.zeros((1, 3000), np.uint8), "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((1, 3072), np.uint8), "labels": ["0"]},
        {"data": np.zeros((0, 3072), np.uint8), "labels": []},
    ],
    ids=["list", "no labels", "floats", "other size", "too few labels", "text labels", "empty"],
)
def test_a_pickle_of_something_else_is_refused(batch: Any) -> None:
    with pytest.raises(DataFileError, match=r"expected a dict with 'data', \(n, 3072\) bytes"):
        parse_python_batch(python2_pickle(batch), HERE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["archive", "folder", "flat"])
def test_a_set_is_read_from_its_archive_its_folder_or_loose_files(tmp_path: Path, form: str, place: str) -> None:
    files, _ = FORMS[form]
    if place == "archive":
        with tarfile.open(tmp_path / files.archive, "w:gz") as archive:
            for name, content in contents(form).items():
                member = tarfile.TarInfo(f"{files.folder}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        folder = tmp_path / files.folder if place == "folder" else tmp_path
        folder.mkdir(exist_ok=True)
        for name, content in contents(form).items():
            (folder / name).write_bytes(content)
    splits = read_cifar_set(tmp_path, files, verify=False)
    assert splits is not None
    expected = [batch_arrays(2, seed) for seed in range(6)]
    np.testing.assert_array_equal(splits["train"].pixels, np.concatenate([pixels for pixels, _ in expected[:5]]))
    np.testing.assert_array_equal(splits["train"].labels, np.concatenate([labels for _, labels in expected[:5]]))
    np.testing.assert_array_equal(splits["test"].pixels, expected[5][0])
    np.testing.assert_array_equal(splits["test"].labels, expected[5][1])
    assert splits["test"].note == "checksums were not checked"


def write_flat(folder: Path, form: str) -> BatchFiles:
    for name, content in contents(form).items():
        (folder / name).write_bytes(content)
    return FORMS[form][0]


def test_an_archive_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / BINARY.archive).write_bytes(b"not it")
    with pytest.raises(DataFileError, match=f"{BINARY.archive}: expected the published content"):
        read_cifar_set(tmp_path, BINARY, verify=True)


@pytest.mark.parametrize("damage", ["no tar", "no batches"])
def test_an_archive_of_something_else_is_refused(tmp_path: Path, damage: str) -> None:
    if damage == "no tar":
        (tmp_path / BINARY.archive).write_bytes(b"x" * 2000)
    else:
        with tarfile.open(tmp_path / BINARY.archive, "w:gz"):
            pass
    with pytest.raises(DataFileError, match=r"expected an archive of data_batch_1\.bin"):
        read_cifar_set(tmp_path, BINARY, verify=False)


def test_batches_with_known_checksums_are_checked(tmp_path: Path) -> None:
    files = write_flat(tmp_path, "python")
    with pytest.raises(DataFileError, match="data_batch_1: expected the published content"):
        read_cifar_set(tmp_path, files, verify=True)
    right = {name: md5(content) for name, content in contents("python").items()}
    splits = read_cifar_set(tmp_path, replace(files, batches=right), verify=True)
    assert splits is not None
    assert splits["train"].note == ""


def test_batches_without_known_checksums_are_taken_and_the_note_says_so(tmp_path: Path) -> None:
    splits = read_cifar_set(tmp_path, write_flat(tmp_path, "binary"), verify=True)
    assert splits is not None
    assert splits["train"].note == "unpacked files whose checksums are not known"


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    assert read_cifar_set(tmp_path, BINARY, verify=True) is None
    write_flat(tmp_path, "binary")
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing: data_batch_3\.bin"):
        read_cifar_set(tmp_path, BINARY, verify=True)
