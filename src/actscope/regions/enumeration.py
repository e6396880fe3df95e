"""All activation regions in a box of any small dimension: breadth first, from cell to cell across every facet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.groups import distinct
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.codes.table import Codes
from actscope.progress import progress_bar
from actscope.regions.boundaries import Boundary
from actscope.regions.polyhedra.boxes import Box, box_bounds
from actscope.regions.programs.analysis import read_program
from actscope.regions.programs.program import Program
from actscope.regions.searching import Found, search
from actscope.regions.subdivision.tiling import components
from actscope.regions.verifying import verify_cells, verify_total

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BoxRegions", "enumerate_regions"]


@dataclass(frozen=True, eq=False, repr=False)
class BoxRegions:
    """The partition of a box into convex cells on which nothing switches.

    On a cell every kink and every pooling choice is fixed. Where each cell has a pattern of its own (no pooling, all kinks count), cells
    are activation regions; otherwise several cells can belong to one region. Inputs are flattened.

    Attributes:
        box: (2, n_inputs) float64: lower and upper bounds.
        input_shape: of an input before it is flattened.
        packed: (n_cells, n_bytes) uint8: each cell's pattern, as in `Codes.packed`; sites: what the bytes mean.
        centres: (n_cells, n_inputs) float64: the centre of the largest ball inside; radii: (n_cells,) its radius.
        volumes: (n_cells,) lengths, areas or volumes; `None` above three dimensions.
        values, gradients: (n_cells, n_outputs) the model's output at the centre, and (n_cells, n_outputs, n_inputs) its derivatives;
            `None` where the output is not piecewise linear.
        neighbours: (n_pairs, 2) int64: pairs of cells that share a facet; owners: what switches there, for each pair.
        region: (n_cells,) int64: the activation region of each cell. linear_region: (n_cells,) the linear region, or `None`.
        complete: whether the other side of every facet was visited; if not, the counts are lower bounds.
        reason: why it is not complete.
        tolerance: cells whose inner radius is within this share of the box do not count.
        n_near_ties: hyperplanes and facets that are there or not by less than the tolerance, and cells too thin to count.
        corners: in two dimensions, the polygons, (n_corners, 2) each; else `None`.
    """

    box: NDArray[np.float64]
    input_shape: tuple[int, ...]
    packed: NDArray[np.uint8]
    sites: tuple[Site, ...]
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    volumes: NDArray[np.float64] | None
    values: NDArray[np.float64] | None
    gradients: NDArray[np.float64] | None
    neighbours: NDArray[np.int64]
    owners: tuple[tuple[Boundary, ...], ...]
    region: NDArray[np.int64]
    linear_region: NDArray[np.int64] | None
    complete: bool
    reason: str
    tolerance: float
    n_near_ties: int
    corners: tuple[NDArray[np.float64], ...] | None

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def n_cells(self) -> int:
        """Convex cells on which every kink and every pooling choice is fixed."""
        return len(self)

    @property
    def n_regions(self) -> int:
        """Distinct activation patterns; a lower bound if not `complete`."""
        return int(self.region.max(initial=-1)) + 1

    @property
    def n_linear_regions(self) -> int | None:
        """Maximal connected sets on which the model is one affine map; `None` where the output is not piecewise linear."""
        return None if self.linear_region is None else int(self.linear_region.max(initial=-1)) + 1

    @cached_property
    def n_components(self) -> int:
        """Connected components of the activation regions: more than these where a region of one pattern is in several pieces."""
        same = self.region[self.neighbours[:, 0]] == self.region[self.neighbours[:, 1]]
        return int(components(len(self), self.neighbours[same]).max(initial=-1)) + 1

    @property
    def codes(self) -> Codes:
        """The pattern of every cell, as codes."""
        return Codes(self.packed, self.sites)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The cells of a box in two dimensions, neighbouring regions told apart.

        Raises:
            ValueError: in any other dimension.
        """
        if self.corners is None:
            raise ValueError(
                f"a box of {self.box.shape[1]} dimensions has no picture: actscope.regions.plane cuts a plane out of it"
            )
        from actscope.figures.boxes import draw_polygons

        return draw_polygons(self.corners, self.region, self.neighbours, bounds=self.box, ax=ax)

    def __repr__(self) -> str:
        linear = "" if self.n_linear_regions is None else f", {self.n_linear_regions:,} linear regions"
        neurons = sum(site.n_neurons for site in self.sites)
        at_least = "" if self.complete else "at least "
        return (
            f"BoxRegions({at_least}{self.n_regions:,} activation regions{linear}; {self.n_cells:,} cells, {neurons:,} neurons, "
            f"{self.box.shape[1]} dimensions{'' if self.complete else '; ' + self.reason})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Counts and how they were made, as plain values."""
        return {
            "n_regions": self.n_regions,
            "n_linear_regions": self.n_linear_regions,
            "n_cells": self.n_cells,
            "n_components": self.n_components,
            "n_neighbours": len(self.neighbours),
            "complete": self.complete,
            "reason": self.reason,
            "box": self.box.tolist(),
            "tolerance": self.tolerance,
            "n_near_ties": self.n_near_ties,
        }


def enumerate_regions(
    model: nn.Module | Program,
    box: Box,
    *,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    max_regions: int | None = None,
    verify: bool = False,
    n_jobs: int = 1,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> BoxRegions:
    """All activation regions that meet an open box, exactly, in any small dimension.

    Breadth first: each cell is a polytope {A x ≤ b}; behind each of its facets lies another cell, whose pattern is read there. In general
    position the cells of a box fit together facet to facet, so all are found from any one. The partition is complete if the other side of
    every facet was visited.

    Args:
        model: a model that is piecewise linear, or its `Program`.
        box: (lower, upper), each a number or (*input_shape). Two numbers do where the model's first layer is `nn.Linear`.
        layers, breakpoints, activations: as for `actscope.encode`: the pattern that is counted.
        max_regions: stop after so many cells, with what there is, and say so (`complete`, `reason`).
        verify: compare the result with the model itself at every centre, and volumes with the box; raise on a mismatch.
        n_jobs: processes that find facets; the result does not depend on it. One does in few dimensions.
        device: where to run the model; its own device if `None`.
        progress: whether a count is shown; `None` shows one on a terminal.

    Raises:
        NotPiecewiseLinearError: if the model is not piecewise linear; the message names the operation.
        PartitionError: with `verify`, if the result and the model differ.
        ValueError: if the box does not fit the model.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> _ = nn.init.eye_(model[0].weight), nn.init.zeros_(model[0].bias), nn.init.ones_(model[2].weight)
        >>> found = enumerate_regions(model, (-1, 1), verify=True)
        >>> found
        BoxRegions(8 activation regions, 8 linear regions; 8 cells, 3 neurons, 3 dimensions)
        >>> found.volumes.round(9), len(found.neighbours), str(found.owners[0][0])
        (array([1., 1., 1., 1., 1., 1., 1., 1.]), 12, 'neuron (0) of 1 at 0')
    """
    if max_regions is not None and max_regions < 1:
        raise ValueError(f"max_regions={max_regions}: give 1 or more, or None for no limit")
    program, bounds = _prepared(model, box, layers, breakpoints, activations, device)
    with progress_bar("enumerate", total=None, show=progress, unit="cells") as advance:
        found = search(program, bounds, most=max_regions, volumes=verify, n_jobs=n_jobs, advance=advance)
    result = _assembled(program, bounds, found)
    if verify:
        flat = bounds.mean(axis=0) + (bounds[1] - bounds[0]) / 2 * found.insides
        points = torch.from_numpy(flat).reshape(-1, *program.input_shape).to(program.device)
        verify_cells(program, points, found.packed, found.values, tolerance=result.tolerance, name="cell")
        if result.complete and np.isfinite(found.volumes).all():
            verify_total(found.volumes * found.unit_volume, float(np.prod(bounds[1] - bounds[0])), "volumes")
    return result


def _prepared(
    model: nn.Module | Program,
    box: Box,
    layers: Layers,
    breakpoints: Breakpoints,
    activations: Activations | None,
    device: torch.device | str | None,
) -> tuple[Program, NDArray[np.float64]]:
    shape = model.input_shape if isinstance(model, Program) else _shape_of(model, box)
    bounds = box_bounds(box, shape)
    middle = torch.from_numpy(bounds.mean(axis=0)).reshape(1, *shape)
    program = read_program(
        model, middle, layers=layers, breakpoints=breakpoints, activations=activations, device=device
    )
    return program if program.output is not None else program.until_last_site(), bounds


def _shape_of(model: nn.Module, box: Box) -> tuple[int, ...]:
    for side in box:
        shape = tuple(torch.as_tensor(side).shape)
        if shape:
            return shape
    first = next(
        (module for module in model.modules() if next(module.parameters(recurse=False), None) is not None), None
    )
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    raise ValueError("box has two numbers, which do not tell the shape of an input: give bounds of the input's shape")


def _assembled(program: Program, bounds: NDArray[np.float64], found: Found) -> BoxRegions:
    linear = None
    if found.gradients is not None:
        linear = components(len(found.packed), found.neighbours[_same_map(found.gradients, found.neighbours)])
    values = found.values
    if values is not None and found.gradients is not None:
        values = values + np.einsum("nod,nd->no", found.gradients, found.centres - found.insides)
    half = (bounds[1] - bounds[0]) / 2
    middle = bounds.mean(axis=0)
    d = bounds.shape[1]
    return BoxRegions(
        box=bounds,
        input_shape=program.input_shape,
        packed=found.packed,
        sites=program.sites,
        centres=middle + half * found.centres,
        radii=found.radii,
        volumes=found.volumes * found.unit_volume if d <= 3 else None,
        values=values,
        gradients=None if found.gradients is None else found.gradients / half,
        neighbours=found.neighbours,
        owners=found.owners,
        region=distinct(found.packed).inverse,
        linear_region=linear,
        complete=not found.reason,
        reason=found.reason,
        tolerance=found.tolerance,
        n_near_ties=found.n_near_ties,
        corners=None if found.corners is None else tuple(middle + half * polygon for polygon in found.corners),
    )


def _same_map(gradients: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n_pairs,) bool: whether two neighbours have one affine map: equal gradients, as the model is continuous between them."""
    scale = np.abs(gradients).max(axis=(1, 2), initial=0.0)
    apart = np.abs(gradients[pairs[:, 0]] - gradients[pairs[:, 1]]).max(axis=(1, 2), initial=0.0)
    allowed = 1e-9 * np.maximum(scale[pairs[:, 0]], scale[pairs[:, 1]]) + 1e-12 * scale.max(initial=0.0)
    same: NDArray[np.bool_] = apart <= allowed
    return same
