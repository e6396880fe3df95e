"""Means over networks: what was counted in several planes of one network is averaged first."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from actscope.studies.results import Results

__all__ = ["over_networks", "ratios"]


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
