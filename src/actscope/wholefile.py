"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path`, of the same ending, to write to; when the context ends without an exception it becomes `path`.

    So no reader meets half a file, and after a failure the old file is as it was and nothing else is left.

    Raises:
        OSError: what writing raised, with the name of the file that was to be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with whole_file(path) as unfinished:
        ...     _ = unfinished.write_text("1 2 3")
        >>> path.read_text()
        '1 2 3'
    """
    target = Path(path)
    unfinished = target.with_name(f".{target.stem}.{os.getpid()}.unfinished{target.suffix}")
    try:
        yield unfinished
        unfinished.replace(target)
    except OSError as error:
        if error.errno is None or error.filename == str(target):
            raise
        raise type(error)(error.errno, error.strerror or str(error), str(target)) from error
    finally:
        unfinished.unlink(missing_ok=True)
