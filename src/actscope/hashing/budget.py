"""Which examples to fit on when not all can be."""

from __future__ import annotations

import numpy as np

from actscope.codes import Codes
from actscope.hashing.bitmatrix import most_rows, varying_bits

__all__ = ["sampled", "within_budget"]


def sampled(codes: Codes, n_examples: int | None, *, seed: int) -> tuple[Codes, str | None]:
    """A random subset of so many examples in their own order, and a note that says so; all, and no note, if there are no more.

    Raises:
        ValueError: if `n_examples` is below 1.

    Example:
        >>> some, note = sampled(Codes.from_bits([[0], [1], [1], [0]]), 2, seed=0)
        >>> some.ids, note
        (array([2, 3]), 'fitted on a random 2 of 4 examples, seed 0')
    """
    if n_examples is None or n_examples >= len(codes):
        return codes, None
    if n_examples < 1:
        raise ValueError(f"max_train={n_examples}: keep at least one example, or None for all")
    chosen = np.sort(np.random.default_rng(seed).choice(len(codes), n_examples, replace=False))
    return codes[chosen], f"fitted on a random {n_examples:,} of {len(codes):,} examples, seed {seed}"


def within_budget(
    codes: Codes, n_different: int, *, max_train: int | None, max_bytes: int, seed: int
) -> tuple[Codes, str | None]:
    """The examples to fit on, and a note if that is not all of them.

    Args:
        codes: what there is.
        n_different: rows that are left of it when equal ones are counted once.
        max_train: how many to use at most, however much work that is; `None` for as many as `max_bytes` holds.
        max_bytes: limit for the matrix of bits that a fit works on.
        seed: chooses the subset.
    """
    if max_train is not None:
        return sampled(codes, max_train, seed=seed)
    most = most_rows(len(varying_bits(codes.packed)), max_bytes)
    if n_different <= most:
        return codes, None
    some, note = sampled(codes, most, seed=seed)
    return some, f"{note}: what max_bytes={max_bytes:,} holds; max_train= takes more"
