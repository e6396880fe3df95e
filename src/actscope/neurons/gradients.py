"""Per-example gradients of pre-activations, all of a batch in one backward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

__all__ = ["Loss", "cross_entropy_fits", "edge_of", "example_losses", "gradients_of_examples"]

Loss: TypeAlias = Callable[[Any, Any], Tensor]
"""From a model's output and a batch's target to one loss an example, (n_examples,)."""


def edge_of(pre_activation: Tensor) -> GradientEdge | None:
    """Where the gradient of this value arrives in the backward pass, whatever is written over the tensor later; `None` for a constant."""
    return get_gradient_edge(pre_activation) if pre_activation.requires_grad else None


def gradients_of_examples(losses: Tensor, edges: Mapping[str, GradientEdge]) -> dict[str, Tensor]:
    """∂L_i/∂z_i of every example i, by the name of its site: each of the shape of its pre-activation.

    Where an example's loss depends on its own pre-activation alone, the gradient of Σ_i L_i holds in row i the gradient of L_i (so
    it is in eval mode; batch normalization in training mode ties the examples of a batch together). A site on which the losses
    do not depend is left out.

    Args:
        losses: (n_examples,) losses.
        edges: by site, from `edge_of`.

    Example:
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        >>> z = x * 1
        >>> edge = edge_of(z)
        >>> gradients_of_examples((z ** 2).sum(1), {"site": edge})["site"]
        tensor([[2., 4.],
                [6., 8.]])
    """
    if not edges or not losses.requires_grad:
        return {}
    with torch.enable_grad():
        total = losses.sum()
    found = torch.autograd.grad(total, list(edges.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(edges, found, strict=True) if gradient is not None}


def example_losses(loss: Loss, output: Any, target: Any, n_examples: int) -> Tensor:
    """One loss an example, (n_examples,), however the loss would reduce them.

    A loss module with a `reduction`, such as `nn.CrossEntropyLoss()`, is asked for `reduction="none"`. Losses of several axes are
    summed within an example.

    Raises:
        ValueError: if the loss gives one number for many examples, or no tensor at all.

    Example:
        >>> example_losses(nn.MSELoss(), torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.zeros(2, 2), 2)
        tensor([1., 9.])
    """
    if isinstance(loss, nn.Module) and hasattr(loss, "reduction"):
        loss = copy.copy(loss)
        loss.reduction = "none"  # type: ignore[assignment]  # attributes of a module are typed as Tensor | Module
    losses = loss(output, target)
    if not isinstance(losses, Tensor):
        raise ValueError(
            f"loss= gives a {type(losses).__name__}; a tensor of {n_examples} losses is needed, one an example"
        )
    if losses.ndim == 0 or len(losses) != n_examples:
        raise ValueError(
            f"loss= gives a tensor of shape {tuple(losses.shape)} for {n_examples} examples; one loss an example is needed: with "
            "reduction='none', as in functools.partial(torch.nn.functional.cross_entropy, reduction='none')"
        )
    return losses if losses.ndim == 1 else losses.flatten(1).sum(1)


def cross_entropy_fits(output: Any, labels: Tensor) -> str | None:
    """Why cross-entropy of `output` against `labels` cannot be had, or `None` if it can.

    Example:
        >>> cross_entropy_fits(torch.zeros(2, 3), torch.tensor([0, 2])) is None
        True
        >>> cross_entropy_fits(torch.zeros(2, 3), torch.tensor([0, 3]))
        'labels run from 0 to 3, but the model has 3 outputs an example'
    """
    if not isinstance(output, Tensor):
        return f"the model's output is a {type(output).__name__}, not (n_examples, n_classes) scores"
    if output.ndim != 2 or len(output) != len(labels) or output.shape[1] < 2:
        return f"the model's output has shape {tuple(output.shape)}, not (n_examples, n_classes)"
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= output.shape[1]:
        return f"labels run from {low} to {high}, but the model has {output.shape[1]} outputs an example"
    return None
