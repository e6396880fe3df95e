"""`actscope regions`: what it makes, and how it says what went wrong."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from actscope.cli import main
from actscope.regions import Plane, line, plane
from actscope.training import MLP, load_dataset, save_weights

Run = Callable[..., tuple[int, str, str]]

MODELS = """
from actscope.training import MLP
from torch import nn

def build():
    return MLP(64, [12, 9], 10, seed=3)

def two():
    return MLP(2, [6], 3, init="torch", seed=0)

def smooth():
    return MLP(64, [5, 4], 3, activation="sigmoid", seed=0)
"""

DIGITS = ("regions", "netmodels:build", "--dataset", "digits")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Call the command line in a folder with a model's source; exit code, stdout and stderr."""
    (tmp_path / "netmodels.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["actscope", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    yield call
    sys.modules.pop("netmodels", None)


def test_a_plane_through_three_test_examples_becomes_a_page(run: Run, tmp_path: Path) -> None:
    code, out, err = run(*DIGITS, "--plane", 3, 7, 11, "--verify", "--out", "plane.html")
    assert (code, err) == (0, "")
    assert "Page: plane.html" in out
    page = (tmp_path / "plane.html").read_text()
    _, test = load_dataset("digits")
    expected = plane(MLP(64, [12, 9], 10, seed=3), Plane.through(*test.x[[3, 7, 11]]))
    assert f"{expected.n_regions:,}" in page
    assert page.count("data:image/png;base64,") >= 3
    assert f"example 7, class {int(test.y[7])}" in page
    assert "decision boundary" in page


def test_weights_decide_what_is_counted(run: Run, tmp_path: Path) -> None:
    model = MLP(64, [12, 9], 10, seed=4)
    save_weights(model, tmp_path / "w.safetensors")
    code, _, _ = run(*DIGITS, "--plane", 0, 1, 2, "--weights", "w.safetensors", "--out", "p.json", "-q")
    assert code == 0
    _, test = load_dataset("digits")
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["n_regions"] == plane(model, Plane.through(*test.x[:3])).n_regions


def test_a_line_through_training_examples_can_be_whole(run: Run, tmp_path: Path) -> None:
    train, _ = load_dataset("digits")
    model = MLP(64, [12, 9], 10, seed=3)
    for options, extend in (([], False), (["--whole"], True)):
        code, _, _ = run(*DIGITS, "--line", 4, 9, "--split", "train", *options, "--out", "l.json", "-q")
        assert code == 0
        expected = line(model, train.x[4], train.x[9], extend=extend)
        assert json.loads((tmp_path / "l.json").read_text())["breakpoints"] == expected.breakpoints.tolist()


def test_a_plane_through_the_origin_and_layers_and_a_window_are_passed_on(run: Run, tmp_path: Path) -> None:
    options = ("--through-origin", 3, 7, "--window", -9, 9, -9, 9, "--layers", "relu1", "--out", "p.json", "-q")
    assert run(*DIGITS, *options)[0] == 0
    _, test = load_dataset("digits")
    section = Plane.through_origin(*test.x[[3, 7]])
    expected = plane(MLP(64, [12, 9], 10, seed=3), section, window=(-9.0, 9.0, -9.0, 9.0), layers=["relu1"])
    assert json.loads((tmp_path / "p.json").read_text())["n_regions"] == expected.n_regions


def test_a_model_of_two_inputs_needs_no_data(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("regions", "netmodels:two", "--whole", "--out", "two.geojson")
    assert code == 0
    found = plane(MLP(2, [6], 3, init="torch", seed=0), window=None)
    assert repr(found) in out
    assert len(json.loads((tmp_path / "two.geojson").read_text())["features"]) > 5


def test_a_random_plane_is_decided_by_the_seed(run: Run, tmp_path: Path) -> None:
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        options = ("--random-plane", "64", "--seed", seed, "--window", -9, 9, -9, 9, "--out", f"{name}.json", "-q")
        assert run("regions", "netmodels:build", *options)[0] == 0
    a, b, c = (json.loads((tmp_path / f"{name}.json").read_text())["sizes"] for name in "abc")
    assert a == b != c


def test_a_smooth_model_is_sampled_on_request(run: Run, tmp_path: Path) -> None:
    options = ("--plane", 0, 1, 2, "--samples", 8, "--breakpoints=-1,1", "--out", "s.html")
    code, out, _ = run("regions", "netmodels:smooth", "--dataset", "digits", *options)
    assert code == 0
    assert "patterns seen at 8×8 points" in out
    assert "A sampled picture" in (tmp_path / "s.html").read_text()


@pytest.mark.parametrize("name", ["p.png", "p.svg"])
@pytest.mark.parametrize("colour", ["region", "norm", "class"])
def test_pictures_come_in_every_colour(name: str, colour: str, run: Run, tmp_path: Path) -> None:
    assert run("regions", "netmodels:two", "--colour", colour, "--out", name, "-q") == (0, f"File: {name}\n", "")
    assert (tmp_path / name).stat().st_size > 1000


def test_a_limit_that_was_met_is_said(run: Run) -> None:
    code, out, _ = run(*DIGITS, "--plane", 3, 7, 11, "--max-regions", 5, "--out", "p.html")
    assert code == 0
    assert "at least" in out


ERRORS = {
    "nowhere to look": (["netmodels:build"], "--plane I J K"),
    "a smooth model": (["netmodels:smooth", "--dataset", "digits", "--plane", 0, 1, 2], "--samples 500"),
    "two places": ([*DIGITS[1:], "--plane", 0, 1, 2, "--line", 0, 1], "--plane and --line were given"),
    "an index beyond the data": ([*DIGITS[1:], "--plane", 0, 1, 99999], r"digits \(test\) has 359 examples"),
    "one example twice": ([*DIGITS[1:], "--plane", 3, 3, 5], "span no plane"),
    "no data": (["netmodels:build", "--plane", 0, 1, 2], "no data was given"),
    "no such split": ([*DIGITS[1:], "--plane", 0, 1, 2, "--split", "dev"], "--split dev"),
    "a window of a line": ([*DIGITS[1:], "--line", 0, 1, "--window", 0, 1, 0, 1], "--window goes with a plane"),
    "a window of all": (["netmodels:two", "--whole", "--window", 0, 1, 0, 1], "not with --whole"),
    "an empty window": (["netmodels:two", "--window", 1, 0, 0, 1], "is empty"),
    "samples without end": (["netmodels:two", "--whole", "--samples", 9], "cannot be sampled"),
    "samples verified": (["netmodels:two", "--samples", 9, "--verify"], "--verify and --max-regions"),
    "a line with a limit": ([*DIGITS[1:], "--line", 0, 1, "--max-regions", 9], "always counted to its end"),
    "a colour that is none": (["netmodels:two", "--colour", "red"], "--colour red"),
    "breakpoints that are none": (["netmodels:two", "--breakpoints", "a,b"], "--breakpoints a,b"),
    "a shape that is none": (["netmodels:build", "--random-plane", "six"], "--random-plane six"),
    "a file of another kind": (["netmodels:two", "--out", "plane.gif"], r"ends in \.gif"),
    "a folder that is not there": (["netmodels:two", "--out", "none/plane.html"], "there is no folder none"),
    "a site that is not there": (["netmodels:two", "--layers", "conv9"], "conv9"),
    "samples as cells": (["netmodels:two", "--samples", 9, "--out", "s.geojson"], "a SampledPlane is not"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_the_caller_got_wrong_is_one_message_and_exit_code_2(case: str, run: Run, tmp_path: Path) -> None:
    arguments, message = ERRORS[case]
    code, _, err = run("regions", *arguments)
    assert code == 2
    assert "Traceback" not in err
    assert err.startswith("actscope: ")
    assert re.search(message, err)
    assert not list(tmp_path.glob("*.html"))


def test_random_states_are_left_alone(run: Run) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    run("regions", "netmodels:two", "--out", "p.json", "-q")
    assert (torch.get_rng_state() == before).all()
