"""The experiments of Jiang et al.: what they train and measure is what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actscope.studies.jiang2022.toynetworks import ToyNetworks, Update, target

TOYS = [("sigmoid", 1.0, 1.0, "all layers", 0), ("relu", 15.0, 1.0, "hidden layer", 3)]


def by_hand(networks: ToyNetworks, i: int, update: Update, x: np.ndarray, *, epochs: int, lr: float) -> np.ndarray:
    """The outputs of one toy network after training by PyTorch."""
    values = [torch.tensor(getattr(networks, name)[i].copy(), requires_grad=True) for name in "wbvc"]
    w, b, v, c = values
    activation = torch.relu if networks.is_relu[i, 0] else torch.sigmoid

    def output(points: torch.Tensor) -> torch.Tensor:
        return (activation(w * points[:, None] + b) * v).sum(1) + c

    points, wanted = torch.tensor(x), torch.tensor(target(x))
    adam = update == "whole epoch by Adam"
    optimizer = torch.optim.Adam(values, lr) if adam else torch.optim.SGD(values, lr)
    size = 1 if update == "each example" else len(x)
    for _ in range(epochs):
        for some, y in zip(points.split(size), wanted.split(size), strict=True):
            optimizer.zero_grad()
            ((output(some) - y) ** 2).mean().backward()
            optimizer.step()
    return output(points).detach().numpy()


@pytest.mark.parametrize("update", ["each example", "whole epoch", "whole epoch by Adam"])
def test_toy_networks_train_as_pytorch_trains_them(update: Update) -> None:
    x = np.linspace(-1, 1, 20)
    networks = ToyNetworks.drawn(TOYS)
    expected = [by_hand(networks, i, update, x, epochs=5, lr=1e-3) for i in range(len(TOYS))]
    networks.train(x, epochs=3, lr=1e-3, update=update)
    networks.train(x, epochs=2, lr=1e-3, update=update)
    np.testing.assert_allclose(networks.outputs(x), expected, rtol=1e-9)


def test_contributions_add_up_to_the_output_but_for_its_bias() -> None:
    x = np.linspace(-1, 1, 7)
    networks = ToyNetworks.drawn(TOYS)
    np.testing.assert_allclose(networks.contributions(x).sum(2), networks.outputs(x) - networks.c[:, None])


def test_toy_weights_lie_where_they_are_drawn_from() -> None:
    many = [("sigmoid", 15.0, 2.0, layers, seed) for seed in range(50) for layers in ("all layers", "hidden layer")]
    drawn = ToyNetworks.drawn(many)
    assert 14 < np.abs(drawn.w).max() <= 15
    assert 1.9 < np.abs(drawn.b).max() <= 2
    assert 14 < np.abs(drawn.v[::2]).max() <= 15
    assert 0.3 < np.abs(drawn.v[1::2]).max() <= 10**-0.5
