"""The worst neurons in words: which verdict, on what evidence, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actscope.figures.labels import counted, percent
from actscope.neurons.verdicts import VERDICTS, Criterion
from actscope.neurons.vitalsigns import SiteVitals

__all__ = ["Finding", "worst_units"]


@dataclass(frozen=True)
class Finding:
    """One unit with its gravest verdict, what was seen of it, and what to do.

    Attributes:
        site: the site's name.
        unit: the neuron's or channel's index in its site.
        verdict: the gravest that it bears.
        verdicts: all that it bears.
        evidence: the numbers behind the gravest, in words.
        advice: what to do about it.
    """

    site: str
    unit: int
    verdict: str
    verdicts: tuple[str, ...]
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.site}[{self.unit}] {self.verdict}: {self.evidence}"

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {**asdict(self), "verdicts": list(self.verdicts)}


def worst_units(sites: Sequence[SiteVitals], criteria: Sequence[Criterion], n: int) -> tuple[Finding, ...]:
    """At most `n` units that are not alive, the gravest verdicts first; every verdict that occurs gets its turns.

    Within a verdict the strongest evidence comes first, in the order of the sites where it is equal.
    """
    advice = {criterion.verdict: criterion.advice for criterion in criteria}
    queues = {name: _ranked(sites, name) for name in VERDICTS if name != "alive"}
    turns = [(place, name) for name, queue in queues.items() for place in range(min(len(queue), n))]
    chosen = sorted(turns, key=lambda turn: (turn[0], VERDICTS.index(turn[1])))[:n]
    findings = []
    for place, name in sorted(chosen, key=lambda turn: (VERDICTS.index(turn[1]), turn[0])):
        live, unit = queues[name][place]
        findings.append(Finding(live.site.name, unit, name, live.of(unit), _evidence(live, unit, name), advice[name]))
    return tuple(findings)


def _ranked(sites: Sequence[SiteVitals], verdict: str) -> list[tuple[SiteVitals, int]]:
    """The units whose gravest verdict this is."""
    ranked = []
    for place, live in enumerate(sites):
        graver = [live.verdicts[name] for name in VERDICTS[: VERDICTS.index(verdict)]]
        mask = live.verdicts[verdict] & ~np.logical_or.reduce([np.zeros(live.n_units, dtype=bool), *graver])
        for unit in np.flatnonzero(mask).tolist():
            ranked.append((_mildness(live, unit, verdict), place, unit))
    return [(sites[place], unit) for _, place, unit in sorted(ranked)]


def _mildness(live: SiteVitals, unit: int, verdict: str) -> float:
    if verdict == "dying":
        return _at(live.cancellation, unit)
    if verdict == "saturated":
        return -_at(live.flat, unit)
    return 0.0


def _evidence(live: SiteVitals, unit: int, verdict: str) -> str:
    seen = "the one example" if live.n_examples == 1 else f"all {counted(live.n_examples, 'example')}"
    if verdict == "dead":
        positions = live.site.n_neurons // live.n_units
        low, high = live.output_low[unit * positions : (unit + 1) * positions], live.output_high
        one_value = low.min() == low.max() == high[unit * positions : (unit + 1) * positions].max()
        return f"gives {low[0]:.4g} for {seen}" if one_value else f"gives the same at each position for {seen}"
    if verdict == "dying":
        same = live.same_interval[unit]
        held = f"every class has {percent(same)} or more" if same < 1 else seen
        return (
            f"{held} in one interval; mean |g| {_at(live.gradient, unit):.2g}, of which {percent(_at(live.cancellation, unit))} "
            "is left after cancelling"
        )
    if verdict == "saturated":
        return f"on a flat end for {percent(_at(live.flat, unit))} of {counted(live.n_examples, 'example')}"
    if verdict == "redundant":
        how = "the mirror image of" if live.mirrored[unit] else "the same pattern as"
        return f"{how} {live.unit_noun} {live.twin[unit]} for {seen}"
    share = live.shares[unit].max()
    if verdict == "constant pattern":
        where = (
            f"interval {_interval_name(live, int(live.shares[unit].argmax()))}" if share == 1 else "one interval each"
        )
        return f"in {where} for {seen}"
    return f"passes its input on unchanged for {seen}"


def _interval_name(live: SiteVitals, interval: int) -> str:
    edges = ("-∞", *(f"{point:g}" for point in live.site.breakpoints), "∞")
    return f"({edges[interval]}, {edges[interval + 1]}{')' if interval == live.site.n_planes else ']'}"


def _at(values: NDArray[np.float64] | None, unit: int) -> float:
    return float("nan") if values is None else float(values[unit])
