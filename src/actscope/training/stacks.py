"""Many small models trained, evaluated and encoded as one, each exactly as if alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from actscope.devices import precision
from actscope.progress import progress_bar
from actscope.training.checkpoints import Checkpoints
from actscope.training.evaluating import Examples
from actscope.training.history import DivergenceError, History
from actscope.training.models import MLP
from actscope.training.recipes import Recipe
from actscope.training.stacking.gathering import members_of, tests_of
from actscope.training.stacking.graphs import GraphError, Lane, lanes
from actscope.training.stacking.inputs import Inputs
from actscope.training.stacking.keeping import Keeper
from actscope.training.stacking.members import Member
from actscope.training.stacking.planning import memory_limit, plan
from actscope.training.stacking.reading import encode, evaluate
from actscope.training.stacking.running import prepare, run

__all__ = ["Checkpoints", "GraphError", "Stack", "StackDivergenceError", "encode", "evaluate", "fit"]


@dataclass(frozen=True, repr=False)
class Stack(Sequence[MLP]):
    """Models that were trained together: a sequence of them, and how it went.

    Attributes:
        models: in the order they were given.
        histories: of each model, as `fit` returns it; the time of a step is shared out among the models that it moved.
        seconds: from the first update to the last, of this run.
    """

    models: tuple[MLP, ...]
    histories: tuple[History, ...]
    seconds: float

    @overload
    def __getitem__(self, index: int) -> MLP: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MLP, ...]: ...
    def __getitem__(self, index: int | slice) -> MLP | tuple[MLP, ...]:
        return self.models[index]

    def __len__(self) -> int:
        return len(self.models)

    def __repr__(self) -> str:
        n_epochs = sum(history.n_epochs for history in self.histories)
        losses = [history.loss[-1] for history in self.histories if history.loss]
        last = f", last losses from {min(losses):.4g} to {max(losses):.4g}" if losses else ""
        return f"Stack({len(self)} models, {n_epochs} epochs of one model in {self.seconds:.1f} s{last})"

    def to_dict(self) -> dict[str, Any]:
        """The histories and the time, as plain types."""
        return {"histories": [history.to_dict() for history in self.histories], "seconds": self.seconds}


class StackDivergenceError(FloatingPointError):
    """The loss of some models became NaN or infinite; the others were trained to their ends.

    Attributes:
        errors: what `fit` would have raised for each of these models, by their index.
        stack: all models, and their histories.
    """

    def __init__(self, errors: dict[int, DivergenceError], stack: Stack) -> None:
        super().__init__(errors, stack)
        self.errors = errors
        self.stack = stack

    def __str__(self) -> str:
        index, error = next(iter(self.errors.items()))
        others = f" (and {len(self.errors) - 1} more models)" if len(self.errors) > 1 else ""
        return f"model {index}{others}: {error}"


def fit(
    models: Sequence[MLP],
    train: Examples | Sequence[Examples],
    *,
    recipe: Recipe | str | Sequence[Recipe | str],
    seeds: int | Sequence[int] = 0,
    test: Examples | None = None,
    device: torch.device | str | None = None,
    checkpoints: Checkpoints | str | os.PathLike[str] | None = None,
    on_epoch: Callable[[int, int, MLP], None] | None = None,
    n_workers: int | None = None,
    max_bytes: float | None = None,
    tf32: bool | None = None,
    cuda_graphs: bool = True,
    progress: bool | None = None,
) -> Stack:
    """The models, trained in place, each exactly as `fit` alone would with its recipe and seed, and how it went.

    Models that see the same batches (one data set, one seed, one batch size) become one stack: their first layers are one product, what
    follows is batched or goes straight into its place, and one fused step of the optimizer moves all models with the same rate. Labels may
    differ within a stack, and everything else in models and recipes. So give few seeds to many models. Stacks are
    trained side by side, each on one core. Rounding differs from training alone in the last digit.

    On a CUDA device examples, parameters, orders and losses stay on it, and each update is one CUDA graph, captured when it is done for the
    third time: what Python does between updates is to launch it.

    Hooks of the models do not run during training.

    Args:
        models: of any widths, depths and activations, with or without batch normalization.
        train: labelled examples for all models, or one set for each. Sets that share their tensor `x`, as with label noise, share batches.
        recipe: how to train, or its name in `RECIPES`; one for all, or one for each model.
        seeds: decide the order of the examples, not the first weights; one for all, or one for each model.
        test: examples to test every model on after every epoch.
        device: where to train; the models stay there. None for where the first model is.
        checkpoints: where to keep weights at chosen epochs and the state of the run, or only a folder for the state. A run with
            the same arguments in the same folder goes on where it was cut off.
        on_epoch: called as `on_epoch(index, epoch, model)`, by one thread at a time, with 0 before training and after every epoch; not
            again for epochs that a run before has done.
        n_workers: stacks at once; None for as many as PyTorch has threads, and for one on a GPU, where each has its own stream.
        max_bytes: what stacks may take beside the data; None for half of what is free. Stacks that would take more are cut.
        tf32: whether a GPU multiplies float32 matrices in TensorFloat-32, with 10 bits of mantissa, which is faster; None leaves
            what `torch.set_float32_matmul_precision` says.
        cuda_graphs: whether a CUDA device is given each update as one graph, or its operations one by one.
        progress: whether to show a bar on stderr; None shows it on a terminal.

    Raises:
        ValueError: models, data, recipes and seeds that do not go together, or a folder with another run.
        TypeError: a model that is no `MLP`, or labels or examples of a wrong type.
        GraphError: an update could not be captured as a CUDA graph.
        StackDivergenceError: a loss became NaN or infinite; raised when the other models are done.

    Example:
        >>> from actscope.training import digits
        >>> train, _ = digits()
        >>> models = [MLP(64, [width], 10) for width in (4, 8, 16)]
        >>> stack = fit(models, train, recipe=Recipe(lr=1e-2, batch_size=32, epochs=4))
        >>> [history.train_accuracy[-1] > 0.9 for history in stack.histories][-1]
        True
    """
    if len(models) == 0:
        raise ValueError("models is empty: there is nothing to train")
    if n_workers is not None and n_workers < 1:
        raise ValueError(f"n_workers={n_workers} must be positive")
    if max_bytes is not None and not max_bytes > 0:
        raise ValueError(f"max_bytes={max_bytes} must be positive")
    members = members_of(models, train, recipe, seeds, device)
    place = members[0].y.device
    tests = None if test is None else tests_of(members, test)
    if n_workers is None:
        n_workers = torch.get_num_threads() if place.type == "cpu" else 1
    folder = checkpoints if checkpoints is None or isinstance(checkpoints, Checkpoints) else Checkpoints(checkpoints)
    keeper = Keeper(folder, on_epoch)
    keeper.begin(members, tests)
    stacks = plan(
        [member for member in members if not member.finished],
        n_workers=n_workers,
        max_bytes=memory_limit(place) if max_bytes is None else max_bytes,
    )
    start = time.perf_counter()
    n_epochs = sum(member.n_epochs - member.log.n_epochs for stack in stacks for member in stack)
    with (
        precision(tf32),
        progress_bar("train", total=n_epochs, show=progress, unit="epochs of one model") as advance,
    ):
        _run_all(stacks, tests, keeper, advance, n_workers, cuda_graphs)
    trained = Stack(tuple(models), tuple(member.history for member in members), time.perf_counter() - start)
    if errors := {member.index: member.error for member in members if member.error is not None}:
        raise StackDivergenceError(errors, trained)
    return trained


def _run_all(
    stacks: Sequence[list[Member]],
    tests: Mapping[torch.dtype, tuple[Tensor, Tensor]] | None,
    keeper: Keeper,
    advance: Callable[[int], None],
    n_workers: int,
    cuda_graphs: bool,
) -> None:
    """Trains the stacks, so many at once; after an exception in one of them, or an interrupt, the others end too."""
    if not stacks:
        return
    stop = threading.Event()
    n_cores, n_workers = n_workers, min(n_workers, len(stacks))

    examples = {dtype: (Inputs(x.flatten(1)), y) for dtype, (x, y) in tests.items()} if tests is not None else None

    def train(members: list[Member], lane: Lane) -> None:
        def after_epoch(members: Sequence[Member], read: Callable[[], None]) -> None:
            with lane.undisturbed():
                keeper.after_epoch(members, read)
            advance(len(members))

        run(
            members,
            test=None if examples is None else examples[members[0].dtype],
            stopping=stop.is_set,
            lane=lane,
            cuda_graphs=cuda_graphs,
            after_epoch=after_epoch,
            after_step=keeper.after_step if keeper.keeps_steps else None,
        )

    prepare(stacks)
    with (
        _threads_per_worker(stacks, n_cores // n_workers) as n_threads,
        lanes(stacks[0][0].y.device, n_workers) as free,
    ):
        if n_workers == 1:
            for members in stacks:
                train(members, free[0])
            return

        def train_in_a_lane(members: list[Member]) -> None:
            lane = free.pop()
            try:
                train(members, lane)
            finally:
                free.append(lane)

        with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(n_threads,)) as pool:
            try:
                futures = [pool.submit(train_in_a_lane, members) for members in stacks]
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
        for future in done:
            future.result()


_LARGE_STEP = 2 * 10**7
"""Multiplications in a forward pass of one batch from which a second thread pays for waking it."""


@contextmanager
def _threads_per_worker(stacks: Sequence[list[Member]], n_cores: int) -> Iterator[int]:
    """How many threads a worker with so many cores uses; PyTorch's own number is restored."""
    before = torch.get_num_threads()
    largest = max(sum(m.n_parameters * m.recipe.batch_size for m in members) for members in stacks)
    n_threads = n_cores if largest >= _LARGE_STEP else 1
    torch.set_num_threads(n_threads)
    try:
        yield n_threads
    finally:
        torch.set_num_threads(before)
