"""Training one model."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actscope.devices import device_of
from actscope.progress import progress_bar
from actscope.training.checkpoints import Checkpoints
from actscope.training.epochlog import EpochLog
from actscope.training.evaluating import Examples, check_logits, evaluate_tensors, modes_restored, tensors_of
from actscope.training.history import DivergenceError, History
from actscope.training.ordering import BatchOrder
from actscope.training.recipes import Recipe, named_recipe
from actscope.training.resuming import Keeper

__all__ = ["fit"]


def fit(
    model: nn.Module,
    train: Examples,
    *,
    recipe: Recipe | str,
    seed: int = 0,
    test: Examples | None = None,
    device: torch.device | str | None = None,
    checkpoints: Checkpoints | str | os.PathLike[str] | None = None,
    stop_after: float | None = None,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
    on_step: Callable[[int, nn.Module], None] | None = None,
    progress: bool = False,
) -> History:
    """How it went to train `model`, in place, to classify `train` by cross-entropy.

    All examples are moved to the device once. Every epoch sees them in a new random order that only `seed` decides; so
    do draws that the model makes, such as dropout's. Afterwards PyTorch's own random state and the modules' modes are as
    they were.

    Args:
        model: from examples (n, …) to logits (n, n_classes); its parameters that require gradients are trained.
        train: labelled examples, or a pair (x, y) of tensors.
        recipe: how to train, or a name in `RECIPES`.
        seed: decides the order of the examples and the model's own draws, not its first weights.
        test: examples to test the model on after every epoch.
        device: where to train; the model stays there. None for where its parameters are.
        checkpoints: where to keep weights at chosen epochs and the state of the run, or only a folder for the state. A run with
            the same arguments in the same folder goes on where it was cut off, to the same end.
        stop_after: seconds after which training saves how far it is, with the epoch under way done, and returns a history that is
            `unfinished`; the same call again goes on. Every call does at least one epoch.
        on_epoch: called as `on_epoch(epoch, model)` with 0 before training and after every epoch; it may change modes. Not called
            again for epochs that a run before has done.
        on_step: called as `on_step(step, model)` with 0 before training and after every update, in training mode; it may change modes. A
            run that goes on begins after the last epoch that was saved, and calls it again for updates done since.
        progress: whether to show a bar on stderr.

    Raises:
        ValueError: data, recipe and model that do not go together, nothing to train, a folder with another run, or `stop_after`
            without `checkpoints`.
        TypeError: labels that are not whole numbers, or examples that are not floating.
        DivergenceError: the loss became NaN or infinite; it carries the history until then.

    Example:
        >>> from actscope.training import MLP, digits
        >>> train, test = digits()
        >>> history = fit(MLP(64, [16], 10), train, recipe=Recipe(lr=1e-2, batch_size=32, epochs=4), test=test)
        >>> history.test_accuracy[-1] > 0.9
        True
    """
    begun = time.monotonic()
    recipe = named_recipe(recipe)
    _check_stop(stop_after, checkpoints)
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameters that require gradients: there is nothing to train")
    place = device_of(device) if device is not None else parameters[0].device
    model.to(place)
    x, y = tensors_of("train", train, model, place)
    steps_per_epoch, n_steps = recipe.steps_per_epoch(len(x)), recipe.n_steps(len(x))
    x, y = x[: recipe.n_used(len(x))], y[: recipe.n_used(len(y))]
    tests = None if test is None else tensors_of("test", test, model, place)
    check_logits(model, x, y if tests is None else torch.cat([y, tests[1]]))
    check_batches(model, len(x), recipe, example=x[:1])

    log = EpochLog()
    optimizer = optimizer_for(parameters, recipe)
    folder = checkpoints if checkpoints is None or isinstance(checkpoints, Checkpoints) else Checkpoints(checkpoints)
    keeper = None if folder is None else Keeper(folder, model, optimizer, (x, y), recipe, seed, tests)
    done = 0
    order_state = None
    if keeper is not None and (found := keeper.resume()) is not None:
        done, order_state, log = found
    orders = BatchOrder(len(x), seed, state=order_state)
    n_epochs = -(-n_steps // steps_per_epoch)

    looking = 0.0

    def after_step(step: int) -> None:
        nonlocal looking
        if keeper is not None:
            keeper.after_step(step)
        if on_step is not None:
            begun_looking = time.perf_counter()
            with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
                on_step(step, model)
            model.train()
            looking += time.perf_counter() - begun_looking

    with (
        modes_restored(model),
        _threads_for(model, recipe, place),
        progress_bar("train", total=n_epochs - log.n_epochs, show=progress, unit="epochs") as advance,
    ):
        if on_epoch is not None and done == 0:
            on_epoch(0, model)
        if on_step is not None and done == 0:
            model.train()
            on_step(0, model)
        for first_step in range(done, 0 if log.stopped_early else n_steps, steps_per_epoch):
            steps = range(first_step, min(first_step + steps_per_epoch, n_steps))
            rates = [recipe.lr_at(step, steps_per_epoch=steps_per_epoch, n_steps=n_steps) for step in steps]
            order, model_seed = orders.next_epoch()
            order = order[: len(steps) * recipe.batch_size].to(place)
            start, looking = time.perf_counter(), 0.0
            with _drawing_from(model_seed, place):
                losses, n_right = _train_epoch(model, x, y, order, rates, optimizer, recipe, steps.start, after_step)
            seconds = time.perf_counter() - start - looking
            if (error := divergence(losses, x, log.history(recipe, seed))) is not None:
                raise error
            log.record_loss(float(mean_over_examples(losses, len(order), recipe.batch_size)))
            log.train_accuracy.append(n_right / len(order))
            log.lr.append(rates[0])
            log.seconds.append(seconds)
            if tests is not None:
                tested = evaluate_tensors(model, *tests, batch_size=1024)
                log.test_loss.append(tested.loss)
                log.test_accuracy.append(tested.accuracy)
            log.stopped_early = recipe.patience is not None and log.epochs_without_gain >= recipe.patience
            advance(1)
            if on_epoch is not None:
                on_epoch(log.n_epochs, model)
            ends = log.stopped_early or steps.stop == n_steps
            stops = stop_after is not None and time.monotonic() - begun >= stop_after
            if keeper is not None:
                keeper.after_epoch(steps.stop, orders, log, ends=ends or stops)
            if stops and not ends:
                return dataclasses.replace(log.history(recipe, seed), unfinished=True)
            if ends:
                break
    return log.history(recipe, seed)


def _train_epoch(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    order: Tensor,
    rates: Sequence[float],
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    n_before: int,
    after_step: Callable[[int], None],
) -> tuple[Tensor, int]:
    """The loss of every update, and how many examples were classified correctly before the update on them."""
    model.train()
    parameters = optimizer.param_groups[0]["params"]
    kernels = [p for p in parameters if p.ndim >= 2]
    # kept on the device: to read a loss at every step would make a GPU wait for it
    losses = torch.empty(len(rates), dtype=torch.float64, device=x.device)
    n_right = torch.zeros((), dtype=torch.int64, device=x.device)
    for step, (rows, lr) in enumerate(zip(torch.split(order, recipe.batch_size), rates, strict=True)):
        labels = y.index_select(0, rows)
        logits = model(x.index_select(0, rows))
        loss = F.cross_entropy(logits, labels)
        if recipe.l2:
            loss = loss + recipe.l2 * torch.stack([kernel.square().sum() for kernel in kernels]).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        clip_gradients([p.grad for p in parameters if p.grad is not None], recipe)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        losses[step] = loss.detach()
        n_right += (logits.detach().argmax(1) == labels).sum()
        after_step(n_before + step + 1)
    return losses.cpu(), int(n_right)


def optimizer_for(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, its rate that of the first update."""
    fused = parameters[0].device.type in ("cpu", "cuda")
    if recipe.optimizer == "adam":
        return torch.optim.Adam(
            parameters, recipe.lr, betas=recipe.betas, eps=recipe.eps, weight_decay=recipe.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        parameters, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=fused
    )


