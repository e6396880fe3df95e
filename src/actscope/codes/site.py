"""What one activation site is: its place, its kind, and how its breakpoints split the axis."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Site"]


@dataclass(frozen=True)
class Site:
    """One call of one elementwise nonlinearity in one forward pass.

    With breakpoints γ1 < … < γk, interval i of a neuron is (γi, γi+1], open below and closed above, with γ0 = -∞ and γk+1 = ∞
    (Jiang et al. 2022, Definition 1). A neuron's code is k bits, bit i = [z > γi].

    Attributes:
        name: the module's path (`layer1.0.relu`); for a functional call the parent's path and the operation (`layer1.0:relu`);
            the k-th further call in one forward pass ends in `#k`.
        kind: the activation's name, such as `relu` or `gelu`.
        shape: the shape of the pre-activation of one example.
        breakpoints: the pre-activation values that split the axis, ascending.
        kinks: where the activation's slope jumps, ascending.
        slopes: the slope on each of the `len(kinks) + 1` pieces between kinks; `None` where it is not one constant for all neurons.
        piecewise_linear: whether the activation is affine between its kinks.

    Example:
        >>> site = Site("relu6", "relu6", (3, 4), (0.0, 6.0), kinks=(0.0, 6.0), slopes=(0.0, 1.0, 0.0), piecewise_linear=True)
        >>> site.n_neurons, site.n_bits, site.n_bytes
        (12, 24, 4)
        >>> site.dead_intervals, site.linear_intervals
        ((0, 2), (1,))
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    breakpoints: tuple[float, ...]
    kinks: tuple[float, ...] = ()
    slopes: tuple[float | None, ...] = (None,)
    piecewise_linear: bool = False

    @property
    def n_neurons(self) -> int:
        """Neurons of one example: the product of `shape`."""
        return math.prod(self.shape)

    @property
    def n_planes(self) -> int:
        """Bits per neuron: one plane of bits for each breakpoint."""
        return len(self.breakpoints)

    @property
    def n_bits(self) -> int:
        """Bits of one example, without padding."""
        return self.n_neurons * self.n_planes

    @property
    def bytes_per_plane(self) -> int:
        """Bytes that hold one plane: its bits, padded to whole bytes."""
        return -(-self.n_neurons // 8)

    @property
    def n_bytes(self) -> int:
        """Bytes of one example, with padding."""
        return self.bytes_per_plane * self.n_planes

    @property
    def dead_intervals(self) -> tuple[int, ...]:
        """The intervals on which the post-activation is one constant, so that nothing of the input passes."""
        return self._intervals_of_slope(0.0)

    @property
    def linear_intervals(self) -> tuple[int, ...]:
        """The intervals on which the post-activation follows the input one to one: a neuron that never leaves them adds no bend."""
        return self._intervals_of_slope(1.0)

    def _intervals_of_slope(self, slope: float) -> tuple[int, ...]:
        edges = (-math.inf, *self.breakpoints, math.inf)
        pieces = list(zip((-math.inf, *self.kinks), (*self.kinks, math.inf), self.slopes, strict=True))
        return tuple(
            i
            for i, (low, high) in enumerate(itertools.pairwise(edges))
            if all(piece_slope == slope for start, stop, piece_slope in pieces if start < high and stop > low)
        )

    def __str__(self) -> str:
        shape = "×".join(map(str, self.shape)) or "1"
        points = ", ".join(f"{point:g}" for point in self.breakpoints)
        return f"{self.name}: {self.kind}, {shape} = {self.n_neurons} neurons, breakpoints {{{points}}}"

    def to_dict(self) -> dict[str, Any]:
        """The site as plain values that JSON can hold."""
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "breakpoints": list(self.breakpoints),
            "kinks": list(self.kinks),
            "slopes": list(self.slopes),
            "piecewise_linear": self.piecewise_linear,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Site:
        """The site that `to_dict` described."""
        return cls(
            name=str(values["name"]),
            kind=str(values["kind"]),
            shape=tuple(int(size) for size in values["shape"]),
            breakpoints=tuple(float(point) for point in values["breakpoints"]),
            kinks=tuple(float(kink) for kink in values["kinks"]),
            slopes=tuple(None if slope is None else float(slope) for slope in values["slopes"]),
            piecewise_linear=bool(values["piecewise_linear"]),
        )
