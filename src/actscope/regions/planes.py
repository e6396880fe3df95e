"""The activation regions in a plane, exactly: polygons, areas, patterns, local maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.groups import count_distinct, distinct
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.progress import progress_bar
from actscope.regions.analysis import read_program
from actscope.regions.lines import count_on_rays
from actscope.regions.mapping import kinked_edges, local_maps
from actscope.regions.partitioning import Partitioner, Polygons
from actscope.regions.program import NotPiecewiseLinearError, Program
from actscope.regions.sections import Plane
from actscope.regions.tiling import areas_and_centres, components, merged_outlines, shared_edges
from actscope.regions.verifying import verify_cells, verify_total

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from actscope.regions.sampling import SampledPlane

__all__ = ["PlaneRegions", "Window", "count_in_plane", "plane"]

Window = tuple[float, float, float, float] | None
"""(x from, x to, y from, y to) in the plane's coordinates; `None` is the whole plane."""

TOLERANCE = 1e-9

_BYTES = 1 << 28
"""Memory for the values of all points of one block of polygons."""

_TURN = 0.6180339887498949
"""Where a whole plane is taken apart in three, in radians from the first axis: a direction along which nothing lies but by accident."""


@dataclass(frozen=True, repr=False)
class PlaneRegions:
    """The partition of a plane, or of a window in it, into convex cells on which nothing switches.

    On a cell every kink and every pooling choice is fixed. Where each cell has a pattern of its own (no pooling, all kinks
    count), cells are
    activation regions; otherwise several cells can belong to one region.

    What follows from the corners is computed when it is first asked for, and kept.

    Attributes:
        section: the plane. window: what of it was looked at; `None` is all of it.
        places: (n_points, 3) float64: corners in homogeneous coordinates of the plane: (x, y, 1), and (x, y, 0) for a
            direction to infinity.
        corners, offsets: cell i has the corners places[corners[offsets[i] : offsets[i + 1]]], in order around it.
        packed: (n_cells, n_bytes) uint8: each cell's pattern, as in `Codes.packed`; sites: what the bytes mean.
        corner_values: (n_points, n_outputs) float64: the model's output at the corners, its linear part at directions;
            `None` where the output is not piecewise linear.
        complete: False if `max_regions` stopped it: the cells then are unions of regions, the count of regions is a lower bound,
            patterns are those of the sites that were resolved (zero at others), and there are no local maps.
        cells_are_regions: whether each cell has a pattern of its own.
        tolerance: values within this share of their scale count as zero.
        n_near_ties: how often a cell was cut through a corner that was there, within the tolerance.
    """

    section: Plane
    window: Window
    places: NDArray[np.float64]
    corners: NDArray[np.int64]
    offsets: NDArray[np.int64]
    packed: NDArray[np.uint8]
    sites: tuple[Site, ...]
    corner_values: NDArray[np.float64] | None
    complete: bool
    cells_are_regions: bool
    tolerance: float
    n_near_ties: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_cells(self) -> int:
        """Convex cells on which every kink and every pooling choice is fixed."""
        return len(self)

    @property
    def n_regions(self) -> int:
        """Distinct activation patterns; a lower bound if not `complete`."""
        return int(self.region.max(initial=-1)) + 1

    @cached_property
    def region(self) -> NDArray[np.int64]:
        """(n_cells,) the activation region of each cell: cells of one pattern have one number."""
        if self.cells_are_regions and not self.complete:  # patterns are not all read, but no region is in two cells
            return np.arange(len(self))
        found: NDArray[np.int64] = distinct(self.packed).inverse
        return found

    @property
    def areas(self) -> NDArray[np.float64]:
        """(n_cells,) in the plane's coordinates, infinite for an unbounded cell; times `section.area_unit` in the input space."""
        return self._areas_and_centres[0]

    @property
    def centres(self) -> NDArray[np.float64]:
        """(n_cells, 2) a point inside each cell."""
        return self._areas_and_centres[1]

    @property
    def neighbours(self) -> NDArray[np.int64]:
        """(n_edges, 2) pairs of cells that share an edge."""
        return self._shared_edges[0]

    @property
    def edges(self) -> NDArray[np.int64]:
        """(n_edges, 2) the two corners of the edge that each pair of neighbours shares."""
        return self._shared_edges[1]

    @property
    def values(self) -> NDArray[np.float64] | None:
        """(n_cells, n_outputs) the model's output at the centres; `None` where it is not piecewise linear."""
        return None if self._maps is None else self._maps[0]

    @property
    def gradients(self) -> NDArray[np.float64] | None:
        """(n_cells, n_outputs, 2) the output's derivatives by the plane's coordinates; `None` where it is not piecewise linear."""
        return None if self._maps is None else self._maps[1]

    @cached_property
    def linear_region(self) -> NDArray[np.int64] | None:
        """(n_cells,) the linear region of each cell: neighbours with one affine map; `None` where the output is not piecewise linear."""
        if self._maps is None:
            return None
        _, gradients, noise = self._maps
        kinked = kinked_edges(self.neighbours, gradients, noise)
        return components(len(self), self.neighbours[~kinked])

    @property
    def n_linear_regions(self) -> int | None:
        """Maximal connected sets on which the model is one affine map; `None` where the output is not piecewise linear."""
        return None if self.linear_region is None else int(self.linear_region.max(initial=-1)) + 1

    @cached_property
    def _areas_and_centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return areas_and_centres(self.places, self.corners, self.offsets)

    @cached_property
    def _shared_edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return shared_edges(self.corners, self.offsets)

    @cached_property
    def _maps(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
        if self.corner_values is None:
            return None
        return local_maps(self.places, self.corner_values, self.corners, self.offsets, self.centres)

    @cached_property
    def n_components(self) -> int:
        """Connected components of the activation regions: more than these where a region of one pattern is in several pieces."""
        same = self.region[self.neighbours[:, 0]] == self.region[self.neighbours[:, 1]]
        return int(components(len(self), self.neighbours[same]).max(initial=-1)) + 1

    def polygon(self, cell: int) -> NDArray[np.float64]:
        """The corners of one cell, (n_corners, 3), in homogeneous coordinates of the plane."""
        return self.places[self.corners[self.offsets[cell] : self.offsets[cell + 1]]]

    def polygons(self, window: Window = None) -> list[NDArray[np.float64]]:
        """The corners of all cells, (n_corners, 2) each, in coordinates of the plane.

        Args:
            window: where unbounded cells are cut off; `None` takes the window that was looked at, or for a whole
            plane one that shows all corners.
        """
        from actscope.regions.clipping import clipped_polygons

        bounds = window or self.window or self.corner_window
        points, offsets = clipped_polygons(self.places, self.corners, self.offsets, bounds)
        return np.split(points, offsets[1:-1])

    @property
    def corner_window(self) -> tuple[float, float, float, float]:
        """A window that shows most corners of bounded cells, with a margin, and the examples that span the plane."""
        finite = self.places[self.places[:, 2] > 0, :2]
        if self.section.examples is not None:
            finite = np.concatenate([finite, self.section.coordinates(self.section.examples)])
        # the corners far outside are few and very far: with all of them, everything else would be one dot
        low, high = np.quantile(finite, [0.1, 0.9], axis=0) if len(finite) else (np.zeros(2), np.zeros(2))
        margin = 0.25 * float((high - low).max()) or 1.0
        return (float(low[0] - margin), float(high[0] + margin), float(low[1] - margin), float(high[1] + margin))

    def cell_of(self, coordinates: Any) -> NDArray[np.int64]:
        """The cell that each of the points (n, 2) of the plane lies in, (n,) int64; -1 outside the window."""
        from actscope.regions.clipping import locate

        return locate(self.places, self.corners, self.offsets, np.asarray(coordinates, dtype=float).reshape(-1, 2))

    def boundary(self) -> NDArray[np.float64]:
        """The decision boundary of a classifier: where its two largest outputs are equal; segments (n, 2, 2) in coordinates of the plane.

        Raises:
            NotPiecewiseLinearError: if the output is not piecewise linear.
            ValueError: if the model has one output.
        """
        from actscope.regions.deciding import decision_boundary

        return decision_boundary(self)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        colour: Literal["region", "linear_region", "norm", "class"] = "region",
        window: Window = None,
        boundary: bool = False,
        names: Sequence[str] = (),
        class_names: Sequence[str] = (),
    ) -> Axes:
        """The cells in the plane, with the examples that span it.

        Args:
            ax: where to draw; a new figure if `None`.
            colour: by what: neighbouring activation regions, or linear regions, told apart; the largest singular value of the
                local map within the plane; the class predicted at a cell's centre (of one output, whether it is positive).
            window: what to show; `None` shows all that was looked at, or of a whole plane where most corners are.
            boundary: whether the decision boundary is drawn on top.
            names: what to write beside the examples.
            class_names: what to write in the legend of classes.

        Raises:
            NotPiecewiseLinearError: if the colour or the boundary needs an output that is piecewise linear, and it is not.
            ValueError: if the colour is another, or the boundary is wanted of a model with one output.
        """
        from actscope.figures import planes as figures
        from actscope.regions.clipping import clipped_polygons
        from actscope.regions.deciding import decision_boundary

        if colour not in ("region", "linear_region", "norm", "class"):
            raise ValueError(f"colour={colour!r}: choose 'region', 'linear_region', 'norm' or 'class'")
        values, norms, linear = self.values, self.norms, self.linear_region
        if colour != "region" and (values is None or norms is None or linear is None):
            raise NotPiecewiseLinearError(
                f"colour={colour!r} needs an output that is piecewise linear; colour='region' does not"
            )
        shown = window or self.window or self.corner_window
        points, offsets = clipped_polygons(self.places, self.corners, self.offsets, shown)
        examples = self.section.examples
        at = None if examples is None else self.section.coordinates(examples)
        segments = decision_boundary(self, shown) if boundary else None
        if colour == "norm" and norms is not None:
            return figures.draw_plane_values(
                points, offsets, norms, label="norm of the local map", window=shown, examples=at, example_names=names,
                boundary=segments, ax=ax,
            )  # fmt: skip
        if colour == "class" and values is not None:
            classes = values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > 0).astype(np.int64)
            return figures.draw_plane_classes(
                points, offsets, classes, groups=self.region, neighbours=self.neighbours, window=shown, class_names=class_names,
                examples=at, example_names=names, boundary=segments, ax=ax,
            )  # fmt: skip
        groups = linear if colour == "linear_region" and linear is not None else self.region
        return figures.draw_plane_regions(
            points, offsets, groups, neighbours=self.neighbours, window=shown, examples=at, example_names=names,
            boundary=segments, ax=ax,
        )  # fmt: skip

    def plot_adjacency(self, ax: Axes | None = None, *, window: Window = None, names: Sequence[str] = ()) -> Axes:
        """The graph of neighbouring cells over the plane; `window` and `names` as for `plot`."""
        from actscope.figures.planes import draw_adjacency
        from actscope.regions.clipping import clipped_polygons

        shown = window or self.window or self.corner_window
        points, offsets = clipped_polygons(self.places, self.corners, self.offsets, shown)
        examples = self.section.examples
        return draw_adjacency(
            self.centres,
            self.neighbours,
            points=points,
            offsets=offsets,
            window=shown,
            examples=None if examples is None else self.section.coordinates(examples),
            example_names=names,
            ax=ax,
        )

    def to_geojson(self, window: Window = None) -> dict[str, Any]:
        """A GeoJSON feature collection: a polygon for each cell in coordinates of the plane, with its region, area and gradient's norm.

        Args:
            window: where unbounded cells are cut off, as for `polygons`.
        """
        norms = self.norms
        features = []
        for i, ring in enumerate(self.polygons(window)):
            if len(ring) < 3:
                continue
            properties: dict[str, Any] = {
                "cell": i,
                "region": int(self.region[i]),
                "pattern": self.packed[i].tobytes().hex(),
            }
            properties["area"] = float(self.areas[i]) if math.isfinite(self.areas[i]) else None
            if self.linear_region is not None and norms is not None:
                properties |= {"linear_region": int(self.linear_region[i]), "norm": float(norms[i])}
            closed = [*ring.tolist(), ring[0].tolist()]
            geometry = {"type": "Polygon", "coordinates": [closed]}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
        return {"type": "FeatureCollection", "features": features}

    @property
    def norms(self) -> NDArray[np.float64] | None:
        """(n_cells,) the largest singular value of each local map within the plane, per unit of length in the input space."""
        if self.gradients is None:
            return None
        u, v = self.section.u.flatten().cpu().numpy(), self.section.v.flatten().cpu().numpy()
        gram = np.array([[u @ u, u @ v], [u @ v, v @ v]])
        inverse = np.linalg.inv(np.linalg.cholesky(gram))
        singular = np.linalg.svd(self.gradients @ inverse.T, compute_uv=False)
        return singular[:, 0].astype(np.float64, copy=False)

    def __repr__(self) -> str:
        linear = "" if self.n_linear_regions is None else f", {self.n_linear_regions:,} linear regions"
        where = "the whole plane" if self.window is None else f"window {self.window}"
        neurons = sum(site.n_neurons for site in self.sites)
        at_least = "" if self.complete else "at least "
        counts = f"{at_least}{self.n_regions:,} activation regions{linear}"
        return f"PlaneRegions({counts}; {self.n_cells:,} cells, {neurons:,} neurons, {where})"

    def to_dict(self) -> dict[str, Any]:
        """Counts and how they were made, as plain values."""
        return {
            "n_regions": self.n_regions,
            "n_linear_regions": self.n_linear_regions,
            "n_cells": self.n_cells,
            "complete": self.complete,
            "window": None if self.window is None else list(self.window),
            "tolerance": self.tolerance,
            "n_near_ties": self.n_near_ties,
        }


