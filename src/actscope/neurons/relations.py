"""How pattern similarity, transition density and distances of pairs of examples go together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from actscope.codes import encode
from actscope.codes.batches import Adapt
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.selection import Layers
from actscope.neurons.predictions import Inputs, Output, paired, placed, prediction_distance
from actscope.neurons.similarity import pattern_similarity
from actscope.neurons.transitions import transition_density

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PairRelations", "RankCorrelation", "pair_relations"]


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of two quantities over pairs of examples.

    Attributes:
        value: ρ; NaN where one of the two is the same for all pairs.
        standard_error: √((1 + ρ²/2)/(n - 3)) of artanh ρ (Bonett & Wright 2000), carried over to ρ. Pairs that share examples are not
            independent: with all pairs of a few examples it is too small.
        n_pairs: over how many pairs.
    """

    value: float
    standard_error: float
    n_pairs: int

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.standard_error:.2g} ({self.n_pairs:,} pairs)"


@dataclass(frozen=True, eq=False, repr=False)
class PairRelations:
    """Pattern similarity, transition density and distances of pairs of examples (Jiang et al. 2022, Figure 5).

    Attributes:
        n_neurons: N.
        samples: points on each segment for the transition density; `None` where it was counted exactly.
        similarity: (n_pairs,) float64, PS.
        density: (n_pairs,) int64, TD.
        prediction_distance: (n_pairs,) float64, ‖F(x) - F(y)‖.
        data_distance: (n_pairs,) float64, ‖x - y‖.
        same_label: (n_pairs,) bool, or `None`.
    """

    n_neurons: int
    samples: int | None
    similarity: NDArray[np.float64]
    density: NDArray[np.int64]
    prediction_distance: NDArray[np.float64]
    data_distance: NDArray[np.float64]
    same_label: NDArray[np.bool_] | None = None

    @property
    def n_differing(self) -> NDArray[np.int64]:
        """(n_pairs,) N(1 - PS): neurons in different intervals."""
        return np.rint(self.n_neurons * (1 - self.similarity)).astype(np.int64)

    @property
    def equal_share(self) -> float:
        """The share of pairs with TD = N(1 - PS), equation (28): 1 with one hidden layer and one breakpoint, in general position."""
        return float((self.density == self.n_differing).mean())

    @property
    def at_least_share(self) -> float:
        """The share of pairs with TD ≥ N(1 - PS): 1 at any depth, in general position, if TD was counted exactly.

        Every neuron that differs at the ends has changed on the way, and in general position no two change at one point.
        """
        return float((self.density >= self.n_differing).mean())

    @property
    def density_and_similarity(self) -> RankCorrelation:
        """How transition density goes with pattern similarity: near -1 if Theorem 3 is a good guide to these pairs."""
        return _rank_correlation(self.density, self.similarity)

    @property
    def ratio(self) -> NDArray[np.float64]:
        """(n_pairs,) R = ‖F(x) - F(y)‖ / ‖x - y‖ (33); NaN for a pair of equal inputs."""
        distinct = self.data_distance > 0
        return np.where(distinct, self.prediction_distance / np.where(distinct, self.data_distance, 1), np.nan)

    @property
    def density_and_ratio(self) -> RankCorrelation:
        """How transition density goes with that ratio: positive if Theorem 4 is a good guide to these pairs."""
        return _rank_correlation(self.density, self.ratio)

    @property
    def density_and_distance(self) -> RankCorrelation:
        """How transition density goes with the prediction distance itself, whatever the distance of the inputs."""
        return _rank_correlation(self.density, self.prediction_distance)

    def plot(self, ax: Axes | None = None, *, y: Literal["density", "prediction_distance"] = "density") -> Axes:
        """Draw each pair: its similarity against its transition density (with the line TD = N(1 - PS)) or its prediction distance."""
        from actscope.figures.similarity import draw_pairs

        return draw_pairs(
            self.similarity,
            self.density if y == "density" else self.prediction_distance,
            ylabel="transition density" if y == "density" else "prediction distance",
            same_label=self.same_label,
            n_neurons=self.n_neurons if y == "density" else None,
            ax=ax,
        )

    def to_dict(self) -> dict[str, Any]:
        """The pairs as plain values."""
        return {
            "n_neurons": self.n_neurons,
            "samples": self.samples,
            "similarity": self.similarity.tolist(),
            "density": self.density.tolist(),
            "prediction_distance": self.prediction_distance.tolist(),
            "data_distance": self.data_distance.tolist(),
            "same_label": None if self.same_label is None else self.same_label.tolist(),
            "equal_share": self.equal_share,
            "at_least_share": self.at_least_share,
        }

    def __repr__(self) -> str:
        how = "exact" if self.samples is None else f"{self.samples} points"
        return (
            f"PairRelations({len(self.density):,} pairs, {self.n_neurons:,} neurons, transition density by {how}: TD = N(1 - PS) for a "
            f"share of {self.equal_share:.4g}, TD ≥ N(1 - PS) for {self.at_least_share:.4g}; rank correlation of TD with PS "
            f"{self.density_and_similarity}, with ‖F(x) - F(y)‖ / ‖x - y‖ {self.density_and_ratio})"
        )


