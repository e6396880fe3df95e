"""A pruned model is smaller and says the same; what cannot be pruned stays, with the reason."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actscope.neurons import vitals
from actscope.neurons.pruned import Pruned
from actscope.neurons.pruning import prune
from actscope.training import MLP, small_resnet

Data = tuple[Tensor, Tensor]


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(x)


def assert_same_outputs(pruned: Pruned, model: nn.Module, x: Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(outputs(pruned.model, x), outputs(model, x), atol=atol, rtol=1e-6)


def everywhere(*shape: int, scale: float = 5.0) -> Tensor:
    """Inputs unlike those that vitals saw."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(99)) * scale


@pytest.mark.parametrize("batch_norm", [False, True])
def test_an_mlp_loses_its_dead_unit_and_its_copy(
    batch_norm: bool, make_mlp: Callable[..., nn.Sequential], points: Data
) -> None:
    model = make_mlp(batch_norm=batch_norm)
    pruned = prune(model, vitals(model, points), examples=points)
    site = pruned.sites[0]
    assert (site.site, site.dead, site.dead_on_examples, site.merged) == ("relu", (), (2,), {4: 3})
    assert pruned.model.linear.out_features == 5
    assert pruned.n_parameters_after < pruned.n_parameters_before
    assert pruned.n_compared == 400
    assert pruned.max_difference < 1e-6
    assert_same_outputs(pruned, model, points[0])


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("by", ["channel", "neuron"])
def test_a_cnn_loses_its_dead_channel_and_its_copy(
    by: str, batch_norm: bool, padding: int, make_cnn: Callable[..., nn.Sequential], images: Data
) -> None:
    model = make_cnn(batch_norm=batch_norm, padding=padding)
    pruned = prune(model, vitals(model, images, by=by), examples=images)  # type: ignore[arg-type]
    site = pruned.sites[0]
    assert (site.dead_on_examples, site.merged) == ((2,), {4: 3})
    assert (pruned.model.conv.out_channels, pruned.model.conv2.in_channels) == (5, 5)
    assert pruned.n_parameters_after < pruned.n_parameters_before
    assert_same_outputs(pruned, model, images[0])


def test_the_mirror_image_of_a_relu_stays_and_is_named(make_mlp: Callable[..., nn.Module], points: Data) -> None:
    model = make_mlp()
    (refusal,) = prune(model, vitals(model, points)).refused
    assert (refusal.site, refusal.units) == ("relu", (5,))
    assert "does not follow" in refusal.reason


def test_the_given_model_is_not_edited(make_cnn: Callable[..., nn.Module], images: Data) -> None:
    model = make_cnn(batch_norm=True).train()
    before = copy.deepcopy(model.state_dict())
    pruned = prune(model, vitals(model, images), examples=images)
    assert model.training
    assert pruned.model.training
    assert list(before) == list(model.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not {id(p) for p in model.parameters()} & {id(p) for p in pruned.model.parameters()}


def with_constant(model: nn.Sequential, unit: int, value: float) -> nn.Sequential:
    """Let one unit of the first layer give `value` whatever comes in."""
    with torch.no_grad():
        model[0].weight[unit] = 0
        model[0].bias[unit] = value
    return model


def test_a_constant_other_than_zero_goes_into_the_next_bias_for_every_input() -> None:
    torch.manual_seed(0)
    model = with_constant(nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2, bias=False)), 1, 2.0)
    pruned = prune(model, vitals(model, torch.randn(50, 3)))
    assert pruned.sites[0].dead == (1,)
    assert pruned.holds_everywhere
    assert pruned.model[2].bias is not None
    assert_same_outputs(pruned, model, everywhere(200, 3))


