"""Every study runs at smoke scale, draws its figures and can be compared, and says only what is known."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from actscope.studies import Run, compare, run, studies
from actscope.studies.printed.values import claim_rows
from actscope.studies.study import SCALES

pytest.importorskip("duckdb")
NAMES = list(studies())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def done(request: pytest.FixtureRequest, folder: Path) -> Run:
    """The smoke run of the study."""
    return run(request.param, folder, scale="smoke", progress=False)


@pytest.mark.parametrize("done", NAMES, indirect=True, ids=NAMES)
def test_a_study_runs_at_smoke_scale_draws_its_figures_and_is_compared(done: Run) -> None:
    assert done.is_complete
    assert done.results.query("select count(*) from results where metric = 'diverged'") == [(0,)]
    for draw in done.study.figures.values():
        picture = draw(done.results)
        picture.savefig(io.BytesIO(), format="png", dpi=40)
        assert picture.axes
        assert all(ax.has_data() for ax in picture.axes)
    found = compare(done.study, done.grid, done.results)
    assert len(found.findings) == len(done.study.claims)
    assert done.study.title in found.to_markdown()
    assert found.to_dict()["n_cells"] == len(done.cells)


@pytest.mark.parametrize("name", NAMES)
def test_cells_of_every_scale_and_data_set_differ(name: str) -> None:
    study = studies()[name]
    for scale in SCALES:
        for dataset in study.datasets:
            cells = study.cells(study.grid(dataset=dataset if scale != "smoke" else None, scale=scale))
            assert len({cell.id for cell in cells}) == len(cells) > 0


def test_claims_of_studies_are_claims_of_papers() -> None:
    known = {row["id"] for row in claim_rows()}
    for study in studies().values():
        assert {claim.id for claim in study.claims} <= known


@pytest.mark.parametrize("name", NAMES)
def test_printed_values_name_columns_and_metrics_that_the_study_measures(name: str, folder: Path) -> None:
    study = studies()[name]
    if study.printed is None:
        pytest.skip("the paper prints no numbers for it")
    columns = set(run(study, folder, scale="smoke", progress=False).results.columns)
    metrics = {
        m
        for (m,) in run(study, folder, scale="smoke", progress=False).results.query(
            "select distinct metric from results"
        )
    }
    for dataset in study.datasets:
        for one in study.printed(dataset):
            assert set(one.at) <= columns
            assert one.metric in metrics
