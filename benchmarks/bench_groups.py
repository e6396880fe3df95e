"""Distinct codes, against NumPy's unique rows."""

from __future__ import annotations

from functools import partial

import numpy as np

from actscope.codes.bits import pack_bits
from actscope.codes.groups import count_distinct, distinct
from benchmarks.measure import Row, median_seconds

N_CODES = 60_000
GOALS = {512: 100.0, 4096: 300.0}


def run() -> list[Row]:
    rng = np.random.default_rng(0)
    rows = []
    for n_bits, goal in GOALS.items():
        different = rng.integers(0, 2, (N_CODES, n_bits), dtype=np.uint8)
        for bits, kind in ((different, "all distinct"), (different[rng.integers(0, 3000, N_CODES)], "3,000 distinct")):
            packed = pack_bits(bits)
            work = f"{N_CODES:,} × {n_bits} bits, {kind}"
            counting = median_seconds(partial(count_distinct, packed), 9)
            on_bits = median_seconds(partial(np.unique, bits, axis=0), repeats=1, warmup=0)
            rows.append(Row(f"count {work}", "np.unique(bits, axis=0)", on_bits, counting, goal))
            on_bytes = median_seconds(partial(np.unique, packed, axis=0), repeats=1, warmup=0)
            rows.append(Row(f"count {work}", "np.unique(packed, axis=0)", on_bytes, counting, None))
            grouping = median_seconds(partial(distinct, packed), 9)
            unique_groups = partial(
                np.unique, packed, axis=0, return_index=True, return_inverse=True, return_counts=True
            )
            on_groups = median_seconds(unique_groups, repeats=1, warmup=0)
            rows.append(Row(f"groups {work}", "np.unique(packed), all returns", on_groups, grouping, None))
    return rows
