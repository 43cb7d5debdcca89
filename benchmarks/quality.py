"""How fast the quality rules are, alone and against data-juicer's text filters: docs/quality.md quotes it.

    python benchmarks/quality.py [FOLDER OF THE REAL DATA] [--jobs 2] [--repeats 3] [--data-juicer PYTHON] [--rules]

Ours: every rule, the repetition measure and the language of prompt and response, on the rows of alpaca_en_52k.json, a
process a core; and what compares with data-juicer's filters: length, repetition of words, characters and lines,
odd characters, markup, nothing said. data-juicer 1.6.1 (`pip install py-data-juicer==1.6.1 aiohttp` for the interpreter
given): its eight filters on plain text that need no download; time of `process` alone, without start and reading.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from instdata.steps.quality.form import repetition
from instdata.steps.quality.rule_table import RULES, fired, flags
from instdata.steps.quality.rule_text import Text

FILTERS = (
    "alphanumeric_filter", "average_line_length_filter", "maximum_line_length_filter", "character_repetition_filter",
    "word_repetition_filter", "special_characters_filter", "text_length_filter", "words_num_filter",
)  # fmt: skip
DATA_JUICER = """
import json, resource, sys, time
from data_juicer.core.data import NestedDataset
from data_juicer.ops import load_ops
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
data = NestedDataset.from_list(rows)
ops = load_ops([{name: {"num_proc": int(sys.argv[2])}} for name in sys.argv[3].split(",")])
before = sum(getattr(resource.getrusage(resource.RUSAGE_SELF), field) for field in ("ru_utime", "ru_stime"))
start = time.perf_counter()
data.process(ops)
seconds = time.perf_counter() - start
used = sum(getattr(resource.getrusage(who), field) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) for field in ("ru_utime", "ru_stime"))
print("SECONDS", seconds, used - before)
"""
COMPARABLE = ("empty_response", "invisible_chars", "repeated_char", "repeated_line", "markup_debris")


def read(folder: Path) -> tuple[list[str], list[str]]:
    """(prompts, responses) as instdata builds them."""
    rows = json.loads((folder / "alpaca_en_52k.json").read_text("utf-8"))
    return ["\n\n".join(r[k] for k in ("instruction", "input") if r[k]) for r in rows], [r["output"] for r in rows]


def score(prompts: pa.Array, responses: pa.Array) -> float:
    """Everything that the step scores; the processor seconds it took."""
    start = time.process_time()
    text = Text(prompts, responses)
    _ = flags(fired(text)), repetition(text), text.prompt_language, text.response_language
    return time.process_time() - start


def score_comparable(prompts: pa.Array, responses: pa.Array) -> float:
    """What data-juicer's filters look at; the processor seconds it took."""
    start = time.process_time()
    text = Text(prompts, responses)
    _ = flags(fired(text, [rule for rule in RULES if rule.name in COMPARABLE])), repetition(text), text.chars
    return time.process_time() - start


def ours(
    work: Callable[..., float], prompts: list[str], responses: list[str], jobs: int, repeats: int
) -> list[tuple[float, float]]:
    """(seconds, processor seconds) of each repeat, the rows in pieces of 8,192 over `jobs` processes already there."""
    pieces = [
        (pa.array(prompts[i : i + 8192]), pa.array(responses[i : i + 8192])) for i in range(0, len(prompts), 8192)
    ]
    seconds = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("forkserver")) as pool:
        list(pool.map(work, *zip(*pieces[:jobs], strict=True)))
        for _ in range(repeats):
            start = time.perf_counter()
            used = sum(pool.map(work, *zip(*pieces, strict=True)))
            seconds.append((time.perf_counter() - start, used))
    return seconds


def data_juicer(python: str, prompts: list[str], responses: list[str], jobs: int) -> tuple[float, float]:
    """(seconds, processor seconds) of its filters on the same rows."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": f"{p}\n{r}"}) + "\n" for p, r in zip(prompts, responses, strict=True))
        file.flush()
        command = [python, "-c", DATA_JUICER, file.name, str(jobs), ",".join(FILTERS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tempfile.gettempdir())
    seconds, used = done.stdout.split("SECONDS")[1].split()[:2]
    return float(seconds), float(used)


def each_rule(prompts: list[str], responses: list[str]) -> list[tuple[str, float, int]]:
    """(rule, seconds of one core, rows it fired on), slowest first; what a rule needs first is counted to it."""
    text = Text(pa.array(prompts), pa.array(responses))
    found = []
    for rule in RULES:
        start = time.process_time()
        hits = int(np.sum(fired(text, [rule])[rule.name]))
        found.append((rule.name, time.process_time() - start, hits))
    return sorted(found, key=lambda f: -f[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(os.environ.get("INSTDATA_REALDATA", "../shared/data"))
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data-juicer", metavar="PYTHON")
    parser.add_argument("--rules", action="store_true", help="the time of each rule")
    args = parser.parse_args()
    prompts, responses = read(args.folder)
    best = {}
    for name, work in ((f"{len(RULES)} rules, repetition, language", score), ("what compares", score_comparable)):
        seconds = ours(work, prompts, responses, args.jobs, args.repeats)
        best[work] = min(seconds)
        told = ", ".join(f"{s:.2f} s ({cpu:.2f} of processor)" for s, cpu in seconds)
        print(f"instdata, {name}: {len(prompts):,} rows, {args.jobs} processes: {told}")
    if args.rules:
        for name, taken, hits in each_rule(prompts, responses):
            print(f"  {name:20} {taken:6.3f} s {hits:6,} rows")
    if args.data_juicer:
        theirs = data_juicer(args.data_juicer, prompts, responses, args.jobs)
        print(f"data-juicer, {len(FILTERS)} filters: {theirs[0]:.1f} s ({theirs[1]:.1f} of processor)")
        for name, work in (("all", score), ("what compares", score_comparable)):
            wall, used = theirs[0] / best[work][0], theirs[1] / best[work][1]
            print(f"  against {name}: {wall:.1f} times as long, {used:.1f} times the processor")


if __name__ == "__main__":
    main()
