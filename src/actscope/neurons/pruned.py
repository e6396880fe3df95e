"""What pruning did: the new model, what was taken out, what stays and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from actscope.figures.labels import counted, percent

__all__ = ["Pruned", "PrunedSite", "Refusal"]


@dataclass(frozen=True)
class PrunedSite:
    """What was taken out at one site.

    Attributes:
        site: its name.
        n_units, n_left: units (rows of the layer, channels of a convolution) before and after.
        dead: units that were constant on the examples seen, and are so for every input by their weights.
        dead_on_examples: units that were constant on the examples seen; on other inputs they may not be.
        merged: by unit taken out, the unit that now stands for it, on every input.
    """

    site: str
    n_units: int
    n_left: int
    dead: tuple[int, ...]
    dead_on_examples: tuple[int, ...]
    merged: dict[int, int]

    def __str__(self) -> str:
        parts = [
            f"{len(self.dead)} dead on every input" if self.dead else "",
            f"{len(self.dead_on_examples)} dead on the examples seen" if self.dead_on_examples else "",
            f"{len(self.merged)} merged with a copy" if self.merged else "",
        ]
        return f"{self.site}: {self.n_units} → {self.n_left} units ({', '.join(part for part in parts if part)})"


@dataclass(frozen=True)
class Refusal:
    """Units that stay although they are dead or redundant, and why."""

    site: str
    units: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.units[:8])) + (", …" if len(self.units) > 8 else "")
        stay = "stays" if len(self.units) == 1 else "stay"
        return f"{self.site}: {counted(len(self.units), 'unit')} {stay} ({shown}): {self.reason}"


@dataclass(frozen=True, eq=False, repr=False)
class Pruned:
    """A pruned copy of a model, and what was done.

    Attributes:
        model: the new model; the given one is as it was.
        n_parameters_before, n_parameters_after: how many parameters the two have.
        sites: what was taken out, by site.
        refused: what stays, with the reason.
        max_difference: the largest difference of any output of the two models on the examples they were compared on.
        largest_output: the largest output there, for scale.
        n_compared: how many examples these were.
    """

    model: nn.Module
    n_parameters_before: int
    n_parameters_after: int
    sites: tuple[PrunedSite, ...]
    refused: tuple[Refusal, ...]
    max_difference: float
    largest_output: float
    n_compared: int

    @property
    def holds_everywhere(self) -> bool:
        """Whether the two models agree on every input, up to rounding, and not only on examples like those seen."""
        return not any(site.dead_on_examples for site in self.sites)

    def __repr__(self) -> str:
        saved = 1 - self.n_parameters_after / max(self.n_parameters_before, 1)
        return (
            f"Pruned({self.n_parameters_before:,} → {self.n_parameters_after:,} parameters, {percent(saved)} fewer; "
            f"{counted(len(self.sites), 'site')} pruned, {counted(len(self.refused), 'refusal')}; outputs differ by at most "
            f"{self.max_difference:.2g} on {counted(self.n_compared, 'example')})"
        )

    def __str__(self) -> str:
        lines = [repr(self), *(f"  {site}" for site in self.sites), *(f"  {refusal}" for refusal in self.refused)]
        if self.sites:
            lines.append(
                "  The outputs are the same for every input."
                if self.holds_everywhere
                else "  The outputs are the same where the units that were dead on the examples seen are dead."
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report without the model, as plain values."""
        return {
            "n_parameters_before": self.n_parameters_before,
            "n_parameters_after": self.n_parameters_after,
            "sites": [
                {
                    "site": site.site,
                    "n_units": site.n_units,
                    "n_left": site.n_left,
                    "dead": list(site.dead),
                    "dead_on_examples": list(site.dead_on_examples),
                    "merged": {str(unit): other for unit, other in site.merged.items()},
                }
                for site in self.sites
            ],
            "refused": [{"site": r.site, "units": list(r.units), "reason": r.reason} for r in self.refused],
            "holds_everywhere": self.holds_everywhere,
            "max_difference": self.max_difference,
            "largest_output": self.largest_output,
            "n_compared": self.n_compared,
        }
