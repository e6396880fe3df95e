"""Compiled passes over rows: floats to packed bits, and rows to hashes. See `actscope.codes.compiling`."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from actscope.codes.compiling import I64, compiled, load_u8, load_u64, splat, store_u8, store_u64


def _comparer(n_lanes: int) -> Any:
    """Of ``n_lanes`` floats at an address: the bits x > γ, and the bits "x is not finite", as two integers."""

    def typed(_: Any, address: Any, gamma: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(context.get_value_type(gamma), n_lanes)
            x = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=gamma.bitwidth // 8)
            on = builder.fcmp_ordered(">", x, splat(builder, arguments[1], n_lanes))
            zero = builder.fsub(x, x)  # NaN if x is infinite or NaN
            bad = builder.fcmp_unordered("uno", zero, zero)
            bits = [builder.bitcast(mask, ir.IntType(n_lanes)) for mask in (on, bad)]
            return cgutils.pack_array(builder, [b if n_lanes == 64 else builder.zext(b, I64) for b in bits])

        return types.UniTuple(types.uint64, 2)(types.intp, gamma), code

    return intrinsic(typed)


_compare_64 = _comparer(64)
_compare_8 = _comparer(8)
_compare_1 = _comparer(1)


@intrinsic  # type: ignore[untyped-decorator]
def _folded_product(_: Any, a: Any, b: Any) -> Any:
    """The two halves of the 128-bit product, one upon the other: the high half carries bits downwards."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i128 = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, i128) for argument in arguments))
        high = builder.lshr(product, ir.Constant(i128, 64))
        return builder.trunc(builder.xor(product, high), I64)

    return types.uint64(types.uint64, types.uint64), code


@compiled
def pack_rows(z: int, n_rows: int, n_columns: int, gammas: np.ndarray, out: int) -> int:
    """Write the bits z > γ of contiguous rows, plane after plane; the first row that is not finite, or n_rows."""
    size = gammas.itemsize
    limit = z + n_rows * n_columns * size
    one = np.uint64(1)
    first_bad = n_rows
    for row in range(n_rows):
        bad = np.uint64(0)
        for plane in range(len(gammas)):
            gamma = gammas[plane]
            at = z + row * n_columns * size
            end = at + n_columns * size
            while at + 64 * size <= end:
                on, odd = _compare_64(at, gamma)
                store_u64(out, on)
                bad |= odd
                at += 64 * size
                out += 8
            while at + 8 * size <= end:
                on, odd = _compare_8(at, gamma)
                store_u8(out, on)
                bad |= odd
                at += 8 * size
                out += 1
            if at < end:
                n_left = (end - at) // size
                if at + 8 * size <= limit:  # what lies beyond this row is the next row
                    on, odd = _compare_8(at, gamma)
                    on &= (one << np.uint64(n_left)) - one
                    odd &= (one << np.uint64(n_left)) - one
                else:
                    on = odd = np.uint64(0)
                    for i in range(n_left):
                        its_on, its_odd = _compare_1(at + i * size, gamma)
                        on |= its_on << np.uint64(i)
                        odd |= its_odd
                store_u8(out, on)
                bad |= odd
                out += 1
        if bad and first_bad == n_rows:
            first_bad = row
    return first_bad


@compiled
def hash_rows(packed: int, stride: int, n_bytes: int, first: int, last: int, out: np.ndarray) -> None:
    """Write a 64-bit hash of each row from ``first`` up to ``last``, whose every bit depends on every bit of the row.

    Rows that differ in a bit or two are the rule here, and a cheaper mixture maps some such pairs to one hash.
    """
    k0, k1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
    k2, k3 = np.uint64(0x165667B19E3779F9), np.uint64(0xD6E8FEB86659FD93)
    for row in range(first, last):
        at = packed + row * stride
        end = at + n_bytes
        a, b = k1, k0
        while at + 32 <= end:  # two chains, because one waits on its products
            a = _folded_product(load_u64(at) ^ k0, load_u64(at + 8) ^ a)
            b = _folded_product(load_u64(at + 16) ^ k1, load_u64(at + 24) ^ b)
            at += 32
        while at + 8 <= end:
            a = _folded_product(load_u64(at) ^ k0, k3 ^ a)
            at += 8
        rest = np.uint64(0)
        while at < end:
            rest = (rest << np.uint64(8)) | np.uint64(load_u8(at))
            at += 1
        b = _folded_product(rest ^ k1, k2 ^ b)
        out[row] = _folded_product(_folded_product(a ^ k2, b ^ k3) ^ k0, k1)


@compiled
def group_by_hash(
    hashes: np.ndarray, table: np.ndarray, first: np.ndarray, inverse: np.ndarray, counts: np.ndarray
) -> int:
    """Group rows of equal hash: write the first row and the size of each group, and the group of each row.

    ``table`` is uint64 and holds 0, is longer than there are rows, and its length is a power of two. An entry is the
    upper half of a hash and the group's number plus one, so that a search seldom has to look elsewhere. Returns the
    number of groups.
    """
    last_slot = np.uint64(len(table) - 1)
    upper, lower, one = np.uint64(0xFFFFFFFF00000000), np.uint64(0xFFFFFFFF), np.uint64(1)
    n_groups = np.int64(0)
    for row in range(len(hashes)):
        own = hashes[row]
        slot = own & last_slot
        group = n_groups
        while table[slot]:
            entry = table[slot]
            candidate = np.int64(entry & lower) - 1
            if (entry ^ own) & upper == 0 and hashes[first[candidate]] == own:
                group = candidate
                break
            slot = (slot + one) & last_slot
        if group == n_groups:
            n_groups += 1
            table[slot] = (own & upper) | np.uint64(n_groups)
            first[group] = row
            counts[group] = 0
        inverse[row] = group
        counts[group] += 1
    return int(n_groups)


@compiled
def all_like_the_first(
    packed: int, stride: int, n_bytes: int, first: np.ndarray, inverse: np.ndarray, start: int, stop: int
) -> bool:
    """Whether each row from ``start`` up to ``stop`` is equal to the first row of its group."""
    for row in range(start, stop):
        if first[inverse[row]] == row:
            continue
        a = packed + row * stride
        b = packed + first[inverse[row]] * stride
        end = a + n_bytes
        while a + 8 <= end:
            if load_u64(a) != load_u64(b):
                return False
            a += 8
            b += 8
        while a < end:
            if load_u8(a) != load_u8(b):
                return False
            a += 1
            b += 1
    return True
