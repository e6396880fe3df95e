"""Expected pattern similarity of codes that come in parts: batch by batch, or from many workers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actscope.codes import Codes, Site
from actscope.codes.table import TwoCodesError
from actscope.neurons.expectation import SimilarityMeans, agreeing_pairs, means_of
from actscope.neurons.intervals import count_bits, require_thermometer
from actscope.neurons.similarity import require_neurons

__all__ = ["MeanSimilarity"]


class MeanSimilarity:
    """`mean_similarity` of codes that come in parts, exact: it keeps a count a bit and label, and 16 bytes an example, and no code.

    Within one instance an id counts once: a repeated one is checked by a 64-bit hash of its code and left out. Two instances that
    have seen one id cannot be merged, since counts do not tell what that example added to them: leave out repeats where the data is
    divided (`drop_last=True` of a `DistributedSampler`), or let all workers write to one folder and load that as one. The order of
    updates and merges does not matter. Instances can be pickled and sent between processes.

    Example:
        >>> codes = Codes.from_bits([[0, 1], [0, 1], [1, 1], [1, 0]])
        >>> first, second = MeanSimilarity(), MeanSimilarity()
        >>> first.update(codes[:3])
        >>> second.update(codes[3:])
        >>> round(first.merge(second).compute().without_diagonal, 4)
        0.4167
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        # runs of ids, ascending in each; sizes fall by at least half, so that an id is moved about log2(n) times in all
        self._runs: list[_Seen] = []
        self._counts: dict[int | None, NDArray[np.int64]] = {}
        self._sizes: dict[int | None, int] = {}
        self._sites: tuple[Site, ...] | None = None
        self._split: str | None = None

    @property
    def n_examples(self) -> int:
        """Different examples seen so far."""
        return sum(self._sizes.values())

    def update(self, codes: Codes) -> None:
        """Take in some more codes; ids seen before are checked and not counted again.

        Raises:
            ValueError: if the codes come from other sites or another split than those before, only some have labels, ids are of another
                type, an id has another code than before, or the planes of a site are no thermometer code. Nothing has been taken in then.
        """
        require_neurons(codes)
        labelled = codes.labels is not None
        self._require_same_source(codes.sites, codes.split, labelled, codes.ids.dtype.kind if len(codes) else None)
        require_thermometer(codes.packed, codes.sites)
        if len(codes):
            new = self._new_rows(codes)
            self._remember(_Seen.of(codes.ids[new], codes.packed[new]))
            for label in [None] if codes.labels is None else np.unique(codes.labels[new]).tolist():
                rows = new if codes.labels is None else new[codes.labels[new] == label]
                if len(rows):
                    self._add(label, count_bits(codes.packed, rows), len(rows))
        self._sites, self._split = codes.sites, codes.split

    def merge(self, other: MeanSimilarity) -> MeanSimilarity:
        """Take in what another one has seen, and return this one; the other is left as it was.

        Raises:
            ValueError: as for `update`, or if both have seen one id.
        """
        if other._sites is None:
            return self
        kind = other._runs[0].ids.dtype.kind if other._runs else None
        self._require_same_source(other._sites, other._split, None not in other._counts, kind)
        for theirs in other._runs:
            for run in self._runs:
                both = np.intersect1d(run.ids, theirs.ids)
                if len(both):
                    raise ValueError(
                        f"both have seen id {both[0]} ({len(both)} ids in common), and counts do not tell what an example added to them: "
                        "divide the data without repeats (drop_last=True of a DistributedSampler), or load the codes of all workers as "
                        "one, which drops repeats"
                    )
        for theirs in other._runs:
            self._remember(theirs)
        for label, counts in other._counts.items():
            self._add(label, counts, other._sizes[label])
        self._sites, self._split = other._sites, other._split
        return self

    def compute(self) -> SimilarityMeans:
        """The means of all examples seen so far.

        Raises:
            ValueError: if there were fewer than two.
        """
        if self._sites is None or self.n_examples < 2:
            raise ValueError(
                f"{self.n_examples} examples have been seen so far, and a pair takes two: call update(codes) with more before"
            )
        sites, n = self._sites, self.n_examples
        total = sum(self._counts.values(), np.zeros(1, np.int64))
        agreements = agreeing_pairs(total, sites, n)
        labels = sorted(label for label in self._counts if label is not None)
        if not labels:
            return means_of(sites, n, agreements)
        sizes = {label: self._sizes[label] for label in labels}
        by_label = {label: agreeing_pairs(self._counts[label], sites, sizes[label]) for label in labels}
        return means_of(sites, n, agreements, sizes, by_label)

    def __repr__(self) -> str:
        sites = "no sites yet" if self._sites is None else f"{len(self._sites)} site{'s' * (len(self._sites) != 1)}"
        return f"MeanSimilarity({self.n_examples:,} examples so far, {sites})"

    def _add(self, label: int | None, counts: NDArray[np.int64], n_examples: int) -> None:
        self._counts[label] = self._counts[label] + counts if label in self._counts else counts
        self._sizes[label] = self._sizes.get(label, 0) + n_examples

    def _new_rows(self, codes: Codes) -> NDArray[np.int64]:
        """Rows whose id was not seen before, after a check that the others have the code that they had."""
        new = np.ones(len(codes), dtype=bool)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run.ids, codes.ids), len(run.ids) - 1)
            known = np.flatnonzero(run.ids[place] == codes.ids)
            differs = _hashes(codes.packed[known]) != run.hashes[place[known]]
            if differs.any():
                raise TwoCodesError(codes.ids[known[differs]][0])
            new[known] = False
        return np.flatnonzero(new)

    def _remember(self, run: _Seen) -> None:
        if len(run.ids):
            self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2].ids) < 2 * len(self._runs[-1].ids):
            last = self._runs.pop()
            self._runs[-1] = self._runs[-1].joined(last)

    def _require_same_source(
        self, sites: tuple[Site, ...], split: str | None, labelled: bool, id_kind: str | None
    ) -> None:
        if self._sites is None:
            return
        if sites != self._sites:
            raise ValueError(
                f"the codes come from other sites than those seen before: {[str(site) for site in sites]}, before "
                f"{[str(site) for site in self._sites]}; use one MeanSimilarity for each choice of sites"
            )
        if split != self._split:
            raise ValueError(
                f"the codes come from split {split!r}, those seen before from {self._split!r}: the same id is another example there; use "
                "one MeanSimilarity for each split"
            )
        if self._counts and id_kind and labelled != (None not in self._counts):
            raise ValueError(
                "some of the codes have labels and some have none, so pairs of one label could not be told"
            )
        if id_kind and self._runs and id_kind != self._runs[0].ids.dtype.kind:
            raise ValueError(
                "some of the codes have integer ids and some have strings, so the same example could not be recognised"
            )


class _Seen:
    """Ids, ascending (n,), and a hash of the code of each, (n,) uint64."""

    def __init__(self, ids: NDArray, hashes: NDArray[np.uint64]) -> None:
        self.ids = ids
        self.hashes = hashes

    @classmethod
    def of(cls, ids: NDArray, packed: NDArray[np.uint8]) -> _Seen:
        order = np.argsort(ids, kind="stable")
        return cls(ids[order], _hashes(packed)[order])

    def joined(self, other: _Seen) -> _Seen:
        ids = np.concatenate([self.ids, other.ids])
        order = np.argsort(ids, kind="stable")
        return _Seen(ids[order], np.concatenate([self.hashes, other.hashes])[order])


def _hashes(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    from actscope.codes.rowscans import hash_rows

    hashes = np.empty(len(packed), np.uint64)
    hash_rows(packed.ctypes.data, packed.strides[0], packed.shape[1], 0, len(packed), hashes)
    return hashes
