"""Cells cut to a window, and the cell of a point."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from actscope import encode
from actscope.regions import plane
from actscope.regions.subdivision.clipping import clipped, clipped_polygons, locate
from actscope.training import MLP

Window = tuple[float, float, float, float]

MODEL = MLP(2, [7, 6], 3, init="torch", seed=4)


def area(corners: NDArray[np.float64]) -> float:
    local = corners - corners[0] if len(corners) else corners
    x, y = local.T
    return 0.5 * float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def exactly_clipped_area(corners: NDArray[np.float64], window: Window) -> Fraction:
    """The area of a polygon within a window, half plane by half plane in rational numbers."""
    polygon = [(Fraction(x), Fraction(y)) for x, y in corners]
    x0, x1, y0, y1 = map(Fraction, window)
    for axis, sign, level in ((0, 1, x0), (0, -1, x1), (1, 1, y0), (1, -1, y1)):
        kept = []
        for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            a, b = sign * (p[axis] - level), sign * (q[axis] - level)
            if a >= 0:
                kept.append(p)
            if a * b < 0:
                t = a / (a - b)
                kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        polygon = kept
    sides = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum((p[0] * q[1] - q[0] * p[1] for p, q in sides), Fraction(0))) / 2


coordinates = st.integers(-8, 8).map(lambda n: n / 4)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9), st.tuples(*[coordinates] * 4))
def test_what_is_left_of_a_polygon_has_the_area_that_rational_numbers_give(
    points: list[tuple[float, float]], edges: Window
) -> None:
    x0, x1, y0, y1 = edges
    if x0 >= x1 or y0 >= y1:
        return
    try:
        hull = ConvexHull(np.array(points))
    except QhullError:  # the points lie on a line
        return
    corners = hull.points[hull.vertices]
    homogeneous = np.column_stack([corners, np.ones(len(corners))])
    left = clipped(homogeneous, edges)
    assert area(left) == pytest.approx(float(exactly_clipped_area(corners, edges)), abs=1e-12)
    assert ((left >= [x0, y0]) & (left <= [x1, y1])).all()


@pytest.mark.parametrize(
    "window",
    [(-1, 1, -1, 1), (1e6, 1e6 + 1, -5, 5), (-1e-6, 2e-6, 1e-6, 3e-6), (-1e8, 1e8, -1e8, 1e8), (3, 4, -1e5, 1e5)],
)
def test_the_cells_of_a_whole_plane_fill_any_window(window: Window) -> None:
    found = plane(MODEL, window=None)
    points, offsets = clipped_polygons(found.places, found.corners, found.offsets, window)
    parts = [abs(area(points[a:b])) for a, b in itertools.pairwise(offsets)]
    assert sum(parts) == pytest.approx((window[1] - window[0]) * (window[3] - window[2]), rel=1e-9)


def test_a_polygon_inside_the_window_keeps_its_corners_to_the_last_bit() -> None:
    corners = np.random.default_rng(0).random((3, 2))
    assert (clipped(np.column_stack([corners, np.ones(3)]), (0, 1, 0, 1)) == corners).all()


def test_a_polygon_outside_the_window_leaves_nothing() -> None:
    assert clipped([[5, 5, 1], [6, 5, 1], [5, 6, 1]], (0, 1, 0, 1)).shape == (0, 2)


UNBOUNDED = {
    "a quadrant": ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], 1.0),
    "a quadrant without the window": ([[5, 5, 1], [1, 0, 0], [0, 1, 0]], 0.0),
    "a half plane whose border is parallel to the window": ([[0, 0.5, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], 1.0),
    "a half plane beyond the window": ([[0, 5, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], 0.0),
    "a half plane that holds the window": ([[0, -5, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], 4.0),
    "a strip": ([[0.5, 7, 1], [0.5, 3, 1], [0, -1, 0], [0.75, -9, 1], [0, 1, 0]], 0.5),
    "the whole plane": ([[1, 0, 0], [-1, 1.5, 0], [-1, -1.5, 0]], 4.0),
}


@pytest.mark.parametrize("case", UNBOUNDED)
def test_an_unbounded_polygon_is_cut_to_what_lies_in_the_window(case: str) -> None:
    polygon, expected = UNBOUNDED[case]
    assert abs(area(clipped(polygon, (-1, 1, -1, 1)))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("turned", [False, True])
def test_the_sense_of_rotation_does_not_matter(turned: bool) -> None:
    polygon = [[0, 0, 1], [1, 0, 0], [0, 1, 0]][:: -1 if turned else 1]
    assert abs(area(clipped(polygon, (-1, 1, -1, 2)))) == pytest.approx(2.0)


@pytest.mark.parametrize("window", [(1, 0, 0, 1), (0, 1, 2, 2), (0, float("inf"), 0, 1)])
def test_an_empty_or_infinite_window_is_refused(window: Window) -> None:
    with pytest.raises(ValueError, match="window="):
        clipped([[0, 0, 1], [1, 0, 1], [0, 1, 1]], window)


def test_a_polygon_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 2\)"):
        clipped([[0, 0], [1, 0], [0, 1]], (0, 1, 0, 1))


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e5])
@pytest.mark.parametrize("whole", [True, False])
def test_the_cell_of_a_point_has_the_pattern_of_the_point(size: float, whole: bool) -> None:
    found = plane(MODEL, window=None if whole else (-size, size, -size, size))
    points = (2 * np.random.default_rng(0).random((2000, 2)) - 1) * size
    cells = found.cell_of(points)
    codes = encode(MODEL, torch.from_numpy(points), dtype=torch.float64, progress=False)
    assert (cells >= 0).all()
    assert (found.packed[cells] == codes.packed).all()


def test_a_point_outside_has_no_cell() -> None:
    found = plane(MODEL, window=(0, 1, 0, 1))
    assert found.cell_of([[1.5, 0.5], [0.5, -1e-6], [0.5, 0.5]]).tolist()[:2] == [-1, -1]


def test_a_point_on_an_edge_gets_one_of_both_cells() -> None:
    found = plane(MODEL, window=(-1, 1, -1, 1))
    ends = found.places[found.edges]
    shares = np.random.default_rng(0).random((len(ends), 1))
    points = shares * ends[:, 0, :2] + (1 - shares) * ends[:, 1, :2]
    assert (found.cell_of(points)[:, None] == found.neighbours).any(axis=1).all()


def test_the_mirror_image_of_a_wedge_is_not_in_it() -> None:
    wedge = np.array([[0, 0, 1], [1, 0.1, 0], [1, 0.2, 0]], dtype=float)
    assert locate(wedge, np.arange(3), np.array([0, 3]), [[10, 1.5], [-10, -1.5]]).tolist() == [0, -1]


def test_points_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        locate(np.eye(3), np.arange(3), np.array([0, 3]), [[1, 2, 3]])
