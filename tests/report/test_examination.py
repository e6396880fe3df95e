"""From a model and data to a report, in all the forms that data have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from actscope import encode, hashing
from actscope.codes import Codes
from actscope.report import examine, report_on_codes
from actscope.report.liveness import site_liveness
from actscope.report.unavailable import Unavailable


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 11), nn.ReLU(), nn.Linear(11, 7), nn.GELU(), nn.Linear(7, 3))


X = torch.randn(90, 1, 4, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(90) % 3
TRAIN, TEST = slice(0, 60), slice(60, 90)


class Named(TensorDataset):
    classes = ("ant", "bee", "cat")


FORMS: dict[str, Any] = {
    "tensors": lambda part: (X[part], Y[part]),
    "arrays": lambda part: (X[part].numpy(), Y[part].numpy()),
    "data set": lambda part: TensorDataset(X[part], Y[part]),
    "loader": lambda part: DataLoader(TensorDataset(X[part], Y[part]), batch_size=7),
    "shuffled loader": lambda part: DataLoader(TensorDataset(X[part], Y[part]), batch_size=7, shuffle=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_same_report(form: str) -> None:
    model = network()
    report = examine(model, FORMS[form](TRAIN), test=FORMS[form](TEST), map_examples=0, progress=False)
    train, test = encode(model, (X[TRAIN], Y[TRAIN])), encode(model, (X[TEST], Y[TEST]))
    assert report.train.determinism == hashing.determinism(train)
    assert report.test.determinism == hashing.determinism(test)
    assert report.train.redundancy_by_site == hashing.redundancy_by_site(train)
    assert report.categorization[0].test == hashing.knn_accuracy(train, test)
    with torch.no_grad():
        for split, part in ((report.train, TRAIN), (report.test, TEST)):
            assert split.own_accuracy == pytest.approx((model(X[part]).argmax(1) == Y[part]).double().mean().item())
    assert [live.to_dict() for live in report.train.liveness] == [live.to_dict() for live in site_liveness(train)]


def test_the_model_is_as_it_was() -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examine(model, X, map_examples=0)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_layers_and_breakpoints_choose_what_is_read() -> None:
    report = examine(network(), X, layers=["4"], breakpoints={"gelu": (-1.0, 1.0)}, map_examples=0)
    assert [(site.name, site.breakpoints) for site in report.train.codes.sites] == [("4", (-1.0, 1.0))]


def test_without_labels_what_needs_classes_is_left_out() -> None:
    report = examine(network(), X[TRAIN], test=X[TEST], map_examples=0)
    assert report.categorization == ()
    assert isinstance(report.train.own_accuracy, Unavailable)
    assert isinstance(report.train.collisions, Unavailable)
    assert not any("classes" in judgement.question for judgement in report.verdict)


def test_names_of_classes_come_with_the_data_or_are_given() -> None:
    data = Named(X, Y)
    assert examine(network(), DataLoader(data), map_examples=0).class_name(1) == "bee"
    assert examine(network(), data, classes=["x", "y", "z"], map_examples=0).class_name(2) == "z"
    assert examine(network(), (X, Y), map_examples=0).class_name(2) == "2"


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        examine(network(), (X[TRAIN], Y[TRAIN]), test=(X[TEST], Y[TEST]), map_examples=25, seed=3).save(tmp_path / name)
    for file in ("index.html", "report.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_saved_numbers_are_strict_json_and_those_of_the_report(tmp_path: Path) -> None:
    report = examine(network(), (X[TRAIN], Y[TRAIN]), test=(X[TEST], Y[TEST]), map_examples=0)
    page = report.save(tmp_path / "deep" / "er")
    assert page == tmp_path / "deep" / "er" / "index.html"

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    numbers = json.loads((page.parent / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert numbers == json.loads(json.dumps(report.to_dict()))
    assert numbers["train"]["determinism"]["redundancy_ratio"] == report.train.determinism.redundancy_ratio
    assert numbers["train"]["own_accuracy"] == report.train.own_accuracy
    assert [row["name"] for row in numbers["categorization"]] == [method.name for method in report.categorization]


def test_saving_replaces_the_old_files_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = examine(network(), (X, Y), map_examples=0)
    report.save(tmp_path)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(old) == ["index.html", "report.json"]

    def full(self: Path, text: str, **_: Any) -> int:
        with self.open("w") as file:
            file.write(text[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        report.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_a_failure_at_the_last_moment_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examine(network(), (X, Y), map_examples=0, title="old").save(tmp_path)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError("the file is open elsewhere")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        examine(network(), (X, Y), map_examples=0, title="new").save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_train_and_test_codes_must_come_from_the_same_sites() -> None:
    with pytest.raises(ValueError, match="different sites"):
        report_on_codes(Codes.from_bits(np.eye(3)), Codes.from_bits(np.eye(3), name="other"))


def test_a_long_repr_is_kept_short() -> None:
    assert len(repr(examine(network(), (X, Y), map_examples=0))) < 200
