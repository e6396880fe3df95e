"""Networks of cells: trained together as stacks, and measured one by one from the weights that were kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from actscope.studies.cells import Cell
from actscope.studies.results import Row
from actscope.studies.study import Place
from actscope.training import MLP, LabelledData, Recipe, stacks
from actscope.training.stacks import Checkpoints, StackDivergenceError

__all__ = ["Specimen", "measured"]


@dataclass(frozen=True)
class Specimen:
    """The network of one cell, and when to measure it.

    Attributes:
        model: before training.
        train: what it is trained on.
        recipe: how.
        seed: of the order of the examples.
        epochs: epochs after which it is measured; 0 is before training.
        steps: updates after which it is measured.
    """

    model: MLP
    train: LabelledData
    recipe: Recipe
    seed: int
    epochs: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()


def measured(
    cells: Sequence[Cell],
    place: Place,
    specimen: Callable[[Cell, Place], Specimen],
    measure: Callable[[Cell, Specimen, MLP], Sequence[Row]],
    *,
    apart: Callable[[Cell], Hashable] = lambda cell: None,
) -> Iterator[tuple[Cell, list[Row]]]:
    """Every cell with what `measure` gave for its network at each chosen epoch or step, which stands in the rows.

    Weights are kept in the cells' folders, so that neither training nor finished cells are lost when a run is cut off. A network
    whose loss became NaN or infinite has one row, `diverged`. One that its recipe stopped early is at later epochs and steps as it
    was then, and says in the row `stopped after` when that was.

    Args:
        cells: the cells.
        place: where they are measured.
        specimen: the network of a cell, and what it is trained on.
        measure: the rows of one cell's network as it is.
        apart: cells for which this differs are trained one after the other, which bounds the memory for their data.
    """
    for _, group in itertools.groupby(
        sorted(cells, key=lambda cell: str(apart(cell))), key=lambda cell: str(apart(cell))
    ):
        yield from _measured_together(list(group), place, specimen, measure)


def _measured_together(
    cells: Sequence[Cell],
    place: Place,
    specimen: Callable[[Cell, Place], Specimen],
    measure: Callable[[Cell, Specimen, MLP], Sequence[Row]],
) -> Iterator[tuple[Cell, list[Row]]]:
    specimens = [specimen(cell, place) for cell in cells]
    checkpoints = Checkpoints(
        place.work,
        epochs=sorted({epoch for one in specimens for epoch in one.epochs}),
        steps=sorted({step for one in specimens for step in one.steps}),
        names=[cell.id for cell in cells],
    )
    diverged: dict[int, str] = {}
    try:
        histories = stacks.fit(
            [one.model for one in specimens],
            [one.train for one in specimens],
            recipe=[one.recipe for one in specimens],
            seeds=[one.seed for one in specimens],
            device=place.device,
            checkpoints=checkpoints,
            n_workers=place.n_workers,
            tf32=place.tf32,
            cuda_graphs=place.cuda_graphs,
            progress=place.progress,
        ).histories
    except StackDivergenceError as error:
        histories = error.stack.histories
        diverged = {index: str(reason) for index, reason in error.errors.items()}
    for index, (cell, one) in enumerate(zip(cells, specimens, strict=True)):
        if index in diverged:
            yield cell, [{"metric": "diverged", "value": 1.0}]
            continue
        rows: list[Row] = []
        history = histories[index]
        final = {name: value.clone() for name, value in one.model.state_dict().items()}
        if history.stopped_early:
            rows.append({"metric": "stopped after", "value": float(history.n_epochs)})
        for epoch in one.epochs:
            if history.stopped_early and epoch > history.n_epochs:
                one.model.load_state_dict(final)
            else:
                checkpoints.load(one.model, index, epoch=epoch)
            rows += [{"epoch": epoch, **row} for row in measure(cell, one, one.model)]
        n_steps = history.n_epochs * one.recipe.steps_per_epoch(len(one.train))
        for step in one.steps:
            if history.stopped_early and step > n_steps:
                one.model.load_state_dict(final)
            else:
                checkpoints.load(one.model, index, step=step)
            rows += [{"step": step, **row} for row in measure(cell, one, one.model)]
        yield cell, rows
