from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from actscope.training import ACTIVATIONS, MLP, small_resnet


def names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_children()]


def test_layers_are_named_after_what_they_are() -> None:
    assert names(MLP(4, [3, 2], 2)) == ["linear1", "relu1", "linear2", "relu2", "output"]
    assert names(MLP(4, [3], 2, batch_norm=True, activation="leaky_relu")) == [
        "linear1",
        "norm1",
        "leaky_relu1",
        "output",
    ]
    assert names(MLP(4, [3], 2, activation=partial(nn.LeakyReLU, 0.2))) == ["linear1", "leakyrelu1", "output"]


def test_no_hidden_layer_makes_a_linear_classifier() -> None:
    model = MLP(4, [], 3)
    x = torch.randn(5, 4)
    assert names(model) == ["output"]
    assert torch.equal(model(x), x @ model.output.weight.T + model.output.bias)


@given(hidden=st.lists(st.integers(1, 5), max_size=3), batch_norm=st.booleans())
def test_the_logits_are_those_of_the_formula(hidden: list[int], batch_norm: bool) -> None:
    model = MLP(6, hidden, 3, batch_norm=batch_norm, init="torch").eval()
    x = torch.randn(4, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    h = x.reshape(4, 6)
    state = model.state_dict()
    for depth in range(1, len(hidden) + 1):
        h = h @ state[f"linear{depth}.weight"].T + state[f"linear{depth}.bias"]
        if batch_norm:
            h = h / math.sqrt(1 + 1e-5)
        h = h * (h > 0)
    expected = h @ state["output.weight"].T + state["output.bias"]
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_named_activation_is_there_once_per_hidden_layer_and_passes_gradients(activation: str) -> None:
    model = MLP(4, [8, 8], 2, activation=activation)
    assert [f"{activation}{depth}" in names(model) for depth in (1, 2)] == [True, True]
    model(torch.randn(16, 4)).sum().backward()
    assert float(model.linear1.weight.grad.abs().sum()) > 0


def test_one_activation_module_given_for_all_layers_still_runs_in_each() -> None:
    shared = nn.ReLU()
    model = MLP(4, [3, 3], 2, activation=lambda: shared)
    calls = []
    shared.register_forward_hook(lambda *_: calls.append(1))
    model(torch.randn(2, 4))
    assert len(calls) == 2


def weights_of(init: str, seed: int = 0) -> nn.Linear:
    layer = MLP(400, [600], 10, init=init, seed=seed).linear1
    assert isinstance(layer, nn.Linear)
    return layer.requires_grad_(False)


def test_keras_initialization_is_glorot_uniform_with_zero_biases() -> None:
    layer = weights_of("keras")
    limit = math.sqrt(6 / (400 + 600))
    assert 0.99 * limit < float(layer.weight.abs().max()) <= limit
    assert float(layer.weight.std()) == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert not layer.bias.any()


def test_he_initialization_is_normal_with_small_random_biases() -> None:
    layer = weights_of("he")
    assert float(layer.weight.std()) == pytest.approx(math.sqrt(2 / 400), rel=0.01)
    assert float((layer.weight.abs() > 2 * math.sqrt(2 / 400)).float().mean()) == pytest.approx(0.0455, abs=0.002)
    assert float(layer.bias.std()) == pytest.approx(1e-3, rel=0.1)


def test_torch_initialization_has_the_bounds_of_pytorchs_own() -> None:
    own = nn.Linear(400, 600).requires_grad_(False)
    layer = weights_of("torch")
    for ours, theirs in ((layer.weight, own.weight), (layer.bias, own.bias)):
        assert float(ours.abs().max()) == pytest.approx(float(theirs.abs().max()), rel=0.02)
        assert float(ours.std()) == pytest.approx(float(theirs.std()), rel=0.1)


def test_batch_normalization_has_the_defaults_of_the_framework_named() -> None:
    keras, torchs = (MLP(4, [3], 2, batch_norm=True, init=init).norm1 for init in ("keras", "torch"))
    own = nn.BatchNorm1d(3)
    assert (keras.momentum, keras.eps) == (0.01, 1e-3)
    assert (torchs.momentum, torchs.eps) == (own.momentum, own.eps)


MAKERS: list[Callable[[int], nn.Module]] = [
    lambda seed: MLP(8, [5, 5], 3, init="keras", batch_norm=True, seed=seed),
    lambda seed: MLP(8, [5, 5], 3, init="torch", seed=seed),
    lambda seed: MLP(8, [5, 5], 3, init="he", seed=seed),
    lambda seed: small_resnet(1, 3, widths=(2, 4), seed=seed),
]


@pytest.mark.parametrize("make", MAKERS, ids=["keras", "torch", "he", "resnet"])
def test_the_seed_alone_decides_the_weights(make: Callable[[int], nn.Module]) -> None:
    before = torch.random.get_rng_state()
    first, other = make(0), make(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    again = make(0)
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    weight = next(name for name, value in first.state_dict().items() if value.ndim > 1)
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])


def test_input_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match="takes 784 features per example, got 64"):
        MLP(784, [5], 10)(torch.zeros(2, 1, 8, 8))


def test_arguments_that_make_no_network_are_refused() -> None:
    with pytest.raises(TypeError, match=r"hidden=50 must be a sequence of widths, such as \[50\]"):
        MLP(4, 50, 2)
    with pytest.raises(ValueError, match=r"hidden=\[0\].*must all be positive"):
        MLP(4, [0], 2)
    with pytest.raises(ValueError, match="activation='rleu' is not known; choose one of celu"):
        MLP(4, [3], 2, activation="rleu")
    with pytest.raises(TypeError, match=r"pass what makes a new one, such as lambda: ReLU\(\)"):
        MLP(4, [3], 2, activation=nn.ReLU())
    with pytest.raises(ValueError, match="init='glorot' is no initialization; choose one of keras, torch, he"):
        MLP(4, [3], 2, init="glorot")
    with pytest.raises(ValueError, match="at least one width"):
        small_resnet(3, 10, widths=())


@pytest.mark.parametrize("side", [8, 9, 32])
def test_a_residual_network_halves_the_image_at_each_stage_after_the_first(side: int) -> None:
    model = small_resnet(3, 10, widths=(4, 8, 16), blocks_per_stage=2)
    sizes = []
    for stage in (model.stage1, model.stage2, model.stage3):
        assert isinstance(stage, nn.Module)
        stage.register_forward_hook(lambda _module, _inputs, out: sizes.append(tuple(out.shape[1:])))
    assert model(torch.randn(2, 3, side, side)).shape == (2, 10)
    half = -(-side // 2)
    quarter = -(-half // 2)
    assert sizes == [(4, side, side), (8, half, half), (16, quarter, quarter)]


def test_twenty_layers_have_the_parameters_of_resnet_20() -> None:
    model = small_resnet(3, 10, blocks_per_stage=3)
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and m.weight.shape[2:] != (1, 1)]
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert len(weighted) == 20
    assert sum(p.numel() for p in model.parameters()) == 269_722 + projections


def test_a_residual_block_adds_its_input_to_what_its_convolutions_make() -> None:
    block = small_resnet(3, 10, widths=(4,)).stage1.block1
    assert isinstance(block, nn.Module)
    nn.init.zeros_(block.norm2.weight)
    x = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(x), x)
