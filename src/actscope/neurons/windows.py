"""A reading of a watch put together from the steps of its window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from actscope.neurons.unitsums import UnitSums
from actscope.neurons.verdicts import Thresholds, dying
from actscope.neurons.watchlog import Reading

__all__ = ["Window"]


class Window:
    """Averages over the watched steps of one window.

    Means, variances and weights are averaged over steps. Gradients by pre-activations are added up, so that cancellation is that of
    all examples of the window. A unit is dead in a window if it was so in each of its steps.

    Args:
        thresholds: where dying begins.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._totals: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._gradients: dict[str, list[NDArray[np.float64]]] = {}
        self.n_steps = 0
        self.n_examples = 0

    def add(
        self, sites: Mapping[str, UnitSums], weights: Mapping[str, Mapping[str, NDArray[np.float32]]], n_examples: int
    ) -> None:
        """Take in one step: its sites' sums, its weights' rows, and how many examples it had."""
        self.n_steps += 1
        self.n_examples += n_examples
        for name, sums in sites.items():
            for measure, values in _of_step(sums, self._thresholds.same_output).items():
                self._count(name, measure, values)
            if sums.gradient_sum is not None and sums.gradient_size is not None:
                both = [part.double().cpu().numpy() for part in (sums.gradient_sum, sums.gradient_size)]
                known = self._gradients.get(name)
                self._gradients[name] = both if known is None else [a + b for a, b in zip(known, both, strict=True)]
        for name, rows in weights.items():
            for measure, row in rows.items():
                self._count(name, measure, row.astype(np.float64))

    def reading(self, step: int) -> Reading:
        """The reading that ends with this step."""
        values: dict[tuple[str, str], NDArray[np.float32]] = {}
        for (name, measure), total in self._totals.items():
            mean = total / self._counts[name, measure]
            values[name, measure] = np.asarray(mean == 1 if measure == "dead" else mean, dtype=np.float32)
            if measure == "same_interval" and name in self._gradients:
                values |= self._of_gradients(name, mean)
        return Reading(step, self.n_steps, self.n_examples, values)

    def _of_gradients(
        self, name: str, same_interval: NDArray[np.float64]
    ) -> dict[tuple[str, str], NDArray[np.float32]]:
        total, size = self._gradients[name]
        cancellation = np.full(len(size), np.nan)
        cancellation[size > 0] = np.abs(total[size > 0]) / size[size > 0]
        found = dying(
            same_interval,
            size / max(self.n_examples, 1),
            cancellation,
            thresholds=self._thresholds,
            n_examples=self.n_examples,
        )
        return {
            (name, "cancellation"): cancellation.astype(np.float32),
            (name, "dying"): found.astype(np.float32),
        }

    def _count(self, name: str, measure: str, values: NDArray[np.float64]) -> None:
        key = name, measure
        self._totals[key] = values if key not in self._totals else self._totals[key] + values
        self._counts[key] = self._counts.get(key, 0) + 1


def _of_step(sums: UnitSums, same_output: float) -> dict[str, NDArray[np.float64]]:
    if sums.means is None or sums.squares is None or sums.low is None or sums.high is None:
        return {}
    mean, squares, low, high = (part.double().cpu().numpy() for part in (sums.means, sums.squares, sums.low, sums.high))
    dead = high - low <= same_output * np.maximum(np.abs(low), np.abs(high))
    return {
        "mean": mean,
        "variance": squares / sums.n,
        "dead": dead.astype(np.float64),
        "same_interval": sums.shares(),
    }
