"""Which halfspaces bound a polytope, by the vertices in few dimensions, by rays and linear programs in many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actscope.regions.linear_programs import LinearProgram, maximize

__all__ = ["Facets", "ConvexSet", "ball_in_each", "facets_by_rays", "facets_by_vertices", "interior_points", "merged"]

TOLERANCE = 1e-9
"""Lengths within this are zero: of the box's half width for positions, of a polytope's own size for its facets."""

MOST_DIMENSIONS = 5
"""Beyond this, a polytope has too many vertices to list them all."""

_WELL_INSIDE = 1e-3
"""A point of a facet is good if it is this far from all other halfspaces, the polytope's radius being 1."""


@dataclass(frozen=True)
class ConvexSet:
    """A polytope {u: normals u ≤ slack} that holds the origin.

    Attributes:
        normals: (n_halfspaces, d) float64, of unit length.
        slack: (n_halfspaces,) float64, the distances of the hyperplanes from the origin.
        noise: (n_halfspaces,) float64, what rounding may make of the distances.
        owners: whose each hyperplane is, numbers of `BoxedBoundaries`; several where hyperplanes coincide.
        n_near_ties: hyperplanes that were taken for one within the tolerance, but for more than rounding.
    """

    normals: NDArray[np.float64]
    slack: NDArray[np.float64]
    noise: NDArray[np.float64]
    owners: tuple[tuple[int, ...], ...]
    n_near_ties: int = 0

    def take(self, rows: NDArray[np.int64]) -> ConvexSet:
        """What some of the halfspaces enclose."""
        owners = tuple(self.owners[row] for row in rows)
        return ConvexSet(self.normals[rows], self.slack[rows], self.noise[rows], owners, self.n_near_ties)

    def around(self, centre: NDArray[np.float64], size: float) -> ConvexSet:
        """The same polytope with `centre` as its origin and `size` as its unit."""
        return replace(self, slack=(self.slack - self.normals @ centre) / size, noise=self.noise / size)


@dataclass(frozen=True)
class Facets:
    """The halfspaces that a polytope cannot do without.

    Attributes:
        rows: (n_facets,) int64: which halfspaces, ascending.
        points: (n_facets, d) float64: a point in the relative interior of each facet.
        clearance: (n_facets,) float64: how far that point is from all other halfspaces.
        vertices: (n_vertices, d) float64 where they were listed; else `None`.
        n_near_ties: halfspaces that hold or do not hold a facet by less than the tolerance.
    """

    rows: NDArray[np.int64]
    points: NDArray[np.float64]
    clearance: NDArray[np.float64]
    vertices: NDArray[np.float64] | None
    n_near_ties: int


def merged(
    normals: NDArray[np.float64], slack: NDArray[np.float64], noise: NDArray[np.float64], owners: NDArray[np.int64]
) -> ConvexSet:
    """ConvexSet in which each hyperplane stands once, with all of its owners.

    Args:
        normals: (m, d) of unit length; slack, noise: (m,); owners: (m,) int64.

    Example:
        >>> one = merged(np.array([[1.0], [-1.0], [1.0]]), np.array([2.0, 1.0, 2.0]), np.zeros(3), np.arange(3))
        >>> one.slack, one.owners
        (array([2., 1.]), ((0, 2), (1,)))
    """
    m, d = normals.shape
    weights = np.cos(np.arange(1, d + 2))  # any direction in which different rows differ
    rows = np.column_stack([normals, slack])
    order = np.argsort(rows @ weights, kind="stable")
    places = (rows @ weights)[order]
    allowed = TOLERANCE + noise
    leader = np.arange(m)
    n_near_ties = 0
    for step in range(1, m):
        close = np.flatnonzero(places[step:] - places[:-step] <= 4 * (allowed[order][step:] + allowed[order][:-step]))
        if not len(close):
            break
        for low, high in zip(order[close], order[close + step], strict=True):
            apart = np.abs(rows[low] - rows[high]).max()
            if apart <= allowed[low] + allowed[high]:
                n_near_ties += int(apart > 1e-3 * TOLERANCE + noise[low] + noise[high])
                first, second = sorted((int(leader[low]), int(leader[high])))
                leader[leader == second] = first
    kept = np.unique(leader)
    if len(kept) == m:
        return ConvexSet(normals, slack, noise, tuple((int(owner),) for owner in owners), 0)
    together = tuple(tuple(sorted({int(owner) for owner in owners[leader == row]})) for row in kept)
    return ConvexSet(normals[kept], slack[kept], noise[kept], together, n_near_ties)


