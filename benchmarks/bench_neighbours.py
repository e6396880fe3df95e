"""Nine nearest neighbours of 10,000 codes among 60,000, against scikit-learn's brute force and faiss."""

from __future__ import annotations

from functools import partial

import faiss
import numpy as np
from sklearn.neighbors import NearestNeighbors

from actscope.codes.bits import pack_bits
from actscope.codes.neighbours import nearest
from benchmarks.measure import Row, median_seconds

N_ROWS, N_QUERIES, K = 60_000, 10_000, 9
GOALS = {100: 150.0, 512: 240.0, 4096: 350.0}
QUERIES_TIMED = {100: 200, 512: 50, 4096: 8}


def run() -> list[Row]:
    rng = np.random.default_rng(0)
    rows = []
    for n_bits, goal in GOALS.items():
        prototypes = rng.random((100, n_bits)) < 0.5  # codes of real data lie around their classes
        bits = prototypes[rng.integers(0, 100, N_ROWS)] ^ (rng.random((N_ROWS, n_bits), dtype=np.float32) < 0.2)
        asked = bits[:N_QUERIES] ^ (rng.random((N_QUERIES, n_bits), dtype=np.float32) < 0.05)
        database, queries = pack_bits(bits), pack_bits(asked)
        work = f"{K}-NN, {N_QUERIES:,} in {N_ROWS:,} × {n_bits} bits"
        ours = median_seconds(partial(nearest, queries, database, K), repeats=3)

        brute = NearestNeighbors(n_neighbors=K, metric="hamming", algorithm="brute").fit(bits)
        few = QUERIES_TIMED[n_bits]
        at_once = median_seconds(partial(brute.kneighbors, asked[:few]), repeats=1)
        at_thrice = median_seconds(partial(brute.kneighbors, asked[: 3 * few]), repeats=1, warmup=0)
        per_query = (at_thrice - at_once) / (2 * few)
        note = f"extrapolated from {3 * few} queries"
        rows.append(Row(work, "scikit-learn brute, hamming", per_query * N_QUERIES, ours, goal, note))

        index = faiss.IndexBinaryFlat(8 * database.shape[1])
        index.add(database)
        rows.append(
            Row(work, "faiss IndexBinaryFlat", median_seconds(partial(index.search, queries, K), 1), ours, None)
        )
    return rows
