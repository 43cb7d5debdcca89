"""Mutated files: the sums hold, nothing raises, nothing hangs. (tests/read/fuzz_files.py reads 100,000.)"""

from __future__ import annotations

from tests.read import fuzz_files


def test_mutated_files_end_in_rows_quarantine_or_one_line():
    became = fuzz_files.main(2_000, seed=1)
    assert sum(became.values()) == 2_000
    assert min(became[word] for word in ("rows", "bad", "rows and bad", "damaged")) > 20
