"""Weights on disk: safetensors, or PyTorch's state dicts, read without running what is in them."""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actscope.wholefile import whole_file

__all__ = ["LoadedWeights", "load_weights", "pickled", "save_weights"]

_PREFIXES = ("module.", "_orig_mod.", "model.")
_NESTED_UNDER = ("state_dict", "model_state_dict", "model")
_MOST_NAMED = 20


@dataclass(frozen=True)
class LoadedWeights:
    """What was read, and what was done to make it fit.

    Attributes:
        path: the file.
        n_tensors: parameters and buffers that were set.
        nested_under: the key of a checkpoint that held the weights; empty if the file is the weights.
        prefix: what was taken off the front of every name, as wrappers put there; empty if nothing.
    """

    path: Path
    n_tensors: int
    nested_under: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        nested = f", found under '{self.nested_under}'" if self.nested_under else ""
        prefix = f", '{self.prefix}' taken off their names" if self.prefix else ""
        return f"{self.n_tensors} tensors from {self.path}{nested}{prefix}"


def save_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes the model's parameters and buffers to `path`: `.safetensors`, or `.pt` or `.pth` as a PyTorch state dict.

    The file has a temporary name until it is whole, so a run that is killed leaves the old one as it was.

    Raises:
        ValueError: another ending.
        FileNotFoundError: its folder does not exist.
    """
    path = Path(path)
    serialize = _serializers().get(path.suffix)
    if serialize is None:
        raise ValueError(f"path='{path}' must end in {', '.join(_serializers())}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder of path='{path}' does not exist")
    # a copy each: safetensors refuses tensors that share memory, as tied weights do
    state = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    content = serialize(state)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> LoadedWeights:
    """Sets all parameters and buffers of `model` from a file, and tells what was done to make them fit.

    Takes safetensors and PyTorch's state dicts, also inside a checkpoint (under `state_dict`, `model_state_dict` or `model`),
    and takes off the names what wrappers put there (`module.` of DataParallel, `_orig_mod.` of torch.compile, `model.` of
    Lightning) if every name begins so and the model's do not. Pickles are read by PyTorch with weights_only=True: nothing in them
    is run. If anything does not fit, the model is left as it was.

    Raises:
        ValueError: not such a file, or weights that do not fit; all the names that do not are in the message.
        FileNotFoundError: no such file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     save_weights(nn.Linear(2, 3), f"{folder}/w.safetensors")
        ...     load_weights(nn.Linear(2, 3), f"{folder}/w.safetensors").n_tensors
        2
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file at '{path}'")
    content = _read(path)
    nested_under = next(
        (key for key in _NESTED_UNDER if isinstance(content, Mapping) and _is_state(content.get(key))), ""
    )
    state = content[nested_under] if nested_under else content
    if not _is_state(state):
        raise ValueError(
            f"{path} does not hold a state dict (names and tensors) but {_described(content)}; save model.state_dict()"
        )
    wanted = model.state_dict()
    state, prefix = _without_prefix(state, wanted)
    if misfits := _misfits(state, wanted):
        raise ValueError(f"the weights in {path} do not fit the model. {' '.join(misfits)}")
    model.load_state_dict(state)
    return LoadedWeights(path, len(wanted), nested_under, prefix)


def _serializers() -> dict[str, Callable[[dict[str, Tensor]], bytes]]:
    """By ending; all that is written goes through Python, whose errors say what was wrong with the disk."""
    from safetensors.torch import save

    return {".safetensors": save, ".pt": pickled, ".pth": pickled}


def pickled(content: Any) -> bytes:
    """What `torch.save` would write."""
    memory = io.BytesIO()
    torch.save(content, memory)
    return memory.getvalue()


def _read(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # what PyTorch would warn of ends in an error that says it better, or does not matter
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is a pickle that is not weights: it holds objects, or is no such file at all, and reading it could run any "
            f"program. Save model.state_dict() instead, best as .safetensors. PyTorch says: {_first_line(error)}"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ValueError(
            f"{path} cannot be read as weights; it was probably cut short, or is another kind of file: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a dict with keys {_listed([str(key) for key in content])}" if content else "an empty dict"
    return f"a {type(content).__name__}"


def _without_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], str]:
    taken_off = ""
    while True:
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None or any(name.startswith(prefix) for name in wanted):
            return state, taken_off
        state = {name.removeprefix(prefix): value for name, value in state.items()}
        taken_off += prefix


def _misfits(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    reshaped = [
        f"'{name}' is {tuple(state[name].shape)}, in the model {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    misfits = []
    if missing:
        misfits.append(f"Missing in the file: {_listed(missing)}.")
    if unexpected:
        misfits.append(f"Unknown to the model: {_listed(unexpected)}.")
    if reshaped:
        misfits.append(f"Of another shape: {'; '.join(reshaped[:_MOST_NAMED])}{_and_more(len(reshaped))}.")
    return misfits


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:_MOST_NAMED]) + _and_more(len(names))


def _and_more(n: int) -> str:
    return f" and {n - _MOST_NAMED} more" if n > _MOST_NAMED else ""