@overload
def plane(
    model: nn.Module | Program,
    section: Plane | None = ...,
    *,
    window: Window = ...,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    samples: None = ...,
    verify: bool = ...,
    max_regions: int | None = ...,
    tolerance: float = ...,
    device: torch.device | str | None = ...,
    progress: bool | None = ...,
) -> PlaneRegions: ...
@overload
def plane(
    model: nn.Module,
    section: Plane | None = ...,
    *,
    window: Window = ...,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    samples: int,
    device: torch.device | str | None = ...,
    progress: bool | None = ...,
) -> SampledPlane: ...
def plane(
    model: nn.Module | Program,
    section: Plane | None = None,
    *,
    window: Window = (-1.0, 1.0, -1.0, 1.0),
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    samples: int | None = None,
    verify: bool = False,
    max_regions: int | None = None,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> PlaneRegions | SampledPlane:
    """The activation regions in a window of a plane, or in all of it, exactly.

    Convex polygons are split site by site, in the order in which the model runs them: up to the first site that is not
    resolved, the model is
    affine on each polygon, so what it computes at the corners says all. An edge is cut once for both its polygons.

    Args:
        model: a model that is piecewise linear, up to the last site that counts; or its `Program`.
        section: the plane; for a model of two inputs it may be left out, and is its input space.
        window: (x from, x to, y from, y to) in the plane's coordinates; `None` for the whole plane.
        layers, breakpoints, activations: as for `actscope.encode`: the pattern that is counted.
        samples: for a model that is not piecewise linear: look at a grid of samples × samples points instead, and return
        a `SampledPlane`.
        verify: compare the result with the model itself, and raise on a mismatch.
        max_regions: stop beyond so many cells, with what there is, and say so (`complete`).
        tolerance: values within this share of their scale count as zero.
        device: where to compute; the model's own device if `None`.
        progress: whether a bar is shown; `None` shows one on a terminal.

    Raises:
        NotPiecewiseLinearError: if the model is not piecewise linear; the message names the operation.
        PartitionError: with `verify`, if the result and the model differ.
        ValueError: if the plane does not fit the model, or the window is empty.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> _ = model.load_state_dict({"0.weight": torch.tensor([[1.0, 0], [0, 1], [1, 1]]), "0.bias": torch.tensor([0.0, 0, -0.5]),
        ...                            "2.weight": torch.ones(1, 3), "2.bias": torch.zeros(1)})
        >>> found = plane(model, window=None, verify=True)
        >>> found
        PlaneRegions(7 activation regions, 7 linear regions; 7 cells, 3 neurons, the whole plane)
        >>> np.sort(found.areas)[:2].round(12).tolist()
        [0.125, inf]
    """
    if samples is not None:
        from actscope.regions.sampling import sample_plane

        if isinstance(model, Program):
            raise TypeError("samples= looks at the model itself: give the model, not its Program")
        return sample_plane(
            model, section, window=window, samples=samples, layers=layers, breakpoints=breakpoints, activations=activations,
            device=device, progress=progress,
        )  # fmt: skip
    program, section = _prepared(model, section, window, layers, breakpoints, activations, device)
    with progress_bar("plane", total=None, show=progress, unit="cells") as advance:
        partitioner = Partitioner(
            program, tolerance=tolerance, patterns=True, memory=_BYTES, max_regions=max_regions, advance=advance
        )
        blocks = partitioner.run(*_initial(section, window))
    found = _assembled(program, partitioner, blocks, section, window)
    if verify:
        _verify(program, found)
    return found


def count_in_plane(
    model: nn.Module | Program,
    section: Plane | None = None,
    *,
    window: Window = (-1.0, 1.0, -1.0, 1.0),
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> int:
    """The number of activation regions that `plane` finds, by a faster path.

    At the last site no polygon is split: lines that cut a convex polygon in general position make 1 + (lines) + (pairs that
    cross in it) pieces of
    it (Euler). Polygons where lines meet in one point, or end in one, are split after all.

    Args:
        model, section, window, layers, breakpoints, activations, tolerance, device, progress: as for `plane`.

    Example:
        >>> from actscope.training import MLP
        >>> model = MLP(2, [8, 8], 2, init="torch", seed=3)
        >>> count_in_plane(model, window=None) == plane(model, window=None).n_regions
        True
    """
    program, section = _prepared(model, section, window, layers, breakpoints, activations, device)
    program = program.until_last_site()
    cells = program.exposes_cells
    with progress_bar("plane", total=None, show=progress, unit="cells") as advance:
        partitioner = Partitioner(
            program, tolerance=tolerance, patterns=not cells, memory=_BYTES, count_only=cells, advance=advance
        )
        blocks = partitioner.run(*_initial(section, window))
    if not cells:
        return count_distinct(np.concatenate([block.packed for block in blocks]))
    n_pieces = sum(int(block.pieces.sum()) for block in blocks)
    if window is not None:
        return n_pieces
    # a region that a ray goes through is in one piece more; the one where the three rays begin in two more, though it is hit
    # by all three
    points = _initial(section, None)[0]
    return n_pieces - int(count_on_rays(program, points[0], points[1:], tolerance=tolerance).sum()) + 1


def _prepared(
    model: nn.Module | Program,
    section: Plane | None,
    window: Window,
    layers: Layers,
    breakpoints: Breakpoints,
    activations: Activations | None,
    device: torch.device | str | None,
) -> tuple[Program, Plane]:
    if section is None:
        zero = torch.zeros(2, dtype=torch.float64)
        section = Plane(zero, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
        if isinstance(model, Program) and model.input_shape != (2,):
            raise ValueError(
                f"the model takes inputs of shape {model.input_shape}: say which plane (Plane.through(x1, x2, x3), Plane.random(…))"
            )
    if window is not None:
        if len(window) != 4 or not all(math.isfinite(edge) for edge in window):
            raise ValueError(
                f"window={window!r}: give (x from, x to, y from, y to), four finite numbers, or None for the whole plane"
            )
        if window[0] >= window[1] or window[2] >= window[3]:
            raise ValueError(
                f"window={window!r} is empty: give (x from, x to, y from, y to), each from less than its to"
            )
    try:
        program = read_program(
            model,
            section.origin[None] + section.u,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            device=device,
        )
    except RuntimeError as error:
        if isinstance(model, nn.Module) and "shape" in str(error):
            raise ValueError(
                f"the model does not take inputs of shape {tuple(section.origin.shape)}, which the plane has: {error}. For a model of more "
                "than two inputs give a plane, such as Plane.through(x1, x2, x3)"
            ) from error
        raise
    if tuple(section.origin.shape) != program.input_shape:
        raise ValueError(
            f"the plane lies among inputs of shape {tuple(section.origin.shape)}, but the model takes {program.input_shape}"
        )
    place = program.device
    if section.origin.device != place:
        section = Plane(section.origin.to(place), section.u.to(place), section.v.to(place), section.examples)
    return program, section


def _initial(
    section: Plane, window: Window
) -> tuple[Tensor, NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Points, places, corners and offsets of the polygons before anything is split."""
    if window is not None:
        x0, x1, y0, y1 = window
        places = np.array([[x0, y0, 1.0], [x1, y0, 1.0], [x1, y1, 1.0], [x0, y1, 1.0]])
        corners, offsets = np.arange(4), np.array([0, 4])
    else:
        angles = _TURN + np.array([0.0, 2.1, 4.2])
        directions = np.stack([np.cos(angles), np.sin(angles), np.zeros(3)], axis=1)
        places = np.concatenate([[[0.0127, -0.0241, 1.0]], directions])
        corners, offsets = np.array([0, 1, 2, 0, 2, 3, 0, 3, 1]), np.array([0, 3, 6, 9])
    a, b, w = (torch.from_numpy(places[:, i]).to(section.u.device).reshape(-1, *[1] * section.u.ndim) for i in range(3))
    return w * section.origin + a * section.u + b * section.v, places, corners, offsets


def _assembled(
    program: Program, partitioner: Partitioner, blocks: list[Polygons], section: Plane, window: Window
) -> PlaneRegions:
    places, values, corners, offsets = _joined(blocks)
    packed = np.concatenate([block.packed for block in blocks])
    hidden = np.concatenate([block.hidden for block in blocks])
    if window is None or not program.exposes_cells:
        pairs, _ = shared_edges(corners, offsets)
        # cells that were taken apart only to be split: on both sides of an edge all is the same
        same = (packed[pairs[:, 0]] == packed[pairs[:, 1]]).all(axis=1) & (
            hidden[pairs[:, 0]] == hidden[pairs[:, 1]]
        ).all(axis=1)
        if same.any():
            groups = components(len(offsets) - 1, pairs[same])
            corners, offsets, of = merged_outlines(corners, offsets, groups)
            packed = packed[of]
    return PlaneRegions(
        section=section,
        window=window,
        places=places,
        corners=corners,
        offsets=offsets,
        packed=packed,
        sites=program.sites,
        corner_values=None if partitioner.limited else values,
        complete=not partitioner.limited,
        cells_are_regions=program.exposes_cells,
        tolerance=partitioner.tolerance,
        n_near_ties=partitioner.n_near_ties,
    )


def _joined(
    blocks: list[Polygons],
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.int64], NDArray[np.int64]]:
    """Places, values, corners and offsets of all blocks, a point that several made being one."""
    if len(blocks) == 1:
        return blocks[0].places, blocks[0].values, blocks[0].corners, blocks[0].offsets
    keys = np.concatenate([block.keys for block in blocks])
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    starts = np.cumsum([0, *(len(block.keys) for block in blocks)])
    corners = np.concatenate([number[block.corners + start] for block, start in zip(blocks, starts, strict=False)])
    sizes = np.concatenate([np.diff(block.offsets) for block in blocks])
    places = np.concatenate([block.places for block in blocks])[first]
    values = None
    if blocks[0].values is not None:
        values = np.concatenate([block.values for block in blocks if block.values is not None])[first]
    return places, values, corners, np.concatenate([[0], np.cumsum(sizes)])


def _verify(program: Program, found: PlaneRegions) -> None:
    """Compare each cell's centre with the model itself, if all is resolved, and the areas' sum with the window's.

    Raises:
        PartitionError: on a mismatch.
    """
    points = found.section.points(found.centres)
    if found.complete:
        verify_cells(program, points, found.packed, found.values, tolerance=found.tolerance, name="cell")
    if found.window is not None:
        x0, x1, y0, y1 = found.window
        verify_total(found.areas, (x1 - x0) * (y1 - y0), "the areas of the cells")
