"""Job arrays: tasks as files in one folder, ranks that come late, die and are killed, and the same bytes as without."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from instdata.build import build, prepare
from instdata.cli.main import app
from instdata.read.bytes_to_records import Bad
from instdata.steps.job_array import BuildCalls, _records_of, _table_of
from instdata.util import job_array, job_array_tasks
from instdata.util.engine import Engine
from instdata.util.errors import BudgetReached, BuildError, InputError
from instdata.util.job_array import attend, driving
from instdata.util.job_array_tasks import Rank
from instdata.util.progress import Heartbeat
from instdata.util.scheduler import number_of
from tests.core import squares
from tests.core.squares import Squares, slow_square
from tests.core.test_build import SUBSETS, corpus, fingerprint

ROOT = str(Path(__file__).parents[2])
Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python process of its own; ends what is left of it."""
    running: list[subprocess.Popen] = []

    def run(*arguments: Any) -> subprocess.Popen:
        there = {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, *map(str, arguments)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=there))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def claims(folder: Path) -> list[dict[str, Any]]:
    return [{**c, "claim": p} for p in folder.glob("*/claims/*") if (c := job_array_tasks.read_json(p))]


def in_the_middle(claim: dict[str, Any]) -> bool:
    """Whether a process stands still in the middle of its task now; one that is done goes on."""
    os.kill(claim["pid"], signal.SIGSTOP)
    place: Path = claim["claim"]
    if place.exists() and not (place.parents[1] / "results" / f"{place.name}.json").exists():
        return True
    os.kill(claim["pid"], signal.SIGCONT)
    return False


def test_a_rank_that_cannot_write_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="this rank cannot write there"):
        attend(Rank(1, 2, 1, tmp_path / "file" / "job", "same"), Squares(), 600, print)


