"""Whole builds of recipes/alpaca.yaml: cold, the same again, one rule's threshold, 1 % more rows, dedup alone; and
compiling.

python benchmarks/build.py [alpaca_en_52k.json] [--rows 2000000] [--runs 3] [--compile]

CPU-seconds (user and system, of all processes) stand beside wall time: on a shared machine only they, and ratios within
one run, mean something. `--rows` makes a larger set of the file: each round of it with other words, so that no row is
another's copy or near one. (Words at the ends alone made 38 near copies of each row of 2,000,000: all was pairs.)
`--compile` also times all kernels on a fresh machine.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

HERE = Path(__file__).parents[1]
DATA = Path(os.environ.get("INSTDATA_REALDATA") or HERE.parent / "shared" / "data") / "alpaca_en_52k.json"
RULE = ("--set", "steps.4.quality.max.repetition=0.7")
DEDUP = """
sources: [{{path: {path}, name: alpaca, format: alpaca}}]
steps: [dedup: {{method: minhash, view: prompt, threshold: 0.7}}]
"""


def timed(command: list[str], **env: str) -> tuple[float, float, str]:
    """(wall seconds, CPU-seconds, what it printed) of a process and its children, those that outlive it among them:
    workers are forked off one that nobody waits for."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **env})
    wall = time.perf_counter() - started
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def load() -> str:
    """How many processes wanted to run in the last minute: on two cores, beyond 2 other work was going on."""
    return f"{os.getloadavg()[0]:.0f}"


def build(folder: Path, recipe: Path, *more: str) -> tuple[float, float, dict]:
    out = folder / f"out-{zlib.crc32(' '.join(more).encode()):x}"  # other settings never overwrite a build
    command = [sys.executable, "-m", "instdata", "build", str(recipe), "--out", str(out), "--json", *more]
    wall, cpu, printed = timed(command, INSTDATA_CACHE=str(folder / "cache"))
    return wall, cpu, json.loads(printed)


def reworded(text: str, turn: int) -> str:
    """A text of the same length and lines in which every second word of four letters or more is a made-up one: a copy
    of none, and near none of the other rounds'."""
    count = itertools.count()

    def other(word: re.Match[str]) -> str:
        if next(count) % 2 == turn % 2:
            return word[0]
        digest = zlib.crc32(f"{turn} {word[0]}".encode())
        return "".join(
            "aeiou"[digest >> i & 3] if i % 2 else "bcdfghlmnprstvwz"[digest >> i & 15] for i in range(len(word[0]))
        )

    return re.sub(r"[A-Za-z]{4,}", other, text)


def larger(data: Path, rows: int, folder: Path) -> tuple[Path, Path]:
    """(a file of that many rows, a file of 1 % more) made of a smaller one."""
    records = json.loads(data.read_text("utf-8"))
    files = folder / "rows.jsonl", folder / "more.jsonl"
    for path, numbers in zip(files, (range(rows), range(rows, rows + rows // 100))):
        with open(path, "w", encoding="utf-8") as file:
            for number in numbers:
                turn, record = number // len(records), records[number % len(records)]
                if turn:
                    record = record | {k: reworded(record[k], turn) for k in ("instruction", "input", "output")}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return files


def run(data: Path, rows: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first, more = larger(data, rows, folder)
        recipe = HERE / "recipes/alpaca.yaml"
        source = ("--set", f"sources.0.path={first}")
        table = {"cold": build(folder, recipe, *source)}
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        table["the same again"] = build(folder, recipe, *source)
        table["one rule's threshold"] = build(folder, recipe, *source, *RULE)
        table["1 % more rows"] = build(folder, recipe, "--set", f"sources.0.path={folder}/*.jsonl")
        (folder / "dedup.yaml").write_text(DEDUP.format(path=first))
        (folder / "alone").mkdir()
        table["dedup alone, cold"] = build(folder / "alone", folder / "dedup.yaml")
        size, base = first.stat().st_size / 1e6, table["cold"][1]
        print(
            f"{rows:,} rows, {size:,.0f} MB; largest process {peak:.2f} GB; load {load()}; {table['cold'][2]['totals']}"
        )
        print(f"{'':<22}{'wall s':>9}{'CPU-s':>9}{'of cold':>9}{'MB per CPU-s':>14}")
        for name, (wall, cpu, _) in table.items():
            print(f"{name:<22}{wall:>9.1f}{cpu:>9.1f}{cpu / base:>9.2f}{size / cpu:>14.1f}")
        last = max(folder.glob("out-*/run.json"), key=lambda p: p.stat().st_mtime)
        steps = json.loads(last.read_text("utf-8"))["steps"]
        print("steps of the last one:", {k: round(v, 2) for k, v in steps.items()})


def adopt() -> None:
    """Become the parent of what children leave behind (Linux), so that its CPU time is counted."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def main() -> None:
    adopt()
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", nargs="?", type=Path, default=DATA)
    options.add_argument("--rows", type=int, default=52_002)
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--compile", action="store_true")
    asked = options.parse_args()
    if not asked.data.is_file():
        sys.exit(f"{asked.data} is not here: give the path of alpaca_en_52k.json, or set INSTDATA_REALDATA")
    if asked.compile:
        with tempfile.TemporaryDirectory() as home:
            wall, cpu, _ = timed([sys.executable, "-m", "instdata.cli.compile_kernels"], INSTDATA_HOME=home)
        print(f"compiling all kernels: {wall:.1f} s wall, {cpu:.1f} CPU-s")
    timed([sys.executable, "-m", "instdata.cli.compile_kernels"])
    with tempfile.TemporaryDirectory() as scratch:  # the taxonomy's own model is kept with the kernels
        few, _ = larger(asked.data, 1_000, Path(scratch))
        build(Path(scratch), HERE / "recipes/alpaca.yaml", "--set", f"sources.0.path={few}")
    for _ in range(asked.runs):
        run(asked.data, asked.rows)


main()
