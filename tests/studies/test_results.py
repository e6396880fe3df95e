"""Files of measurements say what was measured, and are whole or not there."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actscope.studies import Cell, Results
from actscope.studies.results import series, write_cell
from actscope.training import Recipe

CELLS = [Cell("a.study", 1, {"width": width, "seed": seed}, Recipe(epochs=3)) for width in (3, 7) for seed in (0, 1)]


def measured(folder: Path, cells: list[Cell] = CELLS) -> Results:
    for cell in cells:
        rows = [
            {"epoch": epoch, "metric": "redundancy", "value": cell["width"] + cell["seed"] + epoch} for epoch in (1, 2)
        ]
        write_cell(folder, cell, rows, seconds=0.5)
    return Results.in_folder(folder, CELLS)


def test_what_was_written_can_be_asked_in_sql(tmp_path: Path) -> None:
    found = measured(tmp_path).query("select width, seed, epoch, value from results order by all")
    assert found == [(w, s, e, w + s + e) for w in (3, 7) for s in (0, 1) for e in (1, 2)]


def test_only_cells_that_were_asked_for_count(tmp_path: Path) -> None:
    measured(tmp_path)
    write_cell(tmp_path, Cell("a.study", 1, {"width": 99, "seed": 0}), [{"metric": "redundancy", "value": 1}])
    assert Results.in_folder(tmp_path, CELLS).query("select max(width) from results") == [(7,)]


def test_a_series_has_mean_and_deviation_over_the_rest(tmp_path: Path) -> None:
    axis, mean, sd, n = series(measured(tmp_path), "width", "redundancy", where="epoch = ?", parameters=[2])
    np.testing.assert_allclose(axis, [3, 7])
    np.testing.assert_allclose(mean, [5.5, 9.5])
    np.testing.assert_allclose(sd, np.std([5, 6], ddof=1))
    np.testing.assert_array_equal(n, [2, 2])


def test_a_series_is_in_the_order_of_its_column(tmp_path: Path) -> None:
    rates = np.random.default_rng(0).random(200).tolist()
    cells = [Cell("a.study", 1, {"rate": rate}) for rate in rates]
    for cell in cells:
        write_cell(tmp_path, cell, [{"metric": "a", "value": -cell["rate"]}])
    axis, mean, sd, _ = series(Results.in_folder(tmp_path, cells), "rate", "a")
    np.testing.assert_array_equal(axis, np.sort(rates))
    np.testing.assert_array_equal(mean, -axis)
    assert not sd.any()


def test_one_file_holds_the_same_and_says_with_what_it_was_made(tmp_path: Path) -> None:
    results = measured(tmp_path / "cells")
    results.save(tmp_path / "all.parquet")
    saved = Results.of_file(tmp_path / "all.parquet")
    sql = "select * from results order by all"
    assert saved.query(sql) == results.query(sql)
    assert {entry["id"] for entry in saved.about} == {cell.id for cell in CELLS}
    assert saved.about[0]["made"]["seconds"] == 0.5
    assert saved.about[0]["recipe"]["epochs"] == 3
    assert len(saved) == len(CELLS)


def test_columns_that_only_some_cells_have_are_empty_elsewhere(tmp_path: Path) -> None:
    write_cell(tmp_path, CELLS[0], [{"metric": "a", "value": 1, "part": "all"}])
    write_cell(tmp_path, CELLS[1], [{"metric": "a", "value": 2}])
    assert Results.in_folder(tmp_path, CELLS).query("select part from results order by value") == [("all",), (None,)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "no measurements"), ([{"value": 1}], "'metric'"), ([{"metric": "a", "value": 1, "width": 3}], "has width")],
    ids=["none", "without a metric", "over a setting"],
)
def test_rows_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, rows: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_cell(tmp_path, CELLS[0], rows)  # type: ignore[arg-type]  # what the caller got wrong
    assert not list(tmp_path.iterdir())


def test_asking_before_anything_was_measured_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="measured yet"):
        Results.in_folder(tmp_path, CELLS).query("select 1")


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    results = measured(tmp_path)
    broken = results.files[2]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ValueError, match=f"{broken.name} is damaged: delete it"):
        results.query("select 1")


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="holds no results"):
        Results.of_file(tmp_path / "other.parquet")


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from actscope.studies import Cell\n"
        "from actscope.studies.results import write_cell\n"
        "import pyarrow.parquet\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_cell(sys.argv[1], Cell('a.study', 1, {}), [{'metric': 'a', 'value': i * 0.37} for i in range(5000)])\n"
        "except OSError as error:\n"
        "    print(error.errno, error)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ".parquet" in done.stdout
    assert list(tmp_path.iterdir()) == []
