"""Whole builds of recipes/alpaca.yaml: cold, the same again, one rule's threshold, 1 % more rows, dedup alone; and
compiling.

python benchmarks/build.py [alpaca_en_52k.json] [--rows 2000000] [--runs 3] [--compile] [--json FILE]

Needs the base install alone. Without a file of Alpaca's form (one given, or $INSTDATA_REALDATA/alpaca_en_52k.json) the
rows are made of taxonomy/examples/belle.en.jsonl. CPU-seconds (user and system, of all processes) stand beside wall
time: on a shared machine only they, and ratios within one run, mean something; `taskset -c 0,1` before it takes two
cores. `--rows` makes a larger set of the file: each round of it with other words, so that no row is another's copy or
near one. (Words at the ends alone made 38 near copies of each row of 2,000,000: all was pairs.) `--compile` also times
all kernels on a fresh machine. Figures go to stderr as they come, then a table; `--json` also writes them to a file.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).parents[1]
DATA = Path(os.environ.get("INSTDATA_REALDATA") or HERE.parent / "shared" / "data") / "alpaca_en_52k.json"
RULE = ("--set", "steps.4.quality.max.repetition=0.7")
DEDUP = """
sources: [{{path: {path}, name: alpaca, format: alpaca}}]
steps: [dedup: {{method: minhash, view: prompt, threshold: 0.7}}]
"""
KEYS = ("instruction", "input", "output")


def timed(command: list[str], **env: str) -> tuple[float, float, str]:
    """(wall seconds, CPU-seconds, what it printed) of a process and its children, those that outlive it among them:
    workers are forked off one that nobody waits for."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = {"PYTHONPATH": str(HERE), **os.environ, **env}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # half a second a process, which nobody's installation pays
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    wall = time.perf_counter() - started
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def load() -> str:
    """How many processes wanted to run in the last minute: on two cores, beyond 2 other work was going on."""
    return f"{os.getloadavg()[0]:.0f}"


def peak() -> float:
    """GB of the largest process so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def build(folder: Path, recipe: Path, *more: str, name: str = "") -> dict:
    out = folder / f"out-{zlib.crc32(' '.join(more).encode()):x}"  # other settings never overwrite a build
    command = [sys.executable, "-m", "instdata", "build", str(recipe), "--out", str(out), "--json", "--quiet", *more]
    wall, cpu, printed = timed(command, INSTDATA_CACHE=str(folder / "cache"))
    steps = json.loads((out / "run.json").read_text("utf-8"))["steps"]
    found = {"wall": round(wall, 1), "cpu": round(cpu, 1), "largest_gb": round(peak(), 2), "load": load(),
             "steps": {k: round(v, 1) for k, v in steps.items()}, "totals": json.loads(printed)["totals"]}  # fmt: skip
    if name:
        print(f"{name}: {found}", file=sys.stderr, flush=True)
    return found


def reworded(text: str, turn: int) -> str:
    """A text of the same length and lines in which a half of the words of four letters or more, another one each turn,
    are made up: a copy of none, and near none of the other rounds'."""

    def other(word: re.Match[str]) -> str:
        digest = zlib.crc32(f"{turn} {word[0]}".encode())
        if digest >> 28 & 1:
            return word[0]
        return "".join(
            "aeiou"[digest >> i & 3] if i % 2 else "bcdfghlmnprstvwz"[digest >> i & 15] for i in range(len(word[0]))
        )

    return re.sub(r"[A-Za-z]{4,}", other, text)


def records_of(data: Path) -> list[dict[str, str]]:
    """The records of a file of Alpaca's form; where there is none, made of the taxonomy's English
    examples: a task, for every third one another's text as its input, three reworded ones as its answer."""
    if data.is_file():
        return json.loads(data.read_text("utf-8"))
    lines = (HERE / "taxonomy" / "examples" / "belle.en.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["instruction"] for line in lines]

    def others(at: int, count: int) -> str:
        return " ".join(texts[(at + k) % len(texts)] for k in range(1, count + 1))

    return [
        {"instruction": text, "input": others(i, 1) if i % 3 == 0 else "", "output": reworded(others(i, 3), i)}
        for i, text in enumerate(texts)
    ]


def written_round(turn: int, records: list[dict[str, str]]) -> bytes:
    """A round of the records as JSON lines."""
    made = (r if not turn else r | {k: reworded(r[k], turn) for k in KEYS} for r in records)
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in made)


