"""The table of operations is right about each of them: sums are additive, products are so in one factor, activations act alone."""

from __future__ import annotations

import itertools

import pytest
import torch

from actscope.regions.programs.operations import Dependence, dependence

aten = torch.ops.aten
X, Y = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 3, 4, 4, dtype=torch.float64)
SQUARE = torch.randn(4, 4, dtype=torch.float64)

CALLS = {
    "add": lambda x: aten.add(x, x.flip(0), alpha=2),
    "sub": lambda x: aten.sub(x, 3 * x),
    "neg": aten.neg,
    "sum": lambda x: aten.sum(x, [1]),
    "mean": lambda x: aten.mean(x, [2, 3]),
    "cumsum": lambda x: aten.cumsum(x, 1),
    "permute": lambda x: aten.permute(x, [0, 2, 3, 1]),
    "expand": lambda x: aten.expand(x[:, :1], [2, 5, 4, 4]),
    "slice": lambda x: aten.slice(x, 2, 1, 3),
    "cat": lambda x: aten.cat([x, 2 * x], 1),
    "stack": lambda x: aten.stack([x, x], 1),
    "flip": lambda x: aten.flip(x, [3]),
    "roll": lambda x: aten.roll(x, [1], [3]),
    "im2col": lambda x: aten.im2col(x, [2, 2], [1, 1], [0, 0], [1, 1]),
    "avg_pool2d": lambda x: aten.avg_pool2d(x, [2, 2]),
    "_adaptive_avg_pool2d": lambda x: aten._adaptive_avg_pool2d(x, [3, 2]),
    "reflection_pad2d": lambda x: aten.reflection_pad2d(x, [1, 1, 1, 1]),
    "replication_pad2d": lambda x: aten.replication_pad2d(x, [1, 0, 0, 1]),
    "upsample_nearest2d": lambda x: aten.upsample_nearest2d(x, [7, 5]),
    "upsample_bilinear2d": lambda x: aten.upsample_bilinear2d(x, [7, 5], False),
    "upsample_bicubic2d": lambda x: aten.upsample_bicubic2d(x, [7, 5], True),
    "_upsample_bilinear2d_aa": lambda x: aten._upsample_bilinear2d_aa(x, [2, 3], False),
    "tril": aten.tril,
    "copy": lambda x: aten.copy(torch.ones_like(x), x),
    "slice_scatter": lambda x: aten.slice_scatter(x, 2 * x[:, :1], 1, 1, 2),
    "index_put": lambda x: aten.index_put(x, [torch.tensor([0])], 3 * x[1:]),
    "index_add": lambda x: aten.index_add(x, 1, torch.tensor([0, 0]), x[:, 1:]),
    "scatter_add": lambda x: aten.scatter_add(x, 1, torch.zeros(2, 1, 4, 4, dtype=torch.int64), x[:, 1:2]),
}


@pytest.mark.parametrize("name", CALLS)
def test_jointly_linear_operations_are_additive_and_keep_zero(name: str) -> None:
    assert dependence(name) is Dependence.JOINTLY_LINEAR
    call = CALLS[name]
    torch.testing.assert_close(call(X + 2 * Y), call(X) + 2 * call(Y))
    assert not call(torch.zeros_like(X)).any()


PRODUCTS = {
    "mul": (aten.mul, X, Y),
    "mm": (aten.mm, SQUARE, SQUARE.T.clone()),
    "bmm": (aten.bmm, X[0], Y[0]),
    "mv": (aten.mv, SQUARE, SQUARE[0]),
    "dot": (aten.dot, SQUARE[0], SQUARE[1]),
    "convolution": (
        lambda x, w: aten.convolution(x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
        X,
        torch.randn(2, 3, 3, 3, dtype=torch.float64),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_linear_in_each_factor(name: str) -> None:
    assert dependence(name) is Dependence.AFFINE_IN_ONE
    product, a, b = PRODUCTS[name]
    torch.testing.assert_close(product(a + 2 * a.flip(0), b), product(a, b) + 2 * product(a.flip(0), b))
    torch.testing.assert_close(product(a, b + 2 * b.flip(0)), product(a, b) + 2 * product(a, b.flip(0)))


NEITHER = (
    "softmax _softmax exp log sqrt pow sin sort topk argmax native_layer_norm gt round sign nonzero unknown_operation"
)


@pytest.mark.parametrize("name", NEITHER.split())
def test_what_is_not_piecewise_linear_or_not_known_is_neither(name: str) -> None:
    assert dependence(name) is Dependence.OTHER


ELEMENTWISE = {
    "relu": aten.relu,
    "leaky_relu": aten.leaky_relu,
    "hardtanh": aten.hardtanh,
    "hardsigmoid": aten.hardsigmoid,
    "softshrink": aten.softshrink,
    "clamp": lambda x: aten.clamp(x, -0.3, 0.4),
    "abs": aten.abs,
    "gelu": aten.gelu,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_act_on_each_value_alone(name: str) -> None:
    assert dependence(name) is Dependence.ACTIVATION
    function = ELEMENTWISE[name]
    alone = torch.stack([function(value) for value in X.flatten()]).reshape(X.shape)
    torch.testing.assert_close(function(X), alone)


@pytest.mark.parametrize("name", ["amax", "max_pool2d_with_indices", "maximum", "min"])
def test_choices_pass_on_one_of_their_values(name: str) -> None:
    calls = {
        "amax": lambda x: aten.amax(x, [1]),
        "max_pool2d_with_indices": lambda x: aten.max_pool2d_with_indices(x, [2, 2])[0],
        "maximum": lambda x: aten.maximum(x, Y),
        "min": lambda x: aten.min.dim(x, 1)[0],
    }
    assert dependence(name) is Dependence.CHOICE
    assert torch.isin(calls[name](X), torch.cat([X, Y])).all()


def test_no_operation_is_of_two_kinds() -> None:
    from actscope.regions.programs import operations

    names = [name for words in operations._NAMES.values() for name in words.split()]
    doubled = [name for name, group in itertools.groupby(sorted(names)) if len(list(group)) > 1]
    assert doubled == []