def clip_gradients(gradients: Sequence[Tensor], recipe: Recipe) -> None:
    """Shortens the gradients of one model, in place, as its recipe says."""
    if recipe.clip_norm is not None:
        for gradient in gradients:
            gradient.mul_(recipe.clip_norm / torch.linalg.vector_norm(gradient).clamp(min=recipe.clip_norm))
    if recipe.clip_global_norm is not None:
        norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
        factor = recipe.clip_global_norm / torch.linalg.vector_norm(norms).clamp(min=recipe.clip_global_norm)
        for gradient in gradients:
            gradient.mul_(factor)


def mean_over_examples(losses: Tensor, n_examples: int, batch_size: int) -> Tensor:
    """The mean over an epoch's examples of what `losses`, (…, n_batches), are means of over its batches."""
    n_last = n_examples - batch_size * (losses.shape[-1] - 1)
    return (losses[..., :-1].sum(-1) * batch_size + losses[..., -1] * n_last) / n_examples


def divergence(losses: Tensor, x: Tensor, history: History) -> DivergenceError | None:
    """What to raise if a loss of the epoch after `history` is not finite."""
    finite = torch.isfinite(losses)
    if bool(finite.all()):
        return None
    step = int(finite.int().argmin()) + 1
    epoch = history.n_epochs + 1
    broken = (~torch.isfinite(x.flatten(1))).any(1).nonzero()
    if len(broken):
        advice = f"Training example {int(broken[0])} has values that are not finite"
    else:
        advice = (
            f"Try a lower learning rate (it was {history.recipe.lr:g}), clip_norm=1, or inputs of the size of 1 "
            f"(they reach {float(x.abs().max()):g})"
        )
    return DivergenceError(
        f"the loss was {float(losses[step - 1])} at update {step} of epoch {epoch}. {advice}",
        epoch,
        step,
        history,
    )


