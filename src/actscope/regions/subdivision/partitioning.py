"""Convex polygons taken through a program together, from stop to stop, each split where something switches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from actscope.regions.programs.probe import Probe
from actscope.regions.programs.program import ChoiceStep, Program, SiteStep

__all__ = ["Partitioner", "Polygons"]


@dataclass
class Polygons:
    """Convex polygons in homogeneous plane coordinates.

    Attributes:
        places: (n_points, 3) float64: (x, y, 1) for a point, (x, y, 0) for a direction.
        keys: (n_points,) int64: equal for one point that two blocks of polygons made.
        corners: (n_corners,) int64 numbers of points; offsets: (n_polygons + 1,) int64 where each polygon begins, its
        corners in order around it.
        packed: (n_polygons, n_bytes) uint8 the pattern at the chosen sites.
        hidden: (n_polygons, n_hidden_bytes) uint8 what else tells the cells apart: kinks that do not count, pooling choices.
        values: (n_points, n_outputs) the model's output, linear parts at directions; `None` where there is none.
        pieces: (n_polygons,) into how many each would still be split, 1 unless they were only to be counted.
    """

    places: NDArray[np.float64]
    keys: NDArray[np.int64]
    corners: NDArray[np.int64]
    offsets: NDArray[np.int64]
    packed: NDArray[np.uint8]
    hidden: NDArray[np.uint8]
    values: NDArray[np.float64] | None
    pieces: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass
class _State:
    probe: Probe
    places: NDArray[np.float64]
    keys: NDArray[np.int64]
    corners: NDArray[np.int64]
    offsets: NDArray[np.int64]
    packed: list[NDArray[np.uint8]]
    hidden: list[NDArray[np.uint8]]


class Partitioner:
    """Splits polygons at every stop of a program.

    Args:
        program: what is run.
        tolerance: values within this share of their scale count as zero.
        patterns: whether patterns are kept.
        memory: bytes for the values of all points, beyond which the polygons are taken in two halves, one after the other.
        max_regions: stop splitting beyond so many polygons.
        count_only: at the last stop, count the pieces of each polygon and make none.
        advance: called with the number of polygons that were added.
    """

    def __init__(
        self,
        program: Program,
        *,
        tolerance: float,
        patterns: bool,
        memory: int,
        max_regions: int | None = None,
        count_only: bool = False,
        advance: Callable[[int], None] = lambda n: None,
    ) -> None:
        self._program = program
        self.tolerance = tolerance
        self._wants_patterns = patterns
        self._memory = memory
        self._most = np.iinfo(np.int64).max // 4 if max_regions is None else max_regions
        self._count_only = count_only
        self._advance = advance
        self._stops = [step for step in program.steps if isinstance(step, (SiteStep, ChoiceStep))]
        self._n_polygons = 0
        self._unit = np.ones(3)
        self.limited = False
        self.n_near_ties = 0

    def run(
        self, points: Tensor, places: NDArray[np.float64], corners: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> list[Polygons]:
        """Take polygons between known points through the whole program.

        Args:
            points: (n_points, *input_shape) float64, points and directions.
            places: (n_points, 3) their homogeneous coordinates.
            corners, offsets: the polygons, as in `Polygons`.
        """
        probe = Probe(self._program, points, weights=places[:, 2])
        keys = np.arange(1, len(places) + 1, dtype=np.int64)
        self._n_polygons = len(offsets) - 1
        self._unit = np.append(np.abs(places[:, :2]).max(axis=0), 1.0)
        return self._continue(_State(probe, places, keys, corners, offsets, [], []))

    def _continue(self, state: _State) -> list[Polygons]:
        from actscope.regions.subdivision.counting import count_pieces

        while (step := state.probe.advance()) is not None:
            if self._count_only and step is self._stops[-1] and isinstance(step, SiteStep):
                stop = _Stop(state, step, self.tolerance, self._unit)
                pieces = count_pieces(
                    stop.z,
                    state.probe.weights,
                    stop.levels,
                    stop.scales.rows,
                    stop.scales.columns,
                    stop.signs,
                    state.corners,
                    state.offsets,
                )
                doubtful = np.flatnonzero(pieces == 0)
                if len(doubtful):
                    part = _part(state, doubtful)
                    parents = self._split(part, step)
                    pieces[doubtful] = np.bincount(parents, minlength=len(doubtful))
                self._advance(int(pieces.sum()) - len(pieces))
                return [self._finished(state, pieces)]
            self._split(state, step)
            if len(state.offsets) > 2 and state.probe.n_points * state.probe.width * 8 > self._memory:
                middle = (len(state.offsets) - 1) // 2
                halves = [_part(state, np.arange(middle)), _part(state, np.arange(middle, len(state.offsets) - 1))]
                del state
                return self._continue(halves.pop(0)) + self._continue(halves.pop())
        return [self._finished(state, np.ones(len(state.offsets) - 1, dtype=np.int64))]

    def _finished(self, state: _State, pieces: NDArray[np.int64]) -> Polygons:
        nothing = np.zeros((len(state.offsets) - 1, 0), dtype=np.uint8)
        values = None
        if self._program.output is not None:
            values = state.probe.output.cpu().numpy()
        return Polygons(
            state.places,
            state.keys,
            state.corners,
            state.offsets,
            np.concatenate([nothing, *state.packed], axis=1),
            np.concatenate([nothing, *state.hidden], axis=1),
            values,
            pieces,
        )

    def _split(self, state: _State, step: SiteStep | ChoiceStep) -> NDArray[np.int64]:
        """Split all polygons at one stop; which polygon each was a part of."""
        from actscope.regions.subdivision import splitting

        origins = np.arange(len(state.offsets) - 1)
        stop = _Stop(state, step, self.tolerance, self._unit)
        table = np.zeros((0, 4), dtype=np.int64)
        n_in_table = 0
        while not self.limited:
            n_before = len(state.offsets) - 1
            starts, functions, more = stop.functions(state.corners, state.offsets)
            if not len(functions):
                break
            if not len(table):
                table = np.full((1 << int(4 * len(functions) + 64).bit_length(), 4), -1, dtype=np.int64)
            allowed = self._most - self._n_polygons + n_before
            parents, factors, made_by, new_weights, corners, offsets, of, table, n_in_table, limited, n_ties = splitting.split_polygons(
                stop.z, state.probe.weights, stop.levels, stop.scales.rows, stop.scales.columns, state.corners, state.offsets, starts,
                functions,
                stop.z.shape[1], table, n_in_table, len(state.places), allowed,
            )  # fmt: skip
            self.limited = bool(limited)
            self.n_near_ties += int(n_ties)
            self._grow(state, self._stops.index(step), parents, factors, made_by, new_weights)
            stop.extend(state)
            state.corners, state.offsets, origins = corners, offsets, origins[of]
            state.packed, state.hidden = [part[of] for part in state.packed], [part[of] for part in state.hidden]
            self._n_polygons += len(offsets) - 1 - n_before
            self._advance(len(offsets) - 1 - n_before)
            if not more:
                break
        if self._wants_patterns:
            stop.read_patterns(state)
        return origins

    def _grow(
        self,
        state: _State,
        stop: int,
        parents: NDArray[np.int64],
        factors: NDArray[np.float64],
        made_by: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> None:
        import torch

        from actscope.regions.subdivision.cutting import combining
        from actscope.regions.subdivision.splitting import point_keys

        if not len(parents):
            return
        n_old = len(state.places)
        combine = combining(parents, factors)
        state.places = combine(torch.from_numpy(state.places), 0).numpy()
        state.places[n_old:, 2] = weights
        keys = np.concatenate([state.keys, np.zeros(len(parents), dtype=np.int64)])
        point_keys(keys, n_old, parents, made_by, stop)
        state.keys = keys
        state.probe.grow(combine, weights)


class _Stop:
    """The values at one stop, their scales, and on which side of each level they are.

    Attributes:
        z: (n_points, n_values) float64.
        levels: (n_levels,) float64; one of zero for a choice.
        scales: what counts as zero.
        signs: as `scanning.classify` makes them, for a site.
    """

    def __init__(self, state: _State, step: SiteStep | ChoiceStep, tolerance: float, unit: NDArray[np.float64]) -> None:
        from actscope.regions.subdivision.cutting import Scales

        self._step = step
        self._unit = unit
        self.z = np.ascontiguousarray(state.probe.z.cpu().numpy())
        self.levels = np.array(step.levels if isinstance(step, SiteStep) else [0.0], dtype=float)
        self.scales = Scales(self.z, state.places / unit, self.levels, tolerance)
        self.signs = self._signs(state.probe, 0)

    def extend(self, state: _State) -> None:
        """Take in the points that were made since."""
        n_old = len(self.z)
        self.z = np.ascontiguousarray(state.probe.z.cpu().numpy())
        self.scales.extend(self.z, state.places / self._unit)
        self.signs = np.concatenate([self.signs, self._signs(state.probe, n_old)], axis=1)

    def _signs(self, probe: Probe, first: int) -> NDArray[np.int64]:
        from actscope.regions.subdivision.scanning import classify

        n_levels = len(self.levels) if isinstance(self._step, SiteStep) else 0
        signs = np.empty((n_levels, len(self.z) - first, 3, -(-self.z.shape[1] // 64)), dtype=np.int64)
        if n_levels:
            classify(self.z, probe.weights, self.levels, self.scales.rows, self.scales.columns, first, signs)
        return signs

    def functions(
        self, corners: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
        """Where each polygon's functions begin, the functions that split it, and whether there may be more after these."""
        from actscope.regions.subdivision import scanning
        from actscope.regions.subdivision.splitting import MOST_FUNCTIONS

        starts = np.zeros(len(offsets), dtype=np.int64)
        room = 1024 + 4 * len(offsets)
        while True:
            functions = np.zeros((room, 3), dtype=np.int64)
            if isinstance(self._step, SiteStep):
                n, more = scanning.find_site_functions(self.signs, corners, offsets, MOST_FUNCTIONS, starts, functions)
            else:
                windows = self._step.windows.numpy()
                n, more = scanning.find_choice_functions(
                    self.z,
                    self.scales.rows,
                    self.scales.columns,
                    windows,
                    corners,
                    offsets,
                    MOST_FUNCTIONS,
                    starts,
                    functions,
                )
            if n <= room:
                return starts, functions[:n], bool(more)
            room = n

    def read_patterns(self, state: _State) -> None:
        """Append each polygon's part of its pattern, and of what else tells it apart; of no use once polygons are left unsplit."""
        from actscope.regions.subdivision import scanning

        step, n = self._step, len(state.offsets) - 1
        if isinstance(step, ChoiceStep):
            signatures = np.zeros(n, dtype=np.int64)
            scanning.choice_signatures(
                self.z,
                self.scales.rows,
                self.scales.columns,
                step.windows.numpy(),
                state.corners,
                state.offsets,
                signatures,
            )
            state.hidden.append(signatures.view(np.uint8).reshape(n, 8))
            return
        points = step.site.breakpoints if step.site is not None else ()
        counted = {level: points.index(level) for level in step.levels if level in points}
        others = {level: i for i, level in enumerate(level for level in step.levels if level not in points)}
        bytes_a_plane = -(-self.z.shape[1] // 8)
        for chosen, target in ((counted, state.packed), (others, state.hidden)):
            if chosen:
                planes = np.array([chosen.get(level, -1) for level in step.levels], dtype=np.int64)
                packed = np.zeros((n, bytes_a_plane * len(chosen)), dtype=np.uint8)
                scanning.write_polygon_patterns(self.signs, planes, state.corners, state.offsets, bytes_a_plane, packed)
                target.append(packed)


def _part(state: _State, polygons: NDArray[np.int64]) -> _State:
    """Some of the polygons, with the points that they need."""
    sizes = np.diff(state.offsets)[polygons]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    places = np.repeat(state.offsets[polygons] - offsets[:-1], sizes) + np.arange(offsets[-1])
    points, corners = np.unique(state.corners[places], return_inverse=True)
    return _State(
        state.probe.select(points),
        state.places[points],
        state.keys[points],
        corners,
        offsets,
        [part[polygons] for part in state.packed],
        [part[polygons] for part in state.hidden],
    )
