"""Every way to write an activation is one site, and its bits are those of its pre-activation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import actscope
from actscope.codes import UnseenActivationError


class Applied(nn.Module):
    """A linear layer and then a function of it."""

    def __init__(self, function: Callable[[Tensor], Tensor], n_inputs: int = 5, n_outputs: int = 11) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


def expected_bits(z: Tensor, breakpoints: tuple[float, ...]) -> np.ndarray:
    flat = z.detach().reshape(len(z), -1)
    return torch.cat([flat > point for point in breakpoints], dim=1).numpy()


SPELLINGS: dict[str, tuple[Callable[[Tensor], Tensor], str, tuple[float, ...]]] = {
    "F.relu": (F.relu, "relu", (0.0,)),
    "F.relu in place": (lambda z: F.relu(z, inplace=True), "relu", (0.0,)),
    "torch.relu": (torch.relu, "relu", (0.0,)),
    "torch.relu_": (lambda z: torch.relu_(z), "relu", (0.0,)),
    "x.relu()": (lambda z: z.relu(), "relu", (0.0,)),
    "x.relu_()": (lambda z: z.relu_(), "relu", (0.0,)),
    "torch.clamp(min=0)": (lambda z: torch.clamp(z, min=0), "clamp", (0.0,)),
    "x.clamp(0, 6)": (lambda z: z.clamp(0, 6), "clamp", (0.0, 6.0)),
    "x.clamp_min_(0.5)": (lambda z: z.clamp_min_(0.5), "clamp", (0.5,)),
    "x.clamp_max(0.25)": (lambda z: z.clamp_max(0.25), "clamp", (0.25,)),
    "x.clip(tensor)": (lambda z: z.clip(torch.tensor(-0.5), torch.tensor(0.5)), "clamp", (-0.5, 0.5)),
    "clamp to inf": (lambda z: z.clamp(0.0, math.inf), "clamp", (0.0,)),
    "F.leaky_relu": (lambda z: F.leaky_relu(z, 0.3), "leaky_relu", (0.0,)),
    "F.gelu": (F.gelu, "gelu", (0.0,)),
    "F.gelu by keyword": (lambda z: F.gelu(input=z, approximate="tanh"), "gelu", (0.0,)),
    "F.silu": (F.silu, "silu", (0.0,)),
    "torch.sigmoid": (torch.sigmoid, "sigmoid", (-0.5, 0.0, 0.5)),
    "F.sigmoid": (F.sigmoid, "sigmoid", (-0.5, 0.0, 0.5)),
    "x.sigmoid_()": (lambda z: z.sigmoid_(), "sigmoid", (-0.5, 0.0, 0.5)),
    "torch.tanh": (torch.tanh, "tanh", (-0.5, 0.0, 0.5)),
    "x.tanh()": (lambda z: z.tanh(), "tanh", (-0.5, 0.0, 0.5)),
    "F.relu6": (F.relu6, "relu6", (0.0, 6.0)),
    "F.hardtanh": (F.hardtanh, "hardtanh", (-1.0, 1.0)),
    "F.hardtanh(-2, 3)": (lambda z: F.hardtanh(z, -2, 3), "hardtanh", (-2.0, 3.0)),
    "F.hardsigmoid": (F.hardsigmoid, "hardsigmoid", (-3.0, 3.0)),
    "F.hardswish": (F.hardswish, "hardswish", (-3.0, 3.0)),
    "F.hardshrink": (lambda z: F.hardshrink(z, 0.1), "hardshrink", (-0.1, 0.1)),
    "F.softshrink": (F.softshrink, "softshrink", (-0.5, 0.5)),
    "F.threshold": (lambda z: F.threshold(z, 0.2, 7.0), "threshold", (0.2,)),
    "F.elu": (F.elu, "elu", (0.0,)),
    "F.celu": (F.celu, "celu", (0.0,)),
    "F.selu": (F.selu, "selu", (0.0,)),
    "F.softplus": (F.softplus, "softplus", (0.0,)),
    "F.mish": (F.mish, "mish", (0.0,)),
    "F.softsign": (F.softsign, "softsign", (0.0,)),
    "F.logsigmoid": (F.logsigmoid, "logsigmoid", (0.0,)),
    "F.tanhshrink": (F.tanhshrink, "tanhshrink", (0.0,)),
    "F.rrelu": (F.rrelu, "rrelu", (0.0,)),
    "F.prelu": (lambda z: F.prelu(z, torch.full((1,), 0.1)), "prelu", (0.0,)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_one_site_with_the_bits_of_its_pre_activation(spelling: str) -> None:
    function, kind, breakpoints = SPELLINGS[spelling]
    torch.manual_seed(0)
    model = Applied(function)
    x = 3 * torch.randn(20, 5)
    codes = actscope.encode(model, x)
    (site,) = codes.sites
    assert (site.name, site.kind, site.shape) == (f":{kind}", kind, (11,))
    assert site.breakpoints == pytest.approx(breakpoints)
    np.testing.assert_array_equal(codes.bits(), expected_bits(model.linear(x), site.breakpoints))


@pytest.mark.parametrize("spelling", [name for name, (_, kind, _) in SPELLINGS.items() if kind not in ("elu", "celu")])
def test_the_slopes_of_piecewise_linear_kinds_are_their_derivatives(spelling: str) -> None:
    function, _, _ = SPELLINGS[spelling]
    model = Applied(function)
    (site,) = actscope.sites(model, torch.zeros(2, 5))
    if not site.piecewise_linear:
        return
    edges = [-9.0, *site.kinks, 9.0]
    for low, high, slope in zip(edges, edges[1:], site.slopes, strict=False):
        z = torch.tensor([low + 0.4 * (high - low), low + 0.6 * (high - low)])
        a, b = function(z.clone()).tolist()
        assert (b - a) / float(z[1] - z[0]) == pytest.approx(slope, abs=1e-5)


MODULES = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.LeakyReLU(),
    nn.PReLU(),
    nn.RReLU(),
    nn.Threshold(0.1, 0),
    nn.ReLU6(),
    nn.Hardtanh(),
]
MODULES += [
    nn.Hardsigmoid(),
    nn.Hardswish(),
    nn.Hardshrink(),
    nn.Softshrink(),
    nn.ELU(),
    nn.CELU(),
    nn.SELU(),
    nn.GELU(),
    nn.SiLU(),
]
MODULES += [nn.Mish(), nn.Softplus(), nn.Softsign(), nn.Tanhshrink(), nn.LogSigmoid(), nn.Sigmoid(), nn.Tanh()]


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_an_activation_module_is_one_site_named_by_its_path(module: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(4, 9), module)
    x = torch.randn(7, 4)
    codes = actscope.encode(model, x)
    assert [site.name for site in codes.sites] == ["1"]
    assert codes.sites[0].kind == type(module).__name__.lower().replace("leakyrelu", "leaky_relu")
    np.testing.assert_array_equal(codes.bits(), expected_bits(model[0](x), codes.sites[0].breakpoints))


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def pre_activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.bn1(self.conv1(x))
        return first, self.bn2(self.conv2(first.relu())) + x

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + x)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_one_in_place_relu_used_twice_is_two_sites(memory_format: torch.memory_format) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(ResidualBlock(6)).to(memory_format=memory_format)
    x = torch.randn(9, 6, 5, 4).to(memory_format=memory_format)
    codes = actscope.encode(model, x, batch_size=4)
    assert [site.name for site in codes.sites] == ["0.relu", "0.relu#2"]
    assert [site.shape for site in codes.sites] == [(6, 5, 4)] * 2
    with torch.no_grad():
        first, second = model.eval()[0].pre_activations(x)
    np.testing.assert_array_equal(codes.select(["0.relu"]).bits(), expected_bits(first, (0.0,)))
    np.testing.assert_array_equal(codes.select(["0.relu#2"]).bits(), expected_bits(second, (0.0,)))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("examples", [3, 7])
def test_a_transformer_layer_in_eval_mode_shows_its_activation(batch_first: bool, examples: int) -> None:
    torch.manual_seed(2)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first, activation="gelu").eval()
    x = torch.randn(examples, 7, 8)
    options = {} if batch_first else {"adapt": lambda batch: batch.transpose(0, 1), "example_dim": 1}
    codes = actscope.encode(layer, x, **options)
    assert [(site.name, site.kind, site.shape) for site in codes.sites] == [(":gelu", "gelu", (7, 16))]
    with torch.no_grad():
        y = x if batch_first else x.transpose(0, 1)
        hidden = layer.norm1(y + layer.self_attn(y, y, y, need_weights=False)[0])
        z = layer.linear1(hidden)
    z = z if batch_first else z.transpose(0, 1)
    agreement = (codes.bits() == expected_bits(z.reshape(examples, -1), (0.0,))).mean()
    assert agreement > 0.999  # the two ways round differently


def test_a_wrong_example_axis_is_noticed_even_if_its_size_fits() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=False).eval()
    x = torch.randn(7, 7, 8)
    with pytest.raises(ValueError, match="example_dim"):
        actscope.encode(layer, x, adapt=lambda batch: batch.transpose(0, 1))


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.back = nn.Linear(3, 10), nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 10)
        for step in range(x.shape[1]):
            state = torch.tanh(self.into(x[:, step]) + self.back(state))
        return state


def test_a_recurrent_cell_has_a_site_for_every_step() -> None:
    codes = actscope.encode(nn.ModuleDict({"cell": Cell()})["cell"], torch.randn(5, 4, 3))
    assert [site.name for site in codes.sites] == [":tanh", ":tanh#2", ":tanh#3", ":tanh#4"]


class MyGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(0.8 * x))


def my_swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


@pytest.mark.parametrize("target", [MyGELU, my_swish])
def test_an_activation_of_ones_own_is_one_site(target: Callable[..., Tensor]) -> None:
    model = Applied(MyGELU() if target is MyGELU else my_swish)
    x = torch.randn(6, 5)
    codes = actscope.encode(model, x, activations={target: (0.25,)})
    assert [site.name for site in codes.sites] == ["function" if target is MyGELU else ":my_swish"]
    np.testing.assert_array_equal(codes.bits(), expected_bits(model.linear(x), (0.25,)))
    assert model.function is my_swish or target is MyGELU


def global_swish_model() -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return my_swish(self.linear(x))

    return Net()


def test_a_function_of_ones_own_is_found_where_it_is_called_by_a_global_name() -> None:
    before = my_swish
    codes = actscope.encode(global_swish_model(), torch.randn(4, 5), activations={my_swish: 0.0})
    assert [site.kind for site in codes.sites] == ["my_swish"]
    assert my_swish is before


def test_an_activation_of_ones_own_that_is_not_called_is_an_error() -> None:
    with pytest.raises(ValueError, match="MyGELU, but the model was not seen to call it"):
        actscope.encode(Applied(F.relu), torch.randn(4, 5), activations={MyGELU: 0.0})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_in_another_precision_has_the_bits_of_its_own_pre_activations(dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    model = Applied(torch.tanh).to(dtype)
    x = torch.randn(40, 5)
    codes = actscope.encode(model, x)
    np.testing.assert_array_equal(codes.bits(), expected_bits(model.linear(x.to(dtype)), (-0.5, 0.0, 0.5)))


@pytest.mark.parametrize(
    "fused", [nn.RNN(5, 3), nn.LSTM(5, 3), nn.GRU(5, 3), nn.GRUCell(5, 3)], ids=lambda m: type(m).__name__
)
def test_a_fused_recurrent_kernel_is_refused_by_name(fused: nn.Module) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent, self.head, self.relu = fused, nn.Linear(3, 4), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            out = self.recurrent(x)
            return self.relu(self.head(out[0] if isinstance(out, tuple) else out))

    x = torch.randn(6, 5)
    with pytest.raises(UnseenActivationError, match="'recurrent' calls torch"):
        actscope.encode(Net(), x)
    assert actscope.encode(Net(), x, layers=["relu"]).n_bits == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_parts_are_refused_by_name() -> None:
    block = torch.jit.script(nn.Sequential(nn.Linear(5, 5), nn.ReLU()))
    with pytest.raises(UnseenActivationError, match="module '0' is scripted"):
        actscope.encode(nn.Sequential(block, nn.Tanh()), torch.randn(3, 5))
    with pytest.raises(UnseenActivationError, match="scripted and traced code"):
        actscope.encode(block, torch.randn(3, 5))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_compiled_models_are_looked_through() -> None:
    model = Applied(F.relu)
    x = torch.randn(4, 5)
    plain = actscope.encode(model, x)
    compiled = actscope.encode(torch.compile(model), x)
    inside = actscope.encode(nn.Sequential(torch.compile(nn.Sequential(model))), x)
    assert compiled.sites == plain.sites
    assert [site.name for site in inside.sites] == ["0.0:relu"]
    np.testing.assert_array_equal(compiled.packed, plain.packed)


def test_a_clamp_that_is_a_guard_can_be_left_out_by_name() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            z = self.linear(x).relu()
            return z / z.norm(dim=1, keepdim=True).clamp(min=1e-12)

    assert [site.name for site in actscope.sites(Net(), torch.randn(3, 5))] == [":relu", ":clamp"]
    assert [site.name for site in actscope.encode(Net(), torch.randn(3, 5), layers="!*clamp").sites] == [":relu"]


def test_integer_clamps_are_not_sites() -> None:
    model = Applied(lambda z: z.relu() + torch.arange(11).clamp(max=3))
    assert len(actscope.sites(model, torch.randn(2, 5))) == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda z: torch.clamp(z, min=0, out=torch.empty_like(z)),
        lambda z: torch._C._nn.leaky_relu(z, 0.1, out=torch.empty_like(z)),
    ],
)
def test_an_activation_that_writes_to_a_given_tensor_is_a_site(function: Callable[[Tensor], Tensor]) -> None:
    model, x = Applied(function), torch.randn(6, 5)
    np.testing.assert_array_equal(actscope.encode(model, x).bits(), expected_bits(model.linear(x), (0.0,)))


def test_an_activation_that_is_the_whole_model_has_a_name() -> None:
    assert [site.name for site in actscope.sites(nn.ReLU(), torch.randn(2, 5))] == [":relu"]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_function_that_forward_calls_by_a_global_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "my_swish", torch.jit.trace(my_swish, torch.zeros(2)))
    with pytest.raises(UnseenActivationError, match=r"'my_swish', which Net\.forward calls, is a scripted function"):
        actscope.encode(nn.Sequential(global_swish_model(), nn.ReLU()), torch.randn(4, 5))


def test_a_clamp_without_a_number_for_a_bound_needs_breakpoints() -> None:
    model, x = Applied(lambda z: z.clamp(min=torch.zeros(11))), torch.randn(6, 5)
    with pytest.raises(ValueError, match=r"site ':clamp' \(clamp\) has no breakpoints of its own"):
        actscope.encode(model, x)
    codes = actscope.encode(model, x, breakpoints={"clamp": 0.5})
    np.testing.assert_array_equal(codes.bits(), expected_bits(model.linear(x), (0.5,)))
