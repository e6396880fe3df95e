"""Testing a model on labelled examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actscope.training.data import LabelledData
from actscope.training.history import Evaluation

__all__ = ["Examples", "check_logits", "evaluate", "evaluate_tensors", "modes_restored", "tensors_of"]

Examples = LabelledData | tuple[Tensor, Tensor]


def evaluate(
    model: nn.Module, data: Examples, *, batch_size: int = 1024, device: torch.device | str | None = None
) -> Evaluation:
    """The model's loss and accuracy on labelled examples, in eval mode; modes are restored.

    Args:
        model: from examples (n, …) to logits (n, n_classes).
        data: labelled examples, or a pair (x, y) of tensors.
        batch_size: examples per forward pass.
        device: where to run it; the model stays there. None for where its parameters are.

    Raises:
        ValueError: data and model that do not go together.
        TypeError: labels that are not whole numbers, or examples that are not floating.

    Example:
        >>> evaluate(nn.Flatten(), (torch.eye(3), torch.tensor([0, 1, 1]))).accuracy
        0.6666666666666666
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be positive")
    if device is not None:
        model.to(device)
    first = next(model.parameters(), None)
    x, y = tensors_of("data", data, model, torch.device("cpu") if first is None else first.device)
    check_logits(model, x, y)
    return evaluate_tensors(model, x, y, batch_size=batch_size)


def evaluate_tensors(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int) -> Evaluation:
    """`evaluate` of tensors that fit the model and lie where it does."""
    loss = torch.zeros((), dtype=torch.float64, device=x.device)
    n_right = torch.zeros((), dtype=torch.int64, device=x.device)
    with modes_restored(model), torch.inference_mode():
        model.eval()
        for inputs, labels in zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True):
            logits = model(inputs)
            loss += F.cross_entropy(logits, labels, reduction="sum")
            n_right += (logits.argmax(1) == labels).sum()
    return Evaluation(loss=float(loss) / len(x), accuracy=int(n_right) / len(x), n_examples=len(x))


def tensors_of(what: str, data: Examples, model: nn.Module, place: torch.device) -> tuple[Tensor, Tensor]:
    """Examples in the model's floating type, and labels, on the device; an error calls them `what`."""
    x, y = (data if isinstance(data, LabelledData) else LabelledData(*data, name=what)).tensors
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), x.dtype)
    return x.to(place, dtype), y.to(place)


def check_logits(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Refuses a model that does not give logits, or too few for the labels."""
    with modes_restored(model), torch.no_grad():
        model.eval()
        logits = model(x[:1])
    if logits.ndim != 2 or len(logits) != 1:
        raise ValueError(f"the model gives {tuple(logits.shape)} for one example; expected logits (1, n_classes)")
    if int(y.max()) >= logits.shape[1]:
        raise ValueError(f"labels run up to {int(y.max())}, but the model has {logits.shape[1]} classes")


@contextmanager
def modes_restored(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
