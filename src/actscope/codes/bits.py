"""Pre-activations to packed bits: eight neurons a byte, little bit order, each row padded to whole bytes with zero bits."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from actscope.codes.threads import spread

__all__ = ["nonfinite_row", "pack", "pack_bits", "pack_finite", "unpack_bits"]

_BYTES_WORTH_A_THREAD = 1 << 22
_FLOATS_TO_CONVERT = 1 << 15  # stays in the cache between conversion and packing
_FLOATS_TO_COMPARE = 1 << 26  # bounds the memory of the bits that are not packed yet


def pack(z: torch.Tensor, breakpoints: Sequence[float]) -> np.ndarray | torch.Tensor:
    """Packed bits z > γ of pre-activations, one plane after another: the thermometer code of each row.

    Bit j of plane i tells whether neuron j is above breakpoint γi (Jiang et al. 2022, Definition 1: intervals are open
    below and closed above, so exactly γ is off). Each γ is rounded to the precision of ``z`` before it is compared, as
    torch does in ``z > γ``. NaN is off; see `pack_finite`.

    Args:
        z: (n_examples, n_neurons) float32, float64, float16 or bfloat16, on any device.
        breakpoints: γ1 < … < γk; none gives rows of no bytes.

    Returns:
        (n_examples, k * ceil(n_neurons / 8)) uint8: an array for a tensor on the CPU, else a tensor on the device of ``z``.

    Raises:
        ValueError: if ``z`` is not a matrix.
        TypeError: if ``z`` has another dtype.

    Example:
        >>> z = torch.tensor([[0.5, -1.0, 0.0], [2.0, 3.0, -0.1]])
        >>> pack(z, [0.0, 1.0])
        array([[1, 0],
               [3, 3]], dtype=uint8)
    """
    z = _matrix(z)
    return _pack_on_cpu(z, breakpoints)[0] if z.device.type == "cpu" else _pack_with_torch(z, breakpoints)


def pack_finite(z: torch.Tensor, breakpoints: Sequence[float]) -> tuple[np.ndarray | torch.Tensor, int | None]:
    """What `pack` gives, and what `nonfinite_row` gives, for the price of `pack` on the CPU.

    Example:
        >>> pack_finite(torch.tensor([[1.0, 2.0], [3.0, float("nan")]]), [0.0])
        (array([[3],
               [1]], dtype=uint8), 1)
    """
    z = _matrix(z)
    if z.device.type == "cpu":
        packed, bad = _pack_on_cpu(z, breakpoints)
        return packed, bad if len(breakpoints) else nonfinite_row(z)
    return _pack_with_torch(z, breakpoints), nonfinite_row(z)


def nonfinite_row(z: torch.Tensor) -> int | None:
    """The first row that holds a NaN or an infinity; None if all is finite.

    A finite sum proves that every element is finite, at the speed of reading memory. Only where it is not (the sum of
    finite numbers may overflow) does every element get a look. On a device other than the CPU, this waits for it.

    Args:
        z: (n_examples, …) floats.

    Example:
        >>> nonfinite_row(torch.tensor([[1.0, 2.0], [3.0, float("inf")]]))
        1
    """
    z = z.detach()
    if math.isfinite(z.sum(dtype=torch.promote_types(z.dtype, torch.float32)).item()):
        return None
    rows = torch.isfinite(z.flatten(1)).all(dim=1).logical_not().nonzero()
    return int(rows[0].item()) if len(rows) else None


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Rows of bools as rows of bytes, the first bool in the lowest bit. `unpack_bits` is the inverse.

    Args:
        bits: (n, d) bool, or numbers of which zero is off.

    Returns:
        (n, ceil(d / 8)) uint8.

    Example:
        >>> pack_bits(np.array([[True, False, True], [True, True, True]]))
        array([[5],
               [7]], dtype=uint8)
    """
    return np.packbits(bits, axis=1, bitorder="little")


