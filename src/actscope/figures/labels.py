"""Numbers and names as a figure shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["counted", "percent", "round_percent", "shortened", "shortened_alike"]


def counted(number: int, noun: str) -> str:
    """A number of things, in the singular where it is one.

    Example:
        >>> counted(1, "region"), counted(1437, "test example")
        ('1 region', '1,437 test examples')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def percent(share: float) -> str:
    """A share as a percentage with one decimal, or two where one would round a small share to nothing or a large one to all.

    Example:
        >>> [percent(share) for share in (0, 0.00004, 0.00123, 0.4, 0.5049, 0.9996, 1)]
        ['0 %', '< 0.01 %', '0.12 %', '40.0 %', '50.5 %', '99.96 %', '100 %']
    """
    value = 100 * share
    if math.isnan(value):
        return "–"
    if value in (0, 100):
        return f"{value:.0f} %"
    if 0 < value < 0.01:
        return "< 0.01 %"
    if 99.99 < value < 100:
        return "> 99.99 %"
    return f"{value:.2f} %" if value < 0.995 or 99.95 <= value < 100 else f"{value:.1f} %"


def round_percent(share: float) -> str:
    """A share that is a round number, such as a tick or a threshold, as a percentage.

    Example:
        >>> [round_percent(share) for share in (0, 0.025, 0.4)]
        ['0 %', '2.5 %', '40 %']
    """
    return f"{100 * share:.4g} %"


def shortened(name: str, *, length: int = 24) -> str:
    """The name, with an ellipsis for its middle if it is longer than `length`.

    Example:
        >>> shortened("encoder.layers.11.feed_forward.activation", length=20)
        'encoder.l…activation'
    """
    if len(name) <= length:
        return name
    tail = length // 2
    return f"{name[: length - tail - 1]}…{name[-tail:]}"


def shortened_alike(names: Sequence[str], *, length: int = 24) -> list[str]:
    """Names for one axis: where one is longer than `length`, what all begin or end with (up to a dot) gives way to an ellipsis.

    Example:
        >>> shortened_alike(["encoder.layers.0.feed_forward.activation", "encoder.layers.1.feed_forward.activation"])
        ['…0…', '…1…']
    """
    parts = [name.split(".") for name in names]
    if len(set(names)) > 1 and max(map(len, names)) > length:
        shortest = min(map(len, parts)) - 1
        head = _shared(parts, shortest)
        tail = _shared([part[::-1] for part in parts], shortest - head)
        names = ["…" * bool(head) + ".".join(part[head : len(part) - tail]) + "…" * bool(tail) for part in parts]
    return [shortened(name, length=length) for name in names]


def _shared(parts: Sequence[Sequence[str]], most: int) -> int:
    """How many first parts all have in common, `most` of them at most."""
    return next((i for i in range(most) if len({part[i] for part in parts}) > 1), max(most, 0))
