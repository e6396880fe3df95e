"""Partitions compared with the model that they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.encoding import encode
from actscope.regions.probe import Probe
from actscope.regions.program import Program, SiteStep

__all__ = ["PartitionError", "verify_cells", "verify_total"]


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
    outputs: list[Tensor] = []
    codes = encode(
        program.model,
        points,
        layers=[site.name for site in program.sites],
        breakpoints={site.name: site.breakpoints for site in program.sites},
        activations=program.activations,
        dtype=torch.float64,
        batch_size=1024,
        on_output=lambda output, labels: outputs.append(_tensor_in(output)),
        progress=False,
    )
    differing = np.flatnonzero((codes.packed != packed).any(axis=1))
    if len(differing):
        _require_near_ties(program, points, packed, codes.packed, differing, tolerance, name)
    if values is not None:
        found = torch.cat(outputs).flatten(1).to(torch.float64).cpu().numpy()
        scale = np.abs(found).max(initial=0.0)
        error = np.abs(found - values).max(axis=1, initial=0.0)
        allowed = 1e-9 * scale + 1e-9 * np.abs(found).max(axis=1, initial=0.0)
        if (error > allowed).any():
            worst = int((error - allowed).argmax())
            raise PartitionError(
                f"{name} {worst}: its local map gives an output that differs from the model's by {error[worst]:.3g} (of {scale:.3g})"
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


def _require_near_ties(
    program: Program,
    points: Tensor,
    packed: NDArray[np.uint8],
    expected: NDArray[np.uint8],
    rows: NDArray[np.int64],
    tolerance: float,
    name: str,
) -> None:
    """Accept the bits that differ where the pre-activation is zero within the tolerance, and no others."""
    probe = Probe(program, points[torch.from_numpy(rows).to(points.device)])
    start = 0
    while (step := probe.advance()) is not None:
        if not isinstance(step, SiteStep) or step.site is None:
            continue
        site = step.site
        z = probe.z.cpu().numpy()
        scale = np.abs(z).max(axis=1, initial=0.0)
        for plane, level in enumerate(site.breakpoints):
            bytes_ = slice(start + plane * site.bytes_per_plane, start + (plane + 1) * site.bytes_per_plane)
            wrong = np.unpackbits(
                packed[rows, bytes_] ^ expected[rows, bytes_], axis=1, count=site.n_neurons, bitorder="little"
            )
            far = np.abs(z - level) > tolerance * np.maximum(scale, abs(level))[:, None]
            cells, neurons = np.nonzero(wrong.astype(bool) & far)
            if len(cells):
                raise PartitionError(
                    f"{name} {rows[cells[0]]}: neuron {neurons[0]} of site {site.name!r} is {z[cells[0], neurons[0]]:.6g} there, which is "
                    f"another side of {level:g} than the partition says"
                )
        start += site.n_bytes


def _tensor_in(output: Any) -> Tensor:
    if isinstance(output, dict):
        output = output.get("logits", next(iter(output.values())))
    while isinstance(output, (tuple, list)):
        output = output[0]
    tensor: Tensor = output
    return tensor.detach()
