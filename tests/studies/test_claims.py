"""A verdict follows from numbers, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actscope.studies import Cell, Grid, Results, Study, compare
from actscope.studies.claims import Claim, Finding, NotRun, trend
from actscope.studies.printed import PrintedValue, claim_text, printed_table
from actscope.studies.results import write_cell


def results(folder: Path, values: list[float]) -> Results:
    cells = [Cell("toy", 1, {"dataset": "digits", "width": 5, "seed": seed}) for seed in range(len(values))]
    for cell, value in zip(cells, values, strict=True):
        rows = [
            {"epoch": epoch, "split": "test", "metric": "knn", "value": value if epoch == 3 else 0.0}
            for epoch in (1, 3)
        ]
        write_cell(folder, cell, rows)
    return Results.in_folder(folder, cells)


def study(*, printed: float | None = None, claims: tuple[Claim, ...] = (), **at: object) -> Study:
    def values(dataset: str) -> list[PrintedValue]:
        where = {"split": "test", "width": 5, **at}
        return [] if printed is None else [PrintedValue("Figure 9", "K-NN, width 5", printed, "knn", where)]  # type: ignore[arg-type]

    return Study(
        name="toy",
        title="A toy",
        source="nowhere",
        datasets=("digits",),
        cells=lambda grid: [],
        measure=lambda cells, place: iter(()),
        claims=claims,
        printed=values,
    )


GRID = Grid("digits", "small")


@pytest.mark.parametrize(
    ("values", "printed", "verdict"),
    [
        ([0.50, 0.51], 0.53, "agrees"),
        ([0.50, 0.50], 0.54, "differs"),
        ([0.40, 0.60], 0.60, "agrees"),
        ([0.50], 0.52, "agrees"),
        ([0.50], 0.40, "differs"),
    ],
    ids=["close", "far", "within two deviations", "one close", "one far"],
)
def test_a_number_agrees_if_it_is_close_or_within_two_deviations(
    tmp_path: Path, values: list[float], printed: float, verdict: str
) -> None:
    (found,) = compare(study(printed=printed), GRID, results(tmp_path, values)).differences
    assert found.verdict == verdict
    assert found.ours == pytest.approx(np.mean(values))
    assert found.difference == pytest.approx(np.mean(values) - printed)
    assert found.n == len(values)


def test_without_an_epoch_the_last_one_counts_and_with_one_that_one(tmp_path: Path) -> None:
    measured = results(tmp_path, [0.5])
    assert compare(study(printed=0.5), GRID, measured).differences[0].at == "epoch 3"
    assert compare(study(printed=0.5, epoch=1), GRID, measured).differences[0].ours == 0


def test_what_was_not_measured_is_not_run(tmp_path: Path) -> None:
    measured = results(tmp_path, [0.5])
    for at in ({"width": 6}, {"depth": 1}):
        (found,) = compare(study(printed=0.5, **at), GRID, measured).differences
        assert (found.verdict, found.ours) == ("not run at this scale", None)


def not_run(results: Results) -> Finding:
    raise NotRun("needs more")


def test_a_claim_about_other_data_or_more_of_it_is_not_run(tmp_path: Path) -> None:
    claims = (
        Claim("H4", lambda results: Finding("agrees", "1")),
        Claim("H5", lambda results: Finding("agrees", "1"), ("mnist",)),
        Claim("H6", not_run),
    )
    found = compare(study(claims=claims), GRID, results(tmp_path, [0.5])).findings
    assert [finding.verdict for _, finding in found] == ["agrees", "not run at this scale", "not run at this scale"]
    assert found[1][1].why == "the claim is about mnist"
    assert found[2][1].why == "needs more"


def test_the_page_of_a_comparison_tells_claims_and_numbers(tmp_path: Path) -> None:
    claims = (Claim("H4", lambda results: Finding("differs", "a | b", "because")),)
    page = compare(study(printed=0.9, claims=claims), GRID, results(tmp_path, [0.5])).to_markdown()
    assert "**differs** | a \\| b | because" in page
    assert "-0.400" in page
    assert claim_text("H4")[1] in page


def test_a_trend_is_judged_over_repetitions() -> None:
    x = [1, 2, 3, 4] * 3
    seeds = np.repeat([0, 1, 2], 4)
    assert trend(x, [4, 3, 2, 1] * 3, seeds).falls
    assert trend(x, [1, 2, 3, 4] * 3, seeds).rises
    mixed = trend(x, [4, 3, 2, 1] * 2 + [1, 2, 3, 4], seeds)
    assert not mixed.falls
    assert not mixed.rises
    assert trend(x, [1] * 12, seeds).mean == 0


def test_a_trend_of_two_places_is_none() -> None:
    with pytest.raises(NotRun, match="three"):
        trend([1, 2], [1, 2], [0, 0])


def test_printed_tables_are_there_and_claims_have_names() -> None:
    assert len(printed_table("he2021_fig2")) == 235
    assert claim_text("J15")[0] == "abstract"
    with pytest.raises(ValueError, match="no claim 'H99'"):
        claim_text("H99")
