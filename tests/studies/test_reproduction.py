"""The pages of the reproduction say what the saved results say, and those are of the studies as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from actscope.studies import Grid, Results, find_study, run, studies
from actscope.studies.printed.values import claim_rows
from actscope.studies.reproduction import FIGURES, TESTED, Reproduction

DOCS = Path(__file__).parent.parent.parent / "docs"
SAVED = sorted((DOCS / "results" / "studies").glob("*.parquet"))

needs_sources = pytest.mark.skipif(not SAVED, reason="needs the source tree, which has the saved results")


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_saved_results_are_of_cells_of_the_study_as_it_is(path: Path) -> None:
    results = Results.of_file(path)
    grid = Grid(**results.grid)  # type: ignore[arg-type]  # a scale
    measured, cells = (
        {entry["id"] for entry in results.about},
        {cell.id for cell in find_study(results.study).cells(grid)},
    )
    assert measured
    assert measured <= cells  # pages say how many of them
    assert results.query("select count(distinct cell) from results") == [(len(measured),)]


@needs_sources
def test_pages_are_those_that_the_saved_results_make() -> None:
    for name, text in Reproduction.of(DOCS / "results" / "studies").pages.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"{name}: make it again with `actscope study pages`"


@needs_sources
def test_every_claim_has_a_row_and_every_picture_is_there() -> None:
    overview = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    for row in claim_rows():
        assert f"\n| {row['id']} |" in overview
    for name in ("he2021.md", "hanin2019.md", "jiang2022.md"):
        for line in (DOCS / name).read_text(encoding="utf-8").splitlines():
            if line.startswith("!["):
                assert (DOCS / line.rpartition("(")[2].rstrip(")")).is_file()


def test_claims_that_tests_are_evidence_for_name_tests_that_exist() -> None:
    tests = Path(__file__).parent.parent
    for _, path, _ in TESTED.values():
        assert (tests / path).is_file()


def test_every_study_is_named_by_a_figure_of_its_paper() -> None:
    named = {name.partition(":")[0] for rows in FIGURES.values() for _, _, names in rows for name in names}
    assert set(studies()) <= named


def test_results_of_a_study_as_it_was_before_are_refused(tmp_path: Path) -> None:
    done = run("he2021.width", tmp_path / "results", scale="smoke", progress=False)
    (tmp_path / "saved").mkdir()
    done.results.save(tmp_path / "saved" / "old.parquet", grid={"dataset": "digits", "scale": "small", "recipe": ""})
    with pytest.raises(
        ValueError, match=r"old\.parquet was measured by another version of he2021\.width: run it again"
    ):
        Reproduction.of(tmp_path / "saved")
    done.results.save(tmp_path / "saved" / "old.parquet")
    with pytest.raises(ValueError, match=r"old\.parquet does not say of what run it is"):
        Reproduction.of(tmp_path / "saved")


def test_a_part_of_a_run_is_held_against_the_paper_as_a_part(tmp_path: Path) -> None:
    part = run("he2021.width", tmp_path / "results", scale="smoke", only={"width": [30]}, progress=False)
    assert (len(part.results), len(part.missing)) == (2, 4)
    (tmp_path / "saved").mkdir()
    part.results.save(tmp_path / "saved" / "part.parquet", grid=vars(part.grid))
    found = Reproduction.of(tmp_path / "saved")
    assert found.comparisons[0].n_missing == 4
    assert (
        "`actscope study run he2021.width --dataset digits --scale smoke` (2 of 6 cells)"
        in found.pages["reproduction.md"]
    )
    assert "--scale smoke`, 2 of 6 cells." in found.pages["he2021.md"]