@pytest.mark.parametrize(
    "between",
    [
        [],
        [nn.MaxPool2d(2)],
        [nn.AvgPool2d(2)],
        [nn.Dropout2d(), nn.AdaptiveAvgPool2d(3)],
        [nn.BatchNorm2d(4), nn.MaxPool2d(2)],
    ],
    ids=["nothing", "max", "mean", "dropout", "norm"],
)
def test_a_constant_goes_through_pooling_and_flattening(between: list[nn.Module]) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), *copy.deepcopy(between), nn.Flatten()]
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(torch.randn(4))
            nn.init.normal_(layer.bias)
    x = torch.randn(40, 2, 10, 10)
    size = nn.Sequential(*layers).eval()(x).shape[1]
    model = with_constant(nn.Sequential(*layers, nn.Linear(size, 2)), 3, 1.5)
    pruned = prune(model, vitals(model, x), examples=x)
    assert pruned.sites[0].dead == (3,)
    assert pruned.model[-1].in_features == size // 4 * 3
    assert_same_outputs(pruned, model, everywhere(20, 2, 10, 10))


def test_a_constant_before_a_padded_convolution_stays_for_its_border() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 2, 8, 8)

    def model_with(value: float, padding: int, mode: str = "zeros") -> nn.Sequential:
        second = nn.Conv2d(4, 3, 3, padding=padding, padding_mode=mode)
        return with_constant(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), second), 0, value)

    padded = model_with(1.0, 1)
    found = prune(padded, vitals(padded, x))
    assert not found.sites
    assert found.refused[0].units == (0,)
    assert "border" in found.refused[0].reason
    assert_same_outputs(found, padded, x)
    for free in (model_with(-1.0, 1), model_with(1.0, 0), model_with(1.0, 1, "reflect")):
        pruned = prune(free, vitals(free, x))
        assert pruned.sites[0].dead == (0,)
        assert_same_outputs(pruned, free, everywhere(9, 2, 8, 8))


@pytest.mark.parametrize(
    ("activation", "scale"),
    [
        (nn.ReLU(), 2.5),
        (nn.LeakyReLU(0.2), 0.5),
        (nn.PReLU(), 3.0),
        (nn.Tanh(), -1.0),
        (nn.Sigmoid(), -1.0),
        (nn.Hardsigmoid(), -1.0),
        (nn.Hardtanh(), -1.0),
        (nn.GELU(), 1.0),
    ],
)
@pytest.mark.parametrize("conv", [False, True])
def test_a_copy_is_merged_for_every_input(activation: nn.Module, scale: float, conv: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 3, 6, 6) if conv else torch.randn(300, 3)
    if conv:
        model = nn.Sequential(nn.Conv2d(3, 4, 1), activation, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    else:
        model = nn.Sequential(nn.Linear(3, 4), activation, nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.mul_(4)  # far enough to leave every interval
        model[0].weight[2] = scale * model[0].weight[1]
        model[0].bias[2] = scale * model[0].bias[1]
    pruned = prune(model, vitals(model, x))
    assert pruned.sites[0].merged == {2: 1}
    assert pruned.holds_everywhere
    assert_same_outputs(pruned, model, everywhere(*x.shape, scale=2.0), atol=2e-6)


def test_copies_of_copies_go_to_the_one_that_stays() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        for unit, scale in ((5, 0.5), (3, 3.0), (2, 7.0)):
            model[0].weight[unit] = scale * model[0].weight[1]
            model[0].bias[unit] = scale * model[0].bias[1]
    pruned = prune(model, vitals(model, torch.randn(100, 3)))
    assert pruned.sites[0].merged == {2: 1, 3: 1, 5: 1}
    assert_same_outputs(pruned, model, everywhere(100, 3))


def test_the_mirror_image_of_a_tanh_before_a_maximum_stays() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    with torch.no_grad():
        model[0].weight[2] = -model[0].weight[1]
        model[0].bias[2] = -model[0].bias[1]
    x = torch.randn(60, 3, 6, 6)
    pruned = prune(model, vitals(model, x, breakpoints=0.0, by="channel"))
    assert not pruned.sites
    assert "maximum" in pruned.refused[0].reason


def test_a_relu_that_nonnegative_inputs_hold_down_is_dead_on_every_input() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[2].weight[1] = -model[2].weight[1].abs()
        model[2].bias[1] = -0.1
        model[2].bias[3] = -50.0
    pruned = prune(model, vitals(model, torch.randn(100, 3)))
    site = next(site for site in pruned.sites if site.site == "3")
    assert 1 in site.dead
    assert 3 in site.dead_on_examples
    assert not pruned.holds_everywhere
    assert "dead on the examples seen" in str(pruned)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.output = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        return self.output(h + torch.relu(self.second(h)))


class Shared(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.first(torch.relu(self.first(x)))))


class Output(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x))


