"""A file is there whole or as it was."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from actscope.wholefile import whole_file


def test_after_a_failure_the_old_file_is_as_it_was_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with pytest.raises(KeyError), whole_file(path) as unfinished:
        unfinished.write_text("half of the ne")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_meet_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
        assert unfinished.suffix == path.suffix
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_disk_names_the_file_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    with pytest.raises(OSError, match=r"numbers\.txt") as caught, whole_file(path) as unfinished:
        raise OSError(errno.ENOSPC, "No space left on device", str(unfinished))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
