"""One step of every model of a stack: penalties, clipping, and a few fused optimizers for all."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actscope.training.fitting import clip_gradients, optimizer_for
from actscope.training.stacking.layout import Layout, update_rule
from actscope.training.stacking.members import Member

__all__ = ["Descent"]


class Descent:
    """Moves all parameters of a stack by their gradients, each model's by its own recipe.

    Models whose update is the same formula with the same rate are moved by one fused step.

    Args:
        layout: the models and where their parameters are.
        parameters: (n_parameters,) all parameters.
        gradients: (n_parameters,) their gradients, which a step changes.
    """

    def __init__(self, layout: Layout, parameters: Tensor, gradients: Tensor) -> None:
        self._layout, self._gradients = layout, gradients
        self._moments = [torch.zeros_like(parameters) for _ in range(max(m.n_moments for m in layout.members))]
        for i, vector in enumerate(self._moments):
            layout.fill(vector, partial(_moment, i))
        rules: dict[Hashable, Member] = {}
        for member in layout.members:
            rules.setdefault(update_rule(member), member)
        spans = layout.ranges(update_rule)
        self._optimizers = [
            (self._optimizer(member, parameters, spans[rule]), member) for rule, member in rules.items()
        ]
        self._penalties = _Penalties(layout, parameters, gradients)
        self._clipped = [
            ([slot.of(gradients) for slot in layout.slots_of(place)], member.recipe)
            for place, member in enumerate(layout.members)
            if member.recipe.clip_norm is not None or member.recipe.clip_global_norm is not None
        ]

    def step(self, step: int, losses: Tensor) -> None:
        """Update number `step`, counted from 0; adds penalties to the losses, (n_models,) by place."""
        self._penalties.add_to(losses)
        for gradients, recipe in self._clipped:
            clip_gradients(gradients, recipe)
        for optimizer, member in self._optimizers:
            lr = member.recipe.lr_at(step, steps_per_epoch=member.steps_per_epoch, n_steps=member.n_steps)
            optimizer.param_groups[0]["lr"] = lr
            optimizer.step()

    def read(self) -> None:
        """Hands every model its own averages."""
        for member in self._layout.members:
            member.moments = {
                name: [torch.zeros_like(parameter.detach()) for _ in range(member.n_moments)]
                for name, parameter in member.model.named_parameters()
            }
        for i, vector in enumerate(self._moments):
            self._layout.read(vector, partial(_moment, i))

    def _optimizer(self, member: Member, parameters: Tensor, spans: list[slice]) -> torch.optim.Optimizer:
        leaves = [nn.Parameter(parameters[span]) for span in spans]
        optimizer = optimizer_for(leaves, member.recipe)
        for leaf, span in zip(leaves, spans, strict=True):
            leaf.grad = self._gradients[span]
            optimizer.state[leaf].update(self._state(member, span))
        return optimizer

    def _state(self, member: Member, span: slice) -> dict[str, Any]:
        if member.recipe.optimizer == "adam":
            step = torch.tensor(float(member.step), dtype=torch.float32, device=self._gradients.device)
            return {"step": step, "exp_avg": self._moments[0][span], "exp_avg_sq": self._moments[1][span]}
        return {"momentum_buffer": self._moments[0][span]} if member.n_moments else {}


class _Penalties:
    """λ·ΣW² over the kernels of each model that has such a penalty."""

    def __init__(self, layout: Layout, parameters: Tensor, gradients: Tensor) -> None:
        slots = [slot for slot in layout.slots if len(slot.shape) >= 2 and layout.members[slot.place].recipe.l2]
        self._kernels = [slot.of(parameters) for slot in slots]
        self._gradients = [slot.of(gradients) for slot in slots]
        self._factors = [layout.members[slot.place].recipe.l2 for slot in slots]
        self._places = torch.tensor([slot.place for slot in slots], dtype=torch.int64, device=parameters.device)
        self._weights = torch.tensor(self._factors, dtype=parameters.dtype, device=parameters.device)

    def add_to(self, losses: Tensor) -> None:
        """Adds the penalties to the losses, (n_models,) by place, and their gradients to the gradients."""
        if not self._kernels:
            return
        squares = torch.stack([torch.linalg.vector_norm(kernel) for kernel in self._kernels]).square_()
        losses.index_add_(0, self._places, squares.mul_(self._weights))
        for gradient, kernel, factor in zip(self._gradients, self._kernels, self._factors, strict=True):
            gradient.add_(kernel, alpha=2 * factor)


def _moment(i: int, member: Member, name: str) -> Tensor:
    """The i-th average of a parameter; zeros where the optimizer does not keep as many, or not yet."""
    of_parameter = member.moments.get(name, [])
    return of_parameter[i] if i < len(of_parameter) else torch.zeros_like(member.model.get_parameter(name).detach())
