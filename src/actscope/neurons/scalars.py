"""Where a watch sends its layers' means: TensorBoard, or anything that takes scalars."""

from __future__ import annotations

import os
from typing import Protocol, TypeAlias

__all__ = ["Board", "ScalarWriter", "board_writer"]


class ScalarWriter(Protocol):
    """What takes scalars, such as `torch.utils.tensorboard.SummaryWriter`."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Take one number."""


Board: TypeAlias = ScalarWriter | str | os.PathLike[str] | None
"""A folder for TensorBoard, a writer, or nothing."""


def board_writer(tensorboard: Board) -> tuple[ScalarWriter | None, bool]:
    """A writer for `tensorboard`, and whether it was made here and is to be closed.

    Raises:
        ImportError: a folder was given and TensorBoard is not installed.
    """
    if tensorboard is None:
        return None, False
    if not isinstance(tensorboard, (str, os.PathLike)):
        return tensorboard, False
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError(
            f"tensorboard={os.fspath(tensorboard)!r}: TensorBoard is not installed; pip install 'actscope[tensorboard]', or pass a "
            "writer with add_scalar"
        ) from None
    return SummaryWriter(os.fspath(tensorboard)), True
