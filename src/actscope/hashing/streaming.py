"""Redundancy of codes that come in parts: batch by batch, or from many workers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actscope.codes import Codes, Site
from actscope.codes.groups import distinct
from actscope.codes.table import TwoCodesError
from actscope.hashing.collisions import Determinism

__all__ = ["RedundancyRatio"]


class RedundancyRatio:
    """`determinism` of codes that come in parts, exact: it keeps every distinct code once, and 16 bytes (int64 ids) an example.

    Parts may overlap. An id counts once, since distributed samplers pad with duplicates; the same id with another code is an error. The
    order of updates and merges does not matter. Instances can be pickled and sent between processes.

    Example:
        >>> codes = Codes.from_bits([[0, 1], [0, 1], [1, 1], [1, 0]])
        >>> first, second = RedundancyRatio(), RedundancyRatio()
        >>> first.update(codes[:3])
        >>> second.update(codes[2:])
        >>> first.merge(second).compute().redundancy_ratio
        0.25
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        # Disjoint in ids, sizes falling by at least half: an example is moved about log2(n) times in all, not once per update.
        self._runs: list[_Run] = []
        self._sites: tuple[Site, ...] | None = None
        self._split: str | None = None

    @property
    def n_examples(self) -> int:
        """Different examples seen so far."""
        return sum(len(run.ids) for run in self._runs)

    def update(self, codes: Codes) -> None:
        """Take in some more codes; ids seen before are checked and not counted again.

        Raises:
            ValueError: if the codes come from other sites or another split than those before, or an id has another code than
                before. Nothing has been taken in then.
        """
        self._require_same_source(codes.sites, codes.split, codes.ids.dtype.kind if len(codes) else None)
        if len(codes):
            self._add([_Run.of(codes)])
        self._sites, self._split = codes.sites, codes.split

    def merge(self, other: RedundancyRatio) -> RedundancyRatio:
        """Take in what another one has seen, and return this one; the other is left as it was.

        Raises:
            ValueError: as for `update`.
        """
        if other._sites is not None:
            self._require_same_source(
                other._sites, other._split, other._runs[0].ids.dtype.kind if other._runs else None
            )
            self._add(other._runs)
            self._sites, self._split = other._sites, other._split
        return self

    def compute(self) -> Determinism:
        """The numbers of all examples seen so far.

        Raises:
            ValueError: if there were none.
        """
        return Determinism.from_region_sizes(self.region_sizes())

    def region_sizes(self) -> np.ndarray:
        """How many examples each region holds, (n_regions,) int64.

        Raises:
            ValueError: if there were no examples.
        """
        if not self._runs:
            raise ValueError("no codes have been seen yet: call update(codes) with at least one example before")
        while len(self._runs) > 1:
            self._join_last_two()
        return np.bincount(self._runs[0].regions)

    def __repr__(self) -> str:
        sites = "no sites yet" if self._sites is None else f"{len(self._sites)} site{'s' * (len(self._sites) != 1)}"
        return f"RedundancyRatio({self.n_examples:,} examples so far, {sites})"

    def _add(self, runs: list[_Run]) -> None:
        fresh = [run.without(self._runs) for run in runs]
        for run in fresh:
            if len(run.ids):
                self._runs.append(run)
                while len(self._runs) > 1 and len(self._runs[-2].ids) < 2 * len(self._runs[-1].ids):
                    self._join_last_two()

    def _join_last_two(self) -> None:
        last = self._runs.pop()
        self._runs[-1] = self._runs[-1].joined(last)

    def _require_same_source(self, sites: tuple[Site, ...], split: str | None, id_kind: str | None) -> None:
        if self._sites is None:
            return
        if sites != self._sites:
            raise ValueError(
                f"the codes come from other sites than those seen before: {[str(site) for site in sites]}, before "
                f"{[str(site) for site in self._sites]}; use one RedundancyRatio for each choice of sites"
            )
        if split != self._split:
            raise ValueError(
                f"the codes come from split {split!r}, those seen before from {self._split!r}: the same id is another example there; use "
                "one RedundancyRatio for each split"
            )
        if id_kind and self._runs and id_kind != self._runs[0].ids.dtype.kind:
            raise ValueError(
                "some of the codes have integer ids and some have strings, so the same example could not be recognised"
            )


@dataclass(frozen=True)
class _Run:
    """Some examples: ids ascending (n,), the region of each (n,), and every region's code once, rows (m, n_bytes) uint8."""

    ids: np.ndarray
    regions: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, codes: Codes) -> _Run:
        found = distinct(codes.packed)
        order = np.argsort(codes.ids, kind="stable")
        return cls(codes.ids[order], found.inverse[order], codes.packed[found.first])

    def without(self, others: list[_Run]) -> _Run:
        """What others do not have, after a check that they have the same codes for the rest."""
        new = np.ones(len(self.ids), dtype=bool)
        for other in others:
            place = np.minimum(np.searchsorted(other.ids, self.ids), len(other.ids) - 1)
            known = other.ids[place] == self.ids
            own, theirs = self.regions[known], other.regions[place[known]]
            differs = (self.rows[own] != other.rows[theirs]).any(axis=1)
            if differs.any():
                raise TwoCodesError(self.ids[known][differs][0])
            new &= ~known
        if new.all():
            return self
        kept, inverse = np.unique(self.regions[new], return_inverse=True)
        return _Run(self.ids[new], inverse.reshape(-1), self.rows[kept])

    def joined(self, other: _Run) -> _Run:
        rows = np.concatenate([self.rows, other.rows])
        found = distinct(rows)
        ids = np.concatenate([self.ids, other.ids])
        places = found.inverse[np.concatenate([self.regions, other.regions + len(self.rows)])]
        order = np.argsort(ids, kind="stable")
        return _Run(ids[order], places[order], rows[found.first])
