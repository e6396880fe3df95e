"""Ours beside the paper's: every printed number with the difference and its spread, every claim with a verdict."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actscope.studies.claims import Claim, Finding, Verdict
from actscope.studies.printed import PrintedValue
from actscope.studies.results import Results
from actscope.studies.study import Grid, Study

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True)
class Difference:
    """One printed number and ours.

    Attributes:
        printed: the number, and what it is.
        ours: mean over repetitions; None if it was not measured.
        sd: their standard deviation; None for fewer than two.
        n: how many there were.
        at: where ours was measured, if that is not where the paper's was.
    """

    printed: PrintedValue
    ours: float | None
    sd: float | None
    n: int
    at: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the printed number."""
        return None if self.ours is None else self.ours - self.printed.value

    @property
    def verdict(self) -> Verdict:
        """`agrees` within the printed number's tolerance or two standard deviations."""
        if self.difference is None:
            return "not run at this scale"
        return "agrees" if abs(self.difference) <= max(self.printed.tolerance, 2 * (self.sd or 0.0)) else "differs"


@dataclass(frozen=True, repr=False)
class Comparison:
    """A study's results beside what its paper says.

    Attributes:
        study: the study.
        grid: what was run.
        n_cells: cells measured.
        n_missing: cells of the grid that were not.
        differences: of each printed number.
        findings: each claim and what was found.
    """

    study: Study
    grid: Grid
    n_cells: int
    n_missing: int
    differences: tuple[Difference, ...]
    findings: tuple[tuple[Claim, Finding], ...]

    def __repr__(self) -> str:
        verdicts = [finding.verdict for _, finding in self.findings]
        return f"Comparison({self.study.name}, {self.grid.name}: {len(self.differences)} numbers, claims {', '.join(verdicts) or 'none'})"

    def to_dict(self) -> dict[str, Any]:
        """All numbers and verdicts as plain values."""
        return {
            "study": self.study.name,
            "grid": vars(self.grid),
            "n_cells": self.n_cells,
            "n_missing": self.n_missing,
            "differences": [
                asdict(one) | {"difference": one.difference, "verdict": one.verdict} for one in self.differences
            ],
            "claims": [{"id": claim.id, **asdict(finding)} for claim, finding in self.findings],
        }

    def to_markdown(self, *, level: int = 2) -> str:
        """A section for a page: claims first, then numbers by kind."""
        lines = [f"{'#' * level} {self.study.title}", ""]
        of = f" of {self.n_cells + self.n_missing:,}" if self.n_missing else ""
        command = f"actscope study run {self.study.name} --dataset {self.grid.dataset} --scale {self.grid.scale}"
        lines += [
            f"{self.study.source}. `{command}{f' --recipe {self.grid.recipe}' if self.grid.recipe else ''}`, {self.n_cells:,}{of} cells.",
            "",
        ]
        if self.study.notes:
            lines += [self.study.notes, ""]
        if self.findings:
            lines += ["| | where | claim | verdict | ours | |", "| --- | --- | --- | --- | --- | --- |"]
            for claim, finding in self.findings:
                cells = (claim.id, claim.where, claim.text, f"**{finding.verdict}**", finding.ours, finding.why)
                lines.append(f"| {' | '.join(_escaped(cell) for cell in cells)} |")
            lines.append("")
        if self.differences:
            lines += [
                "| printed | numbers | agree | mean difference | largest | not run |",
                "| --- | --- | --- | --- | --- | --- |",
                *(f"| {' | '.join(row)} |" for row in self.summary()),
                "",
                f"A number agrees within {self._tolerances()} or two standard deviations over repetitions; plots were read to about 0.01.",
                "",
            ]
        return "\n".join(lines)

    def _tolerances(self) -> str:
        """How close numbers must be, by kind where that differs."""
        by: dict[float, list[str]] = {}
        for one in self.differences:
            kinds = by.setdefault(one.printed.tolerance, [])
            if _kind(one) not in kinds:
                kinds.append(_kind(one))
        if len(by) == 1:
            return f"{next(iter(by))}"
        return ", ".join(f"{tolerance} ({', '.join(kinds)})" for tolerance, kinds in by.items())

    def summary(self) -> list[tuple[str, ...]]:
        """For every kind of printed number: how many, how many agree, the mean difference, the largest and where, how many were not run."""
        rows: list[tuple[str, ...]] = []
        for kind in dict.fromkeys(_kind(one) for one in self.differences):
            of = [one for one in self.differences if _kind(one) == kind]
            run = [one for one in of if one.difference is not None]
            values = np.array([one.difference for one in run], float)
            agree = sum(one.verdict == "agrees" for one in run)
            worst = run[int(np.abs(values).argmax())] if run else None
            rows.append(
                (
                    kind,
                    str(len(of)),
                    f"{agree} of {len(run)}",
                    f"{values.mean():+.3f} ± {values.std():.3f}" if run else "",
                    f"{worst.difference:+.3f} ({_place(worst)})" if worst is not None else "",
                    str(len(of) - len(run)),
                )
            )
        return rows


def compare(study: Study, grid: Grid, results: Results) -> Comparison:
    """The study's results on a grid beside every number and claim of its paper."""
    n_measured, n_cells = len(results), len(study.cells(grid))
    measured = n_measured > 0
    printed = study.printed(grid.dataset) if study.printed else ()
    return Comparison(
        study=study,
        grid=grid,
        n_cells=n_measured,
        n_missing=n_cells - n_measured,
        differences=tuple(_difference(one, results, measured) for one in printed),
        findings=tuple(
            (claim, _finding(claim, results, n_measured, n_cells) if measured else Finding("not run at this scale", ""))
            for claim in study.claims
        ),
    )


def _finding(claim: Claim, results: Results, n_measured: int, n_cells: int) -> Finding:
    """What is found of a claim; where cells are missing, a check may miss what it compares."""
    if n_measured >= n_cells:
        return claim.finding(results)
    only = f"only {n_measured:,} of {n_cells:,} cells are measured"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = claim.finding(results)
    except (ArithmeticError, LookupError, TypeError, ValueError, Warning):
        return Finding("not run at this scale", "", only)
    return dataclasses.replace(found, why=f"{found.why}; {only}" if found.why else only)


def _difference(printed: PrintedValue, results: Results, measured: bool) -> Difference:
    if not measured or any(name not in results.columns for name in printed.at):
        return Difference(printed, None, None, 0)
    condition = " and ".join(["metric = ?", *(f'"{name}" = ?' for name in printed.at)])
    parameters: Sequence[object] = [printed.metric, *printed.at.values()]
    note = ""
    if "epoch" in results.columns and "epoch" not in printed.at:
        last = f"(select max(epoch) from results where {condition})"
        condition, parameters = f"{condition} and epoch = {last}", [*parameters, *parameters]
    mean, sd, n, epoch = results.query(
        f"select avg(value), stddev_samp(value), count(*), {'max(epoch)' if 'epoch' in results.columns else 'null'} "
        f"from results where {condition}",
        parameters,
    )[0]
    if not n:
        return Difference(printed, None, None, 0)
    if epoch is not None and "epoch" not in printed.at:
        note = f"epoch {epoch}"
    return Difference(printed, mean, sd, n, note)


def _kind(one: Difference) -> str:
    return f"{one.printed.figure}: {one.printed.label.split(', width')[0]}"


def _place(one: Difference) -> str:
    return ", ".join(f"{name} {value}" for name, value in one.printed.at.items() if name != "split")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
