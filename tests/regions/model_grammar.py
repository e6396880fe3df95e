"""Random piecewise-linear models that are written in as many ways as people write them: small, and the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]


def random_model(seed: int) -> tuple[nn.Module, Shape]:
    """A piecewise-linear model in eval mode, float32, and the shape of one input, of 2 to 30 numbers.

    Everything is small: a handful of sites, at most some hundred neurons in all. Its output may be a tensor, a tuple or a dictionary.
    """
    rng = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape: Shape = rng.choice([(2,), (3,), (5,), (1, 4, 4), (2, 3, 4), (1, 5, 6), (3, 4), (2, 6)])
        model = _grown(rng, shape, n_parts=rng.randint(2, 5))
        model = Delivered(model, rng.choice(["tensor", "tensor", "tuple", "dict", "logits"]))
        return model.eval(), shape


class Applied(nn.Module):
    """A function of a tensor as a module, with the modules that it uses."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.used = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.used)


class Delivered(nn.Module):
    """A model whose output comes in a tuple or a dictionary."""

    def __init__(self, body: nn.Module, form: str) -> None:
        super().__init__()
        self.body = body
        self.form = form

    def forward(self, x: Tensor) -> Any:
        y = self.body(x)
        forms = {"tensor": y, "tuple": (y, x), "dict": {"scores": y}, "logits": {"hidden": x, "logits": y}}
        return forms[self.form]


def tensor_of(output: Any) -> Tensor:
    """The tensor that a model of the grammar is about."""
    if isinstance(output, dict):
        output = output.get("logits", next(iter(output.values())))
    return output[0] if isinstance(output, tuple) else output


class Affine(nn.Module):
    """x · scale + shift with constants that broadcast, as buffers and as parameters."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("scale", 0.5 + torch.rand(shape))
        self.shift = nn.Parameter(torch.randn((1, *shape)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class WithToken(nn.Module):
    """Sequences with one learned token in front and learned positions, as in a vision transformer."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Embedding(length + 1, width)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        return x + self.positions(torch.arange(x.shape[1], device=x.device))


class Mixed(nn.Module):
    """Tokens mixed by a constant matrix, by einsum, matmul or bmm."""

    def __init__(self, length: int, how: str) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.randn(3, length) / length**0.5)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "einsum":
            return torch.einsum("kl,nld->nkd", self.mixing, x)
        if self.how == "bmm":
            return torch.bmm(self.mixing.expand(len(x), -1, -1), x)
        return self.mixing @ x


