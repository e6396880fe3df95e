"""The convex cell around one input: its halfspaces and facets, its inner ball, its neighbours, its longest chords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.selection import Layers
from actscope.codes.site import Site
from actscope.codes.table import Codes
from actscope.regions.boundaries import Boundary
from actscope.regions.cells import BoxedBoundaries, CellReader
from actscope.regions.points import as_points
from actscope.regions.polyhedra.balls import largest_ball
from actscope.regions.polyhedra.boxes import Box, box_bounds
from actscope.regions.polyhedra.chords import Chord, longest_chord, row_space
from actscope.regions.polyhedra.convexsets import TOLERANCE, ConvexSet
from actscope.regions.polyhedra.facets import MOST_DIMENSIONS, Facets, facets_by_vertices
from actscope.regions.polyhedra.linear_programs import LinearProgram, maximize
from actscope.regions.polyhedra.rays import facets_by_rays
from actscope.regions.programs.analysis import read_program
from actscope.regions.programs.linearization import Linearizer
from actscope.regions.programs.program import Program
from actscope.regions.stepping import cross, polytope_of

__all__ = ["Chord", "Neighbours", "Polytope", "polytope"]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The cells on the other side of a polytope's facets.

    Attributes:
        facets: (n_neighbours,) int64: which halfspace of the polytope lies between; faces of a box are left out.
        points: (n_neighbours, *input_shape) float64: a point just behind each.
        codes: their patterns, a row each.
        unread: (k,) int64: facets whose other side could not be told from rounding.
    """

    facets: NDArray[np.int64]
    points: Tensor
    codes: Codes
    unread: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.facets)


