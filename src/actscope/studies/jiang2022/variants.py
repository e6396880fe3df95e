"""Which variant of the network and of what is split does what the paper says, part by part of its claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actscope.studies.jiang2022.patterns import PAIR_SPLITS, split_name
from actscope.studies.results import Results

__all__ = ["Part", "Seen", "Variant", "holds_until", "parts_of", "variants_of"]

Array = NDArray[np.float64]
_ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu")
_TRAINED = 0.9
"""Accuracy on test images below which a network counts as not trained."""
_BENT_SPLITS = ("-0.5, 0, 0.5", "-0.5, 0.5", "-0.25, 0.25")
"""Breakpoints that the paper puts on sigmoid and tanh, of Figure 5 first."""


@dataclass(frozen=True)
class Variant:
    """Where normalization stands, and on what breakpoints are put."""

    normalization: str
    reading: str

    def __str__(self) -> str:
        where = (
            "no normalization" if self.normalization == "none" else f"normalized {self.normalization} the activation"
        )
        return f"{where}, {self.reading}s split"


@dataclass(frozen=True)
class Part:
    """A part of a claim, whether it holds, and our numbers.

    Attributes:
        claim: its id.
        words: what is claimed.
        holds: whether it holds.
        ours: our numbers.
        of: `trained` networks, those at the `end` of the printed training, or `any`.
    """

    claim: str
    words: str
    holds: bool
    ours: str
    of: str = "any"


def holds_until(thresholds: Array, shares: Array, level: float) -> float:
    """The largest threshold up to which the share of pairs is `level` or more; 0 if there is none.

    Example:
        >>> holds_until(np.array([0.0, 0.5, 0.9]), np.array([1.0, 0.8, 0.2]), 0.7)
        0.5
    """
    below = np.flatnonzero(shares < level)
    if not len(below):
        return float(thresholds[-1])
    return float(thresholds[max(below[0] - 1, 0)]) if below[0] else 0.0


class Seen:
    """What was measured, by variant."""

    def __init__(self, results: Results) -> None:
        rows = results.query(
            "select normalization, activation, coalesce(reading, ''), coalesce(breakpoints, ''), metric, coalesce(\"set\", ''), step, "
            "coalesce(threshold, layer, 0), avg(value) from results where metric != 'similarity of a layer' group by all order by all"
        )
        found: dict[tuple[str, ...], list[tuple[int, float, float]]] = {}
        for *key, step, at, value in rows:
            found.setdefault(tuple(key), []).append((step, at, value))
        self._found = {key: np.array(values) for key, values in found.items()}

    def variants(self) -> Iterator[Variant]:
        """Those with every activation, in order."""
        for normalization in ("before", "after", "none"):
            for reading in ("linear output", "pre-activation", "post-activation"):
                if all(
                    (normalization, name, reading, split_name(PAIR_SPLITS[name]), "similarity", "") in self._found
                    for name in _ACTIVATIONS
                ):
                    yield Variant(normalization, reading)

    def through_training(self, variant: Variant, activation: str, split: str) -> tuple[Array, Array]:
        """Steps, and the similarity of the pairs after each."""
        found = self._found[variant.normalization, activation, variant.reading, split, "similarity", ""]
        return found[:, 0], found[:, 2]

    def curve(self, variant: Variant, activation: str, split: str, name: str, *, trained: bool) -> tuple[Array, Array]:
        """Thresholds, and the share of the pairs of a set above each."""
        found = self._found[variant.normalization, activation, variant.reading, split, "share of pairs", name]
        chosen = found[found[:, 0] == (found[:, 0].max() if trained else 0)]
        return chosen[:, 1], chosen[:, 2]

    def last(self, variant: Variant, activation: str, split: str, metric: str) -> float:
        """The last value of a metric."""
        return float(self._found[variant.normalization, activation, variant.reading, split, metric, ""][-1, 2])

    def untrained(self, variant: Variant) -> str:
        """Why a variant says nothing of trained networks; empty if it does."""
        steps, accuracies = [], []
        for name in _ACTIVATIONS:
            found = self._found[variant.normalization, name, "", "", "accuracy", ""]
            steps.append(int(found[-1, 0]))
            accuracies.append(float(found[-1, 2]))
        if min(accuracies) < _TRAINED:
            return (
                f"not trained: the least accurate network is right for {min(accuracies):.2f} after {min(steps):,} steps"
            )
        return ""

    def is_short(self, variant: Variant) -> str:
        """Why a variant says nothing of the end of training; empty if it does."""
        last = {key[0]: int(found[-1, 0]) for key, found in self._found.items() if key[4] == "accuracy"}
        if last[variant.normalization] < max(last.values()):
            return f"trained for {last[variant.normalization]:,} of {max(last.values()):,} steps"
        return ""

    def layers(self, normalization: str, activation: str, metric: str) -> Array:
        """A metric of each layer, first layer first."""
        values: Array = self._found[normalization, activation, "", "", metric, ""][:, 2]
        return values


def variants_of(results: Results) -> Mapping[Variant, tuple[Part, ...]]:
    """Every variant that was measured with all activations, and what of the claims it does.

    What is claimed of trained networks does not hold of networks that are not, whatever their numbers.
    """
    seen = Seen(results)
    found = {}
    for variant in seen.variants():
        untrained, short = seen.untrained(variant), seen.is_short(variant)
        found[variant] = tuple(
            dataclasses.replace(part, holds=False, ours=why)
            if (why := untrained if part.of == "trained" else (untrained or short) if part.of == "end" else "")
            else part
            for part in parts_of(seen, variant)
        )
    return found


def parts_of(seen: Seen, variant: Variant) -> Iterator[Part]:
    """The parts of J1, J6, J7 and J15, with the rules that decide them."""
    mean, variance = (
        seen.layers(variant.normalization, "sigmoid", f"post-activation {m}") for m in ("mean", "variance")
    )
    yield Part(
        "J1", "sigmoid: mean about 0.5, variance about 0.05 in every layer",
        bool((abs(mean - 0.5) < 0.1).all() and (variance > 0.025).all() and (variance < 0.1).all()),
        f"mean {mean.min():.2f} to {mean.max():.2f}, variance {variance.min():.3f} to {variance.max():.3f}", of="trained",
    )  # fmt: skip
    mean = seen.layers(variant.normalization, "relu", "post-activation mean")
    yield Part(
        "J1", "ReLU: mean about 0.1 in every layer",
        bool((mean > 0.05).all() and (mean < 0.2).all()),
        f"mean {mean.min():.2f} to {mean.max():.2f}", of="trained",
    )  # fmt: skip
    yield from _sets(seen, variant)
    yield from _training(seen, variant)
    for words, of in (
        ("each neuron's values over examples", "neuron"),
        ("an example's values over neurons", "example"),
    ):
        metric = f"share in the {of}'s commonest interval"
        shares = {
            split: {name: seen.last(variant, name, split, metric) for name in ("sigmoid", "tanh")}
            for split in _BENT_SPLITS
        }
        yield Part(
            "J15", f"about 80 % of {words} in one region, by some of the paper's breakpoints",
            any(all(0.7 <= share <= 0.9 for share in by.values()) for by in shares.values()),
            "; ".join(f"{{{split}}} " + ", ".join(f"{n} {100 * v:.0f} %" for n, v in by.items()) for split, by in shares.items()),
            of="trained",
        )  # fmt: skip


def _sets(seen: Seen, variant: Variant) -> Iterator[Part]:
    untrained = {
        f"{name} {{{split}}}": holds_until(*seen.curve(variant, name, split, "combined", trained=False), 0.5)
        for name, split in (("sigmoid", "-0.25, 0.25"), ("sigmoid", "-0.5, 0.5"), ("relu", "0"))
    }
    yield Part(
        "J6", "untrained: half of the pairs above 0.85 to 0.95",
        all(0.85 <= value <= 0.95 for value in untrained.values()),
        ", ".join(f"{name} {value:.2f}" for name, value in untrained.items()),
    )  # fmt: skip
    single, combined = (
        holds_until(*seen.curve(variant, "relu", "0", name, trained=True), 0.9) for name in ("single", "combined")
    )
    yield Part(
        "J6", "trained ReLU: 90 % of single pairs above 0.65 or more, of combined ones 0.1 lower",
        single >= 0.65 and combined <= single - 0.1, f"{single:.2f} and {combined:.2f}", of="trained",
    )  # fmt: skip
    for split in ("-0.25, 0.25", "-0.5, 0.5"):
        curves = [seen.curve(variant, "sigmoid", split, name, trained=True) for name in ("single", "combined")]
        low = [holds_until(*curve, 0.99) for curve in curves]
        # the area under PS_D is the mean similarity
        gap = float(np.trapezoid(curves[0][1] - curves[1][1], curves[0][0]))
        yield Part(
            "J6", f"trained sigmoid, {{{split}}}: 99 % of the pairs above 0.75 or more, means less than 0.1 apart",
            min(low) >= 0.75 and gap < 0.1, f"single {low[0]:.2f}, combined {low[1]:.2f}, {gap:.2f} apart", of="trained",
        )  # fmt: skip


def _training(seen: Seen, variant: Variant) -> Sequence[Part]:
    """By that of the paper's breakpoints which does most: for Figures 7 and 8 it names none."""
    return max(
        (tuple(_training_by(seen, variant, split)) for split in _BENT_SPLITS),
        key=lambda parts: sum(part.holds for part in parts),
    )


