"""Results of a study: one Parquet file for each cell, written whole or not at all, read by DuckDB."""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actscope.studies.cells import Cell, Plain
from actscope.wholefile import whole_file

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["Results", "Row", "series", "write_cell"]

Row = Mapping[str, Plain]
"""One measurement of a cell: `metric` and `value`, and what else tells it from the cell's others, such as `epoch` and `split`."""

_KEY, _MANY = b"actscope.study", b"actscope.study.zlib"


def write_cell(
    folder: str | os.PathLike[str], cell: Cell, rows: Sequence[Row], *, seconds: float | None = None
) -> Path:
    """The file of the cell's measurements, now in `folder`: a column for each setting and each key of the rows.

    The schema's metadata says under `actscope.study` what the cell is, and with which versions and on what machine it was measured.

    Args:
        folder: made if it does not exist.
        cell: what was measured.
        rows: its measurements, each with `metric` and `value`.
        seconds: what they took, for the metadata.

    Raises:
        ValueError: no rows, a row without metric or value, or one that would overwrite a setting.
        OSError: the file cannot be written; then there is none.
    """
    import pyarrow as pa

    if not rows:
        raise ValueError(f"{cell!r} has no measurements")
    for row in rows:
        if "metric" not in row or "value" not in row:
            raise ValueError(f"a measurement of {cell!r} needs 'metric' and 'value', got {dict(row)}")
        if clash := [name for name in row if name in cell.settings or name in ("cell", "study")]:
            raise ValueError(f"a measurement of {cell!r} has {', '.join(clash)}, which the cell has too")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, Any] = {"cell": [cell.id] * len(rows), "study": [cell.study] * len(rows)}
    columns |= {name: [value] * len(rows) for name, value in cell.settings.items()}
    columns |= {name: [row.get(name) for row in rows] for name in names}
    columns["value"] = pa.array(columns["value"], pa.float64())
    about = cell.to_dict() | {"id": cell.id, "made": _made(seconds)}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about).encode()})
    path = Path(folder) / f"{cell.id}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(table, path)
    return path


