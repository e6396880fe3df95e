"""Memory does not grow with the data while codes are streamed to a file, and not beyond one site when they are read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, resource, sys
import torch
from torch import nn
import actscope
from actscope.codes import parquet

parquet._ROW_GROUP_BYTES = 2**20
peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

class Wide(nn.Module):
    def forward(self, x):
        y = x.repeat(1, 500)
        return torch.relu(y).sum() + torch.relu(y - 0.25).sum()

peaks = []
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
file = actscope.encode(
    Wide(), torch.randn(8_000, 100, generator=generator),
    batch_size=50, out=sys.argv[1], on_output=lambda *_: peaks.append(peak_mb()), progress=False
)
written = peak_mb()
codes = file.load(["*#2"])
print(json.dumps({
    "codes_mb": len(file) * sum(site.n_bytes for site in file.sites) / 2**20,
    "site_mb": codes.packed.nbytes / 2**20,
    "growth_mb": written - peaks[len(peaks) // 8],
    "reading_mb": peak_mb() - written,
}))
"""


def test_streaming_needs_no_more_memory_for_more_examples_and_reading_only_that_of_the_site(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "codes.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["codes_mb"] > 95
    assert seen["growth_mb"] < 25, seen
    assert seen["reading_mb"] < seen["site_mb"] + 30, seen