def unpack_bits(packed: np.ndarray, n_bits: int) -> np.ndarray:
    """The first ``n_bits`` bits of each row of bytes. The inverse of `pack_bits`.

    Args:
        packed: (n, n_bytes) uint8.
        n_bits: at most ``8 * n_bytes``.

    Returns:
        (n, n_bits) bool.

    Example:
        >>> unpack_bits(np.array([[5], [7]], np.uint8), 3)
        array([[ True, False,  True],
               [ True,  True,  True]])
    """
    if not 0 <= n_bits <= 8 * packed.shape[1]:
        raise ValueError(f"n_bits={n_bits}, but rows of {packed.shape[1]} bytes hold {8 * packed.shape[1]} bits")
    return np.unpackbits(packed, axis=1, count=n_bits, bitorder="little").view(np.bool_)


def _matrix(z: torch.Tensor) -> torch.Tensor:
    if z.ndim != 2:
        raise ValueError(
            f"z must be (n_examples, n_neurons); got shape {tuple(z.shape)}: flatten all axes but the first"
        )
    if z.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise TypeError(f"z must be float32, float64, float16 or bfloat16; got {z.dtype}")
    return z.detach()


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which to compare: every 16-bit float is a float32, so nothing is lost."""
    return dtype if dtype.itemsize >= 4 else torch.float32


@functools.lru_cache(maxsize=64)
def _gammas(breakpoints: tuple[float, ...], dtype: torch.dtype) -> np.ndarray:
    """Breakpoints in the precision of ``dtype``, as numbers of the dtype in which to compare."""
    return torch.tensor(breakpoints, dtype=torch.float64).to(dtype).to(_wide(dtype)).numpy()


def _pack_on_cpu(z: torch.Tensor, breakpoints: Sequence[float]) -> tuple[np.ndarray, int | None]:
    from actscope.codes.rowscans import pack_rows

    n_rows, n_columns = z.shape
    wide, gammas = _wide(z.dtype), _gammas(tuple(breakpoints), z.dtype)
    packed = np.empty((n_rows, len(gammas) * ((n_columns + 7) // 8)), np.uint8)
    if not packed.size:
        return packed, None
    as_it_is = z.dtype == wide and z.is_contiguous()
    step = n_rows if as_it_is else max(1, _FLOATS_TO_CONVERT // n_columns)
    row_bytes = n_columns * wide.itemsize
    out = packed.ctypes.data
    bad_rows: list[int] = []

    def work(first: int, last: int) -> None:
        for start in range(first, last, step):
            stop = min(start + step, last)
            block = z if as_it_is else z[start:stop].to(wide).contiguous()
            at = block.data_ptr() + (start * row_bytes if as_it_is else 0)
            bad = pack_rows(at, stop - start, n_columns, gammas, out + start * packed.shape[1])
            if bad < stop - start:
                bad_rows.append(start + bad)

    spread(work, n_rows, at_least=max(1, _BYTES_WORTH_A_THREAD // row_bytes))
    return packed, min(bad_rows, default=None)


def _pack_with_torch(z: torch.Tensor, breakpoints: Sequence[float]) -> torch.Tensor:
    n_rows, n_columns = z.shape
    gammas = _gammas(tuple(breakpoints), z.dtype).tolist()
    n_bytes = (n_columns + 7) // 8
    packed = torch.empty((n_rows, len(gammas), n_bytes), dtype=torch.uint8, device=z.device)
    weights = torch.tensor([1 << bit for bit in range(8)], dtype=torch.uint8, device=z.device)
    step = max(1, _FLOATS_TO_COMPARE // max(1, n_columns))
    for start in range(0, n_rows, step):
        block = z[start : start + step].to(_wide(z.dtype))
        for plane, gamma in enumerate(gammas):
            on = torch.nn.functional.pad(block > gamma, (0, -n_columns % 8)).view(len(block), n_bytes, 8)
            packed[start : start + step, plane] = (on * weights).sum(-1, dtype=torch.uint8)
    return packed.view(n_rows, len(gammas) * n_bytes)
