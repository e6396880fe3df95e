"""Codes as the feature matrix that logistic regression and K-Means work on: their bits, or their inner products."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from actscope.codes.distances import hamming
from actscope.devices import device_of, precision
from actscope.hashing.bitmatrix import BitMatrix
from actscope.hashing.devicematrix import DeviceMatrix, fits_on

__all__ = ["BITS_PER_GRAM_ROW", "FeatureMatrix", "Features", "features_of"]

BITS_PER_GRAM_ROW = 32
"""With fewer, forming the Gram matrix takes longer than it saves a single fit."""
_GRAM_BYTES_PER_PAIR = 12  # the float64 matrix that is factorised, and the float32 copy of its factor
_BYTES_AT_A_TIME = 1 << 24
_BYTES_OF_ROWS_AT_A_TIME = 1 << 10  # parts of rows that stay in the cache while they are compared


class FeatureMatrix(Protocol):
    """A matrix with a row of features for each code, known by its products with a few vectors."""

    @property
    def on_device(self) -> bool:
        """Whether it lies elsewhere, so that a few large products are better than many small ones."""
        ...

    @property
    def n_rows(self) -> int:
        """How many codes there are."""
        ...

    @property
    def n_features(self) -> int:
        """How many numbers describe one."""
        ...

    def dots(self, weights: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Dot products of vectors (k, n_features) with some rows, (k, stop - start); start is a multiple of 512."""
        ...

    def sums(self, coefficients: NDArray[np.float32], positions: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Sums of the rows at some positions, each times its coefficient: (k, n_features) for coefficients (k, n_positions)."""
        ...

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows as floats, (n_positions, n_features)."""
        ...

    def squared_norms(self) -> NDArray[np.float64]:
        """Of each row, (n_rows,)."""
        ...


@dataclass(frozen=True, eq=False)
class Features:
    """The features of codes in several parts.

    Attributes:
        parts: one matrix for each part, all with the same features.
        gram: how features became those of a Gram matrix; `None` where they are the bits.
    """

    parts: Sequence[FeatureMatrix]
    gram: _GramFactor | None

    @property
    def n_features(self) -> int:
        """How many numbers describe a code."""
        return self.parts[0].n_features

    def threads(self) -> AbstractContextManager[object]:
        """A context to work in: BLAS calls from several threads each keep to their own, and a GPU does not round what it multiplies."""
        if self.gram is None:
            return precision(False) if self.parts[0].on_device else nullcontext()
        from threadpoolctl import threadpool_limits

        limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
        return limits

    def in_bits(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Linear functions of features (k, n_features) as functions of the bits that vary, with the same values on all rows."""
        return weights if self.gram is None else self.gram.in_bits(weights)


def features_of(
    packed: np.ndarray,
    columns: NDArray[np.int64],
    edges: Sequence[int],
    *,
    max_bytes: int,
    bits_per_row: int = BITS_PER_GRAM_ROW,
    device: torch.device | str | None = None,
) -> Features:
    """The features of different codes, in the form that makes products cheapest.

    L2-penalised logistic regression and K-Means depend on codes only through inner products. So where there are far fewer codes than
    bits, n features with the same inner products take the place of the bits, and every vector of weights is that much shorter.

    Args:
        packed: (n, n_bytes) uint8.
        columns: positions of the bits that vary.
        edges: part i has the rows edges[i] … edges[i + 1].
        max_bytes: the Gram matrix is not formed if it needs more.
        bits_per_row: for how many times as many bits as codes it is formed.
        device: an accelerator on which the bits are written out as floats, if they take at most a third of what is free there.
    """
    n = len(packed)
    parts = list(itertools.pairwise(edges))
    place = torch.device("cpu") if device is None else device_of(device)
    if place.type != "cpu" and fits_on(place, n, len(columns)):
        return Features([DeviceMatrix.of(packed[start:stop], columns, place) for start, stop in parts], None)
    if bits_per_row * n <= len(columns) and _GRAM_BYTES_PER_PAIR * n * n <= max_bytes:
        gram = _GramFactor.of(packed, columns)
        return Features([_FloatMatrix(gram.factor[start:stop]) for start, stop in parts], gram)
    return Features([BitMatrix.of(packed[start:stop], columns) for start, stop in parts], None)


@dataclass(frozen=True, eq=False)
class _FloatMatrix:
    """Features written out, (n_rows, n_features) float32."""

    on_device: ClassVar[bool] = False
    matrix: NDArray[np.float32]

    @property
    def n_rows(self) -> int:
        return len(self.matrix)

    @property
    def n_features(self) -> int:
        return int(self.matrix.shape[1])

    def dots(self, weights: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        return weights @ self.matrix[start:stop].T

    def sums(self, coefficients: NDArray[np.float32], positions: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return coefficients @ self.matrix[positions]

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.matrix[positions]

    def squared_norms(self) -> NDArray[np.float64]:
        return np.asarray(np.einsum("ij,ij->i", self.matrix, self.matrix, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class _GramFactor:
    """The Cholesky factor L of the codes' inner products, X Xᵀ = L Lᵀ: X up to a rotation, with n columns instead of d."""

    packed: np.ndarray
    columns: NDArray[np.int64]
    factor: NDArray[np.float32]

    @classmethod
    def of(cls, packed: np.ndarray, columns: NDArray[np.int64]) -> _GramFactor:
        from scipy.linalg import cholesky

        n = len(packed)
        on = hamming(packed, np.zeros((1, packed.shape[1]), np.uint8))[:, 0].astype(np.float64)
        always_on = np.bitwise_and.reduce(packed, axis=0)
        on -= int(np.unpackbits(always_on).sum())  # bits that do not vary are not used
        gram = np.zeros((n, n))
        step = max(64, _BYTES_AT_A_TIME // (4 * n))
        for start in range(0, n, step):
            stop = min(start + step, n)
            gram[start:stop, :stop] = on[start:stop, None] + on[:stop]
            for left in range(0, packed.shape[1], _BYTES_OF_ROWS_AT_A_TIME):
                some = slice(left, left + _BYTES_OF_ROWS_AT_A_TIME)
                gram[start:stop, :stop] -= hamming(packed[start:stop, some], packed[:stop, some])
        gram /= 2
        # Codes can be linearly dependent although they differ. A millionth of their mean square, as if each had a bit of its own
        # of that size, keeps the factor defined, and moves squared distances by about as little as float32 does.
        gram[np.diag_indices(n)] += 1e-6 * max(on.mean(), 1.0)
        in_order = gram.T  # of LAPACK, which then works in place
        upper = cholesky(in_order, lower=False, overwrite_a=True, check_finite=False)
        return cls(packed, columns, upper.T.astype(np.float32))

    def in_bits(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        from scipy.linalg import solve_triangular

        coefficients = solve_triangular(self.factor, weights.T, lower=True, trans="T", check_finite=False).T
        bits = BitMatrix.of(self.packed, self.columns)
        return bits.sums(np.ascontiguousarray(coefficients, dtype=np.float32), slice(None))
