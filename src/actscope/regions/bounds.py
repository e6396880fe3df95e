"""How many activation regions a network of a given shape can have: bounds on the maximum over all weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any, Literal

from actscope.regions.arrangements import arrangement, parallel_families, parallel_family_sums, whole_number
from actscope.regions.expectations import hanin_rolnick

__all__ = ["UpperBounds", "arrangement", "hanin_rolnick", "lower", "upper", "upper_bounds"]

UpperBound = Literal["serra", "montufar", "layerwise", "zaslavsky", "patterns"]
LowerBound = Literal["tightest", "serra", "montufar"]


def upper(widths: Sequence[int], n_in: int, *, bound: UpperBound = "serra", breakpoints: int = 1) -> int:
    """The number of activation regions that no network of this shape exceeds, whatever its weights.

    With n_0 inputs, n_l neurons in hidden layer l = 1 … L, N in all, and k breakpoints per neuron, every bound also bounds the linear
    regions, which are never more than activation regions. From the smallest to the largest, where several apply:

    - "serra": Σ Π_l C(n_l, j_l) over all j_l ≤ min(n_0, n_1 - j_1, …, n_{l-1} - j_{l-1}, n_l) (Serra, Tjandraatmadja & Ramalingam
      2018, Theorem 1). For **ReLU**: the proof needs that an inactive neuron passes on nothing, so it is none for LeakyReLU or for
      several breakpoints. Attained if there is one hidden layer, or one input and no layer below width 3.
    - "montufar": Π_l Σ_{j ≤ d_l} C(n_l, j) k^j, d_l = min(n_0, n_1, …, n_l) (Montúfar 2017 for k = 1; k breakpoints of a neuron are k
      parallel hyperplanes). For any piecewise-linear activation whose kinks are among its breakpoints: LeakyReLU, ReLU6, Hardtanh.
    - "layerwise": Π_l Σ_{j ≤ n_0} C(n_l, j) k^j: inside a region, layer l is an arrangement in R^{n_0}. Holds with skip connections too.
    - "zaslavsky": Σ_{j ≤ n_0} C(n_1, j) k^j, for one hidden layer only, where it is attained in general position (Zaslavsky 1975).
    - "patterns": (k + 1)^N, the number of activation patterns. Holds for anything.

    "serra" and "montufar" are for plain chains of layers: fully connected, or convolutional with a neuron counted at every position, with
    or without normalization in eval mode. A skip connection carries past a narrow layer what both take to be lost there. Max pooling
    is piecewise linear inside an activation region: behind it only "patterns" holds, and for activation regions only.

    Args:
        widths: neurons of each hidden layer, in the order they run; the output layer is not one.
        n_in: number of inputs. On a line or a plane through input space, take 1 or 2.
        bound: which bound; the default is the smallest that is proved for ReLU.
        breakpoints: breakpoints per neuron, k. More than 1 is refused by "serra".

    Returns:
        An exact integer of any size.

    Raises:
        TypeError: if a width, `n_in` or `breakpoints` is not an integer.
        ValueError: if `widths` is empty, a number is not positive, or `bound` is unknown or not proved for this shape.

    Example:
        >>> upper([4, 4], 3), upper([4, 4], 3, bound="montufar"), upper([4, 4], 3, bound="patterns")
        (161, 225, 256)

        Ten layers of width 128 on images of 784 pixels, out of a sum of 129^10 terms:

        >>> len(str(upper([128] * 10, 784))), len(str(upper([128] * 10, 784, bound="patterns")))
        (383, 386)
    """
    shape, n_in, k = _shape(widths, n_in, breakpoints)
    if bound not in _UPPER:
        raise ValueError(f"bound={bound!r} is not an upper bound; there are {', '.join(map(repr, _UPPER))}")
    if bound == "serra" and k > 1:
        raise ValueError(
            f"bound='serra' with breakpoints={k}: it is proved for ReLU, which has one breakpoint and passes on nothing below it; "
            "bound='montufar' holds for several breakpoints"
        )
    if bound == "zaslavsky" and len(shape) > 1:
        raise ValueError(
            f"bound='zaslavsky' with {len(shape)} hidden layers, widths={list(shape)}: it speaks of one; "
            "bound='layerwise' is its product over layers"
        )
    return _UPPER[bound](shape, n_in, k)


@dataclass(frozen=True, repr=False)
class UpperBounds:
    """Every upper bound that holds for one shape of network, as `upper` defines them; None where one does not apply.

    Attributes:
        widths: neurons of each hidden layer.
        n_in: number of inputs.
        breakpoints: breakpoints per neuron.
        serra: Serra et al. (2018), for ReLU without skip connections; None with several breakpoints.
        montufar: Montúfar (2017), for any piecewise-linear activation without skip connections.
        layerwise: product over layers of Zaslavsky's number, with skip connections too.
        zaslavsky: Zaslavsky's number; None with several hidden layers.
        patterns: the number of activation patterns.
    """

    widths: tuple[int, ...]
    n_in: int
    breakpoints: int
    serra: int | None
    montufar: int
    layerwise: int
    zaslavsky: int | None
    patterns: int

    def by_name(self) -> dict[str, int]:
        """The bounds that apply, by the name that `upper` takes; the smallest first."""
        values = ((name, getattr(self, name)) for name in _UPPER)
        return {name: value for name, value in values if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values. The bounds are exact, and may have more digits than `json` is willing to write (4300)."""
        return {"widths": list(self.widths), "n_in": self.n_in, "breakpoints": self.breakpoints} | {
            name: getattr(self, name) for name in _UPPER
        }

    def __repr__(self) -> str:
        bounds = ", ".join(f"{name} {_readable(value)}" for name, value in self.by_name().items())
        return f"UpperBounds({self._network()}: {bounds})"

    def __str__(self) -> str:
        rows = [f"{name:<10} {_readable(value)}" for name, value in self.by_name().items()]
        return "\n".join([f"activation regions at most, {self._network()}", *rows])

    def _network(self) -> str:
        runs = [(width, len(list(run))) for width, run in groupby(self.widths)]
        widths = ", ".join(", ".join([str(n)] * times) if times < 4 else f"{n}×{times}" for n, times in runs)
        kinks = "" if self.breakpoints == 1 else f", {self.breakpoints} breakpoints per neuron"
        return f"{self.n_in} input{'s' * (self.n_in > 1)}, widths [{widths}]{kinks}"


