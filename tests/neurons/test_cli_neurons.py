"""`actscope neurons`: the table, the worst units with their evidence, and the file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from actscope.cli import main
from actscope.training import save_weights

Run = Callable[..., tuple[int, str, str]]

MODELS = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
    with torch.no_grad():
        model[0].bias[4] = -100.0
    return model

def build_cnn():
    torch.manual_seed(0)
    return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(10, 3))

def build_healthy():
    model = nn.Sequential(nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2, 6))
        model[0].bias.zero_()
    return model
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Call the command line in a folder with a model's source and arrays; exit code, stdout and stderr."""
    (tmp_path / "demounits.py").write_text(MODELS)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "arrays.npz", x_train=rng.normal(size=(150, 6)), y_train=np.arange(150) % 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["actscope", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    yield call
    sys.modules.pop("demounits", None)


def test_the_table_and_the_worst_units_with_what_to_do_are_printed(run: Run) -> None:
    code, out, _ = run("neurons", "demounits:build", "--data", "arrays.npz")
    assert code == 0
    assert re.search(r"^1 +9 +11\.1 %", out, flags=re.MULTILINE)
    assert "1[4] dead: gives 0 for all 150 examples" in out
    assert re.search(r"^dead: Prune it", out, flags=re.MULTILINE)
    assert max(len(line) for line in out.splitlines()) <= 110


def test_out_writes_the_table_of_every_unit(run: Run, tmp_path: Path) -> None:
    code, out, err = run("neurons", "demounits:build", "--data", "arrays.npz", "--out", "units.parquet", "-q")
    assert (code, err) == (0, "")
    assert out.strip() == "Table of 9 units: units.parquet"
    rows = pq.read_table(tmp_path / "units.parquet").to_pylist()
    assert rows[4]["verdicts"] == ["dead", "constant pattern"]


def test_channels_are_units_unless_neurons_are_asked_for(run: Run) -> None:
    assert re.search(r"^2 +5 ", run("neurons", "demounits:build_cnn", "--data", "arrays.npz")[1], flags=re.MULTILINE)
    out = run("neurons", "demounits:build_cnn", "--data", "arrays.npz", "--by", "neuron")[1]
    assert re.search(r"^2 +10 ", out, flags=re.MULTILINE)


def test_weights_from_a_file_are_taken(run: Run, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    save_weights(model, tmp_path / "w.safetensors")
    out = run("neurons", "demounits:build", "--weights", "w.safetensors", "--data", "arrays.npz")[1]
    assert re.search(r"^1 +9 +100 %", out, flags=re.MULTILINE)


def test_where_all_is_well_it_says_so(run: Run) -> None:
    assert "All units are alive." in run("neurons", "demounits:build_healthy", "--data", "arrays.npz")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data was given"),
        (["--data", "arrays.npz", "--by", "filter"], "by='filter': give 'neuron' or 'channel'"),
        (["--data", "arrays.npz", "--layers", "conv9"], "names no activation site"),
        (["--data", "arrays.npz", "--out", "nowhere/units.parquet"], "there is no folder nowhere"),
    ],
)
def test_what_the_caller_got_wrong_is_one_message_and_exit_code_2(arguments: list[str], message: str, run: Run) -> None:
    code, _, err = run("neurons", "demounits:build", *arguments)
    assert code == 2
    assert err.startswith("actscope: ")
    assert message in err
