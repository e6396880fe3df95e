"""Arrow tables as Parquet files that are there whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from actscope.codes.parquet import require_writable
from actscope.wholefile import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_table"]


def write_table(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write `table` to a temporary file beside `path` and rename it: no reader meets half a file.

    Raises:
        FileNotFoundError: if the folder does not exist.
    """
    import pyarrow.parquet as pq

    target = require_writable(path)
    with whole_file(target) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")
