"""A watch sees what training does, changes nothing of it, and leaves nothing behind."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import optimizer as optimizers
from torch.overrides import _get_current_function_mode_stack

from actscope.codes import UnseenActivationError
from actscope.neurons.watching import watch
from actscope.neurons.watchlog import MEASURES


def net(seed: int = 0, *, batch_norm: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    norm = [nn.BatchNorm1d(6)] if batch_norm else []
    return nn.Sequential(nn.Linear(4, 6), *norm, nn.ReLU(inplace=True), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def batches(n: int, size: int = 32, seed: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        yield torch.randn(size, 4, generator=generator), torch.randint(0, 3, (size,), generator=generator)


def train(model: nn.Module, n: int = 5, **settings: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **settings)
    for x, y in batches(n):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return optimizer


def hooks_of(model: nn.Module) -> list[int]:
    found = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    found += [len(optimizers._global_optimizer_pre_hooks), len(optimizers._global_optimizer_post_hooks)]
    return [*found, len(_get_current_function_mode_stack())]


def test_every_measure_is_that_of_its_definition() -> None:
    model = net()
    twin = copy.deepcopy(model)
    with watch(model, every=1) as seen:
        train(model, 1)
    ((x, y),) = batches(1)
    z1 = twin[0](x)
    z2 = twin[2](torch.relu(z1))
    for z in (z1, z2):
        z.retain_grad()
    F.cross_entropy(twin[4](torch.tanh(z2)), y).backward()
    (reading,) = seen.log.readings
    assert (reading.step, reading.n_steps, reading.n_examples) == (0, 1, 32)
    for name, z, a in (("1", z1, torch.relu(z1)), ("3", z2, torch.tanh(z2))):
        got = {measure: reading.values[name, measure] for measure in MEASURES if (name, measure) in reading.values}
        np.testing.assert_allclose(got["mean"], a.detach().mean(0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(got["variance"], a.detach().var(0, correction=0), rtol=1e-4, atol=1e-7)
        g = z.grad.double().numpy()
        size = np.abs(g).sum(0)
        np.testing.assert_allclose(
            got["cancellation"], np.where(size > 0, np.abs(g.sum(0)) / np.where(size > 0, size, 1), np.nan), atol=1e-5
        )
        points = (0.0,) if name == "1" else (-0.5, 0.0, 0.5)
        intervals = np.searchsorted(points, z.detach().numpy(), side="left")
        most = [np.bincount(column).max() / 32 for column in intervals.T]
        np.testing.assert_allclose(got["same_interval"], most, rtol=1e-6)
        np.testing.assert_array_equal(got["dead"], (a == a[0]).all(0))
    for name, layer in (("0.weight", twin[0]), ("2.weight", twin[2]), ("4.weight", twin[4])):
        w, g = layer.weight.detach().abs().numpy(), layer.weight.grad.abs().numpy()
        np.testing.assert_allclose(reading.values[name, "weight"], w.mean(1), rtol=1e-5)
        np.testing.assert_allclose(reading.values[name, "gradient"], g.mean(1), rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(reading.values[name, "gradient_to_weight"], (g / w).mean(1), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_goes_as_if_nobody_watched(average: bool, batch_norm: bool) -> None:
    watched, alone = (
        nn.Sequential(net(batch_norm=batch_norm), nn.Dropout(0.5), nn.Softplus(), nn.Linear(3, 3)) for _ in range(2)
    )
    alone.load_state_dict(watched.state_dict())
    torch.manual_seed(7)
    train(alone, 7)
    torch.manual_seed(7)
    with watch(watched, every=3, average=average):
        train(watched, 7)
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


def test_readings_come_every_so_many_steps() -> None:
    model = net()
    with watch(model, every=3) as seen:
        train(model, 8)
    assert seen.log.steps.tolist() == [0, 3, 6]
    assert seen.n_steps == 8
    assert seen.log.series("1", "mean").shape == (3, 6)


def test_windows_average_every_step_and_the_last_may_be_short() -> None:
    each, windowed = net(), net()
    with watch(each, every=1) as single:
        train(each, 7)
    with watch(windowed, every=3, average=True) as seen:
        train(windowed, 7)
    log = seen.log
    assert log.steps.tolist() == [2, 5, 6]
    assert [reading.n_steps for reading in log.readings] == [3, 3, 1]
    for place, measure in (
        ("1", "mean"),
        ("3", "variance"),
        ("2.weight", "gradient_to_weight"),
        ("1", "same_interval"),
    ):
        rows = single.log.series(place, measure)  # type: ignore[arg-type]
        expected = [rows[:3].mean(0), rows[3:6].mean(0), rows[6]]
        np.testing.assert_allclose(log.series(place, measure), expected, rtol=1e-5, atol=1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["forward", "interrupt", "backward", "between", "nowhere"])
def test_no_hook_is_left_behind(where: str) -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if where == "forward":
                raise ZeroDivisionError
            if where == "interrupt" and self.training:
                raise KeyboardInterrupt
            return x

    model = nn.Sequential(net(), Failing())
    before = hooks_of(model)

    def run() -> None:
        with watch(model, every=1):
            loss = model(torch.randn(4, 4)).sum()
            if where == "between":
                raise ZeroDivisionError
            if where == "backward":
                loss.register_hook(lambda g: 1 / 0)
            loss.backward()
            torch.optim.SGD(model.parameters(), lr=0.1).step()

    if where == "nowhere":
        run()
    else:
        with pytest.raises(KeyboardInterrupt if where == "interrupt" else ZeroDivisionError):
            run()
    assert hooks_of(model) == before


def test_gradients_may_be_accumulated_over_several_passes() -> None:
    whole, parts = net(), net()
    x, y = next(batches(1))
    with watch(whole, every=1) as one:
        optimizer = torch.optim.SGD(whole.parameters(), lr=0.1)
        F.cross_entropy(whole(x), y).backward()
        optimizer.step()
    with watch(parts, every=1) as several:
        optimizer = torch.optim.SGD(parts.parameters(), lr=0.1)
        for start in range(0, 32, 8):
            (F.cross_entropy(parts(x[start : start + 8]), y[start : start + 8]) / 4).backward()
        optimizer.step()
    (left,), (right,) = one.log.readings, several.log.readings
    assert left.n_examples == right.n_examples == 32
    assert left.values.keys() == right.values.keys()
    for key, values in left.values.items():
        np.testing.assert_allclose(right.values[key], values, rtol=1e-3, atol=1e-5, err_msg=str(key))


@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scalers_factor_is_not_in_what_is_read(fused: bool) -> None:
    plain, scaled = net(), net()
    with watch(plain, every=1) as expected:
        train(plain, 3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with watch(scaled, every=1) as seen:
        optimizer = torch.optim.SGD(scaled.parameters(), lr=0.1, fused=fused)
        for x, y in batches(3):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", enabled=False):
                loss = F.cross_entropy(scaled(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    for left, right in zip(expected.log.readings, seen.log.readings, strict=True):
        for key, values in left.values.items():
            np.testing.assert_allclose(right.values[key], values, rtol=1e-3, atol=1e-5, err_msg=str(key))


def test_a_step_that_the_scaler_skips_is_no_step_and_half_precision_is_read() -> None:
    model = net()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with watch(model, every=1) as seen:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for i, (x, y) in enumerate(batches(3)):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(x), y) * (float("inf") if i == 1 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert seen.n_steps == 2
    assert np.isfinite(seen.log.series("1", "mean")).all()


def test_a_closures_gradients_are_read() -> None:
    model, (x, y) = net(), next(batches(1))
    with watch(model, every=1) as seen:
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=1)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
    assert seen.log.series("0.weight", "gradient").max() > 0


def test_updates_by_hand_are_counted_by_hand() -> None:
    model = net()
    with watch(model, every=2) as seen:
        for x, y in batches(4):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            seen.step()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad
    assert seen.log.steps.tolist() == [0, 2]
    assert seen.log.series("0.weight", "gradient").min() >= 0


def test_a_watch_that_saw_no_step_says_so() -> None:
    model = net()
    with pytest.warns(UserWarning, match="no optimizer step"), watch(model):
        model(torch.randn(2, 4))


def test_evaluation_and_other_models_are_not_watched() -> None:
    model, other = net(), net(1)
    with watch(model, every=1) as seen:
        train(other, 3)
        model.eval()
        model(torch.randn(2, 4))
        model.train()
        with torch.no_grad():
            model(torch.randn(2, 4))
        assert (seen.n_steps, len(seen.log)) == (0, 0)
        train(model, 1)
    assert (seen.n_steps, len(seen.log)) == (1, 1)
    assert seen.log.readings[0].n_examples == 32


def test_a_watch_and_a_watched_model_can_be_pickled_and_copied() -> None:
    model = net()
    with watch(model, every=1) as seen:
        train(model, 2)
        copied = copy.deepcopy(model)
        torch.save(model, io.BytesIO())
        restored = pickle.loads(pickle.dumps(seen))
        train(copied, 2)
        assert seen.n_steps == 2
    np.testing.assert_array_equal(restored.log.series("1", "mean"), seen.log.series("1", "mean"))
    assert repr(restored).startswith("Watch(closed, 2 steps")
    with pytest.raises(RuntimeError, match="make a new one"), restored:
        pass


def test_dead_and_dying_units_are_seen() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0.01, 1.0
        model[2].weight[0, 2] = 1.0
        model[0].bias[1] = -100.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    pull = torch.where(torch.arange(200) % 2 == 0, 1.0, -1.0)[:, None]
    with watch(model, every=2, average=True) as seen:
        for _ in range(4):
            optimizer.zero_grad()
            (model(x) * pull).mean().backward()
            optimizer.step()
    assert seen.log.series("1", "dead").tolist() == [[0, 1, 0]] * 2
    assert seen.log.series("1", "dying")[:, 1:].tolist() == [[0, 1]] * 2
    rules = {criterion.verdict: criterion for criterion in seen.log.criteria}
    assert rules.keys() == {"dead", "dying"}
    assert (rules["dying"].threshold, rules["dying"].n_examples) == (0.1, 400)
    assert "2 steps of training" in rules["dead"].window


def test_a_window_is_of_all_its_steps_together() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, every=2, average=True) as seen:
        for sign in (1.0, -1.0):
            optimizer.zero_grad()
            (sign * model(torch.tensor([[1.0], [2.0]]))).sum().backward()
            optimizer.step()
        for x in (-1.0, 1.0):
            model(x * torch.tensor([[1.0], [2.0]])).sum().backward()
            optimizer.step()
    assert seen.log.series("1", "cancellation").tolist() == [[0.0], [1.0]], "pulls of opposite steps cancel"
    assert seen.log.series("1", "dead").tolist() == [[0.0], [0.0]], "dead in one of two steps is not dead"


def test_units_are_channels_or_features() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.token, self.up = nn.Conv2d(1, 3, 3), nn.Linear(16, 5), nn.ConvTranspose2d(1, 2, 3)
            self.embed = nn.Embedding(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.conv(x)).flatten(2)
            return F.gelu(self.token(h)).sum() + self.up(x).sum()

    model = Both()
    with watch(model, every=1, layers=["*relu", "*gelu"]) as seen:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(torch.randn(2, 1, 6, 6)).backward()
        optimizer.step()
    log = seen.log
    assert log.places("mean") == (":relu", ":gelu")
    assert log.places("weight") == ("conv.weight", "token.weight", "up.weight")
    assert [log.series(place, "mean").shape[1] for place in log.places("mean")] == [3, 5]
    assert [log.series(place, "weight").shape[1] for place in log.places("weight")] == [3, 5, 2]


def test_the_table_is_tidy_and_holds_everything(tmp_path: Path) -> None:
    model = net()
    with watch(model, every=2) as seen:
        train(model, 3)
    seen.log.save(tmp_path / "watch.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["watch.parquet"]
    rows = pq.read_table(tmp_path / "watch.parquet").to_pylist()
    assert len(rows) == sum(len(values) for reading in seen.log.readings for values in reading.values.values())
    row = next(r for r in rows if (r["step"], r["place"], r["measure"], r["unit"]) == (2, "2.weight", "weight", 4))
    assert row["value"] == pytest.approx(seen.log.series("2.weight", "weight")[1, 4])
    assert {r["measure"] for r in rows} == set(MEASURES)


def test_layer_means_go_to_a_writer() -> None:
    class Writer:
        def __init__(self) -> None:
            self.scalars: dict[tuple[str, int], float] = {}

        def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
            self.scalars[tag, global_step] = scalar_value

    writer, model = Writer(), net()
    with watch(model, every=2, tensorboard=writer) as seen:
        train(model, 3)
    assert writer.scalars["mean/1", 2] == pytest.approx(float(seen.log.series("1", "mean")[1].mean()))
    assert {step for _, step in writer.scalars} == {0, 2}


def test_a_folder_without_tensorboard_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"runs/1'.*pip install 'actscope\[tensorboard\]'"):
        watch(net(), tensorboard="runs/1")


def test_what_cannot_be_watched_is_refused_with_its_name() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTM(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.cell(x)[0]

    model = Recurrent()
    with pytest.raises(UnseenActivationError, match="'cell'"), watch(model):
        model(torch.randn(5, 2, 4))
    with pytest.raises(ValueError, match="every=0"):
        watch(net(), every=0)


def test_what_the_log_does_not_hold_is_named() -> None:
    model = net()
    with watch(model, every=1) as seen:
        train(model, 1)
    with pytest.raises(ValueError, match=r"'1' has no weight; these have: 0.weight, 2.weight, 4.weight"):
        seen.log.series("1", "weight")
    with pytest.raises(ValueError, match="measure='speed': choose one of mean, variance"):
        seen.log.places("speed")  # type: ignore[arg-type]


def test_the_figure_has_a_line_a_layer(make_mlp: Callable[..., nn.Module]) -> None:
    model = net()
    with watch(model, every=1) as seen:
        train(model, 3)
    ax = seen.log.plot()
    assert len(ax.lines) == 3
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert seen.log.to_dict()["means"]["1"]["dead"] == [0.0, 0.0, 0.0]
