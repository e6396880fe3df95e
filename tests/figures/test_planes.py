"""Pictures of partitions: every cell in its place and colour, neighbours told apart."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actscope.figures.colouring import REGIONS, neighbour_colours
from actscope.figures.palette import class_colour
from actscope.figures.planes import (
    draw_adjacency,
    draw_pixels,
    draw_plane_classes,
    draw_plane_regions,
    draw_plane_values,
)
from actscope.regions import NotPiecewiseLinearError, Plane, plane
from actscope.training import MLP

# two rows of three unit squares, and a cell that the window does not show
SQUARES = np.array([[[c, r], [c + 1, r], [c + 1, r + 1], [c, r + 1]] for r in range(2) for c in range(3)], dtype=float)
POINTS, OFFSETS = SQUARES.reshape(-1, 2), np.array([0, 4, 8, 12, 16, 20, 24, 24])
PAIRS = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [0, 3], [1, 4], [2, 5], [5, 6]])
WINDOW = (0.0, 3.0, 0.0, 2.0)


def cells_of(ax: object) -> PolyCollection:
    return next(one for one in ax.collections if isinstance(one, PolyCollection))  # type: ignore[attr-defined]  # of Axes


def colours_of(ax: object) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.asarray(cells_of(ax).get_facecolor())[:, :3]
    return found


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_neighbours_never_share_a_colour_where_every_part_has_a_member_with_few(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parents = np.array([[i, rng.integers(i)] for i in range(1, n) for _ in range(5)], dtype=int).reshape(-1, 2)
    colours = neighbour_colours(n, parents)
    assert ((colours >= 0) & (colours < len(REGIONS))).all()
    assert (colours[parents[:, 0]] != colours[parents[:, 1]]).all()


def test_all_colours_are_used_about_alike() -> None:
    counts = np.bincount(neighbour_colours(8000, np.stack([np.arange(7999), np.arange(1, 8000)], axis=1)))
    assert counts.min() > 700


def test_more_neighbours_than_colours_share_as_few_as_can_be() -> None:
    pairs = [[i, j] for i in range(9) for j in range(i)]
    colours = neighbour_colours(9, pairs)
    assert np.bincount(colours).max() == 2


def test_the_colours_of_a_partition_tell_all_neighbouring_regions_apart() -> None:
    found = plane(MLP(2, [20, 20], 2, init="torch", seed=0), window=None)
    colours = neighbour_colours(found.n_regions, found.region[found.neighbours])[found.region]
    assert (colours[found.neighbours[:, 0]] != colours[found.neighbours[:, 1]]).all()


def test_every_cell_that_has_corners_is_drawn_where_it_lies() -> None:
    ax = draw_plane_regions(POINTS, OFFSETS, np.arange(7), neighbours=PAIRS, window=WINDOW)
    paths = cells_of(ax).get_paths()
    assert len(paths) == 6
    for path, square in zip(paths, SQUARES, strict=True):
        assert {tuple(corner) for corner in path.vertices} == {tuple(corner) for corner in square}


def test_cells_of_one_group_have_one_colour_and_neighbouring_groups_others() -> None:
    groups = np.array([0, 0, 1, 2, 2, 1, 3])
    drawn = colours_of(draw_plane_regions(POINTS, OFFSETS, groups, neighbours=PAIRS, window=WINDOW))
    for i, j in PAIRS[:-1]:
        assert (groups[i] == groups[j]) == bool((drawn[i] == drawn[j]).all())


def test_the_window_is_what_is_seen_and_both_axes_have_one_scale() -> None:
    ax = draw_plane_regions(POINTS, OFFSETS, np.arange(7), neighbours=PAIRS, window=WINDOW)
    assert (*ax.get_xlim(), *ax.get_ylim()) == WINDOW
    assert ax.get_aspect() == 1


def test_examples_are_marked_and_named_unless_they_lie_close() -> None:
    def texts(examples: list[list[float]]) -> list[str]:
        ax = draw_plane_regions(
            POINTS, OFFSETS, np.arange(7), neighbours=PAIRS, window=WINDOW, examples=examples, example_names=["a", "b"]
        )
        return [text.get_text() for text in ax.texts]

    assert texts([[0.5, 0.5], [2.5, 1.5]]) == ["a", "b"]
    assert texts([[0.5, 0.5], [9.0, 1.5]]) == ["a"]
    assert texts([[0.5, 0.5], [0.51, 0.5]]) == []


def test_values_are_told_by_colour_and_by_a_bar() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 99])
    ax = draw_plane_values(POINTS, OFFSETS, values, label="norm", window=WINDOW)
    assert np.asarray(cells_of(ax).get_array()).tolist() == values[:6].tolist()
    assert ax.figure.axes[1].get_ylabel() == "norm"


def test_values_that_differ_by_orders_of_magnitude_have_a_logarithmic_scale() -> None:
    ax = draw_plane_values(POINTS, OFFSETS, 10.0 ** np.arange(7), label="norm", window=WINDOW)
    assert type(cells_of(ax).norm).__name__ == "LogNorm"


@pytest.mark.parametrize("values", [np.zeros(7), np.ones(7)])
def test_values_that_are_all_alike_can_be_drawn(values: NDArray[np.float64]) -> None:
    draw_plane_values(POINTS, OFFSETS, values, label="norm", window=WINDOW).figure.canvas.draw()


def test_a_cell_has_a_shade_of_the_colour_of_its_class() -> None:
    classes = np.array([0, 0, 1, 4, 4, 1, 2])
    ax = draw_plane_classes(
        POINTS, OFFSETS, classes, groups=np.arange(7), neighbours=PAIRS, window=WINDOW, class_names=["zero", "one"]
    )
    for drawn, index in zip(colours_of(ax), classes[:6], strict=True):
        paleness = (drawn - to_rgb(class_colour(index))) / (1 - np.array(to_rgb(class_colour(index))))
        assert np.ptp(paleness) < 1e-9
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["zero", "one", "4"]


def test_the_boundary_is_drawn_whole() -> None:
    segments = np.random.default_rng(0).random((5, 2, 2))
    ax = draw_plane_regions(POINTS, OFFSETS, np.arange(7), neighbours=PAIRS, window=WINDOW, boundary=segments)
    assert np.allclose(np.array(ax.collections[-1].get_segments()), segments)


def test_the_graph_has_an_edge_for_every_pair_that_is_seen() -> None:
    ax = draw_adjacency(np.zeros((7, 2)), PAIRS, points=POINTS, offsets=OFFSETS, window=WINDOW)
    middles = SQUARES.mean(axis=1)
    assert np.allclose(np.array(ax.collections[1].get_segments()), middles[PAIRS[:-1]])
    assert np.allclose(np.asarray(ax.collections[2].get_offsets()), middles)


def test_pixels_have_borders_exactly_where_patterns_differ() -> None:
    grid = np.random.default_rng(0).integers(0, 3, (7, 5))
    ax = draw_pixels(grid, window=(0, 5, 0, 7))
    length = sum(float(np.abs(segment[1] - segment[0]).sum()) for segment in ax.collections[0].get_segments())
    assert length == np.count_nonzero(np.diff(grid, axis=0)) + np.count_nonzero(np.diff(grid, axis=1))
    picture = np.asarray(ax.images[0].get_array())
    for pattern in range(3):
        assert len(np.unique(picture[grid == pattern], axis=0)) == 1


def test_row_0_of_the_pixels_is_the_lowest() -> None:
    ax = draw_pixels([[0, 0], [1, 1]], window=(0, 2, 0, 2))
    assert ax.images[0].origin == "lower"
    assert ax.get_ylim() == (0, 2)


def test_many_cells_become_one_picture_in_an_svg() -> None:
    n = 70
    squares = [[[c, r], [c + 1, r], [c + 1, r + 1], [c, r + 1]] for r in range(n) for c in range(n)]
    ax = draw_plane_regions(
        np.array(squares, dtype=float).reshape(-1, 2),
        np.arange(n * n + 1) * 4,
        np.arange(n * n),
        neighbours=np.zeros((0, 2), dtype=int),
        window=(0, n, 0, n),
    )
    buffer = io.StringIO()
    ax.figure.savefig(buffer, format="svg")
    assert len(buffer.getvalue()) < 200_000


@pytest.mark.parametrize("colour", ["region", "linear_region", "norm", "class"])
@pytest.mark.parametrize("window", [None, (-1.0, 1.0, -1.0, 1.0)])
def test_a_plane_plots_itself(colour: str, window: tuple[float, float, float, float] | None) -> None:
    examples = np.random.default_rng(1).random((3, 6))
    section = Plane.through(*examples)
    found = plane(MLP(6, [8], 3, seed=0), section, window=window)
    ax = Figure().add_subplot()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.plot(ax, colour=colour, boundary=True, names=["a", "b", "c"]) is ax  # type: ignore[arg-type]  # a literal
        assert found.plot_adjacency().collections
        ax.figure.canvas.draw()


def test_a_colour_that_is_none_or_cannot_be_had_is_refused() -> None:
    import torch

    found = plane(MLP(2, [3], 2, seed=0))
    with pytest.raises(ValueError, match="colour='red'"):
        found.plot(colour="red")  # type: ignore[arg-type]  # what is tested
    smooth = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2), torch.nn.Softmax(dim=1))
    with pytest.raises(NotPiecewiseLinearError, match="colour='norm'"):
        plane(smooth).plot(colour="norm")
