"""From a model and data to the vital signs of its neurons, in one exact streaming pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from actscope.codes.batches import Adapt, Ids, Labels
from actscope.codes.breakpoints import Breakpoints
from actscope.codes.discovery import Activations
from actscope.codes.reading import ExampleDim
from actscope.codes.selection import Layers
from actscope.neurons.checkup import Vitals
from actscope.neurons.gradients import Loss
from actscope.neurons.tallies import By
from actscope.neurons.verdicts import Thresholds
from actscope.neurons.vitalstally import VitalsTally

__all__ = ["vitals"]


def vitals(
    model: nn.Module,
    data: Any,
    *,
    labels: Labels = None,
    layers: Layers = None,
    breakpoints: Breakpoints = None,
    activations: Activations | None = None,
    adapt: Adapt = None,
    example_dim: ExampleDim = 0,
    ids: Ids = None,
    batch_size: int | None = None,
    loss: Loss | None = None,
    target: Callable[[Any], Any] | None = None,
    by: By = "neuron",
    thresholds: Thresholds | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool | None = None,
) -> Vitals:
    """The vital signs of every neuron: what it does, what it knows of the label, whether it can still learn, and what is wrong with it.

    Per neuron: the share of examples in each interval (Jiang et al. 2022, Definition 1), how often its pre-activation is above 0, over
    all and by class, the interval's entropy and its mutual information with the label, mean and variance of the post-activation, and
    the size and cancellation |Σ g| / Σ |g| of the gradients g of single examples' losses by its pre-activation. From these come the
    verdicts: dead, dying, saturated, redundant, constant pattern, always on, or alive.

    One forward pass in eval mode a batch, and one backward pass, which gives the gradients of all its examples at once. Nothing is
    kept but sums. The model, its gradients and all random states are as before afterwards.

    Args:
        model: any module whose forward pass is Python.
        data: a tensor or array, a tuple `(inputs, labels)`, a `Dataset`, a `DataLoader`, or an iterable of batches (which needs `ids`).
        labels, layers, breakpoints, activations, adapt, example_dim, ids, batch_size, device, dtype: as for `actscope.encode`.
        loss: from the model's output and a batch's target to one loss an example; by default cross-entropy where the output is
            scores of the labels, and no gradients elsewhere. A loss module's `reduction` is ignored.
        target: from a batch, as the data gives it, to what `loss` takes; by default its labels.
        by: `"channel"` takes all positions of a channel as one unit, at sites of three or more axes. It is dead, always on or of constant
            pattern if all its neurons are; its other numbers go over examples and positions, and its gradient is added up over positions.
        thresholds: where the verdicts begin.
        progress: whether a bar shows on stderr; `None`: if that is a terminal.

    Raises:
        UnseenActivationError, ValueError: as for `actscope.encode`, or if the loss does not give one number an example.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> with torch.no_grad():
        ...     _ = model[0].weight.copy_(torch.tensor([[1.0], [0.0], [0.1]])), model[0].bias.copy_(torch.tensor([0.0, -1.0, 1.0]))
        >>> found = vitals(model, torch.linspace(-1, 1, 200)[:, None])
        >>> [found.sites[0].of(unit) for unit in range(3)]
        [('alive',), ('dead', 'constant pattern'), ('always on', 'constant pattern')]
    """
    tally = VitalsTally(loss=loss, target=target, by=by, thresholds=thresholds)
    tally.update(
        model,
        data,
        labels=labels,
        layers=layers,
        breakpoints=breakpoints,
        activations=activations,
        adapt=adapt,
        example_dim=example_dim,
        ids=ids,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    return tally.compute()