def test_two_ranks_share_the_work_and_one_is_killed(start: Start, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(job_array, "STALE", 3.0)
    said: list[str] = []
    other = start(squares.__file__, 1, 2, tmp_path / "job")
    with driving(Rank(0, 2, 1, tmp_path / "job", "same"), Squares(), said.append) as engine:
        got: list[int] = []
        killed = threading.Event()
        for value in engine.map(slow_square, itertools.takewhile(lambda _: not killed.is_set(), itertools.count())):
            got.append(value)
            theirs = [c for c in claims(tmp_path / "job") if c["rank"] == 1]
            if theirs and not killed.is_set() and in_the_middle(theirs[0]):
                killed.set()
                other.kill()
                os.kill(theirs[0]["pid"], signal.SIGKILL)
    assert killed.is_set() and got == [i * i for i in range(len(got))]
    assert any(line.startswith("rank 1 (process") and "its task goes to another" in line for line in said)
    assert engine.done[0] + engine.done[1] == len(got)
    assert job_array_tasks.read_json(tmp_path / "job/state.json")["state"] == "done"
    assert [p.name for p in (tmp_path / "job").iterdir() if p.is_dir()] == []


def test_a_rank_outlives_a_killed_rank_0_and_serves_the_next(start: Start, tmp_path: Path) -> None:
    me = Rank(0, 2, 1, tmp_path / "job", "same")
    (tmp_path / "job/gone/ranks").mkdir(parents=True)
    job_array_tasks.write_state(me, "gone", "running")  # what a killed rank 0 leaves
    other = start(squares.__file__, 1, 2, tmp_path / "job")
    while not (tmp_path / "job/gone/ranks/1").exists():
        assert other.poll() is None
        time.sleep(0.05)
    with driving(me, Squares(), print) as engine:
        for value, i in zip(engine.map(slow_square, iter(int, 1)), range(10_000)):
            assert value == 0 and i < 9_999
            if engine.done[1] > 1:
                break
    assert int(other.communicate(timeout=100)[0].splitlines()[-1]) == engine.done[1] > 1
    assert attend(Rank(1, 2, 1, tmp_path / "job", "same"), Squares(), 1, print) == 0  # it comes late: all is done


def test_a_rank_says_what_it_waits_for_and_what_it_does(tmp_path: Path) -> None:
    said: list[str] = []
    zero = Rank(0, 2, 1, tmp_path / "job", "same")
    (zero.folder / "a/ranks").mkdir(parents=True)

    def heard(line: str) -> None:  # rank 0 comes at the first line, and is done at the first of its tasks
        said.append(line)
        job_array_tasks.write_state(zero, "a", "done" if "rank 0's tasks" in line else "running", tasks={1: 4})

    with Heartbeat(heard, every=0.5) as beat:
        beat.doing = "opening the sources"
        assert attend(Rank(1, 2, 1, zero.folder, "same"), Squares(), 60, print) == 4
    assert said[0].startswith("waiting for rank 0: still at work")
    assert said[-1].startswith("rank 0's tasks: still at work")


def test_what_a_task_raises_is_raised_by_rank_0(tmp_path: Path) -> None:
    def of(number: int) -> Exception:
        run = tmp_path / str(number)
        for name in ("tasks", "claims", "results"):
            (run / name).mkdir(parents=True)
        job_array_tasks.put(run, "1", *Squares().pack(slow_square, number))
        me = Rank(3, 4, 1, tmp_path, "same")
        assert job_array_tasks.claim(run, me) == "1" and job_array_tasks.claim(run, me) is None
        job_array_tasks.do(run, "1", me, Squares())
        return job_array_tasks.raised(job_array_tasks.read_json(run / "results/1.json"))

    missing, stopped, full = of(-1), of(-3), of(-4)
    assert type(missing).__name__ == "KeyError" and str(missing) == "'minus one'"
    assert isinstance(stopped, BudgetReached) and stopped.exit_code == 4
    assert isinstance(full, OSError) and full.errno == 28


def test_a_task_that_kills_who_works_on_it_is_to_blame(tmp_path: Path) -> None:
    said: list[str] = []
    me = Rank(0, 1, 1, tmp_path / "job", "same")
    with pytest.raises(BuildError, match="one task ended 3 processes.* memory"), driving(me, Squares(), said.append) as on:  # fmt: skip
        list(on.map(slow_square, [1, -2]))
    assert len(said) == 2
    with pytest.raises(BuildError, match="rank 0 failed: one task ended 3 processes"):
        state = job_array_tasks.read_json(tmp_path / "job/state.json")
        job_array_tasks.write_state(Rank(0, 2, 1, tmp_path / "job", "same"), state["run"], "running")
        _attend_until(tmp_path / "job", state)


def _attend_until(folder: Path, state: dict[str, Any]) -> None:
    """Take part in a run that fails as soon as this rank is there."""
    (folder / state["run"] / "ranks").mkdir(parents=True)

    class Failing(Squares):
        pass

    start = job_array.Workers.start
    try:
        job_array.Workers.start = lambda self: job_array_tasks.write_text(
            folder / "state.json", json.dumps({**state, "world": 2})
        )  # type: ignore[method-assign]
        attend(Rank(1, 2, 1, folder, "same"), Failing(), 30, print)
    finally:
        job_array.Workers.start = start  # type: ignore[method-assign]


def test_ranks_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    me = Rank(0, 2, 1, tmp_path / "job", "same")
    other = Rank(1, 2, 1, tmp_path / "elsewhere", "same")
    with pytest.raises(InputError, match="rank 1 of 2: no rank 0 came to .*elsewhere in 0 s.*INSTDATA_CACHE"):
        attend(other, Squares(), 0.1, print)
    with driving(me, Squares(), print):
        with pytest.raises(InputError, match="another rank 0 is at work"), driving(me, Squares(), print):
            pass
        with pytest.raises(InputError, match="one of 3, rank 0 as one of 2"):
            attend(Rank(1, 3, 1, me.folder, "same"), Squares(), 1, print)
        with pytest.raises(InputError, match="another recipe, other sources or other versions"):
            attend(Rank(1, 2, 1, me.folder, "other"), Squares(), 1, print)


@pytest.mark.parametrize(
    "environ, found",
    [
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (2, 4)),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_STEP": "2"}, (3, 4)),
        ({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "3"}, (4, 6)),
    ],
)  # fmt: skip
def test_slurm_tells_the_rank(environ: dict[str, str], found: tuple[int, int]) -> None:
    assert number_of("slurm", None, None, environ) == found
    assert number_of("slurm", 0, 9, environ) == (0, 9)


