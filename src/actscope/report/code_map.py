"""A map of codes in the plane by t-SNE on Hamming distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actscope.codes.distances import hamming
from actscope.codes.groups import distinct
from actscope.codes.table import Codes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CodeMap", "map_codes"]

_FEWEST_CODES = 5
_MOST_BYTES = 4096
_PERPLEXITY = 30.0


@dataclass(frozen=True, eq=False, repr=False)
class CodeMap:
    """Where each distinct code lies on the map.

    Attributes:
        positions: (n_codes, 2) float64, without meaning but for who is near whom.
        labels: (n_codes,) int64, the most frequent label among the code's examples (the smaller of equals), or `None`.
        counts: (n_codes,) int64, how many examples share the code.
        n_examples: how many examples were drawn; `n_available` how many there were.
        n_bytes: how many bytes of each code the distances were taken on; `n_bytes_available` how many there are.
        perplexity, seed: of t-SNE.
    """

    positions: NDArray[np.float64]
    labels: NDArray[np.int64] | None
    counts: NDArray[np.int64]
    n_examples: int
    n_available: int
    n_bytes: int
    n_bytes_available: int
    perplexity: float
    seed: int

    def __repr__(self) -> str:
        return f"CodeMap({len(self.positions)} distinct codes of {self.n_examples} examples, perplexity {self.perplexity:g})"

    def to_dict(self) -> dict[str, Any]:
        """How the map was made, as plain values; not the positions, which mean nothing by themselves."""
        return {
            "n_codes": len(self.positions),
            "n_examples": self.n_examples,
            "n_available": self.n_available,
            "n_bytes": self.n_bytes,
            "n_bytes_available": self.n_bytes_available,
            "perplexity": self.perplexity,
            "seed": self.seed,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the map, a point for each code."""
        from actscope.figures.code_map import draw_code_map

        if self.labels is None:
            return draw_code_map(self.positions, sizes=self.counts, ax=ax)
        classes, index = np.unique(self.labels, return_inverse=True)
        return draw_code_map(
            self.positions, index, class_names=[str(label) for label in classes], sizes=self.counts, ax=ax
        )


def map_codes(codes: Codes, *, max_examples: int = 1500, seed: int = 0, max_iter: int = 500) -> CodeMap:
    """Places in the plane for the distinct codes of a random subset of examples, near each other where few bits differ.

    t-SNE (van der Maaten & Hinton 2008) on the Hamming distance, which for bits is the squared Euclidean distance that t-SNE asks for.
    It starts from the first two principal components. Beyond 4,096 bytes a code, distances are taken on that many of its bytes,
    drawn at random.

    Args:
        codes: the examples.
        max_examples: how many of them to draw.
        seed: of the choice and of t-SNE.
        max_iter: steps of the optimization; at least 250.

    Raises:
        ValueError: if the examples have fewer than five distinct codes.

    Example:
        >>> codes = Codes.from_bits(np.random.default_rng(0).random((20, 16)) < 0.5)
        >>> map_codes(codes, max_iter=250)
        CodeMap(20 distinct codes of 20 examples, perplexity 6.33333)
    """
    rng = np.random.default_rng(seed)
    chosen = codes
    if len(codes) > max_examples:
        chosen = codes[np.sort(rng.choice(len(codes), max_examples, replace=False))]
    groups = distinct(chosen.packed)
    n_codes = len(groups.first)
    if n_codes < _FEWEST_CODES:
        raise ValueError(
            f"a map needs at least {_FEWEST_CODES} distinct codes, but there are {n_codes} (examples looked at: {len(chosen):,})"
        )
    packed = chosen.packed[groups.first]
    if packed.shape[1] > _MOST_BYTES:
        packed = packed[:, np.sort(rng.choice(packed.shape[1], _MOST_BYTES, replace=False))]
    perplexity = min(_PERPLEXITY, (n_codes - 1) / 3)
    return CodeMap(
        positions=_embed(
            hamming(packed, packed).astype(np.float64), perplexity=perplexity, seed=seed, max_iter=max_iter
        ),
        labels=None if chosen.labels is None else _most_frequent(chosen.labels, groups.inverse),
        counts=np.asarray(groups.counts, dtype=np.int64),
        n_examples=len(chosen),
        n_available=len(codes),
        n_bytes=packed.shape[1],
        n_bytes_available=codes.n_bytes,
        perplexity=perplexity,
        seed=seed,
    )


def _embed(distances: NDArray[np.float64], *, perplexity: float, seed: int, max_iter: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # Threads add up forces in an order of their own, so one makes the map repeatable; for so few points more hardly help.
    with threadpool_limits(limits=1):
        tsne = TSNE(
            metric="precomputed",
            init=_principal_plane(distances),
            perplexity=perplexity,
            max_iter=max_iter,
            random_state=seed,
        )
        placed: NDArray[np.float64] = tsne.fit_transform(np.sqrt(distances)).astype(np.float64)
    return placed


def _principal_plane(squared: NDArray[np.float64]) -> NDArray[np.float32]:
    """The first two principal components of points whose squared distances are given (Torgerson 1952), scaled as t-SNE likes it."""
    from scipy.linalg import eigh

    centred = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    n = len(squared)
    _, vectors = eigh(-0.5 * centred, subset_by_index=[n - 2, n - 1])
    plane = vectors[:, ::-1] * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(2)])[::-1]
    scaled: NDArray[np.float32] = (1e-4 * plane / plane[:, 0].std()).astype(np.float32)
    return scaled


def _most_frequent(labels: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    classes, index = np.unique(labels, return_inverse=True)
    pairs, counts = np.unique(np.stack([group, index], axis=1), axis=0, return_counts=True)
    best = np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))
    first = np.unique(pairs[best, 0], return_index=True)[1]
    most: NDArray[np.int64] = classes[pairs[best][first, 1]]
    return most
