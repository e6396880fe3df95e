from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pooch
import pytest

from actscope.training import DownloadError
from actscope.training.datafile import md5
from actscope.training.downloads import _Bar, fetch

CONTENT = bytes(range(256)) * 1000


class Mirrors:
    """One server whose folders are mirrors that do well or badly; remembers what was asked of it."""

    def __init__(self, address: str, asked: list[str]) -> None:
        self.address = address
        self.asked = asked

    def __getitem__(self, folder: str) -> str:
        return f"{self.address}{folder}/"


@pytest.fixture
def mirrors(
    serve_with: Callable[[Callable[..., BaseHTTPRequestHandler]], AbstractContextManager[str]],
) -> Iterator[Mirrors]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            folder = self.path.split("/")[1]
            if folder == "missing":
                self.send_error(404)
                return
            body = {"good": CONTENT, "wrong": b"another file", "short": CONTENT[:1000]}[folder]
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT) if folder == "short" else len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serve_with(Handler) as address:
        yield Mirrors(address, asked)


def test_a_file_comes_from_the_first_mirror_that_has_it_whole(tmp_path: Path, mirrors: Mirrors) -> None:
    order = ["missing", "wrong", "short", "good", "missing"]
    path = fetch("f.gz", md5=md5(CONTENT), mirrors=[mirrors[folder] for folder in order], folder=tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert mirrors.asked == ["/missing/f.gz", "/wrong/f.gz", "/short/f.gz", "/good/f.gz"]
    assert [p.name for p in path.parent.iterdir()] == ["f.gz"]


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path, mirrors: Mirrors) -> None:
    (tmp_path / "f.gz").write_bytes(CONTENT)
    assert fetch("f.gz", md5=md5(CONTENT), mirrors=[mirrors["good"]], folder=tmp_path) == tmp_path / "f.gz"
    assert mirrors.asked == []


def test_a_damaged_file_is_fetched_again(tmp_path: Path, mirrors: Mirrors) -> None:
    (tmp_path / "f.gz").write_bytes(CONTENT[:10])
    fetch("f.gz", md5=md5(CONTENT), mirrors=[mirrors["good"]], folder=tmp_path)
    assert (tmp_path / "f.gz").read_bytes() == CONTENT


def test_if_no_mirror_has_it_the_error_gives_each_ones_reason_and_nothing_is_left(
    tmp_path: Path, mirrors: Mirrors
) -> None:
    nobody_listens = "http://127.0.0.1:9/"
    with pytest.raises(DownloadError) as caught:
        fetch("f.gz", md5=md5(CONTENT), mirrors=[mirrors["missing"], mirrors["wrong"], nobody_listens], folder=tmp_path)
    message = str(caught.value)
    assert "f.gz could not be downloaded from any mirror" in message
    assert f"{mirrors['missing']}: 404" in message
    assert f"{mirrors['wrong']}: MD5 hash" in message
    assert nobody_listens in message
    assert "data_dir=" in message
    assert list(tmp_path.iterdir()) == []


def test_a_download_says_nothing(
    tmp_path: Path, mirrors: Mirrors, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = pooch.get_logger()
    logger.addHandler(caplog.handler)
    try:
        fetch("f.gz", md5=md5(CONTENT), mirrors=[mirrors["wrong"], mirrors["good"]], folder=tmp_path)
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_progress_adds_up_to_the_size_of_the_file(tmp_path: Path, mirrors: Mirrors) -> None:
    steps: list[int] = []
    downloader = pooch.HTTPDownloader(progressbar=_Bar(steps.append), chunk_size=1000)
    downloader(mirrors["good"] + "f.gz", str(tmp_path / "f.gz"), None)
    assert sum(steps) == len(CONTENT)
    assert len(steps) >= len(CONTENT) / 1000
