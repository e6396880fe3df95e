"""The updates of a stack, one after the other: each operation launched from Python, or all of an update as one graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from actscope.training.stacking.descent import Descent
from actscope.training.stacking.graphs import Captured, Lane, Work
from actscope.training.stacking.passes import Pass

__all__ = ["CapturedUpdates", "DirectUpdates", "Updates"]


class Updates(Protocol):
    """Updates on batches of an epoch's order, and what is kept of each.

    Attributes:
        losses: (n_models, n_steps) float64, of the updates since `begin`.
        n_right: (n_models,) int64, examples classified correctly since then.
    """

    @property
    def losses(self) -> Tensor: ...
    @property
    def n_right(self) -> Tensor: ...

    def begin(self, order: Tensor, n_steps: int) -> None:
        """Begins an epoch of so many updates, with the examples in this order, (n,) int64 on the device."""

    def __call__(self, step: int, n_examples: int) -> None:
        """Update number `step`, counted from 0 over all epochs, on the next so many examples."""


class DirectUpdates:
    """Every operation is launched from Python.

    Args:
        pass_of: the pass for batches of so many examples.
        descent: what moves the parameters.
        labels: (n_kinds, n) int64, of all examples.
        n_models: of the stack.
    """

    def __init__(self, pass_of: Callable[[int], Pass], descent: Descent, labels: Tensor, n_models: int) -> None:
        self._pass_of, self._descent, self._labels, self._n_models = pass_of, descent, labels, n_models

    def begin(self, order: Tensor, n_steps: int) -> None:
        """Begins an epoch."""
        self._order, self._at, self._column = order, 0, 0
        self.losses = torch.empty(self._n_models, n_steps, dtype=torch.float64, device=order.device)
        self.n_right = torch.zeros(self._n_models, dtype=torch.int64, device=order.device)

    def __call__(self, step: int, n_examples: int) -> None:
        """One update."""
        rows = self._order[self._at : self._at + n_examples]
        do = self._pass_of(n_examples)
        do(rows, self._labels.index_select(1, rows))
        self._descent.step(self._descent.rates(step), do.losses)
        self.losses[:, self._column] = do.losses
        self.n_right += do.n_right
        self._at += n_examples
        self._column += 1


class CapturedUpdates:
    """All operations of an update are one graph, captured once and launched whole: for a GPU, which else waits for Python.

    The graph finds its batch by itself: where the epoch's order has come to is a number on the device, which every update moves on. There
    is a graph for each size of batch, and a new one when the rate changes. A rate that changes at every update is not part of a graph:
    then only the pass is, and the optimizer is launched from Python.

    Args:
        pass_of, descent, labels, n_models: as those of `DirectUpdates`.
        most_steps: updates of a whole epoch.
        lane: where it is done.
        capture: makes of work what does the same again, without doing it.
    """

    def __init__(
        self,
        pass_of: Callable[[int], Pass],
        descent: Descent,
        labels: Tensor,
        n_models: int,
        *,
        most_steps: int,
        lane: Lane,
        capture: Callable[[Work], Work],
    ) -> None:
        self._pass_of, self._descent, self._labels, self._capture = pass_of, descent, labels, capture
        place = labels.device
        self._lane = lane
        self._order = torch.zeros(labels.shape[1], dtype=torch.int64, device=place)
        self._along = torch.arange(labels.shape[1], device=place)
        self._at, self._column = (torch.zeros(1, dtype=torch.int64, device=place) for _ in range(2))
        self._losses = torch.zeros(n_models, most_steps, dtype=torch.float64, device=place)
        self.n_right = torch.zeros(n_models, dtype=torch.int64, device=place)
        self._works: dict[int, Captured] = {}
        self._rates: tuple[float, ...] = ()

    @property
    def losses(self) -> Tensor:
        """(n_models, n_steps) float64, of the updates since `begin`."""
        return self._losses[:, : self._n_steps]

    def begin(self, order: Tensor, n_steps: int) -> None:
        """Begins an epoch."""
        self._n_steps = n_steps
        self._order[: len(order)] = order
        for tensor in (self._at, self._column, self.n_right):
            tensor.zero_()

    def __call__(self, step: int, n_examples: int) -> None:
        """One update."""
        rates = self._descent.rates(step)
        whole = not self._descent.changes_every_step
        if whole and rates != self._rates:
            self._works.clear()
            self._rates = rates
        if n_examples not in self._works:
            self._works[n_examples] = Captured(self._work(n_examples, rates if whole else None), self._capture)
        self._works[n_examples]()
        if not whole:
            do = self._pass_of(n_examples)
            self._descent.step(rates, do.losses)
            self._keep(do)

    def _work(self, n_examples: int, rates: tuple[float, ...] | None) -> Work:
        """An update on the next so many examples; without rates, only its pass."""
        rows = torch.empty_like(self._along[:n_examples])
        labels = self._labels.new_empty(len(self._labels), n_examples)
        do = self._pass_of(n_examples)
        do.spread = self._lane.spread
        return partial(self._update, do, rows, labels, rates)

    def _update(self, do: Pass, rows: Tensor, labels: Tensor, rates: tuple[float, ...] | None) -> None:
        torch.index_select(self._order, 0, self._along[: len(rows)] + self._at, out=rows)
        torch.index_select(self._labels, 1, rows, out=labels)
        do(rows, labels)
        self._at.add_(len(rows))
        if rates is not None:
            self._descent.step(rates, do.losses)
            self._keep(do)

    def _keep(self, do: Pass) -> None:
        self._losses.index_copy_(1, self._column, do.losses.to(torch.float64)[:, None])
        self.n_right.add_(do.n_right)
        self._column.add_(1)
