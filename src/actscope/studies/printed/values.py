"""What the papers print: values of plots and tables, and claims in words."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

__all__ = ["PrintedValue", "claim_rows", "claim_text", "printed_table"]


@dataclass(frozen=True)
class PrintedValue:
    """A number of a paper, and where in the results of a study ours is.

    Values read off plots carry an error of about 0.01, on logarithmic axes 0.02; those of tables are as printed.

    Attributes:
        figure: where it is printed, such as `Figure 2(a)`.
        label: what it is, in words.
        value: the number.
        metric: its name in the results.
        at: other columns of the results and what they must be.
        tolerance: how close ours must be to agree.
    """

    figure: str
    label: str
    value: float
    metric: str
    at: Mapping[str, str | int | float] = field(default_factory=dict)
    tolerance: float = 0.03


@cache
def printed_table(name: str) -> tuple[Mapping[str, str], ...]:
    """The rows of a table of printed values, such as `he2021_fig2`, as text; a blank value was hidden behind another curve.

    Example:
        >>> printed_table("he2021_table1")[0]["architecture"]
        'VGG-18'
    """
    text = (files("actscope.studies.printed") / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def claim_rows() -> tuple[Mapping[str, str], ...]:
    """Every claim: `id`, `paper`, `where`, `claim` and `how to check it`."""
    return printed_table("claims")


def claim_text(name: str) -> tuple[str, str]:
    """Where a claim is made, and the claim.

    Raises:
        ValueError: there is none of that name.

    Example:
        >>> claim_text("H4")[0]
        'Fig. 2a'
    """
    for row in claim_rows():
        if row["id"] == name:
            return row["where"], row["claim"]
    raise ValueError(f"there is no claim '{name}'")
