"""Networks of ten neurons and one input, trained side by side to fit a function (Jiang et al. 2022, Section III-C)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "N_NEURONS", "ToyNetworks", "Update", "target"]

N_NEURONS = 10
Update = Literal["each example", "whole epoch", "whole epoch by Adam"]
Array = NDArray[np.float64]


def target(x: Array) -> Array:
    """y = 2 cos(πx) + x(x - 1) + 1 (Jiang et al. 2022, (11)).

    Example:
        >>> target(np.array([0.0, 1.0]))
        array([ 3., -1.])
    """
    return 2 * np.cos(np.pi * x) + x * (x - 1) + 1


@dataclass
class ToyNetworks:
    """Networks of one input, one hidden layer and one output, trained side by side.

    Attributes:
        is_relu: (n_networks, 1) bool; the others are sigmoid.
        w, b: (n_networks, n_neurons), weights and biases of the hidden layer.
        v: (n_networks, n_neurons), weights of the output.
        c: (n_networks,), its bias.
        step: epochs so far.
    """

    is_relu: NDArray[np.bool_]
    w: Array
    b: Array
    v: Array
    c: Array
    step: int = 0
    _moments: dict[str, tuple[Array, Array]] = field(default_factory=dict, repr=False)

    @classmethod
    def drawn(cls, models: Sequence[tuple[str, float, float, str, int]]) -> ToyNetworks:
        """Networks with uniform weights of [-w, w] and biases of [-b, b].

        Args:
            models: activation, w, b, seed, and whether that holds for `all layers` or only the `hidden layer`; the output is then drawn
                from ±1/√n_neurons, PyTorch's default.
        """
        parts: list[tuple[Array, Array, Array, float]] = []
        for _, w, b, layers, seed in models:
            draw = np.random.default_rng(seed)
            hidden = draw.uniform(-1, 1, (2, N_NEURONS))
            of_output, bias = draw.uniform(-1, 1, N_NEURONS), draw.uniform(-1, 1)
            out_w, out_b = (w, b) if layers == "all layers" else (1 / math.sqrt(N_NEURONS),) * 2
            parts.append((w * hidden[0], b * hidden[1], out_w * of_output, out_b * bias))
        w_all, b_all, v_all = (np.array([part[i] for part in parts]) for i in range(3))
        is_relu = np.array([[model[0] == "relu"] for model in models])
        return cls(is_relu, w_all, b_all, v_all, np.array([part[3] for part in parts]))

    def contributions(self, x: Array) -> Array:
        """What each neuron adds to the output: (n_networks, n_points, n_neurons)."""
        return self._hidden(x)[0] * self.v[:, None]

    def outputs(self, x: Array) -> Array:
        """(n_networks, n_points)."""
        result: Array = self.contributions(x).sum(2) + self.c[:, None]
        return result

    def gradients(self, x: Array) -> dict[str, Array]:
        """Gradients of every point's squared error by the parameters: (n_networks, n_points, n_neurons), for `c` (n_networks, n_points)."""
        value, slope = self._hidden(x)
        error = 2 * ((value * self.v[:, None]).sum(2) + self.c[:, None] - target(x))
        by_pre = error[..., None] * self.v[:, None] * slope
        return {"w": by_pre * x[:, None], "b": by_pre, "v": error[..., None] * value, "c": error}

    def train(self, x: Array, *, epochs: int, lr: float, update: Update) -> None:
        """Descent on the squared error, in place: a step for `each example` in their order, or for the mean of a `whole epoch`, also
        `by Adam`."""
        batches = x[:, None] if update == "each example" else x[None]
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(epochs):
                self.step += 1
                for batch in batches:
                    for name, gradient in self.gradients(batch).items():
                        mean = gradient.mean(1)
                        getattr(self, name)[...] -= lr * (
                            self._adapted(name, mean) if update == "whole epoch by Adam" else mean
                        )

    def _adapted(self, name: str, gradient: Array) -> Array:
        """What Adam makes of a gradient (Kingma & Ba 2015, Algorithm 1)."""
        zero = np.zeros_like(gradient)
        first, second = self._moments.get(name, (zero, zero))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        self._moments[name] = first, second
        return (first / (1 - 0.9**self.step)) / (np.sqrt(second / (1 - 0.999**self.step)) + 1e-8)

    def _hidden(self, x: Array) -> tuple[Array, Array]:
        """Post-activations and slopes, (n_networks, n_points, n_neurons)."""
        z = self.w[:, None] * x[:, None] + self.b[:, None]
        is_relu = self.is_relu[:, None]
        on = z > 0
        if is_relu.all():
            return np.where(on, z, 0.0), on.astype(np.float64)
        s = 0.5 + 0.5 * np.tanh(0.5 * z)
        return np.where(is_relu, np.where(on, z, 0.0), s), np.where(is_relu, on, s * (1 - s))
