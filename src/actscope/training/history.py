"""What training a model gave, epoch by epoch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from actscope.training.recipes import Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DivergenceError", "Evaluation", "History"]


@dataclass(frozen=True)
class Evaluation:
    """How well a model does on labelled examples.

    Attributes:
        loss: mean cross-entropy.
        accuracy: share of the examples whose largest logit is their label's.
        n_examples: how many there were.
    """

    loss: float
    accuracy: float
    n_examples: int

    def to_dict(self) -> dict[str, Any]:
        """All values by name."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, repr=False)
class History:
    """One number per epoch; index 0 is the first epoch of training.

    Attributes:
        recipe: how the model was trained.
        seed: what decided the order of the examples.
        loss: mean over the epoch's examples of what was minimized, as they were seen, penalty included.
        train_accuracy: share of the epoch's examples classified correctly as they were seen, before the update on them.
        test_loss: mean cross-entropy on the test examples after the epoch; empty if there were none.
        test_accuracy: share of the test examples classified correctly after the epoch; empty if there were none.
        lr: learning rate of the epoch's first update.
        seconds: time for the updates, without tests and callbacks.
        stopped_early: whether training ended because the loss no longer fell.
        unfinished: whether `stop_after` ended it before its end; the same call goes on.
    """

    recipe: Recipe
    seed: int
    loss: tuple[float, ...] = ()
    train_accuracy: tuple[float, ...] = ()
    test_loss: tuple[float, ...] = ()
    test_accuracy: tuple[float, ...] = ()
    lr: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    stopped_early: bool = False
    unfinished: bool = False

    @property
    def n_epochs(self) -> int:
        """Epochs trained; the last may be part of one."""
        return len(self.loss)

    def __repr__(self) -> str:
        if not self.loss:
            return "History(no epochs)"
        test = f", test accuracy {self.test_accuracy[-1]:.4f}" if self.test_accuracy else ""
        early = ", stopped early" if self.stopped_early else ", unfinished" if self.unfinished else ""
        return (
            f"History({self.n_epochs} epochs in {sum(self.seconds):.1f} s{early}: loss {self.loss[-1]:.4g}, "
            f"train accuracy {self.train_accuracy[-1]:.4f}{test})"
        )

    def to_dict(self) -> dict[str, Any]:
        """All values by name, the recipe as a dict too."""
        return dataclasses.asdict(self)

    def plot(self, ax: Axes | None = None, *, quantity: Literal["accuracy", "loss"] = "accuracy") -> Axes:
        """Accuracy or loss against epochs, on training and, if there were any, test examples.

        Raises:
            ValueError: another quantity.
        """
        from actscope.figures.training import draw_epochs

        if quantity not in ("accuracy", "loss"):
            raise ValueError(f"quantity='{quantity}' is not recorded; choose 'accuracy' or 'loss'")
        train, test = {
            "accuracy": (self.train_accuracy, self.test_accuracy),
            "loss": (self.loss, self.test_loss),
        }[quantity]
        return draw_epochs(train, test=test or None, quantity=quantity, ax=ax)


class DivergenceError(FloatingPointError):
    """The loss became NaN or infinite.

    Attributes:
        message: what happened, and what to try.
        epoch: counted from 1.
        step: of the epoch, counted from 1.
        history: of the epochs before.
    """

    def __init__(self, message: str, epoch: int, step: int, history: History) -> None:
        super().__init__(message, epoch, step, history)
        self.message = message
        self.epoch = epoch
        self.step = step
        self.history = history

    def __str__(self) -> str:
        return self.message
