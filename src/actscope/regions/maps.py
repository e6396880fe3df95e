"""The affine maps that a model is on the regions of given examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from actscope.codes.discovery import Activations
from actscope.progress import progress_bar
from actscope.regions.examples import chunks, read_at
from actscope.regions.programs.linearization import Linearizer
from actscope.regions.programs.program import Program

__all__ = ["AffineMaps", "affine", "spectral_norms"]


@dataclass(frozen=True, eq=False, repr=False)
class AffineMaps:
    """model(x') = W x' + b for all x' in the region of each example.

    Attributes:
        weight: (n, n_outputs, *input_shape) float64: W, which is the Jacobian; the model's output is flattened.
        bias: (n, n_outputs) float64: b.
    """

    weight: Tensor
    bias: Tensor

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.weight)

    def __call__(self, points: Tensor) -> Tensor:
        """(n, n_outputs): each map at a point of its own, (n, *input_shape).

        Raises:
            ValueError: if there is not one point for each map.
        """
        expected = (len(self), *self.weight.shape[2:])
        if tuple(points.shape) != expected:
            raise ValueError(f"points has shape {tuple(points.shape)}, but the maps take {expected}: a point for each")
        flat = points.detach().to(self.weight.device, torch.float64).flatten(1)
        values: Tensor = torch.bmm(self.weight.flatten(2), flat[..., None])[..., 0] + self.bias
        return values

    def norms(self, order: Literal[1, 2] | float = 2) -> Tensor:
        """(n,) how much each map stretches at most: ‖W‖ as an operator between spaces with the 1-, 2- or ∞-norm.

        Args:
            order: 1, 2 or `math.inf`.
        """
        if order not in (1, 2, float("inf")):
            raise ValueError(f"order={order!r}: 1, 2 and math.inf are the norms that have a closed form")
        matrices = self.weight.flatten(2)
        if order == 2:
            return spectral_norms(matrices)
        return matrices.abs().sum(dim=1 if order == 1 else 2).amax(dim=1)

    def to_dict(self) -> dict[str, Any]:
        """Both tensors as lists."""
        return {"weight": self.weight.tolist(), "bias": self.bias.tolist()}

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.weight.shape[2:]))
        return f"AffineMaps({len(self):,} from {shape} inputs to {self.weight.shape[1]} outputs)"


def affine(
    model: nn.Module | Program,
    x: Any,
    *,
    activations: Activations | None = None,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> AffineMaps:
    """The affine map that the model is on the region of each example: W and b with model(x') = W x' + b there.

    The region is the example's cell in the whole model: every kink and every pooling choice is as it is at the example. W is carried
    forwards through the steps along a basis of the input, or backwards from the outputs, whichever has fewer vectors to carry.

    Args:
        model: any piecewise-linear module, or its `Program`.
        x: (n, *input_shape) examples, a tensor or array.
        activations: as for `actscope.encode`.
        device: where to compute; the model's own device if `None`. The maps stay there.
        batch_size: examples at a time; by default as many as fit a fixed memory.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Raises:
        NotPiecewiseLinearError: if the model's output is not piecewise linear in its input; the message names the operation.
        ValueError: if an example is not finite, or the shape is not the model's.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = nn.init.eye_(model[0].weight), nn.init.ones_(model[0].bias)
        >>> _ = nn.init.ones_(model[2].weight), nn.init.zeros_(model[2].bias)
        >>> found = affine(model, torch.tensor([[3.0, -2.0]]))
        >>> found.weight.tolist(), found.bias.tolist()
        ([[[1.0, 0.0]]], [[1.0]])
        >>> found(torch.tensor([[4.0, -2.0]])), model(torch.tensor([[4.0, -2.0]])).item()
        (tensor([[5.]], dtype=torch.float64), 5.0)
    """
    program, points = read_at(model, x, activations=activations, device=device)
    program.require_output()
    linearizer = Linearizer(program)
    weights, biases = [], []
    with progress_bar("affine maps", total=len(points), show=progress) as advance:
        for rows in chunks(len(points), _CARRIED * linearizer.width, batch_size):
            own = points[rows].to(program.device)
            weight, bias = _maps_at(linearizer, own)
            weights.append(weight)
            biases.append(bias)
            advance(len(own))
    return AffineMaps(torch.cat(weights), torch.cat(biases))


_CARRIED = 32
"""Vectors that are carried through the model at a time."""


def _maps_at(linearizer: Linearizer, points: Tensor) -> tuple[Tensor, Tensor]:
    """(n, n_outputs, *input_shape) W and (n, n_outputs) b."""
    linearization = linearizer.at(points)
    output = linearization.output
    if output is None:
        raise RuntimeError("the program has no output")
    n, n_outputs = output.shape
    if n_outputs <= linearizer.n_directions:
        firsts = range(0, n_outputs, _CARRIED)
        parts = [linearization.output_gradients(first, min(first + _CARRIED, n_outputs)) for first in firsts]
        weight = torch.cat(parts, dim=1)
    else:
        basis = linearizer.basis()
        slopes = [linearization.output_along(directions) for directions in torch.split(basis, _CARRIED)]
        weight = (torch.cat(slopes, dim=1).mT @ basis.flatten(1)).reshape(n, n_outputs, *basis.shape[1:])
    bias = output - torch.bmm(weight.flatten(2), points.flatten(1)[..., None])[..., 0]
    return weight, bias


def spectral_norms(matrices: Tensor) -> Tensor:
    """(n,) the largest singular value of each of (n, p, q) matrices; 0 for one without entries."""
    if 0 in matrices.shape:
        return matrices.new_zeros(len(matrices))
    scale = matrices.abs().amax(dim=(1, 2), keepdim=True)  # so that squares stay in range
    scaled = matrices / scale.masked_fill(scale == 0, 1.0)
    short = scaled if scaled.shape[1] <= scaled.shape[2] else scaled.mT
    squares = torch.linalg.eigvalsh(short @ short.mT)[
        :, -1
    ]  # many times faster than singular values, and the largest is as exact
    norms: Tensor = squares.clamp(min=0).sqrt() * scale[:, 0, 0]
    return norms
