"""The cache is believed only where it is what was written: flipped and cut files give the same build or a clear
stop."""

from __future__ import annotations

import os
import random
import shutil
import sys

import pyarrow.parquet as pq
import pytest

from instdata.build import build, folder_of, prepare
from instdata.builds import export, history
from instdata.read.export_dropped import export_dropped
from instdata.util.errors import InputError, InstdataError
from instdata.util.sealed import read_sealed_json, seal, sound, write_sealed_json
from tests.conftest import rows

building = sys.modules["instdata.build"]  # `instdata.build` is the function, too
STEPS = [
    {"dedup": {"threshold": 0.9}},
    {"quality": {"rules": "default"}},
    {"filter": {"where": "length(prompt) % 5 > 0"}},
]


def cached(bench):
    cache = prepare(bench.recipe(sources=[{"path": "a.jsonl"}], steps=STEPS)).context.cache
    return sorted(p for p in cache.rglob("*") if p.is_file())


def bytes_of(folder):
    kept = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".parquet", ".jsonl", ".yaml"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in [*kept, folder / "manifest.json"]}


def damaged(bench, count, seed):
    """Damage one cache file after another; each build is the first one again, or stops with a clear line."""
    bench.jsonl("a.jsonl", [*rows(60), {"instruction": "?", "output": 7}, 3])
    said: list[str] = []

    def built():
        plan = prepare(bench.recipe(sources=[{"path": "a.jsonl"}], steps=STEPS), say=said.append)
        return bytes_of(build(plan, bench.folder / f"out-{len(said)}").path)

    first = built()
    rng = random.Random(seed)
    noticed = 0
    for _ in range(count):
        path = rng.choice(cached(bench))
        whole = bytearray(path.read_bytes())
        at = rng.randrange(max(len(whole), 1))
        if whole and rng.random() < 0.7:
            whole[at] ^= 1 << rng.randrange(8)
        else:
            del whole[at:]
        path.write_bytes(whole)
        said.clear()
        said.append("")
        for old in bench.folder.glob("out-*"):
            os.rename(old, bench.folder / "gone")

            shutil.rmtree(bench.folder / "gone")
        try:
            again = built()
        except InstdataError as e:
            assert str(e), path
            continue
        assert again == first, path
        noticed += any("damaged" in line for line in said)
    return noticed


def test_damaged_cache_files_give_the_same_bytes(bench):
    assert damaged(bench, 12, seed=1) >= 5  # of the others nothing was read: what is kept of rows, where none is new


@pytest.mark.slow
def test_300_damaged_cache_files_give_the_same_bytes(bench):
    assert damaged(bench, 300, seed=2) >= 200


