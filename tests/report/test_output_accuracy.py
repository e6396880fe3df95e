"""The model's own accuracy, from whatever a model gives back."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from actscope.report.output_accuracy import OutputAccuracy
from actscope.report.unavailable import Unavailable

SCORES = torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.2, 0.0], [0.3, 0.3, 0.9]])


@pytest.mark.parametrize(
    "outputs", [SCORES, SCORES.half(), {"logits": SCORES, "loss": 1.0}, SimpleNamespace(logits=SCORES)]
)
def test_the_largest_score_counts_wherever_the_scores_are(outputs: Any) -> None:
    accuracy = OutputAccuracy()
    accuracy.update(outputs, np.array([1, 0, 0]))
    accuracy.update(outputs, np.array([1, 1, 2]))
    assert accuracy.compute() == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("outputs", "labels", "reason"),
    [
        (SCORES, None, "no labels"),
        (SCORES, np.array([0, 1, 3]), "labels run from 0 to 3, but the model has 3 outputs"),
        (SCORES, np.array([-1, 1, 2]), "labels run from -1"),
        (SCORES[:, :1], np.array([0, 1, 1]), r"a tensor of shape \(3, 1\)"),
        (torch.zeros(3, 4, 5), np.array([0, 1, 1]), r"a tensor of shape \(3, 4, 5\)"),
        (torch.zeros(4, 3), np.array([0, 1, 1]), r"shape \(4, 3\)"),
        ((SCORES,), np.array([0, 1, 1]), "but tuple"),
        ({"boxes": SCORES}, np.array([0, 1, 1]), "but dict"),
    ],
)
def test_what_is_no_classification_gives_a_reason_and_no_error(outputs: Any, labels: Any, reason: str) -> None:
    accuracy = OutputAccuracy()
    accuracy.update(outputs, labels)
    accuracy.update(SCORES, np.array([1, 0, 2]))
    found = accuracy.compute()
    assert isinstance(found, Unavailable)
    assert re.search(reason, found.reason)


def test_without_a_batch_there_is_no_accuracy() -> None:
    assert isinstance(OutputAccuracy().compute(), Unavailable)