def _training_by(seen: Seen, variant: Variant, split: str) -> Iterator[Part]:
    splits = {name: split if name in ("sigmoid", "tanh") else split_name(PAIR_SPLITS[name]) for name in _ACTIVATIONS}
    paths = {name: seen.through_training(variant, name, splits[name]) for name in _ACTIVATIONS}
    early = {name: float(values[steps <= 1000].min()) for name, (steps, values) in paths.items()}
    half = {name: int(steps[values <= (values[0] + early[name]) / 2][0]) for name, (steps, values) in paths.items()}
    end = {name: float(values[-1]) for name, (_, values) in paths.items()}
    yield Part(
        "J7", "early similarity falls to 0.4 to 0.6 for each",
        all(0.4 <= value <= 0.6 for value in early.values()), f"{_listed(early, '{:.2f}')}, by {{{split}}}",
    )  # fmt: skip
    yield Part(
        "J7", "the sigmoid is the last to be half-way",
        half["sigmoid"] > max(at for name, at in half.items() if name != "sigmoid"), _listed(half, "step {}"),
    )  # fmt: skip
    yield Part(
        "J7",
        "sigmoid and tanh end at 0.9 or more",
        min(end["sigmoid"], end["tanh"]) >= 0.9,
        _listed(end, "{:.2f}"),
        of="end",
    )
    start = {
        name: float(values[np.abs(steps - min(1000, steps[-1] / 2)).argmin()])
        for name, (steps, values) in paths.items()
    }
    yield Part(
        "J7", "ReLU and GELU stay within 0.1 from step 1,000 or half-way on",
        all(abs(end[name] - start[name]) < 0.1 for name in ("relu", "gelu")),
        ", ".join(f"{name} {start[name]:.2f} to {end[name]:.2f}" for name in ("relu", "gelu")), of="end",
    )  # fmt: skip


def _listed(values: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())
