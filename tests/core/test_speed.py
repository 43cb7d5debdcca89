"""What is kept so that it is not done again: tables of text, a taxonomy's own model, a first look at a source; and the
process that workers are forked off."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from instdata.build import READY
from instdata.corpus.shard_tables import Recent, rows_at
from instdata.read import first_look as looks
from instdata.steps.ability import kept_model as keeping
from instdata.steps.ability.linear import train
from instdata.steps.ability.training_examples import Examples
from instdata.util.engine import Processes
from instdata.util.import_guards import unswept
from tests.conftest import rows

TABLES = [pa.table({"n": pa.array(range(i, i + 100), pa.int64())}) for i in range(3)]  # 800 bytes each


def test_columns_are_held_up_to_so_many_bytes_those_used_last():
    held, read = Recent(1700), []

    def get(i):
        return held.get(i, ["n"], lambda names: read.append(i) or TABLES[i].select(names))

    for i in (0, 1, 0, 2, 0, 1):
        assert get(i).equals(TABLES[i])
    assert read == [0, 1, 2, 1] and held.bytes == 1600
    large = pa.table({"n": np.arange(1000)})
    assert held.get("large", ["n"], large.select).equals(large) and held.bytes == 1600


def test_only_columns_that_are_not_held_are_read():
    table, read = pa.table({"a": [1], "b": ["x"], "c": [2.0]}), []
    held = Recent(1000)
    for names in (["b"], ["c", "b", "a"], ["a", "b"]):
        assert held.get(0, names, lambda missing: read.append(missing) or table.select(missing)).equals(
            table.select(names)
        )
    assert read == [["b"], ["c", "a"]]


@pytest.mark.parametrize("at", [[], [0], [3, 4, 5], [5, 4, 3], [1, 3], [2, 2], list(range(100))])
def test_some_rows_of_a_table(at):
    at = np.array(at, np.int64)
    assert rows_at(TABLES[0], at).equals(TABLES[0].take(pa.array(at)))


TEXTS = pa.array(["translate this", "翻译这句话", "add 1 and 2?", "2 + 2", "say it in French", "what is 3 * 4"])


def examples(own: bool) -> Examples:
    labels = np.array([0, 0, 1, 1, 0, 1])
    named = {"labelled rows": 0 if own else 6, "examples of the taxonomy": 6 if own else 0}
    return Examples(TEXTS, TEXTS, labels, ["translation", "math"], np.full(6, -1), np.zeros(6, bool), named)


def test_a_model_of_the_taxonomys_own_examples_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "folder", lambda room: tmp_path)
    made = []

    def learn():
        made.append(train(TEXTS, TEXTS, np.array([0, 0, 1, 1, 0, 1]), ["translation", "math"]))
        return made[-1]

    first, again = (keeping.kept("k", examples(True), learn) for _ in range(2))
    assert len(made) == 1 and again.classes == first.classes
    assert (again.scores(TEXTS, TEXTS) == first.scores(TEXTS, TEXTS)).all()
    for a, b in zip(again.calibration.best(again.held_out), first.calibration.best(first.held_out)):
        assert (a == b).all()
    keeping.kept("k", examples(True), learn, fresh=True)
    keeping.kept("other", examples(True), learn)
    assert len(made) == 3
    (path,) = {*(tmp_path / "models").glob("*.npz")} - {keeping._path("other")}
    path.write_bytes(path.read_bytes()[:-9])  # damaged: made again
    keeping.kept("k", examples(True), learn)
    files = len(list((tmp_path / "models").iterdir()))
    keeping.kept("theirs", examples(False), learn)
    assert len(made) == 5 and len(list((tmp_path / "models").iterdir())) == files


def test_a_source_is_looked_at_once_for_each_content(bench, monkeypatch):
    real, seen = looks.look, []
    monkeypatch.setattr(looks, "look", lambda *given: seen.append(1) or real(*given))
    content = {"sources": [{"path": "a.jsonl", "name": "a"}], "steps": [{"filter": {"where": "length(response) > 2"}}]}
    for count, looked in ((20, 1), (20, 1), (21, 2)):
        bench.jsonl("a.jsonl", rows(count))
        bench.build(**content)
        assert len(seen) == looked


def _variable(name: str) -> tuple[str | None, bool]:
    return os.environ.get(name), "instdata.read.shards" in sys.modules


@pytest.mark.parametrize("value", ["one", "two"])
def test_forked_workers_have_the_environment_of_now(monkeypatch, value):
    monkeypatch.setenv("INSTDATA_TEST_VARIABLE", value)  # the process they are forked off may have begun before
    with Processes(2, READY) as engine:
        assert set(engine.map(_variable, ["INSTDATA_TEST_VARIABLE"] * 4)) == {(value, True)}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_ctrl_c_does_not_reach_the_process_that_workers_are_forked_off():
    with Processes(2, READY) as engine:
        assert list(engine.map(abs, [-1, -2])) == [1, 2]
    status = Path(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read_text()
    blocked = int(status.split("SigBlk:")[1].split()[0], 16)
    assert blocked >> (signal.SIGINT - 1) & 1, "while it imports, Ctrl-C would end it with a traceback"


DRIVER = """
import time

from mine import number_of
from instdata.util.engine import Processes
from instdata.util.import_guards import unswept

if __name__ == "__main__":
    with Processes(2, "instdata.util.errors") as engine:
        for pid in engine.map(number_of, range(2)):
            print(pid, flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_workers_leave_with_a_killed_parent(tmp_path):
    (tmp_path / "mine.py").write_text("import os\n\n\ndef number_of(item):\n    return os.getpid()\n")
    program = tmp_path / "driver.py"
    program.write_text(DRIVER)
    driver = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    workers = {int(driver.stdout.readline()) for _ in range(2)}
    assert workers and driver.pid not in workers
    driver.kill()
    driver.wait()
    for _ in range(600):
        if not any(map(_runs, workers)):
            return
        time.sleep(0.1)
    pytest.fail(f"workers {workers} go on without their parent")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie waits to be reaped by a container's first process, which may not care


def test_a_process_of_our_own_loads_no_pandas_scipy_or_cffi_until_they_are_asked_for():
    told = """
import sys
from instdata.util.import_guards import lean
lean()
from instdata.read.language import warm
warm()
import pyarrow as pa
pa.array(["a"])
assert not {"pandas", "scipy", "cffi"} & sys.modules.keys()
assert len(pa.table({"a": [1]}).to_pandas()) == 1
"""
    subprocess.run([sys.executable, "-c", told], check=True, timeout=120)


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is told on Linux")
def test_a_process_of_our_own_keeps_the_memory_that_a_batch_gave_back():
    told = """
import resource
from instdata.util.import_guards import lean
lean()
import pyarrow as pa
assert pa.default_memory_pool().backend_name == "system"
def batch():
    held = [pa.allocate_buffer(1 << 24) for _ in range(10)]
    for one in held:
        memoryview(one).cast("B")[::4096] = bytes(1 << 12)
batch()
batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
batch()
again = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
assert again < 10_000, again  # of 40,960 pages of 4 KB
"""
    environment = {k: v for k, v in os.environ.items() if k != "ARROW_DEFAULT_MEMORY_POOL"}
    subprocess.run([sys.executable, "-c", told], check=True, timeout=120, env=environment)


def test_what_a_process_starts_with_is_not_looked_through_for_garbage():
    before, was = gc.get_freeze_count(), gc.isenabled()
    with pytest.raises(KeyError), unswept():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled() and was and gc.get_freeze_count() > before
    gc.unfreeze()
