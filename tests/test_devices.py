"""A device that is not here is named before anything is tried on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import actscope
from actscope import hashing, neurons
from actscope.devices import device_of
from actscope.training import MLP, Recipe, digits, fit, stacks

TRAIN = digits()[0].subset(40, seed=0).flatten()
ABSENT = next(
    name for name in ("cuda", "mps", "xpu") if not (module := getattr(torch, name, None)) or not module.is_available()
)


def model() -> MLP:
    return MLP(64, [5], 10)


@pytest.mark.parametrize(
    "use",
    [
        lambda device: fit(model(), TRAIN, recipe=Recipe(epochs=1), device=device),
        lambda device: stacks.fit([model()], TRAIN, recipe=Recipe(epochs=1), device=device),
        lambda device: stacks.encode([model()], TRAIN, device=device),
        lambda device: actscope.encode(model(), TRAIN, device=device),
        lambda device: hashing.knn_accuracy(actscope.encode(model(), TRAIN), k=3, device=device),
        lambda device: neurons.prediction_distance(model(), TRAIN.x[:3], TRAIN.x[3:6], device=device),
    ],
    ids=["fit", "stacks.fit", "stacks.encode", "encode", "knn_accuracy", "prediction_distance"],
)
def test_a_device_that_is_not_here_is_named(use: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match=rf"device='{ABSENT}' is not here: PyTorch .* sees none; use device='cpu'"):
        use(ABSENT)


def test_what_is_no_device_is_said() -> None:
    with pytest.raises(ValueError, match="device='gpu' is no device; choose 'cpu'"):
        device_of("gpu")


def test_a_device_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=r"device='cuda:2' is not here: PyTorch .* sees 2 of them"):
        device_of("cuda:2")
