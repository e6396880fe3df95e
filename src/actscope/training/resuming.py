"""What `fit` keeps while it trains one model, and how it goes on after it was cut off."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from actscope.training.checkpoints import Checkpoints, digest, progress_of, save_progress_file
from actscope.training.epochlog import EpochLog
from actscope.training.ordering import BatchOrder
from actscope.training.recipes import Recipe

__all__ = ["Keeper"]


class Keeper:
    """Writes the weights and the state of one model's training, and finds those of an earlier run.

    Args:
        checkpoints: where, and when.
        model: before training.
        optimizer: of its parameters.
        data: (x, y) that it is trained on.
        recipe: how.
        seed: of the run.
        test: (x, y) that it is tested on, if it is.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        data: tuple[Tensor, Tensor],
        recipe: Recipe,
        seed: int,
        test: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._checkpoints, self._model, self._optimizer = checkpoints, model, optimizer
        self._of = {
            "layers": str(model),
            "first weights": digest(model.state_dict().values()),
            "recipe": repr(recipe),
            "seed": str(seed),
            "data": " ".join(digest([of]) for of in data),
            "test": "none" if test is None else digest(test),
        }
        self._saved = time.monotonic()

    def resume(self) -> tuple[int, Tensor, EpochLog] | None:
        """Sets model and optimizer to where an earlier run was cut off: updates done, the order's state, the epochs; None without one.

        Raises:
            ValueError: the folder holds another run, or a file that cannot be read.
        """
        content = progress_of(self._checkpoints.progress_path(0), self._of, "this model")
        if content is None:
            self._checkpoints.save(0, self._model, epoch=0)
            self._checkpoints.save(0, self._model, step=0)
            return None
        self._model.load_state_dict(content["weights"])
        self._optimizer.load_state_dict(content["optimizer"])
        return content["step"], content["order_state"], EpochLog(**content["history"])

    def after_step(self, step: int) -> None:
        """Keeps the weights, if this is one of the steps."""
        self._checkpoints.save(0, self._model, step=step)

    def after_epoch(self, step: int, orders: BatchOrder, log: EpochLog, *, ends: bool) -> None:
        """Keeps the weights, if this is one of the epochs, and from time to time and at the end the state."""
        self._checkpoints.save(0, self._model, epoch=log.n_epochs)
        if not ends and time.monotonic() - self._saved < self._checkpoints.save_every:
            return
        content: dict[str, Any] = {
            "of": self._of,
            "step": step,
            "order_state": orders.state,
            "history": log.to_dict(),
            "weights": {name: value.detach().cpu().clone() for name, value in self._model.state_dict().items()},
            "optimizer": self._optimizer.state_dict(),
        }
        save_progress_file(self._checkpoints.progress_path(0), content)
        self._saved = time.monotonic()
