"""Networks whose neurons' fates are known because they were built by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

N_CLASSES = 2

FATES = {
    0: {"alive"},
    1: {"alive"},
    2: {"dead", "constant pattern"},
    3: {"redundant"},
    4: {"redundant"},
    5: {"redundant"},
    6: {"constant pattern", "always on"},
}
"""By neuron of `relu_units`."""


def examples(n: int = 400, n_inputs: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points of the cube [-1, 1]^d; the label is the sign of the first coordinate."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, n_inputs, generator=generator) * 2 - 1
    return x, (x[:, 0] > 0).long()


def relu_units(linear: nn.Linear) -> None:
    """Write seven units into a layer of four inputs: two alive, a dead one, a trio of one border (a copy twice as large and a mirror
    image), and one that is always on."""
    weight = torch.tensor(
        [
            [1.0, 0.2, 0.0, 0.1],
            [0.1, -1.0, 0.3, 0.0],
            [0.2, 0.1, 0.1, 0.1],
            [0.3, 0.4, -0.9, 0.2],
            [0.6, 0.8, -1.8, 0.4],
            [-0.3, -0.4, 0.9, -0.2],
            [0.2, -0.1, 0.1, 0.2],
        ]
    )
    bias = torch.tensor([0.05, -0.1, -2.0, 0.1, 0.2, -0.1, 3.0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)


def transparent_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Statistics and scales that are not trivial, but undone by `seen_through`."""
    n = norm.num_features
    with torch.no_grad():
        norm.running_mean.copy_(torch.linspace(-0.5, 0.5, n))
        norm.running_var.copy_(torch.linspace(0.5, 2.0, n))
        norm.weight.copy_(torch.linspace(0.7, 1.4, n))
        norm.bias.copy_(torch.linspace(0.3, -0.3, n))


def seen_through(layer: nn.Linear | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Change a layer so that layer and norm together are what the layer was alone."""
    transparent_norm(norm)
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        layer.weight.div_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.copy_((layer.bias - norm.bias) / scale + norm.running_mean)


def mlp(*, batch_norm: bool = False, seed: int = 0) -> nn.Sequential:
    """4 inputs, the seven units of `FATES` behind `relu`, five random ones behind `relu2`, two outputs."""
    torch.manual_seed(seed)
    layers: dict[str, nn.Module] = {"linear": nn.Linear(4, 7)}
    if batch_norm:
        layers["norm"] = nn.BatchNorm1d(7)
    layers |= {"relu": nn.ReLU(), "linear2": nn.Linear(7, 5), "relu2": nn.ReLU(), "output": nn.Linear(5, N_CLASSES)}
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    relu_units(layers["linear"])
    if batch_norm:
        seen_through(layers["linear"], layers["norm"])
    return model.eval()


def cnn(*, batch_norm: bool = False, seed: int = 0, padding: int = 0) -> nn.Sequential:
    """4 channels of 6×6, 1×1 filters that are the seven units of `FATES`, a 3×3 convolution, pooling, and a linear output."""
    torch.manual_seed(seed)
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(4, 7, 1)}
    if batch_norm:
        layers["norm"] = nn.BatchNorm2d(7)
    side = (6 + 2 * padding - 2) // 2
    layers |= {
        "relu": nn.ReLU(),
        "conv2": nn.Conv2d(7, 3, 3, padding=padding),
        "relu2": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "output": nn.Linear(3 * side * side, N_CLASSES),
    }
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    twin = nn.Linear(4, 7)
    relu_units(twin)
    with torch.no_grad():
        layers["conv"].weight.copy_(twin.weight[:, :, None, None])
        layers["conv"].bias.copy_(twin.bias)
    if batch_norm:
        seen_through(layers["conv"], layers["norm"])
    return model.eval()


def pictures(n: int = 120, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(n, 4, 6, 6) pictures with values in [-1, 1]; the label is the sign of their mean."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 4, 6, 6, generator=generator) * 2 - 1
    return x, (x.mean((1, 2, 3)) > 0).long()


@pytest.fixture
def make_mlp() -> Callable[..., nn.Sequential]:
    """`mlp`."""
    return mlp


@pytest.fixture
def make_cnn() -> Callable[..., nn.Sequential]:
    """`cnn`."""
    return cnn


@pytest.fixture
def points() -> tuple[Tensor, Tensor]:
    """`examples`."""
    return examples()


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    """`pictures`."""
    return pictures()


@pytest.fixture
def fates() -> dict[int, set[str]]:
    """By neuron of the first site, its verdicts."""
    return FATES


@pytest.fixture
def see_through() -> Callable[..., None]:
    """`seen_through`."""
    return seen_through
