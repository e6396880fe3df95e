"""A network that is looked at while it is trained; what was seen is kept beside its weights, so that a cut-off run does not lose it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from torch import nn

from actscope.studies.cells import Cell
from actscope.studies.results import Row
from actscope.studies.study import Place
from actscope.training import LabelledData, fit

__all__ = ["Look", "LookLog", "fit_and_look"]

Look = Callable[[int, nn.Module], Iterable[Row]]
"""Called as `look(step, model)`, it says what there is to see after this many updates; it may change modes."""


def fit_and_look(
    model: nn.Module,
    data: LabelledData,
    cell: Cell,
    place: Place,
    steps: Collection[int],
    look: Look,
    *,
    resumable: bool = True,
) -> list[Row]:
    """Trains the cell's network, in place; gives the rows of `look` before training (step 0) and after these updates.

    Args:
        model: the network.
        data: what it is trained on.
        cell: of the network.
        place: where it is trained.
        steps: after which updates to look.
        look: what is called then.
        resumable: whether weights and rows are kept in the cell's folder, so that a run that was cut off goes on. Not for a `look`
            that keeps something of its own.
    """
    log = LookLog(place.folder(cell) / "looked.jsonl" if resumable else None)
    assert cell.recipe is not None
    fit(
        model,
        data,
        recipe=cell.recipe,
        seed=cell["seed"],
        device=place.device,
        checkpoints=place.folder(cell) if resumable else None,
        on_step=lambda step, model: log.add(step, look(step, model)) if step in steps else None,
        progress=bool(place.progress),
    )
    return log.rows


class LookLog:
    """Rows by the number of updates after which they were seen; a file holds a line for each, added when it is seen.

    Training goes on from the last state that was saved, so some steps may be seen again: the last time counts.

    Args:
        path: the file, read if it is there; None keeps nothing.

    Example:
        >>> log = LookLog(None)
        >>> log.add(0, [{"metric": "similarity", "value": 0.5}])
        >>> log.rows
        [{'step': 0, 'metric': 'similarity', 'value': 0.5}]
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[int, list[Row]] = {}
        if path is None or not path.exists():
            return
        text = path.read_text(encoding="utf-8")
        whole, _, cut_off = text.rpartition("\n")
        for line in whole.splitlines():
            seen = json.loads(line)
            self._rows[seen["step"]] = seen["rows"]
        if cut_off:  # the process ended within a line
            path.write_text(whole + "\n" if whole else "", encoding="utf-8")

    @property
    def rows(self) -> list[Row]:
        """All rows with their step, in the order of steps."""
        return [{"step": step, **row} for step in sorted(self._rows) for row in self._rows[step]]

    def add(self, step: int, rows: Iterable[Row]) -> None:
        """Keeps what was seen after this many updates."""
        self._rows[step] = list(rows)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "rows": self._rows[step]}) + "\n")
