"""Many small networks trained, evaluated and encoded as one, against a loop over them."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from actscope import encode
from actscope.training import MLP, LabelledData, Recipe, evaluate, stacks
from benchmarks.measure import Row, alternating_seconds, median_seconds

_WIDTHS = (3, 7, 10, 15, 20, 23, 27, 30, 33, 37, 40, 43, 47, 50, 53, 57, 60, 65, 70, 75, 80, 90, 100)
"""Of He et al. 2021, Figure 2."""
_SEEDS = range(5)
_REPEATS = 3
_PART = 10
"""One by one, this part of the steps is taken."""


def run() -> list[Row]:
    """The networks of He et al. 2021, Figure 2, on MNIST's shape, and those with five hidden layers on CIFAR-10's."""
    mnist = [MLP(784, [width], 10, seed=seed) for width in _WIDTHS for seed in _SEEDS]
    deep = [MLP(3072, [width] * 5, 10, seed=seed) for width in range(10, 201, 10) for seed in range(2)]
    return [
        *_rows(
            "115 networks 784-(3 … 100)-10, 5 batch orders", mnist, _sparse(), n_seeds=5, batch_size=128, goals=(15, 8)
        ),
        *_rows("40 networks 3072-5×(10 … 200)-10, 2 orders", deep, _dense(), n_seeds=2, batch_size=64, goals=(None, 3)),
        *_readings(mnist, _sparse().take(torch.arange(10_000))),
    ]


def _readings(models: list[MLP], data: LabelledData) -> list[Row]:
    """Every fifth network of Figure 2 on as many images as MNIST's test set has."""
    some = models[::5]
    work = "23 networks 784-(3 … 100)-10, 10,000 images"
    return [
        Row(
            f"codes of {work}",
            "encode, one model at a time",
            *alternating_seconds(
                lambda: [encode(model, data, progress=False) for model in some],
                lambda: stacks.encode(some, data, progress=False),
                repeats=3,
            ),
            None,
        ),
        Row(
            f"accuracies of {work}",
            "evaluate, one model at a time",
            *alternating_seconds(
                lambda: [evaluate(model, data) for model in some], lambda: stacks.evaluate(some, data), repeats=3
            ),
            None,
        ),
    ]


def _rows(
    what: str,
    models: list[MLP],
    data: LabelledData,
    *,
    n_seeds: int,
    batch_size: int,
    goals: tuple[float | None, float | None],
) -> list[Row]:
    seeds = [i % n_seeds for i in range(len(models))]
    recipe = Recipe(batch_size=batch_size, epochs=1)
    n_steps = recipe.n_steps(len(data))
    loader = DataLoader(TensorDataset(data.x, data.y), batch_size=batch_size, shuffle=True)
    some = models[:: max(1, len(models) // 5)]
    stacks.fit(models, data, recipe=recipe.replace(steps=1), seeds=seeds)
    one_by_one, together, cores, per_core = [], [], [], []
    for _ in range(_REPEATS):
        seconds, used = 0.0, 0.0
        for model in some:
            batches = iter(loader)
            next(batches)  # the order of a whole epoch is drawn here
            start, start_used = time.perf_counter(), time.process_time()
            _train(model, batches, n_steps // _PART)
            seconds += time.perf_counter() - start
            used += time.process_time() - start_used
        one_by_one.append(seconds * _PART / len(some) * len(models))
        start, start_used = time.perf_counter(), time.process_time()
        stacks.fit(models, data, recipe=recipe, seeds=seeds)
        together.append(time.perf_counter() - start)
        ours_used = time.process_time() - start_used
        cores.append(ours_used / together[-1])
        per_core.append(used * _PART / len(some) * len(models) / ours_used)
    naive, ours = statistics.median(one_by_one), statistics.median(together)
    share = _multiplications(models, len(data)) / ours / _sgemm()
    note = (
        f"{statistics.median(cores):.1f} cores at work, {statistics.median(per_core):.3g} × per core; "
        f"{len(models) / ours:.3g} epochs of one model a second, "
        f"one by one {len(models) / naive:.3g}; {share:.0%} of sgemm, zeros of the inputs counted; "
        f"an epoch each, one by one extrapolated from {n_steps // _PART} steps of {len(some)} models"
    )
    loop = "DataLoader, Adam, one model at a time, one thread"
    return [
        Row(what, loop, naive, ours, goals[0], note),
        Row(what, "two such processes, taken as twice as fast", naive / 2, ours, goals[1]),
    ]


def _multiplications(models: list[MLP], n_examples: int) -> float:
    """Of the products of an epoch of each: forward, and backward by kernels and, but for the first layer, by inputs."""
    first = [next(p for p in model.parameters() if p.ndim == 2).numel() for model in models]
    every = [sum(p.numel() for p in model.parameters() if p.ndim == 2) for model in models]
    return n_examples * float(sum(3 * all_of - one for all_of, one in zip(every, first, strict=True)))


def _sgemm() -> float:
    """Multiplications a second of large square matrices, with as many threads as PyTorch has."""
    n = 2048
    a, b = torch.rand(2, n, n)
    return n**3 / median_seconds(lambda: a @ b)


def _train(model: nn.Module, batches: Iterator[Sequence[torch.Tensor]], n_steps: int) -> None:
    """What one writes: `n_steps` of an epoch."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the faster way for networks this small
    optimizer = torch.optim.Adam(model.parameters())
    for x, y in itertools.islice(batches, n_steps):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
        optimizer.step()
    torch.set_num_threads(n_threads)


def _sparse() -> LabelledData:
    """As many and as sparse as MNIST's training images: 19 % of the pixels are not zero, 67 pixels always are."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60_000, 784, generator=generator)
    x *= torch.rand(60_000, 784, generator=generator) < 0.19 * 784 / 717
    x[:, torch.randperm(784, generator=generator)[:67]] = 0
    return LabelledData(x, torch.randint(10, (60_000,), generator=generator))


def _dense() -> LabelledData:
    """A fifth of CIFAR-10's training images in number, and as large."""
    generator = torch.Generator().manual_seed(0)
    return LabelledData(
        torch.rand(10_000, 3072, generator=generator), torch.randint(10, (10_000,), generator=generator)
    )
