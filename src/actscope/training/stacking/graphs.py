"""Work that is the same every time, launched as one CUDA graph; and streams in which stacks are trained side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

import torch

__all__ = ["Captured", "GraphError", "Lane", "Work", "capture_of", "lanes"]

Work: TypeAlias = Callable[[], None]
"""Launches operations on tensors that are the same at every call, and waits for none of them."""

_WARM_UP = 2
"""Calls before the capture, in which libraries set up what they cannot while a stream is captured."""
_N_STREAMS = 32
"""Of a device, which PyTorch hands out in turn: more are the same ones again."""
_MOST_BRANCHES = 8
_WORTH_BRANCHES = 4
_capturing = threading.RLock()
"""Held while a stream is captured, which forbids much to other threads, and by them while they do such things."""


class GraphError(RuntimeError):
    """Work could not be captured as a CUDA graph."""


class Captured:
    """Work that is captured at its third call, and from then on launched whole.

    Args:
        work: what to do. It is kept: a graph knows addresses only, and what lies there must stay.
        capture: makes of work what does the same again, without doing it.
    """

    def __init__(self, work: Work, capture: Callable[[Work], Work]) -> None:
        self._work, self._capture = work, capture
        self._replay: Work | None = None
        self._n_calls = 0

    def __call__(self) -> None:
        """Does the work once."""
        if self._n_calls == _WARM_UP:
            self._replay = self._capture(self._work)
        self._n_calls += 1
        (self._replay or self._work)()


def capture_of(place: torch.device) -> Callable[[Work], Work] | None:
    """How work on a device is captured; None where it is not."""
    return _as_cuda_graph if place.type == "cuda" else None


def _as_cuda_graph(work: Work) -> Work:
    graph = torch.cuda.CUDAGraph()
    try:
        # one at a time, as a capture waits for the device first, which no stream being captured allows
        with _capturing, torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            work()
    except RuntimeError as error:
        # PyTorch does not promise that a device is fit for further captures after this
        cause = error.__context__ or error
        raise GraphError(
            f"an update could not be captured as a CUDA graph ({cause}); begin again with cuda_graphs=False (--no-cuda-graphs), "
            "which launches its operations one by one"
        ) from error
    return graph.replay


class Lane:
    """Where one worker trains: on a CUDA device a stream of its own, with others beside it for what does not depend on one another.

    Attributes:
        place: the device.
        stream: not the default one, on which nothing can be captured; None elsewhere.
        beside: further streams.
    """

    def __init__(self, place: torch.device, streams: Sequence[torch.cuda.Stream] = ()) -> None:
        self.place = place
        self.stream = streams[0] if streams else None
        self.beside = tuple(streams[1:])

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """What is done within is launched here."""
        if self.stream is None:
            yield
            return
        with torch.cuda.device(self.place), torch.cuda.stream(self.stream):
            with _capturing:  # the first product sets up its library
                torch.cuda.current_blas_handle()  # type: ignore[no-untyped-call]  # PyTorch has no type for it
            yield

    def undisturbed(self) -> AbstractContextManager[object]:
        """While others' code runs, which may do what no capture allows."""
        return nullcontext() if self.stream is None else _capturing

    def spread(self, operations: Sequence[Work]) -> None:
        """Does independent operations, side by side where there are streams beside; what is launched next comes after."""
        if self.stream is None or not self.beside or len(operations) < _WORTH_BRANCHES:
            for operation in operations:
                operation()
            return
        streams = self.beside[: len(operations)]
        for stream in streams:
            stream.wait_stream(self.stream)
        for i, operation in enumerate(operations):
            with torch.cuda.stream(streams[i % len(streams)]):
                operation()
        for stream in streams:
            self.stream.wait_stream(stream)


@contextmanager
def lanes(place: torch.device, n: int) -> Iterator[list[Lane]]:
    """A lane for each of `n` workers. They begin after what the caller has launched, and what it launches next comes after theirs.

    Raises:
        ValueError: more than a device has streams for.
    """
    if place.type != "cuda":
        yield [Lane(place) for _ in range(n)]
        return
    if n > _N_STREAMS // 2:
        raise ValueError(f"n_workers={n}: a CUDA device has streams for {_N_STREAMS // 2} stacks at once")
    of_each = 1 + min(_MOST_BRANCHES, _N_STREAMS // n - 1)
    streams = _different_streams(place, n * of_each)
    found = [Lane(place, streams[i * of_each : (i + 1) * of_each]) for i in range(n)]
    outside = torch.cuda.current_stream(place)
    for lane in found:
        assert lane.stream is not None
        lane.stream.wait_stream(outside)
    try:
        yield found
    finally:
        for lane in found:
            assert lane.stream is not None
            outside.wait_stream(lane.stream)


def _different_streams(place: torch.device, n: int) -> list[torch.cuda.Stream]:
    """Streams of which no two are one."""
    found: dict[int, torch.cuda.Stream] = {}
    while len(found) < n:
        stream: torch.cuda.Stream = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]  # PyTorch has no type for it
        found.setdefault(stream.cuda_stream, stream)
    return list(found.values())
