"""Every number of `vitals` against its definition, computed slowly, and how parts of data add up."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import actscope
from actscope.neurons import Vitals, VitalsTally, vitals
from actscope.neurons.gradients import cross_entropy_fits

Data = tuple[Tensor, Tensor]


class Net(nn.Module):
    """A convolution, a functional in-place ReLU, a module used twice, batch normalization, and a functional tanh."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.first = nn.Linear(3 * 9, 6)
        self.second = nn.Linear(6, 6)
        self.act = nn.GELU()
        self.drop = nn.Dropout(0.5)
        self.output = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.conv(x))
        h = F.relu_(h)
        h = self.act(self.first(h.flatten(1)))
        h = self.drop(self.act(self.second(h)))
        return self.output(torch.tanh(h))


@pytest.fixture
def data() -> Data:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(150, 2, 5, 5, generator=generator), torch.randint(0, 3, (150,), generator=generator)


def parts_of(model: Net, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Pre- and post-activations by site, by hand and one by one, with a graph."""
    z1 = model.norm(model.conv(x))
    a1 = torch.relu(z1)
    z2 = model.first(a1.flatten(1))
    a2 = F.gelu(z2)
    z3 = model.second(a2)
    a3 = F.gelu(z3)
    a4 = torch.tanh(a3)
    return {":relu": (z1, a1), "act": (z2, a2), "act#2": (z3, a3), ":tanh": (a3, a4)}


def slow_gradients(model: Net, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """The gradient of each example's own loss by its own pre-activations: a loop of single examples."""
    rows: dict[str, list[np.ndarray]] = {}
    for i in range(len(x)):
        parts = parts_of(model, x[i : i + 1])
        loss = F.cross_entropy(model.output(parts[":tanh"][1]), y[i : i + 1])
        found = torch.autograd.grad(loss, [z for z, _ in parts.values()])
        for name, gradient in zip(parts, found, strict=True):
            rows.setdefault(name, []).append(gradient.flatten().numpy())
    return {name: np.stack(each).astype(float) for name, each in rows.items()}


def test_every_number_is_that_of_its_definition(data: Data) -> None:
    x, y = data
    model = Net().eval()
    found = vitals(model.train(), DataLoader(TensorDataset(x, y), batch_size=37, shuffle=True))
    model.eval()
    parts, gradients = parts_of(model, x), slow_gradients(model, x, y)
    assert [live.site.name for live in found.sites] == list(parts)
    labels = y.numpy()
    for name, (pre, post) in parts.items():
        live = found[name]
        z, a, g = pre.detach().flatten(1).numpy(), post.detach().flatten(1).double().numpy(), gradients[name]
        intervals = np.searchsorted(np.array(live.site.breakpoints, dtype=np.float32), z, side="left")
        n_intervals = len(live.site.breakpoints) + 1
        shares = (intervals[:, :, None] == np.arange(n_intervals)).mean(0)
        np.testing.assert_allclose(live.shares, shares, atol=1e-12)
        np.testing.assert_allclose(live.firing_rate, (z > 0).mean(0), atol=1e-12)
        np.testing.assert_allclose(live.rate_by_class, [(z[labels == c] > 0).mean(0) for c in range(3)], atol=1e-12)
        by_class = np.array([(intervals[labels == c][:, :, None] == np.arange(n_intervals)).mean(0) for c in range(3)])
        most = shares.argmax(1)
        np.testing.assert_allclose(live.same_interval, by_class[:, np.arange(len(most)), most].min(0), atol=1e-12)
        information = [mutual_info_score(labels, column) / np.log(2) for column in intervals.T]
        np.testing.assert_allclose(live.information, information, atol=1e-9)
        np.testing.assert_allclose(live.mean, a.mean(0), atol=1e-6)
        np.testing.assert_allclose(live.variance, a.var(0), rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(live.output_low, a.min(0), atol=1e-5)
        np.testing.assert_allclose(live.gradient, np.abs(g).mean(0), rtol=1e-3, atol=1e-7)
        size = np.abs(g).sum(0)
        some = size > 1e-6
        np.testing.assert_allclose(live.cancellation[some], (np.abs(g.sum(0)) / size)[some], atol=1e-4)


def test_a_channel_goes_over_its_positions(data: Data) -> None:
    x, y = data
    model = Net().eval()
    single, channel = vitals(model, data)[":relu"], vitals(model, data, by="channel")[":relu"]
    z, a = (part.detach().double().numpy() for part in parts_of(model, x)[":relu"])
    g = slow_gradients(model, x, y)[":relu"].reshape(len(x), 3, 9).sum(2)
    np.testing.assert_allclose(channel.firing_rate, (z > 0).mean((0, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(channel.shares, single.shares.reshape(3, 9, 2).mean(1), atol=1e-12)
    np.testing.assert_allclose(channel.mean, a.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(channel.variance, a.var((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(channel.gradient, np.abs(g).mean(0), rtol=1e-3)
    np.testing.assert_allclose(channel.cancellation, np.abs(g.sum(0)) / np.abs(g).sum(0), atol=1e-4)


@pytest.mark.parametrize("batch_size", [7, 150])
def test_batches_whose_means_differ_add_up(batch_size: int, data: Data) -> None:
    x = data[0] + torch.linspace(-3, 3, 150)[:, None, None, None]
    found = vitals(Net(), x, by="channel", batch_size=batch_size)[":relu"]
    a = parts_of(Net().eval(), x)[":relu"][1].detach().double().numpy()
    np.testing.assert_allclose(found.variance, a.var((0, 2, 3)), rtol=1e-4)


def test_twins_agree_at_every_breakpoint_not_only_at_zero(data: Data) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(50, 4, bias=False), nn.Tanh(), nn.Linear(4, 3))
    with torch.no_grad():
        model[1].weight[1] = 2 * model[1].weight[0]
        model[1].weight[3] = model[1].weight[2]
    assert vitals(model, data)["2"].twin.tolist() == [-1, -1, 3, 2]
    assert vitals(model, data, breakpoints=0.0)["2"].twin.tolist() == [1, 0, 3, 2]
    assert vitals(model, data, breakpoints=(-0.3, 0.3))["2"].twin.tolist() == [-1, -1, 3, 2]


def test_an_activation_of_the_input_itself_has_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Tanh(), nn.Linear(4, 2)).requires_grad_(False)
    x, y = torch.randn(30, 4), torch.arange(30) % 2
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(model(leaf), y, reduction="sum"), leaf)
    np.testing.assert_allclose(vitals(model, (x, y)).sites[0].gradient, expected.abs().mean(0), rtol=1e-4)


def assert_same(one: Vitals, other: Vitals) -> None:
    assert one.n_examples == other.n_examples
    for left, right in zip(one.sites, other.sites, strict=True):
        for name in ("shares", "firing_rate", "entropy", "information", "rate_by_class", "twin", "mirrored"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
        for name in ("mean", "variance", "gradient", "cancellation", "output_low", "output_high"):
            np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-4, atol=1e-6, err_msg=name)
        for verdict, mask in left.verdicts.items():
            np.testing.assert_array_equal(mask, right.verdicts[verdict], err_msg=verdict)


@settings(max_examples=12)
@given(cuts=st.lists(st.integers(1, 149), max_size=3), batch_size=st.integers(1, 150), swap=st.booleans())
def test_parts_add_up_in_any_order_and_survive_pickling(cuts: list[int], batch_size: int, swap: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(150, 2, 5, 5, generator=generator), torch.randint(0, 3, (150,), generator=generator)
    model = Net()
    edges = [0, *sorted(set(cuts)), 150]
    parts = []
    for start, stop in itertools.pairwise(edges):
        tally = VitalsTally()
        tally.update(model, (x[start:stop], y[start:stop]), ids=range(start, stop), batch_size=batch_size)
        parts.append(pickle.loads(pickle.dumps(tally)))
    if swap:
        parts.reverse()
    whole = functools.reduce(lambda a, b: a.merge(b), parts)
    assert_same(whole.compute(), vitals(model, (x, y)))


def test_an_example_counts_once(data: Data) -> None:
    x, y = data
    model, order = Net(), torch.cat([torch.arange(150), torch.arange(40)])
    once = vitals(model, data)
    assert_same(vitals(model, (x[order], y[order]), ids=order.numpy(), batch_size=32), once)
    tally = VitalsTally()
    tally.update(model, data)
    tally.update(model, data)
    assert_same(tally.compute(), once)


def test_workers_that_saw_the_same_example_are_not_merged(data: Data) -> None:
    first, second = VitalsTally(), VitalsTally()
    first.update(Net(), data)
    second.update(Net(), (data[0][:5], data[1][:5]))
    with pytest.raises(ValueError, match="both tallies have seen example 0 \\(5 in common\\)"):
        first.merge(second)


def test_string_ids_do(data: Data) -> None:
    names = np.array([f"picture {i}" for i in range(150)])
    assert_same(vitals(Net(), data, ids=names), vitals(Net(), data))


def states(model: nn.Module) -> Any:
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()],
        torch.random.get_rng_state(),
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
    )


def assert_unchanged(before: Any, model: nn.Module) -> None:
    after = states(model)
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    assert before[1:3] == after[1:3]
    for old, new in zip(before[3], after[3], strict=True):
        assert (old is None) == (new is None)
        assert old is None or torch.equal(old, new)
    assert torch.equal(before[4], after[4])
    assert before[5] == after[5]


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_comes_out_as_it_went_in(fails: bool, data: Data) -> None:
    x, y = data
    model = Net().train()
    F.cross_entropy(model(x), y).backward()
    model.first.weight.requires_grad_(False)
    model.norm.eval()
    before = states(model)
    if fails:
        bad = x.clone()
        bad[60] = float("nan")
        with pytest.raises(ValueError, match="nan for example 60"):
            vitals(model, (bad, y), batch_size=32)
    else:
        vitals(model, data)
    assert_unchanged(before, model)
    assert torch.equal(x, data[0])
    assert not x.requires_grad


def test_frozen_weights_hide_no_gradient(data: Data) -> None:
    frozen = Net()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    assert_same(vitals(frozen, data), vitals(Net(), data))


def test_tokens_and_a_frozen_embedding_have_gradients() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.Embedding(7, 5).requires_grad_(False)
            self.output = nn.Linear(5, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.output(torch.relu(self.embed(tokens)).mean(1))

    tokens = torch.randint(0, 7, (30, 4), generator=torch.Generator().manual_seed(0))
    found = vitals(Tokens(), (tokens, torch.arange(30) % 2))
    assert (found[":relu"].gradient > 0).any()


def test_labels_decide_the_default_loss_and_its_absence_is_said(data: Data) -> None:
    assert vitals(Net(), data).loss == "cross-entropy"
    without = vitals(Net(), data[0])
    assert (without.loss, without.sites[0].gradient, without.sites[0].information) == ("", None, None)
    assert "the data has no labels" in str(without)
    wrong = vitals(Net(), (data[0], data[1] + 1))
    assert wrong.no_gradients.startswith("labels run from 1 to 3, but the model has 3 outputs an example")
    assert wrong.sites[0].information is not None


def test_a_loss_may_be_a_module_a_partial_or_take_a_target_of_its_own(data: Data) -> None:
    expected = vitals(Net(), data)
    assert_same(vitals(Net(), data, loss=nn.CrossEntropyLoss()), expected)
    assert_same(vitals(Net(), data, loss=functools.partial(F.cross_entropy, reduction="none")), expected)
    x, y = data
    loader = DataLoader(TensorDataset(x, F.one_hot(y, 3).float(), y), batch_size=40)
    soft = vitals(
        Net(), loader, adapt=lambda batch: batch[0], target=lambda batch: batch[1], loss=nn.CrossEntropyLoss()
    )
    assert_same(soft, expected)


def test_a_loss_that_gives_one_number_is_refused(data: Data) -> None:
    with pytest.raises(ValueError, match=r"shape \(\) for 150 examples; one loss an example is needed"):
        vitals(Net(), data, loss=F.cross_entropy, batch_size=150)


def test_an_activation_of_ones_own_is_read(data: Data) -> None:
    class Swish(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z * torch.sigmoid(z)

    torch.manual_seed(0)
    own = nn.Sequential(nn.Flatten(), nn.Linear(50, 4), Swish(), nn.Linear(4, 3))
    known = copy.deepcopy(own)
    known[2] = nn.SiLU()
    assert_same(vitals(own, data, activations={Swish: (0.0,)}), vitals(known, data))


def test_the_pattern_is_that_of_the_codes_in_any_precision(data: Data) -> None:
    model, points = Net(), {"tanh": (0.1, 0.3), "gelu": 0.7}
    found = vitals(model, data, breakpoints=points, dtype=torch.float64)
    codes = actscope.encode(model, data, breakpoints=points, dtype=torch.float64)
    intervals = codes.intervals()
    start = 0
    for live in found.sites:
        block = intervals[:, start : start + live.n_units]
        shares = (block[:, :, None] == np.arange(live.site.n_planes + 1)).mean(0)
        np.testing.assert_allclose(live.shares, shares, atol=1e-12)
        np.testing.assert_array_equal(live.verdicts["constant pattern"], (block == block[0]).all(0))
        start += live.n_units


def test_the_table_holds_every_unit_and_is_written_whole(data: Data, tmp_path: Path) -> None:
    found = vitals(Net(), data)
    found.save(tmp_path / "units.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["units.parquet"]
    table = pq.read_table(tmp_path / "units.parquet")
    assert table.num_rows == found.n_units
    rows = table.to_pylist()
    live = found["act"]
    row = next(row for row in rows if row["site"] == "act" and row["unit"] == 2)
    assert row["verdicts"] == list(live.of(2))
    assert row["rate_by_class"] == pytest.approx(live.rate_by_class[:, 2])
    assert row["flat"] is None
    assert table.schema.metadata[b"labels"] == b"0,1,2"


def test_text_dict_and_figure_name_every_site(data: Data) -> None:
    found = vitals(Net(), data)
    assert all(live.site.name in str(found) for live in found.sites)
    assert [site["site"] for site in found.to_dict()["sites"]] == [live.site.name for live in found.sites]
    ax = found.plot()
    assert len(ax.get_yticklabels()) == len(found.sites)


def test_the_worst_are_named_with_evidence_and_advice(make_mlp: Callable[..., nn.Module], points: Data) -> None:
    worst = vitals(make_mlp(), points).worst(20)
    dead = next(finding for finding in worst if finding.verdict == "dead")
    assert (dead.site, dead.unit, dead.evidence) == ("relu", 2, "gives 0 for all 400 examples")
    assert "prune" in dead.advice
    redundant = [finding.evidence for finding in worst if finding.verdict == "redundant"]
    assert "the mirror image of neuron 3 for all 400 examples" in redundant
    assert len(vitals(make_mlp(), points).worst(2)) == 2


def test_counts_that_no_memory_holds_are_refused_with_a_way_out(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actscope.neurons.tallies._MOST_COUNT_BYTES", 500)
    with pytest.raises(MemoryError, match=r"site ':relu', 27 units by 3 labels.*take by='channel'"):
        vitals(Net(), data, layers=":relu")
    assert vitals(Net(), data, layers=":relu", by="channel").n_units == 3


def test_wrong_arguments_are_named(data: Data) -> None:
    with pytest.raises(ValueError, match="by='filter': give 'neuron' or 'channel'"):
        vitals(Net(), data, by="filter")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no example has been seen yet"):
        VitalsTally().compute()
    with pytest.raises(KeyError, match="'conv' is no site of these"):
        vitals(Net(), data)["conv"]
    assert cross_entropy_fits({}, torch.zeros(1)) == "the model's output is a dict, not (n_examples, n_classes) scores"
