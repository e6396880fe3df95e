"""Work spread over threads: all of it, once, and errors come back."""

from __future__ import annotations

import threading

import pytest

from actscope.codes.threads import spread


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 7, 100])
@pytest.mark.parametrize("at_least", [1, 8, 1000])
def test_ranges_cover_everything_once(n: int, at_least: int, n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: n_threads)
    done: list[int] = []
    spread(lambda first, last: done.extend(range(first, last)), n, at_least=at_least)
    assert sorted(done) == list(range(n))


def test_one_thread_means_the_calling_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    callers = set()
    spread(lambda first, last: callers.add(threading.get_ident()), 100, at_least=1)
    assert callers == {threading.get_ident()}


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_error_comes_back_and_leaves_no_thread_behind(n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: n_threads)
    before = threading.active_count()

    def work(first: int, last: int) -> None:
        raise RuntimeError(f"range from {first}")

    with pytest.raises(RuntimeError, match="range from"):
        spread(work, 10, at_least=1)
    assert threading.active_count() == before
