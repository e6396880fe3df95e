"""encode against a forward pass alone: what it costs to read every activation pattern of a model."""

from __future__ import annotations

import torch
from torch import nn

import actscope
from actscope.training import small_resnet
from benchmarks.measure import Row, alternating_seconds


def run() -> list[Row]:
    """Time `encode` beside the same batches' forward passes in eval mode without gradients."""
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    rows = []
    for what, model, x, batch_size in (
        ("encode 20,000 examples, MLP 784-512-512-10", mlp, torch.rand(20_000, 784), 1024),
        ("encode 1,024 examples, small ResNet, 3×32×32", small_resnet(3, 10), torch.rand(1024, 3, 32, 32), 128),
    ):
        model.eval()

        def forward(model: nn.Module = model, x: torch.Tensor = x, batch_size: int = batch_size) -> None:
            with torch.no_grad():
                for start in range(0, len(x), batch_size):
                    model(x[start : start + batch_size])

        def encode(model: nn.Module = model, x: torch.Tensor = x, batch_size: int = batch_size) -> None:
            actscope.encode(model, x, batch_size=batch_size, progress=False)

        naive, ours = alternating_seconds(forward, encode, repeats=15)
        rows.append(
            Row(
                what=what,
                naive="forward pass alone",
                naive_seconds=naive,
                ours_seconds=ours,
                goal=1 / 1.15,
                note=f"encode takes {ours / naive:.3f} times a forward pass; goal at most 1.15",
            )
        )
    return rows
