"""Which sites a caller means: names, glob patterns, or a predicate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from actscope.codes.site import Site

__all__ = ["Layers", "choose"]

Layers: TypeAlias = str | Iterable[str] | Callable[[Site], bool] | None
"""Names or glob patterns (one that starts with `!` leaves out what it matches), a predicate on `Site`, or `None` for all."""


def choose(sites: Sequence[Site], layers: Layers) -> list[int]:
    """Positions of the sites that `layers` means, ascending, so that codes keep the order in which a model runs.

    Args:
        sites: what there is to choose from.
        layers: site names or glob patterns; a pattern with a leading `!` leaves out what it matches, and if there are only such
            patterns they apply to all sites; or a predicate on `Site`; or `None` for every site.

    Raises:
        ValueError: if a name or pattern matches no site, or nothing is left.

    Example:
        >>> names = [("conv1.relu", "relu"), ("conv2.relu", "relu"), ("head:clamp", "clamp")]
        >>> sites = [Site(name, kind, (8,), (0.0,)) for name, kind in names]
        >>> choose(sites, ["conv*"]), choose(sites, "!head:*"), choose(sites, lambda site: site.kind == "clamp")
        ([0, 1], [0, 1], [2])
    """
    if layers is None:
        return list(range(len(sites)))
    if callable(layers):
        chosen = [i for i, site in enumerate(sites) if layers(site)]
        if not chosen:
            raise ValueError(
                f"layers={_call_name(layers)} chose none of this model's activation sites: {_listing(sites)}"
            )
        return chosen
    patterns = [layers] if isinstance(layers, str) else list(layers)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(
                f"layers= takes site names, glob patterns or one predicate; got {pattern!r} of type {type(pattern).__name__}"
            )
        if not any(_matches(site.name, pattern.removeprefix("!")) for site in sites):
            raise ValueError(f"layers=[{pattern!r}] names no activation site; this model has: {_listing(sites)}")
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    chosen = [
        i
        for i, site in enumerate(sites)
        if (not included or any(_matches(site.name, pattern) for pattern in included))
        and not any(_matches(site.name, pattern) for pattern in excluded)
    ]
    if not chosen or not patterns:
        raise ValueError(f"layers={patterns!r} leaves no activation site; this model has: {_listing(sites)}")
    return chosen


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _call_name(function: Callable[[Site], bool]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _listing(sites: Sequence[Site], limit: int = 12) -> str:
    names = ", ".join(repr(site.name) for site in sites[:limit])
    return names + (f", … ({len(sites)} in all)" if len(sites) > limit else "")
