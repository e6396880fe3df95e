"""Which halfspaces bound a polytope, in any number of dimensions: rays first, linear programs for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from actscope.regions.polyhedra.convexsets import TOLERANCE, ConvexSet
from actscope.regions.polyhedra.facets import Facets, clearance_of
from actscope.regions.polyhedra.linear_programs import LinearProgram, maximize

__all__ = ["facets_by_rays"]

_WELL_INSIDE = 1e-5
"""A point of a facet is good if it is this far from all other halfspaces, the polytope's radius being 1."""

_SLIDES = 200
"""Moves of a point along its hyperplane before a linear program is asked."""

_FEW_DIMENSIONS = 10
"""Up to here a linear program costs less than the moves."""

_ROOM = (1e-2, 1e-4)
"""How far a point is moved within all others at first and at last, as a share of their distance from the origin."""

_PUSH = 1.5
"""Moves go beyond the other hyperplane by half their length, which gets out of its corner sooner."""


def facets_by_rays(polytopes: Sequence[ConvexSet], *, rays: bool = True, seed: int = 0) -> list[Facets]:
    """The facets of polytopes around the origin: the first hyperplane that a ray meets is one; linear programs settle the rest.

    A halfspace that no ray meets first is redundant if it holds wherever the facets known so far do; where it does not, the ray to that
    place meets a new facet first (Clarkson 1994). So the programs have as many constraints as there are facets.

    Args:
        polytopes: each with the origin well inside, its inner radius being about 1.
        rays: whether rays are shot before the first linear program.
        seed: of the rays' directions.

    Example:
        >>> square = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.6, 0.8]])
        >>> one = ConvexSet(square, np.array([1.0, 1.0, 1.0, 1.0, 2.0]), np.zeros(5), ((0,), (1,), (2,), (3,), (4,)))
        >>> facets_by_rays([one])[0].rows
        array([0, 1, 2, 3])
    """
    searches = [_Search(polytope, seed) for polytope in polytopes]
    for search in searches:
        if rays:
            search.shoot()
    while programs := [program for search in searches for program in search.programs()]:
        optima = iter(maximize(programs))
        for search in searches:
            search.settle(optima)
    return [search.facets() for search in searches]


