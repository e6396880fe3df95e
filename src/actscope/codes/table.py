"""Codes: the packed activation patterns of many examples, with the sites that they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actscope.codes.bits import pack_bits, unpack_bits
from actscope.codes.selection import Layers, choose
from actscope.codes.site import Site

__all__ = ["Codes"]


@dataclass(frozen=True, eq=False, repr=False)
class Codes:
    """Neural codes of many examples: one row of packed bits an example, site after site.

    Within a site the planes of its breakpoints follow each other, and each plane is padded to whole bytes with zero bits (little bit
    order), so that choosing sites is slicing bytes and a Hamming distance over rows counts breakpoints. Two examples are in
    the same activation region exactly if their rows are equal.

    Args:
        packed: (n_examples, n_bytes) uint8.
        sites: what the bytes mean, in the order in which the model runs.
        ids: (n_examples,) int64 or str, no one twice; `None` numbers the examples from 0.
        labels: (n_examples,) integers, or `None`.
        split: the part of the data set that the examples come from, such as `"train"`.

    Raises:
        ValueError: if shapes do not fit each other, an id occurs twice, or a padding bit is set.

    Example:
        >>> codes = Codes.from_bits([[True, False, True], [True, True, True]], labels=[7, 1])
        >>> codes
        Codes(2 examples × 3 bits, 1 site: bits; labels 1, 7)
        >>> codes.packed
        array([[5],
               [7]], dtype=uint8)
        >>> codes[1:].bits()
        array([[ True,  True,  True]])
    """

    packed: NDArray[np.uint8]
    sites: tuple[Site, ...]
    ids: NDArray[Any] = None  # type: ignore[assignment]  # None is replaced in __post_init__, so that readers always find an array
    labels: NDArray[np.int64] | None = None
    split: str | None = None
    _offsets: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        sites = tuple(self.sites)
        offsets = np.cumsum([0, *(site.n_bytes for site in sites)])
        packed = np.ascontiguousarray(self.packed)
        if packed.dtype != np.uint8 or packed.ndim != 2:
            raise ValueError(
                f"packed must be (n_examples, n_bytes) uint8; got shape {packed.shape}, dtype {packed.dtype}"
            )
        if packed.shape[1] != offsets[-1]:
            raise ValueError(f"packed has {packed.shape[1]} bytes a row, but its {len(sites)} sites take {offsets[-1]}")
        put = object.__setattr__
        put(self, "packed", packed)
        put(self, "sites", sites)
        put(self, "_offsets", tuple(int(offset) for offset in offsets))
        put(self, "ids", _as_ids(self.ids, len(packed)))
        if self.labels is not None:
            put(self, "labels", as_labels(self.labels, len(packed)))
        self._check_padding()

    @classmethod
    def from_bits(
        cls,
        bits: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        split: str | None = None,
        name: str = "bits",
    ) -> Codes:
        """Codes from a boolean matrix, as those of one ReLU site.

        Args:
            bits: (n_examples, n_bits) bool.
            ids, labels, split: as for `Codes`.
            name: the site's name.

        Example:
            >>> Codes.from_bits([[0, 1, 1, 0]]).n_bits
            4
        """
        matrix = np.asarray(bits, dtype=bool)
        if matrix.ndim != 2:
            raise ValueError(f"bits must be a matrix (n_examples, n_bits); got shape {matrix.shape}")
        site = Site(name, "relu", (matrix.shape[1],), (0.0,), kinks=(0.0,), slopes=(0.0, 1.0), piecewise_linear=True)
        return cls(
            pack_bits(matrix),
            (site,),
            ids=np.arange(len(matrix)) if ids is None else np.asarray(ids),
            labels=None if labels is None else np.asarray(labels),
            split=split,
        )

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def n_bytes(self) -> int:
        """Bytes of one row, padding included."""
        return self._offsets[-1]

    @property
    def n_bits(self) -> int:
        """Bits of one code, padding left out."""
        return sum(site.n_bits for site in self.sites)

    @property
    def n_neurons(self) -> int:
        """Neurons of one code, over all sites."""
        return sum(site.n_neurons for site in self.sites)

    def __getitem__(self, index: int | slice | ArrayLike) -> Codes:
        """Some of the examples: a slice, a boolean mask, positions, or one position (which gives one row)."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"codes[{index}]: there are {len(self)} examples")
            index = slice(int(index), int(index) + 1 or None)
        rows: Any = index if isinstance(index, slice) else np.asarray(index)
        if isinstance(rows, np.ndarray) and rows.size == 0:
            rows = rows.astype(np.int64)
        return replace(
            self,
            packed=self.packed[rows],
            ids=self.ids[rows],
            labels=None if self.labels is None else self.labels[rows],
        )

    def select(self, layers: Layers) -> Codes:
        """The same examples at some of the sites.

        Args:
            layers: site names, glob patterns (a leading `!` leaves out), or a predicate on `Site`.

        Raises:
            ValueError: if a name or pattern matches no site.
        """
        chosen = choose(self.sites, layers)
        if len(chosen) == len(self.sites):
            return self
        parts = [self.packed[:, self._offsets[i] : self._offsets[i + 1]] for i in chosen]
        return replace(self, packed=np.concatenate(parts, axis=1), sites=tuple(self.sites[i] for i in chosen))

    def site_packed(self, site: Site | str) -> NDArray[np.uint8]:
        """One site's bytes, (n_examples, site.n_bytes) uint8, as a view."""
        name = site if isinstance(site, str) else site.name
        for i, own in enumerate(self.sites):
            if own.name == name:
                return self.packed[:, self._offsets[i] : self._offsets[i + 1]]
        raise ValueError(
            f"{name!r} is no site of these codes; they have: {', '.join(repr(own.name) for own in self.sites)}"
        )

    def bits(self) -> NDArray[np.bool_]:
        """All bits without padding, (n_examples, n_bits) bool: site after site, plane after plane."""
        planes = [self._plane(i, plane) for i, site in enumerate(self.sites) for plane in range(site.n_planes)]
        return np.concatenate(planes, axis=1) if planes else np.zeros((len(self), 0), dtype=bool)

    def intervals(self) -> NDArray[np.uint8]:
        """The interval of every neuron, (n_examples, n_neurons) uint8: how many of its breakpoints lie below its pre-activation."""
        out = np.zeros((len(self), self.n_neurons), dtype=np.uint8)
        start = 0
        for i, site in enumerate(self.sites):
            for plane in range(site.n_planes):
                out[:, start : start + site.n_neurons] += self._plane(i, plane)
            start += site.n_neurons
        return out

    def with_labels(self, labels: ArrayLike | None) -> Codes:
        """The same codes with other labels, (n_examples,) integers, or with none."""
        return replace(self, labels=None if labels is None else np.asarray(labels))

    @classmethod
    def concat(cls, parts: Iterable[Codes]) -> Codes:
        """Codes of several parts of one data set as one; an example that occurs in several parts counts once.

        Raises:
            ValueError: if the parts differ in sites, or one id has two different codes.

        Example:
            >>> codes = Codes.from_bits([[0, 1], [1, 1], [0, 0]])
            >>> Codes.concat([codes[:2], codes[1:]]).ids
            array([0, 1, 2])
        """
        pieces = list(parts)
        if not pieces:
            raise ValueError("Codes.concat was given no codes")
        first = pieces[0]
        for piece in pieces[1:]:
            if piece.sites != first.sites:
                raise ValueError(
                    "the parts come from different sites: "
                    f"{[str(site) for site in first.sites]} and {[str(site) for site in piece.sites]}"
                )
            if (piece.labels is None) != (first.labels is None):
                raise ValueError("some of the parts have labels and some have none")
            if piece.split != first.split:
                raise ValueError(f"the parts come from different splits: {first.split!r} and {piece.split!r}")
        packed = np.concatenate([piece.packed for piece in pieces])
        ids = np.concatenate([piece.ids for piece in pieces])
        labels = (
            None
            if first.labels is None
            else np.concatenate([piece.labels for piece in pieces if piece.labels is not None])
        )
        keep = first_rows_of_ids(packed, ids)
        if keep is not None:
            packed, ids, labels = packed[keep], ids[keep], None if labels is None else labels[keep]
        return replace(first, packed=packed, ids=ids, labels=labels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the codes as one Parquet file, whole or not at all; see `actscope.codes.parquet` for the columns."""
        from actscope.codes.parquet import CodesWriter

        with CodesWriter(path, self.sites, split=self.split) as writer:
            writer.write(self.packed, self.ids, self.labels)

    @staticmethod
    def load(path: str | os.PathLike[str], layers: Layers = None) -> Codes:
        """Read codes back from a Parquet file, or from a folder of them that many workers wrote.

        Args:
            path: the file or folder.
            layers: which sites to read; the others are not touched.

        Raises:
            FileNotFoundError: if nothing is there.
            ValueError: if a file is cut short or was written by another program.
        """
        from actscope.codes.parquet import open_codes

        return open_codes(path).load(layers)

    def __repr__(self) -> str:
        names = ", ".join(site.name for site in self.sites[:3]) + (", …" if len(self.sites) > 3 else "")
        parts = [
            f"{len(self)} examples × {self.n_bits} bits, {len(self.sites)} site{'s' * (len(self.sites) != 1)}: {names}"
        ]
        if self.split:
            parts.append(f"split {self.split}")
        if self.labels is not None:
            classes = np.unique(self.labels)
            shown = ", ".join(map(str, classes[:10])) + (", …" if len(classes) > 10 else "")
            parts.append(f"labels {shown}")
        return f"Codes({'; '.join(parts)})"

    def _plane(self, site_index: int, plane: int) -> NDArray[np.bool_]:
        site = self.sites[site_index]
        start = self._offsets[site_index] + plane * site.bytes_per_plane
        return unpack_bits(self.packed[:, start : start + site.bytes_per_plane], site.n_neurons)

    def _check_padding(self) -> None:
        for offset, site in zip(self._offsets, self.sites, strict=False):
            spare = site.bytes_per_plane * 8 - site.n_neurons
            if not spare:
                continue
            last = offset + site.bytes_per_plane * np.arange(1, site.n_planes + 1) - 1
            if np.any(self.packed[:, last] >> (8 - spare)):
                raise ValueError(
                    f"a padding bit of site {site.name!r} is set: its {site.n_neurons} neurons take "
                    f"{site.bytes_per_plane} bytes a plane in little bit order, and the {spare} highest bits of the last are zero"
                )


def first_rows_of_ids(packed: NDArray[np.uint8], ids: NDArray[Any]) -> NDArray[np.int64] | None:
    """Positions of the rows that bring a new id, ascending; `None` if all do.

    Raises:
        TwoCodesError: if an id comes back with another code.
    """
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    if len(first) == len(ids):
        return None
    repeats = np.flatnonzero(first[inverse] != np.arange(len(ids)))
    differs = (packed[repeats] != packed[first[inverse[repeats]]]).any(axis=1)
    if differs.any():
        raise TwoCodesError(ids[repeats[differs][0]])
    return np.sort(first)


class TwoCodesError(ValueError):
    """One id came with two different codes."""

    def __init__(self, name: Any) -> None:
        super().__init__(
            f"id {name} occurs twice with different codes: an id names one example. If the ids are right, the model is not deterministic "
            "in eval mode, or rounding moved a pre-activation across a breakpoint (dtype=torch.float64 makes that rare)"
        )


def _as_ids(ids: ArrayLike | None, n_examples: int) -> NDArray[Any]:
    if ids is None:
        return np.arange(n_examples, dtype=np.int64)
    array = np.asarray(ids)
    if array.shape != (n_examples,):
        raise ValueError(f"ids has shape {array.shape}, but there are {n_examples} examples; give one id an example")
    array = id_dtype(array)
    in_order = array.dtype.kind == "i" and bool(np.all(array[1:] > array[:-1]))
    if not in_order:
        values, counts = np.unique(array, return_counts=True)
        if len(values) < n_examples:
            raise ValueError(
                f"id {values[counts > 1][0]} occurs {counts.max()} times: sampling an example twice does not make two examples; "
                "drop the repeats, or use Codes.concat, which does"
            )
    return array


def id_dtype(ids: NDArray[Any]) -> NDArray[Any]:
    """`ids` as int64 or str.

    Raises:
        ValueError: if they are neither integers nor strings.
    """
    if ids.dtype.kind in "iu" or not len(ids):
        return ids.astype(np.int64)
    if ids.dtype.kind == "U" or (ids.dtype.kind == "O" and all(isinstance(value, str) for value in ids)):
        return ids.astype(np.str_)
    raise ValueError(f"ids must be integers or strings; got dtype {ids.dtype}")


def as_labels(labels: ArrayLike, n_examples: int) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (n_examples,):
        raise ValueError(
            f"labels has shape {array.shape}, but there are {n_examples} examples; give one label an example"
        )
    if array.dtype.kind not in "iub":
        raise ValueError(f"labels must be integers; got dtype {array.dtype}")
    return array.astype(np.int64)
