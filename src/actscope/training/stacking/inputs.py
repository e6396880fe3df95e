"""The examples that models of a stack share, on the device, and what of them is not zero."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Inputs", "SparseExamples"]

_WORTH_DROPPING = 1 / 32
"""Share of the inputs that must be zero in all examples for a copy without them to pay."""
_SPARSE = 0.25
"""Share of the values that may differ from zero for sparse products to be faster than dense ones."""


@dataclass(frozen=True, eq=False)
class SparseExamples:
    """Examples as compressed rows: entries `starts[i]` to `starts[i + 1]` are example i's, each a column and a value.

    Attributes:
        starts: (n_examples + 1,) int64.
        columns: (n_entries,) int32.
        values: (n_entries,) floating.
        n_inputs: number of columns.
    """

    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    n_inputs: int


class Inputs:
    """Examples as rows; the forms of them that training needs are made when first asked for, once for all threads.

    A weight from an input that is always zero has no gradient: without a penalty and weight decay no optimizer moves it.

    Args:
        x: (n_examples, n_inputs).
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self._used: dict[bool, Tensor | None] = {False: None}
        self._dense: dict[bool, Tensor] = {False: x}
        self._sparse: dict[bool, SparseExamples] = {}
        self._share: float | None = None
        self._making = threading.Lock()

    def used(self, dropping: bool) -> Tensor | None:
        """Columns in use, (n_used,) int64; None for all, where not `dropping` any or where it would not pay."""
        with self._making:
            if dropping not in self._used:
                # NaN is not zero, so it stays in
                columns = (self.x != 0).any(0).nonzero()[:, 0]
                pays = 0 < len(columns) <= self.x.shape[1] * (1 - _WORTH_DROPPING)
                self._used[True] = columns if pays else None
            return self._used[dropping]

    def is_sparse(self) -> bool:
        """Whether sparse products are faster: on a CPU, with most values zero."""
        with self._making:
            if self._share is None:
                known = self.x.device.type == "cpu" and self.x.dtype in (torch.float32, torch.float64)
                self._share = float((self.x != 0).sum()) / self.x.numel() if known else 1.0
            return self._share <= _SPARSE

    def dense(self, dropping: bool) -> Tensor:
        """The examples, (n_examples, n_used), perhaps without the inputs not in use."""
        used = self.used(dropping)
        with self._making:
            if dropping not in self._dense:
                self._dense[dropping] = self.x if used is None else self.x.index_select(1, used)
            return self._dense[dropping]

    def sparse(self, dropping: bool) -> SparseExamples:
        """The same, compressed; on a CPU."""
        from scipy.sparse import csr_array, vstack

        used = self.used(dropping)
        with self._making:
            if dropping not in self._sparse:
                parts = [part if used is None else part.index_select(1, used) for part in torch.split(self.x, 8192)]
                rows = vstack([csr_array(part.numpy()) for part in parts], format="csr")
                self._sparse[dropping] = SparseExamples(
                    rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data, rows.shape[1]
                )
            return self._sparse[dropping]
