"""How well collisions in a part of the data predict what the rest does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.studies.results import Results

__all__ = ["BorderTest", "Prediction", "borders_of", "predictions_of"]


@dataclass(frozen=True)
class Prediction:
    """How well collisions in a part of the data predict redundancy in examples that were not looked at.

    Attributes:
        method: what predicts.
        n: predictions.
        mean_error: mean absolute difference of predicted and observed redundancy.
        within: share of the predictions within 0.02, or a fifth of what was observed.
        rank_correlation: of predicted and observed.
    """

    method: str
    n: int
    mean_error: float
    within: float
    rank_correlation: float

    def __str__(self) -> str:
        return (
            f"{self.method}: mean error {self.mean_error:.4f}, {self.within:.0%} of {self.n} within 0.02 or a fifth, rank correlation "
            f"{self.rank_correlation:+.3f}"
        )


@dataclass(frozen=True)
class BorderTest:
    """How well the collision entropy of a part predicts a sample size in the rest.

    Attributes:
        border: which size.
        n: cells in which it lies within the rest.
        ratio: median of observed over predicted.
        low: lower quartile of the ratio.
        high: upper quartile.
    """

    border: str
    n: int
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.border}: observed over predicted {self.ratio:.2f} (quartiles {self.low:.2f} to {self.high:.2f}) in {self.n} cells"


def borders_of(results: Results, y_name: str) -> tuple[BorderTest, ...]:
    """Both borders of a collision entropy H2, against what is seen among examples that it was not measured on.

    First collisions are expected near √2 · 2^(H2/2) examples, a redundancy of one percent near 1 + 0.02 · 2^H2.
    """
    found = []
    for border in ("first collision", "one percent"):
        rows = results.arrays(
            f"select a.value as predicted, b.value as observed from results a join results b using (cell, {y_name}) "
            f"where a.metric = ? and b.metric = ? and {y_name} > 0",
            [f"{border}: predicted", f"{border}: among the rest"],
        )
        ratio = rows["observed"] / rows["predicted"]
        ratio = ratio[np.isfinite(ratio)]  # it does not come so far everywhere
        if len(ratio):
            middle, low, high = (float(np.quantile(ratio, q)) for q in (0.5, 0.25, 0.75))
            found.append(BorderTest(border, len(ratio), middle, low, high))
    return tuple(found)


def predictions_of(results: Results, y_name: str) -> tuple[Prediction, ...]:
    """How well each method predicts redundancy in examples that it has not seen, over all sizes and cells.

    The last method has not seen the network either: it knows those of the next narrower and wider layers.
    """
    columns = results.columns
    if "rest_size" not in columns:
        return ()
    key = ["seed", "width", y_name, "rest_size"]
    found = {}
    for name in ("redundancy", "predicted from pairs", "predicted by Chao"):
        found[name] = results.arrays(
            f"select {', '.join(key)}, value from results where metric = ? and {y_name} > 0 order by {', '.join(key)}",
            [f"rest: {name}"],
        )
    observed = found["redundancy"]["value"]
    if not len(observed):
        return ()
    methods = {
        "pairs": found["predicted from pairs"]["value"],
        "Chao's estimate": found["predicted by Chao"]["value"],
        "Chao's estimate in networks of the neighbouring widths": _from_neighbours(
            found["predicted by Chao"], y_name, key
        ),
    }
    return tuple(_judged(method, values, observed) for method, values in methods.items())


def _from_neighbours(found: dict[str, np.ndarray], y_name: str, key: list[str]) -> NDArray[np.float64]:
    """What cells of the next narrower and wider networks predict for each cell, between them on a logarithmic scale; NaN at the ends."""
    widths = np.unique(found["width"])
    table = {tuple(found[name][i] for name in key): value for i, value in enumerate(found["value"])}
    predicted = np.full(len(found["value"]), np.nan)
    for i, (seed, width, y, size) in enumerate(zip(*(found[name] for name in key), strict=True)):
        at = int(np.searchsorted(widths, width))
        if 0 < at < len(widths) - 1:
            low, high = (table[seed, widths[k], y, size] for k in (at - 1, at + 1))
            share = np.log2(width / widths[at - 1]) / np.log2(widths[at + 1] / widths[at - 1])
            predicted[i] = np.exp((1 - share) * np.log(max(low, 1e-7)) + share * np.log(max(high, 1e-7)))
    return predicted


def _judged(method: str, predicted: NDArray[np.float64], observed: NDArray[np.float64]) -> Prediction:
    from scipy.stats import spearmanr

    known = np.isfinite(predicted)
    predicted, observed = predicted[known], observed[known]
    error = np.abs(predicted - observed)
    varies = len(observed) > 2 and np.ptp(observed) > 0 and np.ptp(predicted) > 0
    return Prediction(
        method=method,
        n=len(observed),
        mean_error=float(error.mean()) if len(error) else float("nan"),
        within=float((error <= np.maximum(0.02, 0.2 * observed)).mean()) if len(error) else float("nan"),
        rank_correlation=float(spearmanr(predicted, observed).statistic) if varies else float("nan"),
    )