def _check_stop(stop_after: float | None, checkpoints: object) -> None:
    if stop_after is None:
        return
    if not stop_after > 0:
        raise ValueError(f"stop_after={stop_after} must be positive; None trains to the end")
    if checkpoints is None:
        raise ValueError(f"stop_after={stop_after} needs checkpoints: without a folder no later call could go on")


def check_batches(model: nn.Module, n_examples: int, recipe: Recipe, *, example: Tensor | None = None) -> None:
    """Refuses batches that the model cannot be trained on, or none.

    Args:
        model: what is to be trained.
        n_examples: it is trained on.
        recipe: how.
        example: (1, …) one input, to see which normalizations of images get maps of one pixel; left out for a model without them.
    """
    if recipe.drop_last and n_examples < recipe.batch_size:
        raise ValueError(f"drop_last leaves nothing: {n_examples} examples fill no batch of {recipe.batch_size}")
    n_last = n_examples % recipe.batch_size
    alone = recipe.batch_size == 1 or (n_last == 1 and not recipe.drop_last)
    if alone and (name := _normalization_of_one_value(model, example)):
        raise ValueError(
            f"batch normalization ('{name}') cannot train on a batch of one: {n_examples} examples in batches of"
            f" {recipe.batch_size} leave one alone; choose another batch_size or drop_last=True"
        )


def _normalization_of_one_value(model: nn.Module, example: Tensor | None) -> str:
    """The name of a batch normalization to which one example gives one value of each feature; empty if there is none."""
    found: list[str] = []
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm1d) and example is None:
            return str(name)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # the one class that all of them share

            def look(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                if inputs[0].shape[2:].numel() == 1:
                    found.append(name)

            handles.append(module.register_forward_pre_hook(look))
    if handles and example is not None:
        with modes_restored(model), torch.no_grad():
            model.eval()
            model(example)
    for handle in handles:
        handle.remove()
    return found[0] if found else ""


_LARGE_STEP = 2 * 10**7
"""Multiplications in a forward pass of one batch from which a second thread pays for waking it."""


@contextmanager
def _threads_for(model: nn.Module, recipe: Recipe, place: torch.device) -> Iterator[None]:
    """One thread for a small network, whose steps are too short to share; as many as before for a large one."""
    flat = all(p.ndim <= 2 for p in model.parameters())  # a kernel of a convolution works on many positions
    work = sum(p.numel() for p in model.parameters()) * recipe.batch_size
    before = torch.get_num_threads()
    if place.type == "cpu" and flat and work < _LARGE_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _drawing_from(seed: int, place: torch.device) -> Iterator[None]:
    """What a model draws for itself comes from PyTorch's global generators; they are lent to it and given back."""
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if place.type == "cuda":
            with torch.cuda.device(place):
                torch.cuda.manual_seed(seed)
        yield