class Concatenated(Residual):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        return self.output(torch.cat([h[:, :2], self.second(x)[:, 2:]], dim=1))


class Gated(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.first(x)) * self.second(x))


class CountsItsUnits(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return self.output(F.dropout(torch.relu(self.first(x)), training=False)) + self.first(x).view(-1, 4)[:, :2]


class Watched(Residual):
    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        return self.output(torch.relu(z)) + z.mean(1, keepdim=True)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Residual, "residual sum"),
        (Shared, "shared"),
        (Output, "the model's output"),
        (Gated, "goes into mul"),
        (Concatenated, "goes into"),
        (CountsItsUnits, "used in more than one place"),
        (Watched, "used elsewhere"),
    ],
)
def test_what_cannot_be_pruned_is_named_with_the_reason(kind: type[nn.Module], reason: str) -> None:
    model = kind()
    with torch.no_grad():
        model.first.bias[1] = -50.0
    x = torch.randn(80, 4)
    pruned = prune(model, vitals(model, x), examples=x)
    assert not any(site.site == ":relu" for site in pruned.sites)
    refusal = next(refusal for refusal in pruned.refused if refusal.site == ":relu")
    assert 1 in refusal.units
    assert reason in refusal.reason
    assert_same_outputs(pruned, model, x)


def test_a_forward_pass_that_counts_on_the_width_takes_the_site_back() -> None:
    class Fixed(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return self.output(torch.relu(self.first(x)).reshape(len(x), 4))

    class FixedMap(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.output = nn.Conv2d(1, 4, 3), nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.output(torch.relu(self.conv(x)).view(-1, 64))

    for model, x in ((FixedMap(), torch.randn(50, 1, 6, 6)),):
        with torch.no_grad():
            model.conv.bias[2] = -50.0
        pruned = prune(model, vitals(model, x))
        assert not pruned.sites
        assert "counts on their number" in pruned.refused[0].reason
        assert_same_outputs(pruned, model, x)
    assert prune(Fixed(), vitals(Fixed(), torch.randn(9, 4))).n_compared == 8


def test_grouped_convolutions_and_parametrized_weights_stay() -> None:
    x = torch.randn(50, 4, 5, 5)
    grouped = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4))
    parametrized = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), nn.ReLU(), nn.Conv2d(4, 2, 3)
    )
    for model, reason in ((grouped, "groups"), (parametrized, "parametrized")):
        with torch.no_grad():
            model[0].bias[0] = -50.0
        assert reason in prune(model, vitals(model, x, by="channel")).refused[0].reason


def test_a_layer_keeps_its_last_unit() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].bias.fill_(-50.0)
    x = torch.randn(30, 2)
    pruned = prune(model, vitals(model, x))
    assert pruned.model[0].out_features == 1
    assert "last unit" in pruned.refused[0].reason
    assert_same_outputs(pruned, model, x)


def test_features_behind_a_token_axis_go_if_dead_for_every_token() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Dropout(), nn.Linear(6, 3))
    model = with_constant(model, 2, 0.7)
    x = torch.randn(40, 5, 4)
    pruned = prune(model, vitals(model, x))
    assert pruned.sites[0].dead == (2,)
    assert_same_outputs(pruned, model, everywhere(10, 5, 4))


