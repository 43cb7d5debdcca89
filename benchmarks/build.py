"""A whole build of the real 52,002 Alpaca rows (recipes/alpaca.yaml), cold and again, with peak memory.

python benchmarks/build.py [alpaca_en_52k.json]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
DATA = Path(os.environ.get("INSTDATA_REALDATA") or HERE.parent / "shared" / "data") / "alpaca_en_52k.json"


def once(data: Path, folder: Path, *more: str) -> tuple[float, dict]:
    command = [
        sys.executable,
        "-m",
        "instdata.cli.main",
        "build",
        str(HERE / "recipes/alpaca.yaml"),
        "--set",
        f"sources.0.path={data}",
        "--out",
        str(folder / "out"),
        "--json",
        *more,
    ]
    started = time.perf_counter()
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "INSTDATA_CACHE": str(folder / "cache")}
    )
    return time.perf_counter() - started, json.loads(done.stdout)


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not data.is_file():
        sys.exit(f"{data} is not here: give the path of alpaca_en_52k.json, or set INSTDATA_REALDATA")
    for attempt in range(3):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            cold, result = once(data, folder)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
            again, _ = once(data, folder)
            changed, _ = once(data, folder, "--set", "dedup.threshold=0.8")
            run = json.loads((folder / "out/run.json").read_text())
        print(
            f"run {attempt}: cold {cold:.1f} s, again {again:.2f} s, new threshold {changed:.1f} s, largest process {peak:.2f} GB, {result['totals']}"
        )
    print("steps of the last one:", run["steps"])


main()
