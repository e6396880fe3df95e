"""Means over networks: what was counted in several planes of one network is averaged first."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from actscope.studies.results import Results

__all__ = ["differs_from_one", "over_networks", "ratios", "standard_error"]

_STANDARD_ERRORS = 3.0
"""How far a mean must be from one to be called another number."""


def over_networks(
    results: Results, x: str, metric: str, *, where: str = "true", parameters: Iterable[object] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and number of networks for every value of a column: the deviation is between networks, not planes.

    Args:
        results: where to look.
        x: the column.
        metric: what was measured.
        where: a further condition in SQL.
        parameters: for the `?` in it.

    Returns:
        (n,) arrays: values of the column, means, standard deviations (0 for a single network), and how many networks there were.
    """
    found = results.arrays(
        f'with networks as (select "{x}" as x, avg(value) as value from results where metric = ? and "{x}" is not null and ({where}) '
        'group by "x", cell) select x, avg(value) as mean, coalesce(stddev_samp(value), 0) as sd, count(*) as n from networks '
        "group by x order by x",
        [metric, *parameters],
    )
    return found["x"], found["mean"], found["sd"], found["n"]


def ratios(
    results: Results, x: str, base: float, metric: str, *, where: str = "true", parameters: Iterable[object] = ()
) -> dict[float, np.ndarray]:
    """A metric over its value where the column `x` is `base`, for every seed by itself, at every other value of the column.

    Networks of one seed share their first weights and planes, so that a ratio tells what a mean hides in the spread between seeds.

    Args:
        results: where to look.
        x: the column.
        base: its value that the others are compared to.
        metric: what was measured.
        where: a further condition in SQL.
        parameters: for the `?` in it.

    Returns:
        (n_seeds,) ratios by value of the column, in its order.
    """
    given = list(parameters)
    found = results.arrays(
        f'with networks as (select "{x}" as x, seed, avg(value) as value from results where metric = ? and ({where}) group by all) '
        f"select a.x as x, a.value / b.value as ratio from networks a join networks b using (seed) where b.x = ? and a.x != ? "
        "order by a.x, seed",
        [metric, *given, base, base],
    )
    return {float(value): found["ratio"][found["x"] == value] for value in np.unique(found["x"])}


def differs_from_one(values: np.ndarray) -> bool:
    """Whether the mean of independent ratios is more than three standard errors from one.

    Args:
        values: (n,) at least two.

    Example:
        >>> differs_from_one(np.array([1.1, 0.9, 1.05])), differs_from_one(np.array([1.2, 1.3, 1.25]))
        (False, True)
    """
    return bool(abs(values.mean() - 1) > _STANDARD_ERRORS * standard_error(values))


def standard_error(values: np.ndarray) -> float:
    """Of the mean of (n,) independent values."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
