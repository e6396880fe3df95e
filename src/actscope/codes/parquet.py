"""Codes on disk: Parquet files with a column of packed bytes for each site, that any other reader can open."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes.selection import Layers, choose
from actscope.codes.site import Site
from actscope.codes.table import Codes

__all__ = ["CodesFile", "CodesFolder", "CodesWriter", "open_codes"]

_FORMAT = 1
_KEY = b"actscope"
_ROW_GROUP_BYTES = 64 * 2**20
_MOST_COLUMNS = 1000


class CodesWriter:
    """A context that writes codes to one Parquet file as they come, whole or not at all.

    The columns are `id` (int64 or string), `label` (int64), and `s000`, `s001`, …: the packed bytes of one site each, of a fixed size
    (when there are thousands of sites, several small ones share a column). The schema's metadata says under the key `actscope` what the
    sites are. The file has a temporary name until the context ends without an exception.

    Args:
        path: the file to write; its folder must exist.
        sites: what the bytes of a row mean.
        split: the part of the data set, such as `"train"`.

    Example:
        >>> import tempfile
        >>> codes = Codes.from_bits([[0, 1, 1], [1, 1, 0]], labels=[0, 1])
        >>> path = Path(tempfile.mkdtemp()) / "codes.parquet"
        >>> with CodesWriter(path, codes.sites) as writer:
        ...     writer.write(codes.packed, codes.ids, codes.labels)
        >>> Codes.load(path).bits().astype(int)
        array([[0, 1, 1],
               [1, 1, 0]])
    """

    def __init__(self, path: str | os.PathLike[str], sites: Sequence[Site], *, split: str | None = None) -> None:
        self._path = require_writable(path)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        self._sites = tuple(sites)
        self._split = split
        self._columns = _columns(self._sites)
        self._row_bytes = sum(site.n_bytes for site in self._sites)
        self._rows_per_group = max(1, _ROW_GROUP_BYTES // max(1, self._row_bytes))
        self._pending: list[tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.int64] | None]] = []
        self._n_pending = 0
        self._writer: Any = None

    def __enter__(self) -> CodesWriter:
        return self

    def write(self, packed: NDArray[np.uint8], ids: NDArray[Any], labels: NDArray[np.int64] | None) -> None:
        """Append (n_examples, n_bytes) uint8 rows with their ids and labels."""
        if packed.ndim != 2 or packed.shape[1] != self._row_bytes:
            raise ValueError(f"rows have shape {packed.shape}, but the sites of this file take {self._row_bytes} bytes")
        if len(ids) != len(packed) or (labels is not None and len(labels) != len(packed)):
            raise ValueError(
                f"{len(packed)} rows came with {len(ids)} ids and {'no' if labels is None else len(labels)} labels; give one a row"
            )
        for start in range(0, len(packed), self._rows_per_group):
            stop = start + self._rows_per_group
            part = packed[start:stop], ids[start:stop], None if labels is None else labels[start:stop]
            if self._n_pending + len(part[0]) > self._rows_per_group:
                self._flush()
            self._pending.append(part)
            self._n_pending += len(part[0])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush(last=True)
            if self._writer is not None:
                self._writer.close()
            if error is None:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _flush(self, last: bool = False) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._pending and not (last and self._writer is None):
            return
        ids = np.concatenate([part[1] for part in self._pending]) if self._pending else np.zeros(0, dtype=np.int64)
        known = [part[2] for part in self._pending if part[2] is not None]
        arrays = {"id": pa.array(ids)}
        arrays["label"] = pa.array(np.concatenate(known)) if known else pa.nulls(len(ids), pa.int64())
        for name, start, stop in self._columns:
            block = np.empty((len(ids), stop - start), dtype=np.uint8)
            row = 0
            for packed, _, _ in self._pending:
                block[row : row + len(packed)] = packed[:, start:stop]
                row += len(packed)
            arrays[name] = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(stop - start), len(ids), [None, pa.py_buffer(block)]
            )
        table = pa.table(arrays)
        if self._writer is None:
            schema = table.schema.with_metadata({_KEY: json.dumps(self._description()).encode()})
            self._writer = pq.ParquetWriter(
                self._temporary,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=False,
                write_statistics=["id", "label"],
            )
        self._writer.write_table(table, row_group_size=max(1, len(ids)))
        self._pending = []
        self._n_pending = 0

    def _description(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "split": self._split,
            "sites": [site.to_dict() for site in self._sites],
            "columns": [[name, start, stop] for name, start, stop in self._columns],
        }


@dataclass(frozen=True)
class CodesFile:
    """Codes in one Parquet file, of which nothing but the description has been read.

    Attributes:
        path: the file.
        sites: the sites it holds, in the order in which the model ran.
        n_examples: its rows.
        split: the part of the data set, or `None`.
    """

    path: Path
    sites: tuple[Site, ...]
    n_examples: int
    split: str | None
    columns: tuple[tuple[str, int, int], ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> CodesFile:
        """The file's description.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is cut short, is no Parquet file, or another program wrote it.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            with pq.ParquetFile(path) as file:
                metadata, n_examples = file.schema_arrow.metadata or {}, file.metadata.num_rows
        except PermissionError:
            raise
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(
                f"{path} ({path.stat().st_size} bytes) is no whole Parquet file: it was cut short, or is something else. "
                f"Write it again ({_first_line(error)})"
            ) from None
        if _KEY not in metadata:
            raise ValueError(
                f"{path} is a Parquet file, but not one of codes: its schema has no 'actscope' metadata, so another program wrote it"
            )
        described = json.loads(metadata[_KEY])
        if described.get("format") != _FORMAT:
            raise ValueError(
                f"{path} has format {described.get('format')!r}; this version of actscope reads format {_FORMAT}"
            )
        return cls(
            path,
            tuple(Site.from_dict(values) for values in described["sites"]),
            n_examples,
            described["split"],
            tuple((str(name), int(start), int(stop)) for name, start, stop in described["columns"]),
        )

    def __len__(self) -> int:
        return self.n_examples

    def load(self, layers: Layers = None) -> Codes:
        """The codes in memory, at all sites or at some; the columns of the others are not read."""
        chosen = choose(self.sites, layers)
        names = [self.sites[i].name for i in chosen]
        packed = np.empty((self.n_examples, sum(self.sites[i].n_bytes for i in chosen)), dtype=np.uint8)
        ids, labels, done = [], [], 0
        for part in self.batches(names):
            packed[done : done + len(part)] = part.packed
            done += len(part)
            ids.append(part.ids)
            labels.append(part.labels)
        known = [part for part in labels if part is not None]
        return Codes(
            packed,
            tuple(self.sites[i] for i in chosen),
            ids=np.concatenate(ids) if ids else np.arange(0),
            labels=np.concatenate(known) if known else None,
            split=self.split,
        )

    def batches(self, layers: Layers = None, *, batch_size: int | None = None) -> Iterator[Codes]:
        """The codes in pieces of `batch_size` examples (by default about 64 MB), for what does not fit in memory."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        chosen = choose(self.sites, layers)
        sites = tuple(self.sites[i] for i in chosen)
        offsets = np.cumsum([0, *(site.n_bytes for site in self.sites)])
        spans = [(int(offsets[i]), int(offsets[i + 1])) for i in chosen]
        needed = [
            column for column in self.columns if any(start < column[2] and stop > column[1] for start, stop in spans)
        ]
        width = sum(stop - start for _, start, stop in needed)
        size = batch_size or max(1, _ROW_GROUP_BYTES // max(1, width))
        try:
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                for batch in file.iter_batches(size, columns=["id", "label", *(name for name, _, _ in needed)]):
                    blocks = {name: _as_matrix(batch.column(name), stop - start) for name, start, stop in needed}
                    packed = np.concatenate(
                        [
                            np.empty((len(batch), 0), dtype=np.uint8),
                            *(
                                blocks[name][:, max(low, start) - start : min(high, stop) - start]
                                for low, high in spans
                                for name, start, stop in needed
                                if low < stop and high > start
                            ),
                        ],
                        axis=1,
                    )
                    label = batch.column("label")
                    labels = None if label.null_count == len(label) else label.to_numpy()
                    yield Codes(
                        packed,
                        sites,
                        ids=batch.column("id").to_numpy(zero_copy_only=False),
                        labels=labels,
                        split=self.split,
                    )
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{self.path} is damaged: {_first_line(error)}") from None


@dataclass(frozen=True)
class CodesFolder:
    """Codes in a folder of Parquet files that many workers wrote; an example that is in several files counts once."""

    files: tuple[CodesFile, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> CodesFolder:
        """The descriptions of all `*.parquet` files in the folder."""
        paths = sorted(Path(path).glob("*.parquet"))
        if not paths:
            raise FileNotFoundError(f"there is no *.parquet file in the folder {path}")
        return cls(tuple(CodesFile.open(file) for file in paths))

    def load(self, layers: Layers = None) -> Codes:
        """All of it in memory, at all sites or at some."""
        return Codes.concat(file.load(layers) for file in self.files)


def require_writable(path: str | os.PathLike[str]) -> Path:
    """`path`, if a file of codes can go there.

    Raises:
        FileNotFoundError: if its folder does not exist.
        IsADirectoryError: if it is a folder itself.
        PermissionError: if nothing may be written in its folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"cannot write {path}: it is a folder; give the path of a file, such as {path / 'codes.parquet'}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: nothing may be written in the folder {path.parent}")
    return path


def open_codes(path: str | os.PathLike[str]) -> CodesFile | CodesFolder:
    """What is stored at `path`: one file of codes, or a folder of them."""
    return CodesFolder.open(path) if Path(path).is_dir() else CodesFile.open(path)


def _columns(sites: Sequence[Site]) -> tuple[tuple[str, int, int], ...]:
    """Columns as (name, first byte, end byte) of a row: one a site, or several small neighbours in one when there are thousands."""
    offsets = np.cumsum([0, *(site.n_bytes for site in sites)])
    if len(sites) <= _MOST_COLUMNS:
        starts = list(range(len(sites)))
    else:
        share = offsets[-1] / _MOST_COLUMNS
        starts = [i for i in range(len(sites)) if i == 0 or offsets[i] // share > offsets[i - 1] // share]
    bounds = [int(offsets[i]) for i in [*starts, len(sites)]]
    filled = [
        (low, high) for low, high in itertools.pairwise(bounds) if low < high
    ]  # Parquet has no values of no bytes
    return tuple((f"s{i:03d}", low, high) for i, (low, high) in enumerate(filled))


def _as_matrix(column: Any, width: int) -> NDArray[np.uint8]:
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width].reshape(len(column), width)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
