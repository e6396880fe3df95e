"""How much a model can stretch distances within one activation region: exactly, from above, and from below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations, unwrapped
from actscope.codes.encoding import encode
from actscope.codes.restoring import evaluating
from actscope.progress import progress_bar
from actscope.regions.chains import NotAChainError, read_chain
from actscope.regions.examples import chunks
from actscope.regions.maps import affine, spectral_norms
from actscope.regions.points import as_points
from actscope.regions.programs.program import NotPiecewiseLinearError, Program
from actscope.regions.programs.specimens import double_copy

__all__ = ["Lipschitz", "LipschitzBound", "lipschitz"]

LipschitzBound: TypeAlias = Literal["exact", "upper", "lower"]

_DECADES = 3
"""Orders of magnitude over which the distances of one round's samples are spread."""

_ROUNDS = 16
"""Times that the distance at which a region is sampled is made to fit it."""


@dataclass(frozen=True, eq=False, repr=False)
class Lipschitz:
    """The Lipschitz constant of a model on the region of each example, in the 2-norm; what was not asked for is `None`.

    Attributes:
        exact: (n,) float64: the norm of the affine map there.
        upper: (n,) float64: the product bound, which nothing in the region exceeds.
        lower: (n,) float64: the largest norm of the Jacobian at points of the region that were sampled.
        n_samples: (n,) int64: how many points those are, the example itself included.
    """

    exact: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None
    lower: NDArray[np.float64] | None = None
    n_samples: NDArray[np.int64] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as lists."""
        fields = {"exact": self.exact, "upper": self.upper, "lower": self.lower, "n_samples": self.n_samples}
        return {name: None if values is None else values.tolist() for name, values in fields.items()}

    def __repr__(self) -> str:
        bounds = {"exact": self.exact, "upper": self.upper, "lower": self.lower}
        known = {name: values for name, values in bounds.items() if values is not None}
        n = len(next(iter(known.values())))
        medians = ", ".join(f"{name} {np.median(values):.4g}" for name, values in known.items())
        return f"Lipschitz({n:,} example{'s' * (n != 1)}, medians: {medians})"


def lipschitz(
    model: nn.Module | Program,
    x: Any,
    *,
    bounds: LipschitzBound | Sequence[LipschitzBound] | None = None,
    samples: int = 32,
    generator: torch.Generator | None = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Lipschitz:
    """The Lipschitz constant of the model on the region of each example: exact where it is affine, bounds by name where it is not.

    - `"exact"`, of a piecewise-linear model: the spectral norm ‖W‖ of the affine map on the example's cell.
    - `"upper"`, of a chain of layers (linear, convolutional, normalization in eval mode, pooling; no branches): the product bound

          ‖f(x) - f(x')‖ ≤ ρ ‖x - x'‖,   ρ = Π_i ‖W_i‖ · max_z sup |σ'|,

      the supremum being over the interval (γ, γ'] of neuron z in the example's pattern, and the maximum over the neurons behind W_i (Jiang
      et al. 2022, (13) to (16); (13) is printed with input and output exchanged, and (14) without the absolute value that slopes
      below zero need). A pooling stretches by at most √m, where no entry is in more than m of its windows. The bound is for paths that stay
      in the region; where that is convex, for any two of its points.
    - `"lower"`: the largest ‖J(x')‖ over points x' of the same pattern (their (17), whose supremum over the region a sample cannot exceed).
      Their distances from the example are spread over three orders of magnitude, which follow how many still have its pattern.

    Args:
        model: any module for `"lower"`; for the others see above. A `Program` has its breakpoints already.
        x: (n, *input_shape) examples, a tensor or array.
        bounds: which of them; by default `"exact"` if the model is piecewise linear, else `"upper"` and `"lower"`.
        samples: points to try for each example in each of a few rounds, for `"lower"`.
        generator: what draws them, on the CPU; one seeded with 0 if `None`.
        breakpoints, activations: as for `actscope.encode`: the pattern that makes a region of a smooth model.
        device: where to compute; the model's own device if `None`.
        batch_size: points at a time; by default as many as fit a fixed memory.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Raises:
        NotPiecewiseLinearError: if `"exact"` is asked for and the model is not piecewise linear.
        NotAChainError: if `"upper"` is asked for and the model is no chain of layers; the message names the operation.
        ValueError: if an example is not finite, or `bounds` holds another name.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> _ = model.load_state_dict({"0.weight": torch.tensor([[3.0, 0.0], [0.0, 4.0]]), "0.bias": torch.zeros(2)})
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> lipschitz(model, x).exact
        array([4., 3., 0.])
        >>> lipschitz(model, x, bounds=["upper", "lower"])
        Lipschitz(3 examples, medians: upper 4, lower 3)
    """
    wanted = _wanted(bounds)
    points = as_points(x, "x")
    exact = None
    if wanted is None or "exact" in wanted:
        try:
            maps = affine(
                model, points, activations=activations, device=device, batch_size=batch_size, progress=progress
            )
            exact, wanted = maps.norms().cpu().numpy(), wanted or {"exact"}
        except NotPiecewiseLinearError:
            if wanted is not None:
                raise
            wanted = {"upper", "lower"}
    if wanted == {"exact"}:
        return Lipschitz(exact=exact)
    if isinstance(model, Program):
        if model.model is None:
            raise ValueError("this Program was made without a model: give the model itself")
        source = model.model
        breakpoints, activations = {site.name: site.breakpoints for site in model.sites}, model.activations
    else:
        source = unwrapped(model)
    double = double_copy(source, device)
    network = _Network(double.module, points.to(double.device), breakpoints, activations, batch_size)
    upper = network.product_bound() if "upper" in wanted else None
    if "lower" not in wanted:
        return Lipschitz(exact=exact, upper=upper)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    lower, n_samples = network.sampled(samples, generator, progress)
    return Lipschitz(exact=exact, upper=upper, lower=lower, n_samples=n_samples)


def _wanted(bounds: LipschitzBound | Sequence[LipschitzBound] | None) -> set[str] | None:
    if bounds is None:
        return None
    names = {bounds} if isinstance(bounds, str) else set(bounds)
    unknown = names - {"exact", "upper", "lower"}
    if unknown or not names:
        raise ValueError(f"bounds={bounds!r}: there are 'exact', 'upper' and 'lower'")
    return set(names)


@dataclass
class _Network:
    """A model in float64 with its examples."""

    model: nn.Module
    points: Tensor
    breakpoints: Breakpoints
    activations: Activations | None
    batch_size: int | None

    def product_bound(self) -> NDArray[np.float64]:
        """(n,) Π ‖W_i‖ · max sup |σ'|."""
        chain = read_chain(self.model, self.points[:1], activations=self.activations)
        factor = chain.pooled * math.prod(chain.norms())
        bound = np.full(len(self.points), factor)
        codes = self._encode(self.points)
        intervals = codes.intervals()
        first = 0
        places = {call.seen.name: i for i, call in enumerate(chain.activations) if call.seen is not None}
        for site in codes.sites:
            if site.name not in places:
                raise NotAChainError(f"site {site.name!r} does not lie in the chain of layers")
            steepest = chain.steepest(places.pop(site.name), site.breakpoints)
            own = intervals[:, first : first + site.n_neurons]
            columns = np.arange(site.n_neurons) if steepest.shape[1] > 1 else 0
            bound *= steepest[own, columns].max(axis=1)
            first += site.n_neurons
        return bound

    def sampled(
        self, samples: int, generator: torch.Generator, progress: bool | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(n,) the largest norm of the Jacobian over points of each region, and (n,) how many points those are."""
        n, shape = len(self.points), self.points.shape[1:]
        own = self._encode(self.points).packed
        most, counts = self._norms(self.points), np.ones(n, dtype=np.int64)
        spread = float(self.points.abs().max()) or 1.0
        radii = torch.full((n, 1), spread, dtype=torch.float64)
        n_in = math.prod(shape)
        with progress_bar("lipschitz", total=_ROUNDS if samples else 0, show=progress, unit="rounds") as advance:
            for _ in range(_ROUNDS if samples else 0):
                drawn = torch.randn((n, samples, n_in), generator=generator, dtype=torch.float64)
                depth = torch.rand((n, samples, 1), generator=generator, dtype=torch.float64)
                unit = drawn / torch.linalg.vector_norm(drawn, dim=2, keepdim=True)
                steps = (unit * 10 ** (-_DECADES * depth) * radii[..., None]).reshape(n * samples, *shape)
                around = self.points.repeat_interleave(samples, dim=0) + steps.to(self.points.device)
                stays = (self._encode(around).packed == np.repeat(own, samples, axis=0)).all(axis=1)
                if stays.any():
                    np.maximum.at(most, np.flatnonzero(stays) // samples, self._norms(around[torch.from_numpy(stays)]))
                share = stays.reshape(n, samples).mean(axis=1)
                counts += stays.reshape(n, samples).sum(axis=1)
                radii *= torch.from_numpy(np.where(share == 1, 4.0, np.where(share < 0.1, 0.25, 1.0)))[:, None]
                advance(1)
        return most, counts

    def _encode(self, points: Tensor) -> Any:
        return encode(
            self.model,
            points,
            breakpoints=self.breakpoints,
            activations=self.activations,
            dtype=torch.float64,
            progress=False,
        )

    def _norms(self, points: Tensor) -> NDArray[np.float64]:
        """(n,) ‖J‖ at each point."""
        norms = []
        width = 64 * math.prod(points.shape[1:])
        for rows in chunks(len(points), width, self.batch_size):
            with torch.enable_grad(), evaluating(self.model):
                inputs = points[rows].clone().requires_grad_()
                output = _tensor_of(self.model(inputs.clone())).flatten(1)  # which it may write into
                columns = [
                    torch.autograd.grad(column.sum(), inputs, retain_graph=True, allow_unused=True)[0]
                    for column in output.T
                ]
            jacobians = torch.stack([torch.zeros_like(inputs) if c is None else c for c in columns], dim=1)
            norms.append(spectral_norms(jacobians.detach().flatten(2)).cpu().numpy())
        return np.concatenate(norms)


def _tensor_of(output: Any) -> Tensor:
    if isinstance(output, Mapping):
        output = output.get("logits", next(iter(output.values()), None))
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise ValueError(f"the model returned a {type(output).__name__}, not a tensor: its Jacobian is not defined")
    return output
