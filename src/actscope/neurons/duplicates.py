"""Units of a layer whose outputs follow from another one's, for every input, because their weights do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from actscope.codes.site import Site

__all__ = ["Duplicate", "duplicates", "effective_rows"]

_ROUNDINGS = 8
"""Roundings by which weights of a copy may differ."""
_ODD = ("tanh", "softsign", "tanhshrink")
_HALF = ("sigmoid", "hardsigmoid")  # φ(-z) = 1 - φ(z)


@dataclass(frozen=True)
class Duplicate:
    """Unit `unit` gives `scale` · (what unit `of` gives) + `offset`, for every input."""

    unit: int
    of: int
    scale: float
    offset: float


def effective_rows(layer: nn.Module, norm: nn.Module | None) -> NDArray[np.float64]:
    """Weights and bias that make each unit's pre-activation, (n_units, fan_in + 1) float64, a batch normalization in eval mode folded in.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> effective_rows(layer, None).shape
        (3, 3)
    """
    weight = _array(layer, "weight").reshape(len(_array(layer, "weight")), -1)
    bias = _array(layer, "bias") if getattr(layer, "bias", None) is not None else np.zeros(len(weight))
    if norm is not None:
        scale = 1 / np.sqrt(_array(norm, "running_var") + float(norm.eps))  # type: ignore[arg-type]  # a float at run time
        shift = -_array(norm, "running_mean") * scale
        if norm.weight is not None:
            scale, shift = scale * _array(norm, "weight"), shift * _array(norm, "weight") + _array(norm, "bias")
        weight, bias = weight * scale[:, None], bias * scale + shift
    return np.concatenate([weight, bias[:, None]], axis=1)


def duplicates(rows: NDArray[np.float64], site: Site, *, eps: float = 2.0**-23) -> list[Duplicate]:
    """Units that can be had from an earlier one.

    With w_j = α w_k in weights and bias: for a ReLU or LeakyReLU, any α > 0 scales the output alike; for any other activation α = 1
    gives the same, and α = -1 the negative (tanh) or 1 minus it (sigmoid).

    Args:
        rows: (n_units, fan_in + 1), from `effective_rows`.
        site: which activation it is.
        eps: of the type that the weights are kept in; every weight must be the other's up to some roundings.

    Example:
        >>> site = Site("relu", "relu", (3,), (0.0,), kinks=(0.0,), slopes=(0.0, 1.0), piecewise_linear=True)
        >>> duplicates(np.array([[1.0, 2.0], [0.5, 1.0], [-1.0, -2.0]]), site)
        [Duplicate(unit=1, of=0, scale=0.5, offset=0.0)]
    """
    length = np.linalg.norm(rows, axis=1)
    alive = np.flatnonzero(length > 0)
    # parallel rows project alike on a fixed direction, and others hardly ever: only neighbours in that order are compared
    projected = np.abs(rows[alive] @ _probe_direction(rows.shape[1])) / length[alive]
    order = np.argsort(projected, kind="stable")
    units, projected = alive[order], projected[order]
    found: dict[int, Duplicate] = {}
    for place, stop in enumerate(np.searchsorted(projected, projected + 1e-5, side="right")):
        for other in units[place + 1 : stop]:
            first, second = sorted((int(units[place]), int(other)))
            if first in found or second in found:
                continue
            duplicate = _duplicate(rows, first, second, site, _ROUNDINGS * eps)
            if duplicate is not None:
                found[second] = duplicate
    return [_resolved(found, unit) for unit in sorted(found)]


def _resolved(found: dict[int, Duplicate], unit: int) -> Duplicate:
    """A duplicate of a duplicate, as one of the unit that stays."""
    one = found[unit]
    while one.of in found:
        next_one = found[one.of]
        one = Duplicate(unit, next_one.of, one.scale * next_one.scale, one.scale * next_one.offset + one.offset)
    return one


def _duplicate(rows: NDArray[np.float64], first: int, second: int, site: Site, same: float) -> Duplicate | None:
    scale = float(rows[second] @ rows[first] / (rows[first] @ rows[first]))
    if not (np.abs(rows[second] - scale * rows[first]) <= same * np.abs(rows[second])).all():
        return None
    homogeneous = site.kind in ("relu", "leaky_relu", "prelu") or (site.kind == "clamp" and site.kinks == (0.0,))
    if homogeneous and None not in site.slopes and scale > 0:
        return Duplicate(second, first, scale, 0.0)
    if abs(scale - 1) <= same:
        return Duplicate(second, first, 1.0, 0.0)
    if abs(scale + 1) <= same:
        odd = site.kind in _ODD or (site.kind == "hardtanh" and site.kinks[0] == -site.kinks[-1])
        if odd or site.kind in _HALF:
            return Duplicate(second, first, -1.0, 0.0 if odd else 1.0)
    return None


def _probe_direction(n: int) -> NDArray[np.float64]:
    direction = np.random.default_rng(0).normal(size=n)
    return direction / np.linalg.norm(direction)


def _array(module: nn.Module, name: str) -> NDArray[np.float64]:
    tensor = getattr(module, name)
    return np.asarray(tensor.detach().cpu().double().numpy())
