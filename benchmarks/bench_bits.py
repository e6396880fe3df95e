"""Pre-activations to packed bits, against one int8 for each."""

from __future__ import annotations

import torch

from actscope.codes.bits import nonfinite_row, pack, pack_finite
from benchmarks.measure import Row, median_seconds


def run() -> list[Row]:
    rows = []
    for n_examples, n_neurons in ((1024, 512), (1024, 1024), (65536, 1024)):
        z = torch.randn(n_examples, n_neurons, generator=torch.Generator().manual_seed(0))
        work = f"{n_examples:,} × {n_neurons} float32"
        repeats = 30 if n_examples == 1024 else 7
        to_int8 = median_seconds(lambda z=z: (z > 0).to(torch.int8), repeats)  # type: ignore[misc]
        ours = median_seconds(lambda z=z: pack(z, [0.0]), repeats)  # type: ignore[misc]
        note = f"{z.nbytes / ours / 1e9:.1f} GB/s"
        rows.append(Row(f"pack {work}", "torch (z > 0).to(int8)", to_int8, ours, 4.0, note))
        checked = median_seconds(lambda z=z: pack_finite(z, [0.0]), repeats)  # type: ignore[misc]
        rows.append(Row(f"pack {work} and find NaN, inf", "torch (z > 0).to(int8)", to_int8, checked, 4.0))
        isfinite = median_seconds(lambda z=z: torch.isfinite(z).all(dim=1), repeats)  # type: ignore[misc]
        alone = median_seconds(lambda z=z: nonfinite_row(z), repeats)  # type: ignore[misc]
        rows.append(Row(f"find NaN, inf in {work}", "torch.isfinite(z).all(dim=1)", isfinite, alone, None))
    return rows
