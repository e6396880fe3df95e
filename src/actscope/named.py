"""What a command line names: objects by their import path, models with weights, data in files."""

from __future__ import annotations

import importlib
import inspect
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

__all__ = ["load_data", "load_model", "load_object"]

_TRAIN_KEYS = (("x_train", "y_train"), ("X_train", "y_train"), ("train_x", "train_y"), ("x", "y"), ("X", "y"))
_TEST_KEYS = (("x_test", "y_test"), ("X_test", "y_test"), ("test_x", "test_y"))


def load_object(target: str) -> Any:
    """The object that `package.module:name` names; the current folder is searched as `python -m` would.

    Raises:
        ValueError: if the form is another, or there is no such module or name.

    Example:
        >>> load_object("math:tau")
        6.283185307179586
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise ValueError(f"{target!r} is not of the form package.module:name, such as mypackage.models:build")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"{target!r}: importing {module_name} failed, because it needs {error.name!r}, which is not installed"
            ) from None
        raise ValueError(
            f"{target!r}: there is no module {error.name!r} in {Path.cwd()} or among the installed packages"
        ) from None
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in vars(module) if not name.startswith("_")]
            raise ValueError(f"{target!r}: {module_name} has no {part!r}; it has: {', '.join(sorted(public)[:12])}")
        found = getattr(found, part)
    return found


def load_model(target: str, *, weights: Path | None = None) -> nn.Module:
    """The model that `package.module:name` names (a module, or a function or class that makes one), with weights from a file.

    Raises:
        ValueError: if it is no model, or the weights do not fit it.
    """
    found = load_object(target)
    model = found if isinstance(found, nn.Module) else _called(found, target)
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{target!r} gives a {type(model).__name__}; a torch.nn.Module is needed, or a function that returns one"
        )
    if weights is not None:
        from actscope.training import load_weights

        load_weights(model, weights)
    return model


def load_data(source: str) -> tuple[Any, Any]:
    """Train and test data (test may be `None`) that `source` names.

    Args:
        source: an `.npz` file with arrays `x_train`, `y_train` and, if there are any, `x_test`, `y_test` (or `x`, `y` alone); or
            `package.module:name` for data, a pair (train, test) of data, or a function or class that makes one of these.

    Raises:
        FileNotFoundError, ValueError: if there is no such thing, or it has another form.
    """
    if source.endswith(".npz"):
        return _from_npz(Path(source))
    found = load_object(source)
    makes_data = isinstance(found, type) or (callable(found) and not hasattr(found, "__getitem__"))
    data = _called(found, source) if makes_data else found
    if isinstance(data, (tuple, list)) and len(data) == 2 and not all(_is_array(part) for part in data):
        return data[0], data[1]
    return data, None


def _is_array(part: Any) -> bool:
    return isinstance(part, (np.ndarray, Tensor))


def _called(found: Any, target: str) -> Any:
    if not callable(found):
        raise ValueError(
            f"{target!r} is a {type(found).__name__}; a function that can be called without arguments is needed"
        )
    function: Callable[[], Any] = found
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ValueError(f"{target!r} could not be called without arguments: {error}") from None
    except ValueError:  # a function of C has no signature
        pass
    return function()


def _from_npz(path: Path) -> tuple[Any, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as plain arrays: {error}") from None
    train = _pair(arrays, _TRAIN_KEYS)
    if train is None:
        raise ValueError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; x_train and y_train are needed, or x and y, and x_test and "
            "y_test for test data"
        )
    return train, _pair(arrays, _TEST_KEYS)


def _pair(arrays: dict[str, Any], keys: Sequence[tuple[str, str]]) -> Any:
    for inputs, labels in keys:
        if inputs in arrays:
            x = arrays[inputs].astype(np.float32) if arrays[inputs].dtype == np.float64 else arrays[inputs]
            return (x, arrays[labels]) if labels in arrays else x
    return None
