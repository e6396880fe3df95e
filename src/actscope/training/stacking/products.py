"""Linear layers of a stack behind the first one: views of the parameters, multiplied straight into their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["SMALL", "Bias", "Product", "SmallProducts"]

SMALL = 2**12
"""Numbers of a kernel up to which a loop of our own beats the call of a library."""


@dataclass(eq=False)
class Product:
    """Kernels of one shape: one, as matrices, or several, as batches of them.

    Attributes:
        kernel, d_kernel: (…, width, n_inputs), and its gradient.
        inputs, d_inputs: (…, n_inputs, n_examples).
        out, d_out: (…, width, n_examples).
    """

    kernel: Tensor
    d_kernel: Tensor
    inputs: Tensor
    d_inputs: Tensor
    out: Tensor
    d_out: Tensor

    def forward(self) -> None:
        """Fills `out`."""
        (torch.mm if self.kernel.ndim == 2 else torch.bmm)(self.kernel, self.inputs, out=self.out)

    def backward(self) -> None:
        """Fills `d_kernel` and `d_inputs`."""
        product = torch.mm if self.kernel.ndim == 2 else torch.bmm
        product(self.d_out, self.inputs.mT, out=self.d_kernel)
        product(self.kernel.mT, self.d_out, out=self.d_inputs)


class SmallProducts:
    """Small kernels of different shapes, on a CPU: one compiled loop for all of them.

    Args:
        table: (n_products, 5) as `smallproducts` has it.
        parameters, gradients: (n_parameters,).
        inputs, d_inputs: the level before.
        out, d_out: the level into which they go.
    """

    def __init__(
        self,
        table: Sequence[tuple[int, ...]],
        parameters: Tensor,
        gradients: Tensor,
        inputs: Tensor,
        d_inputs: Tensor,
        out: Tensor,
        d_out: Tensor,
    ) -> None:
        from actscope.training.stacking import smallproducts

        self._kernels, self._table = smallproducts, np.array(table, dtype=np.int64)
        self._parameters, self._gradients = parameters.numpy(), gradients.numpy()
        self._inputs, self._d_inputs, self._out, self._d_out = (v.numpy() for v in (inputs, d_inputs, out, d_out))

    def forward(self) -> None:
        """Fills `out`."""
        self._kernels.multiply(self._table, self._parameters, self._inputs, self._out)

    def backward(self) -> None:
        """Fills the gradients of the kernels, and `d_inputs`."""
        self._kernels.differentiate(
            self._table, self._parameters, self._gradients, self._inputs, self._d_out, self._d_inputs
        )


@dataclass(eq=False)
class Bias:
    """Biases of neighbouring rows.

    Attributes:
        bias, d_bias: (n_rows, 1), and their gradient, (n_rows,).
        out, d_out: (n_rows, n_examples) what they are added to, and the gradient by it.
    """

    bias: Tensor
    d_bias: Tensor
    out: Tensor
    d_out: Tensor

    def forward(self) -> None:
        """Adds them to `out`."""
        self.out.add_(self.bias)

    def backward(self) -> None:
        """Fills their gradient."""
        torch.sum(self.d_out, 1, out=self.d_bias)