def facets_by_vertices(polytope: ConvexSet, inside: NDArray[np.float64] | None = None) -> Facets | None:
    """The facets of a bounded polytope in at most five dimensions, from its vertices; `None` where rounding gets in the way.

    ConvexSet are points of the polar dual, facets the vertices of their convex hull, which Qhull finds (Barber et al. 1996).

    Args:
        polytope: bounded.
        inside: (d,) a point strictly inside; the origin if `None`.
    """
    d = polytope.normals.shape[1]
    if d == 1:
        return _ends(polytope)
    centre = np.zeros(d) if inside is None else inside
    for allowed in (TOLERANCE / 100, TOLERANCE):  # once more from among the vertices, where the dual is well scaled
        found = _vertices(polytope, centre)
        if found is None:
            return None
        vertices, rows = found
        centre = vertices.mean(axis=0)
        size = float(np.abs(vertices - centre).max())
        above = polytope.slack - vertices @ polytope.normals.T
        if above.min() >= -allowed * size:
            return _facets_at(polytope, vertices, rows, above[:, rows] <= TOLERANCE * size, size)
    return None


def _facets_at(
    polytope: ConvexSet,
    vertices: NDArray[np.float64],
    rows: NDArray[np.int64],
    on: NDArray[np.bool_],
    size: float,
) -> Facets:
    """Facets with the mean of their vertices; `on` (n_vertices, n_rows) tells which vertex lies on which hyperplane."""
    n_on = on.sum(axis=0)
    real = n_on >= vertices.shape[1]
    kept = rows[real]
    points = (on[:, real].T @ vertices) / n_on[real, None]
    clearance = _clearance(polytope, kept, points)
    wide = clearance > TOLERANCE * size
    return Facets(kept[wide], points[wide], clearance[wide], vertices, len(rows) - int(wide.sum()))


