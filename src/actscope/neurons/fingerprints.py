"""Fingerprints of patterns that come in parts: equal patterns over the same examples have equal ones, in whatever order they come."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["example_weights", "twins", "weight_bytes"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def example_weights(ids: NDArray[np.int64] | NDArray[np.str_]) -> NDArray[np.uint64]:
    """A fixed, random-looking 64-bit number r(id) for each example.

    The fingerprint of a neuron with intervals v_i is Σ_i r(id_i) v_i modulo 2^64: a sum, so parts of a data set add up. Two
    different patterns have the same one with a probability of about 2^-63. The mirrored pattern k - v_i, which for one breakpoint
    is the complement, has k Σ r(id_i) minus it.

    Args:
        ids: (n_examples,) int64 or str.

    Returns:
        (n_examples,) uint64.

    Example:
        >>> weights = example_weights(np.array([3, 4, 3]))
        >>> bool(weights[0] == weights[2]), bool(weights[0] == weights[1])
        (True, False)
    """
    if ids.dtype.kind == "U":
        digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ids.tolist()]
        return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
    # splitmix64 (Steele, Lea and Flood 2014): consecutive integers become independent-looking ones
    with np.errstate(over="ignore"):
        x = (ids.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def weight_bytes(weights: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """(8, n_examples) uint8, the lowest byte first: small enough for exact sums in float32 over 65,536 examples.

    Example:
        >>> weight_bytes(np.array([0x0102], dtype=np.uint64))[:3, 0]
        array([2, 1, 0], dtype=uint8)
    """
    return np.ascontiguousarray(weights.astype("<u8").view(np.uint8).reshape(-1, 8).T)


def twins(
    fingerprints: NDArray[np.uint64], *, mirror_of_zero: int, candidates: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each neuron another one with the same pattern or its mirror image, and whether it is the mirror image.

    Args:
        fingerprints: (n_neurons,) uint64.
        mirror_of_zero: k Σ r(id) modulo 2^64, the fingerprint of a neuron that is always in the highest interval.
        candidates: (n_neurons,) bool, the neurons that are looked at.

    Returns:
        (n_neurons,) int64: the first neuron of a group for all its others, the second for the first, and -1 where there is none;
        and (n_neurons,) bool.

    Example:
        >>> twins(np.array([3, 9, 7, 3, 5], dtype=np.uint64), mirror_of_zero=10, candidates=np.ones(5, dtype=bool))
        (array([ 2, -1,  0,  0, -1]), array([ True, False,  True, False, False]))
    """
    with np.errstate(over="ignore"):
        mirrored = np.uint64(mirror_of_zero % 2**64) - fingerprints
    names = np.minimum(fingerprints, mirrored)
    twin = np.full(len(fingerprints), -1, dtype=np.int64)
    places = np.flatnonzero(candidates)
    order = places[np.argsort(names[places], kind="stable")]
    borders = np.flatnonzero(names[order[1:]] != names[order[:-1]]) + 1
    for group in np.split(order, borders):
        if len(group) > 1:
            twin[group] = group[0]
            twin[group[0]] = group[1]
    paired = twin >= 0
    mirror = np.zeros(len(fingerprints), dtype=bool)
    mirror[paired] = fingerprints[paired] != fingerprints[twin[paired]]
    return twin, mirror
