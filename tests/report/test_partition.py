"""What a page says about the regions on a line or in a plane, and the files it comes in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from actscope.regions import Line, PlaneRegions, bounds, line, plane
from actscope.report.partition import facts_of, plain_widths, to_dict
from actscope.report.partition_page import render_partition, save_partition
from actscope.report.picked import pick
from actscope.training import MLP, load_dataset

MODEL = MLP(2, [9, 7], 3, init="torch", seed=1)


@pytest.fixture(scope="module")
def found() -> PlaneRegions:
    return plane(MODEL, window=(-2.0, 2.0, -2.0, 2.0))


@pytest.fixture(scope="module")
def along() -> Line:
    return line(MODEL, torch.tensor([-2.0, 1.0]), torch.tensor([2.0, 0.5]), extend=True)


def test_a_site_is_credited_with_the_neurons_that_switch_and_with_its_own_patterns(found: PlaneRegions) -> None:
    bits = np.unpackbits(found.packed, axis=1, bitorder="little")
    for facts, columns in zip(facts_of(found).sites, (slice(0, 9), slice(16, 23)), strict=True):
        part = bits[:, columns]
        assert facts.n_switching == int((part.min(axis=0) != part.max(axis=0)).sum())
        assert facts.n_patterns == len(np.unique(part, axis=0))


def test_several_breakpoints_of_a_neuron_are_one_neuron_that_switches() -> None:
    model = MLP(2, [5], 2, activation="hardtanh", init="torch", seed=0)
    (facts,) = facts_of(plane(model, window=(-50.0, 50.0, -50.0, 50.0))).sites
    assert facts.n_switching == 5


def test_the_bound_is_the_one_for_the_shape_in_as_many_dimensions_as_were_looked_at(
    found: PlaneRegions, along: Line
) -> None:
    assert facts_of(found, MODEL).bound == bounds.upper([9, 7], 2)
    assert facts_of(along, MODEL).bound == bounds.upper([9, 7], 1)
    leaky = MLP(2, [9, 7], 3, activation="leaky_relu", init="torch", seed=1)
    assert facts_of(plane(leaky), leaky).bound == bounds.upper([9, 7], 2, bound="montufar")
    assert facts_of(found).bound is None


class Skipping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.first(x)) + x)
        return out


def seq(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


PLAIN: dict[str, tuple[nn.Module, tuple[int, ...] | None]] = {
    "an MLP": (MODEL, (9, 7)),
    "with normalization": (MLP(2, [4, 5], 2, batch_norm=True), (4, 5)),
    "nested": (seq(nn.Flatten(), seq(nn.Linear(2, 3), nn.ReLU()), seq(nn.Dropout(), nn.Linear(3, 2))), (3,)),
    "ending in an activation": (seq(nn.Linear(2, 3), nn.ReLU()), (3,)),
    "two linear layers in a row": (seq(nn.Linear(2, 3), nn.Linear(3, 3), nn.ReLU()), None),
    "another activation": (seq(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)), None),
    "two activations in a row": (seq(nn.Linear(2, 3), nn.ReLU(), nn.ReLU()), None),
    "a convolution": (seq(nn.Conv1d(1, 2, 1), nn.ReLU()), None),
    "a skip connection": (Skipping(), None),
    "no activation": (seq(nn.Linear(2, 3)), None),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_bound_is_given_for_plain_chains_alone(case: str) -> None:
    model, expected = PLAIN[case]
    plain = plain_widths(model)
    assert (plain and plain[0]) == expected


def test_what_was_stopped_is_said_to_be_a_lower_bound() -> None:
    stopped = plane(MODEL, max_regions=10)
    assert dict(facts_of(stopped, MODEL).numbers)["Activation regions"].startswith("at least ")
    assert facts_of(stopped, MODEL).bound is None
    assert "every count is a lower bound" in render_partition(stopped)


RESULTS: dict[str, Callable[[], Any]] = {
    "plane": lambda: plane(MODEL),
    "whole plane": lambda: plane(MODEL, window=None),
    "line": lambda: line(MODEL, torch.zeros(2), torch.ones(2)),
    "whole line": lambda: line(MODEL, torch.zeros(2), torch.ones(2), extend=True),
    "sampled plane": lambda: plane(MODEL, samples=6),
    "sampled line": lambda: line(MODEL, torch.zeros(2), torch.ones(2), samples=6),
    "one cell": lambda: plane(MODEL, window=(10.0, 10.001, 10.0, 10.001)),
    "one output": lambda: plane(MLP(2, [3], 1, seed=0)),
}


@pytest.mark.parametrize("case", RESULTS)
def test_a_page_needs_no_other_file_and_escapes_what_comes_from_outside(case: str) -> None:
    page = render_partition(RESULTS[case](), model=MODEL, title="<b>net</b> & co")
    assert "<b>net" not in page
    assert "&lt;b&gt;net&lt;/b&gt; &amp; co" in page
    for outside in ("http://", "https://", "<script", "<link", ' src="/'):
        assert outside not in page
    assert ("A sampled picture" in page) == ("sampled" in case)


@pytest.mark.parametrize("case", RESULTS)
def test_the_numbers_are_plain_json(case: str) -> None:
    result = RESULTS[case]()
    values = json.loads(json.dumps(to_dict(result, facts_of(result, MODEL)), allow_nan=False))
    counted = "n_patterns_seen" if "sampled" in case else "n_regions"
    assert values[counted] == getattr(result, counted)
    assert [site["name"] for site in values["sites"]] == [site.name for site in result.sites]


@pytest.mark.parametrize("suffix", [".html", ".png", ".svg", ".pdf", ".json", ".geojson"])
def test_a_file_is_of_the_kind_that_its_name_says(suffix: str, found: PlaneRegions, tmp_path: Path) -> None:
    path = save_partition(found, tmp_path / f"out{suffix}", model=MODEL)
    begins = {
        ".html": b"<!DOCTYPE html>",
        ".png": b"\x89PNG",
        ".svg": b"<?xml",
        ".pdf": b"%PDF",
        ".json": b"{",
        ".geojson": b"{",
    }
    assert path.read_bytes().startswith(begins[suffix])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_names_that_end_otherwise_folders_that_are_not_there_and_cells_that_are_not_are_refused(
    found: PlaneRegions, along: Line, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"out\.gif ends in \.gif"):
        save_partition(found, tmp_path / "out.gif")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save_partition(found, tmp_path / "nowhere" / "out.png")
    with pytest.raises(ValueError, match="a Line is not"):
        save_partition(along, tmp_path / "out.geojson")


X, Y = torch.arange(24.0).reshape(4, 6), torch.tensor([3, 2, 1, 0])

SOURCES: dict[str, Any] = {
    "arrays": (X.numpy(), Y.numpy()),
    "tensors": (X, Y),
    "a data set": TensorDataset(X, Y),
    "a loader that shuffles": DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True),
}


@pytest.mark.parametrize("case", SOURCES)
def test_an_index_picks_the_same_example_whatever_holds_it(case: str) -> None:
    picked = pick(SOURCES[case], [2, 0])
    assert (picked.x == X[[2, 0]]).all()
    assert picked.labels == ("1", "3")
    assert picked.pictures == ()


def test_examples_without_labels_are_taken_without() -> None:
    picked = pick(X, [1])
    assert (picked.x == X[[1]]).all()
    assert picked.labels is None


def test_images_come_with_their_pictures_and_classes_with_their_names() -> None:
    _, test = load_dataset("digits")
    picked = pick(test, [5, 9])
    assert [picture.shape for picture in picked.pictures] == [(8, 8), (8, 8)]
    assert picked.labels == tuple(test.classes[int(i)] for i in test.y[[5, 9]])


def test_an_index_beyond_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match=r"example 4: mnist has 4 examples, 0 to 3"):
        pick((X, Y), [0, 4], source="mnist")
