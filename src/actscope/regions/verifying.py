"""Partitions compared with the model that they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.discovery import Firing, SiteReader
from actscope.codes.restoring import evaluating, random_state_kept
from actscope.codes.site import Site
from actscope.regions.programs.program import Program, SiteStep

__all__ = ["PartitionError", "verify_cells", "verify_total"]

_AT_ONCE = 1024


class PartitionError(RuntimeError):
    """A partition and the model that it was made from differ."""


def verify_cells(
    program: Program,
    points: Tensor,
    packed: NDArray[np.uint8],
    values: NDArray[np.float64] | None,
    *,
    tolerance: float,
    name: str,
) -> None:
    """Run the model itself on a point inside each cell, and compare pattern and output with what the partition says.

    Args:
        program: what the partition was made from.
        points: (n_cells, *input_shape) float64.
        packed: (n_cells, n_bytes) uint8: each cell's pattern.
        values: (n_cells, n_outputs) what its local map gives at the point; `None` to compare patterns alone.
        tolerance: pre-activations within this share of their scale may be either way.
        name: what the cells are, for the message.

    Raises:
        PartitionError: on a mismatch; the message names the first cell and site.
    """
    if program.model is None:
        raise PartitionError("this program was made without a model: there is nothing to compare it with")
    steps = {step.site.name: step for step in program.steps if isinstance(step, SiteStep) and step.site is not None}
    outputs = []
    for first in range(0, len(points), _AT_ONCE):
        pre_activations, output = _forward(program, points[first : first + _AT_ONCE], set(steps))
        start = 0
        for site in program.sites:
            z = program.layouts[steps[site.name].register].rows(pre_activations[site.name]).cpu().numpy()
            bits = packed[first : first + _AT_ONCE, start : start + site.n_bytes]
            _require_same(bits, z, site, tolerance, name, first)
            start += site.n_bytes
        outputs.append(output)
    if values is None:
        return
    found = torch.cat(outputs).flatten(1).cpu().numpy()
    scale = np.abs(found).max(initial=0.0)
    error = np.abs(found - values).max(axis=1, initial=0.0)
    if (error > 10 * tolerance * scale).any():  # a cell that is not split within the tolerance is off by as much
        worst = int(error.argmax())
        raise PartitionError(
            f"{name} {worst}: its local map gives an output that differs from the model's by {error[worst]:.3g} (of {scale:.3g})"
        )


def _forward(program: Program, points: Tensor, names: set[str]) -> tuple[dict[str, Tensor], Tensor]:
    """The pre-activations of the named sites, and the output, in one forward pass of the model itself."""
    found: dict[str, Tensor] = {}

    def keep(firing: Firing) -> None:
        if firing.name in names:
            found[firing.name] = firing.pre_activation.detach().clone()

    model = program.model
    if model is None:
        raise PartitionError("this program was made without a model")
    reader = SiteReader(model, keep, on_unseen=lambda sentence: None, activations=program.activations)
    with random_state_kept(points.device), evaluating(model), torch.no_grad(), reader:
        reader.start()
        output = model(points.clone())
    return found, _tensor_in(output)


def _require_same(
    packed: NDArray[np.uint8], z: NDArray[np.float64], site: Site, tolerance: float, name: str, first: int
) -> None:
    """Compare one site's pattern with its pre-activations; those that are zero within the tolerance may be either way."""
    scale = np.abs(z).max(axis=1, initial=0.0)
    for plane, level in enumerate(site.breakpoints):
        bytes_ = packed[:, plane * site.bytes_per_plane : (plane + 1) * site.bytes_per_plane]
        said = np.unpackbits(bytes_, axis=1, count=site.n_neurons, bitorder="little").astype(bool)
        far = np.abs(z - level) > tolerance * np.maximum(scale, abs(level))[:, None]
        cells, neurons = np.nonzero((said != (z > level)) & far)
        if len(cells):
            raise PartitionError(
                f"{name} {first + cells[0]}: neuron {neurons[0]} of site {site.name!r} is {z[cells[0], neurons[0]]:.6g} there, which is "
                f"another side of {level:g} than the partition says"
            )


def verify_total(parts: NDArray[np.float64], total: float, what: str) -> None:
    """Check that parts add up to a whole, to 1e-9 of it.

    Raises:
        PartitionError: if they do not.

    Example:
        >>> verify_total(np.array([0.25, 0.5]), 1.0, "lengths")
        Traceback (most recent call last):
        ...
        actscope.regions.verifying.PartitionError: lengths add up to 0.75, not to 1
    """
    if abs(float(parts.sum()) - total) > 1e-9 * total:
        raise PartitionError(f"{what} add up to {float(parts.sum()):.12g}, not to {total:.12g}")


def _tensor_in(output: Any) -> Tensor:
    if isinstance(output, dict):
        output = output.get("logits", next(iter(output.values())))
    while isinstance(output, (tuple, list)):
        output = output[0]
    tensor: Tensor = output
    return tensor.detach()
