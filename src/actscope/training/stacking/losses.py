"""The loss of neighbouring models of a stack, and its gradient by their logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["CrossEntropy"]


def asks(place: torch.device) -> bool:
    """Whether a result that lies on the device is at hand without waiting for all before it."""
    return place.type == "cpu"


@dataclass(eq=False)
class CrossEntropy:
    """Cross-entropy of neighbouring models with as many classes.

    Attributes:
        logits, d_logits: (n_models, n_classes, n_examples).
        labelled: which row of the labels is each model's, (n_models,) int64; or the one row of all.
        losses, n_right: (n_models,).
    """

    logits: Tensor
    d_logits: Tensor
    labelled: Tensor | int
    losses: Tensor
    n_right: Tensor

    def __post_init__(self) -> None:
        self._classes = torch.arange(self.logits.shape[1], device=self.logits.device)[None, :, None]
        # ties are rare; elsewhere than on a CPU, asking for them would be a wait
        self._asks = asks(self.logits.device)
        self._counting = torch.uint8 if self.logits.shape[1] < 2**8 else torch.int32

    def __call__(self, labels: Tensor) -> None:
        """Fills `losses`, `d_logits` and `n_right`; labels are (n_kinds, n_examples) int64."""
        n_models, _, n_examples = self.logits.shape
        if isinstance(self.labelled, int):
            of_models = labels[self.labelled].expand(n_models, 1, n_examples)
        else:
            of_models = labels.index_select(0, self.labelled)[:, None]
        log_probabilities = torch.log_softmax(self.logits, 1)
        of_label = log_probabilities.gather(1, of_models)
        torch.mean(of_label[:, 0], 1, out=self.losses).neg_()
        # the first of the largest logits decides, as argmax does, which is slow along this axis
        logit = self.logits.gather(1, of_models)
        torch.sum(self._is_right(logit, of_models), 1, out=self.n_right)
        torch.exp(log_probabilities, out=self.d_logits)
        self.d_logits.scatter_add_(1, of_models, self.d_logits.new_full((), -1.0).expand_as(of_label))
        self.d_logits.div_(n_examples)

    def _is_right(self, logit: Tensor, of_models: Tensor) -> Tensor:
        """Where the label's logit is the first of the largest, as argmax has it, which is slow along this axis: (n_models, n_examples)."""
        largest = self.logits.amax(1, keepdim=True)
        is_largest = self.logits == largest
        is_right = logit == largest
        if not self._asks or int(is_largest.view(torch.uint8).sum(1, dtype=self._counting).amax()) > 1:
            is_right &= ~(is_largest & (self._classes < of_models)).any(1, keepdim=True)
        return is_right[:, 0]
