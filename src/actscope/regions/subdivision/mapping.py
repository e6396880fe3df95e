"""Local affine maps of polygons from what a model computes at their corners, and where they change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actscope.regions.subdivision.tiling import centre_weights

__all__ = ["kinked_edges", "local_maps"]


def local_maps(
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    corners: NDArray[np.int64],
    offsets: NDArray[np.int64],
    centres: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The affine map on each convex polygon: its value at the centre, and its gradient by least squares over the corners.

    Args:
        places: (n_points, 3) homogeneous coordinates (x, y, 1), or (x, y, 0) for a direction.
        values: (n_points, n_outputs), linear parts at directions.
        corners, offsets: the polygons.
        centres: (n_polygons, 2) as `areas_and_centres` gives them.

    Returns:
        values at the centres (n_polygons, n_outputs), gradients (n_polygons, n_outputs, 2), and how much rounding there may be in a
        gradient (n_polygons,).

    Example:
        >>> places = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 0]], dtype=float)
        >>> at_corners, centre = np.array([[1.0], [3.0], [5.0]]), np.array([[0.5, 1.5]])
        >>> values, gradients, _ = local_maps(places, at_corners, np.arange(3), np.array([0, 3]), centre)
        >>> values.round(12).tolist(), gradients.round(12).tolist()
        ([[9.5]], [[[2.0, 5.0]]])
    """
    sizes = np.diff(offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    at, f = places[corners], values[corners]
    # coordinates from the centre, in units of each polygon's size; directions, which have no position, of unit length
    local = at[:, :2] - at[:, 2:] * centres[owner]
    finite = at[:, 2] > 0
    reach = np.maximum.reduceat(np.where(finite, np.abs(local).max(axis=1), 0.0), offsets[:-1])
    reach = np.where(reach > 0, reach, 1.0)
    scale = np.where(finite, reach[owner], np.hypot(local[:, 0], local[:, 1]))
    basis = np.concatenate([np.where(finite[:, None], local / scale[:, None], 0.0), at[:, 2:]], axis=1)
    weights = np.where(finite, 1.0, reach[owner] / np.maximum(scale, 1e-300))
    basis[~finite, :2] = local[~finite] / scale[~finite, None]
    target = f * weights[:, None]
    # the normal equations square the condition of a sliver, so they are solved in coordinates in which it has none
    eigenvalues, axes = np.linalg.eigh(_gram(basis, offsets))
    lengths = np.sqrt(np.maximum(eigenvalues, 1e-26 * eigenvalues[:, 2:]))
    rotated = np.einsum("ij,ijk->ik", basis, axes[owner]) / lengths[owner]
    regular = _gram(rotated, offsets)
    moments = np.add.reduceat(rotated[:, :, None] * target[:, None, :], offsets[:-1], axis=0)
    least = np.linalg.eigvalsh(regular)[:, 0]
    # a polygon that has no width within rounding gets a little of it
    regular = regular + np.where(least > 1e-12, 0.0, 1e-12)[:, None, None] * np.eye(3)
    solution = axes @ (np.linalg.solve(regular, moments) / lengths[:, :, None])
    gradients = solution[:, :2].astype(np.float64, copy=False) / reach[:, None, None]
    size = np.abs(values).max(axis=1, initial=0.0)
    distances = np.abs(places).max(axis=1)
    suggested = (size / distances).max(initial=0.0)  # rounding is that of the hidden layers, also where outputs vanish
    largest = np.maximum.reduceat(weights * np.maximum(size, 1e-2 * suggested * distances)[corners], offsets[:-1])
    width = reach * lengths[:, 0] * np.sqrt(np.clip(least, 1e-12, 1.0))
    noise: NDArray[np.float64] = 1e-14 * largest / width
    weights_of_centres = centre_weights(places, corners, offsets)
    at_centres = np.add.reduceat(weights_of_centres[:, None] * f, offsets[:-1])
    return at_centres, gradients.swapaxes(1, 2), noise


def _gram(rows: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_polygons, 3, 3) the sum of each polygon's rows (n_corners, 3), each multiplied with itself."""
    found: NDArray[np.float64] = np.add.reduceat(rows[:, :, None] * rows[:, None, :], offsets[:-1], axis=0)
    return found


def kinked_edges(
    pairs: NDArray[np.int64], gradients: NDArray[np.float64], noise: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(n_edges,) whether the gradient changes across an edge by more than rounding.

    Args:
        pairs: (n_edges, 2) the polygons on both sides.
        gradients: (n_polygons, n_outputs, 2); noise: (n_polygons,).
    """
    one, other = gradients[pairs[:, 0]], gradients[pairs[:, 1]]
    change = np.sqrt(((one - other) ** 2).sum(axis=2)).max(axis=1, initial=0.0)
    size = np.maximum(*(np.sqrt((g**2).sum(axis=2)).max(axis=1, initial=0.0) for g in (one, other)))
    found: NDArray[np.bool_] = change > 1e-9 * size + noise[pairs].sum(axis=1)
    return found
