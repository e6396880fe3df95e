"""The activation regions in a plane, exactly: polygons, areas, patterns, local maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.groups import count_distinct
from actscope.codes.selection import Layers
from actscope.progress import progress_bar
from actscope.regions.lines import count_on_rays
from actscope.regions.planeregions import PlaneRegions, Window
from actscope.regions.programs.analysis import read_program
from actscope.regions.programs.probe import Probe
from actscope.regions.programs.program import Program, SiteStep
from actscope.regions.sections import Plane
from actscope.regions.subdivision.partitioning import Partitioner, Polygons
from actscope.regions.subdivision.tiling import areas_and_centres, components, merged_outlines, shared_edges
from actscope.regions.tolerances import TOLERANCE, require_tolerance
from actscope.regions.verifying import verify_cells, verify_total

if TYPE_CHECKING:
    from actscope.regions.sampling import SampledPlane

__all__ = ["PlaneRegions", "Window", "count_in_plane", "plane"]

_BYTES = 1 << 28
"""Memory for the values of all points of one block of polygons."""

_PATTERNS_AT_ONCE = 4096

_TURN = 0.6180339887498949
"""Where a whole plane is taken apart in three, in radians from the first axis: a direction along which nothing lies but by accident."""


@overload
def plane(
    model: nn.Module | Program,
    section: Plane | None = ...,
    *,
    window: Window = ...,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    samples: None = ...,
    verify: bool = ...,
    max_regions: int | None = ...,
    tolerance: float = ...,
    device: torch.device | str | None = ...,
    progress: bool | None = ...,
) -> PlaneRegions: ...
@overload
def plane(
    model: nn.Module,
    section: Plane | None = ...,
    *,
    window: Window = ...,
    layers: Layers = ...,
    breakpoints: Breakpoints = ...,
    activations: Activations | None = ...,
    samples: int,
    device: torch.device | str | None = ...,
    progress: bool | None = ...,
) -> SampledPlane: ...
def plane(
    model: nn.Module | Program,
    section: Plane | None = None,
    *,
    window: Window = (-1.0, 1.0, -1.0, 1.0),
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    samples: int | None = None,
    verify: bool = False,
    max_regions: int | None = None,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> PlaneRegions | SampledPlane:
    """The activation regions in a window of a plane, or in all of it, exactly.

    Convex polygons are split site by site, in the order in which the model runs them: up to the first site that is not
    resolved, the model is affine on each polygon, so what it computes at the corners says all. An edge is cut once for both
    its polygons.

    Args:
        model: a model that is piecewise linear, up to the last site that counts; or its `Program`.
        section: the plane; for a model of two inputs it may be left out, and is its input space.
        window: (x from, x to, y from, y to) in the plane's coordinates; `None` for the whole plane.
        layers, breakpoints, activations: as for `actscope.encode`: the pattern that is counted.
        samples: for a model that is not piecewise linear: look at a grid of samples × samples points instead, and return
        a `SampledPlane`.
        verify: compare the result with the model itself, and raise on a mismatch.
        max_regions: stop before there are more cells than these, with what there is, and say so (`complete`). A whole plane
            is taken apart in three at first, and so are cells that these meet in.
        tolerance: values within this share of their scale count as zero; 1e-13 to 1e-5.
        device: where to compute; the model's own device if `None`.
        progress: whether a bar is shown; `None` shows one on a terminal.

    Raises:
        NotPiecewiseLinearError: if the model is not piecewise linear; the message names the operation.
        PartitionError: with `verify`, if the result and the model differ.
        ValueError: if the plane does not fit the model, the window is empty, or `max_regions` or the tolerance is out of its range.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> _ = model.load_state_dict({"0.weight": torch.tensor([[1.0, 0], [0, 1], [1, 1]]), "0.bias": torch.tensor([0.0, 0, -0.5]),
        ...                            "2.weight": torch.ones(1, 3), "2.bias": torch.zeros(1)})
        >>> found = plane(model, window=None, verify=True)
        >>> found
        PlaneRegions(7 activation regions, 7 linear regions; 7 cells, 3 neurons, the whole plane)
        >>> np.sort(found.areas)[:2].round(12).tolist()
        [0.125, inf]
    """
    if samples is not None:
        from actscope.regions.sampling import sample_plane

        if isinstance(model, Program):
            raise TypeError("samples= looks at the model itself: give the model, not its Program")
        if verify or max_regions is not None:
            raise ValueError(
                "verify= and max_regions= are for exact partitions; a sampled one (samples=) has nothing to verify or to stop"
            )
        return sample_plane(
            model, section, window=window, samples=samples, layers=layers, breakpoints=breakpoints, activations=activations,
            device=device, progress=progress,
        )  # fmt: skip
    require_tolerance(tolerance)
    window = _checked(window)
    program, section = _prepared(model, section, layers, breakpoints, activations, device)
    if max_regions is not None and max_regions < 1:
        raise ValueError(f"max_regions={max_regions}: give 1 or more, or None for all")
    with progress_bar("plane", total=None, show=progress, unit="cells") as advance:
        partitioner = Partitioner(
            program, tolerance=tolerance, patterns=True, memory=_BYTES, max_regions=max_regions, advance=advance
        )
        blocks = partitioner.run(*_initial(section, window))
    found = _assembled(program, partitioner, blocks, section, window)
    if verify:
        _verify(program, found)
    return found


def count_in_plane(
    model: nn.Module | Program,
    section: Plane | None = None,
    *,
    window: Window = (-1.0, 1.0, -1.0, 1.0),
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    tolerance: float = TOLERANCE,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> int:
    """The number of activation regions that `plane` finds, by a faster path.

    At the last site no polygon is split: lines that cut a convex polygon in general position make 1 + (lines) + (pairs that
    cross in it) pieces of it (Euler). Polygons where lines meet in one point, or end in one, are split after all.

    Args:
        model, section, window, layers, breakpoints, activations, tolerance, device, progress: as for `plane`.

    Example:
        >>> from actscope.training import MLP
        >>> model = MLP(2, [8, 8], 2, init="torch", seed=3)
        >>> count_in_plane(model, window=None) == plane(model, window=None).n_regions
        True
    """
    require_tolerance(tolerance)
    window = _checked(window)
    program, section = _prepared(model, section, layers, breakpoints, activations, device)
    program = program.until_last_site()
    cells = program.exposes_cells
    with progress_bar("plane", total=None, show=progress, unit="cells") as advance:
        partitioner = Partitioner(
            program, tolerance=tolerance, patterns=not cells, memory=_BYTES, count_only=cells, advance=advance
        )
        blocks = partitioner.run(*_initial(section, window))
    if not cells:
        return count_distinct(np.concatenate([block.packed for block in blocks]))
    n_pieces = sum(int(block.pieces.sum()) for block in blocks)
    if window is not None:
        return n_pieces
    # a region that a ray goes through is in one piece more; the one where the three rays begin in two more, though it is hit
    # by all three
    points = _initial(section, None)[0]
    return n_pieces - int(count_on_rays(program, points[0], points[1:], tolerance=tolerance).sum()) + 1


def _checked(window: Window) -> Window:
    """The window as four floats.

    Raises:
        ValueError: if it is empty, or not four finite numbers.
    """
    if window is None:
        return None
    try:
        x0, x1, y0, y1 = (float(edge) for edge in window)
    except (TypeError, ValueError):
        x0 = x1 = y0 = y1 = math.nan
    if not all(math.isfinite(edge) for edge in (x0, x1, y0, y1)):
        raise ValueError(
            f"window={window!r}: give (x from, x to, y from, y to), four finite numbers, or None for the whole plane"
        )
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"window={window!r} is empty: give (x from, x to, y from, y to), each from less than its to")
    return x0, x1, y0, y1


def _prepared(
    model: nn.Module | Program,
    section: Plane | None,
    layers: Layers,
    breakpoints: Breakpoints,
    activations: Activations | None,
    device: torch.device | str | None,
) -> tuple[Program, Plane]:
    if section is None:
        zero = torch.zeros(2, dtype=torch.float64)
        section = Plane(zero, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
        if isinstance(model, Program) and model.input_shape != (2,):
            raise ValueError(
                f"the model takes inputs of shape {model.input_shape}: say which plane (Plane.through(x1, x2, x3), Plane.random(…))"
            )
    if not isinstance(section, Plane):
        raise TypeError(
            f"the plane must be an actscope.regions.Plane, such as Plane.through(x1, x2, x3); got {type(section).__name__}"
        )
    try:
        program = read_program(
            model,
            section.origin[None] + section.u,
            layers=layers,
            breakpoints=breakpoints,
            activations=activations,
            device=device,
        )
    except RuntimeError as error:
        if isinstance(model, nn.Module):
            raise ValueError(
                f"the model does not take inputs of shape {tuple(section.origin.shape)}, which the plane has: {error}. For a model of more "
                "than two inputs give a plane, such as Plane.through(x1, x2, x3)"
            ) from error
        raise  # a program was read before
    if tuple(section.origin.shape) != program.input_shape:
        raise ValueError(
            f"the plane lies among inputs of shape {tuple(section.origin.shape)}, but the model takes {program.input_shape}"
        )
    place = program.device
    if section.origin.device != place:
        section = Plane(section.origin.to(place), section.u.to(place), section.v.to(place), section.examples)
    return program, section


def _initial(
    section: Plane, window: Window
) -> tuple[Tensor, NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Points, places, corners and offsets of the polygons before anything is split."""
    if window is not None:
        x0, x1, y0, y1 = window
        places = np.array([[x0, y0, 1.0], [x1, y0, 1.0], [x1, y1, 1.0], [x0, y1, 1.0]])
        corners, offsets = np.arange(4), np.array([0, 4])
    else:
        angles = _TURN + np.array([0.0, 2.1, 4.2])
        directions = np.stack([np.cos(angles), np.sin(angles), np.zeros(3)], axis=1)
        places = np.concatenate([[[0.0127, -0.0241, 1.0]], directions])
        corners, offsets = np.array([0, 1, 2, 0, 2, 3, 0, 3, 1]), np.array([0, 3, 6, 9])
    a, b, w = (torch.from_numpy(places[:, i]).to(section.u.device).reshape(-1, *[1] * section.u.ndim) for i in range(3))
    return w * section.origin + a * section.u + b * section.v, places, corners, offsets


