"""Where the blocks of a study are worked on: here, in processes of this machine, or by Ray on many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Literal, TypeVar, get_args

__all__ = ["ENGINES", "EngineName", "WorkerDiedError", "work_on"]

EngineName = Literal["local", "processes", "ray"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

_ATTEMPTS = 3
"""How often a block is tried whose worker died: the machine may have been short of memory for a moment."""

Block = TypeVar("Block")
Outcome = TypeVar("Outcome")


class WorkerDiedError(RuntimeError):
    """The process that worked on a block ended without a word, more than once."""


def work_on(
    blocks: Sequence[Block],
    work: Callable[[Block], Outcome],
    *,
    engine: EngineName = "local",
    n_workers: int | None = None,
) -> Iterator[tuple[Block, Outcome | Exception]]:
    """Every block with what `work` returned for it or raised, as they end.

    Blocks do not stop each other. A block whose worker dies is tried again, and after three deaths given up with a
    `WorkerDiedError`. An interrupt ends all.

    Args:
        blocks: what there is to do; with another engine than `local`, blocks, `work` and outcomes must survive pickling.
        work: done once for each.
        engine: `local` works here, one block after the other; `processes` in new processes of this machine; `ray` on a Ray cluster,
            the one that is connected or else a new one on this machine.
        n_workers: blocks at once; None for one for each core, or what the cluster has.

    Raises:
        ValueError: no engine of that name, or no worker.
        ImportError: Ray is not installed.

    Example:
        >>> list(work_on([1, 2], lambda block: 10 * block))
        [(1, 10), (2, 20)]
    """
    if engine not in ENGINES:
        raise ValueError(f"engine='{engine}' is not known; choose one of {', '.join(ENGINES)}")
    if n_workers is not None and n_workers < 1:
        raise ValueError(f"n_workers={n_workers} must be positive")
    if engine == "local":
        return _local(blocks, work)
    if engine == "processes":
        return _processes(blocks, work, n_workers)
    return _ray(blocks, work, n_workers)


def n_cores() -> int:
    """Cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _local(blocks: Sequence[Block], work: Callable[[Block], Outcome]) -> Iterator[tuple[Block, Outcome | Exception]]:
    for block in blocks:
        try:
            yield block, work(block)
        except Exception as error:
            yield block, error


def _processes(
    blocks: Sequence[Block], work: Callable[[Block], Outcome], n_workers: int | None
) -> Iterator[tuple[Block, Outcome | Exception]]:
    n_workers = min(n_workers or n_cores(), max(1, len(blocks)))
    waiting = list(enumerate(blocks))
    deaths = dict.fromkeys(range(len(blocks)), 0)
    while waiting:
        # spawned, since a forked process inherits locks that PyTorch's threads may hold
        with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
            running: dict[Future[Outcome], tuple[int, Block]] = {}
            broken: list[tuple[int, Block]] = []
            try:
                while (waiting and not broken) or running:
                    # not more than there are workers, so that a death is blamed on few
                    while waiting and not broken and len(running) < n_workers:
                        entry = waiting.pop(0)
                        running[pool.submit(work, entry[1])] = entry
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        entry = running.pop(future)
                        error = future.exception()
                        if isinstance(error, BrokenProcessPool):
                            broken.append(entry)
                        elif isinstance(error, Exception):
                            yield entry[1], error
                        else:
                            yield entry[1], future.result()
            except BrokenProcessPool:
                broken += [entry, *running.values()]
            except BaseException:
                for process in list((getattr(pool, "_processes", None) or {}).values()):
                    process.terminate()
                raise
        for index, block in broken:
            deaths[index] += 1
            if deaths[index] < _ATTEMPTS:
                waiting.append((index, block))
            else:
                yield block, _died(block)


def _end_with_parent() -> None:
    """Ends this process when its parent is gone: nobody would know that it is still writing."""
    import os
    import threading
    from multiprocessing import connection, parent_process

    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _ray(
    blocks: Sequence[Block], work: Callable[[Block], Outcome], n_workers: int | None
) -> Iterator[tuple[Block, Outcome | Exception]]:
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "engine='ray' needs Ray: pip install 'actscope[ray]', or choose engine='processes'"
        ) from error
    if not ray.is_initialized():
        ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    task: Any = ray.remote(num_cpus=1, max_retries=_ATTEMPTS - 1)(_call)
    n_at_once = n_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    left = iter(blocks)
    running = {task.remote(work, block): block for block in itertools.islice(left, n_at_once)}
    try:
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                block = running.pop(reference)
                try:
                    yield block, ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    cause = error.cause
                    yield block, cause if isinstance(cause, Exception) else error
                except (
                    ray.exceptions.WorkerCrashedError,
                    ray.exceptions.NodeDiedError,
                    ray.exceptions.OutOfMemoryError,
                ):
                    yield block, _died(block)
                for block in itertools.islice(left, 1):
                    running[task.remote(work, block)] = block
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _call(work: Callable[[Block], Outcome], block: Block) -> Outcome:
    """What Ray runs: it takes plain functions only."""
    return work(block)


def _died(block: object) -> WorkerDiedError:
    return WorkerDiedError(
        f"the process that worked on {block} ended without a word, {_ATTEMPTS} times: it may have run out of memory, so try "
        "fewer workers; what was measured is saved"
    )
