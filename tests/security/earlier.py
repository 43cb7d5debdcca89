"""Which forged verdicts pass with the sandbox of another tree of this repository, as `PYTHONPATH=TREE python
tests/security/earlier.py` (0.1.0, which had one process for code and tests: `git archive 8a12b76 instdata | tar x -C
TREE`). A line each: the tests of attacks.py that it passed, 0 being TESTS, the rest SINGLE."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parent)
import attacks  # noqa: E402

from instdata.score.sandbox.run import run_tests  # noqa: E402


def main() -> None:
    passed = {}
    for name, code in attacks.FORGED.items():
        each = (attacks.TESTS, *attacks.SINGLE)
        passed[name] = [n for n, tests in enumerate(each) if run_tests(code, tests, seconds=3).passed]
        print(f"{name:32}{passed[name] or 'none'}", flush=True)
    lied = [n for n, (code, tests) in attacks.LIARS.items() if run_tests(code, tests, seconds=3).passed]
    print(f"{len(attacks.FORGED)} forged, {sum(0 in p for p in passed.values())} pass TESTS, "
          f"{sum(bool(p) for p in passed.values())} some test; of {len(attacks.LIARS)} liars {len(lied)} are believed")  # fmt: skip
    print("not THEN:", sorted({n for n, p in passed.items() if p} ^ attacks.THEN) if hasattr(attacks, "THEN") else "")


if __name__ == "__main__":
    main()
