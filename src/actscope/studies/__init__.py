"""The papers' experiments as data: grids of cells that anyone can run, resume, draw and hold against what was printed."""

from actscope.studies.catalogue import find_study, studies
from actscope.studies.cells import Cell
from actscope.studies.comparing import Comparison, compare
from actscope.studies.results import Results
from actscope.studies.running import Run, StudyError, run, runs_in
from actscope.studies.study import Grid, Study

__all__ = [
    "run",
    "Run",
    "runs_in",
    "compare",
    "Comparison",
    "studies",
    "find_study",
    "Study",
    "Grid",
    "Cell",
    "Results",
    "StudyError",
]