def test_a_seal_is_broken_by_any_change(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert not sound(path)
    seal(path)
    assert sound(path)
    path.write_bytes(b"abd")
    assert not sound(path)
    write_sealed_json(tmp_path / "j", {"a": [1]})
    assert read_sealed_json(tmp_path / "j") == {"a": [1]}
    text = (tmp_path / "j").read_text()
    for broken in (text.replace("1", "2"), text[:-3], "", "[]", "null"):
        (tmp_path / "j").write_text(broken)
        assert read_sealed_json(tmp_path / "j") is None


def test_a_file_that_changes_while_it_is_read_is_read_again(bench, monkeypatch):
    monkeypatch.setattr(building, "PAUSES", (0.0, 0.0, 0.0))
    bench.jsonl("a.jsonl", rows(30))
    said: list[str] = []
    plan = prepare(bench.recipe(sources=[{"path": "a.jsonl"}]), say=said.append)
    bench.jsonl("a.jsonl", rows(31))
    done = build(plan, bench.folder / "out")
    assert [line for line in said if "was written while it was read" in line] == [
        f"{bench.folder / 'a.jsonl'}: the file was written while it was read: it is read again"
    ]
    again = bench.build(out="again", sources=[{"path": "a.jsonl"}])
    assert done.manifest == again.manifest and done.manifest["totals"]["kept"] == 31
    assert bytes_of(done.path) == bytes_of(again.path)


def test_a_file_that_never_comes_to_rest_stops_the_build(bench, monkeypatch):
    monkeypatch.setattr(building, "PAUSES", (0.0, 0.0))
    bench.jsonl("a.jsonl", rows(30))
    plan = prepare(bench.recipe(sources=[{"path": "a.jsonl"}]))
    written = []

    def write(*args):
        written.append(bench.jsonl("a.jsonl", rows(31 + len(written))))
        return real(*args)

    real = building.read_sources
    monkeypatch.setattr(building, "read_sources", write)
    with pytest.raises(InputError, match="was written while it was read, again and again"):
        build(plan, bench.folder / "out")
    assert len(written) == 3 and not (bench.folder / "out/manifest.json").exists()


def test_the_kept_recipe_is_the_recipe_that_ran(bench):
    path = bench.jsonl("a.jsonl", rows(30))
    where = "/* short ones */ length(prompt) > 3"
    done = bench.build(sources=[{"path": str(path), "name": "a"}], steps=[{"filter": {"where": where}}])
    text = (done.path / "recipe.yaml").read_text()
    assert where in text and str(bench.folder) not in text


def test_a_stray_file_named_like_an_option_changes_nothing(bench):
    bench.jsonl("a.jsonl", rows(30))
    content = {"sources": [{"path": "a.jsonl"}], "steps": [{"dedup": {"method": "minhash", "view": "prompt"}}]}
    first = prepare(bench.recipe(**content)).sha256
    for name in ("minhash", "prompt", "auto", "t", "alpaca"):
        (bench.folder / name).write_text("x")
    assert prepare(bench.recipe(**content)).sha256 == first


def test_trials_go_to_folders_of_their_own():
    assert str(folder_of("b")) == "builds/b" and str(folder_of("b", (), 1000)) == "builds/b@limit-1000"
    assert str(folder_of("b", ["dedup.threshold=0.8"])) == "builds/b@dedup.threshold-0.8"
    long = [f"step{i}.option=value{i}" for i in range(20)]
    assert len(folder_of("b", long).name) < 80 and folder_of("b", long) != folder_of("b", long[1:])
    alike = ["filter.where=lang = 'zh'", "filter.where=lang <> 'zh'", "filter.where=a < 5", "filter.where=a > 5"]
    assert len({folder_of("b", [one]) for one in alike}) == 4
    assert folder_of("b", ["x.y=1", "a.b=2"]) == folder_of("b", ["a.b=2", "x.y=1"])


def test_a_limit_clips_the_sizes(bench):
    bench.jsonl("a.jsonl", rows(50))
    recipe = bench.recipe(sources=[{"path": "a.jsonl"}], subsets={"sizes": [20, 40]})
    done = build(prepare(recipe, limit=10), bench.folder / "out")
    assert done.manifest["configs"]["full"]["rows"] == 10


def test_dropped_rows_live_in_the_build(bench):
    bench.jsonl("a.jsonl", [*rows(40), *rows(5)])
    steps = [{"dedup": {"threshold": 0.95}}, {"filter": {"where": "length(prompt) % 2 > 0"}}]
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=steps)
    table = pq.read_table(done.path / "dropped.parquet")
    assert len(table) == done.manifest["totals"]["dropped"] > 5

    shutil.rmtree(prepare(bench.recipe(sources=[{"path": "a.jsonl"}])).context.cache)
    row = table.slice(0, 1).to_pylist()[0]
    assert history(done.path, row["rid"])[0]["messages"] is not None
    out = bench.folder / "gone.jsonl"
    reasons = {s["name"]: s["reasons"] for s in done.manifest["steps"]}
    assert export_dropped(done.path, "all", out)["written"] == len(table)
    assert export_dropped(done.path, "dedup", out)["written"] == sum(reasons["dedup"].values())
    ((reason, count),) = reasons["filter"].items()
    assert export_dropped(done.path, f"filter.{reason}", out)["written"] == count
    with pytest.raises(InputError, match='no step "dedupe".*Did you mean "dedup"'):
        export_dropped(done.path, "dedupe", out)
    with pytest.raises(InputError, match="dropped nothing as"):
        export_dropped(done.path, "dedup.nope", out)


def test_export_leaves_alone_what_it_did_not_write(bench):
    bench.jsonl("a.jsonl", rows(10))
    done = bench.build(sources=[{"path": "a.jsonl"}])
    out = bench.folder / "out.jsonl"
    export(done.path, "alpaca", out)
    export(done.path, "messages", out)
    out.write_text("my notes")
    with pytest.raises(InputError, match="did not write it"):
        export(done.path, "alpaca", out)
    assert out.read_text() == "my notes"