def test_channels_of_a_one_dimensional_convolution_go() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 3, 3, bias=False))
    x = torch.randn(40, 2, 20)
    pruned = prune(with_constant(model, 1, 0.5), vitals(model, x))
    assert pruned.sites[0].dead == (1,)
    assert pruned.model[3].in_channels == 3
    assert_same_outputs(pruned, model, everywhere(10, 2, 20))


def test_two_heads_both_get_the_constant() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.body, self.left, self.right = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = torch.tanh(self.body(x))
            return {"left": self.left(h), "right": self.right(h)}

    model, x = Heads(), torch.randn(40, 3)
    with torch.no_grad():
        model.body.weight[1], model.body.bias[1] = 0, 0.4
    pruned = prune(model, vitals(model, x), examples=x)
    assert (pruned.model.left.in_features, pruned.model.right.in_features) == (3, 3)
    for name in ("left", "right"):
        torch.testing.assert_close(outputs(pruned.model, x)[name], outputs(model, x)[name], atol=1e-6, rtol=0)
    assert pruned.max_difference < 1e-6


def test_the_networks_of_this_library_are_pruned() -> None:
    x = torch.rand(60, 1, 8, 8)
    model = MLP(64, [20, 20], 10, batch_norm=True, activation="sigmoid")
    resnet = small_resnet(1, 10, widths=(4, 8))
    with torch.no_grad():
        model.norm1.weight[3] = 0.0
        resnet.stage2.block1.norm1.bias[2] = -50.0
    found = prune(model, vitals(model, x), examples=x)
    assert (found.model.linear1.out_features, found.model.norm1.num_features) == (19, 19)
    assert_same_outputs(found, model, everywhere(30, 1, 8, 8))
    found = prune(resnet, vitals(resnet, x), examples=x)
    assert [site.site for site in found.sites] == ["stage2.block1.act1"]
    assert_same_outputs(found, resnet, x)


@pytest.mark.parametrize("seed", range(4))
def test_random_deaths_and_copies_leave_the_outputs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = MLP(6, [12, 10, 8], 3, batch_norm=bool(seed % 2), activation=["relu", "tanh", "leaky_relu", "gelu"][seed])
    x = torch.randn(200, 6)
    with torch.no_grad():
        for depth, width in enumerate((12, 10, 8), start=1):
            layer = getattr(model, f"linear{depth}")
            dead, copied, source = rng.permutation(width)[:3]
            layer.weight[copied], layer.bias[copied] = layer.weight[source], layer.bias[source]
            layer.weight[dead], layer.bias[dead] = 0, float(rng.normal())
    pruned = prune(model, vitals(model, x), examples=x)
    assert all(site.n_left == site.n_units - 2 for site in pruned.sites)
    assert len(pruned.sites) == 3
    assert_same_outputs(pruned, model, everywhere(100, 6, scale=2.0), atol=5e-6)


def test_vitals_of_another_model_are_refused(make_mlp: Callable[..., nn.Module], points: Data) -> None:
    other = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="sites that this model does not have, such as '1'; it has: 'relu', 'relu2'"):
        prune(make_mlp(), vitals(other, points))


def test_vitals_of_a_model_of_another_width_are_refused(points: Data) -> None:
    models = [nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)) for width in (6, 9)]
    with pytest.raises(ValueError, match=r"another model: site '1' has the shape \(6,\) there, \(9,\) in this one"):
        prune(models[1], vitals(models[0], points))


def test_the_report_says_what_was_done(make_mlp: Callable[..., nn.Module], points: Data) -> None:
    model = make_mlp()
    pruned = prune(model, vitals(model, points))
    assert "1 merged with a copy" in str(pruned)
    assert pruned.to_dict()["sites"][0]["merged"] == {"4": 3}
    assert f"{pruned.n_parameters_before:,} → {pruned.n_parameters_after:,} parameters" in repr(pruned)
