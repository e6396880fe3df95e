"""The page's section on neurons: verdicts and similarity by site, the worst units with their evidence, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actscope.codes import Codes
from actscope.figures.labels import percent
from actscope.neurons.verdicts import VERDICTS
from actscope.report import Report, examine, report_on_codes
from actscope.report.page import render_page


class Net(nn.Module):
    """A convolution with a dead channel, and a tanh layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu = nn.Conv2d(1, 4, 3), nn.ReLU()
        self.hidden, self.tanh = nn.Linear(64, 6), nn.Tanh()
        self.output = nn.Linear(6, 3)
        with torch.no_grad():
            self.conv.bias[2] = -100.0

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.tanh(self.hidden(self.relu(self.conv(x)).flatten(1))))


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    return torch.randn(120, 1, 6, 6, generator=torch.Generator().manual_seed(1)), torch.arange(120) % 3


@pytest.fixture(scope="module")
def report(data: tuple[Tensor, Tensor]) -> Report:
    return examine(Net(), data, map_examples=0, progress=False)


def section(report: Report, read_page: Callable[[str], Any]) -> tuple[Any, str]:
    page = read_page(render_page(report))
    assert page.errors == []
    return page, " ".join(page.sections["neurons"].split())


def test_every_site_has_its_shares_and_similarities(report: Report, read_page: Callable[[str], Any]) -> None:
    page, _ = section(report, read_page)
    for name, unit in (("relu", "4 channels"), ("tanh", "6 neurons")):
        live, means = report.vitals[name], report.similarity.by_site[name]
        row = next(row for row in page.rows if row[0] == name and row[1] == unit)
        expected = [percent(live.share(verdict)) if live.can_be(verdict) else "–" for verdict in VERDICTS]
        assert row[2:] == [*expected, percent(means.within_class), percent(means.between_classes)]
    row = page.row("All sites")
    assert row[1] == "10 units"
    assert row[2] == percent(report.vitals.counts()["dead"] / 10)
    assert row[-1] == percent(report.similarity.between_classes)


def test_the_worst_units_come_with_evidence_rule_and_advice(report: Report, read_page: Callable[[str], Any]) -> None:
    page, text = section(report, read_page)
    assert page.row("channel 2 of relu")[1:] == ["dead, constant pattern", "gives 0 for all 120 examples"]
    assert "Prune it (actscope.neurons.prune)" in text
    assert "The rule: the post-activation is the same for every example" in text


def test_the_numbers_are_in_the_json_and_the_summary(report: Report) -> None:
    numbers = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert numbers["vitals"]["sites"][0]["verdicts"]["dead"] == 1
    assert numbers["similarity"]["n_examples"] == 120
    assert "relu[2] dead: gives 0 for all 120 examples" in str(report)


def test_without_labels_nothing_is_called_dying_and_the_reason_is_given(
    data: tuple[Tensor, Tensor], read_page: Callable[[str], Any]
) -> None:
    page, text = section(examine(Net(), data[0], map_examples=0, progress=False), read_page)
    assert "None could be called dying, since there are no gradients: the data has no labels" in text
    row = next(row for row in page.rows if row[0] == "relu" and row[1] == "4 channels")
    assert row[2 + VERDICTS.index("dying")] == "–"
    assert len(row) == 2 + len(VERDICTS) + 1


def test_of_codes_alone_the_section_has_similarity_and_says_what_it_lacks(read_page: Callable[[str], Any]) -> None:
    codes = Codes.from_bits(np.random.default_rng(0).random((40, 8)) < 0.5, labels=np.arange(40) % 2)
    _, text = section(report_on_codes(codes, map_examples=0), read_page)
    assert "Similarity by site" in text
    assert "There are no verdicts on single neurons: only codes were given." in text


def test_vital_signs_can_be_switched_off(data: tuple[Tensor, Tensor], read_page: Callable[[str], Any]) -> None:
    _, text = section(examine(Net(), data, map_examples=0, neurons=False, progress=False), read_page)
    assert "they were switched off (neurons=False)" in text


def test_a_model_that_cannot_run_backward_has_a_report_all_the_same(
    data: tuple[Tensor, Tensor], read_page: Callable[[str], Any]
) -> None:
    class OneWay(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Tensor:
            raise NotImplementedError("no way back")

    class Stuck(Net):
        def forward(self, x: Tensor) -> Tensor:
            return OneWay.apply(super().forward(x))

    _, text = section(examine(Stuck(), data, map_examples=0, progress=False), read_page)
    assert "the backward pass failed: no way back" in text


def test_data_that_come_once_leave_vital_signs_out(
    data: tuple[Tensor, Tensor], read_page: Callable[[str], Any]
) -> None:
    once = iter([data])
    _, text = section(examine(Net(), once, ids="order", map_examples=0, progress=False), read_page)
    assert "the data can be read only once" in text
