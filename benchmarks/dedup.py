"""How fast dedup is beside the tools one would use instead, on the same rows: docs/benchmarks.md quotes it.

    python benchmarks/dedup.py [signatures] [alpaca] [big] [--peers rensa ...] [--rows 2000000] [--max-memory 4GB]
    [--repeats 5]

signatures  MinHash signatures per second, 128 hashes of character 5-grams, against datasketch and rensa
alpaca      the 52,002 Alpaca rows: the dedup call alone against the others' dedup stages, and a whole `instdata build`
            with that one
            step against their whole processes (needs the real data)
big         synthetic rows of about 500 characters, a tenth of them edited copies: seconds, peak memory

Each peer is installed into its own environment under $INSTDATA_HOME/peers, and skipped, saying so, where that fails.
Times are the minimum of the repeats; ratios come from one run on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

PEERS = Path(os.environ.get("INSTDATA_HOME", "~/.cache/instdata")).expanduser() / "peers"
REALDATA = Path(os.environ.get("INSTDATA_REALDATA") or Path(__file__).parents[2] / "shared" / "data")

# What each peer installs, and a program that reads rows {"text"} from argv[1] and prints one JSON object of seconds.
DATASKETCH = """
import json, sys, time
from datasketch import MinHash
texts = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8")]
start = time.perf_counter()
for text in texts:
    MinHash(num_perm=128, scheme="affine32").update_batch([text[i:i + 5].encode() for i in range(max(1, len(text) - 4))])
print(json.dumps({"signatures": time.perf_counter() - start}))
"""
RENSA = """
import json, sys, time
from rensa import RMinHash
texts = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8")]
start = time.perf_counter()
for text in texts:
    m = RMinHash(num_perm=128, seed=1)
    m.update([text[i:i + 5] for i in range(max(1, len(text) - 4))])
    m.digest()
print(json.dumps({"signatures": time.perf_counter() - start}))
"""
TEXT_DEDUP = """
import json, os, re, subprocess, sys, tempfile
out = tempfile.mkdtemp()
run = subprocess.run([sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", sys.argv[1], "--split", "train",
    "--cache_dir", out, "--output", out + "/out", "--column", "text", "--num_perm", "128", "--ngram", "5", "--threshold", "0.7", "--num_proc", "2"],
    capture_output=True, text=True, env={**os.environ, "COLUMNS": "300"})  # its log breaks lines
log = re.sub(r"\\x1b\\[[0-9;]*m", "", run.stdout + run.stderr)
took = {k: float(v) for k, v in re.findall(r"(Loading|MinHashing|Clustering|Filtering|Saving)\\s*:?\\s+([0-9.]+)s?", log)}
assert "MinHashing" in took, log[-2000:]
print(json.dumps({"dedup": took["MinHashing"] + took["Clustering"], **took}))
"""
DATA_JUICER = """
import json, sys, time
from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
data = NestedDataset.from_list(rows)
op = DocumentMinhashDeduplicator(num_permutations=128, jaccard_threshold=0.7)
start = time.perf_counter()
data = data.map(op.compute_hash, num_proc=2, load_from_cache_file=False)
kept, _ = op.process(data)
took = time.perf_counter() - start
kept.to_json("kept.jsonl")
print(json.dumps({"dedup": took, "kept": len(kept)}))
"""
DATATROVE = """
import json, sys, tempfile, time
from datatrove.executor import LocalPipelineExecutor as Local
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
if __name__ == "__main__":
    out, config = tempfile.mkdtemp(), MinhashConfig(num_buckets=14, hashes_per_bucket=8)
    folder, _, name = sys.argv[1].rpartition("/")
    reader = JsonlReader(folder, glob_pattern=name)
    start = time.perf_counter()
    Local([reader, MinhashDedupSignature(out + "/s", config=config)], tasks=1, workers=1, logging_dir=out + "/l1").run()
    Local([MinhashDedupBuckets(out + "/s", out + "/b", config=config)], tasks=14, workers=2, logging_dir=out + "/l2").run()
    Local([MinhashDedupCluster(out + "/b", out + "/c", config=config)], tasks=1, workers=1, logging_dir=out + "/l3").run()
    Local([reader, MinhashDedupFilter(out + "/c"), JsonlWriter(out + "/o")], tasks=1, workers=1, logging_dir=out + "/l4").run()
    print(json.dumps({"dedup": time.perf_counter() - start}))
"""
SEMHASH = """
import json, sys, time
from semhash import SemHash
class Wordllama:
    def __init__(self):
        import pathlib, wordllama  # it has its files with it, and looks elsewhere for one of them
        self.of = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent)
    def encode(self, texts, **options):
        return self.of.embed(list(texts))