def larger(records: list[dict[str, str]], rows: int, folder: Path) -> tuple[Path, Path]:
    """(a file of that many rows, a file of 1 % more) made of some records."""
    files = folder / "rows.jsonl", folder / "more.jsonl"
    rounds = range(-(-(rows + rows // 100) // len(records)))
    left, cuts = [rows, rows // 100], iter(files)
    with ProcessPoolExecutor() as pool, contextlib.ExitStack() as held:
        file = held.enter_context(open(next(cuts), "wb"))
        for text in pool.map(partial(written_round, records=records), rounds):
            lines = text.splitlines(keepends=True)
            while lines and left:
                file.writelines(lines[: left[0]])
                lines, left[0] = lines[left[0] :], left[0] - len(lines[: left[0]])
                if not left[0]:
                    left.pop(0)
                    file = held.enter_context(open(next(cuts), "wb")) if left else file
    return files


def run(records: list[dict[str, str]], rows: int) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first, _ = larger(records, rows, folder)
        recipe = HERE / "recipes/alpaca.yaml"
        source = ("--set", f"sources.0.path={first}")
        (folder / "dedup.yaml").write_text(DEDUP.format(path=first))
        (folder / "alone").mkdir()
        works = {
            "cold": (folder, recipe, *source),
            "the same again": (folder, recipe, *source),
            "one rule's threshold": (folder, recipe, *source, *RULE),
            "1 % more rows": (folder, recipe, "--set", f"sources.0.path={folder}/*.jsonl"),
            "dedup alone, cold": (folder / "alone", folder / "dedup.yaml"),
        }
        table = {name: build(*work, name=name) for name, work in works.items()}
        size, base = first.stat().st_size / 1e6, table["cold"]["cpu"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"\n{rows:,} rows, {size:,.0f} MB, {cores} cores; {table['cold']['totals']}")
    print(f"{'':<22}{'wall s':>9}{'CPU-s':>9}{'of cold':>9}{'MB per CPU-s':>14}{'largest GB':>12}{'load':>6}")
    for name, f in table.items():
        ratio, speed = f["cpu"] / base, size / f["cpu"]
        told = f"{f['wall']:>9.1f}{f['cpu']:>9.1f}{ratio:>9.2f}{speed:>14.1f}{f['largest_gb']:>12.2f}{f['load']:>6}"
        print(f"{name:<22}{told}")
    print("steps of the cold one, wall s:", table["cold"]["steps"], flush=True)
    return {"rows": rows, "mb": round(size, 1), "cores": cores, "machine": platform.machine(), "builds": table}


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
    options.add_argument("--json", type=Path, help="a file to write the figures to")
    asked = options.parse_args()
    records = records_of(asked.data)
    print(f"rows of {asked.data if asked.data.is_file() else 'taxonomy/examples'}", file=sys.stderr)
    told: dict = {"runs": []}
    if asked.compile:
        with tempfile.TemporaryDirectory() as home:
            wall, cpu, _ = timed([sys.executable, "-m", "instdata.cli.compile_kernels"], INSTDATA_HOME=home)
        told["compiling"] = {"wall": round(wall, 1), "cpu": round(cpu, 1)}
        print(f"compiling all kernels: {wall:.1f} s wall, {cpu:.1f} CPU-s")
    timed([sys.executable, "-m", "instdata.cli.compile_kernels"])
    with tempfile.TemporaryDirectory() as scratch:  # the taxonomy's own model is kept with the kernels
        few, _ = larger(records, 1_000, Path(scratch))
        build(Path(scratch), HERE / "recipes/alpaca.yaml", "--set", f"sources.0.path={few}")
    for _ in range(asked.runs):
        told["runs"].append(run(records, asked.rows))
        if asked.json:
            asked.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":  # also in the processes that make rows
    main()
