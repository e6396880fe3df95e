"""Runs every benchmark beside this file and prints one table.

    python benchmarks/run.py [FILTER] [--json PATH]

FILTER keeps the benchmark files whose name contains it ("bits" runs bench_bits.py). Nothing passes or fails here: a
benchmark measures, and a person reads.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.measure import Row, print_table  # noqa: E402


def machine() -> dict[str, object]:
    """What the numbers depend on besides the code."""
    import numpy
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def main() -> None:
    """Run the chosen benchmark files, one after the other, in this process."""
    parser = argparse.ArgumentParser(description="Measure actscope against what it replaces.")
    parser.add_argument("filter", nargs="?", default="", help="only the benchmark files whose name contains this")
    parser.add_argument("--json", type=Path, help="also write the rows, and what machine this is, to this file")
    arguments = parser.parse_args()

    names = sorted(path.stem for path in HERE.glob("bench_*.py") if arguments.filter in path.stem)
    if not names:
        print(f"no benchmark's name contains {arguments.filter!r}")
    rows: dict[str, list[Row]] = {}
    for name in names:
        print(f"\n{name}", flush=True)
        rows[name] = importlib.import_module(f"benchmarks.{name}").run()
        print_table(rows[name])
    if arguments.json is not None:
        report = {"machine": machine(), "rows": {name: [row.to_dict() for row in of] for name, of in rows.items()}}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
