"""How many examples have a region of their own: redundancy, and the share of examples that share a code."""

from __future__ import annotations

import numpy as np

from actscope.codes import Codes
from actscope.codes.groups import Groups, count_distinct, distinct

__all__ = ["redundancy_by_site", "redundancy_ratio", "regions", "shared_by_site", "shared_ratio"]


def redundancy_ratio(codes: Codes) -> float:
    """The share of examples that a region holds beyond its first one, 0 if every example has a region of its own.

    R = (n - m) / n, where n examples are in m distinct regions (He et al. 2021, Definition 1). It lies in [0, 1 - 1/n], and is 0 for
    a single example.

    Raises:
        ValueError: if there are no examples.

    Example:
        >>> codes = Codes.from_bits([[0, 1], [0, 1], [0, 1], [1, 1]])
        >>> redundancy_ratio(codes), shared_ratio(codes)
        (0.5, 0.75)
    """
    return _redundancy(_require_examples(codes).packed)


def shared_ratio(codes: Codes) -> float:
    """The share of examples whose code at least one other example has.

    He et al. 2021 describe the redundancy ratio this way in their conclusion, but it is another number: three examples in one region and
    one alone have R = 2/4 and a shared ratio of 3/4. R ≤ shared ratio ≤ 2R.

    Raises:
        ValueError: if there are no examples.
    """
    return _shared(_require_examples(codes).packed)


def redundancy_by_site(codes: Codes) -> dict[str, float]:
    """The redundancy ratio of each site's bits alone, by site name.

    All sites together are never more redundant than the least redundant of them.

    Raises:
        ValueError: if there are no examples.

    Example:
        >>> redundancy_by_site(Codes.from_bits([[0, 1], [0, 1]], name="fc1.relu"))
        {'fc1.relu': 0.5}
    """
    _require_examples(codes)
    return {site.name: _redundancy(codes.site_packed(site)) for site in codes.sites}


def shared_by_site(codes: Codes) -> dict[str, float]:
    """The share of examples whose bits at a site another example has too, by site name.

    Raises:
        ValueError: if there are no examples.
    """
    _require_examples(codes)
    return {site.name: _shared(codes.site_packed(site)) for site in codes.sites}


def regions(codes: Codes) -> Groups:
    """Which examples are in the same region: the groups of equal codes, ordered by their first example.

    Raises:
        ValueError: if there are no examples.
    """
    return distinct(_require_examples(codes).packed)


def _redundancy(packed: np.ndarray) -> float:
    n_examples = len(packed)
    return (n_examples - count_distinct(packed)) / n_examples


def _shared(packed: np.ndarray) -> float:
    counts = distinct(packed).counts
    return int(counts[counts > 1].sum()) / len(packed)


def _require_examples(codes: Codes) -> Codes:
    if len(codes) == 0:
        raise ValueError(f"there are no examples in {codes!r}, so nothing can be redundant; encode at least one")
    return codes
