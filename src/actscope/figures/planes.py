"""Partitions of a plane: convex cells in colours that tell neighbours apart, by a value or by class, and the graph of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actscope.figures.canvas import axes_or_new
from actscope.figures.colouring import REGIONS, neighbour_colours
from actscope.figures.labels import shortened
from actscope.figures.palette import NEUTRAL, class_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection

__all__ = ["draw_adjacency", "draw_pixels", "draw_plane_classes", "draw_plane_regions", "draw_plane_values"]

Window = tuple[float, float, float, float]

_VECTOR_CELLS = 3000
"""Beyond so many cells an SVG gets slow and large, and they become one picture."""

_NAMED_CLASSES = 20

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def draw_plane_regions(
    points: ArrayLike,
    offsets: ArrayLike,
    groups: ArrayLike,
    *,
    neighbours: ArrayLike,
    window: Window,
    examples: ArrayLike | None = None,
    example_names: Sequence[str] = (),
    boundary: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Convex cells, those of one group in one colour, and groups that are neighbours in different ones.

    Args:
        points: (m, 2) corners; offsets: (n_cells + 1,): cell i has the corners points[offsets[i] : offsets[i + 1]], or none.
        groups: (n_cells,) 0 … n_groups - 1, such as the activation region of each cell.
        neighbours: (n_pairs, 2) cells that share an edge.
        window: (x from, x to, y from, y to) what to show.
        examples: (k, 2) points to mark; example_names: what to write beside them, x₁, x₂, … by default.
        boundary: (n_segments, 2, 2) to draw on top, such as a decision boundary.
        ax: where to draw; a new figure if `None`.

    Example:
        >>> square, offsets = [[0, 0], [1, 0], [1, 1], [0, 1], [1, 0], [2, 0], [2, 1], [1, 1]], [0, 4, 8]
        >>> ax = draw_plane_regions(square, offsets, [0, 1], neighbours=[[0, 1]], window=(0, 2, 0, 1), examples=[[0.5, 0.5]])
        >>> [text.get_text() for text in ax.texts]
        ['x₁']
    """
    from matplotlib.colors import to_rgba_array

    group = np.asarray(groups, dtype=np.int64)
    pairs = group[np.asarray(neighbours, dtype=np.int64).reshape(-1, 2)]
    colours = neighbour_colours(int(group.max(initial=-1)) + 1, pairs)
    ax = _axes(ax, window)
    _add_cells(ax, points, offsets, to_rgba_array(REGIONS)[colours[group]])
    return _finished(ax, window, examples, example_names, boundary)


