"""What trained models of a stack say of examples, all in one pass: losses, accuracies, neural codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actscope.codes.bits import pack_finite
from actscope.codes.site import Site
from actscope.training.history import Evaluation
from actscope.training.stacking.inputs import Inputs
from actscope.training.stacking.layout import Layout
from actscope.training.stacking.members import Member
from actscope.training.stacking.passes import Averages, Pass

__all__ = ["Together"]

_NUMBERS = 2**21
"""Of a level of all models on one batch, which should stay near the processor."""


class Together:
    """Models in eval mode, as one: their weights are copied when it is made and by `refresh`.

    Args:
        members: the models, of one floating type.
        inputs: the examples that they see; those of the members do not matter.
    """

    def __init__(self, members: Sequence[Member], inputs: Inputs) -> None:
        sparse = inputs.is_sparse()
        self._examples = inputs.sparse(False) if sparse else inputs.dense(False)
        self._n = len(inputs.x)
        members = [dataclasses.replace(member, inputs=inputs) for member in members]
        self._layout = Layout(members, None, inputs_first=sparse)
        self._parameters = inputs.x.new_zeros(self._layout.n_parameters)
        self._averages = Averages(self._layout, self._parameters)
        self._passes: dict[int, Pass] = {}
        self._place = inputs.x.device
        self._block = min(self._n, max(64, min(1024, _NUMBERS // max(rows[-1].stop for rows in self._layout.rows))))
        self.refresh()

    def refresh(self) -> None:
        """Takes the models' weights and averages as they are now."""
        with torch.no_grad():
            self._layout.fill(self._parameters, lambda member, name: member.model.get_parameter(name).detach())
            self._averages.fill()

    def evaluate(self, y: Tensor) -> dict[int, Evaluation]:
        """Loss and accuracy of each model, by its index, on all examples; `y` holds their labels, (n,) int64."""
        members = self._layout.members
        losses = torch.zeros(len(members), dtype=torch.float64, device=self._place)
        n_right = torch.zeros(len(members), dtype=torch.int64, device=self._place)

        def add(first: int, do: Pass, rows: Tensor) -> None:
            do.evaluate(rows, y[None, first : first + len(rows)])
            losses.add_(do.losses, alpha=len(rows))
            n_right.add_(do.n_right)

        self._run(add)
        return {
            member.index: Evaluation(loss=loss / self._n, accuracy=right / self._n, n_examples=self._n)
            for member, loss, right in zip(members, losses.tolist(), n_right.tolist(), strict=True)
        }

    def encode(self, sites: Sequence[Sequence[Site]], advance: Callable[[int], None]) -> dict[int, NDArray[np.uint8]]:
        """The packed codes of each model, by its index.

        Args:
            sites: by the index of the model, the activation sites of its hidden layers.
            advance: called with the number of examples done.

        Raises:
            ValueError: a pre-activation is NaN or infinite.
        """
        members = self._layout.members
        packed = {m.index: np.empty((self._n, sum(s.n_bytes for s in sites[m.index])), np.uint8) for m in members}

        def add(first: int, do: Pass, rows: Tensor) -> None:
            do.evaluate(rows)
            for place, member in enumerate(members):
                start = 0
                for level, site in enumerate(sites[member.index]):
                    bits, bad = pack_finite(do.pre_activations(place, level).t(), site.breakpoints)
                    if bad is not None:
                        raise ValueError(
                            f"model {member.index}: a pre-activation of '{site.name}' is NaN or infinite on example {first + bad}; "
                            "check the weights, and the examples for values that are not finite"
                        )
                    into = packed[member.index][first : first + len(rows), start : start + site.n_bytes]
                    into[:] = bits if isinstance(bits, np.ndarray) else bits.cpu().numpy()
                    start += site.n_bytes
            advance(len(rows))

        self._run(add)
        return packed

    def _run(self, add: Callable[[int, Pass, Tensor], None]) -> None:
        with torch.no_grad():
            for first in range(0, self._n, self._block):
                rows = torch.arange(first, min(first + self._block, self._n), device=self._place)
                add(first, self._pass_of(len(rows)), rows)

    def _pass_of(self, n_examples: int) -> Pass:
        if n_examples not in self._passes:
            self._passes[n_examples] = Pass(
                self._layout,
                self._parameters,
                torch.empty_like(self._parameters),
                self._averages,
                self._examples,
                labelled=[0] * len(self._layout.members),
                n_examples=n_examples,
                training=False,
            )
        return self._passes[n_examples]
