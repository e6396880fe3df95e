"""The rules behind the verdict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.report.judgement import judge_capacity, judge_classes, judge_generalization, judge_neurons

ORDER = {"poor": 0, "fair": 1, "good": 2}
share = st.floats(0, 1)


def capacity(redundancy: float, **changes: Any) -> Any:
    given_ = {"n_examples": 1000, "n_regions": 900, "mixed_ratio": 0.2, "code_accuracy": 0.9, "chance": 0.1}
    return judge_capacity(redundancy=redundancy, **{**given_, **changes})


@given(share, share)
def test_more_redundancy_is_never_better(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert ORDER[capacity(high).mark] <= ORDER[capacity(low).mark]


def test_redundancy_within_classes_weighs_less_than_across_them() -> None:
    assert capacity(0.4).mark == "poor"
    assert capacity(0.4, mixed_ratio=0.005).mark == "fair"


def test_regions_that_know_nothing_of_the_class_are_not_good() -> None:
    assert capacity(0.0).mark == "good"
    assert capacity(0.0, code_accuracy=0.3).mark == "fair"
    assert capacity(0.0, code_accuracy=None, chance=None).mark == "good"


@pytest.mark.parametrize("redundancy", [0.0, 0.9])
def test_few_examples_decide_nothing_about_size(redundancy: float) -> None:
    assert capacity(redundancy, n_examples=99).mark == "open"


@given(share, share, st.none() | share, st.floats(0.01, 1))
def test_better_codes_are_never_judged_worse(first: float, second: float, own: float | None, chance: float) -> None:
    low, high = sorted((first, second))
    marks = [
        ORDER[judge_classes(code_accuracy=accuracy, method="9-NN", own_accuracy=own, chance=chance, split="test").mark]
        for accuracy in (low, high)
    ]
    assert marks[0] <= marks[1]


@pytest.mark.parametrize(
    ("accuracy", "own", "mark"),
    [
        (0.91, 0.93, "good"),
        (0.97, 0.93, "good"),
        (0.86, 0.93, "fair"),
        (0.80, 0.93, "poor"),
        (0.85, None, "good"),
        (0.60, None, "fair"),
        (0.40, None, "poor"),
    ],
)
def test_codes_are_measured_by_the_model_or_else_by_the_way_from_guessing(
    accuracy: float, own: float | None, mark: str
) -> None:
    found = judge_classes(code_accuracy=accuracy, method="9-NN", own_accuracy=own, chance=0.1, split="test")
    assert found.mark == mark


@pytest.mark.parametrize(("test", "mark"), [(0.99, "good"), (0.88, "good"), (0.85, "fair"), (0.7, "poor")])
def test_a_drop_is_small_fair_or_large(test: float, mark: str) -> None:
    found = judge_generalization(
        code_train=0.9, code_test=test, method="9-NN", redundancy_test=0.1, redundancy_train_at_same_size=0.1
    )
    assert found.mark == mark


@pytest.mark.parametrize(("idle", "mark"), [(0, "good"), (10, "good"), (11, "fair"), (100, "fair"), (101, "poor")])
def test_idle_neurons_are_few_some_or_many(idle: int, mark: str) -> None:
    for can_die in (True, False):
        found = judge_neurons(
            n_neurons=1000, n_dead=idle, n_always_on=0, n_constant=idle, n_examples=500, can_die=can_die
        )
        assert found.mark == mark


def test_a_model_that_only_guesses_is_no_yardstick() -> None:
    found = judge_classes(code_accuracy=0.11, method="9-NN", own_accuracy=0.11, chance=0.1, split="test")
    assert (found.mark, found.answer) == ("poor", "The model itself does not know them")


def test_without_an_accuracy_on_codes_nothing_is_said_of_classes() -> None:
    assert judge_classes(code_accuracy=None, method="", own_accuracy=0.9, chance=0.1, split="test").mark == "open"


@given(share, share, share)
def test_a_larger_drop_is_never_better(train: float, first: float, second: float) -> None:
    low, high = sorted((first, second))
    marks = [
        ORDER[
            judge_generalization(
                code_train=train,
                code_test=test,
                method="9-NN",
                redundancy_test=0.1,
                redundancy_train_at_same_size=None,
            ).mark
        ]
        for test in (low, high)
    ]
    assert marks[0] <= marks[1]


@given(st.integers(0, 50), st.integers(0, 50), st.booleans())
def test_more_idle_neurons_are_never_better(first: int, second: int, can_die: bool) -> None:
    few, many = sorted((first, second))
    marks = [
        ORDER[
            judge_neurons(
                n_neurons=50, n_dead=idle, n_always_on=0, n_constant=idle, n_examples=500, can_die=can_die
            ).mark
        ]
        for idle in (few, many)
    ]
    assert marks[1] <= marks[0]


@pytest.mark.parametrize(
    ("idle", "always_on", "said"),
    [
        (0, 0, "None of the 50 neurons gives the same output for all 500 training examples."),
        (1, 0, "1 of 50 neurons (2.0 %) gives the same output for all 500 training examples."),
        (
            5,
            1,
            "5 of 50 neurons (10.0 %) give the same output for all 500 training examples; 1 only passes the input on.",
        ),
    ],
)
def test_numbers_of_neurons_are_said_in_proper_sentences(idle: int, always_on: int, said: str) -> None:
    found = judge_neurons(
        n_neurons=50, n_dead=idle, n_always_on=always_on, n_constant=idle + always_on, n_examples=500, can_die=True
    )
    assert found.detail == said