def draw_plane_values(
    points: ArrayLike,
    offsets: ArrayLike,
    values: ArrayLike,
    *,
    label: str,
    window: Window,
    examples: ArrayLike | None = None,
    example_names: Sequence[str] = (),
    boundary: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Convex cells coloured by a value that is not negative, with a colour bar; logarithmic where values differ by orders of magnitude.

    Args:
        values: (n_cells,). label: what they are.
        points, offsets, window, examples, example_names, boundary, ax: as for `draw_plane_regions`.

    Example:
        >>> ax = draw_plane_values([[0, 0], [1, 0], [0, 1]], [0, 3], [0.5], label="norm", window=(0, 1, 0, 1))
        >>> ax.figure.axes[1].get_ylabel()
        'norm'
    """
    from matplotlib.colors import LogNorm, Normalize

    value = np.asarray(values, dtype=float)
    shown = value[np.diff(np.asarray(offsets)) > 0]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    orders = low > 0 and high > 50 * low
    scale = LogNorm(low, high) if orders else Normalize(low, high if high > low else low + 1.0)
    ax = _axes(ax, window, bar=True)
    cells = _add_cells(ax, points, offsets, None)
    cells.set_array(value[np.diff(np.asarray(offsets)) > 0])
    cells.set(cmap="viridis", norm=scale)
    bar = ax.figure.colorbar(cells, ax=ax, label=label, fraction=0.046, pad=0.03)
    bar.outline.set_visible(False)
    return _finished(ax, window, examples, example_names, boundary, line=_paper(), halo=_ink())


def draw_plane_classes(
    points: ArrayLike,
    offsets: ArrayLike,
    classes: ArrayLike,
    *,
    groups: ArrayLike,
    neighbours: ArrayLike,
    window: Window,
    class_names: Sequence[str] = (),
    examples: ArrayLike | None = None,
    example_names: Sequence[str] = (),
    boundary: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Convex cells in the colour of their class, in shades that tell neighbouring groups apart, with a legend.

    Args:
        classes: (n_cells,) the position of each cell's class in `class_names`; the number itself is shown where there is no name.
        points, offsets, groups, neighbours, window, examples, example_names, boundary, ax: as for `draw_plane_regions`.

    Example:
        >>> triangle, window = [[0, 0], [1, 0], [0, 1]], (0, 1, 0, 1)
        >>> ax = draw_plane_classes(triangle, [0, 3], [1], groups=[0], neighbours=[], window=window, class_names=["a", "b"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['b']
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    of, group = np.asarray(classes, dtype=np.int64), np.asarray(groups, dtype=np.int64)
    pairs = group[np.asarray(neighbours, dtype=np.int64).reshape(-1, 2)]
    shade = neighbour_colours(int(group.max(initial=-1)) + 1, pairs, n_colours=5)[group]
    base = np.array([to_rgb(class_colour(index)) for index in range(int(of.max(initial=0)) + 1)])
    paleness = np.linspace(0.08, 0.46, 5)[shade][:, None]
    ax = _axes(ax, window, legend=True)
    _add_cells(ax, points, offsets, (1 - paleness) * base[of] + paleness)
    present = np.unique(of[np.diff(np.asarray(offsets)) > 0])
    if len(present) <= _NAMED_CLASSES:
        named = [class_names[index] if index < len(class_names) else str(index) for index in present]
        handles = [Patch(facecolor=0.75 * base[index] + 0.25) for index in present]
        ax.legend(
            handles,
            [shortened(name, length=14) for name in named],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.09),
            ncols=min(len(present), 10, max(1, 46 // (4 + max((len(name) for name in named), default=1)))),
            frameon=False,
            handlelength=1.0,
            handletextpad=0.4,
            columnspacing=1.1,
        )
    return _finished(ax, window, examples, example_names, boundary)


def draw_adjacency(
    centres: ArrayLike,
    neighbours: ArrayLike,
    *,
    points: ArrayLike,
    offsets: ArrayLike,
    window: Window,
    examples: ArrayLike | None = None,
    example_names: Sequence[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """The graph of neighbouring cells: a dot in each, a line between two that share an edge, over their outlines.

    Args:
        centres: (n_cells, 2) a point of each cell. A dot is drawn in the middle of what a window shows of the cell.
        neighbours, points, offsets, window, examples, example_names, ax: as for `draw_plane_regions`.

    Example:
        >>> ax = draw_adjacency([[0.3, 0.3]], [], points=[[0, 0], [1, 0], [0, 1]], offsets=[0, 3], window=(0, 1, 0, 1))
        >>> len(ax.collections)
        3
    """
    from matplotlib.collections import LineCollection

    starts = np.asarray(offsets, dtype=np.int64)
    corners = np.asarray(points, dtype=float).reshape(-1, 2)
    at = np.array(centres, dtype=float).reshape(-1, 2)
    sizes = np.diff(starts)
    seen = np.flatnonzero(sizes > 0)
    at[seen] = np.add.reduceat(corners, starts[seen]) / sizes[seen, None] if len(seen) else at[seen]
    pairs = np.asarray(neighbours, dtype=np.int64).reshape(-1, 2)
    pairs = pairs[(sizes[pairs] > 0).all(axis=1)]
    ax = _axes(ax, window)
    cells = _add_cells(ax, corners, starts, np.broadcast_to((0.955, 0.962, 0.97), (len(sizes), 3)))
    cells.set_edgecolor("#c3cad1")
    thickness = float(np.clip(30 / np.sqrt(max(len(seen), 1)), 0.15, 1.1))
    ax.add_collection(
        LineCollection(
            list(at[pairs]), colors="#3a6ea5", linewidths=thickness, zorder=2, rasterized=len(pairs) > _VECTOR_CELLS
        )
    )
    ax.scatter(
        at[seen, 0],
        at[seen, 1],
        s=(6 * thickness) ** 2 * 0.6,
        color="#1d3f66",
        linewidths=0,
        zorder=3,
        rasterized=len(seen) > _VECTOR_CELLS,
    )
    return _finished(ax, window, examples, example_names, None)


def draw_pixels(
    pattern: ArrayLike,
    *,
    window: Window,
    examples: ArrayLike | None = None,
    example_names: Sequence[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """A grid of pixels, those of one pattern in one colour and neighbouring patterns in different ones, with borders between them.

    Args:
        pattern: (n_rows, n_columns) the number of each pixel's pattern, 0 …; row 0 is the lowest.
        window: (x from, x to, y from, y to) that the grid covers.
        examples, example_names, ax: as for `draw_plane_regions`.

    Example:
        >>> ax = draw_pixels([[0, 1], [0, 1]], window=(0, 1, 0, 1))
        >>> [segment.tolist() for segment in ax.collections[0].get_segments()]
        [[[0.5, 0.0], [0.5, 1.0]]]
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgb

    grid = np.asarray(pattern, dtype=np.int64)
    beside = np.concatenate(
        [
            np.stack([grid[:, :-1].ravel(), grid[:, 1:].ravel()], axis=1),
            np.stack([grid[:-1].ravel(), grid[1:].ravel()], axis=1),
        ]
    )
    pairs = np.unique(beside[beside[:, 0] != beside[:, 1]], axis=0)
    colours = neighbour_colours(int(grid.max(initial=-1)) + 1, pairs)
    picture = np.array([to_rgb(colour) for colour in REGIONS])[colours[grid]]
    ax = _axes(ax, window)
    ax.imshow(picture, origin="lower", extent=window, interpolation="nearest", aspect="equal")
    borders = _pixel_borders(grid, window)
    pixel = ax.get_window_extent().width * 72 / ax.figure.dpi / max(grid.shape)  # in points
    thickness = float(np.clip(0.3 * pixel, 0.12, 1.0))
    ax.add_collection(
        LineCollection(
            borders,
            colors=_paper(),
            linewidths=thickness,
            capstyle="projecting",
            rasterized=len(borders) > _VECTOR_CELLS,
        )
    )
    return _finished(ax, window, examples, example_names, None)


def _pixel_borders(grid: NDArray[np.int64], window: Window) -> list[NDArray[np.float64]]:
    """Segments between pixels that differ, each as long as it goes straight on."""
    n_rows, n_columns = grid.shape
    x = np.linspace(window[0], window[1], n_columns + 1)
    y = np.linspace(window[2], window[3], n_rows + 1)
    segments = []
    for differs, across, along, turned in (
        ((grid[:, 1:] != grid[:, :-1]).T, x, y, False),
        (grid[1:] != grid[:-1], y, x, True),
    ):
        padded = np.pad(differs, ((0, 0), (1, 1))).astype(np.int8)
        change = np.diff(padded, axis=1)
        line, first = np.nonzero(change == 1)
        _, last = np.nonzero(change == -1)
        at = across[line + 1]
        ends = np.stack([np.stack([at, along[first]], axis=1), np.stack([at, along[last]], axis=1)], axis=1)
        segments.append(ends[..., ::-1] if turned else ends)
    return list(np.concatenate(segments))


def _ink() -> str:
    """The colour of text: a page may turn it over for the dark."""
    import matplotlib

    return str(matplotlib.rcParams["text.color"])


def _paper() -> str:
    """The colour behind everything."""
    import matplotlib

    return str(matplotlib.rcParams["axes.facecolor"])


def _axes(ax: Axes | None, window: Window, *, bar: bool = False, legend: bool = False) -> Axes:
    shape = float(np.clip((window[3] - window[2]) / (window[1] - window[0]), 0.3, 2.0))
    width = 4.6 if shape <= 1 else max(2.6, 4.6 / shape)
    return axes_or_new(ax, width=width + 0.6 + 0.7 * bar, height=width * shape + 0.35 + 0.35 * legend)


def _add_cells(ax: Axes, points: ArrayLike, offsets: ArrayLike, colours: ArrayLike | None) -> PolyCollection:
    """The cells that have corners as one collection, with lines between them that grow thinner as they get more."""
    from matplotlib.collections import PolyCollection

    corners, starts = np.asarray(points, dtype=float).reshape(-1, 2), np.asarray(offsets, dtype=np.int64)
    sizes = np.diff(starts)
    seen = np.flatnonzero(sizes > 0)
    n = len(seen)
    if n:
        # all cells as one array, the last corner repeated: a hundred thousand polygons then take a second, not ten
        columns = np.minimum(np.arange(sizes[seen].max())[None], sizes[seen, None] - 1)
        vertices: NDArray[np.float64] = corners[starts[seen, None] + columns]
    else:
        vertices = np.zeros((0, 3, 2))
    many = n > 12_000
    cells = PolyCollection(
        vertices,  # type: ignore[arg-type]  # an array of equal polygons is taken as it is
        facecolors=None if colours is None else np.asarray(colours)[seen],
        edgecolors="face" if many else _paper(),
        linewidths=0.15 if many else float(np.clip(18 / np.sqrt(max(n, 1)), 0.12, 1.2)),
        joinstyle="round",
        rasterized=n > _VECTOR_CELLS,
        zorder=1,
    )
    ax.add_collection(cells, autolim=False)
    return cells


def _finished(
    ax: Axes,
    window: Window,
    examples: ArrayLike | None,
    names: Sequence[str],
    boundary: ArrayLike | None,
    *,
    line: str | None = None,
    halo: str | None = None,
) -> Axes:
    if boundary is not None:
        _draw_boundary(ax, boundary, line or _ink(), halo or _paper())
    if examples is not None:
        _mark(ax, np.asarray(examples, dtype=float).reshape(-1, 2), names, window)
    ax.set_xlim(window[0], window[1])
    ax.set_ylim(window[2], window[3])
    ax.set_aspect("equal")
    ax.tick_params(length=3, color=NEUTRAL)
    ax.locator_params(nbins=5)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def _draw_boundary(ax: Axes, boundary: ArrayLike, line: str, halo: str) -> None:
    from matplotlib.collections import LineCollection

    segments = list(np.asarray(boundary, dtype=float).reshape(-1, 2, 2))
    many = len(segments) > _VECTOR_CELLS
    for colour, width in ((halo, 3.2), (line, 1.5)):
        ax.add_collection(
            LineCollection(segments, colors=colour, linewidths=width, capstyle="round", zorder=4, rasterized=many),
            autolim=False,
        )


def _mark(ax: Axes, examples: NDArray[np.float64], names: Sequence[str], window: Window) -> None:
    labels = list(names) or ["x" + str(i + 1).translate(_SUBSCRIPTS) for i in range(len(examples))]
    seen = [i for i, (x, y) in enumerate(examples) if window[0] <= x <= window[1] and window[2] <= y <= window[3]]
    size = max(window[1] - window[0], window[3] - window[2])
    gaps = np.abs(examples[:, None] - examples[None]).max(axis=2) + np.where(np.eye(len(examples)) > 0, np.inf, 0)
    crowded = len(examples) > 1 and float(gaps.min()) < 0.06 * size
    ax.scatter(
        examples[:, 0],
        examples[:, 1],
        s=12 if crowded else 34,
        color=_ink(),
        edgecolors=_paper(),
        linewidths=0.8 if crowded else 1.4,
        zorder=5,
    )
    if crowded:  # names would hide each other, and what lies between the examples
        return
    middle = ((window[0] + window[1]) / 2, (window[2] + window[3]) / 2)
    for (x, y), label in ((examples[i], labels[i]) for i in seen):
        leftwards, downwards = x > middle[0], y > middle[1]
        ax.annotate(
            label,
            (x, y),
            xytext=(-7 if leftwards else 7, -7 if downwards else 7),
            textcoords="offset points",
            ha="right" if leftwards else "left",
            va="top" if downwards else "bottom",
            color=_ink(),
            fontsize=10,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": _paper(), "edgecolor": "none", "alpha": 0.85},
            zorder=6,
        )
