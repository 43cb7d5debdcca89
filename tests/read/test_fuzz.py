"""Mutated files: the sums hold, nothing raises, nothing hangs. (tests/read/fuzz_files.py reads 100,000.)"""

from __future__ import annotations

import random
import subprocess
import sys

from tests.read import fuzz_files


def test_mutated_files_end_in_rows_quarantine_or_one_line():
    became = fuzz_files.main(1_000, seed=1)
    assert sum(became.values()) == 1_000
    assert min(became[word] for word in ("rows", "bad", "rows and bad", "damaged")) > 10


def test_a_footer_that_ends_pyarrow_is_damage(tmp_path):
    rng = random.Random("11:29109")  # sizes of byte arrays for a column of numbers
    kind, data = fuzz_files.content(rng)
    path = tmp_path / f"a.{kind}"
    path.write_bytes(fuzz_files.mutated(data, rng))
    code = (
        "import sys; from pathlib import Path; from tests.read import fuzz_files; "
        "print(fuzz_files.read(Path(sys.argv[1]), 'alpaca'))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "damaged"), done.stderr
