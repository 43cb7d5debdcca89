"""A cache at an address: machines that share no disk make each thing once, and the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instdata.build import Build, build, prepare
from instdata.cli.main import app
from instdata.read import shards
from instdata.util import mirrored_cache, remote_address
from instdata.util.engine import Engine, Processes
from instdata.util.errors import BuildError, InputError
from instdata.util.paths import cache_folder
from instdata.util.sealed import SEAL, discard, read_sealed_json, seal, sealed, sound, write_sealed_json
from tests.conftest import Bench
from tests.core.conftest import Store
from tests.core.test_build import STEPS, SUBSETS, corpus, fingerprint


@pytest.fixture
def machine(store: Store, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Go to a machine: its name -> its copy of the cache that all have at one address."""
    monkeypatch.setattr("instdata.read.bytes_to_records.PIECE", 20_000)

    def go(name: str) -> Path:
        monkeypatch.setenv("INSTDATA_CACHE", "s3://bench/cache")
        monkeypatch.setenv("INSTDATA_CACHE_COPY", str(bench.folder / name))
        return cache_folder()

    return go


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the blocks that were read."""
    found: list[str] = []
    real = shards.parse

    def counted(records: Any, first: int, *more: Any) -> Any:
        found.append(str(first))
        return real(records, first, *more)

    monkeypatch.setattr(shards, "parse", counted)
    return found


def built(bench: Bench, out: str, engine: str | Engine = "local", jobs: int = 1) -> Build:
    bench.jsonl("a.jsonl", corpus(600))
    steps = [{"clean": {}}, *STEPS]
    recipe = bench.recipe(taxonomy="belle", sources=[{"path": "a.jsonl"}], steps=steps, subsets=SUBSETS)
    return build(prepare(recipe, jobs=jobs), bench.folder / out, engine)


def test_a_second_machine_makes_nothing_again(store: Store, bench: Bench, machine: Any, made: list[str]) -> None:
    local = fingerprint(built(bench, "local").path)
    blocks = len(made)
    assert blocks > 3
    first = machine("one")
    assert fingerprint(built(bench, "first", jobs=2).path) == local
    client = store.client()
    there = {p.removeprefix("bench/cache/"): data for p, data in client.cat(client.find("bench/cache")).items()}
    assert there.pop(".instdata-cache")
    folders = {name.partition("/")[0] for name in there}
    assert {"sources", "shards", "scores"} <= folders <= set(mirrored_cache.SHARED)
    assert all((first / name).read_bytes() == data for name, data in there.items())
    held = b"".join(p.read_bytes() for p in first.rglob("*") if p.is_file())
    assert b"very-secret" not in held
    made.clear()
    store.asked.clear()
    machine("two")
    assert fingerprint(built(bench, "second").path) == local
    assert not made and not [a for a in store.asked if a.startswith("PUT") and "instdata-cache" not in a]


class Elsewhere(Engine):
    """Every task is done on a machine of its own, whose copy of the cache is empty, as this one's is afterwards."""

    jobs = 2

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._forget()
            found = function(item)
            self._forget()
            yield found

    def near(self) -> Engine:
        return Engine()

    def on_one_disk(self) -> Engine:
        return Engine()

    @staticmethod
    def _forget() -> None:
        for name in mirrored_cache.SHARED:
            shutil.rmtree(cache_folder() / name, ignore_errors=True)


def test_workers_share_nothing_but_the_address(bench: Bench, machine: Any) -> None:
    local = fingerprint(built(bench, "local").path)
    machine("driver")
    assert fingerprint(built(bench, "far", Elsewhere()).path) == local


@pytest.mark.parametrize("how", ["500", "reset"])
def test_a_store_that_fails_now_and_then_changes_nothing(store: Store, bench: Bench, machine: Any, how: str) -> None:
    local = fingerprint(built(bench, "local").path)
    store.fails = lambda method, path, count: how if count % 19 == 0 else ""
    machine("one")
    assert fingerprint(built(bench, "first").path) == local
    machine("two")
    assert fingerprint(built(bench, "second").path) == local


