"""What there is to see in a partition of a plane: cells, regions, areas, local maps, neighbours, pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actscope.codes.groups import distinct
from actscope.codes.site import Site
from actscope.regions.programs.program import NotPiecewiseLinearError
from actscope.regions.sections import Plane
from actscope.regions.subdivision.mapping import kinked_edges, local_maps
from actscope.regions.subdivision.tiling import areas_and_centres, components, shared_edges

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PlaneRegions", "Window"]

Window = tuple[float, float, float, float] | None
"""(x from, x to, y from, y to) in the plane's coordinates; `None` is the whole plane."""


@dataclass(frozen=True, repr=False)
class PlaneRegions:
    """The partition of a plane, or of a window in it, into convex cells on which nothing switches.

    On a cell every kink and every pooling choice is fixed. Where each cell has a pattern of its own (no pooling, all kinks
    count), cells are activation regions; otherwise several cells can belong to one region.

    What follows from the corners is computed when it is first asked for, and kept.

    Attributes:
        section: the plane. window: what of it was looked at; `None` is all of it.
        places: (n_points, 3) float64: corners in homogeneous coordinates of the plane: (x, y, 1), and (x, y, 0) for a
            direction to infinity.
        corners, offsets: cell i has the corners places[corners[offsets[i] : offsets[i + 1]]], in order around it.
        packed: (n_cells, n_bytes) uint8: each cell's pattern, as in `Codes.packed`; sites: what the bytes mean.
        corner_values: (n_points, n_outputs) float64: the model's output at the corners, its linear part at directions;
            `None` where the output is not piecewise linear.
        complete: False if `max_regions` stopped it: a cell then may hold several regions, its pattern is the one at its centre, the
            count of regions is a lower bound, neighbours are not all there, and there are no local maps.
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
        from actscope.regions.subdivision.clipping import clipped_polygons

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
        from actscope.regions.subdivision.clipping import locate

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
        from actscope.regions.deciding import decision_boundary
        from actscope.regions.subdivision.clipping import clipped_polygons

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
        from actscope.regions.subdivision.clipping import clipped_polygons

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