@pytest.mark.parametrize(
    "options, told",
    [
        (["--engine", "local-array"], "needs --rank R and --world N"),
        (["--engine", "local-array", "--rank", "4", "--world", "4"], "rank 4 of 4: ranks go from 0 to 3"),
        (["--engine", "local-array", "--rank", "-1", "--world", "4"], "rank -1 of 4"),
        (["--engine", "slurm", "--rank", "1"], "needs --rank R and --world N"),
        (["--engine", "slurm"], "neither SLURM_PROCID nor SLURM_ARRAY_TASK_ID"),
        (["--rank", "0", "--world", "1"], "go with --engine slurm or local-array, not with local"),
    ],
)
def test_a_wrong_rank_is_one_line(options: list[str], told: str, monkeypatch: Any) -> None:
    for name in [n for n in os.environ if n.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    ran = CliRunner().invoke(app, ["build", "x.yaml", *options])
    assert isinstance(ran.exception, InputError) and ran.exception.exit_code == 2
    assert told in str(ran.exception) and "\n" not in str(ran.exception)


class ByFile(Engine):
    """Every call through its file, in this process."""

    def __init__(self, calls: BuildCalls, folder: Path):
        self.calls, self.folder, self.made = calls, folder, list[str]()
        for name in ("tasks", "claims", "results"):
            (folder / name).mkdir(parents=True)

    def near(self) -> Engine:
        return Engine()  # it spans machines: a shard a task

    def map(self, function: Any, items: Any) -> Iterator[Any]:
        me = Rank(1, 2, 1, self.folder, "same")
        for item in items:
            packed = self.calls.pack(function, item)
            assert packed, item
            name = f"{len(self.made):04d}"
            self.made.append(packed[0].get("by", packed[0]["call"]))
            job_array_tasks.put(self.folder, name, *packed)
            assert job_array_tasks.claim(self.folder, me) == name
            job_array_tasks.do(self.folder, name, me, self.calls)
            found = job_array_tasks.read_json(self.folder / "results" / f"{name}.json")
            yield self.calls.result(function, found["value"])


STEPS = [{"quality": {"rules": "default"}}, {"filter": {"where": "score_quality_chars > 0 AND coalesce(ability, '') <> 'zz'"}},
         {"clean": {}}, {"categorize": {}}, {"holdout": {"per_ability": 2}}, "dedup"]  # fmt: skip


def test_a_build_by_files_has_the_same_bytes(bench: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)
    bench.jsonl("a.jsonl", corpus(300))
    (bench.folder / "a.jsonl").open("a").write("{bad\n")
    text = "".join(f'"say {i}","{i} is it, and ""so"" on"\n' for i in range(50))
    (bench.folder / "b.csv").write_text("instruction,output\n" + text + "one field\n")
    pq.write_table(pa.table({"instruction": ["when"], "output": ["now"], "at": [datetime.datetime(2020, 1, 2)]}),
                           bench.folder / "c.parquet")  # fmt: skip
    sources = [{"path": "a.jsonl"}, {"path": "b.csv", "max_bad": 0.5}, {"path": "c.parquet"}]
    content = {"taxonomy": "belle", "sources": sources, "steps": STEPS, "subsets": SUBSETS | {"sizes": ["10%", 50]}}
    seen = []
    for name in ("local", "files"):
        monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / f"cache-{name}"))
        plan = prepare(bench.recipe(**content))
        engine: Any = "local"
        if name == "files":
            engine = ByFile(BuildCalls(plan.inputs, plan.recipe.steps, plan.context), bench.folder / "job")
        seen.append(fingerprint(build(plan, bench.folder / name, engine).path))
    assert seen[0] == seen[1]
    assert engine.made.count("read") >= 4 and engine.made.count("score") >= 10
    shards = len(list((bench.folder / "cache-files" / "shards").rglob("*-*[0-9].parquet")))
    assert shards >= 4 and [engine.made.count(n) for n in ("labels", "holdout", "dedup", "rows")] == [shards] * 4
    assert engine.made.count("file") == len(list((bench.folder / "files" / "data").iterdir()))
    assert engine.made.count("texts") > 1 and {"join", "verify"} <= {*engine.made}
    kept = bench.folder / "cache-files" / "scores"
    assert not list(kept.glob(".tmp-*")), "what tasks leave each other is gone"


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())


