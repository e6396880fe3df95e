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
        self._counts: tuple[Tensor, Tensor] | None = None
        self._dense: dict[bool, Tensor] = {}
        self._sparse: dict[bool, SparseExamples] = {}
        self._making = threading.RLock()

    def used(self, dropping: bool) -> Tensor | None:
        """Columns in use, (n_used,) int64; None for all, where not `dropping` any or where it would not pay."""
        if not dropping:
            return None
        columns = self._counted()[1].nonzero()[:, 0]
        return columns if 0 < len(columns) <= self.x.shape[1] * (1 - _WORTH_DROPPING) else None

    def is_sparse(self) -> bool:
        """Whether sparse products are faster: on a CPU, with most values zero."""
        return self._is_simple() and int(self._counted()[0].sum()) <= _SPARSE * self.x.numel()

    def dense(self, dropping: bool) -> Tensor:
        """The examples, (n_examples, n_used), perhaps without the inputs not in use."""
        with self._making:
            used = self.used(dropping)
            if dropping not in self._dense:
                self._dense[dropping] = self.x if used is None else self.x.index_select(1, used)
            return self._dense[dropping]

    def sparse(self, dropping: bool) -> SparseExamples:
        """The same, compressed; only where they are sparse."""
        from actscope.training.stacking.sparseproducts import compress

        with self._making:
            if dropping not in self._sparse:
                used = self.used(dropping)
                n_inputs = self.x.shape[1]
                places = np.zeros(n_inputs, np.int32)
                columns = np.arange(n_inputs) if used is None else used.numpy()
                places[columns] = np.arange(len(columns))
                starts = np.concatenate([[0], np.cumsum(self._counted()[0].numpy())])
                x = self.x.detach().numpy()
                # with room for one more, which `compress` needs
                entries = np.empty(starts[-1] + 1, np.int32), np.empty(starts[-1] + 1, x.dtype)
                compress(x, places, starts, *entries)
                self._sparse[dropping] = SparseExamples(starts, entries[0][:-1], entries[1][:-1], len(columns))
            return self._sparse[dropping]

    def _is_simple(self) -> bool:
        """Whether the compiled loops can read them."""
        return self.x.device.type == "cpu" and self.x.dtype in (torch.float32, torch.float64)

    def _counted(self) -> tuple[Tensor, Tensor]:
        """How many values are not zero, by example and by input; NaN is not zero."""
        with self._making:
            if self._counts is None and self._is_simple():
                from actscope.training.stacking.sparseproducts import count

                of_rows, of_columns = (torch.zeros(n, dtype=torch.int64) for n in self.x.shape)
                count(self.x.detach().numpy(), of_rows.numpy(), of_columns.numpy())
                self._counts = of_rows, of_columns
            elif self._counts is None:
                is_there = self.x != 0
                self._counts = is_there.sum(1), is_there.sum(0)
            return self._counts
