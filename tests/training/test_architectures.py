from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from actscope import sites
from actscope.training import ACTIVATIONS, ARCHITECTURES, architecture
from actscope.training.architectures.blocks import BottleneckBlock, ResidualBlock, ZeroPaddedShortcut

SHAPE = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
ALL = [(dataset, name) for dataset, makers in ARCHITECTURES.items() for name in makers]


@dataclass
class Count:
    """A network added up by hand, layer after layer: what it should have."""

    channels: int
    side: int
    parameters: int = 0
    sites: list[int] = field(default_factory=list)
    stages: list[tuple[int, int, int]] = field(default_factory=list)
    weighted: int = 0

    def norm(self, channels: int) -> None:
        self.parameters += 2 * channels

    def site(self, n_neurons: int) -> None:
        self.sites.append(n_neurons)

    def convolution(self, channels: int, size: int, *, stride: int = 1, groups: int = 1) -> None:
        self.parameters += size * size * (self.channels // groups) * channels
        self.channels, self.side = channels, math.ceil(self.side / stride)
        self.weighted += 1

    def convolved(self, channels: int, size: int, *, stride: int = 1, groups: int = 1) -> None:
        self.convolution(channels, size, stride=stride, groups=groups)
        self.norm(channels)
        self.site(channels * self.side**2)

    def mnist_stem(self, channels: int) -> None:
        self.convolved(channels, 3, stride=2)
        self.side = math.ceil(self.side / 2)

    def projection(self, channels: int) -> None:
        self.parameters += self.channels * channels + 2 * channels

    def stage(self) -> None:
        self.stages.append((self.channels, self.side, self.side))

    def linear(self, n_inputs: int, n_outputs: int) -> None:
        self.parameters += n_inputs * n_outputs + n_outputs
        self.weighted += 1


def vgg_18_on_mnist() -> Count:
    net = Count(1, 28)
    net.mnist_stem(32)
    for channels in (32, 64, 128, 256):
        for i in range(4):
            net.convolved(channels, 3, stride=2 if channels > 32 and i == 0 else 1)
        net.stage()
    net.linear(256, 10)
    return net


def residual(net: Count, stages: list[tuple[int, int]], *, projections: bool = True) -> Count:
    for number, (channels, n_blocks) in enumerate(stages):
        for i in range(n_blocks):
            stride = 2 if number and i == 0 else 1
            if projections and net.channels != channels:
                net.projection(channels)
            net.convolved(channels, 3, stride=stride)
            net.convolved(channels, 3)
        net.stage()
    net.linear(net.channels, 10)
    return net


def resnet_on_mnist(*n_blocks: int) -> Count:
    net = Count(1, 28)
    net.mnist_stem(32)
    return residual(net, list(zip((32, 64, 128, 256), n_blocks, strict=True)))


def resnet_on_cifar10(channels: tuple[int, ...], n_blocks: int, *, projections: bool) -> Count:
    net = Count(3, 32)
    net.convolved(channels[0], 3)
    return residual(net, [(width, n_blocks) for width in channels], projections=projections)


def resnext_26_on_mnist() -> Count:
    net = Count(1, 28)
    net.mnist_stem(32)
    for inner, outer, n_blocks in ((32, 64, 2), (64, 128, 3), (128, 256, 3)):
        for i in range(n_blocks):
            if net.channels != outer:
                net.projection(outer)
            net.convolved(inner, 1)
            net.convolved(inner, 3, stride=2 if inner > 32 and i == 0 else 1, groups=8)
            net.convolved(outer, 1)
        net.stage()
    net.linear(256, 10)
    return net


def densenet_28_on_mnist() -> Count:
    net = Count(1, 28)
    net.mnist_stem(6)
    for stage in range(3):
        if stage:
            net.norm(net.channels)
            net.site(net.channels * net.side**2)
            net.convolution(net.channels // 2, 1)
            net.side //= 2
        for _ in range(4):
            before = net.channels
            net.norm(before)
            net.site(before * net.side**2)
            net.convolved(12, 1)
            net.convolution(3, 3)
            net.channels += before
        net.stage()
    net.norm(net.channels)
    net.site(net.channels * net.side**2)
    net.linear(net.channels, 10)
    return net


def vgg_on_cifar10(*groups: tuple[int, int]) -> Count:
    net = Count(3, 32)
    for channels, n in groups:
        for _ in range(n):
            net.convolved(channels, 3)
        net.stage()
        net.side //= 2
    for n_inputs in (512 * net.side**2, 4096):
        net.linear(n_inputs, 4096)
        net.norm(4096)
        net.site(4096)
    net.linear(4096, 10)
    return net


COUNTS = {
    ("mnist", "VGG-18"): vgg_18_on_mnist(),
    ("mnist", "ResNet-18"): resnet_on_mnist(2, 2, 2, 2),
    ("mnist", "ResNet-34"): resnet_on_mnist(3, 4, 6, 3),
    ("mnist", "ResNeXt-26"): resnext_26_on_mnist(),
    ("mnist", "DenseNet-28"): densenet_28_on_mnist(),
    ("cifar10", "VGG-16"): vgg_on_cifar10((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
    ("cifar10", "VGG-19"): vgg_on_cifar10((32, 2), (128, 2), (256, 4), (512, 4), (512, 4)),
    ("cifar10", "ResNet-18"): resnet_on_cifar10((64, 128, 256, 512), 2, projections=True),
    ("cifar10", "ResNet-20"): resnet_on_cifar10((16, 32, 64), 3, projections=False),
    ("cifar10", "ResNet-32"): resnet_on_cifar10((16, 32, 64), 5, projections=False),
}


def images(dataset: str, n: int = 2) -> Tensor:
    return torch.rand(n, *SHAPE[dataset], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("dataset", "name"), ALL)
def test_a_network_is_what_its_table_adds_up_to(dataset: str, name: str) -> None:
    count = COUNTS[dataset, name]
    model = architecture(name, dataset=dataset).eval()
    shapes = []
    for part, module in model.named_children():
        if part.startswith("stage"):
            module.register_forward_hook(lambda _module, _inputs, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert model(images(dataset)).shape == (2, 10)
    assert shapes == count.stages
    assert sum(p.numel() for p in model.parameters()) == count.parameters
    assert [site.n_bits for site in sites(model, images(dataset))] == count.sites
    assert count.weighted == int(name.split("-")[1])


def test_the_counts_by_hand_are_those_that_the_networks_authors_print() -> None:
    """In millions, He et al. 2016, Table 6; a name's number is the number of its convolutions and linear layers."""
    assert round(COUNTS["cifar10", "ResNet-20"].parameters / 1e6, 2) == 0.27
    assert round(COUNTS["cifar10", "ResNet-32"].parameters / 1e6, 2) == 0.46


def modules_that_are_nonlinear(model: nn.Module) -> int:
    linear = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
    shape = (nn.Flatten, nn.Identity, ZeroPaddedShortcut)
    leaves = [module for module in model.modules() if not list(module.children())]
    return sum(not isinstance(leaf, linear + shape) for leaf in leaves)


@pytest.mark.parametrize(("dataset", "name"), ALL)
def test_every_activation_is_a_site_of_the_kind_that_was_chosen(dataset: str, name: str) -> None:
    model = architecture(name, dataset=dataset, activation="tanh").eval()
    found = sites(model, images(dataset))
    assert len(found) == modules_that_are_nonlinear(model)
    assert {site.kind for site in found} == {"tanh"}


@pytest.mark.parametrize(("dataset", "name"), [("mnist", name) for name in ARCHITECTURES["mnist"]])
def test_the_seed_alone_decides_the_weights(dataset: str, name: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (architecture(name, dataset=dataset, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_vgg_16_takes_every_activation(activation: str) -> None:
    model = architecture("VGG-16", dataset="cifar10", activation=activation)
    kinds = [module for module in model.modules() if isinstance(module, type(ACTIVATIONS[activation]()))]
    assert len(kinds) == 15


@pytest.mark.parametrize(("dataset", "name"), [("mnist", name) for name in ARCHITECTURES["mnist"]])
def test_gradients_reach_every_parameter(dataset: str, name: str) -> None:
    model = architecture(name, dataset=dataset)
    nn.functional.cross_entropy(model(images(dataset, 8)), torch.arange(8)).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    assert float(model.conv.weight.grad.abs().sum()) > 0


def test_a_shortcut_of_zeros_keeps_every_other_pixel_and_adds_channels_of_zeros() -> None:
    x = torch.rand(2, 3, 5, 5)
    out = ZeroPaddedShortcut(3, 7, stride=2)(x)
    expected = torch.zeros(2, 7, 3, 3)
    for i, j in torch.cartesian_prod(torch.arange(3), torch.arange(3)).tolist():
        expected[:, :3, i, j] = x[:, :, 2 * i, 2 * j]
    assert torch.equal(out, expected)


def test_a_bottleneck_block_is_the_sum_of_its_groups_paths_and_its_input() -> None:
    """Xie et al. 2017, Figure 3a: a grouped convolution is one path per group, and the paths are added up."""
    block = BottleneckBlock(8, 8, cardinality=2, expansion=2, generator=torch.Generator().manual_seed(0)).eval()
    x = torch.randn(3, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    scale = 1 / math.sqrt(1 + 1e-5)
    paths = x.new_zeros(x.shape)
    for group in range(2):
        rows = slice(2 * group, 2 * group + 2)
        h = torch.relu(scale * nn.functional.conv2d(x, block.conv1.weight[rows]))
        h = torch.relu(scale * nn.functional.conv2d(h, block.conv2.weight[rows], padding=1))
        paths += nn.functional.conv2d(h, block.conv3.weight[:, rows])
    torch.testing.assert_close(block(x), torch.relu(scale * paths + x))


def test_what_is_no_network_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="dataset='svhn' has no architectures; choose one of mnist, cifar10"):
        architecture("VGG-16", dataset="svhn")
    with pytest.raises(
        ValueError, match="name='VGG-16' is no architecture for 'mnist'; choose one of VGG-18, ResNet-18"
    ):
        architecture("VGG-16", dataset="mnist")
    with pytest.raises(ValueError, match="activation='rleu' is not known"):
        architecture("VGG-16", dataset="cifar10", activation="rleu")
    with pytest.raises(ValueError, match="shortcut='none' is not known; choose 'projection' or 'zeros'"):
        ResidualBlock(2, 4, shortcut="none", generator=torch.Generator())  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match=r"out_channels=20 must be a multiple of expansion · cardinality = 2 · 8"):
        BottleneckBlock(2, 20, cardinality=8, generator=torch.Generator())
    with pytest.raises(ValueError, match="out_channels=2 must be at least in_channels=4"):
        ZeroPaddedShortcut(4, 2, stride=1)
