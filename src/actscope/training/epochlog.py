"""What every epoch of one model gave, while there may be very many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actscope.training.history import History
from actscope.training.recipes import Recipe

__all__ = ["EpochLog"]


@dataclass
class EpochLog:
    """The entries of a `History`, in lists that grow in constant time."""

    loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    stopped_early: bool = False
    best: int = 0

    def record_loss(self, loss: float) -> None:
        """Another epoch's loss; `best` is the epoch whose loss is lowest, the first of equals."""
        self.loss.append(loss)
        if loss < self.loss[self.best]:
            self.best = len(self.loss) - 1

    @property
    def epochs_without_gain(self) -> int:
        """Epochs since the loss was lowest."""
        return len(self.loss) - 1 - self.best

    @property
    def n_epochs(self) -> int:
        """Epochs done."""
        return len(self.loss)

    def history(self, recipe: Recipe, seed: int) -> History:
        """The same as what `fit` returns."""
        return History(
            recipe,
            seed,
            loss=tuple(self.loss),
            train_accuracy=tuple(self.train_accuracy),
            test_loss=tuple(self.test_loss),
            test_accuracy=tuple(self.test_accuracy),
            lr=tuple(self.lr),
            seconds=tuple(self.seconds),
            stopped_early=self.stopped_early,
        )

    def to_dict(self) -> dict[str, Any]:
        """All entries as plain values."""
        return dict(vars(self))
