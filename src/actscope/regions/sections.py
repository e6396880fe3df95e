"""A plane in the input space of a model, with coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from actscope.regions.points import as_points

__all__ = ["Plane"]


@dataclass(frozen=True, eq=False, repr=False)
class Plane:
    """The inputs origin + a u + b v for all real a, b.

    Attributes:
        origin, u, v: (*input_shape) float64. u and v need not be orthogonal nor of unit length, but must not be parallel.
        examples: (n, *input_shape) inputs that span the plane, which pictures show; `None` if there are none.

    Raises:
        ValueError: if u and v span no plane, or shapes differ.

    Example:
        >>> plane = Plane.through(torch.tensor([0.0, 0, 1]), torch.tensor([2.0, 0, 1]), torch.tensor([0.0, 2, 1]))
        >>> torch.allclose(plane.points(plane.coordinates(plane.examples)), plane.examples)
        True
    """

    origin: Tensor
    u: Tensor
    v: Tensor
    examples: Tensor | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("origin", "u", "v"):
            put(self, name, as_points(torch.as_tensor(getattr(self, name))[None], name)[0])
        if not self.origin.shape == self.u.shape == self.v.shape:
            shapes = [tuple(part.shape) for part in (self.origin, self.u, self.v)]
            raise ValueError(
                f"origin, u and v must be inputs of one shape; got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        lengths = self.u.norm() * self.v.norm()
        if not bool(lengths > 0) or self.area_unit <= 1e-9 * float(lengths):
            raise ValueError(
                "u and v span no plane: they are parallel, or one is zero. Give two other directions, or three examples not on a line"
            )

    @classmethod
    def through(cls, x1: Tensor, x2: Tensor, x3: Tensor, *, unit: float = 1.25) -> Plane:
        """The plane through three inputs: origin in their middle, orthogonal directions, and all three in [-1, 1]².

        Args:
            x1, x2, x3: (*input_shape).
            unit: the length of u and v, in multiples of the largest distance from the middle to an example.

        Raises:
            ValueError: if the three lie on a line, as two equal ones do.
        """
        points = _stacked(x1, x2, x3)
        middle = points.mean(dim=0)
        return cls._spanned(
            middle, points[1] - points[0], points[2] - points[0], unit * float(_longest(points - middle)), points
        )

    @classmethod
    def through_origin(cls, x1: Tensor, x2: Tensor, *, unit: float = 1.25) -> Plane:
        """The plane through the origin of the input space and two inputs, as Hanin & Rolnick (2019) choose it.

        A unit is 1.25 times the larger of the two, and they count regions in the window (-20, 20, -20, 20).

        Args:
            x1, x2: (*input_shape).
            unit: the length of u and v, in multiples of the longer input.

        Raises:
            ValueError: if the two lie on a line with the origin.
        """
        points = _stacked(x1, x2)
        return cls._spanned(torch.zeros_like(points[0]), points[0], points[1], unit * float(_longest(points)), points)

    @classmethod
    def random(cls, shape: tuple[int, ...], *, generator: torch.Generator, origin: Tensor | None = None) -> Plane:
        """A plane in a direction uniform among all, through `origin` or zero, with orthonormal u and v.

        Args:
            shape: of an input, of two numbers or more.
            generator: decides the direction.
            origin: (*input_shape) a point of it.

        Example:
            >>> plane = Plane.random((3, 4), generator=torch.Generator().manual_seed(0))
            >>> round(plane.area_unit, 12)
            1.0
        """
        a, b = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
        start = torch.zeros(shape, dtype=torch.float64) if origin is None else origin
        return cls._spanned(start, a, b, 1.0, None)

    @classmethod
    def _spanned(cls, origin: Tensor, a: Tensor, b: Tensor, unit: float, examples: Tensor | None) -> Plane:
        u = a / a.norm() if bool(a.norm() > 0) else a
        v = b - (b * u).sum() * u
        v = v - (v * u).sum() * u
        if not bool(a.norm() > 0) or not bool(v.norm() > 1e-9 * b.norm()):
            raise ValueError("the inputs lie on a line, so they span no plane: take others (two of them may be equal)")
        return cls(origin, unit * u, unit * v / v.norm(), examples)

    @property
    def area_unit(self) -> float:
        """The area in input space of the parallelogram of u and v."""
        uu, vv, uv = float((self.u**2).sum()), float((self.v**2).sum()), float((self.u * self.v).sum())
        return math.sqrt(max(uu * vv - uv * uv, 0.0))

    def points(self, coordinates: ArrayLike) -> Tensor:
        """The inputs at coordinates (n, 2): (n, *input_shape) float64."""
        at = torch.as_tensor(np.asarray(coordinates, dtype=float).reshape(-1, 2), device=self.u.device)
        a, b = (at[:, i].reshape(-1, *[1] * self.u.ndim) for i in (0, 1))
        found: Tensor = self.origin + a * self.u + b * self.v
        return found

    def coordinates(self, x: Any) -> NDArray[np.float64]:
        """The coordinates (n, 2) of the points of the plane that are nearest to inputs (n, *input_shape)."""
        away = (as_points(x, "x").to(self.u.device) - self.origin).flatten(1)
        directions = torch.stack([self.u.flatten(), self.v.flatten()], dim=1)
        found: NDArray[np.float64] = torch.linalg.lstsq(directions, away.T).solution.T.cpu().numpy()
        return found

    def __repr__(self) -> str:
        spanned = "" if self.examples is None else f", spanned by {len(self.examples)} examples"
        return f"Plane(in inputs of shape {tuple(self.origin.shape)}{spanned})"


def _stacked(*examples: Any) -> Tensor:
    tensors = [torch.as_tensor(example) for example in examples]
    if len({tuple(tensor.shape) for tensor in tensors}) > 1:
        raise ValueError(
            f"the examples must be inputs of one shape; got {', '.join(str(tuple(t.shape)) for t in tensors)}"
        )
    return as_points(torch.stack(tensors), "examples")


def _longest(points: Tensor) -> Tensor:
    longest: Tensor = points.flatten(1).norm(dim=1).max()
    return longest