@dataclass(frozen=True, eq=False, repr=False)
class Polytope:
    """A convex cell {x: A x ≤ b} on which every kink and every pooling choice is fixed.

    Inputs are flattened. Every row of `A` has length 1, so b - A x are distances. Neurons that do not depend on the input
    here have no row; neurons with one common hyperplane share a row.

    Attributes:
        x: (*input_shape) float64: the input whose cell this is.
        A: (n_halfspaces, n_inputs) float64; b: (n_halfspaces,) float64.
        owners: whose each hyperplane is.
        facets: (n_facets,) int64: the rows that the polytope cannot do without.
        facet_points: (n_facets, n_inputs) float64: a point in the relative interior of each facet.
        centre: (n_inputs,) float64: the centre of a largest ball inside (a Chebyshev centre). Where balls of every radius
            fit, it is the deepest point not much farther from x than the farthest hyperplane is.
        radius: of that ball; infinite where balls of every radius fit.
        packed: (n_bytes,) uint8: the pattern, as a row of `Codes.packed`; sites: what its bytes mean.
        tolerance: lengths within this share of the polytope's size count as zero.
        n_near_ties: hyperplanes that coincide, and facets that are there or not, by less than the tolerance.
    """

    x: Tensor
    A: NDArray[np.float64]
    b: NDArray[np.float64]
    owners: tuple[tuple[Boundary, ...], ...]
    facets: NDArray[np.int64]
    facet_points: NDArray[np.float64]
    centre: NDArray[np.float64]
    radius: float
    packed: NDArray[np.uint8]
    sites: tuple[Site, ...]
    tolerance: float
    n_near_ties: int
    _clearance: NDArray[np.float64]
    _basis: NDArray[np.float64]
    _program: Program

    @property
    def n_inputs(self) -> int:
        """Dimension of the space."""
        return int(self.A.shape[1])

    @property
    def codes(self) -> Codes:
        """The pattern, as codes of one example."""
        return Codes(self.packed[None], self.sites)

    def contains(self, points: ArrayLike | Tensor, *, tolerance: float = 0.0) -> NDArray[np.bool_]:
        """(n_points,) bool: whether points (n_points, *input_shape) lie in the polytope, or no farther outside than `tolerance`."""
        flat = (
            as_points(points if isinstance(points, Tensor) else np.asarray(points), "points").flatten(1).cpu().numpy()
        )
        if flat.shape[1] != self.n_inputs:
            raise ValueError(f"points have {flat.shape[1]} coordinates each, the polytope has {self.n_inputs}")
        inside: NDArray[np.bool_] = np.all(flat @ self.A.T <= self.b + tolerance, axis=1)
        return inside

    def longest_chord(self, direction: ArrayLike | Tensor) -> Chord:
        """The longest segment inside that is parallel to `direction`, a linear program: max t with A y ≤ b and A (y + t v) ≤ b.

        Args:
            direction: (*input_shape) of any length but 0.

        Example:
            >>> from actscope.training import MLP
            >>> cell = polytope(MLP(2, [4], 1, seed=0), torch.zeros(2), box=(-1, 1))
            >>> chord = cell.longest_chord([1.0, 0.0])
            >>> bool(cell.contains(np.stack([chord.start, chord.end]), tolerance=1e-9).all())
            True
        """
        v = as_points(torch.as_tensor(direction, dtype=torch.float64)[None], "direction").flatten().cpu().numpy()
        if len(v) != self.n_inputs or not v.any():
            raise ValueError(f"direction must have {self.n_inputs} coordinates, not all zero; got {v.tolist()}")
        v = v / np.linalg.norm(v)
        size, normals = self._size, self.A[self.facets]
        slack = (self.b[self.facets] - normals @ self.centre) / size
        length, start = longest_chord(normals, slack, v)
        if start is None:
            return Chord(length, None, None)
        start = self.centre + size * start
        return Chord(size * length, start, start + size * length * v)

    def neighbours(self) -> Neighbours:
        """What lies on the other side of each facet, read there: neurons that share a hyperplane switch together.

        Example:
            >>> from actscope.training import MLP
            >>> cell = polytope(MLP(2, [4], 1, seed=0), torch.zeros(2), box=(-1, 1))
            >>> [int(n) for n in (cell.neighbours().codes.packed != cell.packed).any(axis=1)] == [1] * len(cell.neighbours())
            True
        """
        inner = np.array([self.owners[row][0].name != "box" for row in self.facets], dtype=bool)
        rows = self.facets[inner]
        if not len(rows):
            return Neighbours(rows, self.x[None][:0], self.codes[:0], rows)
        size = self._size
        reader = CellReader(self._program, origin=self.centre, axes=size * self._basis)
        own = reader.read(np.zeros((1, len(self._basis))))
        places = (self.facet_points[inner] - self.centre) @ self._basis.T / size
        found = cross(
            reader,
            places,
            self.A[rows] @ self._basis.T,
            self._clearance[inner] / size,
            np.repeat(own.keys, len(rows), axis=0),
        )
        good = np.flatnonzero(found.adjacent)
        return Neighbours(
            facets=rows[good],
            points=reader.inputs(found.points[good]),
            codes=Codes(found.cells.packed[good], self.sites),
            unread=rows[~found.adjacent],
        )

    def vertices(self) -> NDArray[np.float64]:
        """(n_vertices, n_inputs) the vertices, in no order.

        Raises:
            ValueError: if the polytope has none to list: it is unbounded, or has more than five dimensions.
        """
        if self.n_inputs > MOST_DIMENSIONS:
            raise ValueError(
                f"vertices are listed in at most {MOST_DIMENSIONS} dimensions, and this polytope has {self.n_inputs}"
            )
        normals, size = self.A[self.facets], self._size
        everywhere = [
            LinearProgram(side * axis, *_cone(normals, side * axis))
            for axis in np.eye(self.n_inputs)
            for side in (1, -1)
        ]
        if any(value > 0.5 for value, _ in maximize(everywhere)):
            raise ValueError("the polytope is unbounded: give a box to polytope() to cut it off")
        slack = (self.b[self.facets] - normals @ self.centre) / size
        found = facets_by_vertices(ConvexSet(normals, slack, np.zeros(len(slack)), ((),) * len(slack)))
        if found is None or found.vertices is None:
            raise ValueError("the polytope is too thin for its vertices to be told apart in double precision")
        return self.centre + size * found.vertices

    def volume(self) -> float:
        """Area in two dimensions, volume in more, of a bounded polytope.

        Raises:
            As `vertices`.
        """
        places = self.vertices()
        if self.n_inputs == 1:
            return float(np.ptp(places))
        from scipy.spatial import ConvexHull

        size = self._size
        return float(ConvexHull((places - self.centre) / size).volume * size**self.n_inputs)

    @property
    def _size(self) -> float:
        """A length of the polytope's own order."""
        if np.isfinite(self.radius):
            return self.radius
        return float((self.b - self.A @ self.centre).min(initial=np.inf)) if len(self.b) else 1.0

    def __repr__(self) -> str:
        return (
            f"Polytope({len(self.b)} halfspaces, {len(self.facets)} of them facets, in {self.n_inputs} dimensions; "
            f"inner radius {self.radius:.4g})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Facets and sizes as plain values."""
        return {
            "n_inputs": self.n_inputs,
            "n_halfspaces": len(self.b),
            "facets": [
                {
                    "normal": self.A[row].tolist(),
                    "offset": float(self.b[row]),
                    "owners": [owner.to_dict() for owner in self.owners[row]],
                }
                for row in self.facets
            ],
            "centre": self.centre.tolist(),
            "radius": self.radius,
            "tolerance": self.tolerance,
            "n_near_ties": self.n_near_ties,
        }


def polytope(
    model: nn.Module | Program,
    x: ArrayLike | Tensor,
    *,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    box: Box | None = None,
    device: torch.device | str | None = None,
) -> Polytope:
    """The convex cell that contains `x`, as halfspaces {A x' ≤ b} with their owners, facets, inner ball and neighbours.

    On the cell every pre-activation is affine, so each neuron and breakpoint gives one halfspace, and so does each pair of a pooling's
    chosen entry and another one (Hanin & Rolnick 2019, Lemma 1: activation regions are convex). Which of them are facets is found by
    rays first and linear programs for the rest; which neurons lie beyond a facet, by stepping across. A and b are dense: hundreds of
    halfspaces in hundreds of dimensions take a second, thousands take many minutes.

    Args:
        model: a model that is piecewise linear, or its `Program`.
        x: (*input_shape) an input. Values at a breakpoint are below it.
        layers, breakpoints, activations: as for `actscope.encode`: the pattern that is reported. Kinks of other sites
            bound the cell too.
        box: (lower, upper), each a number or (*input_shape), to cut the cell off; its faces are halfspaces owned by `"box"`.
        device: where to run the model; its own device if `None`.

    Raises:
        NotPiecewiseLinearError: if the model is not piecewise linear.
        ValueError: if x has another shape than the model takes, is not finite, is not strictly inside the box, or lies on a boundary
            in such a way that its cell has no interior.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> _ = model.load_state_dict({"0.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        ...                            "0.bias": torch.tensor([0.0, 0.0, 5.0])})
        >>> cell = polytope(model, torch.tensor([1.0, 2.0]))
        >>> cell
        Polytope(3 halfspaces, 2 of them facets, in 2 dimensions; inner radius inf)
        >>> [str(cell.owners[row][0]) for row in cell.facets]
        ['neuron (0) of 1 at 0', 'neuron (1) of 1 at 0']
    """
    point = as_points(torch.as_tensor(x)[None], "x")
    program = read_program(model, point, layers=layers, breakpoints=breakpoints, activations=activations, device=device)
    if tuple(point.shape[1:]) != program.input_shape:
        raise ValueError(f"x has shape {tuple(point.shape[1:])}, the model takes {program.input_shape}")
    if program.output is None:
        program = program.until_last_site()
    flat = point.flatten().cpu().numpy()
    unit = float(np.abs(flat).max(initial=0.0)) or 1.0
    bounds = None
    if box is not None:
        bounds = box_bounds(box, program.input_shape)
        if not ((bounds[0] < flat) & (flat < bounds[1])).all():
            raise ValueError("x must lie strictly inside the box")
    names = BoxedBoundaries(program, bounds)
    axes = np.eye(len(flat)) if box is not None else Linearizer(program).basis().flatten(1).cpu().numpy()
    cells = CellReader(program, origin=flat, axes=unit * axes).read(np.zeros((1, len(axes))))
    cell = polytope_of(
        cells,
        0,
        np.zeros(len(axes)),
        first_face=len(names.names),
        box=None if bounds is None else (bounds - flat) / unit,
    )
    basis = row_space(cell.normals)
    reduced = ConvexSet(cell.normals @ basis, cell.slack, cell.noise, cell.owners)
    centre, radius, size = largest_ball(reduced, bounded=box is not None)
    if not size > TOLERANCE * float(cell.slack.max(initial=0.0)):
        raise ValueError("x lies where hyperplanes meet, and the cell it belongs to has no interior: move x a little")
    found = facets_by_rays([reduced.around(centre, size)])[0] if len(cell.slack) else _no_facets(basis.shape[1])
    span = basis.T @ axes
    middle = flat + unit * (centre @ span)
    normals = cell.normals @ axes
    return Polytope(
        x=point[0],
        A=normals,
        b=normals @ flat + unit * cell.slack,
        owners=tuple(tuple(names[number] for number in numbers) for numbers in cell.owners),
        facets=found.rows,
        facet_points=middle + unit * size * (found.points @ span),
        centre=middle,
        radius=radius * unit,
        packed=cells.packed[0],
        sites=program.sites,
        tolerance=TOLERANCE,
        n_near_ties=cells.n_near_ties + cell.n_near_ties + found.n_near_ties,
        _clearance=found.clearance * unit * size,
        _basis=axes,
        _program=program,
    )


def _no_facets(n: int) -> Facets:
    return Facets(np.zeros(0, np.int64), np.zeros((0, n)), np.zeros(0), None, 0)


def _cone(
    normals: NDArray[np.float64], objective: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions in which a polytope goes on for ever, no longer than 1 along an objective."""
    return np.vstack([normals, objective]), np.append(np.zeros(len(normals)), 1.0)
