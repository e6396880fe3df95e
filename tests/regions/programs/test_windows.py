"""Windows hold the entries that PyTorch's own pooling takes the largest of."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from actscope.regions.programs.windows import choice_windows


def largest(windows: Tensor, values: Tensor) -> Tensor:
    """The largest value of each window, `values` being flattened for one point."""
    return values.flatten()[windows.clamp(min=0)].masked_fill(windows < 0, -math.inf).amax(dim=1)


def assert_tidy(windows: Tensor) -> None:
    """Ascending without repetition, then nothing but -1."""
    for row in windows.tolist():
        entries = [entry for entry in row if entry >= 0]
        assert row == sorted(set(entries)) + [-1] * (len(row) - len(entries))


@st.composite
def geometries(draw: st.DrawFn, n_axes: int) -> tuple[list[int], dict[str, Any]]:
    """The size of an image along each axis, and arguments of a pooling that fits in it."""
    numbers = {name: [] for name in ("kernel_size", "stride", "padding", "dilation")}
    sizes = []
    for _ in range(n_axes):
        kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        padding = draw(st.integers(0, kernel // 2))
        sizes.append(draw(st.integers(max(1, dilation * (kernel - 1) + 1 - 2 * padding), 6)))
        for name, value in (("kernel_size", kernel), ("padding", padding), ("dilation", dilation)):
            numbers[name].append(value)
        numbers["stride"].append(draw(st.integers(1, 3)))
    return sizes, {**numbers, "ceil_mode": draw(st.booleans())}


@pytest.mark.parametrize("n_axes", [1, 2, 3])
@given(data=st.data())
def test_windows_of_max_pooling_are_those_of_pytorch(n_axes: int, data: st.DataObject) -> None:
    sizes, options = data.draw(geometries(n_axes))
    x = torch.randn(1, 2, *sizes, generator=torch.Generator().manual_seed(0))
    pooled = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[n_axes](x, **options)
    args = (None, *(options[name] for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode")))
    name = f"max_pool{n_axes}d_with_indices"
    windows = choice_windows(name, args, {}, [tuple(x.shape[1:])], tuple(pooled.shape[1:]))
    assert_tidy(windows)
    assert torch.equal(largest(windows, x), pooled.flatten())
    # moving any one entry to the top must move exactly the outputs whose windows hold it
    raised = x.clone()
    entry = data.draw(st.integers(0, x.numel() - 1))
    raised.flatten()[entry] = 100.0
    again = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[n_axes](raised, **options)
    assert torch.equal((windows == entry).any(dim=1), again.flatten() == 100)


@pytest.mark.parametrize("n_axes", [1, 2, 3])
@given(data=st.data())
def test_windows_of_adaptive_pooling_are_those_of_pytorch(n_axes: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=n_axes, max_size=n_axes))
    out = data.draw(st.lists(st.integers(1, 5), min_size=n_axes, max_size=n_axes))
    x = torch.randn(1, 2, *sizes, generator=torch.Generator().manual_seed(0))
    pool = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}[n_axes]
    windows = choice_windows(f"adaptive_max_pool{n_axes}d", (None, out), {}, [tuple(x.shape[1:])], (2, *out))
    assert_tidy(windows)
    assert torch.equal(largest(windows, x), pool(x, out).flatten())
    entry = data.draw(st.integers(0, x.numel() - 1))
    x.flatten()[entry] = 100.0
    assert torch.equal((windows == entry).any(dim=1), pool(x, out).flatten() == 100)


def test_without_a_stride_windows_lie_side_by_side() -> None:
    assert choice_windows("max_pool1d", (None, [2], []), {}, [(1, 4)], (1, 2)).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("axis", "dims"), [(0, [1]), (0, [-1]), (0, [2, 1]), (0, [-1, -3]), (1, [0]), (1, [-1, 0]), (2, [1, 3])]
)
@pytest.mark.parametrize("keepdim", [False, True])
def test_windows_of_amax_are_the_axes_that_it_takes_together(axis: int, dims: list[int], keepdim: bool) -> None:
    shape = [2, 3, 4]
    one = torch.randn(shape)
    batch = one.unsqueeze(axis)
    expected = batch.amax(dims, keepdim=keepdim)
    windows = choice_windows("amax", (None, dims, keepdim), {}, [tuple(shape)], (expected.numel(),), axis=axis)
    assert_tidy(windows)
    assert torch.equal(largest(windows, one), expected.flatten())


def test_windows_of_a_maximum_hold_one_entry_of_each_input_broadcast() -> None:
    one, other = torch.randn(2, 3), torch.randn(3)
    windows = choice_windows("maximum", (None, None), {}, [(2, 3), (3,)], (2, 3))
    assert torch.equal(largest(windows, torch.cat([one.flatten(), other])), torch.maximum(one, other).flatten())
