from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actscope.training import MLP, load_weights, save_weights


def net(seed: int = 0, width: int = 3) -> MLP:
    return MLP(4, [width], 2, batch_norm=True, seed=seed)


def same(model: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
def test_weights_come_back_as_they_were_saved(tmp_path: Path, ending: str) -> None:
    model, other = net(0), net(1)
    model.norm1.running_mean.fill_(0.5)
    path = tmp_path / f"weights{ending}"
    save_weights(model, path)
    loaded = load_weights(other, path)
    assert same(other, model.state_dict())
    assert (loaded.n_tensors, loaded.prefix, loaded.nested_under) == (len(model.state_dict()), "", "")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_tied_weights_can_be_saved(tmp_path: Path, ending: str) -> None:
    def tied() -> nn.Sequential:
        layer = nn.Linear(3, 3)
        return nn.Sequential(layer, nn.ReLU(), layer)

    model, other = tied(), tied()
    save_weights(model, tmp_path / f"w{ending}")
    load_weights(other, tmp_path / f"w{ending}")
    assert same(other, model.state_dict())


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    save_weights(net(), path)
    before = path.read_bytes()

    class Unsavable(nn.Module):
        def state_dict(self, *args: Any, **options: Any) -> Any:
            class Odd:
                def detach(self) -> Odd:
                    return self

                cpu = contiguous = detach

                def clone(self) -> Callable[[], None]:
                    return lambda: None

            return {"a": Odd()}

    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_weights(Unsavable(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.safetensors, \.pt, \.pth"):
        save_weights(net(), tmp_path / "weights.onnx")
    with pytest.raises(FileNotFoundError, match="the folder of"):
        save_weights(net(), tmp_path / "no" / "weights.pt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("nested_under", ["", "state_dict", "model_state_dict", "model"])
def test_what_wrappers_add_is_taken_off_and_said(tmp_path: Path, prefix: str, nested_under: str) -> None:
    model, other = net(0), net(1)
    state: dict[str, Any] = {prefix + name: value for name, value in model.state_dict().items()}
    path = tmp_path / "w.pt"
    torch.save({nested_under: state, "epoch": 3} if nested_under else state, path)
    loaded = load_weights(other, path)
    assert same(other, model.state_dict())
    assert (loaded.prefix, loaded.nested_under) == (prefix, nested_under)
    assert f"'{prefix}' taken off their names" in str(loaded)


def test_a_prefix_that_is_the_models_own_stays(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 2)

    model, other = Wrapped(), Wrapped()
    save_weights(model, tmp_path / "w.safetensors")
    assert load_weights(other, tmp_path / "w.safetensors").prefix == ""
    assert same(other, model.state_dict())


def test_everything_that_does_not_fit_is_named_at_once_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    state = net(0).state_dict()
    state["extra.weight"] = state.pop("linear1.bias")
    state["output.weight"] = torch.zeros(2, 9)
    torch.save(state, tmp_path / "w.pt")
    model = net(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="do not fit the model") as caught:
        load_weights(model, tmp_path / "w.pt")
    message = str(caught.value)
    assert "Missing in the file: 'linear1.bias'." in message
    assert "Unknown to the model: 'extra.weight'." in message
    assert "'output.weight' is (2, 9), in the model (2, 3)" in message
    assert same(model, before)


def test_a_long_list_of_names_is_cut_with_its_length(tmp_path: Path) -> None:
    torch.save({f"layer{i}": torch.zeros(1) for i in range(50)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="'layer19' and 30 more"):
        load_weights(net(), tmp_path / "w.pt")


class Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_that_is_not_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"a": Touches(tmp_path / "ran")}, tmp_path / "w.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Touches(tmp_path / "ran")))
    for name in ("w.pt", "plain.pt"):
        with pytest.raises(ValueError, match=f"{name} is a pickle that is not weights"):
            load_weights(net(), tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_pickled_model_is_refused_with_the_way_to_save_it(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"Save model\.state_dict\(\) instead"):
        load_weights(net(), tmp_path / "w.pt")


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
@pytest.mark.parametrize("damage", ["cut short", "garbage", "empty", "cut to 20 bytes", "end missing"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, ending: str, damage: str) -> None:
    path = tmp_path / f"weights{ending}"
    save_weights(net(), path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut short": whole[: len(whole) // 2],
            "garbage": b"these are no weights at all",
            "empty": b"",
            "cut to 20 bytes": whole[:20],
            "end missing": whole[:-3],
        }[damage]
    )
    with pytest.raises(ValueError, match=f"weights{ending}"):
        load_weights(net(), path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"a": 1.0, "b": torch.zeros(1)}, torch.zeros(3)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="does not hold a state dict"):
        load_weights(net(), tmp_path / "w.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no weights file at '.*w\.pt'"):
        load_weights(net(), tmp_path / "w.pt")
