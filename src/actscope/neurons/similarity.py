"""Pattern similarity: the share of neurons that two examples have in the same interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from actscope.codes import Codes, Site

__all__ = ["count_disagreements", "pattern_similarity", "require_neurons"]

_BYTES_AT_A_TIME = 1 << 22
_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)


@overload
def pattern_similarity(codes_a: Codes, codes_b: Codes, *, by_site: Literal[False] = ...) -> NDArray[np.float64]: ...
@overload
def pattern_similarity(codes_a: Codes, codes_b: Codes, *, by_site: Literal[True]) -> dict[str, NDArray[np.float64]]: ...
def pattern_similarity(
    codes_a: Codes, codes_b: Codes, *, by_site: bool = False
) -> NDArray[np.float64] | dict[str, NDArray[np.float64]]:
    """The pattern similarity of each example of one table with the example in the same row of the other.

    PS(x, y) = #(AP(x) ∩ AP(y)) / #neurons: the share of neurons whose pre-activations for x and for y lie in the same interval (Jiang et
    al. 2022, Definition 3). With several breakpoints a neuron agrees only if all its bits do, so PS is not 1 - Hamming distance / bits.

    Args:
        codes_a, codes_b: (n, …) codes of the same sites; where one of them holds a single example, it is compared with all of the other.
        by_site: whether to give the similarity of each site's neurons alone.

    Returns:
        (n,) float64 in [0, 1]; with `by_site` a dict of them by site name.

    Raises:
        ValueError: if the sites or the numbers of examples differ, or there are no neurons.

    Example:
        >>> from actscope import Codes
        >>> codes = Codes.from_bits([[0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1]])
        >>> pattern_similarity(codes[:2], codes[1:])
        array([0.75, 0.25])
    """
    if codes_a.sites != codes_b.sites:
        raise ValueError(
            "the two codes come from different sites: "
            f"{[str(site) for site in codes_a.sites]} and {[str(site) for site in codes_b.sites]}"
        )
    require_neurons(codes_a)
    if len(codes_a) != len(codes_b) and 1 not in (len(codes_a), len(codes_b)):
        raise ValueError(
            f"codes_a has {len(codes_a)} examples and codes_b {len(codes_b)}: row i of one is compared with row i of the other, or a "
            "single row with all"
        )
    n = len(codes_b) if len(codes_a) == 1 else len(codes_a)
    rows_a, rows_b = (np.arange(n) if len(codes) == n else np.zeros(n, np.int64) for codes in (codes_a, codes_b))
    differing = count_disagreements(codes_a.packed, codes_b.packed, codes_a.sites, rows_a, rows_b)
    if by_site:
        return {
            site.name: (site.n_neurons - differing[:, i]) / site.n_neurons
            for i, site in enumerate(codes_a.sites)
            if site.n_neurons
        }
    similarity: NDArray[np.float64] = (codes_a.n_neurons - differing.sum(axis=1)) / codes_a.n_neurons
    return similarity


def count_disagreements(
    packed_a: NDArray[np.uint8],
    packed_b: NDArray[np.uint8],
    sites: Sequence[Site],
    rows_a: NDArray[np.int64],
    rows_b: NDArray[np.int64],
) -> NDArray[np.int64]:
    """How many neurons of each site differ in their interval, (n_pairs, n_sites) int64, for pairs (rows_a[i], rows_b[i]).

    A neuron differs if any of its planes does: the planes of a site lie beside each other in whole bytes, so OR joins them as they are.
    """
    counts = np.zeros((len(rows_a), len(sites)), np.int64)
    step = max(1, _BYTES_AT_A_TIME // max(packed_a.shape[1], 1))
    for first in range(0, len(rows_a), step):
        some = slice(first, first + step)
        differing = packed_a[rows_a[some]] ^ packed_b[rows_b[some]]
        start = 0
        for i, site in enumerate(sites):
            planes = differing[:, start : start + site.n_bytes].reshape(
                len(differing), site.n_planes, site.bytes_per_plane
            )
            counts[some, i] = _ONES[np.bitwise_or.reduce(planes, axis=1)].sum(axis=1)
            start += site.n_bytes
    return counts


def require_neurons(codes: Codes) -> None:
    """Raise unless there is a neuron whose intervals can be compared.

    Raises:
        ValueError: if there is none.
    """
    if not codes.n_neurons:
        raise ValueError(f"{codes!r} has no neurons, so nothing can agree or differ; choose at least one site")
