"""A build's files are what it wrote, or nothing is read of them: single bits, cut, older, swapped and foreign files."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from pathlib import Path

import pytest

import instdata
from instdata.api import open_build
from instdata.builds import export, find_build, history, rows_of
from instdata.publish.verify import verify
from instdata.read.export_dropped import export_dropped
from instdata.report.build_facts import open_ledger
from instdata.report.review.sampling import draw
from instdata.util.checksums import SUMS, part, sums_of, write_sums
from instdata.util.errors import DamagedInput, InputError, InstdataError
from tests.conftest import Bench, rows

STEPS = [{"dedup": {"threshold": 0.9}}, {"quality": {"rules": ["secret"]}}]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A build with kept, dropped, held out and unreadable rows; tests copy it."""
    bench = Bench(tmp_path_factory.mktemp("made"))
    bench.jsonl("a.jsonl", [*rows(40), *rows(3), {"instruction": "no answer", "output": ""}, 3])
    recipe = {"sources": [{"path": "a.jsonl", "max_bad": 0.5}], "steps": STEPS, "subsets": {"sizes": [10]}}
    return bench.build(**recipe).path


@pytest.fixture
def built(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "builds" / "b"))


def answers(build: Path, scratch: Path) -> list[bytes]:
    """What a build tells by every way of asking: None of them may differ where a file was damaged."""
    out = scratch / "out.jsonl"
    told = []
    for ask in (
        lambda: export(build, "source", out),
        lambda: export(build, "messages", out),
        lambda: export_dropped(build, "all", out),
    ):
        out.unlink(missing_ok=True)
        ask()
        told.append(out.read_bytes())
    rid = open_build(build).dropped()["rid"][0].as_py()
    told += [json.dumps(history(build, r), default=str).encode() for r in (rid, "a/a.jsonl:0", "a/a.jsonl:44")]
    told.append(str([b.to_pylist() for b in rows_of(build, "10")]).encode())
    with open_ledger(build, open_build(build).manifest) as db:
        told.append(str(db.execute("select * from ledger").fetchall()).encode())
    told.append(str(draw(build, "rule").items).encode())
    return told


def flips(made: Path, scratch: Path, bits: int, seed: int) -> tuple[int, int]:
    """Flip `bits` random bits of every file of a build, one at a time; (those that stopped an answer, all of them)."""
    rng, build = random.Random(seed), scratch / "b"
    shutil.copytree(made, build)
    first = answers(build, scratch)
    stopped = tried = 0
    for path in sorted(p for p in build.rglob("*") if p.is_file() and not p.name.startswith(".")):
        whole = path.read_bytes()
        for at in (rng.randrange(len(whole)) for _ in range(bits)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
            tried += 1
            try:
                assert answers(build, scratch) == first, (path.name, at)
            except InstdataError as e:
                stopped += 1
                assert str(build) in str(e) and "\n" not in str(e), e
            assert not _verified(build), (path.name, at)
        path.write_bytes(whole)
    assert answers(build, scratch) == first and _verified(build)
    return stopped, tried


def _verified(build: Path) -> bool:
    try:
        return verify(build)["ok"]
    except InputError:
        return False


def test_a_flipped_bit_of_any_file_stops_what_reads_it_and_verify_says_so(made, tmp_path):
    stopped, tried = flips(made, tmp_path, 1, seed=1)
    assert tried >= 14 and stopped >= 7


@pytest.mark.slow
def test_300_flipped_bits_of_a_builds_files(made, tmp_path):
    stopped, tried = flips(made, tmp_path, 20, seed=2)
    assert tried >= 280 and stopped >= 140


def test_two_builds_of_the_same_have_the_same_list(made, tmp_path):
    bench = Bench(made.parent)
    recipe = {"sources": [{"path": "a.jsonl", "max_bad": 0.5}], "steps": STEPS, "subsets": {"sizes": [10]}}
    again = bench.build(out="again", **recipe).path
    assert (again / SUMS).read_bytes() == (made / SUMS).read_bytes()
    assert (again / "run.json").read_bytes() != (made / "run.json").read_bytes()
    shutil.rmtree(again)


def test_the_list_is_what_sha256sum_checks_and_names_every_file(built):
    assert verify(built)["ok"]
    listed = set(sums_of(built) or ())
    there = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    assert listed == there - {SUMS, ".instdata.lock"} and "manifest.json" in listed
    assert os.system(f"cd '{built}' && sha256sum --check --quiet --strict {SUMS}") == 0


CHANGES = {
    "cut": lambda f, other: f.write_bytes(f.read_bytes()[:-7]),
    "gone": lambda f, other: f.unlink(),
    "of another build": lambda f, other: shutil.copyfile(other / f.name, f),
    "empty": lambda f, other: f.write_bytes(b""),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("name", ["forms.parquet", "dropped.parquet", "quarantine.jsonl", "ledger.parquet"])
def test_a_file_that_is_cut_gone_or_another_builds_is_not_read(built, made, tmp_path, name, what):
    other = Path(shutil.copytree(made, tmp_path / "other"))
    (other / name).write_bytes((other / name).read_bytes() + b"\n")
    CHANGES[what](built / name, other)
    with pytest.raises(DamagedInput) as error:
        export(built, "source", tmp_path / "o.jsonl")
    assert f"{built / name}: " in str(error.value) and "instdata build" in str(error.value)
    assert not (tmp_path / "o.jsonl").exists() and error.value.exit_code == 4
    assert any(name in p for p in verify(built)["problems"])


def test_shards_gone_added_or_of_a_list_that_is_gone(built):
    (built / "data" / "02-more.parquet").write_bytes((built / "data" / "00-10.parquet").read_bytes())
    (built / "notes.txt").write_text("mine")
    found = verify(built)
    assert found["problems"] == ["files: data/02-more.parquet: the build did not write it"]
    assert "beside them: notes.txt" in found["checks"][0]["detail"]
    (built / "data" / "02-more.parquet").unlink()
    (built / "data" / "00-10.parquet").unlink()
    with pytest.raises(DamagedInput, match="00-10.parquet: it is gone"):
        list(rows_of(built))
    (built / SUMS).unlink()
    with pytest.raises(DamagedInput, match="list of this build's checksums is gone"):
        history(built, "a/a.jsonl:0")
    assert not verify(built)["ok"]


def test_a_build_from_before_the_list_is_read_and_that_is_said(built, tmp_path):
    (built / SUMS).unlink()
    manifest = json.loads((built / "manifest.json").read_text())
    del manifest["checksums"]
    manifest["versions"]["instdata"] = "0.0.9"
    (built / "manifest.json").write_text(json.dumps(manifest))
    assert len(answers(built, tmp_path)) > 5
    found = verify(built)
    details = {c["name"]: c["detail"] for c in found["checks"]}
    assert found["ok"] and "built before there was a SHA256SUMS" in details["files"]
    assert "built by another version" in details["version"] and "0.0.9" in details["version"]


def test_verify_compares_the_recipe_and_the_scores(built):
    recipe = built / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seed: 0", "seed: 5").replace("threshold: 0.9", "threshold: 0.8"))
    assert any("recipe.yaml" in p for p in verify(built)["problems"])
    write_sums(built)  # a list that fits does not make it fit the manifest
    assert verify(built)["problems"] == ["recipe: recipe.yaml has seed 5, the manifest 0"]


def test_scores_of_the_data_are_compared_with_the_ledger(built):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = built / "data" / "01-full.parquet"
    table = pq.read_table(path)
    name = next(n for n in table.column_names if n.startswith("score_"))
    value = "x" if pa.types.is_string(table[name].type) else 1
    values = [None if table[name][0].is_valid else value, *table[name].to_pylist()[1:]]
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type)), path)
    write_sums(built)
    assert "scores: 1 rows have other scores in the data than in the ledger" in verify(built)["problems"]


