"""One step of every model of a stack: penalties, clipping, and a few fused optimizers for all."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from actscope.training.fitting import clip_gradients
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
        self._layout = layout
        self._moments = [torch.zeros_like(parameters) for _ in range(max(m.n_moments for m in layout.members))]
        for i, vector in enumerate(self._moments):
            layout.fill(vector, partial(_moment, i))
        rules: dict[Hashable, Member] = {}
        for member in layout.members:
            rules.setdefault(update_rule(member), member)
        spans = layout.ranges(update_rule)
        self._rules = [
            _Rule(member, parameters, gradients, self._moments, spans[rule]) for rule, member in rules.items()
        ]
        self._penalties = _Penalties(layout, parameters, gradients)
        self._clipped = [
            ([slot.of(gradients) for slot in layout.slots_of(place)], member.recipe)
            for place, member in enumerate(layout.members)
            if member.recipe.clip_norm is not None or member.recipe.clip_global_norm is not None
        ]

    @property
    def changes_every_step(self) -> bool:
        """Whether some rate is another at every update."""
        return any(member.recipe.schedule == "linear" for member in self._layout.members)

    def rates(self, step: int) -> tuple[float, ...]:
        """The learning rates of update number `step`, counted from 0, one for each rule of updating."""
        return tuple(rule.rate(step) for rule in self._rules)

    def step(self, rates: Sequence[float], losses: Tensor) -> None:
        """An update with such rates; adds penalties to the losses, (n_models,) by place."""
        self._penalties.add_to(losses)
        for gradients, recipe in self._clipped:
            clip_gradients(gradients, recipe)
        for rule, lr in zip(self._rules, rates, strict=True):
            rule.step(lr)

    def read(self) -> None:
        """Hands every model its own averages."""
        for member in self._layout.members:
            member.moments = {
                name: [torch.zeros_like(parameter.detach()) for _ in range(member.n_moments)]
                for name, parameter in member.model.named_parameters()
            }
        for i, vector in enumerate(self._moments):
            self._layout.read(vector, partial(_moment, i))


class _Rule:
    """The update of all models that share one, by PyTorch's functions behind its optimizers."""

    def __init__(
        self, member: Member, parameters: Tensor, gradients: Tensor, moments: list[Tensor], spans: list[slice]
    ) -> None:
        self._member = member
        self._parameters = [parameters[span] for span in spans]
        self._gradients = [gradients[span] for span in spans]
        self._moments = [[moment[span] for span in spans] for moment in moments[: member.n_moments]]
        self._fused = parameters.device.type in ("cpu", "cuda")
        at = torch.tensor(float(member.step), dtype=torch.float32, device=parameters.device if self._fused else "cpu")
        self._steps = [at.clone() for _ in spans]

    def rate(self, step: int) -> float:
        """The learning rate of update number `step`, counted from 0."""
        one = self._member
        return one.recipe.lr_at(step, steps_per_epoch=one.steps_per_epoch, n_steps=one.n_steps)

    def step(self, lr: float) -> None:
        """An update with this rate."""
        recipe = self._member.recipe
        if recipe.optimizer == "adam":
            first, second = self._moments
            adam(
                self._parameters,
                self._gradients,
                first,
                second,
                [],
                self._steps,
                fused=self._fused,
                amsgrad=False,
                beta1=recipe.betas[0],
                beta2=recipe.betas[1],
                lr=lr,
                weight_decay=recipe.weight_decay,
                eps=recipe.eps,
                maximize=False,
            )
        else:
            absent: list[Tensor | None] = [None] * len(self._parameters)
            sgd(
                self._parameters,
                self._gradients,
                [*self._moments[0]] if self._moments else absent,
                fused=self._fused,
                weight_decay=recipe.weight_decay,
                momentum=recipe.momentum,
                lr=lr,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )


class _Penalties:
    """λ·ΣW² over the kernels of each model that has such a penalty."""

    def __init__(self, layout: Layout, parameters: Tensor, gradients: Tensor) -> None:
        slots = [slot for slot in layout.slots if len(slot.shape) >= 2 and layout.members[slot.place].recipe.l2]
        self._kernels = [slot.of(parameters) for slot in slots]
        self._gradients = [slot.of(gradients) for slot in slots]
        self._factors = [layout.members[slot.place].recipe.l2 for slot in slots]
        # a product with zeros and factors adds up in one order; index_add_ on a GPU does not
        weights = parameters.new_zeros(len(layout.members), len(slots))
        for column, slot in enumerate(slots):
            weights[slot.place, column] = self._factors[column]
        self._weights = weights

    def add_to(self, losses: Tensor) -> None:
        """Adds the penalties to the losses, (n_models,) by place, and their gradients to the gradients."""
        if not self._kernels:
            return
        squares = torch.stack([torch.linalg.vector_norm(kernel) for kernel in self._kernels]).square_()
        losses.add_(self._weights @ squares)
        for gradient, kernel, factor in zip(self._gradients, self._kernels, self._factors, strict=True):
            gradient.add_(kernel, alpha=2 * factor)


def _moment(i: int, member: Member, name: str) -> Tensor:
    """The i-th average of a parameter; zeros where the optimizer does not keep as many, or not yet."""
    of_parameter = member.moments.get(name, [])
    return of_parameter[i] if i < len(of_parameter) else torch.zeros_like(member.model.get_parameter(name).detach())