def _assembled(
    program: Program, partitioner: Partitioner, blocks: list[Polygons], section: Plane, window: Window
) -> PlaneRegions:
    places, values, corners, offsets = _joined(blocks)
    packed = np.concatenate([block.packed for block in blocks])
    hidden = np.concatenate([block.hidden for block in blocks])
    if partitioner.limited:
        packed = _patterns(program, section.points(areas_and_centres(places, corners, offsets)[1]))
    elif window is None or not program.exposes_cells:
        pairs, _ = shared_edges(corners, offsets)
        # cells that were taken apart only to be split: on both sides of an edge all is the same
        same = (packed[pairs[:, 0]] == packed[pairs[:, 1]]).all(axis=1) & (
            hidden[pairs[:, 0]] == hidden[pairs[:, 1]]
        ).all(axis=1)
        if same.any():
            groups = components(len(offsets) - 1, pairs[same])
            corners, offsets, of = merged_outlines(corners, offsets, groups)
            packed = packed[of]
    return PlaneRegions(
        section=section,
        window=window,
        places=places,
        corners=corners,
        offsets=offsets,
        packed=packed,
        sites=program.sites,
        corner_values=None if partitioner.limited else values,
        complete=not partitioner.limited,
        tolerance=partitioner.tolerance,
        n_near_ties=partitioner.n_near_ties,
    )


