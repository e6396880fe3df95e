"""Codes on disk: readable by others, whole or not there, and refused if they are not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actscope.codes import Codes, CodesFile, CodesWriter, Site, parquet


@pytest.fixture
def codes() -> Codes:
    rng = np.random.default_rng(0)
    sites = (Site("a.relu", "relu", (3, 5), (0.0,)), Site("b:tanh", "tanh", (9,), (-0.5, 0.0, 0.5)))
    packed = rng.integers(0, 128, (50, 8), dtype=np.uint8)
    packed[:, [3, 5, 7]] &= 1
    return Codes(packed, sites, ids=np.arange(50)[::-1], labels=np.arange(50) % 4, split="train")


def test_duckdb_reads_the_file_without_us(codes: Codes, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    codes.save(tmp_path / "codes.parquet")
    query = f"select id, label, s001 from '{tmp_path}/codes.parquet' order by id"
    rows = duckdb.sql(query).fetchall()
    assert [row[0] for row in rows] == list(range(50))
    assert rows[0][2] == codes.site_packed("b:tanh")[-1].tobytes()
    distinct = duckdb.sql(f"select count(distinct s000) from '{tmp_path}/codes.parquet'").fetchall()
    assert distinct == [(len(np.unique(codes.site_packed("a.relu"), axis=0)),)]


def test_columns_have_a_fixed_size_and_no_dictionary(codes: Codes, tmp_path: Path) -> None:
    codes.save(tmp_path / "codes.parquet")
    file = pq.ParquetFile(tmp_path / "codes.parquet")
    assert file.schema_arrow.field("s000").type == pa.binary(2)
    assert file.schema_arrow.field("s001").type == pa.binary(6)
    group = file.metadata.row_group(0)
    assert all(not group.column(i).has_dictionary_page for i in range(group.num_columns))


def test_pieces_are_the_whole_in_order(codes: Codes, tmp_path: Path) -> None:
    codes.save(tmp_path / "codes.parquet")
    pieces = list(CodesFile.open(tmp_path / "codes.parquet").batches(["b:tanh"], batch_size=7))
    assert [len(piece) for piece in pieces] == [7] * 7 + [1]
    np.testing.assert_array_equal(np.concatenate([piece.packed for piece in pieces]), codes.select("b:tanh").packed)


def test_row_groups_are_bounded_however_rows_come(
    codes: Codes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_ROW_GROUP_BYTES", 8 * 12)
    with CodesWriter(tmp_path / "codes.parquet", codes.sites, split="train") as writer:
        for start, stop in ((0, 5), (5, 40), (40, 41), (41, 50)):
            writer.write(codes.packed[start:stop], codes.ids[start:stop], codes.labels[start:stop])
    metadata = pq.ParquetFile(tmp_path / "codes.parquet").metadata
    assert max(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)) <= 12
    np.testing.assert_array_equal(Codes.load(tmp_path / "codes.parquet").packed, codes.packed)


def test_thousands_of_small_sites_share_columns(tmp_path: Path) -> None:
    sites = tuple(Site(f"s{i}", "relu", (9,), (0.0,)) for i in range(2500))
    packed = np.random.default_rng(1).integers(0, 2, (4, 5000), dtype=np.uint8)
    codes = Codes(packed, sites)
    codes.save(tmp_path / "codes.parquet")
    assert len(pq.ParquetFile(tmp_path / "codes.parquet").schema_arrow.names) <= 1002
    np.testing.assert_array_equal(Codes.load(tmp_path / "codes.parquet").packed, packed)
    some = ["s3", "s4", "s1700"]
    np.testing.assert_array_equal(Codes.load(tmp_path / "codes.parquet", some).packed, codes.select(some).packed)


def test_a_folder_of_files_is_one_data_set_with_each_example_once(codes: Codes, tmp_path: Path) -> None:
    codes[:30].save(tmp_path / "worker0.parquet")
    codes[28:].save(tmp_path / "worker1.parquet")
    whole = Codes.load(tmp_path)
    np.testing.assert_array_equal(whole.ids, codes.ids)
    np.testing.assert_array_equal(whole.packed, codes.packed)


def test_a_file_appears_whole_or_not_at_all(codes: Codes, tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    codes[:3].save(path)
    with pytest.raises(RuntimeError, match="stopped"), CodesWriter(path, codes.sites) as writer:
        writer.write(codes.packed, codes.ids, None)
        raise RuntimeError("stopped")
    assert [file.name for file in tmp_path.iterdir()] == ["codes.parquet"]
    assert len(Codes.load(path)) == 3


def test_a_killed_writer_leaves_the_old_file(codes: Codes, tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    codes.save(path)
    script = (
        "import os, sys; from actscope.codes import Codes, CodesWriter; codes = Codes.load(sys.argv[1]); "
        "w = CodesWriter(sys.argv[1], codes.sites).__enter__(); w.write(codes.packed[:9], codes.ids[:9], None); w._flush(); "
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    np.testing.assert_array_equal(Codes.load(path).packed, codes.packed)


def test_a_file_cut_short_is_refused(codes: Codes, tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    codes.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"codes.parquet \(\d+ bytes\) is no whole Parquet file"):
        Codes.load(path)


def test_a_damaged_page_is_refused(codes: Codes, tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    codes.save(path)
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged"):
        Codes.load(path)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="another program wrote it"):
        Codes.load(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(ValueError, match="no whole Parquet file"):
        Codes.load(tmp_path / "text.parquet")


def test_missing_paths_are_named(codes: Codes, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Codes.load(tmp_path / "none.parquet")
    with pytest.raises(FileNotFoundError, match="no folder"):
        codes.save(tmp_path / "none" / "codes.parquet")
    with pytest.raises(FileNotFoundError, match=r"no \*.parquet file"):
        Codes.load(tmp_path)


def test_a_site_of_no_neurons_has_no_column(codes: Codes, tmp_path: Path) -> None:
    sites = (Site("none", "relu", (0,), (0.0,)), *codes.sites, Site("last", "relu", (3, 0), (0.0,)))
    wide = Codes(codes.packed, sites)
    wide.save(tmp_path / "codes.parquet")
    assert pq.read_schema(tmp_path / "codes.parquet").names == ["id", "label", "s000", "s001"]
    np.testing.assert_array_equal(Codes.load(tmp_path / "codes.parquet").packed, codes.packed)
    assert Codes.load(tmp_path / "codes.parquet", ["none"]).packed.shape == (50, 0)


def test_layers_may_be_a_generator(codes: Codes, tmp_path: Path) -> None:
    codes.save(tmp_path / "codes.parquet")
    loaded = Codes.load(tmp_path / "codes.parquet", (name for name in ["b:tanh"]))
    np.testing.assert_array_equal(loaded.packed, codes.select("b:tanh").packed)


def test_rows_need_an_id_and_a_label_each(codes: Codes, tmp_path: Path) -> None:
    with CodesWriter(tmp_path / "codes.parquet", codes.sites) as writer:
        with pytest.raises(ValueError, match="50 rows came with 3 ids and no labels"):
            writer.write(codes.packed, codes.ids[:3], None)
        with pytest.raises(ValueError, match="50 rows came with 50 ids and 2 labels"):
            writer.write(codes.packed, codes.ids, codes.labels[:2])
