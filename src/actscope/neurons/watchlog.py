"""What a watch over training has seen: per unit and layer, step by step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actscope.figures.labels import counted
from actscope.neurons.verdicts import Criterion, Thresholds, criteria

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

__all__ = ["MEASURES", "Measure", "Reading", "WatchLog"]

Measure: TypeAlias = Literal[
    "mean", "variance", "cancellation", "same_interval", "dead", "dying", "gradient", "weight", "gradient_to_weight"
]

MEASURES: Mapping[str, str] = {
    "mean": "mean of the post-activation over examples",
    "variance": "variance of the post-activation over examples",
    "cancellation": "|Σ g| / Σ |g| over examples, g the gradient by the pre-activation",
    "same_interval": "share of the examples in the most frequent interval",
    "dead": "1 if the post-activation was the same for every example",
    "dying": "1 if in one interval while gradients cancel",
    "gradient": "mean |∂L/∂w| over the unit's incoming weights",
    "weight": "mean |w| over the unit's incoming weights",
    "gradient_to_weight": "mean |∂L/∂w / w| over the unit's incoming weights",
}
"""By name, what each measure is; the first six belong to activation sites, the last three to weights."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What was seen in one step, or on average over a window of steps.

    Attributes:
        step: the last step that took part, counted from 0 by optimizer steps.
        n_steps: how many steps took part.
        n_examples: how many examples went through the model in them.
        values: by place (a site's or a parameter's name) and measure, (n_units,) float32.
    """

    step: int
    n_steps: int
    n_examples: int
    values: Mapping[tuple[str, str], NDArray[np.float32]]


@dataclass(frozen=True, eq=False, repr=False)
class WatchLog:
    """All readings of a watch, in order.

    Attributes:
        readings: one a watched step, or one a window.
        every: steps from one reading to the next.
        average: whether a reading is an average over a window of steps.
        thresholds: where dead and dying begin.
    """

    readings: tuple[Reading, ...]
    every: int
    average: bool
    thresholds: Thresholds

    def __len__(self) -> int:
        return len(self.readings)

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n_readings,) int64, the last step of each reading."""
        return np.array([reading.step for reading in self.readings], dtype=np.int64)

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """The rules of *dead* and *dying* as the last reading applied them: threshold, window, number of examples, what to do.

        Labels are not known in training, so *one interval for every class* is here one interval for all examples.
        """
        n_steps, n_examples = (self.readings[-1].n_steps, self.readings[-1].n_examples) if self.readings else (0, 0)
        window = f"{counted(n_steps, 'step')} of training, {counted(n_examples, 'example')}, whatever their label"
        found = criteria(self.thresholds, n_examples, window=window)
        return tuple(criterion for criterion in found if criterion.verdict in ("dead", "dying"))

    def places(self, measure: Measure) -> tuple[str, ...]:
        """The sites or parameters that have a measure, in the order in which the model runs or holds them.

        Raises:
            ValueError: if there is no such measure.
        """
        if measure not in MEASURES:
            raise ValueError(f"measure={measure!r}: choose one of {', '.join(MEASURES)}")
        found = (place for reading in self.readings for place, name in reading.values if name == measure)
        return tuple(dict.fromkeys(found))

    def series(self, place: str, measure: Measure) -> NDArray[np.float32]:
        """One measure of every unit of a site or parameter over time, (n_readings, n_units); NaN where a reading lacks it.

        Raises:
            ValueError: if that place has no such measure.
        """
        if place not in self.places(measure):
            raise ValueError(f"{place!r} has no {measure}; these have: {', '.join(self.places(measure)) or 'none'}")
        rows = [reading.values.get((place, measure)) for reading in self.readings]
        n_units = max(len(row) for row in rows if row is not None)
        empty = np.full(n_units, np.nan, dtype=np.float32)
        return np.stack([empty if row is None else row for row in rows])

    def __repr__(self) -> str:
        how = f"averages over {self.every} steps" if self.average else f"every {self.every} steps"
        last = f", the last of step {self.readings[-1].step:,}" if self.readings else ""
        return f"WatchLog({len(self):,} readings, {how}{last})"

    def to_dict(self) -> dict[str, Any]:
        """Means over units, by place and measure, as plain values that JSON can hold."""
        return {
            "every": self.every,
            "average": self.average,
            "criteria": [criterion.to_dict() for criterion in self.criteria],
            "steps": self.steps.tolist(),
            "means": {
                place: {
                    measure: [_mean(row) for row in self.series(place, measure)]  # type: ignore[arg-type]  # keys of MEASURES
                    for measure in MEASURES
                    if place in self.places(measure)  # type: ignore[arg-type]  # keys of MEASURES
                }
                for place in dict.fromkeys(place for reading in self.readings for place, _ in reading.values)
            },
        }

    def to_arrow(self) -> pa.Table:
        """One row for each reading, place, unit and measure.

        Columns: `step` int64, `n_steps` int64, `n_examples` int64, `place` (the site's or parameter's name), `measure` (see
        `MEASURES`), `unit` int32, `value` float32, null where it is not defined.
        """
        import pyarrow as pa

        schema = pa.schema(
            [
                ("step", pa.int64()),
                ("n_steps", pa.int64()),
                ("n_examples", pa.int64()),
                ("place", pa.dictionary(pa.int32(), pa.string())),
                ("measure", pa.dictionary(pa.int32(), pa.string())),
                ("unit", pa.int32()),
                ("value", pa.float32()),
            ]
        )
        keys = list(dict.fromkeys(key for reading in self.readings for key in reading.values))
        places, measures = (list(dict.fromkeys(key[i] for key in keys)) for i in (0, 1))
        rows = [(reading, key, reading.values[key]) for reading in self.readings for key in reading.values]
        lengths = [len(values) for _, _, values in rows]

        def repeated(numbers: list[int], dtype: Any) -> Any:
            return np.repeat(np.array(numbers, dtype=dtype), lengths)

        place_of = {name: i for i, name in enumerate(places)}
        measure_of = {name: i for i, name in enumerate(measures)}
        values = np.concatenate([row for _, _, row in rows]) if rows else np.zeros(0, np.float32)
        return pa.Table.from_arrays(
            [
                pa.array(repeated([reading.step for reading, _, _ in rows], np.int64)),
                pa.array(repeated([reading.n_steps for reading, _, _ in rows], np.int64)),
                pa.array(repeated([reading.n_examples for reading, _, _ in rows], np.int64)),
                _dictionary(repeated([place_of[key[0]] for _, key, _ in rows], np.int32), places),
                _dictionary(repeated([measure_of[key[1]] for _, key, _ in rows], np.int32), measures),
                pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in lengths] or [np.zeros(0, np.int32)])),
                pa.array(values, mask=np.isnan(values)),
            ],
            schema=schema,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_arrow` as one Parquet file, whole or not at all."""
        from actscope.neurons.tablefile import write_table

        write_table(self.to_arrow(), path)

    def plot(self, measure: Measure = "gradient_to_weight", ax: Axes | None = None) -> Axes:
        """A measure over training: each layer's median over units as a line, the middle half of its units as a band."""
        from actscope.figures.unit_series import draw_unit_series

        series = {place: self.series(place, measure) for place in self.places(measure)}
        return draw_unit_series(self.steps, series, ylabel=MEASURES[measure], ax=ax)


def _dictionary(indices: NDArray[np.int32], names: list[str]) -> Any:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(names, pa.string()))


def _mean(row: NDArray[np.float32]) -> float | None:
    known = row[np.isfinite(row)]
    return float(known.mean()) if len(known) else None
