"""Fetching a published file from the first mirror that has it whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from actscope.progress import progress_bar

__all__ = ["DownloadError", "fetch"]


class DownloadError(OSError):
    """No mirror gave the file; the message has each one's reason."""


def fetch(file_name: str, *, md5: str, mirrors: Sequence[str], folder: Path, progress: bool = False) -> Path:
    """The path of `folder / file_name`, downloaded unless it is there already with the right checksum.

    A download has a temporary name until it is whole and its checksum is right, so a run that is killed leaves nothing that looks
    like data, and several processes may fetch at once.

    Args:
        file_name: of the file, on the mirrors and here.
        md5: MD5 of the published file.
        mirrors: addresses of folders, tried in this order; each ends in a slash.
        folder: where it goes; made if need be.
        progress: whether to show a bar on stderr.

    Raises:
        DownloadError: no mirror gave it.
    """
    import pooch

    failures = []
    with progress_bar(file_name, total=None, show=progress, unit="bytes") as advance, _quiet(pooch.get_logger()):
        for mirror in mirrors:
            downloader = pooch.HTTPDownloader(progressbar=_Bar(advance), timeout=30)
            try:
                return Path(
                    pooch.retrieve(
                        mirror + file_name, f"md5:{md5}", fname=file_name, path=folder, downloader=downloader
                    )
                )
            except (OSError, ValueError) as error:
                # what the network does is an OSError; pooch reports a wrong checksum as a ValueError
                failures.append(f"  {mirror}: {error}")
    raise DownloadError(
        f"{file_name} could not be downloaded from any mirror:\n"
        + "\n".join(failures)
        + "\nFetch it by other means and give its folder as data_dir=."
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """pooch tells every download on stderr at level INFO; a library only speaks when asked."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@dataclass
class _Bar:
    """The part of tqdm's interface that pooch calls: it counts whole chunks, the last one too, then resets and tells the total."""

    advance: Callable[[int], None]
    total: int = 0
    done: int = field(default=0, init=False)

    def update(self, n_bytes: int) -> None:
        n_new = min(n_bytes, self.total - self.done) if self.total else n_bytes
        self.done += n_new
        self.advance(n_new)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass
