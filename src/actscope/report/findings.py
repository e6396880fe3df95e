"""What was found out about one split of the data, and about telling its classes apart by codes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes.table import Codes
from actscope.hashing.collisions import Determinism
from actscope.hashing.membership import Group, largest_groups
from actscope.hashing.redundancy import redundancy_by_site, regions
from actscope.report.class_collisions import ClassCollisions, collisions_by_class
from actscope.report.liveness import SiteLiveness, site_liveness
from actscope.report.unavailable import Unavailable, attempt

__all__ = ["Categorization", "SplitFindings", "findings_of"]

_GROUPS = 8
_IDS_WRITTEN = 20


@dataclass(frozen=True, eq=False, repr=False)
class SplitFindings:
    """What the codes of one split say.

    Attributes:
        name: `train` or `test`.
        codes: the codes.
        determinism: redundancy, shared ratio, collision probability and entropy, and the two borders.
        region_sizes: (n_regions,) int64, how many examples each occupied region holds.
        redundancy_by_site: redundancy ratio of each site's bits alone, by the site's name.
        groups: the fullest regions with two or more examples.
        collisions: which classes meet in one region.
        liveness: dead, always-on and constant neurons, a site each.
        own_accuracy: the model's own accuracy on this split.
    """

    name: str
    codes: Codes
    determinism: Determinism
    region_sizes: NDArray[np.int64]
    redundancy_by_site: dict[str, float]
    groups: tuple[Group, ...]
    collisions: ClassCollisions | Unavailable
    liveness: tuple[SiteLiveness, ...]
    own_accuracy: float | Unavailable

    @property
    def dead_share(self) -> float:
        """Share of all neurons that are dead."""
        return sum(int(site.dead.sum()) for site in self.liveness) / max(self.codes.n_neurons, 1)

    @property
    def largest_class_share(self) -> float | None:
        """Accuracy of always answering the most frequent label; `None` without labels."""
        labels = self.codes.labels
        return None if labels is None else float(np.unique(labels, return_counts=True)[1].max() / len(labels))

    def __repr__(self) -> str:
        return f"SplitFindings({self.name}: {self.determinism!r})"

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain values that JSON can hold; of each group, the first ids."""
        return {
            "n_examples": len(self.codes),
            "determinism": self.determinism.to_dict(),
            "redundancy_by_site": self.redundancy_by_site,
            "largest_groups": [
                {
                    "size": group.size,
                    "labels": _string_keys(group.labels),
                    "first_ids": group.ids[:_IDS_WRITTEN].tolist(),
                }
                for group in self.groups
            ],
            "collisions": self.collisions.to_dict(),
            "liveness": [site.to_dict() for site in self.liveness],
            "own_accuracy": _plain(self.own_accuracy),
            "largest_class_share": self.largest_class_share,
        }


@dataclass(frozen=True)
class Categorization:
    """Accuracy of one method that sees only codes.

    Attributes:
        name: what it is, such as `9-NN`.
        explanation: how it was fitted and counted, in a sentence.
        train, test: its accuracy on either split; `None` for `test` if there is no test set.
        sees_labels: whether it is fitted to labels, unlike a clustering that only counts against them.
        as_in_paper: whether He et al. 2021 measure it in this way; the others are there to compare.
        notes: what else must be known, such as that a subset was used.
    """

    name: str
    explanation: str
    train: float | Unavailable
    test: float | Unavailable | None
    sees_labels: bool = True
    as_in_paper: bool = True
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The accuracies as plain values."""
        return {"name": self.name, "train": _plain(self.train), "test": _plain(self.test), "notes": list(self.notes)}


def findings_of(codes: Codes, *, name: str, own_accuracy: float | Unavailable) -> SplitFindings:
    """All that one split's codes say by themselves.

    Raises:
        ValueError: if there are no examples.
    """
    groups = regions(codes)
    return SplitFindings(
        name=name,
        codes=codes,
        determinism=Determinism.from_region_sizes(groups.counts),
        region_sizes=groups.counts,
        redundancy_by_site=redundancy_by_site(codes),
        groups=largest_groups(codes, _GROUPS),
        collisions=attempt(lambda: collisions_by_class(codes, groups)),
        liveness=site_liveness(codes),
        own_accuracy=own_accuracy,
    )


def _plain(value: float | Unavailable | None) -> Any:
    return value.to_dict() if isinstance(value, Unavailable) else value


def _string_keys(counts: dict[int, int] | None) -> dict[str, int] | None:
    return None if counts is None else {str(label): count for label, count in counts.items()}
