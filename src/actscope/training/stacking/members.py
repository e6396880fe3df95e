"""One model of a stack: its layers as a stack sees them, and how far its training is."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from actscope.training.epochlog import EpochLog
from actscope.training.history import DivergenceError, History
from actscope.training.models import ACTIVATIONS, MLP
from actscope.training.recipes import Recipe
from actscope.training.stacking.inputs import Inputs

__all__ = ["Layer", "Member", "layers_of"]

_KINDS = tuple(type(make()) for make in ACTIVATIONS.values())


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer and what follows it; the last one, to the logits, is followed by nothing.

    Attributes:
        name: of the linear layer in the model.
        linear: from `n_inputs` features to `width`.
        norm_name: of the batch normalization in the model; empty if there is none.
        norm: the batch normalization.
        activation_name: of the activation in the model; empty for the last layer.
        activation: the activation.
    """

    name: str
    linear: nn.Linear
    norm_name: str = ""
    norm: nn.BatchNorm1d | None = None
    activation_name: str = ""
    activation: nn.Module | None = None

    @property
    def n_inputs(self) -> int:
        """Features that go in."""
        return self.linear.in_features

    @property
    def width(self) -> int:
        """Features that come out."""
        return self.linear.out_features


@dataclass(eq=False)
class Member:
    """One model, how it is to be trained, and how far that is.

    Attributes:
        index: its place among the models that the caller gave.
        model: it holds the weights whenever it is not part of a running stack.
        layers: hidden layers, and the last one.
        recipe: how to train it.
        seed: decides the order of the examples.
        inputs: the examples it sees, (n_used, n_inputs), on the device, in its floating type.
        y: (n_used,) int64, their labels.
        n_steps: updates in all.
        steps_per_epoch: updates in one pass over the data.
        step: updates done.
        moments: the optimizer's averages by the name of the parameter, each of its shape; absent before the first update.
        order_state: where the order of the examples is, as `BatchOrder.state`; None at the beginning.
        log: of the epochs done.
        error: why it ended before its time; None if it did not.
    """

    index: int
    model: MLP
    layers: tuple[Layer, ...]
    recipe: Recipe
    seed: int
    inputs: Inputs
    y: Tensor
    n_steps: int
    steps_per_epoch: int
    log: EpochLog = field(default_factory=EpochLog)
    step: int = 0
    moments: dict[str, list[Tensor]] = field(default_factory=dict)
    order_state: Tensor | None = None
    error: DivergenceError | None = None

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """The layers with an activation."""
        return self.layers[:-1]

    @property
    def n_classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].width

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.layers[0].linear.weight.dtype

    @property
    def n_epochs(self) -> int:
        """Epochs in all; the last may be part of one."""
        return -(-self.n_steps // self.steps_per_epoch)

    @property
    def n_moments(self) -> int:
        """Averages that the optimizer keeps of each parameter."""
        if self.recipe.optimizer == "adam":
            return 2
        return 1 if self.recipe.momentum else 0

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.n_steps or self.log.stopped_early or self.error is not None

    @property
    def history(self) -> History:
        """Of the epochs done."""
        return self.log.history(self.recipe, self.seed)

    @property
    def n_parameters(self) -> int:
        """Numbers that are trained."""
        return sum(p.numel() for p in self.model.parameters())


def layers_of(
    model: object, what: str, *, instead: str = "train it with fit", trained: bool = True
) -> tuple[Layer, ...]:
    """The layers of `model`, which an error calls `what`, saying what to do `instead`; only one that is `trained` must not be frozen.

    Raises:
        TypeError: no `MLP`, or one with modules that a stack cannot run as the model would.
        ValueError: frozen parameters, or batch normalization without running averages.
    """
    if type(model) is not MLP:
        raise TypeError(f"{what} is a {type(model).__name__}; a stack takes MLPs: {instead}")
    if trained and (frozen := [name for name, p in model.named_parameters() if not p.requires_grad]):
        raise ValueError(
            f"{what} has frozen parameters ({', '.join(frozen)}), and a stack trains all: train it with fit"
        )
    modules = [(name, module) for name, module in model.named_modules(remove_duplicate=False) if name]
    if len({id(p) for p in model.parameters()}) < sum(len(list(module.parameters())) for _, module in modules):
        raise ValueError(f"{what} has layers that share parameters: {instead}")
    layers: list[Layer] = []
    while modules:
        linear_name, linear = modules.pop(0)
        norm_name, norm, activation_name, activation = "", None, "", None
        if not isinstance(linear, nn.Linear) or linear.bias is None:
            raise TypeError(f"{what}: '{linear_name}' is {linear} where a linear layer with a bias should be")
        if modules and isinstance(modules[0][1], nn.BatchNorm1d):
            norm_name, norm = modules.pop(0)
            if norm.running_mean is None or norm.weight is None or norm.momentum is None:
                raise ValueError(
                    f"{what}: '{norm_name}' is {norm}; a stack needs running averages, momentum and weights"
                )
        if modules:
            activation_name, activation = modules.pop(0)
            if type(activation) not in _KINDS:
                known = ", ".join(kind.__name__ for kind in _KINDS)
                raise TypeError(f"{what}: '{activation_name}' is {activation}; a stack runs {known}: {instead}")
        layers.append(Layer(linear_name, linear, norm_name, norm, activation_name, activation))
    return tuple(layers)
