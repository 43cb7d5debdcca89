"""Sources and builds at addresses: a loopback S3 that also fails, nothing of it lost and nothing half published."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instdata.build import build, prepare
from instdata.cli.main import app
from instdata.corpus.write_build_folder import locked
from instdata.read.find_files import find_files
from instdata.read.source_options import Source
from instdata.util import remote_address
from instdata.util.errors import BuildError, InputError
from instdata.util.paths import cache_folder
from instdata.util.remote_address import is_url
from instdata.util.remote_files import Place, fetched
from tests.conftest import Bench, rows
from tests.core.conftest import Store

pytest.importorskip("moto")
pytest.importorskip("s3fs")


def put(store: Store, name: str, records: list[Any]) -> None:
    store.client().pipe_file(f"bench/{name}", "".join(json.dumps(r) + "\n" for r in records).encode())


def test_a_build_reads_and_writes_a_store(store: Store, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "in/a.jsonl", rows(30))
    put(store, "in/b.jsonl", rows(50)[30:])
    recipe = bench.recipe(sources=[{"path": "s3://bench/in/*.jsonl", "name": "d"}])
    monkeypatch.chdir(bench.folder)
    first = CliRunner().invoke(app, ["build", str(recipe), "--out", "s3://bench/out", "--json"])
    assert first.exit_code == 0, first.output
    there = store.client().find("bench/out")
    assert "bench/out/manifest.json" in there and "bench/out/data/00-full.parquet" in there
    assert json.loads(store.client().cat("bench/out/manifest.json"))["totals"]["in"] == 50
    assert not [p for p in bench.folder.rglob("*") if p.name.startswith("s3:")]
    held = b"".join(p.read_bytes() for p in (bench.folder / "builds").rglob("*") if p.is_file())
    assert b"very-secret" not in held
    puts = [a for a in store.asked if a.startswith("PUT") and "manifest" in a]
    assert store.asked.index(puts[-1]) == max(i for i, a in enumerate(store.asked) if a.startswith("PUT"))
    store.asked.clear()
    assert CliRunner().invoke(app, ["build", str(recipe), "--out", "s3://bench/out", "--json"]).exit_code == 0
    assert not [a for a in store.asked if a.startswith("PUT") and "lock" not in a]  # the same again sends nothing
    trial = CliRunner().invoke(app, ["build", str(recipe), "--limit", "5", "--out", "s3://bench/out", "--json"])
    assert isinstance(trial.exception, InputError) and "another build is there (no --limit)" in str(trial.exception)
    local = build(prepare({"name": "t",
        "sources": [{"path": "x",
        "name": "d"}]} | {"sources": [{"path": [str(p) for p in fetched("s3://bench/in/*.jsonl", cache_folder())],
        "name": "d"}]}), bench.folder / "local")  # fmt: skip
    assert (local.path / "data/00-full.parquet").read_bytes() == store.client().cat("bench/out/data/00-full.parquet")


@pytest.mark.parametrize("how", ["500", "reset"])
def test_a_store_that_fails_now_and_then_loses_nothing(store: Store, bench: Bench, how: str) -> None:
    put(store, "in/a.jsonl", rows(40))
    store.fails = lambda method, path, count: how if count % 3 == 0 else ""
    [copy] = fetched("s3://bench/in/a.jsonl", cache_folder())
    assert len(copy.read_text().splitlines()) == 40
    done = bench.build(sources=[{"path": str(copy), "name": "d"}])
    assert Place("s3://bench/out").send(done.path) > 3
    store.fails = lambda method, path, count: ""
    for path in (p for p in done.path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        assert store.client().cat(f"bench/out/{path.relative_to(done.path)}") == path.read_bytes()


def test_an_interrupted_upload_leaves_no_manifest_and_goes_on(store: Store, bench: Bench,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    done = bench.build(sources=[{"path": str(bench.jsonl("d.jsonl", rows(20))), "name": "d"}])
    Place("s3://bench/out").send(done.path)
    (done.path / "README.md").write_text("changed")
    monkeypatch.setattr("instdata.util.remote_address.TRIES", 2)
    store.fails = lambda method, path, count: "500" if method == "PUT" and "README" in path else ""
    place = Place("s3://bench/out")
    with pytest.raises(BuildError, match="run the same command again to go on"):
        place.send(done.path)
    store.fails = lambda method, path, count: ""
    assert not store.client().exists("bench/out/manifest.json")
    assert Place("s3://bench/out").send(done.path) == 2  # the card and the manifest
    assert store.client().cat("bench/out/README.md") == b"changed"


def test_what_an_older_build_left_at_a_place_goes(store: Store, bench: Bench) -> None:
    done = bench.build(sources=[{"path": str(bench.jsonl("d.jsonl", rows(20))), "name": "d"}])
    run = json.loads((done.path / "run.json").read_text())
    for name in ("dropped.parquet", "report.html", "charter.md"):
        (done.path / name).write_text("old")
    (done.path / "run.json").write_text(json.dumps({**run, "sizes": {**run["sizes"], "charter.md": 3}}))
    Place("s3://bench/out").send(done.path)
    put(store, "out/reviews.jsonl", [{}])  # somebody's own
    for name in ("dropped.parquet", "report.html", "charter.md"):
        (done.path / name).unlink()
    (done.path / "run.json").write_text(json.dumps(run))
    assert Place("s3://bench/out").send(done.path) == 1
    here = {p.relative_to(done.path).as_posix() for p in done.path.rglob("*") if p.is_file()}
    there = {f.removeprefix("bench/out/") for f in store.client().find("bench/out")}
    assert there == here | {"reviews.jsonl"} and "manifest.json" in there
    assert Place("s3://bench/out").send(done.path) == 0


def test_a_place_that_holds_something_else_is_refused(store: Store) -> None:
    put(store, "mine/thesis.txt", [{}])
    with pytest.raises(InputError, match="instdata did not write"):
        Place("s3://bench/mine")
    with pytest.raises(InputError, match="no such file"):
        fetched("s3://bench/nothing.jsonl", cache_folder())
    with pytest.raises(InputError, match="s3://nobucket"):
        Place("s3://nobucket/x")


def test_addresses_where_only_folders_go_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="a folder of this machine only"), locked(Path("s3://bench/out")):
        pass
    assert not os.listdir(tmp_path)
    assert is_url("s3://a") and is_url(Path("s3://a")) and is_url("https://a") and not is_url("C:/a") and not is_url("a/b")  # fmt: skip


def test_what_is_fetched_is_kept_until_it_changes(store: Store, bench: Bench) -> None:
    put(store, "in/a.jsonl", rows(3))
    source = Source(path="s3://bench/in/a.jsonl")
    [(first, name)] = find_files(source, bench.folder)
    store.asked.clear()
    assert find_files(source, bench.folder) == [(first, "a.jsonl")] and name == "a.jsonl"
    assert not [a for a in store.asked if a.startswith("GET") and a.endswith("a.jsonl")]
    put(store, "in/a.jsonl", rows(4))
    [(second, _)] = find_files(source, bench.folder)
    assert len(second.read_text().splitlines()) == 4


def test_a_transfer_that_breaks_off_late_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has tried for a minute by itself is not asked again; a transfer of an hour is."""
    clock = iter(range(0, 10_000, 45))
    monkeypatch.setattr(remote_address.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(remote_address.time, "sleep", lambda seconds: None)

    def breaks(times: list[int]) -> str:
        times.append(1)
        if len(times) < 3:
            raise ConnectionError("gone")
        return "all of it"

    assert remote_address.safely("s3://b/x", lambda tried=[]: breaks(tried), math.inf) == "all of it"  # type: ignore[misc]
    with pytest.raises(BuildError, match=r"gone \(1 try\)"):
        remote_address.safely("s3://b/x", lambda tried=[]: breaks(tried))  # type: ignore[misc]


@pytest.mark.parametrize("form", ["azure", "google", "none"])
def test_what_a_store_has_is_not_sent_again(form: str, bench: Bench, tmp_path: Path) -> None:
    """Azure and Google name a file's MD5 in their own ways (as adlfs 2026.8 and gcsfs 2026.9 gave it against Azurite and a
    storage emulator); a store that names none gets all files."""
    import base64
    import hashlib

    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Named(MemoryFileSystem):
        protocol, store, pseudo_dirs = "named", {}, [""]

        def info(self, path: str, **more: Any) -> dict[str, Any]:
            info = super().info(path, **more)
            if info["type"] == "file":
                md5 = hashlib.md5(self.cat_file(path)).digest()
                info |= {"azure": {"etag": '"0x1"', "content_settings": {"content_md5": bytearray(md5)}}, "none": {},
                    "google": {"etag": "x", "md5Hash": base64.b64encode(md5).decode()}}[form]  # fmt: skip
            return info

    fsspec.register_implementation("named", Named, clobber=True)
    (bench.folder / "d.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(9)))
    done = bench.build(sources=[{"path": "d.jsonl"}])
    count = Place("named://bench/out").send(done.path)
    assert count > 3
    assert Place("named://bench/out").send(done.path) == (count if form == "none" else 0)
    (done.path / "README.md").write_text("another card of the same size"[:20])
    assert Place("named://bench/out").send(done.path) == (count if form == "none" else 1)


@pytest.mark.parametrize("out, told", [("nothing://x/a", "Protocol not known"), ("https://x/a", "read only")])
def test_what_takes_no_build_is_said_before_the_sources_are_opened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, out: str, told: str
) -> None:
    monkeypatch.setattr("instdata.build.prepare", lambda *how: pytest.fail("sources were opened"))
    ran = CliRunner().invoke(app, ["build", str(bench.recipe(sources=[{"path": "s3://a/b"}])), "--out", out])
    assert isinstance(ran.exception, InputError) and told in str(ran.exception)


def test_an_address_without_a_bucket_is_wrong_input(store: Store) -> None:
    with pytest.raises(InputError, match="Name a bucket"):
        fetched("s3://", cache_folder())


def test_whoever_waits_hears_why(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "in/a.jsonl", rows(3))
    said: list[str] = []
    monkeypatch.setattr("instdata.util.progress.doing", said.append)
    store.asked.clear()
    store.fails = lambda method, path, count: "500" if count <= 4 else ""
    assert fetched("s3://bench/in/a.jsonl", cache_folder())
    assert any("s3://bench/in/a.jsonl: " in line and "asking again" in line for line in said)
