"""Many small products of different shapes in one call, which would else spend their time on being called.

Import this inside the function that needs it: it imports numba. A row of `table`, (n_products, 5) int64, is one product: where its
kernel begins in the vector of parameters, the kernel's rows and columns, its first row of the inputs, and its first row of the outputs.
Matrices are numpy's, C-contiguous, a column for each example.
"""

from __future__ import annotations

import numpy as np

from actscope.training.stacking.compiling import compiled

__all__ = ["differentiate", "multiply"]


@compiled
def multiply(table: np.ndarray, parameters: np.ndarray, inputs: np.ndarray, out: np.ndarray) -> None:
    """Every kernel times its rows of `inputs`, into its rows of `out`."""
    n_examples = out.shape[1]
    for product in range(table.shape[0]):
        start, height, width, first_in, first_out = table[product]
        for c in range(height):
            total = out[first_out + c]
            for j in range(n_examples):
                total[j] = 0
            k, at, row = 0, start + c * width, first_in
            while k + 5 <= width:
                w0, w1, w2 = parameters[at], parameters[at + 1], parameters[at + 2]
                w3, w4 = parameters[at + 3], parameters[at + 4]
                h0, h1, h2, h3, h4 = inputs[row], inputs[row + 1], inputs[row + 2], inputs[row + 3], inputs[row + 4]
                for j in range(n_examples):
                    total[j] += w0 * h0[j] + w1 * h1[j] + w2 * h2[j] + w3 * h3[j] + w4 * h4[j]
                k, at, row = k + 5, at + 5, row + 5
            while k < width:
                w0, h0 = parameters[at], inputs[row]
                for j in range(n_examples):
                    total[j] += w0 * h0[j]
                k, at, row = k + 1, at + 1, row + 1


@compiled
def differentiate(
    table: np.ndarray,
    parameters: np.ndarray,
    gradients: np.ndarray,
    inputs: np.ndarray,
    d_out: np.ndarray,
    d_inputs: np.ndarray,
) -> None:
    """From the gradient by the outputs, that by the kernels, into the vector of gradients, and that by the inputs."""
    n_examples, zero = d_out.shape[1], d_out.dtype.type(0)
    for product in range(table.shape[0]):
        start, height, width, first_in, first_out = table[product]
        for k in range(width):
            total, h = d_inputs[first_in + k], inputs[first_in + k]
            for j in range(n_examples):
                total[j] = 0
            c, at, row = 0, start + k, first_out
            while c + 5 <= height:
                w0, w1, w2 = parameters[at], parameters[at + width], parameters[at + 2 * width]
                w3, w4 = parameters[at + 3 * width], parameters[at + 4 * width]
                d0, d1, d2, d3, d4 = d_out[row], d_out[row + 1], d_out[row + 2], d_out[row + 3], d_out[row + 4]
                g0 = g1 = g2 = g3 = g4 = zero
                for j in range(n_examples):
                    total[j] += w0 * d0[j] + w1 * d1[j] + w2 * d2[j] + w3 * d3[j] + w4 * d4[j]
                for j in range(n_examples):
                    g0 += d0[j] * h[j]
                    g1 += d1[j] * h[j]
                    g2 += d2[j] * h[j]
                    g3 += d3[j] * h[j]
                    g4 += d4[j] * h[j]
                gradients[at], gradients[at + width], gradients[at + 2 * width] = g0, g1, g2
                gradients[at + 3 * width], gradients[at + 4 * width] = g3, g4
                c, at, row = c + 5, at + 5 * width, row + 5
            while c < height:
                w0, d0 = parameters[at], d_out[row]
                g0 = zero
                for j in range(n_examples):
                    total[j] += w0 * d0[j]
                for j in range(n_examples):
                    g0 += d0[j] * h[j]
                gradients[at] = g0
                c, at, row = c + 1, at + width, row + 1
