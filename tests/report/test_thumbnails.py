"""Pictures of examples, where examples are pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from actscope.report.thumbnails import example_pictures, png_data_uri

GREY = torch.rand(6, 1, 8, 9, generator=torch.Generator().manual_seed(0))


class Pairs(Dataset[tuple[torch.Tensor, int]]):
    def __len__(self) -> int:
        return len(GREY)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return GREY[index], index


class Stream(IterableDataset[torch.Tensor]):
    def __iter__(self) -> Any:
        return iter(GREY)


@pytest.mark.parametrize(
    "data",
    [
        GREY,
        GREY.numpy(),
        GREY[:, 0],
        (GREY, torch.zeros(6)),
        TensorDataset(GREY, torch.zeros(6)),
        Pairs(),
        DataLoader(Pairs(), batch_size=4, shuffle=True),
    ],
    ids=["tensor", "array", "no channel axis", "pair", "tensor data set", "data set", "loader"],
)
def test_an_id_is_the_index_in_the_data_in_every_form(data: Any) -> None:
    found = example_pictures(data, [4, 2])
    chosen = GREY[[4, 2], 0].numpy()
    expected = ((chosen - chosen.min()) / (chosen.max() - chosen.min()) * 255).round().astype(np.uint8)
    assert sorted(found) == [2, 4]
    assert np.abs(found[4].astype(int) - expected[0]).max() <= 1
    assert np.abs(found[2].astype(int) - expected[1]).max() <= 1


def test_colour_channels_come_last() -> None:
    assert example_pictures(torch.rand(2, 3, 8, 9), [0])[0].shape == (8, 9, 3)


@pytest.mark.parametrize(
    "data",
    [torch.rand(5, 64), torch.rand(5, 7, 8, 8), torch.rand(5, 1, 2, 2), Stream(), {"x": GREY}, DataLoader(Stream())],
    ids=["vectors", "seven channels", "too small", "stream", "dict", "loader of a stream"],
)
def test_what_holds_no_pictures_gives_none(data: Any) -> None:
    assert example_pictures(data, [0, 1]) == {}


def test_ids_that_are_no_index_are_left_out() -> None:
    assert sorted(example_pictures(GREY, ["a", 99, -1, 3])) == [3]


def test_values_that_are_not_finite_do_not_spoil_the_others() -> None:
    images = torch.zeros(1, 4, 4)
    images[0, 0] = torch.tensor([float("nan"), float("inf"), 1.0, 0.5])
    assert example_pictures(images, [0])[0][0].tolist() == [0, 255, 255, 128]


def test_a_picture_survives_as_png() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    encoded = png_data_uri(picture).removeprefix("data:image/png;base64,")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))), picture)
