"""Packing against one comparison per bit, on the compiled path and on the torch path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actscope.codes import bits
from actscope.codes.bits import _pack_with_torch, nonfinite_row, pack, pack_bits, pack_finite, unpack_bits

at_any_pace = settings(deadline=None)  # the first call of a kernel compiles it

Pack = Callable[[torch.Tensor, list[float]], np.ndarray]


def with_torch(z: torch.Tensor, breakpoints: list[float]) -> np.ndarray:
    return _pack_with_torch(z, breakpoints).numpy()


both_paths = pytest.mark.parametrize("packing", [pack, with_torch], ids=["compiled", "torch"])
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)


def reference(z: torch.Tensor, breakpoints: list[float]) -> np.ndarray:
    """Bit by bit, byte by byte."""
    rounded = torch.tensor(breakpoints, dtype=torch.float64).to(z.dtype).tolist()
    rows = []
    for row in z.tolist():
        packed = []
        for gamma in rounded:
            on = [x > gamma for x in row]
            packed += [sum(bit << i for i, bit in enumerate(on[start : start + 8])) for start in range(0, len(on), 8)]
        rows.append(packed)
    n_bytes = len(breakpoints) * -(-z.shape[1] // 8)
    return np.array(rows, np.uint8).reshape(len(z), n_bytes)


@both_paths
@dtypes
@at_any_pace
@given(
    z=hnp.arrays(np.float64, st.tuples(st.integers(0, 4), st.integers(0, 75)), elements=st.floats(-3, 3, width=16)),
    breakpoints=st.lists(st.sampled_from([-1.5, -0.1, 0.0, 0.1, 0.25, 1.0]), max_size=3),
)
def test_every_bit_says_whether_its_neuron_is_above_its_breakpoint(
    packing: Pack, dtype: torch.dtype, z: np.ndarray, breakpoints: list[float]
) -> None:
    tensor = torch.from_numpy(z).to(dtype)
    np.testing.assert_array_equal(packing(tensor, breakpoints), reference(tensor, breakpoints))


@both_paths
@dtypes
@pytest.mark.parametrize("gamma", [0.1, -0.1, 1 / 3, 0.0, 1e6, -1e6, 1e-9])
def test_a_breakpoint_is_rounded_to_the_precision_of_the_values_as_torch_does(
    packing: Pack, dtype: torch.dtype, gamma: float
) -> None:
    rounded = torch.tensor(gamma, dtype=torch.float64).to(dtype)
    around = torch.stack(
        [rounded, *(torch.nextafter(rounded, rounded.new_tensor(to)) for to in (-torch.inf, torch.inf))]
    )
    z = torch.cat([around, torch.tensor([0.0, -0.0, 1.0, -1.0], dtype=dtype)])[None].nan_to_num()
    bits = unpack_bits(packing(z, [gamma]), z.shape[1])
    np.testing.assert_array_equal(bits, (z > gamma).numpy())


@both_paths
@dtypes
def test_nan_is_off_and_infinities_are_on_their_sides(packing: Pack, dtype: torch.dtype) -> None:
    z = torch.tensor([[torch.nan, torch.inf, -torch.inf, -torch.nan]], dtype=dtype)
    np.testing.assert_array_equal(packing(z, [-1.0, 1.0]), [[0b0010, 0b0010]])


@both_paths
@dtypes
def test_memory_that_is_not_contiguous_packs_as_its_copy_does(packing: Pack, dtype: torch.dtype) -> None:
    z = torch.randn(70, 200, generator=torch.Generator().manual_seed(0)).to(dtype)
    for view in (z.t(), z[::3], z[:, 1::2], z[3:, 5:], z[:1].expand(4, -1)):
        np.testing.assert_array_equal(packing(view, [0.0, 0.5]), packing(view.contiguous(), [0.0, 0.5]))


@dtypes
def test_blocks_and_threads_leave_no_seam(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(301, 130, generator=torch.Generator().manual_seed(0)).to(dtype)
    whole, whole_with_torch = pack(z, [0.0, 0.5]), with_torch(z, [0.0, 0.5])
    for name in ("_BYTES_WORTH_A_THREAD", "_FLOATS_TO_CONVERT", "_FLOATS_TO_COMPARE"):
        monkeypatch.setattr(bits, name, 1000)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    np.testing.assert_array_equal(pack(z, [0.0, 0.5]), whole)
    np.testing.assert_array_equal(with_torch(z, [0.0, 0.5]), whole_with_torch)
    z[200, 5] = torch.inf
    z[77, 129] = torch.nan
    assert pack_finite(z, [0.0])[1] == 77


def test_packing_does_not_ask_for_gradients() -> None:
    z = torch.ones(2, 3, requires_grad=True)
    np.testing.assert_array_equal(pack(z * 1, [0.0]), [[7], [7]])
    assert nonfinite_row(z * torch.nan) == 0


def test_packing_refuses_what_is_not_a_matrix_of_floats() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\)"):
        pack(torch.zeros(2, 3, 4), [0.0])
    with pytest.raises(TypeError, match=r"torch\.int32"):
        pack(torch.zeros(2, 3, dtype=torch.int32), [0.0])


@at_any_pace
@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 5), st.integers(0, 40))))
def test_unpacking_is_the_inverse_of_packing(bits: np.ndarray) -> None:
    packed = pack_bits(bits)
    assert packed.shape == (len(bits), -(-bits.shape[1] // 8))
    np.testing.assert_array_equal(unpack_bits(packed, bits.shape[1]), bits)


@at_any_pace
@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.integers(0, 6))))
def test_packing_is_the_inverse_of_unpacking(packed: np.ndarray) -> None:
    np.testing.assert_array_equal(pack_bits(unpack_bits(packed, 8 * packed.shape[1])), packed)


def test_unpacking_refuses_more_bits_than_there_are() -> None:
    with pytest.raises(ValueError, match="n_bits=17"):
        unpack_bits(np.zeros((3, 2), np.uint8), 17)


@dtypes
@at_any_pace
@given(
    values=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 75)),
        elements=st.sampled_from([0.0, 1.0, -2.0]),
        fill=st.just(1.0),
    ),
    bad=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 74), st.sampled_from([np.nan, np.inf, -np.inf])), max_size=2
    ),
)
def test_the_first_row_with_a_value_that_is_not_finite_is_found(
    dtype: torch.dtype, values: np.ndarray, bad: list[tuple[int, int, float]]
) -> None:
    for row, column, value in bad:
        values[row % values.shape[0], column % values.shape[1]] = value
    rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
    expected = int(rows[0]) if len(rows) else None
    z = torch.from_numpy(values).to(dtype)
    assert nonfinite_row(z) == expected
    packed, row = pack_finite(z, [0.0, 1.0])
    assert row == expected
    np.testing.assert_array_equal(packed, pack(z, [0.0, 1.0]))
    assert pack_finite(z, [])[1] == expected


@dtypes
def test_infinities_of_opposite_sign_do_not_cancel(dtype: torch.dtype) -> None:
    z = torch.zeros(3, 8, dtype=dtype)
    z[1, 2], z[2, 3] = torch.inf, -torch.inf
    assert nonfinite_row(z) == 1
    assert pack_finite(z, [0.0])[1] == 1


@dtypes
def test_finite_values_are_finite_even_where_their_sum_is_not(dtype: torch.dtype) -> None:
    z = torch.full((3, 2000), torch.finfo(dtype).max, dtype=dtype)
    assert nonfinite_row(z) is None
    assert pack_finite(z, [0.0])[1] is None
    z[2] = -z[2]
    assert nonfinite_row(z) is None
    assert pack_finite(z, [0.0])[1] is None


def test_rows_of_more_than_two_axes_can_be_checked() -> None:
    z = torch.zeros(4, 2, 3)
    assert nonfinite_row(z) is None
    z[3, 1, 2] = torch.nan
    assert nonfinite_row(z) == 3
