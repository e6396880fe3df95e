"""Exact activation regions of piecewise-linear models: on lines, in planes, around points, in boxes."""

from actscope.regions import bounds
from actscope.regions.diameters import Diameters, diameter
from actscope.regions.distances import Distances, distance_to_boundary
from actscope.regions.enumeration import BoxRegions, enumerate_regions
from actscope.regions.lines import Line, Lines, count_on_lines, line, on_lines
from actscope.regions.maps import AffineMaps, affine
from actscope.regions.planes import PlaneRegions, count_in_plane, plane
from actscope.regions.polytopes import Polytope, polytope
from actscope.regions.programs.analysis import read_program
from actscope.regions.programs.program import NotPiecewiseLinearError, Program
from actscope.regions.sampling import SampledLine, SampledPlane
from actscope.regions.sections import Plane
from actscope.regions.smoothness import Lipschitz, lipschitz
from actscope.regions.verifying import PartitionError

__all__ = [
    "AffineMaps",
    "BoxRegions",
    "Diameters",
    "Distances",
    "Line",
    "Lines",
    "Lipschitz",
    "NotPiecewiseLinearError",
    "PartitionError",
    "Plane",
    "PlaneRegions",
    "Polytope",
    "Program",
    "SampledLine",
    "SampledPlane",
    "affine",
    "bounds",
    "count_in_plane",
    "count_on_lines",
    "diameter",
    "distance_to_boundary",
    "enumerate_regions",
    "line",
    "lipschitz",
    "on_lines",
    "plane",
    "polytope",
    "read_program",
]
