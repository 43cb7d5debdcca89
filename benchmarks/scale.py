"""Near-duplicate search at a size: `python benchmarks/scale.py 100M [--memory 4GB] [--folder DIR]`.

Synthetic rows of about 100 bytes (14 words of 6 letters, none in common), of which one in a hundred repeats an earlier row
and one in a hundred repeats it but for its last word. Prints a line of JSON: CPU-seconds and clock of sketching and of the
search, the peak memory of the process above its start, the most disk that temporary files took, and what was found of
what was planted. Nothing is written but the temporary files.
"""

import argparse
import json
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.steps.dedup.api import find_in, sketch_all
from instdata.steps.dedup.minhash import scheme
from instdata.steps.dedup.option_values import parse_bytes
from instdata.util.sizes_and_shares import count

PART, WORDS, LETTERS = 65_536, 14, 7
EVERY = 100  # one row in so many is a copy, and one a near-copy, of the row before it


def rows_of(rows: int) -> Iterator[pa.Array]:
    """Parts of the corpus, strings: row 100k + 1 is row 100k, row 100k + 3 is row 100k + 2 with another last word."""
    random = np.random.default_rng(0)
    for start in range(0, rows, PART):
        many = min(PART, rows - start)
        letters = random.integers(97, 123, (many, WORDS * LETTERS), dtype=np.uint8)
        letters[:, LETTERS - 1 :: LETTERS] = ord(" ")
        at = np.arange(many)[(start + np.arange(many)) % EVERY == 1]
        letters[at[at > 0]] = letters[at[at > 0] - 1]
        at = np.arange(many)[(start + np.arange(many)) % EVERY == 3]
        letters[at[at > 0], :-LETTERS] = letters[at[at > 0] - 1, :-LETTERS]
        offsets = np.arange(many + 1, dtype=np.int64) * letters.shape[1]
        yield pa.LargeStringArray.from_buffers(many, pa.py_buffer(offsets), pa.py_buffer(letters))


def cpu() -> float:
    """User and system seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Watch(threading.Thread):
    """Samples this process every twentieth of a second: most bytes of its own (`anonymous`), most resident at all (with
    pages of temporary files, which the kernel may drop), and the most that the disk of `folder` filled up."""

    def __init__(self, folder: str) -> None:
        super().__init__(daemon=True)
        self.folder, self.over = folder, threading.Event()
        self.anonymous = self.resident = self.disk = 0

    def run(self) -> None:
        own, all_, used = *memory(), shutil.disk_usage(self.folder).used
        while not self.over.wait(0.05):
            now = memory()
            self.anonymous = max(self.anonymous, now[0] - own)
            self.resident = max(self.resident, now[1] - all_)
            self.disk = max(self.disk, shutil.disk_usage(self.folder).used - used)


def memory() -> tuple[int, int]:
    """Bytes of this process: its own, and resident at all."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    asked = parser.parse_args()
    rows, room = int(count(asked.rows)), parse_bytes(asked.memory)
    s = scheme(0.7, 128, contrast=False)
    find_in(sketch_all(rows_of(3000), 3000, s, room), s, np.arange(3000), 0.7, 0.7, "minhash")  # compiles
    watch = Watch(asked.folder)
    watch.start()
    began, before = time.perf_counter(), cpu()
    sketched = sketch_all(rows_of(rows), rows, s, room, folder=Path(asked.folder))
    middle, between = time.perf_counter(), cpu()
    print(f"sketched after {middle - began:.0f} s", flush=True)
    found = find_in(sketched, s, np.arange(rows), 0.7, 0.7, "minhash")
    many = len(found.dropped)
    ended, after = time.perf_counter(), cpu()
    watch.over.set()
    watch.join()
    planted = np.arange(rows)
    planted = planted[np.isin(planted % EVERY, (1, 3)) & (planted % PART > 0)]
    say = {
        "rows": rows,
        "memory": asked.memory,
        "cpu_s": {"sketches (making the rows included)": between - before, "search": after - between},
        "clock_s": {"sketches": middle - began, "search": ended - middle},
        "peak_bytes_a_row": {"own": watch.anonymous / rows, "resident": watch.resident / rows},
        "peak_MB": {"own": watch.anonymous / 1e6, "resident": watch.resident / 1e6},
        "disk_MB": watch.disk / 1e6,
        "planted": len(planted),
        "dropped": many,
        "of_planted": int(np.isin(planted, found.dropped).sum()),
        "load": Path("/proc/loadavg").read_text().split()[:3],
    }
    print(json.dumps(say, indent=1))


if __name__ == "__main__":
    main()
