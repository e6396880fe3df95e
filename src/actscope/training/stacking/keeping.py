"""What happens between the epochs of a stack: checkpoints are written, and the caller is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from actscope.training.checkpoints import Checkpoints, digest
from actscope.training.models import MLP
from actscope.training.stacking.members import Member
from actscope.training.stacking.resuming import fingerprint, resume, save_progress

__all__ = ["Keeper"]


class Keeper:
    """Writes checkpoints, finds those of an earlier run, and calls back."""

    def __init__(self, checkpoints: Checkpoints | None, on_epoch: Callable[[int, int, MLP], None] | None) -> None:
        self._checkpoints, self._on_epoch = checkpoints, on_epoch
        self._of: dict[int, dict[str, str]] = {}
        self._saved: dict[int, float] = {}
        self._calling = threading.Lock()

    @property
    def keeps_steps(self) -> bool:
        """Whether weights are kept within epochs."""
        return self._checkpoints is not None and bool(self._checkpoints.steps)

    def begin(
        self, members: Sequence[Member], tests: Mapping[torch.dtype, tuple[Tensor, Tensor]] | None = None
    ) -> None:
        """Sets the models to where an earlier run was cut off, or keeps them as they are before training."""
        if self._checkpoints is not None:
            self._checkpoints.require_names_for(len(members))
            digests: dict[int, str] = {}
            tested = digest(values for pair in tests.values() for values in pair) if tests else "none"
            self._of = {member.index: fingerprint(member, digests) | {"test": tested} for member in members}
        for member in members:
            if self._checkpoints is not None:
                if resume(member, self._of[member.index], self._checkpoints):
                    continue
                self._checkpoints.save(member.index, member.model, epoch=0)
                self._checkpoints.save(member.index, member.model, step=0)
            self._call(member)

    def after_step(self, members: Sequence[Member], step: int, read: Callable[[], None]) -> None:
        """Keeps the weights of models after an update, if this is one of the steps; `read` gives them their weights."""
        if self._checkpoints is not None and step in self._checkpoints.steps:
            read()
            for member in members:
                self._checkpoints.save(member.index, member.model, step=step)

    def after_epoch(self, members: Sequence[Member], read: Callable[[], None]) -> None:
        """Does what is due for models that are equally far; `read` gives them their weights."""
        now = time.monotonic()
        last = self._saved.setdefault(members[0].index, now)
        kept = self._checkpoints
        due = kept is not None and (now - last >= kept.save_every or any(member.finished for member in members))
        at_epoch = kept is not None and any(member.log.n_epochs in kept.epochs for member in members)
        if due or at_epoch or self._on_epoch is not None:
            read()
        for member in members:
            if member.error is None:
                if kept is not None:
                    kept.save(member.index, member.model, epoch=member.log.n_epochs)
                self._call(member)
                # a model that diverged would only do so again
                if kept is not None and due:
                    save_progress(member, self._of[member.index], kept)
        if due:
            self._saved[members[0].index] = time.monotonic()

    def _call(self, member: Member) -> None:
        if self._on_epoch is not None:
            with self._calling:
                self._on_epoch(member.index, member.log.n_epochs, member.model)
