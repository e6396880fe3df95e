"""The leaves of nested arguments and results: tuples, lists and mappings of anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["each", "leaves"]


def leaves(value: Any) -> list[Any]:
    """What the tuples, lists and mappings of `value` hold, in order."""
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in leaves(part)]
    if isinstance(value, Mapping):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [value]


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every leaf of its tuples, lists and mappings changed."""
    if isinstance(value, tuple):
        return tuple(each(part, change) for part in value)
    if isinstance(value, list):
        return [each(part, change) for part in value]
    if isinstance(value, Mapping):
        return {key: each(part, change) for key, part in value.items()}
    return change(value)
