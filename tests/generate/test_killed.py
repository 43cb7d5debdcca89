"""A whole build with a generate step, killed again and again: the same files in the end, next to nothing paid twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.generate.conftest import recipe
from tests.llm.server import Running, running

AT_ONCE = 4
FAULTS = {"faults": 0.2, "latency": 0.03, "kinds": ["429_retry_after", "500", "reset", "invalid_json", "duplicates"]}


def start(path: Path, out: Path, cache: Path, server: Running) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "instdata.cli.main",
        "build",
        str(path),
        "--out",
        str(out),
        "--jobs",
        "1",
        "--quiet",
    ]
    env = {**os.environ, "INSTDATA_CACHE": str(cache), "OPENAI_BASE_URL": server.url}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def finish(*args) -> None:
    process = start(*args)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()


def kill(process: subprocess.Popen) -> bool:
    """Whether it was still running: its whole group goes, as in an out-of-memory kill or a lost container."""
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


def files(out: Path) -> dict[str, bytes]:
    """Everything a build wrote but run.json and what shows its times."""
    return {
        str(p.relative_to(out)): p.read_bytes()
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.name not in ("run.json", "SHA256SUMS", "report.html") and not p.name.startswith(".")
    }


@pytest.mark.parametrize(
    ("kills", "target"), [(3, 40), pytest.param(20, 200, marks=pytest.mark.slow)], ids=["three", "twenty"]
)
def test_a_build_killed_at_random_moments_ends_with_the_same_files(bench, kills, target):
    """Most kills fall among the requests, after a few new answers each; every third at any moment of a start."""
    path, dice = recipe(bench, target=target, batch=1, concurrency=AT_ONCE), random.Random(kills)
    calm, torn = bench.folder / "calm", bench.folder / "torn"
    with running(**FAULTS) as server:
        finish(path, calm, bench.folder / "cache_calm", server)
        undisturbed = server.stats()["answered"]
        counts = []
        for turn in range(kills):
            enough = server.stats()["answered"] + dice.randint(1, undisturbed // kills // 2)
            process = start(path, torn, bench.folder / "cache_torn", server)
            if turn % 3 == 2:
                time.sleep(dice.uniform(0.2, 1.5))
            else:
                while process.poll() is None and server.stats()["answered"] < enough:
                    time.sleep(0.005)
                time.sleep(dice.uniform(0, 0.05))
            assert kill(process), "it ended before it was killed"
            counts.append(server.stats()["answered"])
        finish(path, torn, bench.folder / "cache_torn", server)
        after = server.stats()["answered"]
    assert max(counts) < after, "every kill left something to ask"
    assert 0 <= after - 2 * undisturbed <= kills * AT_ONCE, "at most what was in flight is asked again"
    assert files(torn) == files(calm) and "manifest.json" in files(calm)
    assert pq.read_table(torn / "ledger.parquet")["verdict"].to_pylist().count("kept") > target / 2