texts = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8")]
start, model, name = time.perf_counter(), None, "its own"
try:
    from model2vec import StaticModel
    model = StaticModel.from_pretrained("minishlab/potion-base-8M")
except Exception:
    model, name = Wordllama(), "wordllama's, its own cannot be loaded"
loaded = time.perf_counter() - start
start = time.perf_counter()
kept = SemHash.from_records(texts, model=model).self_deduplicate(threshold=0.9).selected
print(f"note: embeddings are {name}, loaded in {loaded:.1f} s; {len(kept)} of {len(texts)} rows stay at 0.9")
print(json.dumps({"dedup": time.perf_counter() - start}))
"""
PROGRAMS = {
    "datasketch": (["datasketch==2.0.0"], DATASKETCH),
    "rensa": (["rensa"], RENSA),
    "text-dedup": (["text-dedup==0.4.0"], TEXT_DEDUP),
    "data-juicer": (["py-data-juicer==1.6.1", "aiohttp"], DATA_JUICER),
    "datatrove": (["datatrove[io,processing]==0.10.1", "spacy", "tokenizers", "xxhash<4"], DATATROVE),
    "semhash": (["semhash==0.5.0", "wordllama"], SEMHASH),
}


def environment(peer: str) -> Path | None:
    """The Python of a peer's own environment, made where it is not there; None where it cannot be."""
    home = PEERS / peer
    python = home / "bin" / "python"
    wanted = "\n".join(PROGRAMS[peer][0])
    if (home / ".done").exists() and (home / ".done").read_text() == wanted:
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", *PROGRAMS[peer][0]], check=True, capture_output=True, timeout=900
        )
    except (subprocess.SubprocessError, OSError) as e:
        print(
            f"  {peer}: skipped, it cannot be installed here: "
            f"{(getattr(e, 'stderr', None) or str(e).encode())[-200:].decode(errors='replace').strip()}"
        )
        return None
    (home / ".done").write_text(wanted)
    return python


def peer_seconds(peer: str, rows: Path, repeats: int) -> dict[str, float] | None:
    """The minimum of each of the seconds that the peer's program prints, and of its whole process."""
    python = environment(peer)
    if python is None:
        return None
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(PROGRAMS[peer][1])
        for _ in range(repeats):
            start = time.perf_counter()
            run = subprocess.run([python, "-E", program, rows], capture_output=True, text=True, cwd=folder)
            whole = time.perf_counter() - start
            if run.returncode:
                print(f"  {peer}: skipped, it failed: {(run.stderr or run.stdout).strip().splitlines()[-1:]}")
                return None
            *said, told = run.stdout.strip().splitlines()
            found = {**json.loads(told), "process": whole}
            best = {k: min(v, best.get(k, v)) for k, v in found.items()}
        for note in (line for line in said if line.startswith("note: ")):
            print(f"  {peer}: {note.removeprefix('note: ')}")
    return best


def fastest(work: Any, repeats: int) -> float:
    """Seconds of the fastest of some runs, after one to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def alpaca() -> pa.Array:
    path = REALDATA / "alpaca_en_52k.json"
    if not path.exists():
        sys.exit(f"{path} is not there: set INSTDATA_REALDATA to the folder of the real data")
    return pa.array([f"{r['instruction']}\n{r['input']}\n{r['output']}" for r in json.loads(path.read_text("utf-8"))])


def written(texts: pa.Array, folder: str) -> Path:
    path = Path(folder) / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"text": t, "id": str(i)}) + "\n" for i, t in enumerate(texts.to_pylist())), "utf-8"
    )
    return path


def signatures_bench(peers: list[str], repeats: int) -> None:
    from instdata.steps.dedup import signatures

    texts = alpaca()
    few = texts.take(pa.array(np.random.default_rng(0).permutation(len(texts))[:4000]))
    ours = len(texts) / fastest(lambda: signatures(texts), repeats)
    print(f"signatures (datasketch's affine32 scheme, 128 hashes, character 5-grams)\n  instdata: {ours:,.0f} rows/s")
    with tempfile.TemporaryDirectory() as folder:
        path = written(few, folder)
        for peer in ("datasketch", "rensa"):
            if peer in peers and (took := peer_seconds(peer, path, repeats)):
                theirs = len(few) / took["signatures"]
                print(f"  {peer}: {theirs:,.0f} rows/s; instdata is {ours / theirs:.1f} times as fast")


def alpaca_bench(peers: list[str], repeats: int) -> None:
    from instdata.steps.dedup import dedup

    texts = alpaca()
    ours = fastest(lambda: dedup(texts).kept, repeats)
    whole = fastest(build, repeats)
    print(
        f"{len(texts):,} Alpaca rows\n  instdata: the dedup call {ours:.3f} s; a build with that step, process and "
        f"all, {whole:.2f} s"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = written(texts, folder)
        for peer in ("text-dedup", "data-juicer", "datatrove", "semhash"):  # the last one compares embeddings
            if peer in peers and (took := peer_seconds(peer, path, repeats)):
                print(
                    f"  {peer}: its dedup {took['dedup']:.2f} s, {took['dedup'] / ours:.1f} times ours; "
                    f"its process {took['process']:.1f} s, {took['process'] / whole:.1f} times our build"
                )


def build() -> None:
    """A whole build of the rows with one dedup step, from an empty cache (kernels are compiled)."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        sources = [{"path": str(REALDATA / "alpaca_en_52k.json"), "name": "alpaca"}]
        steps = [{"dedup": {"view": "full", "threshold": 0.7}}]
        recipe.write_text(json.dumps({"name": "alpaca", "sources": sources, "steps": steps}))
        command = [sys.executable, "-m", "instdata.cli.main", "build", str(recipe), "--out", f"{folder}/out", "--json"]
        environment = {**os.environ, "INSTDATA_CACHE": f"{folder}/cache"}
        subprocess.run(command, check=True, capture_output=True, env=environment)


