"""Reading a model: what its program is made of, which models are refused and why, and what is left of the model."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.regions.model_grammar import random_model, tensor_of
from torch import Tensor, nn

import actscope
from actscope.codes import UnseenActivationError
from actscope.regions import NotPiecewiseLinearError, Program, read_program
from actscope.regions.programs.probe import Probe
from actscope.regions.programs.program import ChoiceStep, SiteStep


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Written(nn.Module):
    """A forward pass written as a function of the input and of linear layers of 4 inputs and outputs."""

    def __init__(self, function: Callable[..., Any], n_layers: int = 2) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(n_layers))

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *self.layers)


def read(model: nn.Module, *shape: int, **options: Any) -> Program:
    return read_program(
        model, torch.randn((1, *(shape or (4,))), generator=torch.Generator().manual_seed(0)), **options
    )


def assert_runs_as_the_model(model: nn.Module, *shape: int) -> None:
    program = read(model, *shape)
    for n in (1, 2, 5):
        points = torch.randn((n, *(shape or (4,))), generator=torch.Generator().manual_seed(n), dtype=torch.float64)
        probe = Probe(program, points)
        while probe.advance() is not None:
            pass
        with torch.no_grad():
            expected = tensor_of(copy.deepcopy(model).double().eval()(points)).reshape(n, -1)
        torch.testing.assert_close(probe.output, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_sites_are_those_of_the_codes(seed: int) -> None:
    model, shape = random_model(seed)
    program = read(model, *shape)
    folded = {
        s.site.name
        for s in program.steps
        if isinstance(s, SiteStep) and s.site and program.layouts[s.register].span > 1
    }
    names = [site.name for site in program.sites if site.name not in folded]
    assert [s for s in program.sites if s.name in names] == list(
        actscope.sites(model, torch.randn(1, *shape), layers=names)
    )


def test_chosen_layers_and_breakpoints_count_and_the_kinks_of_the_others_are_cut_all_the_same() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU6(), nn.Linear(4, 3), nn.Hardtanh(), nn.Linear(3, 2), nn.ReLU())
    program = read(model, layers=["3"], breakpoints={"3": (-0.5, 1.0)})
    assert program.sites == tuple(actscope.sites(model, torch.ones(1, 4), layers=["3"], breakpoints={"3": (-0.5, 1.0)}))
    stops = [(s.name, s.levels, s.site is not None) for s in program.steps if isinstance(s, SiteStep)]
    assert stops == [("1", (0.0, 6.0), False), ("3", (-1.0, -0.5, 1.0), True), ("5", (0.0,), False)]
    assert program.n_neurons == 3


def test_until_the_last_site_leaves_out_what_follows() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.Hardtanh(), nn.Linear(3, 2))
    short = read(model, layers=["1"]).until_last_site()
    assert isinstance(short.steps[-1], SiteStep)
    assert short.steps[-1].name == "1"
    with pytest.raises(NotPiecewiseLinearError, match="not asked for"):
        short.require_output()


def test_what_neither_the_output_nor_a_chosen_site_needs_is_left_out() -> None:
    def forward(x: Tensor, a: nn.Module, b: nn.Module) -> dict[str, Tensor]:
        y = F.relu(a(x))
        largest = F.max_pool1d(y.abs()[:, None], 2)  # of no use
        return {"hidden": largest, "logits": b(y)}

    program = read(Written(forward))
    assert [step.name for step in program.steps if isinstance(step, (SiteStep, ChoiceStep))] == [":relu"]
    assert program.output is not None

    both = Written(lambda x, a, b: {"hidden": F.relu6(b(x)), "logits": F.relu(a(x))})
    assert [site.kind for site in read(both).sites] == ["relu6", "relu"]
    stops = [step.name for step in read(both, layers=[":relu"]).steps if isinstance(step, SiteStep)]
    assert stops == [":relu"]


def test_a_program_is_handed_back_and_takes_no_options() -> None:
    program = read(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    assert read_program(program, torch.ones(1, 4)) is program
    with pytest.raises(ValueError, match="layers and breakpoints already"):
        read_program(program, torch.ones(1, 4), layers=["1"])


FINE: dict[str, Callable[..., Any]] = {
    "in place through one of two views": lambda x, a, b: _views(a(x), lambda h, left, right: (left.relu_(), h)[1]),
    "in place on what was viewed": lambda x, a, b: _views(a(x), lambda h, left, right: (h.relu_(), left - right)[1]),
    "in place, base not read": lambda x, a, b: _views(a(x), lambda h, left, right: left.relu_()),
    "two views of one base": lambda x, a, b: _views(a(x), lambda h, left, right: (left.relu_(), right.mul_(2), h)[2]),
    "overlapping views of one base": lambda x, a, b: _overlapping(a(x)),
    "a view written twice": lambda x, a, b: _views(a(x), lambda h, left, right: (left.relu_(), left.mul_(2), h)[2]),
    "a view of a view": lambda x, a, b: _nested_views(a(x)),
    "in place on the input": lambda x, a, b: F.relu(x.add_(1)),
    "+=": lambda x, a, b: _plus_equals(F.relu(a(x)), x),
    "a buffer filled by pieces": lambda x, a, b: _filled(x, F.relu(a(x))),
    "masked_fill_": lambda x, a, b: a(x).masked_fill_(torch.tensor([True, False, False, True]), 0.5).relu(),
    "index_put": lambda x, a, b: _indexed(a(x).relu()),
    "detach and data": lambda x, a, b: F.relu(a(x).data + b(x).detach()),
    "squeeze": lambda x, a, b: F.relu(a(x)[:, :, None]).squeeze(),
    "minimum": lambda x, a, b: torch.minimum(F.relu(a(x)), b(x)),
    "amin": lambda x, a, b: F.relu(a(x)).amin(dim=1, keepdim=True),
    "min over a dim": lambda x, a, b: F.relu(a(x)).min(dim=1).values,
    "maximum with a number": lambda x, a, b: torch.maximum(F.relu(a(x)), torch.tensor(0.3)),
    "maximum with a vector": lambda x, a, b: torch.max(torch.arange(4) * 0.2, F.relu(a(x))),
    "maximum with constants per point": lambda x, a, b: torch.maximum(F.relu(a(x)), torch.full_like(x, 0.3)),
    "amax of folded examples": lambda x, a, b: F.relu(a(x)).view(-1, 2).amax(dim=1).view(-1, 2),
    "pooling of folded examples": lambda x, a, b: F.max_pool1d(F.relu(a(x)).view(-1, 1, 2), 2).view(-1, 2),
    "inference mode": torch.inference_mode()(lambda x, a, b: b(F.relu6(a(x)).flatten(1))),
    "constants made on the way": lambda x, a, b: F.relu(a(x)) @ torch.eye(4, dtype=x.dtype) + torch.arange(4),
    "a scale from the shape": lambda x, a, b: F.relu(a(x)) / x.shape[1],
    "where a constant says": lambda x, a, b: torch.where(torch.tensor([True, False, True, False]), F.relu(a(x)), 0.5),
    "constants of lower precision": lambda x, a, b: _of_lower_precision(F.relu(a(x))),
    "an interpolation": lambda x, a, b: torch.lerp(F.relu(a(x)), b(x), 0.3),
    "a check of the values": lambda x, a, b: _checked(F.relu(a(x))),
    "abs": lambda x, a, b: F.relu(a(x)).sub(0.3).abs(),
    "division by constants": lambda x, a, b: F.relu(a(x)) / torch.tensor([1.0, 2.0, 3.0, 4.0]),
    "dropout out of training": lambda x, a, b: F.dropout(F.relu(a(x)), 0.5, training=False),
}


def _views(h: Tensor, function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    left, right = h.chunk(2, dim=1)
    return function(h, left, right) + F.relu(h.sum(dim=1, keepdim=True))


def _nested_views(h: Tensor) -> Tensor:
    square = h.view(-1, 2, 2)
    square.transpose(1, 2)[:, 0].mul_(2)
    square.select(1, 1).add_(1)
    return F.relu(square.flatten(1))


def _overlapping(h: Tensor) -> Tensor:
    first, second = h[:, :3], h[:, 1:]
    first.relu_()
    second[:, 0] = 0.5
    return torch.cat([first, second, h], dim=1)


def _plus_equals(y: Tensor, x: Tensor) -> Tensor:
    y += x
    y *= 0.5
    return y


def _filled(x: Tensor, y: Tensor) -> Tensor:
    out = torch.zeros(len(x), 6, dtype=x.dtype)
    out[:, 1:5] = y
    out[:, 0] = x[:, 0]
    out[:, 5] = 3.0
    return out


def _checked(y: Tensor) -> Tensor:
    if torch.isnan(y).any() or torch.isinf(y).any() or not torch.isfinite(y).all():
        raise ValueError("not finite")
    return F.relu(y - 0.5)


def _of_lower_precision(y: Tensor) -> Tensor:
    """In float32, in which a constant may be made, these numbers are the same as in float64."""
    halves = torch.ones(len(y), 4, dtype=torch.int64) / 2
    return y @ torch.eye(4).to(y.dtype) + torch.tensor([0.5, 1.0, 2.0, 4.0]) + halves


def _indexed(y: Tensor) -> Tensor:
    y[:, [0, 2]] = 0.25
    return y


@pytest.mark.parametrize("name", FINE)
def test_piecewise_linear_code_runs_as_the_model(name: str) -> None:
    torch.manual_seed(0)
    assert_runs_as_the_model(Written(FINE[name]))


def test_circular_padding_runs_as_the_model() -> None:
    conv = nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")
    assert_runs_as_the_model(nn.Sequential(conv, nn.ReLU(), nn.Flatten()), 1, 4, 4)


def test_lower_precision_asked_for_on_the_way_is_not_taken() -> None:
    model = Written(lambda x, a, b: b(F.relu(a(x.float()))))
    points = torch.randn(3, 4, dtype=torch.float64)
    probe = Probe(read(model), points)
    while probe.advance() is not None:
        pass
    double = copy.deepcopy(model).double()
    expected = double.layers[1](F.relu(double.layers[0](points)))
    torch.testing.assert_close(probe.output, expected.detach(), rtol=1e-12, atol=1e-12)


def test_tensors_and_layers_that_a_model_keeps_out_of_sight_are_in_double_too() -> None:
    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix, self.named, self.steps = (
                torch.ones(4, 4).triu(),
                {"shift": torch.arange(4.0)},
                [nn.Linear(4, 4)],
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.matrix.to_sparse().to_dense() @ F.relu(self.steps[0](x) @ self.matrix + self.named["shift"]).T

    class Shown(Hiding):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).T

    torch.manual_seed(0)
    model = Shown()
    points = torch.randn(3, 4, dtype=torch.float64)
    probe = Probe(read(model), points)
    while probe.advance() is not None:
        pass
    layer, matrix = copy.deepcopy(model.steps[0]).double(), model.matrix.double()
    expected = F.relu(layer(points) @ matrix + model.named["shift"]) @ matrix.T
    torch.testing.assert_close(probe.output, expected.detach(), rtol=1e-12, atol=1e-12)


def test_what_a_model_keeps_from_its_first_pass_is_used_in_the_next_ones() -> None:
    class Cached(nn.Module):
        mask: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.mask is None:
                self.mask = torch.ones(4).cumsum(0)
            return F.relu(x * self.mask)

    assert_runs_as_the_model(Cached())


def test_a_weight_norm_that_hooks_compute_is_no_obstacle() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.utils.weight_norm(nn.Linear(4, 3))
    model = nn.Sequential(layer, nn.ReLU())
    model(torch.randn(2, 4))  # its weight is the result of a computation now, which has no deepcopy
    assert read(model).output is not None


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "softmax": (lambda x, a, b: F.relu(F.softmax(a(x), dim=1)), "softmax"),
    "attention": (
        lambda x, a, b: F.relu(F.scaled_dot_product_attention(*[a(x)[:, None]] * 3)),
        "attention|bmm|softmax",
    ),
    "a product of activations": (lambda x, a, b: F.relu(F.relu(a(x)) * F.relu(b(x))), "'mul'"),
    "a square": (lambda x, a, b: F.relu(a(x) ** 2), "'pow'"),
    "a matrix product": (lambda x, a, b: F.relu(a(x) @ b(x).T), "'mm'"),
    "a quotient": (lambda x, a, b: F.relu(1 / a(x)), "'reciprocal'"),
    "rounding": (lambda x, a, b: F.relu(torch.div(a(x), 2, rounding_mode="floor")), "'div'"),
    "layer norm": (lambda x, a, b: F.relu(F.layer_norm(a(x), (4,))), "'native_layer_norm'"),
    "group norm": (lambda x, a, b: F.relu(F.group_norm(a(x), 2)), "'native_group_norm'"),
    "instance norm": (
        lambda x, a, b: F.relu(F.instance_norm(a(x)[:, None])),
        "batch_norm.*statistics of its own input",
    ),
    "batch norm in training": (
        lambda x, a, b: F.relu(F.batch_norm(a(x), None, None, training=True)),
        "batch_norm.*statistics",
    ),
    "where": (lambda x, a, b: F.relu(torch.where(a(x) > 0, a(x), b(x))), "'gt'"),
    "a mask": (lambda x, a, b: F.relu(x * (x > 0)), "'gt'"),
    "a jump": (lambda x, a, b: F.relu(F.threshold(a(x), 0.2, 7.0)), "'threshold'.*jumps"),
    "hardshrink": (lambda x, a, b: F.relu(F.hardshrink(a(x))), "'hardshrink'.*jumps"),
    "a smooth activation": (lambda x, a, b: F.relu(b(F.gelu(a(x)))), "'gelu'.*smooth"),
    "a half-smooth activation": (lambda x, a, b: F.relu(b(F.elu(a(x)))), "'elu'"),
    "if": (lambda x, a, b: F.relu(a(x)) if x.abs().sum() > 0 else F.relu(b(x)), "by bool.*item.*an if"),
    "if, two ways": (lambda x, a, b: F.relu(a(x)) if x[0, 0] > 0.5 else b(x), "other operations|an if"),
    "item": (lambda x, a, b: F.relu(a(x) * x.max().item()), "item"),
    "numpy": (lambda x, a, b: F.relu(torch.from_numpy(np.abs(x.numpy()))), "numpy"),
    "numpy, for an if": (lambda x, a, b: F.relu(a(x)) if np.abs(x.numpy()).sum() >= 0 else x, "'numpy'"),
    "tolist": (lambda x, a, b: F.relu(a(x)) if x.tolist()[0][0] < 1e9 else x, "'tolist'"),
    "noise": (lambda x, a, b: F.relu(a(x) + torch.randn_like(x)), "'randn_like'.*random"),
    "one noise for all": (lambda x, a, b: F.relu(a(x) + torch.randn(4)), "random"),
    "noise of NumPy": (lambda x, a, b: F.relu(a(x) + torch.from_numpy(np.random.randn(4))), "random"),
    "dropout in training": (lambda x, a, b: F.relu(F.dropout(a(x), 0.5, training=True)), "random"),
    "sort": (lambda x, a, b: F.relu(a(x).sort(dim=1).values), "'sort'"),
    "topk": (lambda x, a, b: F.relu(a(x).topk(2, dim=1).values), "'topk'"),
    "argmax": (lambda x, a, b: F.relu(a(x).argmax(dim=1).double()), "'argmax'"),
    "rounded to integers": (lambda x, a, b: F.relu(a(x).long().double()), "whole numbers"),
    "indices of a pooling": (lambda x, a, b: F.relu(a(x).max(dim=1).indices.double()), "whole numbers"),
    "mean over the batch": (lambda x, a, b: F.relu(a(x) - a(x).mean(dim=0)), "'mean'.*mixes the examples"),
    "a flipped batch": (lambda x, a, b: F.relu(a(x).flip(0)), "'flip'.*mixes the examples"),
    "running sums over the batch": (lambda x, a, b: F.relu(a(x).cumsum(0)), "'cumsum'.*mixes the examples"),
    "positions in the batch, of no effect here": (
        lambda x, a, b: F.relu(torch.maximum(a(x), torch.arange(len(x))[:, None] - 1e9)),
        "number of examples|mixes",
    ),
    "positions in the batch": (
        lambda x, a, b: F.relu(a(x) + torch.arange(len(x))[:, None]),
        "number of examples|mixes",
    ),
    "a batch in pieces": (lambda x, a, b: F.relu(torch.stack(x.unbind(0))), "'unbind'.*batch apart"),
    "examples inside another axis": (
        lambda x, a, b: (
            F.relu(a(x[:, None].expand(-1, 2, -1).transpose(0, 1).reshape(-1, 4))).view(2, -1, 4).sum(dim=0)
        ),
        "keep them apart, outside",
    ),
    "an interpolation by values": (lambda x, a, b: F.relu(torch.lerp(a(x), b(x), x)), "'lerp'"),
    "out=": (lambda x, a, b: F.relu(torch.add(a(x), x, out=torch.empty(0, dtype=x.dtype))), "'add'.*out="),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_piecewise_linear_is_refused_by_its_name(name: str) -> None:
    function, words = REFUSED[name]
    with pytest.raises(NotPiecewiseLinearError, match=words):
        read(Written(function))


@pytest.mark.parametrize("norm", [nn.LayerNorm(4), nn.BatchNorm1d(4, track_running_stats=False)])
def test_a_refusal_names_the_module(norm: nn.Module) -> None:
    with pytest.raises(NotPiecewiseLinearError, match=r"site '2' is not.*in module '1'.*layers=.*samples="):
        read(nn.Sequential(nn.Linear(4, 4), norm, nn.ReLU()))


def test_sites_before_what_is_not_piecewise_linear_can_be_chosen() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Softmax(dim=1), nn.Linear(4, 4), nn.ReLU())
    program = read(model, layers=["1"])
    assert [site.name for site in program.sites] == ["1"]
    with pytest.raises(
        NotPiecewiseLinearError, match="output is not piecewise linear in its input: operation '_softmax' in module '2'"
    ):
        program.require_output()


@pytest.mark.parametrize("last", [nn.Softmax(dim=1), nn.Sigmoid(), nn.LogSoftmax(dim=1), nn.GELU()])
def test_after_the_last_site_only_the_output_is_refused(last: nn.Module) -> None:
    program = read(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), last))
    assert program.output is None
    assert program.sites[0].name == "1"


def test_a_smooth_activation_is_fine_as_the_last_site() -> None:
    program = read(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)))
    stops = [step for step in program.steps if isinstance(step, SiteStep)]
    assert [step.levels for step in stops] == [(-0.5, 0.0, 0.5)]


def test_a_read_value_spares_the_sites_before_it() -> None:
    def looks(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        y = F.relu(a(x))
        return F.relu(b(y)) if bool(y.sum() >= 0) else y

    assert len(read(Written(looks), layers=[":relu"]).sites) == 1
    with pytest.raises(NotPiecewiseLinearError, match="an if"):
        read(Written(looks))


def test_a_read_value_spares_a_site_on_what_another_site_after_it_reads_too() -> None:
    model = Written(lambda x, a, b: F.relu(x) if F.relu(x).sum().item() >= 0 and F.relu(x).any() else x)
    assert [site.name for site in read(model, layers=[":relu"]).sites] == [":relu"]
    with pytest.raises(NotPiecewiseLinearError, match=":relu#2"):
        read(model, layers=[":relu#2"])


def test_a_module_given_as_an_activation_is_a_site_even_if_nothing_is_known_of_its_shape() -> None:
    class Gate(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(x)

    program = read(nn.Sequential(nn.Linear(4, 4), Gate()), activations={Gate: (0.5,)})
    assert [(site.name, site.breakpoints) for site in program.sites] == [("1", (0.5,))]
    with pytest.raises(NotPiecewiseLinearError, match=r"site '3'.*('mul'|'sigmoid')"):
        read(nn.Sequential(nn.Linear(4, 4), Gate(), nn.Linear(4, 4), nn.ReLU()), activations={Gate: (0.5,)})


def test_fused_and_scripted_parts_are_refused() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.lstm(x)[0])

    with pytest.raises(UnseenActivationError, match="lstm"):
        read(Recurrent(), 3, 4)


def test_pooling_alone_is_a_choice_and_no_site() -> None:
    with pytest.raises(ValueError, match="no activation site"):
        read(nn.Sequential(nn.MaxPool1d(2)), 1, 4)
    program = read(nn.Sequential(nn.MaxPool1d(2), nn.ReLU()), 1, 4)
    assert [type(step) for step in program.steps if isinstance(step, (ChoiceStep, SiteStep))] == [ChoiceStep, SiteStep]


@pytest.mark.parametrize(
    ("model", "example", "error", "words"),
    [
        (nn.Linear(4, 4), torch.ones(1, 4), ValueError, "no activation site that depends on its input"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU()).to("meta"), torch.ones(1, 4), ValueError, "meta device.*weights"),
        (nn.Bilinear(4, 4, 2), torch.ones(1, 4), TypeError, r"2 inputs \(input1, input2\)"),
        (nn.ReLU(), torch.ones(1, 4, dtype=torch.int64), TypeError, "torch.int64"),
        (nn.ReLU(), np.ones((1, 4)), TypeError, "ndarray"),
        (nn.ReLU(), torch.tensor([[1.0, torch.nan]]), ValueError, "finite"),
        (nn.ReLU(), torch.ones(0, 4), ValueError, r"\(0, 4\)"),
        (torch.relu, torch.ones(1, 4), TypeError, "torch.nn.Module"),
    ],
)
def test_what_cannot_be_read_is_refused_in_plain_words(
    model: Any, example: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_program(model, example)


def test_a_model_that_cannot_be_copied_is_refused_by_its_class() -> None:
    class Locked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = (i for i in range(3))

    with pytest.raises(TypeError, match="Locked cannot be copied"):
        read(Locked())


def _state(model: nn.Module) -> dict[str, Any]:
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "gradients": {name: p.requires_grad for name, p in model.named_parameters()},
        "hooks": {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()},
        "attributes": {name: sorted(vars(m)) for name, m in model.named_modules()},
        "dtypes": {name: p.dtype for name, p in model.named_parameters()},
        "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), torch.get_default_dtype()),
    }


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_comes_out_as_it_went_in(fails: bool) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.steps = [nn.Linear(4, 4)]

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.noise = torch.rand(3)
            if fails:
                raise RuntimeError("out of luck")
            return x

    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(), Counting())
    model[3].eval()
    model[0].bias.requires_grad_(False)
    model[1].register_forward_hook(lambda module, args, output: output + 1)
    before = _state(model)
    example = torch.randn(1, 4)
    kept = example.clone()
    before["random"] = _state(model)["random"]
    if fails:
        with pytest.raises(RuntimeError, match="out of luck"):
            read_program(model, example)
    else:
        read_program(model, example)
    after = _state(model)
    assert all(torch.equal(after["weights"][name], value) for name, value in before["weights"].items())
    assert {k: v for k, v in after.items() if k != "weights"} == {k: v for k, v in before.items() if k != "weights"}
    assert torch.equal(example, kept)


def test_hooks_that_change_the_output_are_part_of_the_model() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model[0].register_forward_hook(lambda module, args, output: output - 0.5)
    assert_runs_as_the_model(model)


def test_reading_twice_gives_the_same_program() -> None:
    model, shape = random_model(3)
    one, other = read(model, *shape), read(model, *shape)
    assert one.sites == other.sites
    assert one.layouts == other.layouts
    assert [step.name for step in one.steps] == [step.name for step in other.steps]
