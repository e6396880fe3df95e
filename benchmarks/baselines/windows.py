"""Rectangles in a plane of input space, where regions are counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

__all__ = ["Window", "square", "through"]


@dataclass(frozen=True, eq=False)
class Window:
    """The points origin + s·u + t·v with (s, t) in a rectangle.

    Attributes:
        origin, u, v: (n_inputs,) float64; u and v are orthonormal.
        bounds: the least and largest s, the least and largest t.
    """

    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray
    bounds: tuple[float, float, float, float]

    def lift(self, coordinates: np.ndarray) -> np.ndarray:
        """From the plane's coordinates (n, 2) to inputs (n, n_inputs)."""
        lifted: np.ndarray = self.origin + coordinates @ np.stack([self.u, self.v])
        return lifted


def square(half_width: float) -> Window:
    """The square of this half width around the origin of a plane that is the whole input space."""
    x, y = np.eye(2)
    return Window(np.zeros(2), x, y, (-half_width, half_width, -half_width, half_width))


def through(points: Tensor, *, margin: float) -> Window:
    """A window on the plane through three points (3, …): the square around their mean that reaches ``margin`` times as far as they do."""
    first, *_ = corners = points.flatten(1).double().numpy()
    centre = corners.mean(axis=0)
    basis, _ = np.linalg.qr((corners[1:] - first).T)
    reach = margin * float(np.abs((corners - centre) @ basis).max())
    return Window(centre, basis[:, 0], basis[:, 1], (-reach, reach, -reach, reach))
