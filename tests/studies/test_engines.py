"""Every engine does every block once, whatever happens to some of them."""

from __future__ import annotations

import builtins
import math
import os
from pathlib import Path
from typing import Any

import pytest

from actscope.studies.engines import ENGINES, WorkerDiedError, work_on

# What a worker in another process runs must be importable there; `eval` of the block is.
evaluate: Any = builtins.eval


def outcomes(blocks: list[Any], work: Any, **options: Any) -> dict[Any, Any]:
    if options.get("engine") == "ray":
        pytest.importorskip("ray", reason="needs Ray: pip install 'actscope[ray]'")
    return dict(work_on(blocks, work, **options))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_block_has_its_outcome(engine: Any) -> None:
    assert outcomes([0, 1, 4, 9, 16], math.sqrt, engine=engine, n_workers=2) == {0: 0, 1: 1, 4: 2, 9: 3, 16: 4}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_that_fails_does_not_stop_the_others(engine: Any) -> None:
    found = outcomes([4, -1, 9], math.sqrt, engine=engine, n_workers=2)
    assert isinstance(found.pop(-1), ValueError)
    assert found == {4: 2, 9: 3}


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_block_whose_worker_dies_is_done_again(engine: Any, tmp_path: Path) -> None:
    died = tmp_path / "died"
    once = f"5 if __import__('pathlib').Path({str(died)!r}).exists() else (open({str(died)!r}, 'w').close(), __import__('os')._exit(1))"
    assert outcomes(["1 + 1", once, "2 + 2"], evaluate, engine=engine, n_workers=2) == {"1 + 1": 2, once: 5, "2 + 2": 4}


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_block_whose_worker_always_dies_is_given_up_and_the_others_are_not(engine: Any) -> None:
    deadly = "__import__('os')._exit(1)"
    found = outcomes(["1 + 1", deadly, "2 + 2"], evaluate, engine=engine, n_workers=1)
    assert isinstance(found.pop(deadly), WorkerDiedError)
    assert found == {"1 + 1": 2, "2 + 2": 4}


def test_the_local_engine_works_in_this_process() -> None:
    assert outcomes(["__import__('os').getpid()"], evaluate) == {"__import__('os').getpid()": os.getpid()}


def test_names_and_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="engine='spark'"):
        work_on([], len, engine="spark")  # type: ignore[arg-type]  # what the caller got wrong
    with pytest.raises(ValueError, match="n_workers=0"):
        work_on([], len, n_workers=0)
