"""One run at a time works on a study in a folder."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FolderInUseError", "alone_in", "in_use"]


class FolderInUseError(RuntimeError):
    """Another run works in the folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else is in this context with the same folder, which is made if it does not exist.

    The system lets go of the lock when the process ends, however it ends.

    Raises:
        FolderInUseError: somebody else is.

    Example:
        >>> import tempfile
        >>> with alone_in(Path(tempfile.mkdtemp())):
        ...     pass
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / ".holder"
    try:
        with FileLock(folder / ".lock", timeout=0):
            holder.write_text(
                json.dumps({"process": os.getpid(), "on": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
            )
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except Timeout:
        raise FolderInUseError(
            f"another run{_said(holder)} works in {folder}: wait for it, or choose another folder"
        ) from None


def in_use(folder: Path) -> bool:
    """Whether somebody is in `alone_in` with the folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with alone_in(folder):
        ...     in_use(folder)
        True
        >>> in_use(folder)
        False
    """
    from filelock import FileLock, Timeout

    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def _said(holder: Path) -> str:
    try:
        known = json.loads(holder.read_text())
        return f" (process {known['process']} on {known['on']}, since {known['since']})"
    except (OSError, ValueError, KeyError):  # it has just ended, or just begun
        return ""
