"""A report as plain text for a terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from actscope.figures.labels import counted, percent, shortened
from actscope.report.unavailable import Unavailable

if TYPE_CHECKING:
    from actscope.report.examination import Report

__all__ = ["summary"]

_WIDTH = 96
_MOST_SITES = 12
_MOST_WORST = 4


def summary(report: Report) -> str:
    """The verdict and the main numbers in lines of at most 100 characters."""
    blocks = [_head(report), _verdict(report), _numbers(report), _sites(report), _neurons(report)]
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block)


def _head(report: Report) -> list[str]:
    codes = report.train.codes
    title = textwrap.shorten(report.title, _WIDTH, placeholder="…")
    facts = [report.model] if report.model else []
    facts.append(counted(len(codes), "training example"))
    if report.test is not None:
        facts[-1] += f" and {counted(len(report.test.codes), 'test example')}"
    sizes = ((len(codes.sites), "site"), (codes.n_neurons, "neuron"), (codes.n_bits, "bit"))
    facts.append(", ".join(counted(number, noun) for number, noun in sizes))
    return [title, "=" * len(title), *_wrapped("; ".join(facts), "")]


def _verdict(report: Report) -> list[str]:
    marks = {"good": "good", "fair": "fair", "poor": "POOR", "open": "  ? "}
    lines = []
    for judgement in report.verdict:
        lines += _wrapped(f"{judgement.question} {judgement.answer}.", f"[{marks[judgement.mark]}] ", then="       ")
        lines += _wrapped(judgement.detail, "       ")
    return lines


def _numbers(report: Report) -> list[str]:
    splits = [report.train] if report.test is None else [report.train, report.test]
    rows: list[tuple[str, list[str]]] = [
        ("activation regions", [f"{split.determinism.n_regions:,}" for split in splits]),
        ("redundancy ratio", [percent(split.determinism.redundancy_ratio) for split in splits]),
        ("share a region with another", [percent(split.determinism.shared_ratio) for split in splits]),
    ]
    if report.train.codes.labels is not None:
        rows.append(("accuracy of the model itself", [_accuracy(split.own_accuracy) for split in splits]))
        for method in report.categorization:
            values = [method.train] if report.test is None else [method.train, method.test]
            rows.append((f"  {method.name}, on codes", [_accuracy(value) for value in values]))
    rows.append(("dead neurons", [percent(split.dead_share) for split in splits]))
    left = max(len(name) for name, _ in rows) + 2
    lines = [" " * left + "".join(f"{split.name:>12}" for split in splits)]
    lines += [f"{name:<{left}}" + "".join(f"{value:>12}" for value in values) for name, values in rows]
    for method in report.categorization:
        for note in method.notes:
            lines += _wrapped(f"{method.name}: {note}", "  * ", then="    ")
    return lines


def _sites(report: Report) -> list[str]:
    header = f"{'site':<30}{'kind':<14}{'neurons':>9}{'dead':>10}{'always on':>11}{'constant':>10}{'redundancy':>12}"
    lines = [header, "-" * len(header)]
    for live in report.train.liveness[:_MOST_SITES]:
        site = live.site
        dead = percent(live.dead_share) if site.dead_intervals else "–"
        always_on = percent(live.always_on_share) if site.linear_intervals else "–"
        lines.append(
            f"{shortened(site.name, length=28):<30}{shortened(site.kind, length=12):<14}{site.n_neurons:>9,}{dead:>10}"
            f"{always_on:>11}{percent(live.constant_share):>10}{percent(report.train.redundancy_by_site[site.name]):>12}"
        )
    more = len(report.train.liveness) - _MOST_SITES
    if more > 0:
        lines.append(f"… and {more:,} more")
    return lines


def _neurons(report: Report) -> list[str]:
    if isinstance(report.vitals, Unavailable):
        return []
    counts = {name: count for name, count in report.vitals.counts().items() if count}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    lines = _wrapped(f"{counted(report.vitals.n_units, 'unit')}: {said} (a unit may bear several verdicts)", "")
    for finding in report.vitals.worst(_MOST_WORST):
        lines += _wrapped(str(finding), "  ", then="    ")
    return lines


def _accuracy(value: float | Unavailable | None) -> str:
    return percent(value) if isinstance(value, float) else "–"


def _wrapped(text: str, first: str, *, then: str | None = None) -> list[str]:
    whole = text.replace(" %", "\u00a0%")  # a percent sign stays on the line of its number
    lines = textwrap.wrap(whole, _WIDTH, initial_indent=first, subsequent_indent=first if then is None else then)
    return [line.replace("\u00a0", " ") for line in lines]
