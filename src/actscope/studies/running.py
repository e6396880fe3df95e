"""Runs of a study in a folder: begun, cut off, resumed, and how far each is."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actscope.progress import progress_bar
from actscope.studies.catalogue import find_study
from actscope.studies.cells import Cell
from actscope.studies.engines import EngineName, n_cores, work_on
from actscope.studies.locking import alone_in
from actscope.studies.results import Results, write_cell
from actscope.studies.study import Grid, Place, Study
from actscope.wholefile import whole_file

__all__ = ["Run", "StudyError", "run", "runs_in"]


@dataclass(frozen=True)
class Run:
    """One grid of a study in a folder, and which of its cells have been measured.

    Attributes:
        study: the study.
        grid: the data set and scale.
        folder: of the study, in the folder that was given.
        cells: all cells of the grid.
    """

    study: Study
    grid: Grid
    folder: Path
    cells: tuple[Cell, ...] = field(repr=False)

    @property
    def results(self) -> Results:
        """What has been measured so far."""
        return Results.in_folder(self.folder / "cells", self.cells)

    @property
    def missing(self) -> list[Cell]:
        """Cells that have not been measured."""
        return [cell for cell in self.cells if not (self.folder / "cells" / f"{cell.id}.parquet").is_file()]

    @property
    def is_complete(self) -> bool:
        """Whether every cell has been measured."""
        return not self.missing

    def __str__(self) -> str:
        return (
            f"{self.study.name} on {self.grid.dataset} at {self.grid.scale} scale"
            + (f" by {self.grid.recipe}" if self.grid.recipe else "")
            + f": {len(self.cells) - len(self.missing):,} of {len(self.cells):,} cells measured"
        )


class StudyError(RuntimeError):
    """Some cells could not be measured; the others were, and are saved.

    Attributes:
        errors: what went wrong with each block of cells.
    """

    def __init__(self, message: str, errors: Sequence[Exception]) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


def run(
    study: Study | str,
    folder: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    scale: str = "small",
    recipe: str = "",
    only: Mapping[str, Iterable[object]] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    device: str | None = None,
    engine: EngineName = "local",
    n_workers: int | None = None,
    tf32: bool | None = None,
    cuda_graphs: bool = True,
    progress: bool | None = None,
) -> Run:
    """The run, with every cell of the grid measured; cells whose files are in the folder already are not measured again.

    A cell's results are one file, `folder/STUDY/cells/ID.parquet`, whole or not there. Networks in training save how far they are, so that
    the same call goes on after an interrupt, a kill, a full disk or a lost machine. Only one run works on a study in a folder at a time.

    Args:
        study: a study or its name.
        folder: for the results of all studies; made if it does not exist.
        dataset: one that the study knows; None for its own.
        scale: `smoke` (seconds), `small` (minutes on two cores) or `paper` (as printed).
        recipe: another recipe than the study's own, by its name in `RECIPES`, if the study allows one.
        only: by the name of a setting, the values to measure now, such as `{"seed": [0], "width": [40, 60]}`; the others' cells
            stay for later. None measures all.
        data_dir: where data sets lie, as for `load_dataset`.
        device: where networks are trained and run.
        engine: `local`, `processes` or `ray`; with the latter two, blocks of cells that share batches go to workers.
        n_workers: what is done at once; None for one for each core, and for one on a GPU.
        tf32, cuda_graphs: how a GPU trains stacks of networks, as for `stacks.fit`.
        progress: whether to show bars on stderr; None shows them on a terminal.

    Raises:
        ValueError: names that are not known or do not go together.
        FolderInUseError: another run works on this study in this folder.
        StudyError: some cells could not be measured; it says why, and how many are saved.
    """
    study = find_study(study)
    grid = study.grid(dataset=dataset, scale=scale, recipe=recipe)
    ours = Run(study, grid, Path(folder) / study.name, tuple(study.cells(grid)))
    chosen = _chosen(ours.cells, only or {})
    place = Place(
        work=(ours.folder / "work").absolute(),
        data_dir=None if data_dir is None else Path(data_dir).absolute(),
        device=device,
        n_workers=n_workers,
        tf32=tf32,
        cuda_graphs=cuda_graphs,
        progress=progress,
    )
    with alone_in(ours.folder):
        _note(ours)
        ids = {cell.id for cell in chosen}
        missing = [cell for cell in ours.missing if cell.id in ids]
        if missing:
            _measure(ours, missing, place, engine, n_workers)
        # other runs of this study may have left theirs in the same folder
        for cell in chosen:
            shutil.rmtree(place.folder(cell), ignore_errors=True)
        with suppress(OSError):
            place.work.rmdir()
    return ours


def runs_in(folder: str | os.PathLike[str], *, study: str | None = None) -> list[Run]:
    """The runs that were begun in a folder, in the order of their names.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}: nothing has been run there")
    found = []
    for path in sorted(root.glob("*/runs/*.json")):
        try:
            known = json.loads(path.read_text())
            of, grid = find_study(known["study"]), Grid(**known["grid"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged: delete it and begin the run again, which finds its cells ({error})"
            ) from error
        if study is None or of.name == study:
            found.append(Run(of, grid, path.parent.parent, tuple(of.cells(grid))))
    return found


def _chosen(cells: Sequence[Cell], only: Mapping[str, Iterable[object]]) -> list[Cell]:
    """Cells whose settings have one of the values asked for; values may be given as text."""
    chosen = list(cells)
    for name, values in only.items():
        known = list(dict.fromkeys(str(cell[name]) for cell in cells if name in cell.settings))
        if not known:
            settings = dict.fromkeys(key for cell in cells for key in cell.settings)
            raise ValueError(f"only: there is no setting '{name}'; choose among {', '.join(settings)}")
        wanted = {str(value) for value in values}
        if unknown := sorted(wanted - set(known)):
            raise ValueError(f"only: no cell has {name}={', '.join(unknown)}; there is {name}={', '.join(known)}")
        chosen = [cell for cell in chosen if str(cell.settings.get(name)) in wanted]
    if not chosen:
        raise ValueError(f"only: no cell has all of {', '.join(only)} as asked for")
    return chosen


def _note(ours: Run) -> None:
    """Writes down that the run was begun."""
    path = ours.folder / "runs" / f"{ours.grid.name}.json"
    path.parent.mkdir(exist_ok=True)
    content = {"study": ours.study.name, "grid": vars(ours.grid)}
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content))


