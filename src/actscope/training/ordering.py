"""In which order the examples are seen, as a seed decides it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["BatchOrder"]


class BatchOrder:
    """A new random order of the examples for every epoch, and a seed for what the model draws itself in that epoch.

    Args:
        n_examples: how many there are.
        seed: decides everything.
        state: `BatchOrder.state` of an earlier one, to go on where it was.

    Example:
        >>> orders = BatchOrder(4, 0)
        >>> order, _ = orders.next_epoch()
        >>> sorted(order.tolist())
        [0, 1, 2, 3]
    """

    def __init__(self, n_examples: int, seed: int, *, state: Tensor | None = None) -> None:
        self.n_examples = n_examples
        self._generator = torch.Generator().manual_seed(seed)
        if state is not None:
            self._generator.set_state(state)

    @property
    def state(self) -> Tensor:
        """Where it is, as bytes: (n_bytes,) uint8."""
        return self._generator.get_state()

    def next_epoch(self) -> tuple[Tensor, int]:
        """The order of the next epoch, (n_examples,) int64, and a seed."""
        order = torch.randperm(self.n_examples, generator=self._generator)
        return order, int(torch.randint(2**62, (), generator=self._generator))