@pytest.mark.parametrize("name", ["manifest.json", "data/00-10.parquet", "ledger.parquet", "run.json"])
@pytest.mark.parametrize("what", ["pipe", "device", "link", "folder"])
def test_pipes_devices_and_links_are_told_and_not_opened(built, tmp_path, name, what):
    path = built / name
    path.rename(tmp_path / "elsewhere")
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere" if what == "link" else "/dev/zero")
    assert not _verified(built)
    with pytest.raises(InputError) as error:
        find_build(built)
        part(built, name)
    assert "\n" not in str(error.value)
    if name == "manifest.json" and what != "link":
        with pytest.raises(InputError, match="this is no file|no finished build"):
            Bench(tmp_path).build(out="builds/b", sources=[{"path": _source(tmp_path)}])


def _source(folder: Path) -> str:
    Bench(folder).jsonl("s.jsonl", rows(12))
    return "s.jsonl"


def test_a_report_that_is_written_again_is_the_builds_own(built):
    pytest.importorskip("vl_convert")
    from instdata.report.page import write_report

    (built / "report.html").write_text("damaged")
    assert not verify(built)["ok"]
    write_report(built)
    assert verify(built)["ok"]


def test_a_damaged_build_is_made_anew_by_the_same_command(tmp_path):
    bench, said = Bench(tmp_path), []
    bench.jsonl("a.jsonl", rows(20))
    first = bench.build(sources=[{"path": "a.jsonl"}])
    assert not bench.build(sources=[{"path": "a.jsonl"}]).changed
    whole = {p: p.read_bytes() for p in first.path.rglob("*.parquet")}
    for path in [*whole, first.path / "manifest.json", first.path / SUMS]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
        from instdata.build import build, prepare

        again = build(prepare(bench.recipe(sources=[{"path": "a.jsonl"}]), say=said.append), first.path)
        assert again.changed and verify(first.path)["ok"], path
        assert {p: p.read_bytes() for p in first.path.rglob("*.parquet")} == whole
    assert sum("the build is made anew" in line for line in said) >= len(whole) + 1


def test_no_code_reads_a_builds_file_past_its_checksum():
    """Every way to a file of a build goes through `part`, but for what writes or checks them."""
    ours = Path(instdata.__file__).parent
    names = r'/ (?:"(?:ledger|dropped|forms)\.parquet"|"quarantine\.jsonl"|"recipe\.yaml"|DROPPED\b|FORMS\b)'
    writers = {
        "build.py",
        "corpus/forms_and_dropped.py",
        "corpus/ledger.py",
        "corpus/write_build_folder.py",
        "publish/verify.py",
        "publish/published_folder.py",
        "publish/set_facts.py",
    }
    for path in ours.rglob("*.py"):
        name = path.relative_to(ours).as_posix()
        if name not in writers | {"publish/card.py"}:
            assert not re.search(names, path.read_text("utf-8")), name
