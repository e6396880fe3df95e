"""What the drawings of a report show, down to one bar, one point, one pixel."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from actscope.figures.accuracies import draw_accuracies
from actscope.figures.bars import draw_bars
from actscope.figures.bit_matrix import draw_bit_matrix
from actscope.figures.code_map import draw_code_map
from actscope.figures.liveness import draw_liveness
from actscope.figures.palette import TEST, TRAIN, class_colour, class_marker
from actscope.figures.region_sizes import draw_region_sizes


def test_given_axes_are_drawn_on_and_returned() -> None:
    for draw in (
        lambda ax: draw_bars(["a"], {"train": [0.1]}, colours=[TRAIN], ax=ax),
        lambda ax: draw_liveness(["a"], dead=[0.1], always_on=[0], constant=[0.1], ax=ax),
        lambda ax: draw_accuracies(["a"], train=[0.5], ax=ax),
        lambda ax: draw_code_map([[0, 0], [1, 2]], ax=ax),
        lambda ax: draw_bit_matrix([[0, 1]], ax=ax),
        lambda ax: draw_region_sizes({"train": [1, 2]}, colours=[TRAIN], ax=ax),
    ):
        ax = Figure().add_subplot()
        assert draw(ax) is ax


def test_bars_are_as_long_as_the_shares_and_say_so() -> None:
    ax = draw_bars(["a", "b"], {"train": [0.25, 0.5], "test": [0.125, 0.0]}, colours=[TRAIN, TEST])
    assert [bar.get_width() for bar in ax.patches] == [0.25, 0.5, 0.125, 0.0]
    assert [text.get_text() for text in ax.texts] == ["25.0 %", "50.0 %", "12.5 %", "0 %"]


def test_the_first_name_is_on_top() -> None:
    ax = draw_bars(["a", "b"], {"train": [0.1, 0.2]}, colours=[TRAIN])
    bottom, top = ax.get_ylim()
    assert bottom > top


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_bars_of_nothing_and_of_all_can_be_drawn(share: float) -> None:
    draw_bars(["a"], {"train": [share]}, colours=[TRAIN]).figure.canvas.draw()
    draw_liveness(["a"], dead=[share], always_on=[0], constant=[share]).figure.canvas.draw()


def test_the_parts_of_a_liveness_bar_add_up_to_all_neurons() -> None:
    ax = draw_liveness(["a", "b"], dead=[0.1, 0.0], always_on=[0.2, 0.0], constant=[0.4, 0.3])
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(4, 2)
    assert np.allclose(widths, [[0.1, 0.0], [0.2, 0.0], [0.1, 0.3], [0.6, 0.7]])


def test_an_accuracy_that_is_missing_leaves_a_gap() -> None:
    ax = draw_accuracies(["a", "b"], train=[0.9, float("nan")], test=[0.8, 0.7], chance=0.1)
    ax.figure.canvas.draw()
    assert sorted(text.get_text() for text in ax.texts) == ["70.0 %", "80.0 %", "90.0 %"]


def test_every_point_of_the_map_is_drawn_once_in_its_class_and_size() -> None:
    rng = np.random.default_rng(0)
    points, classes, sizes = rng.random((50, 2)), rng.integers(0, 13, 50), rng.integers(1, 500, 50)
    ax = draw_code_map(points, classes, class_names=[str(i) for i in range(13)], sizes=sizes)
    drawn = {}
    for collection in ax.collections:
        for position in np.asarray(collection.get_offsets()):
            drawn[tuple(position)] = (to_hex(collection.get_facecolor()[0]), float(collection.get_sizes()[0]))
    assert len(drawn) == 50
    for point, index in zip(points, classes, strict=True):
        assert drawn[tuple(point)][0] == class_colour(index)
    areas = np.array([drawn[tuple(point)][1] for point in points])
    order = np.argsort(sizes)
    assert (np.diff(areas[order]) >= 0).all()


def test_a_map_of_many_classes_is_not_littered_with_names() -> None:
    rng = np.random.default_rng(0)
    ax = draw_code_map(rng.random((400, 2)), np.arange(400) % 200, class_names=[str(i) for i in range(200)])
    assert not ax.texts
    ax.figure.canvas.draw()


@pytest.mark.parametrize("points", [[[0.0, 0.0]], [[1.0, 1.0]] * 5, [[0.0, 0.0], [1e-9, 0.0]]])
def test_a_map_without_extent_can_be_drawn(points: list[list[float]]) -> None:
    draw_code_map(points, [0] * len(points), class_names=["a"]).figure.canvas.draw()


def test_many_points_become_one_picture() -> None:
    ax = draw_code_map(np.random.default_rng(0).random((3000, 2)))
    assert all(collection.get_rasterized() for collection in ax.collections)


def test_no_two_of_the_first_hundred_classes_look_the_same() -> None:
    assert len({(class_colour(i), class_marker(i)) for i in range(100)}) == 100


def test_a_pixel_is_as_strong_as_its_interval_is_high_in_the_colour_of_its_class() -> None:
    ax = draw_bit_matrix([[0, 0.5, 1], [1, 0, 0]], [0, 1], class_names=["a", "b"], sites=[("relu", 2), ("tanh", 1)])
    pixels = ax.images[0].get_array()
    assert pixels[..., 3].tolist() == [[0, 0.5, 1], [1, 0, 0]]
    assert [to_hex(pixels[row, 0, :3]) for row in range(2)] == [class_colour(0), class_colour(1)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_the_smallest_matrices_can_be_drawn(shape: tuple[int, int]) -> None:
    draw_bit_matrix(np.ones(shape)).figure.canvas.draw()


def test_examples_are_counted_by_the_size_of_their_region() -> None:
    ax = draw_region_sizes({"train": [1, 1, 2, 3, 4, 9], "test": [1, 1]}, colours=[TRAIN, TEST])
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(2, -1)
    assert np.allclose(heights[0], np.array([2, 2, 7, 0, 9]) / 20)
    assert np.allclose(heights[1], [1, 0, 0, 0, 0])


def test_regions_of_millions_fit_the_axis() -> None:
    ax = draw_region_sizes({"train": [1, 5_000_000]}, colours=[TRAIN])
    ax.figure.canvas.draw()
    assert sum(bool(label.get_text()) for label in ax.get_xticklabels()) <= 12