class _Search:
    """Facets found so far, each with a point on it, and the halfspaces about which nothing is known yet."""

    def __init__(self, polytope: ConvexSet, seed: int) -> None:
        self._polytope = polytope
        self._dual = polytope.normals / polytope.slack[:, None]
        self._generator = np.random.default_rng(seed)
        self._redundant: set[int] = set()
        self.hits: dict[int, NDArray[np.float64]] = {}
        self._room: dict[int, float] = {}
        self._rest: list[int] = []
        self._known: set[int] = set()
        self._n_near_ties = 0

    def shoot(self) -> None:
        """Rays along the normals, and along those directions in which each hyperplane sticks out most, and near them."""
        m, d = self._dual.shape
        inverse = np.linalg.pinv(self._dual)
        spread = self._generator.standard_normal((m, min(4 * m, 512)))
        self._meet(np.concatenate([self._polytope.normals, inverse.T, (inverse @ spread).T]))
        if d > _FEW_DIMENSIONS:
            self._slide()

    def _slide(self) -> None:
        """Rays to points on each hyperplane that none has met first, moved along it off whichever other hyperplane is farthest exceeded.

        The relaxation method for linear inequalities (Agmon 1954; Motzkin & Schoenberg 1954), for all these hyperplanes at once.
        """
        rows = np.array([row for row in range(len(self._dual)) if row not in self.hits], dtype=np.int64)
        lengths = (self._dual**2).sum(axis=1)
        places = self._dual[rows] / lengths[rows, None]
        for room in np.geomspace(*_ROOM, _SLIDES):
            if not len(rows):
                return
            value = places @ self._dual.T
            value[np.arange(len(rows)), rows] = -np.inf
            other = value.argmax(axis=1)
            excess = value[np.arange(len(rows)), other] - (1 - room)
            inside = excess <= 0
            if inside.any():
                self._meet(places[inside])
            rows, places, other, excess = rows[~inside], places[~inside], other[~inside], excess[~inside]
            own, off = self._dual[rows], self._dual[other]
            along = off - ((own * off).sum(axis=1) / lengths[rows])[:, None] * own
            squares = (along**2).sum(axis=1)
            moves = squares > TOLERANCE * lengths[other]
            rows, places = rows[moves], places[moves]
            places = places - _PUSH * (excess[moves] / squares[moves])[:, None] * along[moves]

    def _meet(self, directions: NDArray[np.float64]) -> set[int]:
        """Keep the facets that rays from the origin meet first and alone, and return them."""
        speed = self._dual @ directions.T
        first = speed.argmax(axis=0)
        columns = np.arange(len(directions))
        fastest = speed[first, columns]
        speed[first, columns] = -np.inf
        second = speed.max(axis=0, initial=-np.inf)
        alone = (fastest > 0) & (second < fastest * (1 - TOLERANCE))
        for column in np.flatnonzero(alone):
            row, place = int(first[column]), directions[column] / fastest[column]
            room = float(1 - second[column] / fastest[column])
            if room > self._room.get(row, 0.0):
                self.hits[row], self._room[row] = place, room
        return {int(row) for row in first[alone]}

    def programs(self) -> list[LinearProgram]:
        """A program for every halfspace about which nothing is known: how far can it be exceeded where the facets hold?"""
        self._rest = [row for row in range(len(self._dual)) if row not in self.hits and row not in self._redundant]
        self._known = set(self.hits)
        return [self._program(row, sorted(self._known)) for row in self._rest]

    def settle(self, optima: Iterator[tuple[float, NDArray[np.float64]]]) -> None:
        """Learn from the optima of `programs`, in their order."""
        for row in self._rest:
            value, place = next(optima)
            if value <= 1 + TOLERANCE:
                self._redundant.add(row)
                self._n_near_ties += int(value > 1 - TOLERANCE)
            elif row not in self.hits and not (self._meet(place[None]) | self._meet(self._around(place))) - self._known:
                self._decide(row)

    def facets(self) -> Facets:
        """What was found, once no program is left."""
        rows = np.array(sorted(self.hits), dtype=np.int64)
        points = np.array([self.hits[int(row)] for row in rows]).reshape(len(rows), self._dual.shape[1])
        clearance = clearance_of(self._polytope, rows, points)
        near = np.flatnonzero(clearance < _WELL_INSIDE)
        if len(near):
            points[near] = _interior_points(self._polytope, rows, near)
            clearance = clearance_of(self._polytope, rows, points)
        return Facets(rows, points, clearance, None, self._n_near_ties)

    def _program(self, row: int, others: Sequence[int]) -> LinearProgram:
        matrix = self._dual[[*others, row]]
        return LinearProgram(self._dual[row], matrix, np.append(np.ones(len(others)), 2.0))

    def _around(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        nudges = self._generator.standard_normal((16, len(place)))
        nudges *= 1e-6 * np.linalg.norm(place) / math.sqrt(len(place))
        return place + nudges

    def _decide(self, row: int) -> None:
        """One program over all other halfspaces, where no ray tells."""
        others = [other for other in range(len(self._dual)) if other != row and other not in self._redundant]
        value, place = maximize([self._program(row, others)])[0]
        if value <= 1 + TOLERANCE:
            self._redundant.add(row)
            self._n_near_ties += int(value > 1 - TOLERANCE)
        else:
            self.hits[row] = place / value  # on the hyperplane, where no other halfspace is as near to the origin
            self._room[row] = 0.0


def _interior_points(polytope: ConvexSet, rows: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.float64]:
    """(len(which), d) the centre of the largest ball (of radius 1 at most) within some of the facets."""
    normals, slack = polytope.normals[rows], polytope.slack[rows]
    programs = []
    d = normals.shape[1]
    objective = np.append(np.zeros(d), 1.0)
    for facet in which:
        others = np.delete(np.arange(len(rows)), facet)
        across = normals[others] - np.outer(normals[others] @ normals[facet], normals[facet])
        matrix = np.column_stack([normals[others], np.linalg.norm(across, axis=1)])
        programs.append(
            LinearProgram(
                objective,
                np.vstack([matrix, objective]),
                np.append(slack[others], 1.0),
                equal=np.append(normals[facet], 0.0)[None],
                values=slack[facet : facet + 1],
            )
        )
    return np.array([place[:d] for _, place in maximize(programs)]).reshape(len(which), d)
