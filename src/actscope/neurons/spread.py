"""How far predictions spread at one distance from an example, inside its activation region and outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes import encode
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.selection import Layers
from actscope.neurons.predictions import Inputs, Output, batch_size_for, placed, predictions
from actscope.progress import progress_bar

__all__ = ["PredictionSpread", "prediction_spread"]


@dataclass(frozen=True, eq=False, repr=False)
class PredictionSpread:
    """The largest change of the prediction at one distance from each example, in its region and outside of it, by sampled directions.

    The two are maxima over equally many directions, the first that were drawn of each kind: over more of them a maximum is larger for
    that reason alone.

    Attributes:
        radius: the distance r.
        n_directions: directions drawn for each example.
        n_inside: (n,) int64, how many of them stay in the example's region.
        inside: (n,) float64, the largest ‖F(x) - F(x')‖ over the directions compared that stay inside; NaN where all stay, or none.
        outside: (n,) float64, the same over those that leave.
    """

    radius: float
    n_directions: int
    n_inside: NDArray[np.int64]
    inside: NDArray[np.float64]
    outside: NDArray[np.float64]

    @property
    def compared(self) -> NDArray[np.bool_]:
        """(n,) the examples with directions of both kinds."""
        return (self.n_inside > 0) & (self.n_inside < self.n_directions)

    @property
    def holds_share(self) -> float:
        """The share of compared examples whose predictions change no more inside than outside; NaN if none was compared."""
        holds = (self.inside <= self.outside)[self.compared]
        return float(holds.mean()) if len(holds) else float("nan")

    @property
    def holds_standard_error(self) -> float:
        """√(s(1 - s)/(n - 1)) of that share; NaN for fewer than two compared examples."""
        n = int(self.compared.sum())
        return float(np.sqrt(self.holds_share * (1 - self.holds_share) / (n - 1))) if n > 1 else float("nan")

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """The quartiles of outside / inside over the compared examples: above 1 where predictions change more outside."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = (self.outside / self.inside)[self.compared]
        known = ratios[~np.isnan(ratios)]
        if not len(known):
            return (float("nan"),) * 3
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75], method="lower").tolist()
        return low, middle, high

    def to_dict(self) -> dict[str, Any]:
        """What was found as plain values; `None` where nothing could be compared."""
        found = self.compared
        return {
            "radius": self.radius,
            "n_directions": self.n_directions,
            "n_inside": self.n_inside.tolist(),
            "inside": [value if known else None for value, known in zip(self.inside.tolist(), found, strict=True)],
            "outside": [value if known else None for value, known in zip(self.outside.tolist(), found, strict=True)],
            "holds_share": self.holds_share if found.any() else None,
        }

    def __repr__(self) -> str:
        low, middle, high = self.quantiles
        if not self.compared.any():
            where = "stay in the region" if self.n_inside.any() else "leave the region"
            return f"PredictionSpread(radius {self.radius:g}: nothing to compare, since all directions {where} for every example)"
        return (
            f"PredictionSpread(radius {self.radius:g}: {int(self.compared.sum()):,} of {len(self.inside):,} examples compared; predictions "
            f"change no more inside than outside for {self.holds_share:.3g} ± {self.holds_standard_error:.2g} of them, outside / inside "
            f"{middle:.3g} [{low:.3g}, {high:.3g}])"
        )


def prediction_spread(
    model: nn.Module,
    x: Inputs,
    *,
    radius: float,
    n_directions: int = 256,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    output: Output = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> PredictionSpread:
    """How far predictions spread at one distance from each example, inside its activation region and outside.

    Theorem 2 of Jiang et al. 2022 says sup ‖F(x) - F(x')‖ over x' in the region of x at distance r is almost surely no larger than over x'
    outside. It holds where some neighbouring region is steeper, which is likely with many regions around and no law: an example in the
    steepest region refutes it. So it is compared, by sampled directions, and the result says for how many examples it holds.

    Args:
        model: any module whose forward pass is Python.
        x: (n, …) inputs.
        radius: the distance r. Where no direction stays inside (or all do), an example says nothing: choose r near the distance to the
            border.
        n_directions: directions to draw for each example, uniform on the sphere.
        layers, breakpoints, activations: which pattern, as for `actscope.encode`. A point is inside if its pattern is the example's.
        output: from what the model returns to its prediction.
        device, dtype: where and in what precision to run, on a copy of the model.
        seed: of the directions.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Raises:
        ValueError: if the radius or the number of directions is not positive.
        TypeError: if the inputs are not floating-point.

    Example:
        >>> spread = prediction_spread(nn.ReLU(), torch.tensor([[0.5]]), radius=1.0)  # steep inside, flat outside
        >>> spread.inside, spread.outside, spread.holds_share
        (array([1.]), array([0.5]), 0.0)
    """
    if radius <= 0 or n_directions < 2:
        raise ValueError(
            f"radius={radius}, n_directions={n_directions}: both must be positive, and two directions compared"
        )
    centres = torch.as_tensor(x).detach()
    if not centres.is_floating_point():
        raise TypeError(f"x must be floating-point, so that there are points around it; got {centres.dtype}")
    model, device, dtype = placed(model, device, dtype)
    centres = centres.to(device="cpu", dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    n_inside = np.zeros(len(centres), np.int64)
    inside, outside = np.full(len(centres), np.nan), np.full(len(centres), np.nan)
    with progress_bar("spread", total=len(centres), show=progress) as advance:
        for row, centre in enumerate(centres):
            points = torch.cat([centre[None], _around(centre, radius, n_directions, generator)])
            outputs = predictions(model, points, output=output)
            codes = encode(
                model,
                points,
                layers=layers,
                breakpoints=breakpoints,
                activations=activations,
                batch_size=batch_size_for(points),
                progress=False,
            )
            changes = (outputs[1:] - outputs[:1]).reshape(n_directions, -1).norm(dim=1).numpy()
            stays = (codes.packed[1:] == codes.packed[:1]).all(axis=1)
            n_inside[row] = stays.sum()
            compared = min(stays.sum(), (~stays).sum())
            if compared:
                inside[row], outside[row] = changes[stays][:compared].max(), changes[~stays][:compared].max()
            advance(1)
    return PredictionSpread(radius, n_directions, n_inside, inside, outside)


def _around(centre: Tensor, radius: float, n: int, generator: torch.Generator) -> Tensor:
    """Points at one distance from the centre, in directions uniform on the sphere."""
    directions = torch.randn((n, *centre.shape), generator=generator, dtype=torch.float64)
    lengths = directions.reshape(n, -1).norm(dim=1).reshape(-1, *[1] * centre.ndim)
    points: Tensor = centre + radius * directions / lengths
    return points.to(centre.dtype)
