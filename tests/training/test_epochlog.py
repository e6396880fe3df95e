"""The log of a training knows at every epoch what the losses so far say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actscope.training.epochlog import EpochLog


@given(st.lists(st.integers(0, 5).map(float), min_size=1, max_size=20))
def test_epochs_without_gain_are_those_since_the_first_lowest_loss(losses: list[float]) -> None:
    log = EpochLog()
    for n, loss in enumerate(losses, start=1):
        log.record_loss(loss)
        assert log.epochs_without_gain == n - 1 - losses[:n].index(min(losses[:n]))
    assert EpochLog(**log.to_dict()) == log
