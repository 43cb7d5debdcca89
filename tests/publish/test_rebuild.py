"""verify --rebuild: the same bytes again from a build's own recipe, and what it says where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from instdata.publish.published_folder import write_publication
from instdata.rebuild import rebuild
from instdata.steps.base import step_class
from instdata.util.checksums import write_sums
from instdata.util.errors import InputError
from tests.shell import Shell


@pytest.fixture
def home(small: Path, tmp_path: Path) -> Path:
    """A folder with the small set's rows and its build under builds/."""
    shutil.copy(small.parent / "rows.jsonl", tmp_path / "rows.jsonl")
    shutil.copytree(small, tmp_path / "builds/small")
    return tmp_path


def test_the_same_bytes_again(home: Path) -> None:
    shell = Shell(home)
    found = shell.json("verify", "small", "--rebuild")
    assert found["ok"] and found["checks"][-1]["name"] == "rebuild" and found["checks"][-1]["problems"] == []
    other = home / "elsewhere"
    other.mkdir()
    shutil.move(home / "rows.jsonl", other / "rows.jsonl")
    assert "rows.jsonl: no such file" in shell("verify", "small", "--rebuild", code=2).stderr
    assert shell.json("verify", "small", "--rebuild", "--sources", "elsewhere")["ok"]


def test_what_differs_is_named(home: Path) -> None:
    with open(home / "rows.jsonl", "a") as file:
        file.write('{"instruction": "one more", "output": "row"}\n')
    problems = rebuild(home / "builds/small", home)["problems"]
    assert "source mine: rows.jsonl has other bytes than the build read" in problems
    assert "manifest.json has other bytes when it is built again" in problems


def test_a_damaged_file_is_found(home: Path) -> None:
    (home / "builds/small/ledger.parquet").write_bytes(b"PAR1")
    problems = rebuild(home / "builds/small", home)["problems"]
    assert problems == ["ledger.parquet has other bytes when it is built again"]


def test_a_published_set_is_rebuilt_as_it_was_published(home: Path) -> None:
    out = home / "me/small"
    write_publication(home / "builds/small", out, str(out), meta=False)
    assert rebuild(out, home)["problems"] == []


ASKING = [
    {"generate": {"model": "gpt-9", "target": 3}},
    {"generate": {"method": "respond", "model": "local:qwen2.5-1.5b", "judge": "gpt-9", "best_of": 3}},
    {"categorize": {"method": "llm", "model": "gpt-9", "name": "asked"}},
    {"categorize": {"method": "cascade", "model": "gpt-9", "name": "asked"}},
    {"categorize": {"method": "learned", "teacher": "llm", "model": "gpt-9", "name": "asked"}},
    {"quality": {"llm": {"model": "gpt-9"}, "name": "asked"}},
    {"verify": {"model": "gpt-9"}},
]


@pytest.mark.parametrize("step", ASKING)
def test_no_model_is_asked_anew(home: Path, step: dict) -> None:
    path = home / "builds/small/recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["steps"].insert(0, step)
    path.write_text(yaml.safe_dump(recipe))
    write_sums(path.parent)
    with pytest.raises(InputError, match="asks gpt-9 at an endpoint, whose answers cost and change"):
        rebuild(home / "builds/small", home)


def test_a_step_says_which_models_it_asks() -> None:
    asks = {
        "generate": ({"model": "local:x", "target": 3, "judge": "unused"}, ("local:x",)),
        "categorize": ({"method": "learned", "model": "gpt-9"}, ()),
        "quality": ({"rules": "default"}, ()),
        "verify": ({"draws": 0, "model": "gpt-9"}, ()),
        "dedup": ({}, ()),
    }
    assert {kind: step_class(kind).written(options, "").asks_models for kind, (options, _) in asks.items()} == {
        kind: models for kind, (_, models) in asks.items()
    }
