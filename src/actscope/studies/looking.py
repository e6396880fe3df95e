"""A network that is looked at while it is trained; what was seen is kept beside its weights, so that a cut-off run does not lose it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from torch import nn

from actscope.studies.cells import Cell
from actscope.studies.results import Row
from actscope.studies.study import Place
from actscope.training import DivergenceError, LabelledData, fit
from actscope.wholefile import whole_file

__all__ = ["Look", "LookLog", "fit_and_look", "has_diverged"]

_DIVERGED: Row = {"metric": "diverged", "value": 1.0}

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

    Of one whose loss becomes NaN or infinite the last row says so, and `has_diverged`.

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
    folder = place.folder(cell)
    log = LookLog(folder / "looked.jsonl" if resumable else None)
    assert cell.recipe is not None

    def on_step(step: int, model: nn.Module) -> None:
        # after a step to weights that are not finite, training ends with its own error
        if step in steps and all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
            log.add(step, look(step, model))

    try:
        fit(
            model,
            data,
            recipe=cell.recipe,
            seed=cell["seed"],
            device=place.device,
            checkpoints=folder if resumable else None,
            on_step=on_step,
            progress=bool(place.progress),
        )
    except DivergenceError:
        return [*log.rows, dict(_DIVERGED)]
    if lost := set(steps) - log.steps:
        raise ValueError(
            f"{folder} holds the weights of a network but not what was seen of it after {min(lost)} updates: delete the folder, and it "
            "is trained again"
        )
    return log.rows


def has_diverged(rows: Iterable[Row]) -> bool:
    """Whether rows of `fit_and_look` are of a network whose loss became NaN or infinite: there is nothing more to measure."""
    return any(row["metric"] == _DIVERGED["metric"] for row in rows)


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
        try:
            for line in whole.splitlines():
                seen = json.loads(line)
                self._rows[seen["step"]] = seen["rows"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged: delete the folder it is in, and this network is trained again ({error})"
            ) from error
        if cut_off:  # the process ended within a line
            with whole_file(path) as unfinished:
                unfinished.write_text(whole + "\n" if whole else "", encoding="utf-8")

    @property
    def steps(self) -> set[int]:
        """The numbers of updates after which something was seen."""
        return set(self._rows)

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
