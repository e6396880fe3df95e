"""Who shares a region: the examples in it, and their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from actscope.codes import Codes
from actscope.hashing.redundancy import regions

__all__ = ["Group", "groups", "largest_groups"]


@dataclass(frozen=True, eq=False, repr=False)
class Group:
    """The examples of one sample that are in one region.

    Attributes:
        ids: (size,) ids of the examples, in the order of the codes.
        rows: (size,) int64, their positions in the codes.
        labels: how many of them have each label, most frequent first, then by label; `None` if the codes have no labels.
    """

    ids: np.ndarray
    rows: np.ndarray
    labels: dict[int, int] | None

    @property
    def size(self) -> int:
        """How many examples there are."""
        return len(self.rows)

    @property
    def purity(self) -> float | None:
        """The share of the most frequent label: 1 if one class alone falls into this region; `None` without labels."""
        return None if self.labels is None else max(self.labels.values()) / self.size

    def to_dict(self) -> dict[str, Any]:
        """The group as plain values that JSON can hold."""
        return {"size": self.size, "ids": self.ids.tolist(), "labels": self.labels, "purity": self.purity}

    def __repr__(self) -> str:
        shown = ", ".join(repr(value) for value in self.ids[:5].tolist()) + (", …" if self.size > 5 else "")
        labels = (
            ""
            if self.labels is None
            else "; labels " + ", ".join(f"{label}: {count}" for label, count in self.labels.items())
        )
        return f"Group({self.size} example{'s' * (self.size != 1)}: {shown}{labels})"


def largest_groups(codes: Codes, k: int = 10, *, min_size: int = 2) -> tuple[Group, ...]:
    """The k regions with the most examples, largest first (equal ones by their first example), and who is in them.

    Args:
        codes: codes of one sample.
        k: how many groups to return at most.
        min_size: leaves out smaller groups; by default an example alone in its region is none.

    Raises:
        ValueError: if there are no examples, or k or min_size is below 1.

    Example:
        >>> codes = Codes.from_bits([[0, 1], [1, 1], [0, 1], [1, 0]], ids=["a", "b", "c", "d"], labels=[3, 3, 8, 8])
        >>> largest_groups(codes)
        (Group(2 examples: 'a', 'c'; labels 3: 1, 8: 1),)
    """
    if k < 1:
        raise ValueError(f"k={k}: ask for at least one group")
    return tuple(_members(codes, k, min_size))


def groups(codes: Codes, *, min_size: int = 1) -> tuple[Group, ...]:
    """All groups of examples in one region, largest first (equal ones by their first example).

    Args:
        codes: codes of one sample.
        min_size: leaves out smaller groups; 2 keeps the examples that share a region.

    Raises:
        ValueError: if there are no examples, or min_size is below 1.

    Example:
        >>> [group.size for group in groups(Codes.from_bits([[0, 1], [1, 1], [0, 1]]))]
        [2, 1]
    """
    return tuple(_members(codes, len(codes), min_size))


def _members(codes: Codes, k: int, min_size: int) -> Iterator[Group]:
    if min_size < 1:
        raise ValueError(f"min_size={min_size}: a group holds at least one example")
    found = regions(codes)
    by_region = np.argsort(found.inverse, kind="stable")
    ends = np.cumsum(found.counts)
    for region in np.argsort(-found.counts, kind="stable")[:k]:
        size = int(found.counts[region])
        if size < min_size:
            return
        rows = by_region[ends[region] - size : ends[region]]
        yield Group(codes.ids[rows], rows, None if codes.labels is None else _histogram(codes.labels[rows]))


def _histogram(labels: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {int(values[i]): int(counts[i]) for i in order}
