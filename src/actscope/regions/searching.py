"""The search from cell to cell through a box."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.regions.boundaries import Boundary
from actscope.regions.cells import BoxedBoundaries, CellReader, Cells
from actscope.regions.polyhedra.convexsets import TOLERANCE, ConvexSet
from actscope.regions.polyhedra.enclosing import Enclosed, enclosed
from actscope.regions.programs.program import Program
from actscope.regions.stepping import cross, polytope_of

__all__ = ["Found", "search"]

_WAVE = 512
"""Cells that are worked on at a time."""

_TASK = 64
"""Cells that go to a process at a time. Results may depend on this in their last digits, so it does not depend on the processes."""

_THIN = 100 * TOLERANCE
"""A facet's point this close to the facet's edge may have no other side that can be told from rounding."""


@dataclass(frozen=True, eq=False)
class Found:
    """Cells of a box, in coordinates u in which the box is [-1, 1]^d; attributes as in `BoxRegions`.

    `insides` are the points of the cells that are deepest in u; values are those there.
    """

    packed: NDArray[np.uint8]
    insides: NDArray[np.float64]
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    volumes: NDArray[np.float64]
    unit_volume: float
    values: NDArray[np.float64] | None
    gradients: NDArray[np.float64] | None
    neighbours: NDArray[np.int64]
    owners: tuple[tuple[Boundary, ...], ...]
    reason: str
    tolerance: float
    n_near_ties: int
    corners: list[NDArray[np.float64]] | None


def search(
    program: Program,
    bounds: NDArray[np.float64],
    *,
    most: int | None,
    volumes: bool,
    n_jobs: int,
    advance: Callable[[int], None],
) -> Found:
    """All cells that meet the open box.

    Args:
        program: the model.
        bounds: (2, n_inputs) of the box.
        most: cells after which to stop; `None` for no limit.
        volumes: whether volumes are wanted in four and five dimensions too.
        n_jobs: processes.
        advance: told how many cells are done.
    """
    run = _Run(program, bounds, most=most, volumes=volumes, n_jobs=n_jobs)
    run.start()
    while run.waiting:
        advance(run.wave())
    return run.found()


class _Run:
    def __init__(
        self, program: Program, bounds: NDArray[np.float64], *, most: int | None, volumes: bool, n_jobs: int
    ) -> None:
        self._half = (bounds[1] - bounds[0]) / 2
        self._reader = CellReader(program, origin=bounds.mean(axis=0), axes=np.diag(self._half))
        self._names = BoxedBoundaries(program, bounds)
        self._first_face = len(self._names.names)
        d = bounds.shape[1]
        self._box = np.stack([-np.ones(d), np.ones(d)])
        self._most = most
        self._volumes = volumes
        self._n_jobs = n_jobs
        self._numbers: dict[bytes, int] = {}
        self._points: list[NDArray[np.float64]] = []
        self._cells: list[tuple[Cells, int]] = []
        self._enclosed: list[Enclosed | None] = []
        self._owners: dict[tuple[int, int], tuple[int, ...]] = {}
        self._n_cut_off = 0
        self._n_unread = 0
        self._n_near_ties = 0
        self.waiting: deque[int] = deque()

    def start(self) -> None:
        """Begin with a cell at a place where nothing lies but by accident."""
        tries = np.random.default_rng(0).uniform(-0.9, 0.9, (16, self._box.shape[1]))
        cells = self._reader.read(tries)
        room = np.where(cells.valid, cells.slack, np.inf).min(axis=1, initial=np.inf)
        self._take(cells, int(room.argmax()), tries[room.argmax()])

    def _take(self, cells: Cells, index: int, point: NDArray[np.float64]) -> int | None:
        """The number of a cell, which is new or known; `None` if it is new and there are enough."""
        key = cells.keys[index].tobytes()
        number = self._numbers.get(key)
        if number is None:
            if self._most is not None and len(self._points) >= self._most:
                self._n_cut_off += 1
                return None
            number = self._numbers[key] = len(self._points)
            self._points.append(point)
            self._cells.append((cells, index))
            self._enclosed.append(None)
            self.waiting.append(number)
        return number

    def wave(self) -> int:
        """Work on cells that wait: find their facets, and what lies behind them."""
        wave = [self.waiting.popleft() for _ in range(min(_WAVE, len(self.waiting)))]
        polytopes = [
            polytope_of(*self._cells[number], self._points[number], first_face=self._first_face, box=self._box)
            for number in wave
        ]
        self._n_near_ties += sum(polytope.n_near_ties for polytope in polytopes)
        sides = []
        for number, polytope, found in zip(wave, polytopes, self._enclose(polytopes), strict=True):
            self._enclosed[number] = found
            self._n_near_ties += found.n_near_ties
            if found.depth <= TOLERANCE:
                self._n_near_ties += 1
                continue
            for row, point, clearance in zip(found.rows, found.points, found.clearance, strict=True):
                if polytope.owners[row][-1] < self._first_face:
                    sides.append((number, polytope.owners[row], point, polytope.normals[row], clearance))
        if sides:
            self._cross(sides)
        return len(wave)

    def _enclose(self, polytopes: list[ConvexSet]) -> list[Enclosed]:
        lengths = self._half.min() / self._half
        tasks = [polytopes[i : i + _TASK] for i in range(0, len(polytopes), _TASK)]
        if self._n_jobs == 1 or len(tasks) == 1:
            parts = [enclosed(task, lengths, volumes=self._volumes) for task in tasks]
        else:
            from joblib import Parallel, delayed  # type: ignore[import-untyped]  # it ships no types

            parts = Parallel(n_jobs=self._n_jobs)(
                delayed(enclosed)(task, lengths, volumes=self._volumes) for task in tasks
            )
        return [found for part in parts for found in part]

    def _cross(self, sides: list[tuple[int, tuple[int, ...], NDArray[np.float64], NDArray[np.float64], float]]) -> None:
        numbers = np.array([side[0] for side in sides])
        clearance = np.array([side[4] for side in sides])
        starts = np.stack([self._points[number] + side[2] for number, side in zip(numbers, sides, strict=True)])
        keys = np.stack([self._cells[number][0].keys[self._cells[number][1]] for number in numbers])
        found = cross(self._reader, starts, np.stack([side[3] for side in sides]), clearance, keys)
        for i, (number, owners, *_) in enumerate(sides):
            if not found.adjacent[i]:
                self._n_near_ties += int(clearance[i] <= _THIN)
                self._n_unread += int(clearance[i] > _THIN)
                continue
            other = self._take(found.cells, i, found.points[i])
            if other is not None:
                self._owners[number, other] = owners

    def found(self) -> Found:
        """What was found, once nothing waits."""
        counted = [i for i, found in enumerate(self._enclosed) if found is not None and found.depth > TOLERANCE]
        order = np.full(len(self._points), -1)
        order[counted] = np.arange(len(counted))
        pairs = sorted({(min(pair), max(pair)) for pair in self._owners if order[pair[0]] >= 0 and order[pair[1]] >= 0})
        one_sided = sum(((i, j) in self._owners) != ((j, i) in self._owners) for i, j in pairs)
        owners = [self._owners.get(pair) or self._owners[pair[1], pair[0]] for pair in pairs]
        all_found = [found for i in counted if (found := self._enclosed[i]) is not None]
        points = np.stack([self._points[i] for i in counted])
        insides = points + np.stack([found.inside for found in all_found])
        cells = [self._cells[i] for i in counted]
        values = gradients = None
        if cells[0][0].outputs is not None and cells[0][0].gradients is not None:
            slopes = np.stack([part.gradients[i] for part, i in cells if part.gradients is not None])
            values = np.stack([part.outputs[i] for part, i in cells if part.outputs is not None])
            values = values + np.einsum("ndo,nd->no", slopes, insides - points)
            gradients = slopes.transpose(0, 2, 1)
        corners = [
            point + found.corners for point, found in zip(points, all_found, strict=True) if found.corners is not None
        ]
        return Found(
            packed=np.stack([part.packed[i] for part, i in cells]),
            insides=insides,
            centres=points + np.stack([found.centre for found in all_found]),
            radii=self._half.min() * np.array([found.radius for found in all_found]),
            volumes=np.array([found.volume for found in all_found]),
            unit_volume=float(np.prod(self._half)),
            values=values,
            gradients=gradients,
            neighbours=order[np.array(pairs, dtype=np.int64).reshape(-1, 2)],
            owners=tuple(tuple(self._names[number] for number in numbers) for numbers in owners),
            reason=self._reason(one_sided),
            tolerance=TOLERANCE,
            n_near_ties=self._n_near_ties + one_sided,
            corners=corners if self._box.shape[1] == 2 and len(corners) == len(counted) else None,
        )

    def _reason(self, one_sided: int) -> str:
        if self._n_cut_off:
            return f"max_regions={self._most} was reached"
        if self._n_unread:
            return f"what lies behind {self._n_unread} facets could not be told from rounding"
        return ""
