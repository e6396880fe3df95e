"""Stacks that evaluate and encode: what each model alone gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actscope import encode
from actscope.training import MLP, LabelledData, Recipe, evaluate, stacks
from actscope.training.stacking import reading

N_FEATURES = 20


def data(n: int = 150, *, dense: bool = True, dtype: torch.dtype = torch.float32) -> LabelledData:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, N_FEATURES, generator=generator, dtype=dtype)
    if not dense:
        x *= torch.rand(n, N_FEATURES, generator=generator) < 0.1
    return LabelledData(x, torch.randint(4, (n,), generator=generator), split="test")


def mixed(dtype: torch.dtype = torch.float32) -> list[MLP]:
    """Of all widths, depths and activations, with normalizations that have seen something."""
    models = [
        MLP(N_FEATURES, [5], 4, seed=0),
        MLP(N_FEATURES, [9, 3], 4, batch_norm=True, seed=1),
        MLP(N_FEATURES, [9, 3, 70], 5, activation="tanh", seed=2),
        MLP(N_FEATURES, [9], 4, activation="sigmoid", batch_norm=True, seed=3),
        MLP(N_FEATURES, [16], 4, activation="prelu", seed=4),
        MLP(N_FEATURES, [9], 4, batch_norm=True, seed=5),
        MLP(N_FEATURES, [4] * 5, 6, activation="gelu", seed=6),
    ]
    for model in models:
        model.to(dtype).train()
        with torch.no_grad():
            for _ in range(3):
                model(data(dtype=dtype).x * 2 + 0.3)
        model.eval()
    return models


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_together_they_give_what_each_gives_alone(dtype: torch.dtype, dense: bool) -> None:
    models, examples = mixed(dtype), data(dense=dense, dtype=dtype)
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in models]
    for together, model in zip(stacks.encode(models, examples, progress=False), models, strict=True):
        alone = encode(model, examples, progress=False)
        assert together.sites == alone.sites
        np.testing.assert_array_equal(together.packed, alone.packed)
        np.testing.assert_array_equal(together.labels, alone.labels)
        np.testing.assert_array_equal(together.ids, alone.ids)
        assert together.split == "test"
    for found, model in zip(stacks.evaluate(models, examples), models, strict=True):
        expected = evaluate(model, examples)
        assert found.accuracy == expected.accuracy
        assert found.loss == pytest.approx(expected.loss, rel=1e-12 if dtype == torch.float64 else 1e-6)
        assert found.n_examples == 150
    for model, was in zip(models, before, strict=True):
        assert all(torch.equal(value, was[name]) for name, value in model.state_dict().items())


def test_models_of_both_types_and_in_several_passes_are_in_their_order() -> None:
    models = [model for pair in zip(mixed(), mixed(torch.float64), strict=True) for model in pair]
    examples = data(1100)  # more than a block
    tensors = {dtype: (examples.x.to(dtype), examples.y) for dtype in (torch.float32, torch.float64)}
    groups = reading._groups(reading._members(models, ""), tensors, 1)
    assert [len(members) for members, _ in groups] == [1] * len(models)
    whole = stacks.encode(models, examples, breakpoints=(0.0, 0.1), progress=False)
    parts = stacks.encode(models, examples, breakpoints=(0.0, 0.1), max_bytes=1, progress=False)
    for i, model in enumerate(models):
        alone = encode(model, examples.x.to(next(model.parameters()).dtype), breakpoints=(0.0, 0.1), progress=False)
        np.testing.assert_array_equal(whole[i].packed, alone.packed)
        np.testing.assert_array_equal(parts[i].packed, alone.packed)
    accuracies = [found.accuracy for found in stacks.evaluate(models, examples, max_bytes=1)]
    assert accuracies == [evaluate(model, examples).accuracy for model in models]


def test_inputs_without_labels_are_encoded_and_linear_classifiers_are_evaluated() -> None:
    examples = data()
    codes = stacks.encode(mixed(), examples.x, split="some", progress=False)
    assert codes[0].labels is None
    assert codes[0].split == "some"
    linear = MLP(N_FEATURES, [], 4)
    found = stacks.evaluate([linear, mixed()[0]], examples)
    assert found[0].accuracy == evaluate(linear, examples).accuracy
    with pytest.raises(ValueError, match="has no activation site"):
        stacks.encode([linear], examples, progress=False)


def test_frozen_models_are_read() -> None:
    models = mixed()
    for model in models:
        model.requires_grad_(False)
    assert len(stacks.encode(models, data(), progress=False)) == len(models)


def with_nan(model: MLP) -> MLP:
    with torch.no_grad():
        next(model.parameters())[2, 3] = float("nan")
    return model


@pytest.mark.parametrize(
    ("models", "examples", "error", "message"),
    [
        ([], data(), ValueError, "models is empty"),
        (
            [nn.Linear(3, 2)],
            data(),
            TypeError,
            "model 0 is a Linear; a stack takes MLPs: encode it with actscope.encode",
        ),
        (mixed()[:1], data().x[:, :7], ValueError, "examples have 7 features, but model 0 takes 20"),
        (
            [mixed()[0], with_nan(mixed()[2])],
            data(),
            ValueError,
            "model 1: a pre-activation of 'tanh1' is NaN or infinite on",
        ),
    ],
    ids=["none", "no MLP", "another width", "NaN"],
)
def test_what_cannot_be_encoded_is_named(models: Any, examples: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        stacks.encode(models, examples, progress=False)


def test_labels_that_a_model_does_not_have_are_refused() -> None:
    few = MLP(N_FEATURES, [3], 2)
    with pytest.raises(ValueError, match="labels run up to 3, but model 1 has 2 classes"):
        stacks.evaluate([mixed()[0], few], data())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_codes_are_the_same_but_for_ties() -> None:
    models, examples = mixed(torch.float64), data(dtype=torch.float64)
    for there, here in zip(
        stacks.encode(models, examples, device="cuda", progress=False),
        stacks.encode(models, examples, progress=False),
        strict=True,
    ):
        np.testing.assert_array_equal(there.packed, here.packed)


def test_a_hook_of_one_model_changes_no_other_and_does_not_run() -> None:
    def pair() -> list[MLP]:
        return [MLP(N_FEATURES, [6], 4, activation="tanh", seed=seed) for seed in (0, 1)]

    expected = stacks.evaluate(pair(), data())
    hooked = pair()
    hooked[0].tanh1.register_forward_hook(lambda module, inputs, output: output * 0)
    assert stacks.evaluate(hooked, data()) == expected
    recipe = Recipe(lr=1e-2, batch_size=50, epochs=2)
    plain = pair()
    stacks.fit(plain, data(), recipe=recipe)
    stacks.fit(hooked, data(), recipe=recipe)
    for ours, theirs in zip(hooked, plain, strict=True):
        assert torch.equal(ours.linear1.weight, theirs.linear1.weight)


@pytest.mark.parametrize("n_classes", [255, 256, 257, 512])
def test_ties_of_any_number_of_classes_go_to_the_first(n_classes: int) -> None:
    model = MLP(N_FEATURES, [3], n_classes)
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.zero_()
    assert stacks.evaluate([model], data())[0].accuracy == evaluate(model, data()).accuracy
