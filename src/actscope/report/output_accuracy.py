"""The model's own accuracy, counted from the outputs that pass by while its codes are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from actscope.report.unavailable import Unavailable

__all__ = ["OutputAccuracy"]


class OutputAccuracy:
    """How often the largest of a model's outputs is at the label's position; batch after batch.

    Outputs are (n_examples, n_classes) scores: a tensor, or what holds one as `logits`. Anything else makes the accuracy
    unavailable with the reason, and is no error: a model need not be a classifier to be looked at.

    Example:
        >>> import torch
        >>> accuracy = OutputAccuracy()
        >>> accuracy.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        >>> accuracy.compute()
        0.5
    """

    def __init__(self) -> None:
        self._correct = 0
        self._seen = 0
        self._refusal: str | None = None

    def update(self, outputs: Any, labels: NDArray[np.int64] | None) -> None:
        """Count one batch: the model's raw output and its (n_examples,) labels."""
        if self._refusal is not None:
            return
        if labels is None:
            self._refusal = "the data has no labels"
            return
        scores = _scores(outputs)
        if scores is None or scores.ndim != 2 or len(scores) != len(labels) or scores.shape[1] < 2:
            got = f"a tensor of shape {tuple(scores.shape)}" if scores is not None else type(outputs).__name__
            self._refusal = f"the model's output is not (n_examples, n_classes) scores but {got}"
            return
        if int(labels.min()) < 0 or int(labels.max()) >= scores.shape[1]:
            self._refusal = f"labels run from {labels.min()} to {labels.max()}, but the model has {scores.shape[1]} outputs per example"
            return
        predicted = scores.detach().argmax(dim=1).cpu().numpy()
        self._correct += int((predicted == labels).sum())
        self._seen += len(labels)

    def compute(self) -> float | Unavailable:
        """The share of examples whose largest output is at their label."""
        if self._refusal is not None:
            return Unavailable(self._refusal)
        if not self._seen:
            return Unavailable("the model's outputs were not looked at")
        return self._correct / self._seen


def _scores(outputs: Any) -> Tensor | None:
    if isinstance(outputs, Mapping):
        outputs = outputs.get("logits")
    elif not isinstance(outputs, Tensor):
        outputs = getattr(outputs, "logits", None)
    return outputs if isinstance(outputs, Tensor) else None
