"""The command line: what it makes, and how it says what went wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from actscope.cli import main
from actscope.training import save_weights

Run = Callable[..., tuple[int, str, str]]

MODELS = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))

def build_without_sites():
    return nn.Linear(6, 3)

def build_scripted():
    return torch.jit.script(build())

def build_with_size(size):
    return nn.Linear(size, 3)

def build_wrongly():
    return 1 + None

class Broken(nn.Module):
    def forward(self, x):
        return torch.relu(x @ torch.ones(5, 2))

number = 7
"""

DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset

generator = torch.Generator().manual_seed(0)
x, y = torch.randn(60, 6, generator=generator), torch.arange(60) % 3

def loaders():
    train, test = TensorDataset(x[:40], y[:40]), TensorDataset(x[40:], y[40:])
    return DataLoader(train, batch_size=16, shuffle=True), DataLoader(test, batch_size=16)

class Points(TensorDataset):
    def __init__(self):
        super().__init__(x, y)

def nothing():
    return x[:0], y[:0]

def poisoned():
    bad = x.clone()
    bad[3] = float("nan")
    return bad, y
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Call the command line in a folder with a model's and a data set's source; exit code, stdout and stderr."""
    (tmp_path / "demomodels.py").write_text(MODELS)
    (tmp_path / "demodata.py").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["actscope", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    yield call
    for name in ("demomodels", "demodata"):
        sys.modules.pop(name, None)


def test_examine_reports_on_a_model_and_loaders_that_are_named(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("examine", "demomodels:build", "--data", "demodata:loaders", "--out", "page")
    assert code == 0
    assert f"Report: {Path('page') / 'index.html'}" in out
    page = (tmp_path / "page" / "index.html").read_text()
    assert "demomodels:build on demodata:loaders" in page


def test_examine_takes_weights_and_arrays_from_files(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3))
    save_weights(model, tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "arrays.npz", x_train=rng.normal(size=(30, 6)), y_train=np.arange(30) % 3)
    code, out, err = run(
        "examine", "demomodels:build", "--weights", "w.safetensors", "--data", "arrays.npz", "--out", "page", "-q"
    )
    assert (code, err) == (0, "")
    assert out.strip() == f"Report: {Path('page') / 'index.html'}"


def test_sites_lists_what_can_be_read(run: Run) -> None:
    code, out, _ = run("sites", "demomodels:build", "--shape", "6")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["site", "kind", "shape", "neurons", "breakpoints"],
        ["1", "relu", "9", "9", "0"],
    ]


def test_demo_trains_and_reports(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("demo", "--epochs", 1, "--width", 8, "--out", "page", "--quiet")
    assert code == 0
    assert (tmp_path / "page" / "index.html").stat().st_size > 10_000
    assert "page" in out


ERRORS = {
    "no data": (["examine", "demomodels:build"], "no data was given"),
    "two kinds of data": (["examine", "demomodels:build", "--data", "demodata:x", "--dataset", "digits"], "choose one"),
    "no such module": (["examine", "nowhere.models:build", "--data", "demodata:x"], "no module 'nowhere'"),
    "no such name": (["examine", "demomodels:bild", "--data", "demodata:x"], "has no 'bild'; it has: .*build"),
    "not a path": (["examine", "demomodels", "--data", "demodata:x"], "not of the form"),
    "not a model": (["examine", "demomodels:number", "--data", "demodata:x"], "is a int"),
    "a builder with arguments": (
        ["examine", "demomodels:build_with_size", "--data", "demodata:x"],
        "without arguments",
    ),
    "no sites": (["examine", "demomodels:build_without_sites", "--data", "demodata:x"], "no activation site"),
    "a scripted model": (["examine", "demomodels:build_scripted", "--data", "demodata:x"], "scripted and traced"),
    "a model that fails": (["examine", "demomodels:Broken", "--data", "demodata:x"], "mat1 and mat2 shapes"),
    "no examples": (["examine", "demomodels:build", "--data", "demodata:nothing"], "no examples"),
    "a NaN": (
        ["examine", "demomodels:build", "--data", "demodata:poisoned"],
        "site '1' has a pre-activation of nan for example 3",
    ),
    "no such site": (
        ["examine", "demomodels:build", "--data", "demodata:x", "--layers", "conv9"],
        "names no activation site",
    ),
    "no such file": (["examine", "demomodels:build", "--data", "none.npz"], "there is no file none.npz"),
    "no such weights": (["examine", "demomodels:build", "--weights", "none.pt", "--data", "demodata:x"], "none.pt"),
    "weights that do not fit": (
        ["examine", "demomodels:build", "--weights", "other.safetensors", "--data", "demodata:x"],
        "0.weight",
    ),
    "a pickle": (["examine", "demomodels:build", "--weights", "pickle.pt", "--data", "demodata:x"], "pickle.pt"),
    "arrays of other names": (
        ["examine", "demomodels:build", "--data", "names.npz"],
        "holds a, b; x_train and y_train are needed",
    ),
    "a broken npz": (["examine", "demomodels:build", "--data", "broken.npz"], "broken.npz cannot be read"),
    "no such data set": (["examine", "demomodels:build", "--dataset", "imagenet"], "imagenet"),
    "no such recipe": (["demo", "--recipe", "soup"], "soup"),
    "no such activation": (["demo", "--activation", "rely"], "rely"),
    "a shape that is none": (["sites", "demomodels:build", "--shape", "six"], "--shape six"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("case", ERRORS)
def test_what_the_caller_got_wrong_is_one_message_and_exit_code_2(case: str, run: Run, tmp_path: Path) -> None:
    arguments, message = ERRORS[case]
    save_weights(torch.nn.Sequential(torch.nn.Linear(5, 9)), tmp_path / "other.safetensors")
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "pickle.pt")
    np.savez(tmp_path / "names.npz", a=np.zeros(1), b=np.zeros(1))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and then nothing")
    code, _, err = run(*arguments)
    assert code == 2
    assert "Traceback" not in err
    assert err.startswith("actscope: ")
    assert re.search(message, err)


def test_help_and_version_answer(run: Run) -> None:
    assert "examine" in run("--help")[1]
    assert run("--version")[1].startswith("actscope ")


def test_examine_takes_a_data_set_class(run: Run) -> None:
    code, _, err = run("examine", "demomodels:build", "--data", "demodata:Points", "--out", "page", "-q")
    assert (code, err) == (0, "")


def test_a_builder_that_fails_says_its_own_error(run: Run) -> None:
    code, _, err = run("examine", "demomodels:build_wrongly", "--data", "demodata:x")
    assert code == 2
    assert "without arguments" not in err
    assert "unsupported operand" in err