def _measure(ours: Run, missing: Sequence[Cell], place: Place, engine: EngineName, n_workers: int | None) -> None:
    if engine == "local":
        blocks = [tuple(missing)]
    else:
        blocks = _blocks(ours.study, missing, n_workers or n_cores())
        place.n_workers, place.progress = 1, False
    cells = ours.folder.absolute() / "cells"
    errors: list[Exception] = []
    with progress_bar(
        ours.study.name, total=len(missing), show=place.progress if engine == "local" else None, unit="cells"
    ) as advance:
        work: Callable[[tuple[Cell, ...]], int] = (
            partial(_measure_block, ours.study, place, cells, advance=advance)
            if engine == "local"
            else partial(_measure_block, ours.study.name, place, cells)
        )
        for block, outcome in work_on(blocks, work, engine=engine, n_workers=n_workers):
            if isinstance(outcome, Exception):
                errors.append(outcome)
            elif engine != "local":
                advance(len(block))
    if errors:
        raise StudyError(_explained(ours, errors), errors) from errors[0]


def _measure_block(
    study: Study | str,
    place: Place,
    folder: Path,
    block: tuple[Cell, ...],
    *,
    advance: Callable[[int], None] = lambda n: None,
) -> int:
    """Measures cells and writes their files; how many there were."""
    start = time.perf_counter()
    n_done = 0
    for cell, rows in find_study(study).measure(block, place):
        now = time.perf_counter()
        write_cell(folder, cell, rows, seconds=now - start)
        shutil.rmtree(place.folder(cell), ignore_errors=True)
        start, n_done = now, n_done + 1
        advance(1)
    return n_done


def _blocks(study: Study, cells: Sequence[Cell], n_workers: int) -> list[tuple[Cell, ...]]:
    """Cells that are best measured together, in at least as many blocks as there are workers if they can be divided so."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell.settings.get(name) for name in study.together), []).append(cell)
    pieces = -(-n_workers // len(groups))
    return [tuple(group[i::pieces]) for group in groups.values() for i in range(pieces) if group[i::pieces]]


def _explained(ours: Run, errors: Sequence[Exception]) -> str:
    n_done = len(ours.cells) - len(ours.missing)
    kept = f"{n_done:,} of {len(ours.cells):,} cells are saved in {ours.folder}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    first = errors[0]
    if isinstance(first, OSError) and first.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the disk is full: {first.strerror or first}. {kept}; make room and run it again, and it goes on"
    said = f"{first}" if isinstance(first, ValueError | OSError | RuntimeError) else f"{type(first).__name__}: {first}"
    return f"{ours.study.name}: {said}{more}. {kept}; the same run goes on from there"