@settings(max_examples=40)
@given(st.lists(st.one_of(st.binary(), st.builds(Bad, st.text(), st.text()), st.dictionaries(st.text(), PLAIN))))
def test_records_travel_as_they_are(records: list[Any]) -> None:
    table = _table_of(records)
    assert table is not None and repr(_records_of(table)) == repr(records)


def test_records_that_json_would_change_stay() -> None:
    assert _table_of([{"at": datetime.date(2020, 1, 2)}]) is None
    assert _table_of([{"at": (1, 2)}]) is None


# Rank 0 hears of the dead sooner here, and cuts small blocks.
COMMAND = """
import sys
from instdata.util import job_array
import instdata.read.bytes_to_records
from instdata.cli.main import main
job_array.STALE, instdata.read.bytes_to_records.PIECE = 4.0, 10_000
if __name__ == "__main__":
    main()
"""
SLOW = """
import time
from instdata import Step
class Slow(Step):
    def score(self, rows):
        time.sleep(1)
        return {"rows": [len(rows)] * len(rows)}
"""


@pytest.mark.slow
def test_four_ranks_one_killed_and_all_resumed_give_the_same_bytes(bench: Any, start: Start, monkeypatch: Any) -> None:
    """Rank 2 is killed in the middle of a task, then rank 0; the same commands again end as a local build does."""
    monkeypatch.chdir(bench.folder)
    (bench.folder / "slow.py").write_text(SLOW)
    (bench.folder / "command.py").write_text(COMMAND)
    bench.jsonl("a.jsonl", corpus(1500))
    recipe = bench.recipe(taxonomy="belle", sources=[{"path": "a.jsonl"}], steps=[{"slow.py:Slow": {}}, *STEPS], subsets=SUBSETS)  # fmt: skip

    def ranked(number: int) -> subprocess.Popen:
        return start("command.py", "build", recipe, "--out", "out", "--json", "--jobs", 1, "--engine", "local-array", "--rank", number, "--world", 4)  # fmt: skip

    job = bench.folder / "cache" / "array"
    monkeypatch.setenv("INSTDATA_CACHE", str(job.parent))
    running = [ranked(n) for n in range(4)]
    victim = _taken_by(job, 2, running)
    running[2].kill()
    os.kill(victim, signal.SIGKILL)
    _taken_by(job, 1, running[:2])
    running[0].kill()
    running[0] = ranked(0)
    running[2] = ranked(2)
    told = [json.loads(process.communicate(timeout=500)[0]) for process in running]
    assert [t.get("rank", 0) for t in told] == [0, 1, 2, 3] and {t["world"] for t in told[1:]} == {4}
    assert told[0]["ranks"]["tasks"].get("1", 0) == told[1]["tasks"]
    assert len(list((job.parent / "learned").glob("*.npz"))) == 1, "the model of the labels travelled, once"
    monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / "cache-local"))
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 10_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the step's
    assert fingerprint(build(prepare(recipe), bench.folder / "local").path) == fingerprint(bench.folder / "out")


def _taken_by(job: Path, rank: int, running: list[subprocess.Popen]) -> int:
    """The process of a rank that works on a task now."""
    while True:
        assert all(process.poll() is None for process in running)
        for claim in claims(next(job.glob("*"), job)):
            if claim["rank"] == rank:
                return int(claim["pid"])
        time.sleep(0.02)
