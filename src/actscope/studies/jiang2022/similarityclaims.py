"""What the results say of J1, J6, J7 and J15: which variant does what the paper says, and whether one does it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from actscope.studies.claims import Finding, NotRun, verdict
from actscope.studies.jiang2022.variants import Part, Variant, variants_of
from actscope.studies.results import Results

__all__ = ["j1", "j6", "j7", "j15"]


def _finding(claim: str) -> Callable[[Results], Finding]:
    def check(results: Results) -> Finding:
        every = variants_of(results)
        if not every:
            raise NotRun("no variant was measured with all four activations")
        of = {variant: [part for part in parts if part.claim == claim] for variant, parts in every.items()}
        ranked = sorted(of, key=lambda variant: -sum(part.holds for part in of[variant]))
        best = ranked[0]
        n = len(of[best])
        said = [f"{best}: {_told(of[best])}"]
        rest = ", ".join(f"{variant} {sum(part.holds for part in of[variant])}" for variant in ranked[1:])
        if rest:
            said.append(f"Parts that hold, of {n}: {rest}")
        whole = sum(all(part.holds for part in parts) for parts in of.values())
        return Finding(verdict(whole > 0), ". ".join(said), _together(every))

    return check


def _told(parts: list[Part]) -> str:
    return "; ".join(f"{part.words}: {part.ours} ({'yes' if part.holds else 'no'})" for part in parts)


def _together(every: Mapping[Variant, tuple[Part, ...]]) -> str:
    """Which variant does most of all four claims."""
    counts = {variant: sum(part.holds for part in parts) for variant, parts in every.items()}
    best = max(counts, key=lambda variant: counts[variant])
    n = len(every[best])
    if counts[best] == n:
        return f"{best}: all {n} parts of J1, J6, J7 and J15 hold"
    return f"no variant does all that J1, J6, J7 and J15 say: most, {counts[best]} of {n} parts, hold with {best}{_decay(every[best])}"


def _decay(parts: Sequence[Part]) -> str:
    """What weight decay has to do with it, where the late rise is or is not there."""
    rises = [part.holds for part in parts if part.claim == "J7" and "end at 0.9" in part.words]
    if not any(rises):
        return (
            "; the late rise of sigmoid and tanh takes momentum and weight decay, which the paper does not name: "
            "`--recipe jiang2022.decay`"
        )
    return (
        "; weight decay makes linear layers' outputs, and what normalization scales them to, small: breakpoints beside 0 then tell little "
        "apart, while 0 itself knows no scale. So sigmoid and tanh rise late, and ReLU and GELU do not"
    )


j1, j6, j7, j15 = (_finding(claim) for claim in ("J1", "J6", "J7", "J15"))
