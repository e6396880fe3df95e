"""Derivatives on their way through a program, beside the values of the points at which they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from actscope.regions.programs.program import ActivationStep, AffineStep, ChoiceStep, SiteStep, leaves
from actscope.regions.programs.recording import Ref
from actscope.regions.programs.registers import as_matrix, forget, from_matrix

if TYPE_CHECKING:
    from actscope.regions.programs.linearization import Linearization, Linearizer

__all__ = ["Tangents"]


class Tangents:
    """Derivatives on their way through a program: `k` rows as long as they are the same at all points, then `k` rows a point."""

    def __init__(
        self,
        linearizer: Linearizer,
        directions: Tensor,
        k: int,
        *,
        at: Linearization | None = None,
        gradients: bool = False,
    ) -> None:
        self._linearizer = linearizer
        self._program = linearizer.program
        self._at = at
        self._k = k
        self._gradients = gradients
        self._values: dict[int, Tensor] = {0: directions}
        self._n_rows: dict[int, int] = {0: len(directions)}
        self._first_rows = len(directions)

    def step(self, position: int) -> None:
        """Carry out one step."""
        step = self._program.steps[position]
        if isinstance(step, AffineStep):
            if any(register in self._program.varying for register in step.outputs):
                self._affine(step, position)
        elif isinstance(step, ActivationStep):
            t = self.each(step.register)
            slopes = self._linearization.slopes[position][:, None]
            t = t.masked_fill(slopes, 0.0) if slopes.dtype == torch.bool else t * slopes
            self._put(step.output, t.flatten(0, 1))
        elif isinstance(step, ChoiceStep):
            t = self.at_stop(step)
            entries = self._linearization.entries[position][:, None].expand(-1, self._k, -1)
            self._put(step.output, t.gather(2, entries).flatten(0, 1))
        forget(self._values, self._program, position)

    def matrix(self, register: int) -> Tensor:
        """(n_rows, width): a register as it is."""
        return as_matrix(self._values[register], self._program.layouts[register])

    def each(self, register: int) -> Tensor:
        """(n, k, width): a register with `k` rows a point."""
        matrix = self.matrix(register)
        n = self._linearization.n_rows
        if self._n_rows[register] == n * self._k:
            return matrix.reshape(n, self._k, -1)
        return matrix.expand(n, *matrix.shape)

    def at_stop(self, step: SiteStep | ChoiceStep) -> Tensor:
        """(n, k, n_values): what is there at a stop."""
        if isinstance(step, SiteStep):
            return self.each(step.register)
        parts = [self.each(register) for register in step.registers]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    @property
    def _linearization(self) -> Linearization:
        if self._at is None:
            raise RuntimeError("derivatives behind an activation depend on the point")
        return self._at

    def _affine(self, step: AffineStep, position: int) -> None:
        registers = [leaf.register for leaf in leaves((step.args, dict(step.kwargs))) if isinstance(leaf, Ref)]
        own = [self._n_rows[register] for register in registers if register in self._values]
        n_rows = max(own, default=self._first_rows)

        def value(register: int) -> Tensor:
            if self._n_rows[register] == n_rows:
                return self._values[register]
            return from_matrix(self.each(register).flatten(0, 1), self._program.layouts[register])

        made = self._linearizer.call(step, value, n_rows)
        for register, tensor, added in zip(step.outputs, made, self._linearizer.added(position), strict=True):
            if register not in self._program.layouts:
                continue
            if added is not None and not self._gradients:
                layout = self._program.layouts[register]
                matrix = as_matrix(tensor, layout) - added
                if not bool(torch.isfinite(added).all()):  # -inf in padding, which no choice takes
                    matrix[:, ~torch.isfinite(added[0])] = 0.0
                tensor = from_matrix(matrix, layout)
            self._values[register], self._n_rows[register] = tensor, n_rows

    def _put(self, register: int, matrix: Tensor) -> None:
        self._values[register] = from_matrix(matrix, self._program.layouts[register])
        self._n_rows[register] = len(matrix)