def big_bench(rows: int, memory: str) -> None:
    """In a process of its own, so that peak memory is the step's and its input's."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from dedup import big_run; "
        f"big_run({rows}, {memory!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def synthetic(rows: int, seed: int = 0) -> Any:
    """Batches of texts of about 500 characters made of words by Zipf's law; every tenth is an edited copy of one
    before."""
    random = np.random.default_rng(seed)
    words = ["".join(map(chr, 97 + random.integers(0, 26, k))) for k in random.integers(2, 11, 50_000)]
    words = np.array([*words, "please"], dtype=object)
    for start in range(0, rows, 50_000):
        n = min(50_000, rows - start)
        picked = np.minimum(random.zipf(1.07, (n, 72)) - 1, random.integers(0, len(words) - 1, (n, 72)))
        for i in range(10, n, 10):
            picked[i] = picked[i - int(random.integers(1, 10))]
            at = int(random.integers(0, 72))
            picked[i, at : at + int(random.integers(0, 6))] = -1  # a word of its own would make it another task
        yield pa.array([" ".join(row) for row in words[picked].tolist()])


def big_run(rows: int, memory: str) -> None:
    import resource

    from instdata.steps.dedup.api import find_in, sketch_all
    from instdata.steps.dedup.minhash import scheme
    from instdata.steps.dedup.option_values import parse_bytes

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        size = 0
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, pa.schema([("text", pa.string())])) as writer:
            for batch in synthetic(rows):
                size += batch.nbytes
                writer.write_batch(pa.record_batch([batch], ["text"]))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, cpu = time.perf_counter(), time.process_time()
        with pa.OSFile(str(path)) as source:
            reader = pa.ipc.open_file(source)
            parts = (reader.get_batch(i).column(0) for i in range(reader.num_record_batches))
            s = scheme(0.7)
            sketched = sketch_all(parts, rows, s, parse_bytes(memory), folder=Path(folder))
            found = find_in(sketched, s, np.arange(rows), 0.7, 0.7, "minhash")
            dropped = len(found.dropped)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{rows:,} rows, {size / 1e9:.2f} GB, max_memory {memory}: {seconds:.1f} s ({seconds / rows * 1e6:.1f} µs a "
        f"row; {cpu:.1f} s of CPU), {dropped:,} dropped; peak memory {peak / 1e6:.2f} GB (making the rows: "
        f"{before / 1e6:.2f} GB); load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", nargs="*", default=["signatures", "alpaca", "big"], choices=["signatures", "alpaca", "big"]
    )
    parser.add_argument("--peers", nargs="*", default=list(PROGRAMS), choices=list(PROGRAMS))
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--max-memory", default="4GB")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    from instdata.steps.compile_kernels import warm
    from instdata.util.kernels import threads

    warm()
    print(f"{threads()} cores; load {os.getloadavg()[0]:.1f} at the start")
    if "signatures" in options.what:
        signatures_bench(options.peers, options.repeats)
    if "alpaca" in options.what:
        alpaca_bench(options.peers, options.repeats)
    if "big" in options.what:
        big_bench(options.rows, options.max_memory)


if __name__ == "__main__":
    main()
