"""Compiled loops over the corners of convex polygons: cut to a window, sorted into squares, searched for a point."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from actscope.codes.compiling import compiled

__all__ = ["box_cells", "clip_convex", "clip_polygons", "find_polygons"]


@compiled
def clip_convex(
    polygon: NDArray[np.float64],
    n: int,
    form: NDArray[np.float64],
    anchor: NDArray[np.float64],
    out: NDArray[np.float64],
) -> int:
    """Write what is left of a polygon where form · (x, y, w) ≥ 0 to `out`; how many corners that has.

    Args:
        polygon: (≥ n, 3) homogeneous corners; n: how many there are.
        form: (3,) of the half plane; anchor: (2,) a point on its border.
        out: (≥ 2 n + 3, 3).
    """
    n_out = 0
    entering, leaving = -1, -1
    reaches_inside = False
    for i in range(n):
        p, q = polygon[i], polygon[(i + 1) % n]
        at_p = form[0] * p[0] + form[1] * p[1] + form[2] * p[2]
        at_q = form[0] * q[0] + form[1] * q[1] + form[2] * q[2]
        reaches_inside |= at_p > 0
        if at_p >= 0:
            out[n_out] = p
            n_out += 1
        if (at_p < 0 < at_q) or (at_q < 0 < at_p):
            low, high = abs(at_p), abs(at_q)
            scale = max(low, high)
            for k in range(3):
                out[n_out, k] = (high / scale) * p[k] + (low / scale) * q[k]
            n_out += 1
        if at_p >= 0 > at_q:
            leaving = n_out
        elif at_p < 0 <= at_q:
            entering = n_out - 1 if at_q > 0 else n_out
    if not reaches_inside:
        return 0
    if leaving > 0 and out[leaving - 1, 2] == 0 and out[entering % n_out, 2] == 0:
        # the new edge leads from infinity to infinity: a point of it says where it runs
        for i in range(n_out, leaving, -1):
            out[i] = out[i - 1]
        out[leaving, 0], out[leaving, 1], out[leaving, 2] = anchor[0], anchor[1], 1.0
        n_out += 1
    return n_out


@compiled
def clip_polygons(
    places: NDArray[np.float64], corners: NDArray[np.int64], offsets: NDArray[np.int64], window: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What is left of each polygon in a window: points (m, 2), and offsets (n_polygons + 1,) into them."""
    n_polygons = len(offsets) - 1
    most = 0
    for i in range(n_polygons):
        most = max(most, offsets[i + 1] - offsets[i])
    # a clip adds a corner, or two where a half plane's border is all that bounds what is left
    one, other = np.empty((2 * most + 16, 3)), np.empty((2 * most + 16, 3))
    points = np.empty((len(corners) + 4 * n_polygons + 16, 2))
    starts = np.zeros(n_polygons + 1, dtype=np.int64)
    forms = np.zeros((4, 3))
    anchors = np.empty((4, 2))
    middle_x, middle_y = (window[0] + window[1]) / 2, (window[2] + window[3]) / 2
    forms[0], anchors[0] = np.array([1.0, 0.0, -window[0]]), np.array([window[0], middle_y])
    forms[1], anchors[1] = np.array([-1.0, 0.0, window[1]]), np.array([window[1], middle_y])
    forms[2], anchors[2] = np.array([0.0, 1.0, -window[2]]), np.array([middle_x, window[2]])
    forms[3], anchors[3] = np.array([0.0, -1.0, window[3]]), np.array([middle_x, window[3]])
    n_points = 0
    for i in range(n_polygons):
        n = 0
        inside = True
        whole = True
        for j in range(offsets[i], offsets[i + 1]):
            place = places[corners[j]]
            one[n] = place
            whole &= place[2] == 0
            inside &= place[2] > 0 and window[0] <= place[0] <= window[1] and window[2] <= place[1] <= window[3]
            n += 1
        if not inside:
            if whole and n > 0 and _goes_around(one, n):
                # the whole plane
                for k in range(4):
                    one[k, 0] = window[1] if k == 1 or k == 2 else window[0]
                    one[k, 1] = window[3] if k >= 2 else window[2]
                    one[k, 2] = 1.0
                n = 4
            for k in range(4):
                n = clip_convex(one, n, forms[k], anchors[k], other)
                one, other = other, one
                if n < 3:
                    n = 0
                    break
        if n_points + n > len(points):
            points = np.concatenate((points, np.empty((n + len(points), 2))))
        for j in range(n):
            x, y = one[j, 0] / one[j, 2], one[j, 1] / one[j, 2]
            # rounding must not carry a point over the window's edge
            points[n_points, 0] = min(max(x, window[0]), window[1])
            points[n_points, 1] = min(max(y, window[2]), window[3])
            n_points += 1
        starts[i + 1] = n_points
    return points[:n_points].copy(), starts


