"""A running cluster of two nodes on this machine: joined, left as it was, one node killed in the middle, the same
results."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instdata.build import build, prepare
from instdata.corpus.corpus import Scoring
from instdata.steps.score_shards import score_shard
from instdata.util.engine import PlainCall, Ray, open_engine
from instdata.util.errors import InputError
from tests.conftest import Bench
from tests.core.conftest import Store
from tests.core.test_build import STEPS, SUBSETS, corpus, fingerprint

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and a second node, a slot each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "150")  # on a busy machine
    small = {"num_cpus": 1, "object_store_memory": 100 << 20}
    running = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    running.second = running.add_node(**small)
    monkeypatch.setenv("RAY_ADDRESS", running.address)
    # Workers unpickle this module's functions by name.
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    )
    yield running
    ray.shutdown()
    running.shutdown()


def _slow_square(item: int) -> int:
    time.sleep(0.2)
    return item * item


def _refuses(item: int) -> int:
    raise InputError(f"number {item}")


def test_a_running_cluster_is_joined_and_survives_a_dead_node(cluster: Any, tmp_path: Path) -> None:
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")  # the user's own session
    with open_engine("ray", jobs=8) as engine:
        assert engine.jobs == 2  # the cluster's slots, not what was asked for
        got = []
        for value in engine.map(_slow_square, range(12)):
            got.append(value)
            if len(got) == 2:
                cluster.remove_node(cluster.second, allow_graceful=False)
        assert got == [i * i for i in range(12)]
        with pytest.raises(InputError) as told:
            list(engine.map(_refuses, range(2)))
        assert str(told.value) == "number 0" and told.value.exit_code == 2
    assert ray.is_initialized()  # left as it was


def test_a_cache_that_a_node_does_not_see_is_said_before_any_work(cluster: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    with open_engine("ray", jobs=1) as engine:
        assert isinstance(engine, Ray)
        monkeypatch.setattr("instdata.util.engine.sound", _blind)
        with pytest.raises(InputError, match="2 of 2 nodes do not see the cache .*INSTDATA_CACHE"):
            engine._shared(tmp_path)


def test_a_cluster_that_is_not_there_is_said_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("127.0.0.1:9", "ray://127.0.0.1:9"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(InputError, match=f"RAY_ADDRESS={address}: nobody answers there"):
            open_engine("ray", jobs=1)


SLOW = """
import time
from instdata import Step
class Slow(Step):
    def score(self, rows):
        time.sleep(0.4)
        return {"rows": [len(rows)] * len(rows)}
"""


def test_a_whole_build_loses_a_node_and_has_the_same_bytes(cluster: Any, bench: Bench,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Blocks are read and shards scored on two nodes, of which one dies in the middle of the scoring."""
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 10_000)
    (bench.folder / "slow.py").write_text(SLOW)
    bench.jsonl("a.jsonl", corpus(1000))
    steps = [{"slow.py:Slow": {}}, *STEPS, {"clean": {}}]
    recipe = bench.recipe(taxonomy="belle", sources=[{"path": "a.jsonl"}], steps=steps, subsets=SUBSETS)
    monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / "cache-local"))
    local = build(prepare(recipe), bench.folder / "local")
    monkeypatch.setenv("INSTDATA_CACHE", str(bench.folder / "cache-ray"))
    scored: list[int] = []
    kept: list[int] = []
    asked: list[str] = []
    with open_engine("ray", jobs=8) as engine:
        assert engine.jobs == 2
        through = engine.map

        def told(function: Any, items: Any) -> Iterator[Any]:
            for item in items:
                asked.extend([item.call.func.__name__] if function is PlainCall.do else ())
                yield item

        def losing(function: Any, items: Any) -> Iterator[Any]:
            for value in through(function, told(function, items)):
                yield value
                kept.append(function is Scoring.into_cache)
                scored.append(function is score_shard)
                if sum(scored) == 3 and scored[-1]:
                    cluster.remove_node(cluster.second, allow_graceful=False)

        monkeypatch.setattr(engine, "map", losing)
        made = build(prepare(recipe), bench.folder / "ray", engine)
    assert len(scored) - sum(scored) > 10 and sum(scored) > 30  # blocks, shards
    assert sum(kept) > 20  # sketches of dedup and of the holdout
    assert {*asked} == {"join_task", "texts_task", "verify_task"} and len(asked) > 10
    assert fingerprint(made.path) == fingerprint(local.path)


def _blind(path: str) -> bool:
    return False


def test_nodes_may_share_an_address_alone(store: Store, cluster: Any, bench: Bench,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 40_000)
    bench.jsonl("a.jsonl", corpus(400))
    recipe = bench.recipe(taxonomy="belle", sources=[{"path": "a.jsonl"}], steps=STEPS, subsets=SUBSETS)
    local = build(prepare(recipe), bench.folder / "local")
    monkeypatch.setenv("INSTDATA_CACHE", "s3://bench/cache")
    monkeypatch.setenv("INSTDATA_CACHE_COPY", str(bench.folder / "copy"))
    with open_engine("ray", jobs=8) as engine:
        made = build(prepare(recipe), bench.folder / "ray", engine)
    assert fingerprint(made.path) == fingerprint(local.path)
    there = store.client().find("bench/cache/scores")
    assert {p.name for p in (bench.folder / "copy" / "scores").rglob("*.parquet*")} == {
        name.rpartition("/")[2] for name in there
    }
