"""Every scalar of a recipe with every kind of wrong value: it is read, or refused with its key (exit 2), never a bug."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.build import prepare
from instdata.cli import main
from instdata.corpus.read_build_folder import manifest
from instdata.publish.verify import verify
from instdata.recipe.load import read_recipe
from instdata.recipe.set_and_environment import substitute
from instdata.steps.base import BUILTIN, step_class
from instdata.util.errors import InputError
from instdata.util.paths import expanded
from instdata.util.yaml import Document

RECIPE: dict[str, Any] = {
    "name": "a", "seed": 0, "taxonomy": "belle", "limit": 5,
    "sources": [{"path": "a.jsonl", "name": "s", "format": "auto", "map": {"instruction": "q"}, "roles": {"user": ["me"]},
        "origin": "human", "license": "mit", "max_bad": "1%", "exclude": ["x"], "encoding": "utf-8", "delimiter": "tab",
        "sheet": "a", "damaged": "stop", "revision": "x", "config": "c", "split": "train", "hub": "o/n"}],
    "subsets": {"by": "ability", "sizes": ["10%", "100%"]}, "ablate": {"model": "auto", "seeds": 3},
    "publish": {"repo": "a/b", "license": "mit", "private": True, "meta": False},
    "steps": [{kind: {}} for kind in sorted(BUILTIN)],
}  # fmt: skip
LONG = "n" * 300
VALUES = st.sampled_from(
    [5, -1, 1.5, float("nan"), float("inf"), 10**400, None, True, [], [5], [None], [[["x"]]], {}, {"a": 5}, "", "\n", "x\n",
     "\0", "a\0b", "~nouser-x/y", LONG, "a/" * 3000, "\x1b[31m", "\u202e", "..", "/", "[", "**", "${", "http://[", "://", "1e999",
     datetime.date(2024, 1, 1), "\U0001f4a5", "x" * 100_000]
) | st.text(max_size=20) | st.integers() | st.floats()  # fmt: skip


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data, and every option of every step."""
    if at:
        yield at
    if at[:1] == ("steps",) and len(at) == 3:
        yield from ((*at, option) for option in step_class(at[2]).model_fields)
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(inner, (*at, key))


def put(at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The recipe with another value at a place; of the steps only the one in question."""
    made = copy.deepcopy(RECIPE)
    if at[0] == "steps" and len(at) > 1:
        made["steps"], at = [made["steps"][at[1]]], ("steps", 0, *at[2:])
    elif at[0] != "steps":
        del made["steps"]
    node = made
    for key in at[:-1]:
        node = node[key]
    node[at[-1]] = value
    return made


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(places(RECIPE))), VALUES)
def test_a_wrong_value_is_refused_under_its_key(at: tuple[Any, ...], value: Any) -> None:
    recipe = put(at, value)
    try:
        read_recipe(recipe)
    except InputError as e:
        said = str(e)
        assert e.exit_code == 2 and any(k.removesuffix("s") in said for k in at if isinstance(k, str)), (
            at,
            value,
            said,
        )
        assert all(len(line) < 2000 for line in said.splitlines()), said[:300]


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    )
)
def test_any_yaml_at_all(value: Any) -> None:
    for recipe in (
        {"sources": value},
        {"steps": value, "sources": [{"path": "a"}]},
        value if isinstance(value, dict) else {},
    ):
        with pytest.raises(InputError) if recipe == {} else _perhaps():
            read_recipe(recipe)
    substitute(value, (), Document("x", value, {}), [])


class _perhaps:
    """An InputError may come."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, InputError)


@pytest.mark.parametrize("step", ["overrides", "review", "decontaminate"])
@pytest.mark.parametrize("name", ["a\0b", LONG, "a/" * 3000, "~nouser-x/y"])
def test_files_of_steps_that_no_file_is(step: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"instruction": "a b c", "response": "x y z"}\n' * 3)
    option = {"against": [name]} if step == "decontaminate" else {"path": name}
    recipe = {"sources": [{"path": "a.jsonl"}], "steps": [{step: option}]}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(InputError, match=step):
        prepare(tmp_path / "r.yaml", online=False)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"sources": [{"path": name}]}))
    with pytest.raises(InputError, match=r"r\.yaml:\d+: "):
        prepare(tmp_path / "r.yaml", online=False)


@pytest.mark.parametrize("name", [LONG, "a/" * 3000, "d/" + LONG + "/x"])
def test_names_too_long_for_a_file(name: str) -> None:
    with pytest.raises(InputError, match="too long"):
        expanded(name)


@pytest.mark.parametrize("files", [[5], [None], ["data/\0x"], 5, None, [["data/00-full.parquet"]]])
def test_a_manifest_whose_files_are_none(files: Any, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"configs": {"full": {"files": files}}}))
    with pytest.raises(InputError):
        manifest(tmp_path)
    with pytest.raises(InputError):
        verify(tmp_path)


@pytest.mark.parametrize("value", [5, None, "x", [], [5], True, 1e400])
def test_a_manifest_with_another_kind_of_value(value: Any, tmp_path: Path) -> None:
    whole: dict[str, Any] = {"name": "a", "seed": 0, "versions": {"instdata": "1"}, "totals": {"in": 1},
        "steps": [{"name": "a", "in": 1, "reasons": {"short": 1}}], "configs": {"full": {"files": [], "by_ability": {"x": 1}}}}  # fmt: skip
    for at in (("name",), ("seed",), ("versions",), ("totals", "in"), ("steps",), ("steps", 0), ("steps", 0, "name"),
               ("steps", 0, "reasons"), ("steps", 0, "reasons", "short"), ("configs", "full", "by_ability")):  # fmt: skip
        made = copy.deepcopy(whole)
        node: Any = made
        for key in at[:-1]:
            node = node[key]
        kind, node[at[-1]] = type(node[at[-1]]), value
        (tmp_path / "manifest.json").write_text(json.dumps(made))
        if isinstance(value, kind) and not isinstance(value, bool) and value in (5, "x", []):
            assert manifest(tmp_path) == made
        else:
            with pytest.raises(InputError, match="no build's manifest"):
                manifest(tmp_path)


@pytest.mark.parametrize(
    "argv", [["validate", LONG], ["validate", "a/" * 3000], ["why", "o\udca0", "--build", LONG], ["report", LONG], ["diff", LONG, "x"],
             ["verify", "a/" * 3000], ["why", "\udcff"], ["init", LONG]]
)  # fmt: skip
def test_arguments_that_no_file_is_called(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["instdata", *argv])
    with pytest.raises(SystemExit) as left:
        main.main()
    said = capsys.readouterr().err
    assert left.value.code == 2 and "This is a bug" not in said and len(said) < 600