@compiled
def _goes_around(directions: NDArray[np.float64], n: int) -> bool:
    """Whether directions turn once around, so that they are the corners of the whole plane."""
    turned = 0.0
    for i in range(n):
        p, q = directions[i], directions[(i + 1) % n]
        turned += math.atan2(p[0] * q[1] - p[1] * q[0], p[0] * q[0] + p[1] * q[1])
    return abs(turned) > 6.0


@compiled
def box_cells(
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    low: NDArray[np.float64],
    step: NDArray[np.float64],
    n_side: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which polygons have a bounding box that meets each square: starts (n_side² + 1,) and the polygons' numbers."""
    n_polygons = len(offsets) - 1
    boxes = np.empty((n_polygons, 4), dtype=np.int64)
    starts = np.zeros(n_side * n_side + 1, dtype=np.int64)
    for i in range(n_polygons):
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = 0, -1, 0, -1
        if offsets[i + 1] > offsets[i]:
            part = points[offsets[i] : offsets[i + 1]]
            for axis in range(2):
                first = int((part[:, axis].min() - low[axis]) / step[axis] - 1e-6)
                last = int((part[:, axis].max() - low[axis]) / step[axis] + 1e-6)
                boxes[i, 2 * axis] = max(0, min(n_side - 1, first))
                boxes[i, 2 * axis + 1] = max(0, min(n_side - 1, last))
        for row in range(boxes[i, 2], boxes[i, 3] + 1):
            for column in range(boxes[i, 0], boxes[i, 1] + 1):
                starts[row * n_side + column + 1] += 1
    starts = np.cumsum(starts)
    members = np.empty(starts[-1], dtype=np.int64)
    filled = starts[:-1].copy()
    for i in range(n_polygons):
        for row in range(boxes[i, 2], boxes[i, 3] + 1):
            for column in range(boxes[i, 0], boxes[i, 1] + 1):
                square = row * n_side + column
                members[filled[square]] = i
                filled[square] += 1
    return starts, members


@compiled
def find_polygons(
    places: NDArray[np.float64],
    corners: NDArray[np.int64],
    offsets: NDArray[np.int64],
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    members: NDArray[np.int64],
    low: NDArray[np.float64],
    step: NDArray[np.float64],
    n_side: int,
    rounding: float,
) -> NDArray[np.int64]:
    """(n_points,) the polygon among those of each point's square that it lies deepest in, or least outside of, within `rounding`."""
    found = np.full(len(points), -1, dtype=np.int64)
    for i in range(len(points)):
        x, y = points[i]
        column = max(0, min(n_side - 1, int((x - low[0]) / step[0])))
        row = max(0, min(n_side - 1, int((y - low[1]) / step[1])))
        square = row * n_side + column
        best = -rounding
        for place in range(starts[square], starts[square + 1]):
            polygon = members[place]
            depth = _depth(places, corners[offsets[polygon] : offsets[polygon + 1]], x, y)
            if depth >= best and (depth > best or found[i] < 0):
                best = depth
                found[i] = polygon
                if depth > rounding:
                    break
    return found


@compiled
def _depth(places: NDArray[np.float64], corners: NDArray[np.int64], x: float, y: float) -> float:
    """The distance from a point to the nearest edge of a convex polygon, negative outside it, whichever way it turns."""
    nearest_left, nearest_right = np.inf, np.inf
    for j in range(len(corners)):
        p, q = places[corners[j]], places[corners[(j + 1) % len(corners)]]
        if p[2] == 0 and q[2] == 0:
            # an edge to infinity bounds nothing, but tells the polygon from its mirror image
            turn = p[0] * q[1] - p[1] * q[0]
            if turn > 0:
                nearest_right = -np.inf
            elif turn < 0:
                nearest_left = -np.inf
            continue
        along_x, along_y = p[2] * q[0] - q[2] * p[0], p[2] * q[1] - q[2] * p[1]
        length = math.hypot(along_x, along_y)
        if length == 0:
            continue
        if p[2] > 0:
            side = (along_x * (y - p[1]) - along_y * (x - p[0])) / length
        else:
            side = (along_x * (y - q[1]) - along_y * (x - q[0])) / length
        nearest_left = min(nearest_left, side)
        nearest_right = min(nearest_right, -side)
    return max(nearest_left, nearest_right)