def pair_relations(
    model: nn.Module,
    x: Inputs,
    y: Inputs,
    *,
    same_label: ArrayLike | None = None,
    samples: int | None = None,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    output: Output = None,
    adapt: Adapt = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool | None = None,
) -> PairRelations:
    """Pattern similarity, transition density and distances of pairs of examples, and how they go together.

    What Jiang et al. 2022 say of them, and under what conditions:

    - TD + #(AP(x) ∩ AP(y)) = N (28) holds with one hidden layer and one breakpoint in general position. Deeper, or with more breakpoints, a
      neuron may change and change back (or change twice): TD ≥ N(1 - PS). Neurons that change at one point (copies of each other) break
      both.
    - Theorem 3, lower TD exactly where PS is higher, follows from (28) and ends where it ends: elsewhere it is a rank correlation.
    - Theorem 4, lower TD with a smaller ratio of prediction distance to data distance, is a rank correlation everywhere: kinks may be
      small and many, or few and large.

    Args:
        model, x, y, samples, layers, breakpoints, activations, adapt, batch_size, device, dtype, progress: as for `transition_density`.
        same_label: (n_pairs,) whether both examples of a pair have one label, for the picture.
        output: as for `prediction_distance`.

    Raises:
        ValueError, TypeError: as `transition_density`, `prediction_distance` and `actscope.encode` raise.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 2))
        >>> relations = pair_relations(model, torch.randn(30, 2), torch.randn(30, 2), samples=4096)
        >>> relations.equal_share > 0.9, round(relations.density_and_similarity.value, 2)
        (True, -1.0)
    """
    starts, ends = paired(x, y)
    alike = None if same_label is None else np.asarray(same_label, dtype=bool)
    if alike is not None and alike.shape != (len(starts),):
        raise ValueError(f"same_label has shape {alike.shape}, but there are {len(starts)} pairs")
    # exact transitions are counted in float64: the ends have to be read as they are there
    model, device, dtype = placed(model, device, torch.float64 if samples is None else dtype)
    codes = [
        encode(
            model,
            inputs,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            adapt=adapt,
            batch_size=batch_size,
            progress=progress,
        )
        for inputs in (starts, ends)
    ]
    density = transition_density(
        model,
        starts,
        ends,
        samples=samples,
        layers=layers,
        breakpoints=breakpoints,
        activations=activations,
        adapt=adapt,
        batch_size=batch_size,
        progress=progress,
    )
    distance = prediction_distance(
        model, starts, ends, output=output, adapt=adapt, batch_size=batch_size, progress=progress
    )
    apart = (starts.double() - ends.double()).reshape(len(starts), -1).norm(dim=1).cpu().numpy()
    return PairRelations(codes[0].n_neurons, samples, pattern_similarity(*codes), density, distance, apart, alike)


def _rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> RankCorrelation:
    from scipy.stats import spearmanr

    known = ~np.isnan(b)
    a, b, n = a[known], b[known], int(known.sum())
    if n < 4 or len(np.unique(a)) == 1 or len(np.unique(b)) == 1:
        return RankCorrelation(math.nan, math.nan, n)
    value = float(spearmanr(a, b).statistic)
    return RankCorrelation(value, (1 - value**2) * math.sqrt((1 + value**2 / 2) / (n - 3)), n)