@dataclass(frozen=True, repr=False)
class Results:
    """Measurements of some cells of one study, to be asked in SQL.

    Attributes:
        study: name of the study.
        files: Parquet files with the measurements: one for each cell, or one for all.
        cells: ids of the cells to look at; None for all that the files hold.
    """

    study: str
    files: tuple[Path, ...]
    cells: tuple[str, ...] | None = None

    @classmethod
    def in_folder(cls, folder: str | os.PathLike[str], cells: Sequence[Cell]) -> Results:
        """Those of the cells that have been measured, from a folder of files as `write_cell` makes them."""
        found = [cell.id for cell in cells if (Path(folder) / f"{cell.id}.parquet").is_file()]
        files = tuple(Path(folder) / f"{name}.parquet" for name in found)
        return cls(cells[0].study if cells else "", files, tuple(found))

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Results:
        """All that one file holds, as `save` wrote it.

        Raises:
            ValueError: it is no such file.
        """
        return cls(_about(Path(path))["study"], (Path(path),))

    @property
    def about(self) -> list[dict[str, Any]]:
        """What each cell is, and how and on what machine it was measured."""
        found: list[dict[str, Any]] = []
        for path in self.files:
            content = _about(path)
            found += content.get("cells", [content])
        return [entry for entry in found if self.cells is None or entry["id"] in self.cells]

    @property
    def grid(self) -> dict[str, str]:
        """Which grid of the study a saved file holds: `dataset`, `scale` and `recipe`; empty if that was not said."""
        return dict(_about(self.files[0]).get("grid", {})) if self.files else {}

    @cached_property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return [name for name, *_ in self.query("describe results")]

    @cached_property
    def dataset(self) -> str:
        """The data set that the cells have in common; empty if nothing was measured or it has none."""
        if not self.files or "dataset" not in self.columns:
            return ""
        return ", ".join(name for (name,) in self.query("select distinct dataset from results order by 1"))

    def __len__(self) -> int:
        """Number of cells that have been measured."""
        return int(self.query("select count(distinct cell) from results")[0][0]) if self.files else 0

    def __repr__(self) -> str:
        return f"Results({self.study}, {len(self):,} cells)"

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows that a query of the table `results` gives; `?` in it stands for the parameters.

        Raises:
            ValueError: nothing has been measured.
        """
        return self._relation(sql, parameters).fetchall()

    def arrays(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, np.ndarray]:
        """The same by column, as arrays.

        Raises:
            ValueError: nothing has been measured.
        """
        return dict(self._relation(sql, parameters).fetchnumpy())

    def save(self, path: str | os.PathLike[str], *, grid: Mapping[str, str] | None = None) -> None:
        """Writes all measurements and what is known about them into one Parquet file.

        Args:
            path: the file.
            grid: which grid they are of, as `grid` will say.
        """
        table = self._relation("select * from results order by all").to_arrow_table()
        about = {"study": self.study, "grid": dict(grid or {}), "cells": self.about}
        # a recipe for each cell would take more room than its numbers
        packed = zlib.compress(json.dumps(about).encode(), 9)
        _write(table.replace_schema_metadata({_MANY: packed}), Path(path))

    def _relation(self, sql: str, parameters: Sequence[object] = ()) -> duckdb.DuckDBPyRelation:
        return self._connection.sql(sql, params=list(parameters))

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """A database in memory with the table `results`, read once."""
        import duckdb

        if not self.files:
            raise ValueError(f"no cell of {self.study or 'the study'} has been measured yet: run it first")
        connection = duckdb.connect()
        connection.execute("set threads = 1")
        try:
            source = connection.read_parquet([str(path) for path in self.files], union_by_name=True)
            if self.cells is not None and len(self.files) != len(self.cells):
                known = ", ".join(f"'{name}'" for name in self.cells)
                source = source.filter(f"cell in ({known})")
            source.create("results")
        except duckdb.Error as error:
            raise ValueError(_damage(self.files) or f"the results of {self.study} cannot be read: {error}") from error
        return connection


def series(
    results: Results, x: str, metric: str, *, where: str = "true", parameters: Iterable[object] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and number of a metric's values for every value of a column, in its order.

    Args:
        results: where to look.
        x: the column.
        metric: what was measured.
        where: a further condition in SQL.
        parameters: for the `?` in it.

    Returns:
        (n,) arrays: values of the column, means, standard deviations (0 for a single one), and how many values there were.
    """
    found = results.arrays(
        f'select "{x}" as x, avg(value) as mean, coalesce(stddev_samp(value), 0) as sd, count(*) as n from results '
        f'where metric = ? and "{x}" is not null and ({where}) group by all order by x',
        [metric, *parameters],
    )
    return tuple(np.asarray(found[name]) for name in ("x", "mean", "sd", "n"))  # type: ignore[return-value]  # four


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    with whole_file(path) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")


def _damage(files: Sequence[Path]) -> str:
    """What is wrong with the first file that is no Parquet file; empty if all are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        try:
            pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            return f"{path} is damaged: delete it and run the study again, which measures that cell anew ({error})"
    return ""


def _about(path: Path) -> dict[str, Any]:
    """What a file's metadata say."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} cannot be read as a Parquet file: {error}") from error
    if _KEY not in metadata and _MANY not in metadata:
        raise ValueError(f"{path} holds no results of a study")
    text = metadata[_KEY] if _KEY in metadata else zlib.decompress(metadata[_MANY])
    content: dict[str, Any] = json.loads(text)
    return content


def _made(seconds: float | None) -> dict[str, Plain]:
    from importlib.metadata import version

    return {
        "actscope": version("actscope"),
        "torch": version("torch"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "seconds": seconds,
    }
