"""What can be wrong with a neuron: each verdict's rule with its threshold, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actscope.figures.labels import counted, round_percent

__all__ = ["VERDICTS", "Criterion", "Thresholds", "criteria", "dying", "same_everywhere", "with_alive"]

VERDICTS = ("dead", "dying", "saturated", "redundant", "always on", "constant pattern", "alive")
"""Every verdict, the gravest first. A neuron may bear several; it is alive if it bears no other."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where each verdict begins. The paper on dying neurons gives no numbers; these are ours.

    Attributes:
        same_output: a neuron is dead if its post-activations differ by no more than this share of the largest of them.
        same_interval: dying needs one interval that holds at least this share of every class's examples.
        cancellation: dying needs |Σ g| / Σ |g| of at most this.
        nonzero_gradient: dying needs a mean |g| of at least this share of the mean over the site's neurons.
        flat: a neuron is saturated if at least this share of the examples lies on a flat end of its activation.
        enough_examples: below so many examples no neuron is called dying: gradients of random signs cancel to about 0.8 / √n.

    Raises:
        ValueError: a share outside [0, 1].
    """

    same_output: float = 1e-6
    same_interval: float = 0.95
    cancellation: float = 0.1
    nonzero_gradient: float = 0.01
    flat: float = 0.95
    enough_examples: int = 100

    def __post_init__(self) -> None:
        for name in ("same_output", "same_interval", "cancellation", "nonzero_gradient", "flat"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: give a share between 0 and 1")

    def to_dict(self) -> dict[str, Any]:
        """The thresholds by name."""
        return asdict(self)


@dataclass(frozen=True)
class Criterion:
    """When a neuron bears a verdict, on what grounds, and what to do then.

    Attributes:
        verdict: one of `VERDICTS`.
        rule: the condition in words, with its threshold.
        threshold: the number in it, where there is one.
        window: what the examples were and which state of the model they saw.
        n_examples: how many.
        advice: what to do about such a neuron.
    """

    verdict: str
    rule: str
    threshold: float | None
    window: str
    n_examples: int
    advice: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.rule} ({self.window}). {self.advice}"

    def to_dict(self) -> dict[str, Any]:
        """The criterion as plain values."""
        return asdict(self)


_ADVICE = {
    "dead": "Prune it (actscope.neurons.prune), which changes nothing on these examples. If many die in training: lower the learning "
    "rate, start biases at or above 0, normalize before the activation, or use an activation with a slope everywhere (LeakyReLU, GELU).",
    "dying": "Its weights hardly move, because what one example asks for another takes back. Re-initialize it, use an activation that "
    "is not symmetric about its working point (ReLU, GELU), spread the initial biases, or make the layer narrower. Where the loss is at "
    "a minimum all gradients cancel, so it matters while the loss is still high, and least for a unit that is also always on.",
    "saturated": "Hardly any gradient passes. Scale its incoming weights down, normalize before the activation, lower the learning rate, "
    "or use an activation with one flat end at most.",
    "redundant": "It draws the same border as another neuron. actscope.neurons.prune merges the two where one's output follows from the "
    "other's; otherwise a narrower layer or dropout is worth a try.",
    "constant pattern": "It never changes interval, so it tells examples apart only by magnitude. Look at its inputs' scale, normalize "
    "before the activation, or move its bias to where its inputs vary.",
    "always on": "It only passes its input on and bends nothing. No harm by itself; many of them make a layer linear, which a narrower "
    "layer does as well.",
    "alive": "Nothing.",
}


def criteria(thresholds: Thresholds, n_examples: int, *, window: str | None = None) -> tuple[Criterion, ...]:
    """The rule of every verdict, as it was applied to `n_examples` examples.

    Example:
        >>> criteria(Thresholds(), 1000)[0].rule
        'the post-activation is the same for every example, to 0.0001 % of the largest'
    """
    if window is None:
        window = f"one pass over {counted(n_examples, 'example')}, the model in eval mode and its weights fixed"
    t = thresholds
    rules: dict[str, tuple[str, float | None]] = {
        "dead": (
            f"the post-activation is the same for every example, to {round_percent(t.same_output)} of the largest",
            t.same_output,
        ),
        "dying": (
            f"one interval holds at least {round_percent(t.same_interval)} of every class, and the gradients of single examples by the "
            f"pre-activation are not zero (mean |g| at least {round_percent(t.nonzero_gradient)} of the site's mean) but cancel: "
            f"|Σ g| / Σ |g| is at most {t.cancellation:g}; asked only from {t.enough_examples:,} examples on",
            t.cancellation,
        ),
        "saturated": (
            f"at least {round_percent(t.flat)} of the examples lie where a bounded activation is flat: slope 0, or below 5 % of "
            "its largest",
            t.flat,
        ),
        "redundant": (
            "for every example the same interval as another neuron of the site, or its mirror image; neurons of constant pattern are "
            "not compared",
            None,
        ),
        "constant pattern": ("the same interval for every example", None),
        "always on": ("for every example on a piece of slope 1, as a ReLU above 0", None),
        "alive": ("none of the others", None),
    }
    return tuple(
        Criterion(name, rules[name][0], rules[name][1], window, n_examples, _ADVICE[name]) for name in VERDICTS
    )


def same_everywhere(shares_by_class: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """In every class at least this share of the examples lies in the neuron's most frequent interval.

    Args:
        shares_by_class: (n_classes, n_units, n_intervals), each class's interval shares.
        shares: (n_units, n_intervals), those over all examples.

    Returns:
        (n_units,) float64.

    Example:
        >>> by_class = np.array([[[0.9, 0.1]], [[0.6, 0.4]]])
        >>> same_everywhere(by_class, by_class.mean(0))
        array([0.6])
    """
    most = shares.argmax(axis=1)
    held: NDArray[np.float64] = shares_by_class[:, np.arange(len(most)), most].min(axis=0)
    return held


def dying(
    same_interval: NDArray[np.float64],
    gradient: NDArray[np.float64],
    cancellation: NDArray[np.float64],
    *,
    thresholds: Thresholds,
    n_examples: int,
) -> NDArray[np.bool_]:
    """Which neurons are dying (Jiang et al. 2022, Section III-C), (n_units,) bool.

    Args:
        same_interval: (n_units,), from `same_everywhere`.
        gradient: (n_units,), mean |g| over examples.
        cancellation: (n_units,), |Σ g| / Σ |g|; NaN where all g are 0.
    """
    if n_examples < thresholds.enough_examples:
        return np.zeros(len(gradient), dtype=bool)
    not_zero = (gradient > 0) & (gradient >= thresholds.nonzero_gradient * gradient.mean())
    cancels = np.nan_to_num(cancellation, nan=1.0) <= thresholds.cancellation
    found: NDArray[np.bool_] = (same_interval >= thresholds.same_interval) & not_zero & cancels
    return found


def with_alive(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """The masks in the order of `VERDICTS`, with `alive` where there is no other.

    Example:
        >>> masks = {name: np.array([name == "dead", False]) for name in VERDICTS if name != "alive"}
        >>> with_alive(masks)["alive"]
        array([False,  True])
    """
    ordered = {name: masks[name] for name in VERDICTS if name != "alive"}
    return {**ordered, "alive": ~np.logical_or.reduce(list(ordered.values()))}
