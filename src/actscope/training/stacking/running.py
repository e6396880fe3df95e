"""Training one stack of models to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from actscope.training.fitting import divergence, mean_over_examples
from actscope.training.ordering import BatchOrder
from actscope.training.stacking.descent import Descent
from actscope.training.stacking.graphs import Lane, capture_of
from actscope.training.stacking.inputs import Inputs
from actscope.training.stacking.layout import Layout
from actscope.training.stacking.members import Member
from actscope.training.stacking.passes import Averages, Pass
from actscope.training.stacking.together import Together
from actscope.training.stacking.updates import CapturedUpdates, DirectUpdates, Updates

__all__ = ["Stopped", "prepare", "run"]


class Stopped(Exception):  # noqa: N818  # no error, but somebody's wish
    """Training was asked to end."""


def run(
    members: Sequence[Member],
    *,
    test: tuple[Inputs, Tensor] | None,
    stopping: Callable[[], bool],
    lane: Lane,
    cuda_graphs: bool,
    after_epoch: Callable[[Sequence[Member], Callable[[], None]], None],
    after_step: Callable[[Sequence[Member], int, Callable[[], None]], None] | None = None,
) -> None:
    """Trains models that see the same batches to the end of each.

    Args:
        members: the models, all equally far.
        test: examples to test every model on after every epoch, in the models' type, and their labels, (n,) int64.
        stopping: asked before every update; if it says so, training ends with `Stopped`.
        lane: where it is done.
        cuda_graphs: whether updates are captured, where they can be.
        after_epoch: called after every epoch with the models and a function that gives them their weights and averages,
            which they else have only at their end.
        after_step: called after every update with the models, the number of updates done, and the same function.
    """
    with lane():
        while members:
            stack = _Stack(members, lane, cuda_graphs)
            together = None if test is None else Together(members, test[0])
            while not any(member.finished for member in members):
                stack.train_epoch(stopping, after_step)
                if test is not None and together is not None:
                    stack.read()
                    _test(members, together, test[1])
                after_epoch(members, stack.read)
            stack.read()
            del stack, together  # what is left goes on in a smaller stack, which needs the room
            for member in members:
                if member.finished:
                    member.moments = {}
            members = [member for member in members if not member.finished]


def prepare(stacks: Iterable[Sequence[Member]]) -> None:
    """Makes the forms of the examples that stacks share, before workers do so side by side."""
    for members in stacks:
        inputs, dropping = members[0].inputs, _dropping(members)
        if not inputs.is_sparse():
            inputs.dense(dropping)


def _dropping(members: Sequence[Member]) -> bool:
    """Whether inputs that are always zero may be left out."""
    return not any(member.recipe.l2 or member.recipe.weight_decay for member in members)


class _Stack:
    """Models that are trained together, as one vector of parameters and buffers for a batch."""

    def __init__(self, members: Sequence[Member], lane: Lane, cuda_graphs: bool) -> None:
        first = members[0]
        dropping = _dropping(members)
        sparse = first.inputs.is_sparse()
        examples = first.inputs.sparse(dropping) if sparse else first.inputs.dense(dropping)
        self._layout = Layout(members, first.inputs.used(dropping), inputs_first=sparse)
        self._members = self._layout.members
        self._parameters = first.inputs.x.new_zeros(self._layout.n_parameters)
        gradients = torch.zeros_like(self._parameters)
        self._layout.fill(self._parameters, _weights)
        self._averages = Averages(self._layout, self._parameters)
        self._descent = Descent(self._layout, self._parameters, gradients)
        kinds = {id(member.y): i for i, member in enumerate({id(m.y): m for m in self._members}.values())}
        labels = {id(member.y): member.y for member in self._members}
        passes = _Passes(
            partial(
                Pass,
                self._layout,
                self._parameters,
                gradients,
                self._averages,
                examples,
                labelled=[kinds[id(member.y)] for member in self._members],
            )
        )
        pieces = passes, self._descent, torch.stack([labels[key] for key in kinds]), len(members)
        capture = capture_of(lane.place) if cuda_graphs else None
        # without a way from here back to the stack, whose memory is free as soon as it is not used any more
        self._updates: Updates = (
            DirectUpdates(*pieces)
            if capture is None
            else CapturedUpdates(*pieces, most_steps=first.steps_per_epoch, lane=lane, capture=capture)
        )
        self._orders = BatchOrder(len(first.y), first.seed, state=first.order_state)
        self._n_batches = 0

    def train_epoch(
        self,
        stopping: Callable[[], bool],
        after_step: Callable[[Sequence[Member], int, Callable[[], None]], None] | None,
    ) -> None:
        """Every model's next epoch, or what is left of it, and what there is to say about it."""
        start = time.perf_counter()
        first = self._members[0]
        steps = range(first.step, min(first.step + first.steps_per_epoch, first.n_steps))
        for member in self._members:
            assert min(member.step + member.steps_per_epoch, member.n_steps) == steps.stop
        order, _ = self._orders.next_epoch()
        batch_size, updates = first.recipe.batch_size, self._updates
        order = order[: len(steps) * batch_size].to(self._parameters.device)
        updates.begin(order, len(steps))
        with torch.no_grad():
            for done, step in enumerate(steps):
                if stopping():
                    raise Stopped
                updates(step, min(batch_size, len(order) - done * batch_size))
                self._n_batches += 1
                if after_step is not None:
                    after_step(self._members, step + 1, self.read)
        losses, n_right = updates.losses, updates.n_right
        losses = losses.cpu()
        accuracies = (n_right.cpu().double() / len(order)).tolist()
        means = mean_over_examples(losses, len(order), first.recipe.batch_size).tolist()
        seconds = (time.perf_counter() - start) / len(self._members)
        state = self._orders.state
        for place, member in enumerate(self._members):
            _record(member, losses[place], means[place], accuracies[place], seconds)
            member.order_state = state

    def read(self) -> None:
        """Gives every model its weights and averages, if it does not have them."""
        if not self._n_batches:
            return
        self._layout.read(self._parameters, _weights)
        self._averages.read(self._n_batches)
        self._n_batches = 0
        self._descent.read()


class _Passes:
    """A pass for each size of batch, made when it is first asked for."""

    def __init__(self, make: Callable[..., Pass]) -> None:
        self._make = make
        self._made: dict[int, Pass] = {}

    def __call__(self, n_examples: int) -> Pass:
        if n_examples not in self._made:
            self._made[n_examples] = self._make(n_examples=n_examples)
        return self._made[n_examples]


def _record(member: Member, losses: Tensor, mean: float, accuracy: float, seconds: float) -> None:
    lr = member.recipe.lr_at(member.step, steps_per_epoch=member.steps_per_epoch, n_steps=member.n_steps)
    member.step += len(losses)
    if not math.isfinite(mean):
        member.error = divergence(losses, member.inputs.x, member.history)
        return
    log = member.log
    log.record_loss(mean)
    log.train_accuracy.append(accuracy)
    log.lr.append(lr)
    log.seconds.append(seconds)
    patience = member.recipe.patience
    if patience is not None and log.epochs_without_gain >= patience:
        log.stopped_early = True


def _test(members: Iterable[Member], together: Together, y: Tensor) -> None:
    together.refresh()
    tested = together.evaluate(y)
    for member in members:
        if member.error is None:
            member.log.test_loss.append(tested[member.index].loss)
            member.log.test_accuracy.append(tested[member.index].accuracy)


def _weights(member: Member, name: str) -> Tensor:
    return member.model.get_parameter(name).detach()
