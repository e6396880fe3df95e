"""The summary for a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from actscope.codes import Codes, Site
from actscope.figures.labels import percent
from actscope.report import report_on_codes

LONG = [
    Site(f"encoder.layers.{i}.a_block_with_a_long_name.and_another.activation#2", "a_kind_of_activation", (3,), (0.0,))
    for i in range(30)
]


@pytest.mark.parametrize("n_classes", [None, 3])
def test_no_line_is_wider_than_a_hundred_characters(make_codes: Callable[..., Codes], n_classes: int | None) -> None:
    codes = make_codes(30, sites=LONG, n_classes=n_classes)
    report = report_on_codes(codes, codes, title="A title " * 40, model="Some model " * 30, map_examples=0)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines == [line.rstrip() for line in lines]
    assert "… and 18 more" in lines


def test_columns_of_numbers_end_under_each_other(make_codes: Callable[..., Codes]) -> None:
    report = report_on_codes(make_codes(60, seed=1), make_codes(40, seed=2), map_examples=0)
    lines = str(report).splitlines()
    header = next(i for i, line in enumerate(lines) if line.split() == ["train", "test"])
    for line in lines[header + 1 : lines.index("", header)]:
        assert len(line) == len(lines[header]), line


def test_it_tells_the_numbers_of_the_report(make_codes: Callable[..., Codes]) -> None:
    report = report_on_codes(
        make_codes(60, seed=1), make_codes(40, seed=2), own_accuracy={"train": 0.875, "test": 0.75}, map_examples=0
    )
    text = str(report)
    assert re.search(r"accuracy of the model itself +87\.5 % +75\.0 %\n", text)
    for split in (report.train, report.test):
        assert f"{split.determinism.n_regions:,}" in text
        assert percent(split.determinism.redundancy_ratio) in text
    for method in report.categorization:
        assert f"{method.name}, on codes" in text
        assert percent(method.train) in text
    for judgement in report.verdict:
        assert judgement.answer in text


def test_what_sets_an_accuracy_apart_is_told_below_the_table(make_codes: Callable[..., Codes]) -> None:
    report = report_on_codes(make_codes(60), map_examples=0, max_examples=20)
    assert "  * 9-NN: fitted on a random 20 of 60 examples, seed 0" in str(report)


def test_no_colour_and_no_control_characters(make_codes: Callable[..., Codes]) -> None:
    report = replace(report_on_codes(make_codes(30), map_examples=0), title="plain")
    assert all(char == "\n" or char.isprintable() for char in str(report))
