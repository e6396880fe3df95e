"""Activation regions in a plane, polygon by polygon: what one would write first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.baselines.networks import Layer
from benchmarks.baselines.windows import Window

__all__ = ["polygons"]


def polygons(layers: Sequence[Layer], window: Window, *, eps: float = 1e-9) -> list[np.ndarray]:
    """The corners (n_corners, 2) of every activation region of an MLP with ReLUs in a window, in the plane's coordinates.

    Layer by layer, every polygon is cut in two by every neuron of the layer that has both signs on it (beyond ``eps``); each part
    keeps the affine map from the plane's coordinates to the activations of the layer.

    Args:
        layers: weight and bias of each layer; the last is the output, which cuts nothing.
    """
    left, right, bottom, top = window.bounds
    corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    whole = [(corners, np.stack([window.u, window.v], axis=1), window.origin)]
    for weight, bias in layers[:-1]:
        parts = []
        for corners, slope, offset in whole:
            slope, offset = weight @ slope, weight @ offset + bias
            z = corners @ slope.T + offset
            pieces = [corners]
            for neuron in np.flatnonzero((z.min(axis=0) < -eps) & (z.max(axis=0) > eps)):
                pieces = [half for piece in pieces for half in _cut(piece, piece @ slope[neuron] + offset[neuron], eps)]
            for piece in pieces:
                on = slope @ piece.mean(axis=0) + offset > 0
                parts.append((piece, slope * on[:, None], offset * on))
        whole = parts
    return [corners for corners, _, _ in whole]


def _cut(corners: np.ndarray, z: np.ndarray, eps: float) -> list[np.ndarray]:
    """The parts of a polygon where an affine function, ``z`` at its corners, is negative and positive; the polygon if one is empty."""
    if z.min() >= -eps or z.max() <= eps:
        return [corners]
    return [_negative_part(corners, z), _negative_part(corners, -z)]


def _negative_part(corners: np.ndarray, z: np.ndarray) -> np.ndarray:
    kept = []
    for i in range(len(corners)):
        if z[i - 1] * z[i] < 0:
            kept.append(corners[i - 1] + z[i - 1] / (z[i - 1] - z[i]) * (corners[i] - corners[i - 1]))
        if z[i] <= 0:
            kept.append(corners[i])
    return np.array(kept)
