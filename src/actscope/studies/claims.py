"""What is made of a paper's claim: a verdict, our numbers, and the reason where they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from actscope.studies.printed import claim_text
from actscope.studies.results import Results

__all__ = ["Claim", "Finding", "NotRun", "Trend", "Verdict", "trend", "verdict"]

Verdict = Literal["agrees", "differs", "not run at this scale", "no printed value"]


@dataclass(frozen=True)
class Finding:
    """What the results say about a claim.

    Attributes:
        verdict: `agrees`, `differs`, `not run at this scale` or `no printed value`.
        ours: our numbers, in words.
        why: the reason where they differ, or what limits the verdict; may be empty.
    """

    verdict: Verdict
    ours: str
    why: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of a paper in words, and what decides whether our results agree with it.

    Attributes:
        id: its row in the table of claims, such as `H4`.
        check: gives the finding; it may raise `NotRun` where the results do not reach far enough.
        datasets: data sets that the claim is about; empty for any.
    """

    id: str
    check: Callable[[Results], Finding]
    datasets: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Figure, table or section of the paper."""
        return claim_text(self.id)[0]

    @property
    def text(self) -> str:
        """What is claimed."""
        return claim_text(self.id)[1]

    def finding(self, results: Results) -> Finding:
        """What the results say; `not run at this scale` where they do not reach far enough."""
        if self.datasets and results.dataset not in self.datasets:
            return Finding("not run at this scale", "", f"the claim is about {' and '.join(self.datasets)}")
        try:
            return self.check(results)
        except NotRun as reason:
            return Finding("not run at this scale", "", str(reason))


class NotRun(Exception):  # noqa: N818  # no error: a verdict
    """The results do not hold what a check needs."""


def verdict(holds: bool) -> Verdict:
    """`agrees` or `differs`.

    Example:
        >>> verdict(True)
        'agrees'
    """
    return "agrees" if holds else "differs"


@dataclass(frozen=True)
class Trend:
    """Whether values rise or fall along an axis, judged over repetitions.

    Attributes:
        correlations: (n_repetitions,) Spearman's rank correlation of each repetition by itself.
    """

    correlations: np.ndarray

    @property
    def mean(self) -> float:
        """Mean of the correlations."""
        return float(self.correlations.mean())

    @property
    def rises(self) -> bool:
        """Whether the mean is above 0.5 and no repetition falls."""
        return self.mean > 0.5 and bool((self.correlations > 0).all())

    @property
    def falls(self) -> bool:
        """Whether the mean is below -0.5 and no repetition rises."""
        return self.mean < -0.5 and bool((self.correlations < 0).all())

    def __str__(self) -> str:
        spread = (
            f" ({self.correlations.min():+.2f} to {self.correlations.max():+.2f})" if len(self.correlations) > 1 else ""
        )
        return f"{self.mean:+.2f}{spread}"


def trend(x: ArrayLike, y: ArrayLike, repetition: ArrayLike) -> Trend:
    """Rank correlations of y with x, one for each repetition (such as a seed) with at least three values of x.

    Raises:
        NotRun: there are not so many.

    Example:
        >>> trend([1, 2, 3], [0.9, 0.5, 0.1], [0, 0, 0]).falls
        True
    """
    from scipy.stats import spearmanr

    x, y, repetition = np.asarray(x, float), np.asarray(y, float), np.asarray(repetition)
    found = []
    for one in np.unique(repetition):
        rows = repetition == one
        if len(np.unique(x[rows])) >= 3:
            # a constant has no rank: it neither rises nor falls
            found.append(0.0 if np.ptp(y[rows]) == 0 else float(spearmanr(x[rows], y[rows]).statistic))
    if not found:
        raise NotRun("a trend needs at least three values along its axis")
    return Trend(np.array(found))