def test_a_store_that_fails_for_good_ends_the_build_and_another_machine_goes_on(
    store: Store, bench: Bench, machine: Any, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = fingerprint(built(bench, "local").path)
    blocks = len(made)
    made.clear()
    monkeypatch.setattr(remote_address, "TRIES", 2)
    store.fails = lambda m, path, count: "500" if m == "PUT" and "00002.parquet" in path else ""
    machine("one")
    with pytest.raises(BuildError, match="s3://bench/cache: .*run the same command again to go on"):
        built(bench, "first")
    done = len(made) - 1  # the one that could not be sent
    assert 0 < done < blocks
    store.fails = lambda m, path, count: ""
    made.clear()
    machine("two")
    assert fingerprint(built(bench, "second").path) == local
    assert len(made) == blocks - done


def test_only_whole_files_count(store: Store, machine: Any) -> None:
    one = machine("one") / "scores" / "aa" / "x"
    one.parent.mkdir(parents=True)
    one.write_bytes(b"right")
    seal(one)
    there = f"bench/cache/scores/aa/x{SEAL}"
    held = store.client().cat(there)

    store.client().rm_file(there)  # ended before its seal came
    two = machine("two") / "scores" / "aa" / "x"
    assert not sound(two) and not two.exists()
    store.client().pipe_file(there, held)  # somebody sends it meanwhile
    assert sound(two) and two.read_bytes() == b"right" and sealed(two) == held.decode()

    store.client().pipe_file("bench/cache/scores/aa/x", b"wrong")
    three = machine("three") / "scores" / "aa" / "x"
    assert not sound(three)  # damaged there: it is made again, and sent
    three.write_bytes(b"right")
    seal(three)
    assert sound(machine("four") / "scores" / "aa" / "x")

    late = machine("four") / "sources" / "late"
    assert not sound(late)  # the folder is listed now, without it
    late.parent.mkdir(parents=True, exist_ok=True)
    late.write_bytes(b"what its name does not say")
    seal(late)
    discard(late)
    assert not store.client().find("bench/cache/sources") and not sound(late)

    discard(machine("four") / "scores" / "aa" / "x")
    assert not store.client().find("bench/cache/scores") and not sound(machine("five") / "scores" / "aa" / "x")
    assert not [p for p in machine("four").rglob("x*")]


def test_what_no_other_machine_may_use_stays(store: Store, machine: Any) -> None:
    copy = machine("one")
    write_sealed_json(copy / "digests" / "d.json", [1])  # of files of this machine
    write_sealed_json(copy / "sources" / "s.json", [2])
    names = [p.removeprefix("bench/cache/") for p in store.client().find("bench/cache")]
    assert sorted(names) == [".instdata-cache", "sources/s.json"]
    two = machine("two")
    assert read_sealed_json(two / "sources" / "s.json") == [2] and read_sealed_json(two / "digests" / "d.json") is None


def test_an_address_that_is_none_is_said_before_any_work(
    store: Store, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.jsonl("a.jsonl", corpus(20))
    recipe = bench.recipe(sources=[{"path": "a.jsonl"}])
    for url, told in (
        ("s3://nobucket/cache", "INSTDATA_CACHE: s3://nobucket/cache: "),
        ("https://127.0.0.1/cache", "INSTDATA_CACHE: https://127.0.0.1/cache: name a folder"),
        ("nothing://there", "INSTDATA_CACHE: nothing://there: Protocol not known"),
    ):
        monkeypatch.setenv("INSTDATA_CACHE", url)
        monkeypatch.setenv("INSTDATA_CACHE_COPY", str(bench.folder / "copy"))
        ran = CliRunner().invoke(app, ["build", str(recipe), "--out", str(bench.folder / "out")])
        assert isinstance(ran.exception, InputError) and told in str(ran.exception), (url, ran.exception)
        assert not (bench.folder / "out").exists()
    monkeypatch.setenv("INSTDATA_CACHE", "s3://bench/cache")
    array = ["--engine", "local-array", "--rank", "0", "--world", "2"]
    ran = CliRunner().invoke(app, ["build", str(recipe), "--out", str(bench.folder / "out"), *array])
    assert isinstance(ran.exception, InputError) and "meet in a folder that all of them see" in str(ran.exception)


def test_commands_name_the_address_and_leave_it_as_it_is(
    store: Store, bench: Bench, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = machine("one")
    built(bench, "first")
    there = store.client().find("bench/cache")
    said = CliRunner().invoke(app, ["cache", "size", "--json"]).output
    assert '"address": "s3://bench/cache"' in said and str(copy) in said
    cleaned = CliRunner().invoke(app, ["cache", "clean"])
    assert cleaned.exit_code == 0 and "other machines may use it" in cleaned.output
    assert not (copy / "shards").exists() and store.client().find("bench/cache") == there


def test_processes_open_the_address_each_for_itself(machine: Any) -> None:
    copy = machine("one")
    with Processes(2) as engine:
        assert list(engine.map(_sent, [copy / "scores" / str(i) for i in range(6)])) == [None] * 6
    two = machine("two")
    assert all(sound(two / "scores" / str(i)) for i in range(6))


def _sent(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())
    seal(path)
