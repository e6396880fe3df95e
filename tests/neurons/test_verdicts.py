"""Hand-built neurons get the verdicts that they were built for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actscope.neurons import Thresholds, vitals
from actscope.neurons.verdicts import VERDICTS

Data = tuple[Tensor, Tensor]


def borne(site: object, n: int) -> dict[int, set[str]]:
    """By unit, its verdicts but for dying, which depends on the random layers above."""
    return {unit: set(site.of(unit)) - {"dying"} for unit in range(n)}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_unit_of_an_mlp_gets_its_verdict(
    batch_norm: bool, make_mlp: Callable[..., nn.Module], points: Data, fates: dict[int, set[str]]
) -> None:
    assert borne(vitals(make_mlp(batch_norm=batch_norm), points)["relu"], 7) == fates


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_channel_of_a_cnn_gets_its_verdict(
    batch_norm: bool, make_cnn: Callable[..., nn.Module], images: Data, fates: dict[int, set[str]]
) -> None:
    found = vitals(make_cnn(batch_norm=batch_norm), images, by="channel")["relu"]
    assert (found.n_units, found.unit_noun) == (7, "channel")
    assert borne(found, 7) == fates


def test_every_neuron_of_a_cnn_gets_the_verdict_of_its_filter(
    make_cnn: Callable[..., nn.Module], images: Data, fates: dict[int, set[str]]
) -> None:
    found = vitals(make_cnn(), images)["relu"]
    assert found.n_units == 7 * 36
    assert borne(found, 252) == {unit: fates[unit // 36] for unit in range(252)}


def test_a_twin_is_named_and_a_mirror_image_told_apart(make_mlp: Callable[..., nn.Module], points: Data) -> None:
    found = vitals(make_mlp(), points)["relu"]
    assert found.twin.tolist() == [-1, -1, -1, 4, 3, 3, -1]
    assert found.mirrored.tolist() == [False, False, False, False, False, True, False]


def bounded(activation: nn.Module, scale: float) -> nn.Module:
    """One unit of slope `scale` at 0 on the first coordinate."""
    model = nn.Sequential(nn.Linear(4, 1), activation, nn.Linear(1, 2))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[0, 0] = scale
        model[0].bias.zero_()
    return model


@pytest.mark.parametrize(
    ("activation", "steep", "gentle"),
    [
        (nn.Sigmoid(), 500.0, 3.0),
        (nn.Tanh(), 300.0, 1.0),
        (nn.Softsign(), 500.0, 1.0),
        (nn.Hardtanh(), 100.0, 1.0),
        (nn.Hardsigmoid(), 300.0, 2.0),
        (nn.ReLU6(), 2000.0, 5.0),
    ],
)
def test_a_unit_on_the_flat_ends_is_saturated(activation: nn.Module, steep: float, gentle: float, points: Data) -> None:
    assert "saturated" in vitals(bounded(activation, steep), points).sites[0].of(0)
    found = vitals(bounded(activation, gentle), points).sites[0]
    assert "saturated" not in found.of(0)


def test_an_activation_with_one_flat_end_is_not_called_saturated(points: Data) -> None:
    found = vitals(bounded(nn.ReLU(), 1.0), points).sites[0]
    assert found.flat is None
    assert not found.verdicts["saturated"].any()


def dying_pair() -> nn.Module:
    """Two sigmoid units that hardly move: the loss pulls the first up for one class and down for the other, the second always up."""
    model = nn.Sequential(nn.Linear(4, 2), nn.Sigmoid(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.fill_(1e-3)
        model[0].bias.copy_(torch.tensor([0.2, 0.2]))
        model[2].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        model[2].bias.zero_()
    return model


def test_a_unit_whose_gradients_cancel_in_one_interval_is_dying() -> None:
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    model, y = dying_pair(), torch.arange(400) % 2
    with torch.no_grad():  # scores are equal on average, so that the two classes pull alike
        model[2].bias.copy_(torch.tensor([-torch.sigmoid(torch.tensor(0.2)), torch.sigmoid(torch.tensor(0.2))]))
    found = vitals(model, (x, y)).sites[0]
    assert set(found.of(0)) == {"dying", "constant pattern"}
    assert found.cancellation[0] < 0.01
    assert set(found.of(1)) == {"constant pattern"}, "no gradient reaches the second: it is not dying but cut off"
    assert np.isnan(found.cancellation[1])


def test_a_unit_whose_gradients_agree_is_not_dying() -> None:
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    found = vitals(dying_pair(), (x, torch.zeros(400, dtype=torch.long))).sites[0]
    assert found.cancellation[0] == pytest.approx(1)
    assert "dying" not in found.of(0)


def test_a_unit_that_answers_to_the_class_is_not_dying() -> None:
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(400) % 2
    x[:, 0] = torch.where(y == 1, 3.0, -3.0)
    model = dying_pair()
    with torch.no_grad():
        model[0].weight[0, 0] = 1.0
        model[2].weight.mul_(1e-3)
    found = vitals(model, (x, y)).sites[0]
    assert found.same_interval[0] < 0.1
    assert "dying" not in found.of(0)


def test_below_enough_examples_no_unit_is_called_dying() -> None:
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(400) % 2
    assert vitals(dying_pair(), (x, y), thresholds=Thresholds(cancellation=1)).counts()["dying"] == 1
    assert vitals(dying_pair(), (x[:99], y[:99]), thresholds=Thresholds(cancellation=1)).counts()["dying"] == 0


def test_a_constant_output_on_an_open_piece_is_dead_as_well(points: Data) -> None:
    model = bounded(nn.ReLU(), 0.0)
    with torch.no_grad():
        model[0].bias.fill_(2.0)
    assert set(vitals(model, points).sites[0].of(0)) == {"dead", "constant pattern", "always on"}


def test_a_unit_above_six_is_a_dead_relu6(points: Data) -> None:
    model = bounded(nn.ReLU6(), 1.0)
    with torch.no_grad():
        model[0].bias.fill_(9.0)
    assert set(vitals(model, points).sites[0].of(0)) == {"dead", "constant pattern", "saturated"}


def test_thresholds_windows_and_advice_are_in_the_result(make_mlp: Callable[..., nn.Module], points: Data) -> None:
    found = vitals(make_mlp(), points, thresholds=Thresholds(flat=0.5, cancellation=0.25))
    rules = {criterion.verdict: criterion for criterion in found.criteria}
    assert tuple(rules) == VERDICTS
    assert all(criterion.n_examples == 400 and "400 examples" in criterion.window for criterion in found.criteria)
    assert all(criterion.advice for criterion in found.criteria)
    assert (rules["saturated"].threshold, rules["dying"].threshold) == (0.5, 0.25)
    assert "at least 50 %" in rules["saturated"].rule


def test_a_threshold_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match="flat=95: give a share between 0 and 1"):
        Thresholds(flat=95)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("conv", [False, True])
def test_a_sigmoid_layers_dying_saturated_and_living_units_are_told_apart(
    conv: bool, batch_norm: bool, see_through: Callable[[nn.Module, nn.Module], None]
) -> None:
    first = nn.Conv2d(4, 3, 1) if conv else nn.Linear(4, 3)
    norm: list[nn.Module] = [nn.BatchNorm2d(3) if conv else nn.BatchNorm1d(3)] if batch_norm else []
    last = nn.Linear(3, 2)
    with torch.no_grad():
        first.weight.zero_()
        first.weight[:, 0] = torch.tensor([1e-3, 500.0, 3.0]).view(3, *[1] * (first.weight.ndim - 2))
        first.bias.copy_(torch.tensor([0.2, 0.0, 0.0]))
        last.weight.copy_(torch.tensor([[1.0, 1e-3, 1e-3], [-1.0, -1e-3, -1e-3]]))
        last.bias.copy_(torch.sigmoid(torch.tensor(0.2)) * torch.tensor([-1.0, 1.0]))
    if batch_norm:
        see_through(first, norm[0])
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), last] if conv else [last]
    x = torch.rand(400, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = x[:, :, None, None].expand(-1, -1, 2, 2) if conv else x
    found = vitals(nn.Sequential(first, *norm, nn.Sigmoid(), *tail), (x, torch.arange(400) % 2), by="channel").sites[0]
    assert [set(found.of(unit)) for unit in range(3)] == [{"dying", "constant pattern"}, {"saturated"}, {"alive"}]
