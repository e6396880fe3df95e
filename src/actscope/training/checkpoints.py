"""Where a run keeps weights at chosen epochs and updates, and how far it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actscope.training.weights import LoadedWeights, load_weights, pickled, save_weights
from actscope.wholefile import whole_file

__all__ = ["Checkpoints", "digest", "progress_of", "save_progress_file"]


@dataclass(frozen=True)
class Checkpoints:
    """Where a run of `fit` or `stacks.fit` keeps its models, and goes on from if it was cut off.

    Every file has a temporary name until it is whole. PyTorch reads all of them without running what is in them.

    Attributes:
        folder: of this one run; made if it does not exist.
        epochs: after which epochs every model's weights are kept, 0 before training; those it never reaches have no file.
        save_every: seconds of training after which a run saves how far it is, at the end of an epoch; 0 for every epoch.
        steps: after how many updates every model's weights are kept, also within an epoch.
        names: the folder of each model in `folder`, in the order of the models; by default `model-0000` and so on. With names of
            their own, models are found again in a run of some of them, or in another order.

    Raises:
        ValueError: epochs, steps or seconds that are negative, or names that are there twice or are no plain names.

    Example:
        >>> Checkpoints(Path("run"), epochs=(0, 10)).path(3, 10).as_posix()
        'run/model-0003/epoch-00010.safetensors'
        >>> Checkpoints(Path("run"), steps=(15,), names=["narrow", "wide"]).path(1, step=15).as_posix()
        'run/wide/step-00000015.safetensors'
    """

    folder: str | os.PathLike[str]
    epochs: Collection[int] = ()
    save_every: float = 60.0
    steps: Collection[int] = ()
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if any(epoch < 0 for epoch in self.epochs):
            raise ValueError(f"epochs={list(self.epochs)} must not be negative; 0 is before training")
        if any(step < 0 for step in self.steps):
            raise ValueError(f"steps={list(self.steps)} must not be negative; 0 is before training")
        if not self.save_every >= 0:
            raise ValueError(f"save_every={self.save_every} must not be negative")
        if self.names is not None:
            if len(set(self.names)) < len(self.names):
                raise ValueError("names has one name twice: each model needs a folder of its own")
            if bad := [name for name in self.names if not name or name.startswith(".") or Path(name).name != name]:
                raise ValueError(
                    f"names={bad[:3]} cannot be folders: give plain names, without slashes or a leading dot"
                )

    def require_names_for(self, n_models: int) -> None:
        """Refuses names that are not one for each model.

        Raises:
            ValueError: there are more or fewer.
        """
        if self.names is not None and len(self.names) != n_models:
            raise ValueError(f"names has {len(self.names)} entries for {n_models} models; give one for each")

    def path(self, index: int, epoch: int | None = None, *, step: int | None = None) -> Path:
        """The file with the weights of model number `index` after an epoch, or after a step.

        Raises:
            ValueError: both or neither of the two.
        """
        if (epoch is None) == (step is None):
            raise ValueError(f"give either an epoch or a step; got epoch={epoch}, step={step}")
        name = f"epoch-{epoch:05d}" if epoch is not None else f"step-{step:08d}"
        return self._of(index) / f"{name}.safetensors"

    def load(self, model: nn.Module, index: int, *, epoch: int | None = None, step: int | None = None) -> LoadedWeights:
        """Sets the weights of `model` to those of model number `index` after an epoch, or after a step.

        Raises:
            FileNotFoundError: they were not kept, or training has not come so far.
            ValueError: the model has another shape, or both or neither of epoch and step are given.
        """
        return load_weights(model, self.path(index, epoch, step=step))

    def progress_path(self, index: int) -> Path:
        """The file that tells how far model number `index` is."""
        return self._of(index) / "progress.pt"

    def save(self, index: int, model: nn.Module, *, epoch: int | None = None, step: int | None = None) -> None:
        """Keeps the weights of model number `index`, if this is one of the epochs or steps."""
        if (epoch in self.epochs) if epoch is not None else (step in self.steps):
            path = self.path(index, epoch, step=step)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(model, path)

    def _of(self, index: int) -> Path:
        return Path(self.folder) / (f"model-{index:04d}" if self.names is None else self.names[index])


def digest(tensors: Iterable[Tensor]) -> str:
    """A hash of the types, shapes and values of tensors."""
    found = hashlib.sha256()
    for values in tensors:
        on_cpu = values.detach().cpu().contiguous()
        found.update(f"{on_cpu.dtype} {tuple(on_cpu.shape)}".encode())
        found.update(on_cpu.view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def save_progress_file(path: Path, content: Mapping[str, Any]) -> None:
    """Writes how far a run is; `content` holds tensors and plain values, and under `of` what the run is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(pickled(content))


def progress_of(path: Path, of: Mapping[str, str], what: str) -> dict[str, Any] | None:
    """What such a file holds; None if there is none.

    Args:
        path: the file.
        of: what the run must be.
        what: the run's model, for the message of an error.

    Raises:
        ValueError: the file cannot be read, or belongs to another run.
    """
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises many kinds
        raise ValueError(f"{path} cannot be read; delete it to train this model again: {error}") from error
    if differing := [name for name in of if content["of"].get(name) != of[name]]:
        raise ValueError(
            f"{path} belongs to another run: its {' and '.join(differing)} {'are' if len(differing) > 1 else 'is'} not that of"
            f" {what}; choose another folder, or delete this one to train again"
        )
    return content