def _vertices(polytope: ConvexSet, inside: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Vertices, with repetitions where more than d hyperplanes meet, and the halfspaces that have any."""
    from scipy.spatial import ConvexHull, QhullError

    slack = polytope.slack - polytope.normals @ inside
    if slack.min() <= 0:
        return None
    try:
        hull = ConvexHull(polytope.normals / slack[:, None])
    except QhullError:
        return None
    outward, offset = hull.equations[:, :-1], hull.equations[:, -1]
    if (offset >= 0).any():  # the dual does not enclose the origin: the polytope is unbounded, or nearly so
        return None
    return inside - outward / offset[:, None], np.sort(hull.vertices).astype(np.int64)


def _ends(polytope: ConvexSet) -> Facets | None:
    """Both ends of an interval."""
    places = polytope.slack * polytope.normals[:, 0]
    above = np.where(polytope.normals[:, 0] > 0, places, np.inf)
    below = np.where(polytope.normals[:, 0] > 0, -np.inf, places)
    rows = np.unique([above.argmin(), below.argmax()]).astype(np.int64)
    if len(rows) < 2 or not np.isfinite(places[rows]).all():
        return None
    points = places[rows][:, None]
    length = float(np.ptp(points))
    return Facets(rows, points, np.full(2, length), points, 0)


def _clearance(polytope: ConvexSet, rows: NDArray[np.int64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = polytope.slack[rows] - points @ polytope.normals[rows].T
    np.fill_diagonal(apart, np.inf)
    nearest: NDArray[np.float64] = apart.min(axis=1, initial=np.inf)
    return nearest


def facets_by_rays(polytope: ConvexSet, *, rays: bool = True, seed: int = 0) -> Facets:
    """The facets of any polytope around the origin: the first hyperplane that a ray meets is one; linear programs settle the rest.

    A halfspace that no ray meets first is redundant if it holds wherever the facets known so far do; where it does not, the ray to that
    place meets a new facet first (Clarkson 1994). So the programs have as many constraints as there are facets.

    Args:
        polytope: with the origin well inside, its inner radius being about 1.
        rays: whether rays are shot before the first linear program.
        seed: of the rays' directions.
    """
    search = _Search(polytope, seed)
    if rays:
        search.shoot()
    search.settle()
    rows = np.array(sorted(search.hits), dtype=np.int64)
    points = np.array([search.hits[int(row)] for row in rows]).reshape(len(rows), polytope.normals.shape[1])
    clearance = _clearance(polytope, rows, points)
    near = np.flatnonzero(clearance < _WELL_INSIDE)
    if len(near):
        points[near] = interior_points(polytope, rows, near)
        clearance = _clearance(polytope, rows, points)
    return Facets(rows, points, clearance, None, search.n_near_ties)


class _Search:
    """Facets found so far, each with a point on it, and the halfspaces about which nothing is known yet."""

    def __init__(self, polytope: ConvexSet, seed: int) -> None:
        self._polytope = polytope
        self._dual = polytope.normals / polytope.slack[:, None]
        self._generator = np.random.default_rng(seed)
        self._redundant: set[int] = set()
        self.hits: dict[int, NDArray[np.float64]] = {}
        self._room: dict[int, float] = {}
        self.n_near_ties = 0

    def shoot(self) -> None:
        """Rays along the normals, and along those directions in which each hyperplane sticks out most, and near them."""
        m = len(self._dual)
        inverse = np.linalg.pinv(self._dual)
        spread = self._generator.standard_normal((m, min(4 * m, 512)))
        self._meet(np.concatenate([self._polytope.normals, inverse.T, (inverse @ spread).T]))

    def _meet(self, directions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Keep the facets that rays from the origin meet first and alone; which rays met one."""
        speed = self._dual @ directions.T
        first = speed.argmax(axis=0)
        columns = np.arange(len(directions))
        fastest = speed[first, columns]
        speed[first, columns] = -np.inf
        second = speed.max(axis=0, initial=-np.inf)
        alone: NDArray[np.bool_] = (fastest > 0) & (second < fastest * (1 - TOLERANCE))
        for column in np.flatnonzero(alone):
            row, place = int(first[column]), directions[column] / fastest[column]
            room = float(1 - second[column] / fastest[column])
            if room > self._room.get(row, 0.0):
                self.hits[row], self._room[row] = place, room
        return alone

    def settle(self) -> None:
        """Decide about every halfspace that no ray met first."""
        while rest := [row for row in range(len(self._dual)) if row not in self.hits and row not in self._redundant]:
            known = sorted(self.hits)
            optima = maximize([self._program(row, known, cap=2.0) for row in rest])
            for row, (value, place) in zip(rest, optima, strict=True):
                if value <= 1 + TOLERANCE:
                    self._redundant.add(row)
                    self.n_near_ties += int(value > 1 - TOLERANCE)
                elif (
                    row not in self.hits
                    and not self._meet(place[None])[0]
                    and not self._meet(self._around(place)).any()
                ):
                    self._decide(row)

    def _program(self, row: int, others: Sequence[int], *, cap: float) -> LinearProgram:
        matrix = self._dual[[*others, row]]
        return LinearProgram(self._dual[row], matrix, np.append(np.ones(len(others)), cap))

    def _around(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        nudges = self._generator.standard_normal((16, len(place)))
        nudges *= 1e-6 * np.linalg.norm(place) / math.sqrt(len(place))
        return place + nudges

    def _decide(self, row: int) -> None:
        """One program over all other halfspaces, where no ray tells."""
        others = [other for other in range(len(self._dual)) if other != row and other not in self._redundant]
        value, place = maximize([self._program(row, others, cap=2.0)])[0]
        if value <= 1 + TOLERANCE:
            self._redundant.add(row)
            self.n_near_ties += int(value > 1 - TOLERANCE)
        else:
            self.hits[row] = place / value  # on the hyperplane, where no other halfspace is as near to the origin
            self._room[row] = 0.0


def interior_points(polytope: ConvexSet, rows: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.float64]:
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


def ball_in_each(
    polytopes: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]],
) -> list[tuple[NDArray[np.float64], float]]:
    """Centre and radius of the largest ball in each bounded polytope (its Chebyshev ball).

    Args:
        polytopes: normals (m, d), slack (m,), and (m,) the length of each normal in the coordinates in which the ball is round.
    """
    programs = [
        LinearProgram(np.append(np.zeros(normals.shape[1]), 1.0), np.column_stack([normals, lengths]), slack)
        for normals, slack, lengths in polytopes
    ]
    return [(place[:-1], float(place[-1])) for _, place in maximize(programs)]
