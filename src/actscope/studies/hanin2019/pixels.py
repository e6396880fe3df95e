"""Networks that learn images of which a share of the pixels is noise (Hanin & Rolnick 2019, memorization)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from actscope.studies.cells import Cell
from actscope.studies.hanin2019.labels import noise_cells, noise_figure, noise_rows
from actscope.studies.hanin2019.networks import specimen
from actscope.studies.results import Row
from actscope.studies.specimens import Specimen, measured
from actscope.studies.study import Grid, Place, Study
from actscope.training import LabelledData

__all__ = ["PIXELS", "with_pixel_noise"]

_VERSION = 1


def _cells(grid: Grid) -> list[Cell]:
    return noise_cells(PIXELS.name, _VERSION, grid, "noise", small=3)


def with_pixel_noise(data: LabelledData, share: float, *, seed: int) -> LabelledData:
    """The same examples with a share of the values of each, drawn anew for each, replaced by values uniform in [0, 1].

    Example:
        >>> noisy = with_pixel_noise(LabelledData(torch.full((50, 40), 7.0), torch.zeros(50).long()), 0.25, seed=0)
        >>> (noisy.x != 7).float().mean(1).unique().tolist(), bool(((noisy.x == 7) | (noisy.x <= 1)).all())
        ([0.25], True)
        >>> len(noisy.x[noisy.x != 7].unique())  # each with noise of its own
        500
    """
    n = round(share * data.x[0].numel())
    if n == 0:
        return data
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(data.x.shape, generator=generator).flatten(1)
    chosen = order <= order.kthvalue(n, dim=1, keepdim=True).values
    noise = torch.rand(data.x.shape, generator=generator)
    return dataclasses.replace(data, x=torch.where(chosen.view(data.x.shape), noise, data.x))


def _specimen(cell: Cell, place: Place) -> Specimen:
    train, _ = place.data(cell["dataset"])
    return specimen(cell, with_pixel_noise(train, cell["noise"], seed=cell["seed"]))


def _measure(cells: Sequence[Cell], place: Place) -> Iterator[tuple[Cell, list[Row]]]:
    # each has its own copy of the images
    return measured(cells, place, _specimen, partial(noise_rows, place=place), apart=lambda cell: cell.id)


PIXELS = Study(
    name="hanin2019.pixels",
    title="Activation regions of networks that learn images of which a share of the pixels is noise",
    source="Hanin & Rolnick 2019, memorization",
    datasets=("mnist",),
    cells=_cells,
    measure=_measure,
    figures={"pixels": partial(noise_figure, share_of="noise")},
    notes=(
        "Networks have three hidden layers of 32. A share of each training image's pixels is replaced by values uniform in [0, 1]; with "
        "all of them, an image can only be learned by heart. Planes go through clean training images, lines through test images."
    ),
)
