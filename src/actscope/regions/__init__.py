"""Exact activation regions of piecewise-linear models: on lines, in planes, around points, in boxes."""

from actscope.regions import bounds
from actscope.regions.analysis import read_program
from actscope.regions.lines import Line, Lines, count_on_lines, line, on_lines
from actscope.regions.planes import PlaneRegions, count_in_plane, plane
from actscope.regions.program import NotPiecewiseLinearError, Program
from actscope.regions.sections import Plane
from actscope.regions.verifying import PartitionError

__all__ = [
    "Line",
    "Lines",
    "NotPiecewiseLinearError",
    "PartitionError",
    "Plane",
    "PlaneRegions",
    "Program",
    "bounds",
    "count_in_plane",
    "count_on_lines",
    "line",
    "on_lines",
    "plane",
    "read_program",
]
