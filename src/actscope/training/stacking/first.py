"""The first product of a stack: the examples of a batch with the first kernels of all models at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from actscope.training.stacking.inputs import SparseExamples
from actscope.training.stacking.layout import Layout

__all__ = ["DenseFirst", "First", "SparseFirst"]


class First(Protocol):
    """What turns a batch into rows of the first level, and their gradient into that of the first kernels."""

    def forward(self, rows: Tensor) -> None:
        """Takes the examples `rows`, (n_examples,) int64, and fills the first level."""

    def backward(self) -> None:
        """Fills the gradient of the first kernels for the same examples."""


class DenseFirst:
    """One product for all first kernels, which are one matrix.

    Args:
        layout: the models and where their parameters are.
        x: (n, n_inputs) all examples, with the inputs in use.
        vectors: (n_parameters,) parameters and gradients.
        z, d: (n_rows, n_examples) the first level, and the gradient by it.
    """

    def __init__(self, layout: Layout, x: Tensor, vectors: tuple[Tensor, Tensor], z: Tensor, d: Tensor) -> None:
        (span, _), *others = layout.first_kernels
        assert not others
        self._x, self._z, self._d = x, z, d
        self._kernel, self._d_kernel = (vector[span].view(len(z), layout.n_inputs) for vector in vectors)
        self._batch = x.new_empty(z.shape[1], layout.n_inputs)

    def forward(self, rows: Tensor) -> None:
        """Takes the examples `rows`."""
        torch.index_select(self._x, 0, rows, out=self._batch)
        torch.mm(self._kernel, self._batch.t(), out=self._z)

    def backward(self) -> None:
        """Fills the gradient of the kernels."""
        torch.mm(self._d, self._batch, out=self._d_kernel)


class SparseFirst:
    """One sparse product for the first kernels of all models with the same update; they are stored inputs first.

    Args:
        layout: the models and where their parameters are.
        examples: all examples, with the inputs in use.
        vectors: (n_parameters,) parameters and gradients.
        z, d: (n_rows, n_examples) the first level, and the gradient by it.
    """

    def __init__(
        self, layout: Layout, examples: SparseExamples, vectors: tuple[Tensor, Tensor], z: Tensor, d: Tensor
    ) -> None:
        from actscope.training.stacking import sparseproducts

        self._kernels = sparseproducts
        self._all = examples.starts, examples.columns, examples.values
        n_examples, n_inputs = z.shape[1], layout.n_inputs
        most = int(np.sort(np.diff(examples.starts))[-n_examples:].sum())
        self._batch = (
            np.empty(n_examples + 1, np.int64),
            np.empty(most, np.int32),
            np.empty(most, examples.values.dtype),
        )
        self._by_input = (
            np.empty(n_inputs + 1, np.int64),
            np.empty(most, np.int32),
            np.empty(most, examples.values.dtype),
        )
        self._blocks = []
        for span, rows in layout.first_kernels:
            kernel, d_kernel = (vector[span].view(n_inputs, -1).numpy() for vector in vectors)
            # what fills up a row of kernels stays zero, and so does its gradient
            padded = z.new_zeros(n_examples, kernel.shape[1])
            across = padded[:, : rows.stop - rows.start]
            self._blocks.append((kernel, d_kernel, across, padded.numpy(), z[rows], d[rows]))

    def forward(self, rows: Tensor) -> None:
        """Takes the examples `rows`."""
        self._kernels.gather(*self._all, rows.numpy(), *self._batch)
        for kernel, _, across, padded, z, _ in self._blocks:
            self._kernels.add_up(*self._batch, kernel, padded)
            z.copy_(across.t())

    def backward(self) -> None:
        """Fills the gradient of the kernels."""
        self._kernels.gather_by_input(*self._batch, *self._by_input)
        for _, d_kernel, across, padded, _, d in self._blocks:
            across.copy_(d.t())
            self._kernels.add_up(*self._by_input, padded, d_kernel)
