"""encode: any form of data, exact ids, bounded memory, a model left as it was."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    TensorDataset,
)

import actscope
from actscope.codes import Codes, CodesFile

N = 23


def mlp(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 13), nn.ReLU(), nn.Linear(13, 9), nn.Tanh(), nn.Linear(9, 3))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(N, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def y() -> Tensor:
    return torch.arange(N) % 3


class Pairs(Dataset[Any]):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.x[i], int(self.y[i])


class Stream(IterableDataset[Any]):
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.x)


def test_codes_are_the_same_whatever_form_the_data_has(x: Tensor, y: Tensor) -> None:
    model = mlp()
    expected = actscope.encode(model, x, y)
    batches = [x[i : i + 5] for i in range(0, N, 5)]
    forms: dict[str, tuple[Any, dict[str, Any]]] = {
        "array": (x.numpy(), {"labels": y.numpy()}),
        "float64 array": (x.numpy().astype(np.float64), {"labels": y}),
        "pair": ((x, y), {}),
        "dict": ({"input": x, "labels": y}, {}),
        "TensorDataset": (TensorDataset(x, y), {"batch_size": 4}),
        "Dataset": (Pairs(x, y), {"batch_size": 7}),
        "DataLoader": (DataLoader(Pairs(x, y), batch_size=6), {}),
        "DataLoader with workers": (DataLoader(Pairs(x, y), batch_size=6, num_workers=2), {}),
        "loader without labels": (DataLoader(x, batch_size=6), {"labels": y}),
        "iterable of batches": (batches, {"labels": y, "ids": "order"}),
        "iterable dataset": (DataLoader(Stream(x), batch_size=4), {"labels": y, "ids": range(N)}),
        "labels of a batch": (
            x,
            {"labels": lambda batch: np.array([int((x == row).all(1).nonzero()) % 3 for row in batch])},
        ),
    }
    for form, (data, options) in forms.items():
        codes = actscope.encode(model, data, **options)
        assert codes.sites == expected.sites, form
        np.testing.assert_array_equal(codes.packed, expected.packed, err_msg=form)
        np.testing.assert_array_equal(codes.ids, np.arange(N), err_msg=form)
        np.testing.assert_array_equal(codes.labels, y.numpy(), err_msg=form)


def test_an_id_is_the_index_in_the_data_set_through_the_sampler(x: Tensor, y: Tensor) -> None:
    model = mlp()
    plain = actscope.encode(model, (x, y))
    for workers in (0, 2):
        loader = DataLoader(
            Pairs(x, y), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(3), num_workers=workers
        )
        codes = actscope.encode(model, loader)
        assert not np.array_equal(codes.ids, plain.ids)
        np.testing.assert_array_equal(codes.packed, plain.packed[codes.ids])
        np.testing.assert_array_equal(codes.labels, plain.labels[codes.ids])


def test_an_example_that_a_sampler_repeats_counts_once(x: Tensor, y: Tensor, tmp_path: Path) -> None:
    data = Pairs(x, y)
    samplers = [DistributedSampler(data, num_replicas=4, rank=rank, shuffle=False) for rank in range(4)]
    assert sum(len(sampler) for sampler in samplers) > N
    parts = [actscope.encode(mlp(), DataLoader(data, batch_size=4, sampler=sampler)) for sampler in samplers]
    whole = Codes.concat(parts)
    np.testing.assert_array_equal(np.sort(whole.ids), np.arange(N))
    twice = BatchSampler([0, 1, 2, 1, 0, 5], batch_size=4, drop_last=False)
    for out in (None, tmp_path / "codes.parquet"):
        codes = actscope.encode(mlp(), DataLoader(data, batch_sampler=twice), out=out)
        codes = codes.load() if isinstance(codes, CodesFile) else codes
        assert codes.ids.tolist() == [0, 1, 2, 5]


@pytest.mark.parametrize("streamed", [False, True])
def test_one_id_with_two_codes_is_an_error(x: Tensor, streamed: bool, tmp_path: Path) -> None:
    out = tmp_path / "codes.parquet" if streamed else None
    with pytest.raises(ValueError, match="id 7 occurs twice with different codes"):
        actscope.encode(mlp(), x, ids=[7] * N, out=out)
    assert list(tmp_path.iterdir()) == []


def test_a_subset_numbers_its_own_examples(x: Tensor, y: Tensor) -> None:
    codes = actscope.encode(mlp(), Subset(Pairs(x, y), [5, 3]))
    np.testing.assert_array_equal(codes.ids, [0, 1])
    np.testing.assert_array_equal(codes.packed, actscope.encode(mlp(), x).packed[[5, 3]])


def test_the_model_and_all_random_states_are_as_before(x: Tensor) -> None:
    model = mlp()
    model.train()
    model[1].eval()
    model.append(nn.Dropout())
    generator = torch.Generator().manual_seed(8)
    loader = DataLoader(x, batch_size=5, shuffle=True, generator=generator)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    actscope.encode(model, loader, ids=None)
    assert [module.training for module in model] == [True, False, True, True, True, True]
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(8).get_state())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_nothing_is_left_behind_by_an_exception(x: Tensor, tmp_path: Path) -> None:
    class Breaks(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            if len(z) == 3:  # the last batch alone
                raise RuntimeError("no such batch")
            return z

    model = nn.Sequential(mlp(), Breaks()).train()
    with pytest.raises(RuntimeError, match="no such batch"):
        actscope.encode(model, x, batch_size=5, out=tmp_path / "codes.parquet")
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.is_grad_enabled()
    assert list(tmp_path.iterdir()) == []
    torch.relu(torch.zeros(1))  # the mode is gone


def test_another_precision_runs_on_a_copy(x: Tensor) -> None:
    model = mlp()
    double = actscope.encode(model, x, dtype=torch.float64)
    assert model[0].weight.dtype == torch.float32
    z = model[0].double()(x.double())
    np.testing.assert_array_equal(double.select(["1"]).bits(), (z > 0).numpy())


def test_batches_that_are_dicts_or_tuples_reach_the_model_by_adapt(x: Tensor) -> None:
    class TwoInputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 8)

        def forward(self, a: Tensor, *, b: Tensor) -> Tensor:
            return torch.relu(self.linear(a - b))

    model = TwoInputs()
    data = [
        {"first": x[i : i + 6], "second": 2 * x[i : i + 6], "label": torch.zeros(len(x[i : i + 6]), dtype=torch.long)}
        for i in range(0, N, 6)
    ]
    codes = actscope.encode(model, data, ids="order", adapt=lambda batch: {"a": batch["first"], "b": batch["second"]})
    np.testing.assert_array_equal(codes.bits(), (model.linear(-x) > 0).numpy())
    assert codes.labels.tolist() == [0] * N
    with pytest.raises(TypeError, match="adapt="):
        actscope.encode(model, TensorDataset(x, x, x))


def test_string_ids_come_through(x: Tensor, tmp_path: Path) -> None:
    names = [f"image-{i:02d}" for i in range(N)]
    codes = actscope.encode(mlp(), x, ids=names, out=tmp_path / "c.parquet").load()
    assert codes.ids.tolist() == names


def test_streaming_to_a_file_gives_the_same_codes(x: Tensor, y: Tensor, tmp_path: Path) -> None:
    file = actscope.encode(mlp(), (x, y), batch_size=4, out=tmp_path / "codes.parquet", split="test")
    assert (len(file), file.split) == (N, "test")
    codes = actscope.encode(mlp(), (x, y))
    np.testing.assert_array_equal(file.load().packed, codes.packed)
    np.testing.assert_array_equal(file.load(["3"]).packed, codes.select(["3"]).packed)


def test_pooling_makes_a_neuron_of_a_channel() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(2, 7, 3), nn.ReLU(), nn.Flatten(), nn.Linear(63, 4), nn.ReLU())
    x = torch.randn(8, 2, 5, 5)
    z = model[0](x).flatten(2)
    largest = actscope.encode(model, x, pool="max")
    assert [site.shape for site in largest.sites] == [(7,), (4,)]
    np.testing.assert_array_equal(largest.select(["1"]).bits(), (z.amax(-1) > 0).numpy())
    np.testing.assert_array_equal(actscope.encode(model, x, pool="avg").select(["1"]).bits(), (z.mean(-1) > 0).numpy())


def test_breakpoints_can_be_replaced_by_kind_and_by_site(x: Tensor) -> None:
    model = mlp()
    z = model[2](model[1](model[0](x)))
    codes = actscope.encode(model, x, breakpoints={"tanh": [-1, 1], "1": 0.5})
    assert [site.breakpoints for site in codes.sites] == [(0.5,), (-1.0, 1.0)]
    np.testing.assert_array_equal(codes.intervals()[:, 13:], ((z > -1).int() + (z > 1).int()).numpy())


def test_outputs_can_be_read_in_the_same_pass(x: Tensor, y: Tensor) -> None:
    model, seen = mlp(), []
    actscope.encode(model, (x, y), batch_size=6, on_output=lambda out, labels: seen.append((out, labels)))
    torch.testing.assert_close(torch.cat([out for out, _ in seen]), model(x))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in seen]), y.numpy())


BAD: dict[str, tuple[Any, str]] = {
    "no sites": (lambda x: actscope.encode(nn.Linear(6, 2), x), "no activation site"),
    "a name that is none": (
        lambda x: actscope.encode(mlp(), x, layers=["conv9"]),
        r"names no activation site; this model has: '1', '3'",
    ),
    "a module without one": (lambda x: actscope.encode(mlp(), x, layers=["0"]), "module '0' exists, but no activation"),
    "nothing left": (lambda x: actscope.encode(mlp(), x, layers=["!*"]), "leaves no activation site"),
    "empty data": (lambda x: actscope.encode(mlp(), x[:0]), "holds no examples"),
    "empty loader": (lambda x: actscope.encode(mlp(), DataLoader(TensorDataset(x[:0]))), "holds no examples"),
    "labels too short": (
        lambda x: actscope.encode(mlp(), x, labels=[1, 2]),
        r"labels has shape \(2,\), but the data has 23",
    ),
    "pair that differs": (
        lambda x: actscope.encode(mlp(), (x, torch.zeros(4, dtype=torch.long))),
        "do not match: their lengths are 23, 4",
    ),
    "unknown ids": (lambda x: actscope.encode(mlp(), [x]), "pass ids="),
    "batch size of a loader": (lambda x: actscope.encode(mlp(), DataLoader(x), batch_size=3), "which has its own: 1"),
    "ids of another form": (lambda x: actscope.encode(mlp(), x, ids="first"), "ids='first'"),
    "axis from the end": (lambda x: actscope.encode(mlp(), x, example_dim=-1), "count the axis from the front"),
    "labels that are no integers": (lambda x: actscope.encode(mlp(), x, [0.5] * N), "labels must be integers"),
    "labels that are words": (
        lambda x: actscope.encode(mlp(), x, ["cat"] * N),
        "labels must be integers; got dtype <U3",
    ),
    "a matrix of labels": (
        lambda x: actscope.encode(mlp(), [x], np.zeros((2, 2), int), ids="order"),
        r"labels has shape \(2, 2\); give one an example",
    ),
    "breakpoints that fall": (lambda x: actscope.encode(mlp(), x, breakpoints=(1, 0)), "strictly ascending"),
    "breakpoints of nothing": (lambda x: actscope.encode(mlp(), x, breakpoints={"gelu": 0}), "fits no site"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_an_error_that_says_what_is_wrong(case: str, x: Tensor) -> None:
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call(x)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_pre_activation_that_is_not_finite_is_named_by_site_and_example(x: Tensor, bad: float) -> None:
    x[17, 2] = bad
    with pytest.raises(ValueError, match=r"site '1' has a pre-activation of .* for example 17 "):
        actscope.encode(mlp(), x, batch_size=5)


def test_a_site_that_stops_firing_is_an_error() -> None:
    class Sometimes(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.relu(z) if z[0, 0] > 0 else z

    x = torch.ones(6, 2)
    x[4:] = -1
    with pytest.raises(ValueError, match="':relu' did not fire on the batch that begins with example 4"):
        actscope.encode(Sometimes(), x, batch_size=2)


def test_inputs_of_changing_size_are_an_error() -> None:
    model = nn.Conv1d(1, 2, 3)
    batches = [torch.randn(2, 1, 8), torch.randn(2, 1, 9)]
    with pytest.raises(ValueError, match="codes need inputs of one size"):
        actscope.encode(nn.Sequential(model, nn.ReLU()), batches, ids="order")


def test_one_example_is_enough(x: Tensor) -> None:
    assert len(actscope.encode(mlp(), x[:1])) == 1


def test_norms_that_depend_on_the_batch_are_warned_of(x: Tensor) -> None:
    model = nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.ReLU())
    with pytest.warns(UserWarning, match="module '0' normalizes each batch by itself"):
        actscope.encode(model, x)


def test_codes_can_be_pickled(x: Tensor, y: Tensor) -> None:
    codes = actscope.encode(mlp(), (x, y))
    again = pickle.loads(pickle.dumps(codes))
    assert again.sites == codes.sites
    np.testing.assert_array_equal(again.packed, codes.packed)


class WritesItsInput(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.relu(z.sub_(1.0))


@pytest.mark.parametrize("grad_mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_model_that_writes_its_input_changes_neither_codes_nor_data(x: Tensor, grad_mode: Any) -> None:
    with grad_mode():
        data = x.clone()
        codes = actscope.encode(WritesItsInput(), data, batch_size=5)
    np.testing.assert_array_equal(codes.bits(), (x > 1).numpy())
    assert torch.equal(data, x)


def test_a_data_set_that_transforms_its_tensors_is_read_through_its_own_items(x: Tensor) -> None:
    class Negated(TensorDataset):
        def __getitem__(self, i: int) -> tuple[Tensor, ...]:
            return (-self.tensors[0][i],)

    class Holder(Pairs):
        def __init__(self, x: Tensor) -> None:
            super().__init__(-x, torch.zeros(len(x), dtype=torch.long))
            self.tensors = (x,)

    expected = actscope.encode(mlp(), -x).packed
    np.testing.assert_array_equal(actscope.encode(mlp(), Negated(x)).packed, expected)
    np.testing.assert_array_equal(actscope.encode(mlp(), Holder(x)).packed, expected)


@pytest.mark.parametrize("drop_last", [False, True])
def test_labels_follow_their_examples_through_a_loader_that_shuffles(x: Tensor, drop_last: bool) -> None:
    loader = DataLoader(x, batch_size=4, shuffle=True, drop_last=drop_last)
    codes = actscope.encode(mlp(), loader, torch.arange(N) + 50)
    assert len(codes) == (20 if drop_last else N)
    np.testing.assert_array_equal(codes.labels, codes.ids + 50)


def test_integer_ids_are_64_bits_wide_in_a_file(x: Tensor, tmp_path: Path) -> None:
    file = actscope.encode(mlp(), x, ids=np.arange(N, dtype=np.int16), out=tmp_path / "c.parquet")
    assert pq.read_schema(file.path).field("id").type == "int64"


def test_batches_of_any_class_have_as_many_examples_as_ids(x: Tensor) -> None:
    class Graphs:
        def __init__(self, start: int) -> None:
            self.rows = range(start, min(start + 6, N))

    codes = actscope.encode(
        mlp(), [Graphs(i) for i in range(0, N, 6)], ids=lambda b: list(b.rows), adapt=lambda b: x[list(b.rows)]
    )
    np.testing.assert_array_equal(codes.packed, actscope.encode(mlp(), x).packed)


def test_named_tuples_stay_what_they_are(x: Tensor) -> None:
    class Sample(NamedTuple):
        image: Tensor
        label: Tensor

    seen: list[int] = []

    def images(batch: Sample) -> Tensor:
        seen.append(len(batch.image))
        return batch.image

    actscope.encode(mlp(), [Sample(x, torch.zeros(N, dtype=torch.long))], ids="order", adapt=images)
    assert seen == [N, 2]  # the whole batch is cut, and its two examples find the sites


def test_arrays_that_must_not_be_written_are_data_too(x: Tensor) -> None:
    array = x.numpy().copy()
    array.flags.writeable = False
    torch.set_warn_always(True)  # else torch warns of such an array once a process
    try:
        codes = actscope.encode(mlp(), array)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(codes.packed, actscope.encode(mlp(), x).packed)


class GrowsLater(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        z = torch.relu(z)
        return torch.relu(z - 1) if z[0, 0] > 5 else z


def test_a_site_that_fires_only_later_is_an_error_unless_others_were_chosen() -> None:
    x = torch.ones(6, 2)
    x[4:] = 9
    with pytest.raises(ValueError, match="':relu#2' fired on the batch that begins with example 4"):
        actscope.encode(GrowsLater(), x, batch_size=2)
    assert actscope.encode(GrowsLater(), x, batch_size=2, layers=":relu").n_bits == 2


def test_activations_of_callbacks_are_not_the_models(x: Tensor) -> None:
    codes = actscope.encode(mlp(), x, batch_size=5, on_output=lambda out, labels: torch.relu(out))
    assert [site.name for site in codes.sites] == ["1", "3"]


def test_sites_can_be_listed_on_the_meta_device_but_not_encoded(x: Tensor) -> None:
    model = mlp().to("meta")
    assert [site.name for site in actscope.sites(model, x)] == ["1", "3"]
    with pytest.raises(ValueError, match="meta device"):
        actscope.encode(model, x)


def test_a_bad_path_is_told_before_anything_runs(x: Tensor, tmp_path: Path) -> None:
    class Never(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            raise AssertionError("the model ran")

    with pytest.raises(IsADirectoryError, match="it is a folder; give the path of a file"):
        actscope.encode(Never(), x, out=tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        actscope.encode(Never(), x, out=tmp_path / "none" / "codes.parquet")


def test_a_failed_rename_leaves_no_temporary_file(x: Tensor, tmp_path: Path) -> None:
    def blocks(*_: Any) -> None:
        (tmp_path / "c.parquet").mkdir(exist_ok=True)

    with pytest.raises(IsADirectoryError):
        actscope.encode(mlp(), x, out=tmp_path / "c.parquet", on_output=blocks)
    assert [path.name for path in tmp_path.iterdir()] == ["c.parquet"]
