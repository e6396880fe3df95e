"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from actscope.wholefile import whole_file

__all__ = ["write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Write `text` to a temporary file beside `path` and rename it: no reader meets half a file, and a failure leaves the old one."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
