"""Whether the gradient of a loss is an affine function of one layer's weight, as long as no activation pattern changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actscope.codes import encode
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations, unwrapped
from actscope.codes.restoring import evaluating, random_state_kept

__all__ = ["GradientAffinity", "gradient_affinity"]

_HALVINGS = 40


@dataclass(frozen=True)
class GradientAffinity:
    """How far the gradient of a loss is from affine in one weight, on a line through its value.

    Attributes:
        parameter: the weight's name.
        step: the weights looked at are W + s D, s from -step to step, with ‖D‖ = ‖W‖.
        n_points: how many of them.
        same_region: whether the examples' activation patterns are the same at both ends, and so all along where every activation is
            piecewise linear between its breakpoints.
        deviation: the largest distance of a gradient from the affine function that fits them best, as a share of the largest change of the
            gradient; 0 where that distance is no more than rounding.
        tolerance: the deviation up to which `affine` is true.
    """

    parameter: str
    step: float
    n_points: int
    same_region: bool
    deviation: float
    tolerance: float

    @property
    def affine(self) -> bool:
        """Whether the gradient is affine in the weight, within the tolerance."""
        return self.deviation <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """The fields and `affine`, as plain values."""
        return {**asdict(self), "affine": self.affine}


def gradient_affinity(
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    *,
    parameter: str,
    loss: Callable[[Any, Tensor], Tensor] | None = None,
    step: float = 0.5,
    stay_in_region: bool = True,
    n_points: int = 9,
    tolerance: float = 1e-9,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    seed: int = 0,
) -> GradientAffinity:
    """Whether the gradient of the loss with respect to one weight is an affine function of that weight.

    Theorem 1 of Jiang et al. 2022 says that it is proportional to the weight. It is *affine*, and only

    - within one activation region: while no example changes its pattern;
    - for activations that are piecewise linear with breakpoints at their kinks;
    - for a loss whose derivative is linear in the output, such as squared error. Cross-entropy is none, whatever the paper says of (7);
    - if the weight is used once in a forward pass.

    Args:
        model: any module whose forward pass is Python. It runs in eval mode, on a float64 copy.
        x: (n, …) inputs.
        target: what the loss compares the output with.
        parameter: the name of the weight, as in `model.named_parameters()`.
        loss: from output and target to a number; by default squared error, Σ (output - target)² / 2.
        step: how far to go from the weight, as a share of its norm, in a random direction.
        stay_in_region: whether to halve the step until no pattern changes. A curve is close to a line on a short step, and the deviation of
            a loss that is not covered shrinks with it: fewer examples leave room for a longer one.
        n_points: weights to look at, 3 or more.
        tolerance: of `GradientAffinity.affine`.
        breakpoints, activations: which pattern, as for `actscope.encode`.
        seed: of the direction.

    Raises:
        ValueError: if there is no such parameter, there are fewer than three points, or even the smallest step changes a pattern.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x, target = torch.randn(4, 3), torch.randn(4, 2)
        >>> gradient_affinity(model, x, target, parameter="0.weight").affine
        True
        >>> classes = torch.tensor([0, 1, 1, 0])
        >>> gradient_affinity(model, x, classes, parameter="0.weight", loss=nn.functional.cross_entropy).affine
        False
    """
    names = [name for name, _ in model.named_parameters()]
    if parameter not in names:
        raise ValueError(f"parameter={parameter!r} is none of the model's; it has: {', '.join(names)}")
    if n_points < 3 or step <= 0:
        raise ValueError(f"n_points={n_points}, step={step}: two points are always on a line, and a step has a length")
    model = copy.deepcopy(unwrapped(model)).double()
    weight = model.get_parameter(parameter)
    start = weight.detach().clone()
    direction = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    direction = direction.to(start.device) * (start.norm() or 1.0) / direction.norm()
    inputs = x.detach().to(device=weight.device, dtype=torch.float64)
    wanted = target.to(device=weight.device, dtype=torch.float64 if target.is_floating_point() else None)
    measure = _squared_error if loss is None else loss

    def pattern(s: float) -> np.ndarray:
        with torch.no_grad():
            weight.copy_(start + s * direction)
        codes = encode(model, inputs, breakpoints=breakpoints, activations=activations, progress=False)
        return codes.packed

    def same(s: float) -> bool:
        return bool(np.array_equal(pattern(-s), here) and np.array_equal(pattern(s), here))

    here = pattern(0.0)
    if stay_in_region:
        step = next((smaller for smaller in step / 2.0 ** np.arange(_HALVINGS) if same(smaller)), 0.0)
        if not step:
            raise ValueError(
                "some pre-activation lies on a breakpoint, so that the smallest change of the weight changes a pattern: use other examples"
            )
    places = np.linspace(-step, step, n_points)
    gradients = []
    with random_state_kept(weight.device), evaluating(model):
        for s in places:
            with torch.no_grad():
                weight.copy_(start + float(s) * direction)
            (gradient,) = torch.autograd.grad(measure(model(inputs), wanted), weight)
            gradients.append(gradient.flatten().cpu().numpy())
    return GradientAffinity(
        parameter, float(step), n_points, same(float(step)), _deviation(places, np.array(gradients)), tolerance
    )


def _squared_error(output: Tensor, target: Tensor) -> Tensor:
    if output.shape != target.shape:
        raise ValueError(
            f"the model's output has shape {tuple(output.shape)} and the target {tuple(target.shape)}; squared error takes equal ones"
        )
    return ((output - target) ** 2).sum() / 2


def _deviation(places: np.ndarray, gradients: np.ndarray) -> float:
    design = np.stack([np.ones_like(places), places / places[-1]], axis=1)
    fit, *_ = np.linalg.lstsq(design, gradients, rcond=None)
    residual = float(np.linalg.norm(gradients - design @ fit, axis=1).max())
    change = float(np.linalg.norm(gradients - gradients[len(places) // 2], axis=1).max())
    rounding = 1e-12 * float(np.linalg.norm(gradients, axis=1).max())
    return residual / change if residual > rounding else 0.0
