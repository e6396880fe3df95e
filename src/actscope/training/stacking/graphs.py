"""Work that is the same every time, launched as one CUDA graph; streams of a stack's own, and branches within one."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import torch

__all__ = ["Branches", "Captured", "Work", "capture_of", "own_stream", "precision"]

Work: TypeAlias = Callable[[], None]
"""Launches operations on tensors that are the same at every call, and waits for none of them."""

_WARM_UP = 2
"""Calls before the capture, in which libraries set up what they cannot while a stream is captured."""
_N_BRANCHES = 8
_WORTH_BRANCHES = 4
_capturing = threading.Lock()


class Captured:
    """Work that is captured at its third call, and from then on launched whole.

    Where it cannot be captured a warning says so, and it goes on being launched piece by piece.

    Args:
        work: what to do.
        capture: makes of work what does the same again, without doing it.
    """

    def __init__(self, work: Work, capture: Callable[[Work], Work]) -> None:
        self._work, self._capture = work, capture
        self._n_calls = 0

    def __call__(self) -> None:
        """Does the work once."""
        if self._n_calls == _WARM_UP:
            try:
                self._work = self._capture(self._work)
            except RuntimeError as error:
                warnings.warn(
                    f"the step could not be captured as a CUDA graph and is launched piece by piece, which is slower: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )
        self._n_calls += 1
        self._work()


def capture_of(place: torch.device) -> Callable[[Work], Work] | None:
    """How work on a device is captured; None where it is not."""
    return _as_cuda_graph if place.type == "cuda" else None


def _as_cuda_graph(work: Work) -> Work:
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream()
    # one at a time, as a capture waits for the device first, which no stream being captured allows
    with _capturing, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        work()
    return graph.replay


class Branches:
    """Independent operations on a CUDA device side by side, which would else wait for one another; elsewhere one after the other."""

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self._streams = [_new_stream(place) for _ in range(_N_BRANCHES)] if place.type == "cuda" else []

    def __call__(self, operations: Sequence[Work]) -> None:
        """Does all of them; what is launched next comes after."""
        if not self._streams or len(operations) < _WORTH_BRANCHES:
            for operation in operations:
                operation()
            return
        trunk = torch.cuda.current_stream(self._place)
        streams = self._streams[: len(operations)]
        for stream in streams:
            stream.wait_stream(trunk)
        for i, operation in enumerate(operations):
            with torch.cuda.stream(streams[i % len(streams)]):
                operation()
        for stream in streams:
            trunk.wait_stream(stream)


def _new_stream(place: torch.device) -> torch.cuda.Stream:
    stream: torch.cuda.Stream = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]  # PyTorch has no type for it
    return stream


@contextmanager
def own_stream(place: torch.device) -> Iterator[None]:
    """On a CUDA device, a stream other than the default one, which no graph can be captured on; what comes after waits for it."""
    if place.type != "cuda":
        yield
        return
    before, stream = torch.cuda.current_stream(place), _new_stream(place)
    stream.wait_stream(before)
    try:
        with torch.cuda.device(place), torch.cuda.stream(stream):
            yield
    finally:
        before.wait_stream(stream)


@contextmanager
def precision(tf32: bool | None) -> Iterator[None]:
    """Products of float32 matrices in TensorFloat-32 or not, on devices that can; None leaves PyTorch's setting."""
    if tf32 is None:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
