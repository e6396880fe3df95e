"""Compiled counts of the bits in which packed rows differ. See `actscope.codes.compiling`.

One query is compared with 64 rows at a time, which lie word by word beside each other: a *block*, (n_words, 64) uint32.
Spelled out as LLVM vectors this takes four instructions for 512 pairs of bits with AVX-512; left to the auto-vectoriser
it takes twice as many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from actscope.codes.compiling import I32, I64, compiled, load_u32, splat, store_u32
from actscope.codes.tiles import ROW_BITS

ROWS_PER_BLOCK = 64

_LANES = 16


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(_: Any, mask: Any) -> Any:
    """Index of the lowest bit that is set, of a mask that is not zero."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), code


@intrinsic  # type: ignore[untyped-decorator]
def _room_for_distances(_: Any) -> Any:
    """Address of 64 words on the stack. numba would free an array as soon as nothing but its address is in use."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room = cgutils.alloca_once(builder, ir.ArrayType(I32, ROWS_PER_BLOCK))
        room.align = 64
        return builder.ptrtoint(room, I64)

    return types.intp(), code


@intrinsic  # type: ignore[untyped-decorator]
def _block_distances(_: Any, block: Any, query: Any, n_words: Any, below: Any, out: Any) -> Any:
    """Write the distances of one query to the 64 rows of a block; a mask of the rows nearer than ``below``.

    A block is (n_words, 64): word after word, and of each word all 64 rows.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(I32, _LANES)
        n_vectors = ROWS_PER_BLOCK // _LANES
        block, query, n_words, below, out = arguments
        blocks = builder.inttoptr(block, vector.as_pointer())
        words = builder.inttoptr(query, I32.as_pointer())
        outs = builder.inttoptr(out, vector.as_pointer())
        popcount = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector]), f"llvm.ctpop.v{_LANES}i32"
        )
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(n_vectors)]
        with cgutils.for_range(builder, n_words) as loop:
            word = splat(builder, builder.load(builder.gep(words, [loop.index]), align=4), _LANES)
            start = builder.mul(loop.index, ir.Constant(I64, n_vectors))
            for v, total in enumerate(sums):
                rows = builder.load(builder.gep(blocks, [builder.add(start, ir.Constant(I64, v))]), align=4)
                differing = builder.call(popcount, [builder.xor(rows, word)])
                builder.store(builder.add(builder.load(total), differing), total)
        limit = splat(builder, builder.trunc(below, I32), _LANES)
        mask = ir.Constant(I64, 0)
        for v, total in enumerate(sums):
            distances = builder.load(total)
            builder.store(distances, builder.gep(outs, [ir.Constant(I64, v)]), align=4)
            nearer = builder.bitcast(builder.icmp_unsigned("<", distances, limit), ir.IntType(_LANES))
            mask = builder.or_(mask, builder.shl(builder.zext(nearer, I64), ir.Constant(I64, v * _LANES)))
        return mask

    return types.uint64(types.intp, types.intp, types.intp, types.int64, types.intp), code


@compiled
def write_distances(
    blocks: int, n_rows: int, queries: int, first: int, last: int, n_words: int, out: int, out_stride: int
) -> None:
    """Write the distances of queries ``first`` up to ``last`` to all rows, a row of int32 for each query."""
    distances = _room_for_distances()
    for query in range(first, last):
        for row in range(0, n_rows, ROWS_PER_BLOCK):
            block = blocks + 4 * row * n_words
            at = out + query * out_stride + 4 * row
            if row + ROWS_PER_BLOCK <= n_rows:
                _block_distances(block, queries + 4 * query * n_words, n_words, 0, at)
            else:
                _block_distances(block, queries + 4 * query * n_words, n_words, 0, distances)
                for i in range(n_rows - row):
                    store_u32(at + 4 * i, load_u32(distances + 4 * i))


@compiled
def count_distances(
    blocks: int,
    n_rows: int,
    queries: int,
    first: int,
    last: int,
    n_words: int,
    offset: int,
    counts: np.ndarray,
) -> None:
    """Add the pairs (query, row) to ``counts[distance, :]``, for queries ``first`` up to ``last``.

    Only pairs with ``row + offset > query`` count: an offset of at least ``last`` counts all. Four columns of counts
    take turns, because a count cannot be raised twice in a row without waiting.
    """
    distances = _room_for_distances()
    group = max(1, 65536 // (4 * ROWS_PER_BLOCK * n_words + 1)) * ROWS_PER_BLOCK
    for start in range(0, n_rows, group):
        for query in range(first, last):
            skipped = max(0, query + 1 - offset - start) // ROWS_PER_BLOCK * ROWS_PER_BLOCK
            for row in range(start + skipped, min(start + group, n_rows), ROWS_PER_BLOCK):
                _block_distances(blocks + 4 * row * n_words, queries + 4 * query * n_words, n_words, 0, distances)
                for i in range(max(0, query + 1 - offset - row), min(ROWS_PER_BLOCK, n_rows - row)):
                    counts[load_u32(distances + 4 * i), i & 3] += 1


@compiled
def keep_nearest(
    blocks: int,
    n_rows: int,
    first_row: int,
    queries: int,
    first: int,
    last: int,
    n_words: int,
    keys: np.ndarray,
) -> None:
    """Offer all rows, numbered from ``first_row``, to the heaps ``keys[query]`` of queries ``first`` up to ``last``.

    ``keys`` is (n_queries, k): the k smallest keys so far, the largest at the root. Rows come in ascending order, so a
    row as far away as the root's is never better than it.
    """
    distances = _room_for_distances()
    group = max(1, 65536 // (4 * ROWS_PER_BLOCK * n_words + 1)) * ROWS_PER_BLOCK
    k = keys.shape[1]
    for start in range(0, n_rows, group):
        for query in range(first, last):
            worst = keys[query, 0] >> ROW_BITS
            for row in range(start, min(start + group, n_rows), ROWS_PER_BLOCK):
                block = blocks + 4 * row * n_words
                mask = _block_distances(block, queries + 4 * query * n_words, n_words, worst, distances)
                while mask:
                    i = _lowest_bit(mask)
                    mask &= mask - np.uint64(1)
                    distance = np.int64(load_u32(distances + 4 * i))
                    if distance >= worst or row + i >= n_rows:
                        continue
                    key = (distance << ROW_BITS) | (first_row + row + i)
                    hole = 0
                    while True:
                        child = 2 * hole + 1
                        if child >= k:
                            break
                        if child + 1 < k and keys[query, child + 1] > keys[query, child]:
                            child += 1
                        if keys[query, child] <= key:
                            break
                        keys[query, hole] = keys[query, child]
                        hole = child
                    keys[query, hole] = key
                    worst = keys[query, 0] >> ROW_BITS
