"""Many lines taken through a program together, from stop to stop, each cut where something switches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from actscope.regions.programs.probe import Probe
from actscope.regions.programs.program import ChoiceStep, Program, SiteStep

__all__ = ["Sweep", "Swept", "Switches"]


@dataclass(frozen=True)
class Switches:
    """What switches where, in the order of the lines and of t.

    Attributes:
        line: (n,) int64 the line's number.
        t: (n,) float64 where on it.
        step: (n,) int64 at which stop, a position in `step_names`.
        index: (n,) int64 which neuron of the site, or which output of the pooling.
        level: (n,) float64 the pre-activation value that is crossed; NaN for a pooling.
        rises: (n,) bool whether the pre-activation rises through it; False for a pooling.
        before, after: (n,) int64 for a pooling, which of its inputs is the largest before and after; -1 for a neuron.
        step_names: the sites and poolings in the order in which they run.
    """

    line: NDArray[np.int64]
    t: NDArray[np.float64]
    step: NDArray[np.int64]
    index: NDArray[np.int64]
    level: NDArray[np.float64]
    rises: NDArray[np.bool_]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    step_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.t)

    def take(self, rows: Any) -> Switches:
        """Some of the switches."""
        names = ("line", "t", "step", "index", "level", "rises", "before", "after")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def of_line(self, line: int) -> Switches:
        """The switches of one line."""
        return self.take(slice(*np.searchsorted(self.line, [line, line + 1])))

    def to_dict(self) -> dict[str, Any]:
        """The switches as plain lists, one entry each."""
        pooled = self.before >= 0
        return {
            "t": self.t.tolist(),
            "where": [self.step_names[k] for k in self.step],
            "index": self.index.tolist(),
            "level": [None if p else float(level) for p, level in zip(pooled, self.level, strict=True)],
            "rises": [None if p else bool(r) for p, r in zip(pooled, self.rises, strict=True)],
            "before": [int(b) if p else None for p, b in zip(pooled, self.before, strict=True)],
            "after": [int(a) if p else None for p, a in zip(pooled, self.after, strict=True)],
        }


@dataclass
class Swept:
    """A stretch of lines after the last stop.

    Attributes:
        line: (n_intervals,) int64; left, right: (n_intervals, 2) homogeneous coordinates (t, weight) of each interval's ends.
        packed: (n_intervals, n_bytes) uint8.
        values: (n_intervals, 2, n_outputs) at both ends; `None` where there is no output.
        counts: (n_intervals,) regions in each interval that was known before the last stop; of use for counting alone.
    """

    line: NDArray[np.int64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    packed: NDArray[np.uint8]
    values: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    counts: NDArray[np.int64]


@dataclass
class _State:
    """Intervals between points of a probe: `places` (n_points, 2) are (t, weight); `patterns` the bytes of each stop so far."""

    probe: Probe
    places: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    line: NDArray[np.int64]
    patterns: list[NDArray[np.uint8]]


class Sweep:
    """Cuts lines at every stop of a program.

    Args:
        program: what is run.
        tolerance: values within this share of their scale count as zero.
        patterns: whether the pattern of each interval is kept.
        memory: bytes for the values of all points, beyond which the intervals are taken in two halves, one after the other.
        count_only: at the last stop, count the cuts and make none.
    """

    def __init__(
        self, program: Program, *, tolerance: float, patterns: bool, memory: int, count_only: bool = False
    ) -> None:
        self._program = program
        self.tolerance = tolerance
        self._wants_patterns = patterns
        self._memory = memory
        self._stops = [step for step in program.steps if isinstance(step, (SiteStep, ChoiceStep))]
        self._count_only = count_only
        self._events: list[dict[str, NDArray[Any]]] = []
        self.n_near_ties = 0

    def run(
        self,
        points: Tensor,
        places: NDArray[np.float64],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        line: NDArray[np.int64],
    ) -> list[Swept]:
        """Take intervals between known points through the whole program.

        Args:
            points: (n_points, *input_shape) float64, points and directions.
            places: (n_points, 2) their homogeneous coordinates on their line.
            left, right: (n_intervals,) the points that each interval lies between, in the order of the lines and of t.
            line: (n_intervals,) which line each is on.
        """
        probe = Probe(self._program, points, weights=places[:, 1])
        return self._continue(_State(probe, places, left, right, line, []))

    def switches(self) -> Switches:
        """All that switched, in the order of the lines and of t."""
        names = tuple(step.name for step in self._stops)
        kinds = {
            "line": int,
            "t": float,
            "step": int,
            "index": int,
            "level": float,
            "rises": bool,
            "before": int,
            "after": int,
        }
        columns = {
            key: np.concatenate([np.zeros(0, dtype=kind), *(events[key] for events in self._events)])
            for key, kind in kinds.items()
        }
        order = np.lexsort((columns["index"], columns["step"], columns["t"], columns["line"]))
        return Switches(**{key: column[order] for key, column in columns.items()}, step_names=names)

    def _continue(self, state: _State) -> list[Swept]:
        while (step := state.probe.advance()) is not None:
            last = self._count_only and step is self._stops[-1]
            counts = self._cut(state, step, count_only=last)
            if last:
                return [
                    Swept(
                        state.line,
                        state.places[state.left],
                        state.places[state.right],
                        _nothing(state),
                        None,
                        counts + 1,
                    )
                ]
            if len(state.left) > 1 and state.probe.n_points * state.probe.width * 8 > self._memory:
                middle = len(state.left) // 2
                halves = [_part(state, slice(0, middle)), _part(state, slice(middle, None))]
                del state
                return self._continue(halves.pop(0)) + self._continue(halves.pop())
        packed = np.concatenate([_nothing(state), *state.patterns], axis=1)
        values = None
        if self._program.output is not None:
            output = state.probe.output.cpu().numpy()
            values = (output[state.left], output[state.right])
        ones = np.ones(len(state.left), dtype=np.int64)
        return [Swept(state.line, state.places[state.left], state.places[state.right], packed, values, ones)]

    def _cut(self, state: _State, step: SiteStep | ChoiceStep, *, count_only: bool) -> NDArray[np.int64]:
        """Insert the points of one stop; the number of cuts in each interval."""
        from actscope.regions.subdivision import cutting

        z = np.ascontiguousarray(state.probe.z.cpu().numpy())
        weights = state.probe.weights
        levels = np.array(step.levels if isinstance(step, SiteStep) else [], dtype=float)
        scales = cutting.Scales(z, state.places, levels, self.tolerance)
        rows, columns = scales.rows, scales.columns
        counts = np.zeros(len(state.left), dtype=np.int64)
        if isinstance(step, SiteStep):
            cutting.count_cuts(z, weights, state.left, state.right, levels, rows, columns, counts)
            room = int(counts.sum())
            cuts, factors, events = _room(room)
            found = cutting.find_cuts(
                z, weights, state.left, state.right, levels, rows, columns, counts, cuts, factors, events
            )
        else:
            windows = step.windows.numpy()
            room = 64 + 4 * len(state.left)
            while True:
                cuts, factors, events = _room(room)
                found = cutting.find_choice_cuts(
                    z, state.left, state.right, windows, weights, rows, columns, counts, cuts, factors, events
                )
                if max(found[:2]) <= room:
                    break
                room = max(found[:2])
        n_cuts, n_events, n_ties = found
        self.n_near_ties += n_ties
        if count_only:
            return counts
        cuts, factors, events = cuts[:n_cuts], factors[:n_cuts], events[:n_events]
        parents = np.repeat(np.arange(len(counts)), counts + 1)
        state.patterns = [packed[parents] for packed in state.patterns]
        if isinstance(step, SiteStep) and step.site is not None and self._wants_patterns:
            site = step.site
            planes = np.array(
                [site.breakpoints.index(g) if g in site.breakpoints else -1 for g in step.levels], dtype=np.int64
            )
            packed = np.zeros((len(parents), site.n_bytes), dtype=np.uint8)
            cutting.write_patterns(
                z,
                weights,
                state.left,
                state.right,
                levels,
                planes,
                rows,
                columns,
                counts,
                events,
                site.bytes_per_plane,
                packed,
            )
            state.patterns.append(packed)
        if n_cuts:
            self._insert(state, step, cuts, factors, counts, parents, events)
        return counts

    def _insert(
        self,
        state: _State,
        step: SiteStep | ChoiceStep,
        cuts: NDArray[np.int64],
        factors: NDArray[np.float64],
        counts: NDArray[np.int64],
        parents: NDArray[np.int64],
        events: NDArray[np.int64],
    ) -> None:
        from actscope.regions.subdivision.cutting import combining

        n_old = len(state.places)
        new = factors[:, :1] * state.places[cuts[:, 0]] + factors[:, 1:] * state.places[cuts[:, 1]]
        new[:, 1] = 1.0
        state.places = np.concatenate([state.places, new])
        state.probe.grow(combining(cuts, factors), new[:, 1])
        last = np.cumsum(counts + 1) - 1  # where each interval's last part is
        first = last - counts
        left, right = np.empty(len(parents), dtype=np.int64), np.empty(len(parents), dtype=np.int64)
        inner_left = np.ones(len(parents), dtype=bool)
        inner_left[first] = False
        inner_right = np.ones(len(parents), dtype=bool)
        inner_right[last] = False
        numbers = n_old + np.arange(len(cuts))
        left[first], left[inner_left] = state.left, numbers
        right[last], right[inner_right] = state.right, numbers
        of_cut = state.line[np.repeat(np.arange(len(counts)), counts)]
        if self._wants_patterns:
            self._note(step, of_cut[events[:, 0]], new[events[:, 0], 0], events)
        state.left, state.right, state.line = left, right, state.line[parents]

    def _note(
        self, step: SiteStep | ChoiceStep, line: NDArray[np.int64], t: NDArray[np.float64], events: NDArray[np.int64]
    ) -> None:
        n = len(events)
        nothing, nowhere = np.full(n, np.nan), np.full(n, -1)
        chooses = isinstance(step, ChoiceStep)
        self._events.append(
            {
                "line": line,
                "t": t,
                "step": np.full(n, self._stops.index(step)),
                "index": events[:, 1].copy(),
                "level": nothing if isinstance(step, ChoiceStep) else np.array(step.levels)[events[:, 2]],
                "rises": np.zeros(n, dtype=bool) if chooses else events[:, 3] == 1,
                "before": events[:, 2].copy() if chooses else nowhere,
                "after": events[:, 3].copy() if chooses else nowhere,
            }
        )


def _room(n: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    return np.zeros((n, 2), dtype=np.int64), np.zeros((n, 2)), np.zeros((n, 4), dtype=np.int64)


def _nothing(state: _State) -> NDArray[np.uint8]:
    return np.zeros((len(state.left), 0), dtype=np.uint8)


def _part(state: _State, intervals: slice) -> _State:
    """Some of the intervals, with the points that they need."""
    left, right = state.left[intervals], state.right[intervals]
    points, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    return _State(
        state.probe.select(points),
        state.places[points],
        places[: len(left)],
        places[len(left) :],
        state.line[intervals],
        [packed[intervals] for packed in state.patterns],
    )
