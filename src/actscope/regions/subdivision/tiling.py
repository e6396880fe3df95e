"""What polygons that tile a plane have to do with each other: shared edges, equal cells, one outline for several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["areas_and_centres", "centre_weights", "components", "merged_outlines", "shared_edges"]


def shared_edges(corners: NDArray[np.int64], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of polygons that share an edge, (n_edges, 2), and the two points that each edge lies between, (n_edges, 2).

    Args:
        corners: (n_corners,) the points' numbers, in order around each polygon.
        offsets: (n_polygons + 1,) where each polygon begins.

    Example:
        >>> pairs, edges = shared_edges(np.array([0, 1, 2, 0, 2, 3]), np.array([0, 3, 6]))
        >>> pairs.tolist(), edges.tolist()
        ([[0, 1]], [[0, 2]])
    """
    following = corners[_following(offsets)]
    low, high = np.minimum(corners, following), np.maximum(corners, following)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((owner, high, low))
    low, high, owner = low[order], high[order], owner[order]
    same = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    at = np.flatnonzero(same)
    return np.stack([owner[at], owner[at + 1]], axis=1), np.stack([low[at], high[at]], axis=1)


def _following(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the corner after each corner, around its polygon."""
    following = np.arange(1, offsets[-1] + 1)
    following[offsets[1:] - 1] = offsets[:-1]
    return following


def components(n: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the number of the connected component of each of n things, in the order of their first members.

    Example:
        >>> components(4, np.array([[1, 3]])).tolist()
        [0, 1, 2, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    found: NDArray[np.int64] = rank[inverse]
    return found


def centre_weights(
    places: NDArray[np.float64], corners: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n_corners,) what each corner is multiplied with so that the sum over a convex polygon's corners is a point inside it.

    The mean of the corners that are points; an unbounded polygon goes on from there along its directions, by its size.

    Args:
        places: (n_points, 3) homogeneous coordinates.
        corners, offsets: as for `shared_edges`.

    Example:
        >>> places = np.array([[0, 0, 1], [3, 0, 1], [0, 2, 0]], dtype=float)
        >>> weights = centre_weights(places, np.arange(3), np.array([0, 3]))
        >>> (weights @ places[:, :2]).tolist()
        [1.5, 2.5]
    """
    sizes = np.diff(offsets)
    at = places[corners]
    finite = at[:, 2] > 0
    n_finite = np.maximum(np.add.reduceat(finite.astype(float), offsets[:-1]), 1)
    weights: NDArray[np.float64] = finite / np.repeat(n_finite, sizes)
    if not finite.all():
        middle = np.add.reduceat(weights[:, None] * at[:, :2], offsets[:-1])
        away = np.abs(at[:, :2] - np.repeat(middle, sizes, axis=0)).max(axis=1)
        reach = np.maximum.reduceat(np.where(finite, away, 0.0), offsets[:-1])
        lengths = np.hypot(at[:, 0], at[:, 1])
        weights = np.where(finite, weights, (1.0 + np.repeat(reach, sizes)) / np.where(finite, 1.0, lengths))
    return weights


def areas_and_centres(
    places: NDArray[np.float64], corners: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The area of each convex polygon, infinite where a corner is a direction, and a point inside it.

    Args:
        places: (n_points, 3) homogeneous coordinates.
        corners, offsets: as for `shared_edges`.

    Returns:
        (n_polygons,) and (n_polygons, 2).

    Example:
        >>> places = np.array([[0, 0, 1], [2, 0, 1], [2, 1, 1], [0, 1, 1]], dtype=float)
        >>> areas, centres = areas_and_centres(places, np.arange(4), np.array([0, 4]))
        >>> areas.tolist(), centres.tolist()
        ([2.0], [[1.0, 0.5]])
    """
    at = places[corners]
    centres = np.add.reduceat(centre_weights(places, corners, offsets)[:, None] * at[:, :2], offsets[:-1])
    # corners are taken from the centre, so that small polygons far away keep their digits
    local = at[:, :2] - np.repeat(centres, np.diff(offsets), axis=0)
    after = local[_following(offsets)]
    areas = 0.5 * np.abs(np.add.reduceat(local[:, 0] * after[:, 1] - local[:, 1] * after[:, 0], offsets[:-1]))
    unbounded = np.minimum.reduceat(at[:, 2], offsets[:-1]) == 0
    return np.where(unbounded, np.inf, areas), centres


def merged_outlines(
    corners: NDArray[np.int64], offsets: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """One outline for each group of polygons that lie beside each other.

    Args:
        corners, offsets: as for `shared_edges`.
        groups: (n_polygons,) the group of each polygon, 0 … n_groups - 1.

    Returns:
        corners and offsets of the groups, and a polygon of each.

    Example:
        >>> corners, offsets, of = merged_outlines(np.array([0, 1, 2, 0, 2, 3]), np.array([0, 3, 6]), np.array([0, 0]))
        >>> corners.tolist(), offsets.tolist(), of.tolist()
        ([0, 1, 2, 3], [0, 4], [0])
    """
    n_groups = int(groups.max(initial=-1)) + 1
    sizes = np.bincount(groups, minlength=n_groups)
    _, first = np.unique(groups, return_index=True)
    members: dict[int, list[int]] = {}
    for polygon in np.flatnonzero(sizes[groups] > 1):
        members.setdefault(int(groups[polygon]), []).append(int(polygon))
    parts, lengths = [], []
    for group in range(n_groups):
        if group in members:
            part = _outline([corners[offsets[p] : offsets[p + 1]].tolist() for p in members[group]])
        else:
            p = first[group]
            part = corners[offsets[p] : offsets[p + 1]].tolist()
        parts.append(part)
        lengths.append(len(part))
    flat = np.array([corner for part in parts for corner in part], dtype=np.int64)
    return flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), first


def _outline(loops: list[list[int]]) -> list[int]:
    """The outer edges of polygons that are all given in one sense of rotation, one after the other."""
    edges = {(a, b) for loop in loops for a, b in zip(loop, loop[1:] + loop[:1], strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    start = next(corner for corner in loops[0] + [c for loop in loops for c in loop] if corner in following)
    outline = [start]
    while (corner := following[outline[-1]]) != start and len(outline) <= len(following):
        outline.append(corner)
    return outline
