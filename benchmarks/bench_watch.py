"""A watch over training against training alone: what it costs to see every unit of the network of Jiang et al. 2022."""

from __future__ import annotations

import statistics
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from actscope.neurons import watch
from actscope.training import MLP
from benchmarks.measure import Row

_CHUNK = 100


def run() -> list[Row]:
    """Train one network in chunks of 100 steps, watched and alone in turn: both see the same drift of the machine's speed."""
    rows = []
    for average, n_chunks, goal in ((False, 20, 1 / 1.03), (True, 5, None)):
        alone, watched = _seconds(n_chunks, average=average)
        cost = statistics.median(w / a for w, a in zip(watched, alone, strict=True)) - 1
        rows.append(
            Row(
                what=f"{_CHUNK} steps, 784-256×9-10, batch norm, SGD, batch 128, every={_CHUNK}"
                + (", average=True" if average else ""),
                naive="training alone",
                naive_seconds=statistics.median(alone),
                ours_seconds=statistics.median(alone) * (1 + cost),
                goal=goal,
                note=f"the watch adds {100 * cost:.1f} %" + ("" if average else "; goal at most 3 %"),
            )
        )
    return rows


def _seconds(n_chunks: int, *, average: bool) -> tuple[list[float], list[float]]:
    """Times of neighbouring chunks, alone and watched, (n_chunks,) each."""
    model = MLP(784, [256] * 9, 10, activation="relu", batch_norm=True, init="torch").train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(128 * _CHUNK, 784, generator=generator), torch.randint(10, (128 * _CHUNK,), generator=generator)

    def chunk(context: AbstractContextManager[Any]) -> float:
        start = time.perf_counter()
        with context:
            for step in range(_CHUNK):
                rows = slice(128 * step, 128 * (step + 1))
                optimizer.zero_grad(set_to_none=True)
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                torch.autograd.backward(loss)
                optimizer.step()
        return time.perf_counter() - start

    alone: list[float] = []
    watched: list[float] = []
    chunk(nullcontext())
    for i in range(n_chunks):  # which goes first alternates, so that neither gains by its place
        order = [(watched, True), (alone, False)] if i % 2 else [(alone, False), (watched, True)]
        for times, with_watch in order:
            times.append(chunk(watch(model, every=_CHUNK, average=average) if with_watch else nullcontext()))
    return alone, watched
