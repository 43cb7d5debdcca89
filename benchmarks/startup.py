"""How fast the command line answers: `import instdata` and `instdata --help`, median and best of 20 processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CASES = {
    "python -c pass (the floor)": ([sys.executable, "-c", "pass"], None),
    "import instdata": ([sys.executable, "-c", "import instdata"], 0.15),
    "instdata --help": ([sys.executable, "-m", "instdata.cli.main", "--help"], 0.3),
    "instdata build --help": ([sys.executable, "-m", "instdata.cli.main", "build", "--help"], 0.3),
}

for name, (command, limit) in CASES.items():
    times = []
    for _ in range(21):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    times = times[1:]
    wanted = f"   wanted under {limit} s" if limit else ""
    print(f"{name:<28} median {statistics.median(times):.3f} s   best {min(times):.3f} s{wanted}")
