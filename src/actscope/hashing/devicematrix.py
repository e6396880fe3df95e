"""Bits written out as floats on an accelerator, for products with a few float vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.devices import free_bytes

__all__ = ["DeviceMatrix", "fits_on"]

_BYTES_AT_A_TIME = 1 << 26


@dataclass(frozen=True, eq=False)
class DeviceMatrix:
    """Some columns of packed rows as a matrix of zeros and ones on a device; vectors come from the CPU and go back there.

    Attributes:
        matrix: (n_rows, n_features) float32.
    """

    on_device: ClassVar[bool] = True
    matrix: Tensor

    @classmethod
    def of(cls, packed: np.ndarray, columns: NDArray[np.int64], device: torch.device) -> DeviceMatrix:
        """The matrix of some bits of (n_rows, n_bytes) uint8."""
        matrix = torch.empty((len(packed), len(columns)), dtype=torch.float32, device=device)
        chosen = torch.from_numpy(columns).to(device)
        places = torch.arange(8, dtype=torch.uint8, device=device)
        step = max(1, _BYTES_AT_A_TIME // max(8 * packed.shape[1], 1))
        for start in range(0, len(packed), step):
            there = torch.from_numpy(np.array(packed[start : start + step])).to(device)
            bits = (there.unsqueeze(-1) >> places).bitwise_and_(1).flatten(1)
            matrix[start : start + step] = bits.index_select(1, chosen)
        return cls(matrix)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.matrix)

    @property
    def n_features(self) -> int:
        """How many columns there are."""
        return int(self.matrix.shape[1])

    def dots(self, weights: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Dot products of vectors (k, n_features) with the rows from start up to stop: (k, stop - start)."""
        return self._back(self._there(weights) @ self.matrix[start:stop].t())

    def sums(self, coefficients: NDArray[np.float32], positions: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Sums of the rows at some positions, each times its coefficient (k, n_positions): (k, n_features)."""
        rows = self.matrix[positions] if isinstance(positions, slice) else self._chosen(positions)
        return self._back(self._there(coefficients) @ rows)

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows, (n_positions, n_features)."""
        return self._back(self._chosen(positions))

    def squared_norms(self) -> NDArray[np.float64]:
        """How many bits are set in each row, (n_rows,)."""
        # whole numbers far below 2 ** 24, which float32 adds up exactly
        return np.asarray(self.matrix.sum(1).cpu().numpy(), np.float64)

    def _chosen(self, positions: NDArray[np.int64]) -> Tensor:
        if len(positions) == self.n_rows and np.array_equal(positions, np.arange(self.n_rows)):
            return self.matrix
        return self.matrix.index_select(0, torch.from_numpy(positions).to(self.matrix.device))

    def _there(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.matrix.device)

    def _back(self, values: Tensor) -> NDArray[np.float32]:
        # an array of our own, as callers write into what they get
        return np.array(values.cpu().numpy())


def fits_on(device: torch.device, n_rows: int, n_features: int) -> bool:
    """Whether the matrix, and as much again for rows that are taken from it, leave a third of what is free on the device."""
    return device.type != "cuda" or 3 * 4 * n_rows * n_features <= free_bytes(device)
