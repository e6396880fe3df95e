"""Exact activation regions of piecewise-linear models: on lines, in planes, around points, in boxes."""

from actscope.regions.analysis import read_program
from actscope.regions.program import NotPiecewiseLinearError, Program

__all__ = ["NotPiecewiseLinearError", "Program", "read_program"]
