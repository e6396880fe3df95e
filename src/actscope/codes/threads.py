"""Kernels side by side on the cores that torch may use."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import torch

__all__ = ["spread"]


def spread(work: Callable[[int, int], None], n: int, *, at_least: int) -> None:
    """Call ``work(first, last)`` on ranges that cover 0 … n, on as many threads as `torch.get_num_threads()` says.

    ``work`` has to release the GIL to gain anything. Ranges are ``at_least`` long: choose what takes half a millisecond
    or more, since a thread takes a tenth to start. The calling thread works too, and alone where there is one range or
    one thread. No thread outlives the call, so that a process may fork at any time. After an exception no further range
    begins, and it is raised here.

    Example:
        >>> squares = [0] * 5
        >>> def work(first, last):
        ...     squares[first:last] = [i * i for i in range(first, last)]
        >>> spread(work, 5, at_least=2)
        >>> squares
        [0, 1, 4, 9, 16]
    """
    n_threads = torch.get_num_threads()
    step = max(at_least, -(-n // (4 * n_threads)))  # several ranges a thread, for cores that others use too
    waiting = deque(range(0, n, step))
    errors: list[BaseException] = []

    def work_on() -> None:
        try:
            while True:
                try:
                    first = waiting.popleft()
                except IndexError:
                    return
                work(first, min(first + step, n))
        except BaseException as error:
            waiting.clear()
            errors.append(error)

    others = [threading.Thread(target=work_on) for _ in range(min(n_threads, len(waiting)) - 1)]
    try:
        for thread in others:
            thread.start()
        work_on()
        for thread in others:
            thread.join()
    finally:  # an interrupt may come while the others work
        waiting.clear()
    if errors:
        raise errors[0]
