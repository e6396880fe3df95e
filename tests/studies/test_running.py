"""A study that is cut off, killed, run twice at once or out of disk loses nothing and doubles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actscope.studies import Cell, Grid, Results, Study, StudyError, find_study, run, runs_in
from actscope.studies.locking import FolderInUseError, alone_in
from actscope.studies.results import Row
from actscope.studies.study import Place

EVERYTHING = "select cell, epoch, split, metric, value from results where metric != 'seconds' order by all"
SMOKE = ["study", "run", "he2021.width", "--scale", "smoke", "-q"]


def same(ours: list[tuple[object, ...]], theirs: list[tuple[object, ...]]) -> bool:
    """But for rounding: what is left of a run is trained in other stacks, and sums come out in another order."""
    return [row[:-1] for row in ours] == [row[:-1] for row in theirs] and [row[-1] for row in ours] == pytest.approx(
        [row[-1] for row in theirs], rel=1e-4, abs=5e-3
    )


def toy(fails: set[int] = frozenset(), done: list[int] | None = None) -> Study:  # type: ignore[assignment]  # an empty set
    """Six cells without a network; some of them fail."""

    def cells(grid: Grid) -> list[Cell]:
        return [Cell("toy", 1, {"dataset": grid.dataset, "number": number}) for number in range(6)]

    def measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
        for cell in cells:
            if cell["number"] in fails:
                raise ValueError(f"number {cell['number']} cannot be measured")
            if done is not None:
                done.append(cell["number"])
            yield cell, [{"metric": "square", "value": float(cell["number"] ** 2)}]

    return Study(name="toy", title="", source="", datasets=("digits",), cells=cells, measure=measure)


def command(out: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "actscope", *arguments, "--out", str(out)]


def test_all_cells_are_measured_and_a_second_run_measures_none(tmp_path: Path) -> None:
    done: list[int] = []
    first = run(toy(done=done), tmp_path)
    assert first.is_complete
    assert first.results.query("select number, value from results order by 1") == [(i, i**2) for i in range(6)]
    run(toy(done=done), tmp_path)
    assert done == list(range(6))


def test_a_part_of_the_cells_can_be_measured_first(tmp_path: Path) -> None:
    done: list[int] = []
    part = run(toy(done=done), tmp_path, only={"number": [1, "4"], "dataset": ["digits"]})
    assert done == [1, 4]
    assert len(part.missing) == 4
    kept = tmp_path / "toy" / "work" / part.missing[0].id
    kept.mkdir(parents=True)
    run(toy(done=done), tmp_path, only={"number": range(2)})
    assert done == [1, 4, 0]
    assert run(toy(done=done), tmp_path).is_complete
    assert sorted(done) == list(range(6))
    assert not kept.exists()


def test_what_cells_keep_for_later_outlives_a_run_of_others(tmp_path: Path) -> None:
    kept = tmp_path / "toy" / "work" / toy().cells(Grid("digits", "smoke"))[5].id
    kept.mkdir(parents=True)
    run(toy(), tmp_path, scale="smoke", only={"number": [1]})
    assert kept.is_dir()


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ({"width": [3]}, "there is no setting 'width'; choose among dataset, number"),
        ({"number": [3, 9]}, "no cell has number=9; there is number=0, 1, 2, 3, 4, 5"),
        ({"number": []}, "no cell has all of number as asked for"),
    ],
    ids=["a setting that is none", "a value that is none", "no value"],
)
def test_a_part_that_is_none_is_refused(only: dict[str, list[int]], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run(toy(), tmp_path, only=only)


def test_what_was_measured_before_a_failure_is_kept_and_the_rest_is_done_by_the_next_run(tmp_path: Path) -> None:
    done: list[int] = []
    with pytest.raises(StudyError, match=r"number 3 cannot be measured.*3 of 6 cells are saved"):
        run(toy({3}, done), tmp_path)
    assert run(toy(done=done), tmp_path).is_complete
    assert done == list(range(6))


def test_another_version_measures_anew(tmp_path: Path) -> None:
    a, b = (Cell("toy", version, {"number": 1}) for version in (1, 2))
    assert a.id != b.id


def test_a_note_of_a_run_that_was_cut_short_is_named(tmp_path: Path) -> None:
    run(toy(), tmp_path)
    note = tmp_path / "toy" / "runs" / "digits-small.json"
    note.write_text("{")
    with pytest.raises(ValueError, match=r"digits-small\.json is damaged: delete it"):
        runs_in(tmp_path)


def test_two_runs_in_one_folder_are_refused_with_a_word_about_the_other(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path / "toy"),
        pytest.raises(FolderInUseError, match=rf"process {os.getpid()} on .*choose another folder"),
    ):
        run(toy(), tmp_path)
    assert run(toy(), tmp_path).is_complete


def test_names_that_are_not_known_are_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no study 'he2021.depth'; choose one of .*he2021.width"):
        run("he2021.depth", tmp_path)
    with pytest.raises(ValueError, match=r"scale='huge'.*smoke, small, paper"):
        run("he2021.width", tmp_path, scale="huge")
    with pytest.raises(ValueError, match="made for mnist, cifar10, not for dataset='imagenet'"):
        run("he2021.width", tmp_path, dataset="imagenet")
    with pytest.raises(ValueError, match="recipe='sgd'"):
        run("he2021.width", tmp_path, scale="smoke", recipe="sgd")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """All numbers of a study that nothing happened to."""
    return run("he2021.width", tmp_path_factory.mktemp("whole"), scale="smoke", progress=False).results.query(
        EVERYTHING
    )


def test_a_killed_run_is_resumed_to_the_same_results(tmp_path: Path, uninterrupted: list[tuple[object, ...]]) -> None:
    process = subprocess.Popen(command(tmp_path, *SMOKE))
    cells = tmp_path / "he2021.width" / "cells"
    deadline = time.monotonic() + 60
    while not list(cells.glob("[!.]*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (run_of,) = runs_in(tmp_path)
    n_done = len(run_of.cells) - len(run_of.missing)
    assert 0 < n_done < len(run_of.cells)
    written = {path: path.stat().st_mtime_ns for path in cells.glob("[!.]*.parquet")}
    said = subprocess.run(command(tmp_path, "study", "resume"), check=True, capture_output=True, text=True).stdout
    assert "6 of 6 cells measured" in said
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert same(runs_in(tmp_path)[0].results.query(EVERYTHING), uninterrupted)


@pytest.mark.slow
def test_processes_give_the_same_results_as_one(tmp_path: Path, uninterrupted: list[tuple[object, ...]]) -> None:
    ours = run("he2021.width", tmp_path, scale="smoke", engine="processes", n_workers=2, progress=False)
    assert same(ours.results.query(EVERYTHING), uninterrupted)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_full_disk_is_said_as_such_and_the_run_goes_on_later(
    tmp_path: Path, uninterrupted: list[tuple[object, ...]]
) -> None:
    code = (
        "import resource\n"
        "import actscope.cli, actscope.studies.he2021.width\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))\n"
        "actscope.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SMOKE, "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert "of 6 cells are saved" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*unfinished*"))
    assert same(run("he2021.width", tmp_path, scale="smoke", progress=False).results.query(EVERYTHING), uninterrupted)


def test_a_run_that_ends_leaves_alone_what_another_of_the_study_needs_to_go_on(tmp_path: Path) -> None:
    small = find_study("he2021.width").cells(find_study("he2021.width").grid(scale="small"))[0]
    state = tmp_path / "he2021.width" / "work" / small.id / "progress.pt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"how far it is")
    run("he2021.width", tmp_path, scale="smoke", progress=False)
    assert [path for path in (tmp_path / "he2021.width" / "work").rglob("*") if path.is_file()] == [state]


def test_a_recipe_that_a_study_cannot_be_run_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"recipe='he2021.code': jiang2022.toy has one recipe, its own"):
        run("jiang2022.toy", tmp_path, scale="smoke", recipe="he2021.code")


@pytest.mark.parametrize("content", ["{}", "[1]", '{"study": "he2021.width", "grid": {"scale": 3}}'])
def test_a_damaged_note_of_a_run_is_named(tmp_path: Path, content: str) -> None:
    note = tmp_path / "he2021.width" / "runs" / "digits-smoke.json"
    note.parent.mkdir(parents=True)
    note.write_text(content)
    with pytest.raises(ValueError, match=r"digits-smoke\.json is damaged"):
        runs_in(tmp_path)


def test_a_file_damaged_in_its_middle_and_one_of_something_else_are_named(tmp_path: Path) -> None:
    done = run("he2021.width", tmp_path, scale="smoke", progress=False)
    path = tmp_path / "he2021.width" / "cells" / f"{done.cells[0].id}.parquet"
    content = bytearray(path.read_bytes())
    content[40:56] = bytes(16)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read|damaged"):
        done.results.query("select * from results")
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match="holds no results of a study"):
        Results.in_folder(path.parent, done.cells).save(tmp_path / "saved.parquet")
