"""Breakpoints: which values split a site's axis, by default and as the caller wants them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any, TypeAlias

from actscope.codes.site import Site

__all__ = ["Breakpoints", "checked_breakpoints", "resolve_breakpoints"]

Breakpoints: TypeAlias = float | Sequence[float] | Mapping[str, float | Sequence[float]] | None
"""One split for every site, or splits by site name, glob pattern or kind; `None` keeps the defaults."""

MOST = 254
"""More breakpoints than this would not leave an interval's number in a byte."""


def checked_breakpoints(points: Any, source: str) -> tuple[float, ...]:
    """`points` as a tuple, if they are finite, ascending and few enough.

    Raises:
        ValueError: otherwise; the message begins with `source`.

    Example:
        >>> checked_breakpoints([-1, 1], "breakpoints")
        (-1.0, 1.0)
    """
    values: Iterable[Any] = (points,) if isinstance(points, Real) else points
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{source}={points!r}: breakpoints are numbers, such as (-0.5, 0.0, 0.5)") from None
    if not numbers or len(numbers) > MOST:
        raise ValueError(f"{source} has {len(numbers)} breakpoints; a site takes 1 to {MOST}")
    if not all(map(math.isfinite, numbers)) or any(a >= b for a, b in itertools.pairwise(numbers)):
        raise ValueError(f"{source}={numbers}: breakpoints must be finite and strictly ascending")
    return numbers


def resolve_breakpoints(sites: Sequence[Site], breakpoints: Breakpoints) -> list[tuple[float, ...]]:
    """Each site's breakpoints: by its name, else by the first pattern that matches it, else by its kind, else its default.

    Raises:
        ValueError: if a key of `breakpoints` fits no site, or values are not finite and ascending.

    Example:
        >>> site = Site("layer1.act", "tanh", (4,), (-0.5, 0.0, 0.5))
        >>> resolve_breakpoints([site], {"tanh": 0.0, "layer2.*": 1.0})
        Traceback (most recent call last):
        ...
        ValueError: breakpoints['layer2.*'] fits no site by name, pattern or kind; there are: layer1.act (tanh)
        >>> resolve_breakpoints([site], {"tanh": 0.0})
        [(0.0,)]
    """
    if breakpoints is None:
        return [site.breakpoints for site in sites]
    if not isinstance(breakpoints, Mapping):
        points = checked_breakpoints(breakpoints, "breakpoints")
        return [points] * len(sites)
    checked = {key: checked_breakpoints(points, f"breakpoints[{key!r}]") for key, points in breakpoints.items()}
    for key in checked:
        if not any(key == site.kind or key == site.name or fnmatchcase(site.name, key) for site in sites):
            there = ", ".join(f"{site.name} ({site.kind})" for site in sites)
            raise ValueError(f"breakpoints[{key!r}] fits no site by name, pattern or kind; there are: {there}")
    resolved = []
    for site in sites:
        keys = [site.name, *(key for key in checked if fnmatchcase(site.name, key)), site.kind]
        resolved.append(next((checked[key] for key in keys if key in checked), site.breakpoints))
    return resolved
