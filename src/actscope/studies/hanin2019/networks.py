"""The networks and planes of Hanin & Rolnick 2019: how they are drawn, trained and counted in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actscope.regions import Plane, count_in_plane, count_on_lines
from actscope.studies.cells import Cell
from actscope.studies.results import Row
from actscope.studies.specimens import Specimen
from actscope.studies.study import Place
from actscope.training import MLP, LabelledData, evaluate

__all__ = [
    "NETWORKS",
    "TRIO",
    "WINDOW",
    "drawn",
    "half_square",
    "hidden",
    "image_rows",
    "line_rows",
    "plane_rows",
    "specimen",
]

NETWORKS = ("16x4", "32x4", "64x4", "20x3", "40x3", "60x3", "80x3")
"""Of Figure 1: width × hidden layers."""
TRIO = "32x3"
"""The network of Figures 2 and 3."""
WINDOW = (-20.0, 20.0, -20.0, 20.0)
"""Of a plane, in units of 1.25 times the longer of its two examples."""


def hidden(network: str) -> list[int]:
    """Widths of the hidden layers.

    Example:
        >>> hidden("16x4")
        [16, 16, 16, 16]
    """
    width, depth = map(int, network.split("x"))
    return [width] * depth


def half_square(network: str) -> float:
    """N²/2 for N hidden neurons: about what is counted in a plane at initialization, whatever the depth.

    Example:
        >>> half_square("32x3")
        4608.0
    """
    return sum(hidden(network)) ** 2 / 2


def plane_rows(model: MLP, images: Tensor, network: str, *, n_planes: int, seed: int) -> list[Row]:
    """Regions in planes through the origin and two images each, divided by N²/2; the planes are those of the seed.

    Args:
        model: the network.
        images: (n, n_features) to draw from.
        network: its name in `NETWORKS`.
        n_planes: how many planes.
        seed: decides the images.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)[: 2 * n_planes].tolist()
    rows: list[Row] = []
    for plane in range(n_planes):
        one, other = (images[i].double() for i in order[2 * plane : 2 * plane + 2])
        count = count_in_plane(model, Plane.through_origin(one, other), window=WINDOW, progress=False)
        rows.append({"metric": "regions in a plane over N²/2", "plane": plane, "value": count / half_square(network)})
    return rows


def line_rows(model: nn.Module, images: Tensor, network: str) -> list[Row]:
    """Regions on whole lines through the origin and an image each, divided by the number of neurons: mean and spread.

    Args:
        model: the network.
        images: (n, n_features), one for each line.
        network: its name in `NETWORKS`.
    """
    ends = images.double()
    counts = torch.as_tensor(count_on_lines(model, torch.zeros_like(ends), ends, extend=True, progress=False)).double()
    ratio = counts / sum(hidden(network))
    return [
        {"metric": "regions on a line over N", "value": float(ratio.mean())},
        {"metric": "regions on a line over N, deviation", "value": float(ratio.std())},
    ]


def drawn(n_features: int, network: str, n_classes: int, seed: int) -> MLP:
    """The network before training: weights He-normal, biases normal with standard deviation 1e-3."""
    return MLP(n_features, hidden(network), n_classes, init="he", seed=seed)


def specimen(cell: Cell, data: LabelledData, *, by_steps: bool = False) -> Specimen:
    """The network of a cell before training on `data`; `measured` of the cell says after which epochs, or updates, it is measured."""
    assert cell.recipe is not None
    model = drawn(data.x.shape[1], cell["network"], data.n_classes, cell["seed"])
    when = tuple(map(int, cell["measured"].split(",")))
    return Specimen(model, data, cell.recipe, cell["seed"], **{"steps" if by_steps else "epochs": when})


def image_rows(cell: Cell, one: Specimen, model: MLP, *, place: Place) -> list[Row]:
    """Regions in `planes` of the cell through training images, and the network's accuracy on test images."""
    _, test = place.data(cell["dataset"])
    rows = plane_rows(model, one.train.x, cell["network"], n_planes=cell["planes"], seed=cell["seed"])
    found = evaluate(model, test, device=place.device, batch_size=8192)
    return [*rows, {"metric": "accuracy", "split": "test", "value": found.accuracy}]
