"""The histogram of all pair distances, against SciPy's pdist."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.spatial.distance import pdist

from actscope.codes.bits import pack_bits
from actscope.codes.distances import hamming, hamming_histogram
from benchmarks.measure import Row, median_seconds


def run() -> list[Row]:
    bits = np.random.default_rng(0).random((10_000, 512), dtype=np.float32) < 0.5
    packed = pack_bits(bits)

    def with_pdist() -> np.ndarray:
        return np.bincount(np.rint(pdist(bits, "hamming") * 512).astype(np.int64), minlength=513)

    def with_product() -> object:
        x = bits[:2000].astype(np.float32)
        ones = x.sum(axis=1)
        return np.rint(ones[:, None] + ones - 2 * x @ x.T).astype(np.int32)

    histogram = median_seconds(partial(hamming_histogram, packed), 5)
    all_pairs = median_seconds(partial(hamming, packed[:2000], packed[:2000]), 9)
    return [
        Row(
            "distances of all pairs, 10,000 × 512 bits, histogram",
            "scipy pdist and bincount",
            median_seconds(with_pdist, repeats=1, warmup=0),
            histogram,
            100.0,
        ),
        Row(
            "distances of all pairs, 2,000 × 512 bits", "float32 product", median_seconds(with_product), all_pairs, None
        ),
    ]