def upper_bounds(widths: Sequence[int], n_in: int, *, breakpoints: int = 1) -> UpperBounds:
    """All the upper bounds of `upper` that apply to this shape, side by side.

    Raises:
        TypeError, ValueError: as `upper`.

    Example:
        >>> print(upper_bounds([4, 2, 8], 3))
        activation regions at most, 3 inputs, widths [4, 2, 8]
        serra      724
        montufar   2,220
        layerwise  5,580
        patterns   16,384
    """
    shape, n_in, k = _shape(widths, n_in, breakpoints)
    return UpperBounds(
        widths=shape,
        n_in=n_in,
        breakpoints=k,
        serra=_serra(shape, n_in, k) if k == 1 else None,
        montufar=_montufar(shape, n_in, k),
        layerwise=_layerwise(shape, n_in, k),
        zaslavsky=_layerwise(shape, n_in, k) if len(shape) == 1 else None,
        patterns=_patterns(shape, n_in, k),
    )


def lower(widths: Sequence[int], n_in: int, *, bound: LowerBound = "tightest") -> int:
    """A number of activation regions that some ReLU network of this shape has: a lower bound on the maximum, not on every network.

    With n_0 inputs and n_l neurons in hidden layer l = 1 … L:

    - "montufar": (Π_{l<L} ⌊n_l / n_0⌋^{n_0}) Σ_{j ≤ n_0} C(n_L, j), if every n_l ≥ n_0 (Montúfar, Pascanu, Cho & Bengio 2014);
    - "serra": (Π_{l<L} (⌊n_l / n_0⌋ + 1)^{n_0}) Σ_{j ≤ n_0} C(n_L, j), if every n_l ≥ 3 n_0 (Serra et al. 2018, Section 3);
    - "tightest": the best that these constructions give for this shape. A layer folds each of n_0 directions p = ⌊n_l / n_0⌋ times,
      p + 1 times if p ≥ 3, whatever the other layers do; the network may ignore all but d ≤ n_0 directions; and layers after the first
      few never take regions away. So the largest product over d and over the layer that ends it, with no condition on the widths.

    No trained network need have as many. One hidden layer attains its upper bound, and so does one input if no layer is narrower than 3.

    Args:
        widths: neurons of each hidden layer, in the order they run.
        n_in: number of inputs.
        bound: which bound.

    Returns:
        An exact integer of any size.

    Raises:
        TypeError: if a width or `n_in` is not an integer.
        ValueError: if `widths` is empty, a number is not positive, `bound` is unknown, or its condition on the widths is not met.

    Example:
        >>> lower([6, 6, 6], 2), lower([6, 6, 6], 2, bound="montufar"), upper([6, 6, 6], 2)
        (5632, 1782, 10648)
    """
    shape, n_in, _ = _shape(widths, n_in, 1)
    if bound == "tightest":
        return _folded(shape, n_in)
    if bound not in _LEAST_WIDTH:
        raise ValueError(f"bound={bound!r} is not a lower bound; there are 'tightest', 'serra', 'montufar'")
    least = _LEAST_WIDTH[bound] * n_in
    if min(shape) < least:
        raise ValueError(
            f"bound={bound!r} needs every layer to have at least {least} neurons for n_in={n_in}, given widths={list(shape)}; "
            "bound='tightest' has no such condition"
        )
    folds = math.prod(n // n_in + (bound == "serra") for n in shape[:-1])
    return int(folds**n_in * parallel_families(shape[-1], n_in))


def _shape(widths: Sequence[int], n_in: int, breakpoints: int) -> tuple[tuple[int, ...], int, int]:
    try:
        shape = tuple(whole_number(n, f"widths[{layer}]", least=1) for layer, n in enumerate(widths))
    except TypeError as error:
        if isinstance(widths, int):
            raise TypeError(f"widths={widths} is a number; expected one per hidden layer, as in [{widths}]") from None
        raise error
    if not shape:
        raise ValueError(
            "widths is empty; expected the width of at least one hidden layer (without one, there is one region)"
        )
    return shape, whole_number(n_in, "n_in", least=1), whole_number(breakpoints, "breakpoints", least=1)


def _serra(widths: tuple[int, ...], n_in: int, _: int) -> int:
    """Serra et al.'s sum, layer by layer from the last, in O(N) products instead of one for every (j_1, …, j_L).

    R_l(d), the regions that layers l … L make of one whose image entering layer l has dimension d, is
    Σ_{j ≤ min(n_l, d)} C(n_l, j) R_{l+1}(min(d, n_l - j)). Where j ≤ n_l - d, the dimension stays d and the binomials add up; the
    other terms depend on n_l - j alone: both are differences of running sums.
    """
    dimensions = list(accumulate(widths, min, initial=n_in))
    regions = [1] * (dimensions[-1] + 1)
    for n, entering, leaving in zip(widths[::-1], dimensions[-2::-1], dimensions[:0:-1], strict=True):
        sums = [0, *parallel_family_sums(n, leaving)]
        binomials = [sums[j + 1] - sums[j] for j in range(leaving + 1)]
        weighted = [0, *accumulate(c * r for c, r in zip(binomials, regions, strict=True))]
        made = []
        for d in range(leaving + 1):
            kept = min(d, n - d)
            made.append(sums[kept + 1] * regions[d] + weighted[d] - weighted[kept])
        regions = made + made[-1:] * (entering - leaving)
    return regions[-1]


def _montufar(widths: tuple[int, ...], n_in: int, breakpoints: int) -> int:
    dimensions = accumulate(widths, min, initial=n_in)
    return math.prod(parallel_families(n, d, size=breakpoints) for n, d in zip(widths, dimensions, strict=False))


def _layerwise(widths: tuple[int, ...], n_in: int, breakpoints: int) -> int:
    return math.prod(parallel_families(n, n_in, size=breakpoints) for n in widths)


def _patterns(widths: tuple[int, ...], _: int, breakpoints: int) -> int:
    return int((breakpoints + 1) ** sum(widths))


_UPPER: dict[str, Callable[[tuple[int, ...], int, int], int]] = {
    "serra": _serra,
    "montufar": _montufar,
    "layerwise": _layerwise,
    "zaslavsky": _layerwise,
    "patterns": _patterns,
}

_LEAST_WIDTH = {"montufar": 1, "serra": 3}


def _folded(widths: tuple[int, ...], n_in: int) -> int:
    dimensions = list(accumulate(widths, min, initial=n_in))
    last = [parallel_family_sums(n, d) for n, d in zip(widths, dimensions, strict=False)]
    best = 1
    for d in range(1, n_in + 1):
        folds = 1
        for n, sums in zip(widths, last, strict=True):
            best = max(best, folds**d * sums[min(d, len(sums) - 1)])
            if n < d:
                break
            folds *= n // d + (n // d >= 3)
    return best


def _readable(value: int) -> str:
    if value < 10**30:
        return f"{value:,}"
    exponent, digits = divmod(math.log10(value), 1)
    return f"about {10**digits:.3f}e{int(exponent)}"
