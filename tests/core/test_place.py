"""Whose folder a build goes to: one of other settings, and what somebody else put there, is not overwritten."""

from __future__ import annotations

import pytest

from instdata.build import build, prepare
from instdata.util.errors import InputError
from tests.conftest import Bench, rows


@pytest.fixture
def two(bench: Bench):
    """Build into `out` with settings beside the recipe."""
    bench.jsonl("a.jsonl", rows(20))

    def run(recipe: str = "r.yaml", sets=(), limit=None, fresh=False, **content):
        path = bench.recipe(recipe, **{"sources": [{"path": "a.jsonl"}], **content})
        return build(prepare(path, sets, limit, fresh=fresh), bench.folder / "out")

    return run


def test_a_build_of_other_settings_is_not_overwritten(two):
    first = two()
    before = first.manifest
    for other in (
        {"limit": 5},
        {"sets": ["seed=9"]},
        {"limit": 5, "fresh": True},
        {"sets": ["name=other"]},
        {"recipe": "b.yaml", "seed": 3},
    ):
        with pytest.raises(InputError, match=r"another build is there .* than is asked for .*--out"):
            two(**other)
        assert not two().changed
    assert two().manifest == before
    trial = {"sets": ["seed=9"], "recipe": "r.yaml"}
    with pytest.raises(InputError, match="no --set.*--set seed=9"):
        two(**trial)


def test_the_same_command_an_edited_recipe_and_the_same_settings_go_through(two):
    first = two()
    assert not two().changed and not two(sets=["seed=0"]).changed  # says nothing new
    edited = two(seed=4)
    assert edited.changed and edited.manifest["seed"] == 4 and first.path == edited.path
    assert two(seed=4, fresh=True).changed


def test_a_trial_is_not_overwritten_by_the_whole_either(two):
    two(limit=5)
    assert not two(limit=5).changed
    with pytest.raises(InputError, match="--limit 5.*no --limit"):
        two()


def test_a_folder_with_our_lock_and_somebodys_files_is_left_alone(two, bench):
    out = bench.folder / "out"
    out.mkdir()
    (out / ".instdata.lock").write_text("123")
    for name in ("README.md", "notes.txt", "data"):
        if name == "data":
            (out / name).mkdir()
        else:
            (out / name).write_text("mine")
        with pytest.raises(InputError, match=f"instdata did not write '{name}'.*--out"):
            two()
        if name != "data":
            assert (out / name).read_text() == "mine"
            (out / name).unlink()
    (out / "data").rmdir()
    assert two().changed


def test_a_folder_that_a_build_left_half_moved_is_built_on(two, bench):
    done = two()
    whole = {p.name: p.read_bytes() for p in done.path.rglob("*.parquet")}
    (done.path / "manifest.json").unlink()
    (done.path / "README.md").unlink()
    assert two().changed
    assert {p.name: p.read_bytes() for p in done.path.rglob("*.parquet")} == whole


@pytest.mark.parametrize("text", ["[]", "3", '{"recipe_sha256": []}', "null", '{"versions": 1}'])
def test_a_manifest_that_is_none_means_a_new_build(bench: Bench, text: str) -> None:
    from instdata.corpus.output_folder import finished

    for name, other in (("manifest.json", "run.json"), ("run.json", "manifest.json")):
        (bench.folder / name).write_text(text)
        (bench.folder / other).write_text('{"sizes": {}, "recipe_sha256": "x", "versions": {}}')
        assert finished(bench.folder, "x", print) is None
