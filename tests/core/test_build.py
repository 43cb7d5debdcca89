"""The build as a whole: the same bytes whatever happened on the way, and a folder that other tools read."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instdata.build import build, prepare
from instdata.corpus.write_build_folder import locked
from instdata.util.checksums import SUMS
from instdata.util.engine import Engine, Processes
from instdata.util.errors import BuildError, InputError
from tests.core.test_holdout_step import distinct

STEPS = [
    {"dedup": {"threshold": 0.7}},
    {"quality": {"rules": "default"}},
    {"filter": {"where": "score_quality_chars > 0"}},
    {"holdout": {"per_ability": 5}},
]
SUBSETS = {"sizes": ["10%", "30%", 200]}


def fingerprint(out: Path) -> dict[str, str]:
    """sha256 of everything that must be the same: all files but run.json, the list that has its checksum, and the lock."""
    skip = {"run.json", SUMS, ".instdata.lock", "report.html"}  # the report shows what the run cost
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.name not in skip
    }


def corpus(n: int) -> list[dict]:
    """Rows with near copies, bad quality and labels."""
    made = distinct(n)
    for i, row in enumerate(made):
        row["ability"] = ["math", "code", "extract", None][i % 4]
        if i % 9 == 0:
            row["instruction"] = made[max(0, i - 5)]["instruction"] + " ."
        if i % 13 == 0:
            row["output"] = "As an AI language model, I cannot help with that."
    return made


def test_one_and_two_workers_give_the_same_bytes(bench, monkeypatch):
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    bench.jsonl("a.jsonl", corpus(1500))
    (bench.folder / "a.jsonl").open("a").write("{bad\n")
    content = {"taxonomy": "belle", "sources": [{"path": "a.jsonl"}], "steps": STEPS, "subsets": SUBSETS}
    seen = []
    for jobs in (1, 2):
        monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / f"cache{jobs}"))
        done = bench.build(out=f"out{jobs}", jobs=jobs, **content)
        seen.append(fingerprint(done.path))
        assert len(list((bench.folder / f"cache{jobs}" / "shards").rglob("*-*[0-9].parquet"))) > 5
    assert seen[0] == seen[1]
    assert {
        "manifest.json",
        "ledger.parquet",
        "README.md",
        "recipe.yaml",
        "quarantine.jsonl",
        "data/holdout.parquet",
    } <= set(seen[0])


def test_the_order_of_files_does_not_matter(bench):
    records = corpus(300)
    for i in range(3):
        bench.jsonl(f"{'cab'[i]}.jsonl", records[i * 100 : i * 100 + 100])
    seen = []
    for i, paths in enumerate([["a.jsonl", "b.jsonl", "c.jsonl"], ["c.jsonl", "b.jsonl", "a.jsonl"], "*.jsonl"]):
        done = bench.build(
            out=f"out{i}", taxonomy="belle", sources=[{"path": paths, "name": "all"}], steps=STEPS, subsets=SUBSETS
        )
        found = fingerprint(done.path)
        seen.append({k: found[k] for k in found if k.endswith("parquet") or k == "manifest.json"})
    assert seen[0] == seen[1] == seen[2]


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_split_over_files_in_any_order_give_the_same_subsets(bench, rng, files):
    records = distinct(120)
    for i, row in enumerate(records):
        row["ability"] = ["math", "code", "extract"][i * i % 3]
    rng.shuffle(records)
    (bench.folder / "in").mkdir(exist_ok=True)
    for old in (bench.folder / "in").glob("*"):
        old.unlink()
    for i in range(files):
        bench.jsonl(f"in/{i}.jsonl", records[i::files])
    done = bench.build(
        taxonomy="belle",
        sources=[{"path": "in"}],
        steps=[{"dedup": {}}, {"holdout": {"per_ability": 4}}, {"sample": {"share": 0.9}}],
        subsets=SUBSETS | {"sizes": ["10%", 50]},
    )
    ids = [
        pq.read_table(done.path / f)["id"].to_pylist()
        for f in sorted(map(str, done.manifest["configs"]["full"]["files"]))
    ]
    digest = hashlib.sha256(
        json.dumps([ids, pq.read_table(done.path / "data/holdout.parquet")["id"].to_pylist()]).encode()
    ).hexdigest()
    assert digest == SPLIT.setdefault("digest", digest)


SPLIT: dict[str, str] = {}


def run(folder: Path, cache: Path, out: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "instdata.cli.main", "build", "recipe.yaml", "--out", out, "--jobs", "2", "--json"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "INSTDATA_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_kill_9_at_ten_moments_and_resume(bench):
    """SIGKILL the whole process group at random moments; the build that comes through has the undisturbed bytes."""
    bench.jsonl("a.jsonl", corpus(6000))
    bench.jsonl("b.jsonl", [{**r, "output": r["output"] * 40} for r in corpus(6000)])
    bench.recipe(taxonomy="belle", sources=[{"path": "a.jsonl"}, {"path": "b.jsonl"}], steps=STEPS, subsets=SUBSETS)
    started = time.monotonic()
    whole = run(bench.folder, bench.folder / "cache-whole", "whole")
    out, err = whole.communicate(timeout=120)
    assert whole.returncode == 0, err.decode()
    seconds = time.monotonic() - started
    rng = random.Random(20261120)
    for attempt in range(10):
        process = run(bench.folder, bench.folder / "cache-killed", "killed")
        time.sleep(rng.uniform(0.05, 1.0) * seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        manifest = bench.folder / "killed/manifest.json"
        if manifest.exists():  # a folder with a manifest is whole at any moment
            assert fingerprint(bench.folder / "killed") == fingerprint(bench.folder / "whole"), attempt
            manifest.unlink()
            if attempt % 3 == 0:
                for path in (bench.folder / "cache-killed/scores").rglob("*.parquet"):
                    path.unlink()
    last = run(bench.folder, bench.folder / "cache-killed", "killed")
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err.decode()
    assert json.loads(out)["totals"]["in"] == 12000
    assert fingerprint(bench.folder / "killed") == fingerprint(bench.folder / "whole")
    assert not list((bench.folder / "killed").glob(".tmp*"))


def test_load_dataset_reads_every_config(bench, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    bench.jsonl("a.jsonl", corpus(400))
    done = bench.build(
        taxonomy="belle", sources=[{"path": "a.jsonl"}], steps=STEPS, subsets={"sizes": ["10%", "30%", "0.0001M", 200]}
    )
    rows = {}
    for name, config in done.manifest["configs"].items():
        split = "test" if name == "holdout" else "train"
        rows[name] = datasets.load_dataset(str(done.path), name, split=split, cache_dir=str(bench.folder / "hf"))["id"]
        assert len(rows[name]) == config["rows"]
    sizes = sorted((n for n in rows if n != "holdout"), key=lambda n: len(rows[n]))
    for smaller, larger in zip(sizes, sizes[1:]):
        assert list(rows[larger])[: len(rows[smaller])] == list(rows[smaller])
    assert len(datasets.load_dataset(str(done.path), split="train", cache_dir=str(bench.folder / "hf"))) == len(
        rows["full"]
    )


def test_per_ability_ladder(bench):
    records = corpus(200)
    bench.jsonl("a.jsonl", records)
    done = bench.build(sources=[{"path": "a.jsonl"}], subsets={"per_ability": [1, 4, 16]})
    assert [c["by_ability"]["code"] for c in done.manifest["configs"].values()] == [1, 4, 16, 50]
    assert list(done.manifest["configs"]) == ["1-per-ability", "4-per-ability", "16-per-ability", "full"]
    with pytest.raises(InputError, match=r"4-per-ability: .*summarization has 0"):
        bench.build(taxonomy="belle", sources=[{"path": "a.jsonl"}], subsets={"per_ability": [4]})


def test_no_steps_and_no_subsets(bench):
    bench.jsonl("a.jsonl", distinct(5))
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=[])
    assert done.manifest["configs"]["full"]["files"] == ["data/00-full.parquet"]
    assert done.manifest["steps"] == []


def test_rows_without_a_response_are_dropped_last(bench):
    bench.jsonl("a.jsonl", [*distinct(3), {"instruction": "nobody answered this", "output": " "}])
    done = bench.build(sources=[{"path": "a.jsonl"}])
    assert done.manifest["steps"] == [
        {
            "name": "close",
            "kind": "close",
            "in": 4,
            "added": 0,
            "kept": 3,
            "dropped": 1,
            "quarantined": 0,
            "reasons": {"no_response": 1},
        }
    ]


def test_an_older_build_is_replaced_whole(bench):
    bench.jsonl("a.jsonl", distinct(50))
    bench.build(sources=[{"path": "a.jsonl"}], subsets={"sizes": ["10%", "20%", "30%"]})
    done = bench.build(sources=[{"path": "a.jsonl"}], subsets={"sizes": ["50%"]})
    assert sorted(p.name for p in (done.path / "data").iterdir()) == ["00-50pct.parquet", "01-full.parquet"]


def test_a_failed_build_leaves_the_older_one(bench):
    bench.jsonl("a.jsonl", distinct(50))
    done = bench.build(sources=[{"path": "a.jsonl"}])
    before = fingerprint(done.path)
    with pytest.raises(InputError, match="the pool has 50; 100 needs 100 rows"):
        bench.build(sources=[{"path": "a.jsonl"}], subsets={"sizes": [100]})
    assert fingerprint(done.path) == before


def test_one_process_at_a_time_per_folder(bench):
    bench.jsonl("a.jsonl", distinct(5))
    with (
        locked(bench.folder / "out"),
        pytest.raises(BuildError, match=f"out: another instdata process .{os.getpid()}. is writing here; wait"),
    ):
        bench.build(sources=[{"path": "a.jsonl"}])
    bench.build(sources=[{"path": "a.jsonl"}])


def test_a_folder_of_others_is_left_alone(bench):
    bench.jsonl("out/mine.jsonl", distinct(5))
    with pytest.raises(InputError, match=r"out: this folder is not empty, and instdata did not write it .*--out"):
        bench.build(sources=[{"path": "out/mine.jsonl"}])
    assert [p.name for p in (bench.folder / "out").iterdir()] == ["mine.jsonl"]


def test_a_lost_row_fails_the_build(bench, monkeypatch):
    import instdata.build

    bench.jsonl("a.jsonl", distinct(5))
    real = instdata.build.write_data

    def one_less(*given):
        configs, entered = real(*given)
        return configs, entered - 1

    monkeypatch.setattr("instdata.build.write_data", one_less)
    with pytest.raises(BuildError, match="lost rows"):
        bench.build(sources=[{"path": "a.jsonl"}])
    assert not (bench.folder / "out/manifest.json").exists()


def test_seeds_and_the_seed(bench):
    bench.jsonl("a.jsonl", distinct(100))
    content = {"sources": [{"path": "a.jsonl"}], "subsets": {"sizes": ["10%"]}}
    ids = [
        pq.read_table(bench.build(**content, seed=s).path / "data/00-10pct.parquet")["id"].to_pylist()
        for s in (0, 1, 0)
    ]
    assert ids[0] == ids[2] != ids[1]


def test_nothing_of_this_machine_in_what_is_published(bench):
    bench.jsonl("a.jsonl", corpus(60))
    done = bench.build(taxonomy="belle", sources=[{"path": "a.jsonl"}], steps=STEPS)
    for path in done.path.rglob("*"):
        if path.is_file() and path.suffix in (".md", ".json", ".yaml", ".parquet", ".jsonl"):
            assert str(bench.folder).encode() not in path.read_bytes(), path


def test_the_engine_keeps_order_and_reports_errors():
    with Processes(2) as engine:
        assert list(engine.map(abs, iter(range(-50, 0)))) == list(range(50, 0, -1))
        with pytest.raises(TypeError):
            list(engine.map(abs, ["a", "b"]))
    assert list(Engine().map(abs, [-1])) == [1]


@pytest.mark.slow
def test_ray_gives_the_same_bytes(bench, monkeypatch):
    pytest.importorskip("ray")
    bench.jsonl("a.jsonl", corpus(1500))
    content = {
        "taxonomy": "belle",
        "sources": [{"path": "a.jsonl"}],
        "steps": [{"categorize": {}}, *STEPS],
        "subsets": SUBSETS,
    }
    seen = []
    for engine in ("local", "ray"):
        monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / f"cache-{engine}"))
        seen.append(fingerprint(build(prepare(bench.recipe(**content), jobs=2), bench.folder / engine, engine).path))
    assert seen[0] == seen[1]


@pytest.mark.slow
def test_two_gigabytes_build_in_two_gigabytes(bench):
    """A 2 GB file; peak memory of the largest process and of all of them together stays under 2 GB."""
    block = "".join(json.dumps(r) + "\n" for r in corpus(4000)).encode()
    filler = " ".join(f"word{i}" for i in range(60))
    path = bench.folder / "big.jsonl"
    with open(path, "wb") as file:
        n = 0
        while file.tell() < 2 << 30:
            file.write(
                json.dumps(
                    {"instruction": f"{n * 7919} of {n}: {filler[n % 200 :]}", "output": f"answer {n} " + filler}
                ).encode()
                + b"\n"
            )
            n += 1
    assert block
    plan = prepare(
        bench.recipe(
            sources=[{"path": "big.jsonl"}],
            steps=[{"quality": {}}, {"dedup": {"method": "exact"}}],
            subsets={"sizes": ["10%"]},
        ),
        jobs=2,
    )
    watcher = subprocess.Popen([sys.executable, "-c", WATCH, str(os.getpid())], stdout=subprocess.PIPE, text=True)
    done = build(plan, bench.folder / "out")
    watcher.send_signal(signal.SIGINT)
    peak = int(watcher.communicate()[0])
    assert done.manifest["totals"]["in"] == n
    print(f"peak of all processes together: {peak / 2**30:.2f} GB, {n:,} rows")
    assert peak < 2 << 30, f"{peak / 2**30:.2f} GB"


WATCH = """
import sys, time
from pathlib import Path
def family(pid):
    out = [pid]
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        out += [c for p in child.read_text().split() for c in family(int(p))]
    return out
peak = 0
try:
    while True:
        total = 0
        for pid in family(int(sys.argv[1])):
            try:
                total += int(next(x for x in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if x.startswith("Pss:")).split()[1]) * 1024
            except (OSError, StopIteration):
                pass
        peak = max(peak, total)
        time.sleep(0.2)
except KeyboardInterrupt:
    print(peak)
"""
