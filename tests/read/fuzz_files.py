"""Mutated files of every kind through the whole of reading: `python tests/read/fuzz_files.py 100000 [seed]`, or `600s`.

Each ends with rows and quarantined records that add up to the records that are there, every row's form giving its
record back, or with one clear line; none with a traceback, none after more than LONGEST seconds. Prints what became of
them, and the most memory that the process held.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from instdata.read.blocks import parsed
from instdata.read.file_kind import kind_of
from instdata.read.formats import columns
from instdata.read.open_sources import Input
from instdata.read.parse_blocks import parse
from instdata.read.source_form import plain, record_of
from instdata.read.split_json import split_values
from instdata.util.errors import InputError, InstdataError

LONGEST = 10.0  # of processor time: a busy machine may take any
RECORDS = [
    {"instruction": "Name a cup.", "input": "", "output": "Mug."},
    {"instruction": "写出一种水果", "output": "苹果。", "score": 0.10, "tags": ["a", {"b": None}]},
    {"prompt": "Name a salt.", "completion": 42, "extra": {"deep": [[[]]]}},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>x</think>Hello"}]},
    {"conversations": [{"from": "human", "value": 'Say "b"\n'}, {"from": "gpt", "value": "b"}], "id": "x1"},
]
BITS = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"NaN",
    b"1e999",
        b"\\ud800", b"null", b"\x1f\x8b", b"PAR1", b"\xc4\xe3", b'"instruction"', b"[" * 300,
        b"\xed\xa0\x80"]  # fmt: skip


def content(rng: random.Random) -> tuple[str, bytes]:
    """(suffix, bytes) of a good file."""
    records = [rng.choice(RECORDS) for _ in range(rng.randrange(1, 8))]
    kind = rng.choice(["jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz", "jsonl.zst", "json.gz"])
    lines = b"".join(json.dumps(r, ensure_ascii=rng.random() < 0.3).encode() + b"\n" for r in records)
    if kind.startswith("json") and not kind.startswith("jsonl"):
        lines = json.dumps(records, indent=rng.choice([None, 1])).encode()
    if kind in ("csv", "tsv"):
        mark = b"," if kind == "csv" else b"\t"
        return kind, b"\n".join(
            [mark.join([b"instruction", b"output"]), *(mark.join([b'"a, b"', b"c\xc3\xa9"]) for _ in records)]
        )
    if kind == "parquet":
        out = io.BytesIO()
        pq.write_table(pa.table({"instruction": ["a"] * len(records), "output": [["b"]] * len(records)}), out)
        return kind, out.getvalue()
    return kind, gzip.compress(lines) if kind.endswith("gz") else zstandard.compress(lines) if kind.endswith(
        "zst"
    ) else lines


def mutated(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(0, 5)):
        at = rng.randrange(len(out) + 1)
        choice = rng.random()
        if choice < 0.4:
            out[at:at] = rng.choice(BITS)
        elif choice < 0.6:
            del out[at : at + rng.randrange(1, 30)]
        elif choice < 0.8 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif choice < 0.9:
            out = out[:at] + out[: rng.randrange(len(out) + 1)]
        else:
            del out[at:]
    return bytes(out)


def read(path: Path, format: str) -> str:
    """What became of a file; asserts that its records add up."""
    item = Input("s", path.name, str(path), "", format, columns(format, {}), "unknown")
    rows = bad = 0
    try:
        for first, records in item.blocks():
            found = parse(records, first, item, None)
            table, broken = found.table(item), found.bad
            good = set(table["source_row"].to_pylist())
            numbers = good | {n for n, _, _ in broken}
            blank = (
                sum(isinstance(r, bytes) and not r.removeprefix(b"\xef\xbb\xbf").strip() for r in records)
                if isinstance(records, list)
                else 0
            )
            assert len(numbers) == len(records) - blank, (len(numbers), len(records), blank)
            assert not good & {n for n, _, _ in broken}
            came = list(parsed(records))
            for row in table.filter(pc.is_valid(table["form"])).to_pylist():
                record = came[row["source_row"] - first]
                back = record_of(row["form"], row["messages"], row, row["meta"])
                assert back == record or back == plain(record), (back, record)
            rows, bad = rows + len(good), bad + len(broken)
    except InputError:
        return "told"
    except InstdataError:
        return "damaged"
    return "rows and bad" if rows and bad else "rows" if rows else "bad" if bad else "empty"


def main(count: int, seed: int = 0, seconds: float = float("inf")) -> Counter[str]:
    became: Counter[str] = Counter()
    end = time.monotonic() + seconds
    split_values(b"[1]", True)  # compiles
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            if time.monotonic() > end:
                break
            rng = random.Random(f"{seed}:{i}")
            kind, data = content(rng)
            path = Path(folder) / f"{i}.{kind}"
            path.write_bytes(mutated(data, rng))
            assert kind_of(path)
            started = time.process_time()
            try:
                became[read(path, rng.choice(["alpaca", "messages", "sharegpt", "prompt_completion"]))] += 1
            except Exception as e:
                kept = Path(tempfile.gettempdir()) / f"fuzz-{seed}-{i}.{kind}"
                kept.write_bytes(path.read_bytes())
                raise AssertionError(f"file {i} (kept as {kept}): {type(e).__name__}: {e}") from e
            taken = time.process_time() - started
            assert taken < LONGEST, f"file {i} took {taken:.1f} s"
            path.unlink()
            if (i + 1) % 5_000 == 0:
                print(f"{i + 1:,} files", became, flush=True)
    return became


if __name__ == "__main__":
    many, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(f"seed {seed}:", main(10**9, seed, float(many[:-1])) if many.endswith("s") else main(int(many), seed))
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB at most")
