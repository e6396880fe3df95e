"""Rows of the page's tables of neurons: verdicts and similarity by site, the worst units, and what to do about them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from actscope.figures.labels import counted, percent
from actscope.neurons import SimilarityMeans
from actscope.neurons.verdicts import VERDICTS
from actscope.report.unavailable import Unavailable

if TYPE_CHECKING:
    from actscope.report.examination import Report

__all__ = ["advice_rows", "neuron_rows", "worst_rows"]

_WORST = 12
_UNKNOWN = "–"


def neuron_rows(report: Report) -> list[dict[str, Any]]:
    """A row for each site, and one for all of them where there are several."""
    rows = [_row(report, name) for name in [site.name for site in report.train.codes.sites]]
    if len(rows) > 1:
        rows.append(_row(report, None))
    return rows


def worst_rows(report: Report) -> list[dict[str, Any]]:
    """The worst units, the gravest verdicts first."""
    if isinstance(report.vitals, Unavailable):
        return []
    nouns = {live.site.name: live.unit_noun for live in report.vitals.sites}
    return [
        {
            "site": finding.site,
            "unit": f"{nouns[finding.site]} {finding.unit}",
            "verdicts": ", ".join(finding.verdicts),
            "evidence": finding.evidence,
        }
        for finding in report.vitals.worst(_WORST)
    ]


def advice_rows(report: Report) -> list[dict[str, str]]:
    """Every verdict that occurs, with its rule and what to do."""
    if isinstance(report.vitals, Unavailable):
        return []
    counts = report.vitals.counts()
    return [
        {"verdict": criterion.verdict, "rule": criterion.rule, "advice": criterion.advice}
        for criterion in report.vitals.criteria
        if counts[criterion.verdict] and criterion.verdict != "alive"
    ]


def _row(report: Report, site: str | None) -> dict[str, Any]:
    vitals, similarity = report.vitals, report.similarity
    verdicts: list[str] = []
    units = ""
    if not isinstance(vitals, Unavailable) and site is not None:
        live = vitals[site]
        units = counted(live.n_units, live.unit_noun)
        verdicts = [percent(live.share(name)) if live.can_be(name) else _UNKNOWN for name in VERDICTS]
    elif not isinstance(vitals, Unavailable):
        units = counted(vitals.n_units, "unit")
        verdicts = [
            percent(count / vitals.n_units) if any(live.can_be(name) for live in vitals.sites) else _UNKNOWN
            for name, count in vitals.counts().items()
        ]
    means = None
    if isinstance(similarity, SimilarityMeans):
        means = similarity if site is None or not similarity.by_site else similarity.by_site[site]
    return {
        "name": "All sites" if site is None else site,
        "is_all": site is None,
        "units": units,
        "verdicts": verdicts,
        "similarity": [] if means is None else [_share(value) for value in _means(means)],
    }


def _means(means: SimilarityMeans) -> list[float | None]:
    return [means.combined] if means.class_sizes is None else [means.within_class, means.between_classes]


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None or math.isnan(value) else percent(value)
