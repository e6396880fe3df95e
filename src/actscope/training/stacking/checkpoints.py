"""Weights of every model at chosen epochs, and all that is needed to go on after a run was cut off."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actscope.training.stacking.members import Member
from actscope.training.weights import LoadedWeights, load_weights, save_weights

__all__ = ["Checkpoints", "fingerprint", "resume", "save_progress"]


@dataclass(frozen=True)
class Checkpoints:
    """Where a run of `stacks.fit` keeps its models, and goes on from if it was cut off.

    Every file has a temporary name until it is whole. PyTorch reads all of them without running what is in them.

    Attributes:
        folder: of this one run; made if it does not exist.
        epochs: after which epochs every model's weights are kept, 0 before training; those it never reaches have no file.
        save_every: seconds of training after which a run saves how far it is, at the end of an epoch; 0 for every epoch.

    Example:
        >>> Checkpoints(Path("run"), epochs=(0, 10)).path(3, 10).as_posix()
        'run/model-0003/epoch-00010.safetensors'
    """

    folder: str | os.PathLike[str]
    epochs: Collection[int] = ()
    save_every: float = 60.0

    def __post_init__(self) -> None:
        if any(epoch < 0 for epoch in self.epochs):
            raise ValueError(f"epochs={list(self.epochs)} must not be negative; 0 is before training")
        if not self.save_every >= 0:
            raise ValueError(f"save_every={self.save_every} must not be negative")

    def path(self, index: int, epoch: int) -> Path:
        """The file with the weights of model number `index` after `epoch`."""
        return Path(self.folder) / f"model-{index:04d}" / f"epoch-{epoch:05d}.safetensors"

    def load(self, model: nn.Module, index: int, *, epoch: int) -> LoadedWeights:
        """Sets the weights of `model` to those of model number `index` after `epoch`.

        Raises:
            FileNotFoundError: they were not kept, or training has not come so far.
            ValueError: the model has another shape.
        """
        return load_weights(model, self.path(index, epoch))

    def progress_path(self, index: int) -> Path:
        """The file that tells how far model number `index` is."""
        return Path(self.folder) / f"model-{index:04d}" / "progress.pt"

    def save(self, index: int, epoch: int, model: nn.Module) -> None:
        """Keeps the weights of model number `index`, if this is one of the epochs."""
        if epoch in self.epochs:
            path = self.path(index, epoch)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(model, path)


def fingerprint(member: Member, digests: dict[int, str]) -> dict[str, str]:
    """What must be the same for a run to go on, in words, taken before training; `digests` remembers those of the data."""
    return {
        "layers": str(member.model),
        "first weights": _digest(member.model.state_dict().values()),
        "recipe": repr(member.recipe),
        "seed": str(member.seed),
        "data": " ".join(
            digests.get(id(of)) or digests.setdefault(id(of), _digest([of])) for of in (member.inputs.x, member.y)
        ),
    }


def save_progress(member: Member, of: dict[str, str], checkpoints: Checkpoints) -> None:
    """Writes all that `resume` needs, when the model holds its weights and averages."""
    path = checkpoints.progress_path(member.index)
    path.parent.mkdir(parents=True, exist_ok=True)
    history = {
        f.name: getattr(member.history, f.name) for f in dataclasses.fields(member.history) if f.name != "recipe"
    }
    content = {
        "of": of,
        "step": member.step,
        "order_state": member.order_state,
        "history": {name: list(value) if isinstance(value, tuple) else value for name, value in history.items()},
        "weights": _on_cpu(member.model.state_dict()),
        "moments": {}
        if member.finished
        else {name: [m.cpu() for m in value] for name, value in member.moments.items()},
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        torch.save(content, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def resume(member: Member, of: dict[str, str], checkpoints: Checkpoints) -> bool:
    """Whether the model was found in the folder; it is then as far as it was when that was written.

    Raises:
        ValueError: the folder holds another run, or a file that cannot be read.
    """
    path = checkpoints.progress_path(member.index)
    if not path.exists():
        return False
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises many kinds
        raise ValueError(f"{path} cannot be read; delete it to train this model again: {error}") from error
    if differing := [name for name in of if content["of"].get(name) != of[name]]:
        raise ValueError(
            f"{path} belongs to another run: its {' and '.join(differing)} {'are' if len(differing) > 1 else 'is'} not that of"
            f" model {member.index}; choose another folder, or delete this one to train again"
        )
    with torch.no_grad():
        member.model.load_state_dict(content["weights"])
    device = member.y.device
    member.step, member.order_state = content["step"], content["order_state"]
    member.moments = {name: [m.to(device) for m in moments] for name, moments in content["moments"].items()}
    known: dict[str, Any] = content["history"]
    history: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    member.history = dataclasses.replace(member.history, **history)
    return True


def _digest(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for values in tensors:
        on_cpu = values.detach().cpu().contiguous()
        digest.update(f"{on_cpu.dtype} {tuple(on_cpu.shape)}".encode())
        digest.update(on_cpu.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}