def _patterns(program: Program, points: Tensor) -> NDArray[np.uint8]:
    """(n_points, n_bytes) uint8: the pattern at each of some points (n_points, *input_shape)."""
    found = []
    for part in torch.split(points, _PATTERNS_AT_ONCE):
        probe = Probe(program, part)
        by_site = {}
        while (step := probe.advance()) is not None:
            if isinstance(step, SiteStep) and step.site is not None:
                z = probe.z.cpu().numpy()
                planes = [np.packbits(z > level, axis=1, bitorder="little") for level in step.site.breakpoints]
                by_site[step.site.name] = np.concatenate(planes, axis=1)
        found.append(np.concatenate([by_site[site.name] for site in program.sites], axis=1))
    return np.concatenate(found)


def _joined(
    blocks: list[Polygons],
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.int64], NDArray[np.int64]]:
    """Places, values, corners and offsets of all blocks, a point that several made being one."""
    if len(blocks) == 1:
        return blocks[0].places, blocks[0].values, blocks[0].corners, blocks[0].offsets
    keys = np.concatenate([block.keys for block in blocks])
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    starts = np.cumsum([0, *(len(block.keys) for block in blocks)])
    corners = np.concatenate([number[block.corners + start] for block, start in zip(blocks, starts, strict=False)])
    sizes = np.concatenate([np.diff(block.offsets) for block in blocks])
    places = np.concatenate([block.places for block in blocks])[first]
    values = None
    if blocks[0].values is not None:
        values = np.concatenate([block.values for block in blocks if block.values is not None])[first]
    return places, values, corners, np.concatenate([[0], np.cumsum(sizes)])


def _verify(program: Program, found: PlaneRegions) -> None:
    """Compare each cell's centre with the model itself, and the areas' sum with the window's.

    Raises:
        PartitionError: on a mismatch.
    """
    points = found.section.points(found.centres)
    verify_cells(program, points, found.packed, found.values, tolerance=found.tolerance, name="cell")
    if found.window is not None:
        x0, x1, y0, y1 = found.window
        verify_total(found.areas, (x1 - x0) * (y1 - y0), "the areas of the cells")
