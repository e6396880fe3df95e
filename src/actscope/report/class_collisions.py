"""Which classes meet in the same activation region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes.groups import Groups
from actscope.codes.table import Codes

__all__ = ["ClassCollisions", "collisions_by_class"]


@dataclass(frozen=True, eq=False)
class ClassCollisions:
    """How the examples that share a region divide into classes.

    Attributes:
        classes: (n_classes,) int64, the labels there are.
        shared_ratio: (n_classes,) share of each class's examples that share a region with another example of any class.
        mixed_ratio: share of all examples that share a region with an example of another class: no classifier that sees only codes
            can tell these apart.
    """

    classes: NDArray[np.int64]
    shared_ratio: NDArray[np.float64]
    mixed_ratio: float

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "mixed_ratio": self.mixed_ratio,
            "shared_ratio_by_class": {
                str(label): float(share) for label, share in zip(self.classes, self.shared_ratio, strict=True)
            },
        }


def collisions_by_class(codes: Codes, groups: Groups) -> ClassCollisions:
    """How the examples that share a region divide into classes.

    Args:
        codes: with labels.
        groups: the regions of these codes, as `actscope.codes.groups.distinct(codes.packed)` gives them.

    Raises:
        ValueError: if the codes have no labels.

    Example:
        >>> from actscope.codes.groups import distinct
        >>> codes = Codes.from_bits([[0], [0], [1], [1]], labels=[0, 0, 0, 1])
        >>> collisions_by_class(codes, distinct(codes.packed)).mixed_ratio
        0.5
    """
    if codes.labels is None:
        raise ValueError("the data has no labels")
    classes, index = np.unique(codes.labels, return_inverse=True)
    shared = groups.counts[groups.inverse] > 1
    n_groups = len(groups.counts)
    lowest = np.full(n_groups, len(classes), dtype=np.int64)
    highest = np.full(n_groups, -1, dtype=np.int64)
    np.minimum.at(lowest, groups.inverse, index)
    np.maximum.at(highest, groups.inverse, index)
    mixed = (lowest != highest)[groups.inverse]
    return ClassCollisions(
        classes=classes,
        shared_ratio=np.bincount(index, weights=shared, minlength=len(classes))
        / np.bincount(index, minlength=len(classes)),
        mixed_ratio=float(mixed.mean()),
    )