class Twice(nn.Module):
    """One block used twice, with a sum over what went in."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x + 0.5 * self.block(x))


def _grown(rng: random.Random, shape: Shape, *, n_parts: int) -> nn.Module:
    parts: list[nn.Module] = []
    for _ in range(n_parts):
        part = _part(rng, shape)
        nested = nn.Sequential(part, nn.Dropout(0.3)) if rng.random() < 0.2 else part
        parts.append(nested)
        shape = _shape_after(part, shape)
        if rng.random() < 0.7:
            parts.append(_activation(rng, shape))
    head = nn.Linear(shape[-1], 4)
    parts += [head, _activation(rng, (*shape[:-1], 4)), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(4 * math.prod(shape[:-1]), 3, bias=rng.random() < 0.7))


def _shape_after(part: nn.Module, shape: Shape) -> Shape:
    _set_statistics(part)
    with torch.no_grad():
        return tuple(part.eval()(torch.randn(2, *shape)).shape[1:])


def _set_statistics(part: nn.Module) -> None:
    for module in part.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_()


def _part(rng: random.Random, shape: Shape) -> nn.Module:
    kinds = {1: _vector_parts, 2: _sequence_parts, 3: _image_parts}
    choices = kinds[len(shape)](rng, shape) + _parts_of_any_shape(rng, shape)
    return rng.choice(choices)()


def _block(rng: random.Random, shape: Shape) -> nn.Module:
    """A layer with an activation that keeps the shape."""
    if len(shape) == 3:
        layers: list[nn.Module] = [nn.Conv2d(shape[0], shape[0], 3, padding=1), nn.BatchNorm2d(shape[0])]
    else:
        layers = [nn.Linear(shape[-1], shape[-1])]
    return nn.Sequential(*layers, _activation(rng, shape))


def _parts_of_any_shape(rng: random.Random, shape: Shape) -> list[Callable[[], nn.Module]]:
    def residual() -> nn.Module:
        return Applied(lambda x, block: x + block(x), _block(rng, shape))

    def maximum() -> nn.Module:
        return Applied(lambda x, one, other: torch.maximum(one(x), other(x)), _block(rng, shape), Affine(shape))

    def joined() -> nn.Module:
        return Applied(lambda x, block: torch.cat([block(x), x.flip(-1)], dim=1), _block(rng, shape))

    return [residual, maximum, joined, lambda: Twice(_block(rng, shape)), lambda: Affine(shape)]


def _vector_parts(rng: random.Random, shape: Shape) -> list[Callable[[], nn.Module]]:
    width, out = shape[0], rng.randint(2, 6)

    def halves(x: Tensor, linear: nn.Module) -> Tensor:
        a, b = linear(x).chunk(2, dim=1)
        return a - 0.5 * b

    def maxout(x: Tensor, linear: nn.Module) -> Tensor:
        return linear(x).view(x.shape[0], -1, 2).amax(dim=2)

    def pooled(x: Tensor, linear: nn.Module) -> Tensor:
        return F.max_pool1d(linear(x).unsqueeze(1), 3, stride=2, padding=1).squeeze(1)

    def largest(x: Tensor, linear: nn.Module) -> Tensor:
        values, _ = linear(x).reshape(-1, 2, out).max(dim=1)
        return values

    return [
        lambda: nn.Linear(width, out),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(width, out)),
        lambda: nn.Sequential(nn.Linear(width, out), nn.BatchNorm1d(out)),
        lambda: Applied(halves, nn.Linear(width, 2 * out)),
        lambda: Applied(maxout, nn.Linear(width, 2 * out)),
        lambda: Applied(largest, nn.Linear(width, 2 * out)),
        lambda: Applied(pooled, nn.Linear(width, 2 * out)),
    ]


def _sequence_parts(rng: random.Random, shape: Shape) -> list[Callable[[], nn.Module]]:
    length, width = shape
    out = rng.randint(2, 4)

    def averaged(x: Tensor, linear: nn.Module) -> Tensor:
        return linear(x.transpose(1, 2)).permute(0, 2, 1)

    def split(x: Tensor, linear: nn.Module) -> Tensor:
        first, rest = linear(x).split([1, out - 1], dim=-1)
        return torch.cat((rest, -first.abs()), dim=-1)

    def each_alone(x: Tensor, linear: nn.Module) -> Tensor:
        n, tokens, features = x.shape
        return linear(x.reshape(n * tokens, features)).view(n, tokens, -1)

    return [
        lambda: nn.Linear(width, out),
        lambda: WithToken(length, width),
        lambda: Mixed(length, rng.choice(["einsum", "matmul", "bmm"])),
        lambda: Applied(averaged, nn.Linear(length, out)),
        lambda: Applied(split, nn.Linear(width, out)),
        lambda: Applied(each_alone, nn.Sequential(nn.Linear(width, out), nn.ReLU())),
        lambda: nn.Conv1d(length, out, 1),
        lambda: nn.AdaptiveMaxPool1d(2),
        lambda: Applied(lambda x: x.amax(dim=1)),
    ]


def _image_parts(rng: random.Random, shape: Shape) -> list[Callable[[], nn.Module]]:
    channels, height, width = shape
    if min(height, width) < 2:
        return [nn.Flatten]
    out = rng.randint(1, 2)
    kernel = rng.choice([2, (2, 1), (1, 2)])
    return [
        lambda: nn.Conv2d(channels, out, 3, padding=1, padding_mode=rng.choice(["zeros", "reflect", "replicate"])),
        lambda: nn.Sequential(nn.Conv2d(channels, out, (2, 2), bias=False), nn.BatchNorm2d(out)),
        lambda: nn.MaxPool2d(kernel, stride=1, padding=0),
        lambda: nn.MaxPool2d(2, stride=rng.choice([1, 2]), padding=1),
        lambda: nn.MaxPool2d(2, dilation=1, ceil_mode=True),
        lambda: nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2, stride=2, dilation=2)),
        lambda: nn.AdaptiveMaxPool2d((2, 1)),
        lambda: nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
        lambda: nn.AdaptiveAvgPool2d(2),
        lambda: Applied(lambda x: F.pad(x, (1, 0, 0, 1), value=0.3)[..., 1:, :]),
        lambda: Applied(lambda x: F.interpolate(x[:, :, ::2], size=(3, 3), mode="bilinear", align_corners=False)),
        lambda: Applied(lambda x: F.interpolate(x, scale_factor=1.5, mode="nearest").mean(dim=3)),
        lambda: Applied(lambda x: torch.flatten(x, 2).transpose(1, 2)),
        nn.Flatten,
    ]


def _activation(rng: random.Random, shape: Shape) -> nn.Module:
    channels = shape[0]
    functions: list[Callable[[Tensor], Tensor]] = [
        F.relu,
        torch.abs,
        lambda z: F.leaky_relu(z, 0.2),
        lambda z: z.clamp(min=-0.4),
        lambda z: torch.clamp(z, -0.7, 0.9),
        lambda z: F.relu_(z.clone()),
    ]
    modules: list[Callable[[], nn.Module]] = [
        nn.ReLU,
        nn.ReLU,
        lambda: nn.ReLU(inplace=True),
        lambda: nn.LeakyReLU(0.3),
        lambda: nn.PReLU(init=rng.uniform(-0.5, 0.5)),
        lambda: _prelu_per_channel(channels),
        lambda: nn.RReLU(0.1, 0.3),
        nn.ReLU6,
        nn.Hardtanh,
        nn.Hardsigmoid,
        nn.Softshrink,
        lambda: nn.Threshold(0.1, 0.1),
        lambda: Applied(rng.choice(functions)),
    ]
    return rng.choice(modules)()


def _prelu_per_channel(channels: int) -> nn.Module:
    module = nn.PReLU(channels)
    with torch.no_grad():
        module.weight.uniform_(-0.5, 0.5)
    return module
