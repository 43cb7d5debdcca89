"""verify: a good set passes, and each way to damage one is found by the check that is there for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from instdata.corpus.rows import MESSAGES
from instdata.publish.hub_client import HubError
from instdata.publish.published_folder import write_publication
from instdata.publish.verify import verify
from instdata.util.errors import InputError
from tests.hub_server import Hub
from tests.publish.conftest import RECIPE, make


@pytest.fixture
def published(small: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    write_publication(small, folder, "me/small", meta=False)
    return folder


def test_builds_and_publications_pass(small: Path, published: Path) -> None:
    for folder in (small, published):
        found = verify(folder)
        assert found["ok"] and not found["problems"] and all(c["detail"] for c in found["checks"])


def edit(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(folder / name)), folder / name)


def manifest(folder: Path, change: Callable[[dict], object]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def set_column(name: str, value: Callable[[pa.Table], object]) -> Callable[[pa.Table], pa.Table]:
    return lambda t: t.set_column(t.column_names.index(name), name, value(t))


FIRST, LAST = "data/00-25pct.parquet", "data/01-100pct.parquet"
DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a file is gone": ("files", lambda f: (f / "README.zh.md").unlink()),
    "a file was edited": ("files", lambda f: (f / "report.html").write_text("nothing")),
    "rows were written again": ("hashes", lambda f: edit(f, FIRST, lambda t: t)),
    "a row is gone": ("counts", lambda f: edit(f, LAST, lambda t: t.slice(1))),
    "a label was changed": ("counts",
    lambda f: edit(f, FIRST, set_column("ability", lambda t: pa.array(["math"] * len(t))))),
    "a row stands twice": ("nesting", lambda f: edit(f, FIRST, lambda t: pa.concat_tables([t, t.slice(0, 1)]))),
    "sizes do not nest": ("nesting", lambda f: manifest(f, lambda m: m["configs"]["25pct"].update(files=[LAST]))),
    "the card names other files": ("nesting",
    lambda f: (f / "README.md").write_text((f / "README.md").read_text().replace(FIRST, LAST))),
    "a size has another mixture": ("shares",
    lambda f: edit(f, FIRST, set_column("ability", lambda t: pa.array(["math"] * len(t))))),
    "a held-out row stands in full": ("leaks",
    lambda f: edit(f, FIRST, lambda t: pa.concat_tables([t, pq.read_table(f / "data/holdout.parquet").slice(0, 1)]))),
    "a decision is missing": ("ledger", lambda f: edit(f, "ledger.parquet", lambda t: t.slice(1))),
    "a reason was changed": ("ledger",
    lambda f: edit(f, "ledger.parquet",
    set_column("reason", lambda t: pc.replace_substring(t["reason"], "near", "far")))),
    "the ledger keeps another row": ("ledger",
    lambda f: edit(f, "ledger.parquet", set_column("source_row", lambda t: pc.add(t["source_row"], 1000)))),
    "the totals do not add up": ("ledger", lambda f: manifest(f, lambda m: m["totals"].update(kept=1))),
    "a text was changed": ("schema", lambda f: edit(f, FIRST, set_column("id", lambda t: pc.utf8_reverse(t["id"])))),
    "a column is missing": ("schema", lambda f: edit(f, FIRST, lambda t: t.drop_columns(["lang"]))),
    "a column is new": ("schema", lambda f: edit(f, FIRST, lambda t: t.append_column("secret", t["id"]))),
    "data is no Parquet": ("schema", lambda f: (f / FIRST).write_bytes(b"PAR1 no")),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found(published: Path, what: str) -> None:
    name, damage = DAMAGE[what]
    damage(published)
    found = verify(published)
    assert not found["ok"] and any(p.startswith(f"{name}: ") for p in found["problems"]), found["problems"]


def test_near_copies_of_held_out_rows_are_leaks(published: Path) -> None:
    held = pq.read_table(published / "data/holdout.parquet")["messages"].to_pylist()[0]
    held[0]["content"] += " please"

    def copy(table: pa.Table) -> pa.Table:
        return set_column("messages", lambda t: pa.array([held, *t["messages"].to_pylist()[1:]], MESSAGES))(table)

    edit(published, FIRST, copy)
    assert "leaks: 1 rows of full are near copies of held-out ones" in verify(published)["problems"]


def test_rows_that_hold_a_held_out_item_are_leaks_as_in_the_build(published: Path) -> None:
    held = pq.read_table(published / "data/holdout.parquet")["messages"].to_pylist()[0][0]["content"]
    assert len(held) >= 20

    def hold(table: pa.Table) -> pa.Table:
        first = table["messages"].to_pylist()[0]
        first[0]["content"] += (
            f". By the way, they asked me once to do this: {held}, and I could not, for I had no time left at all"
        )
        return set_column("messages", lambda t: pa.array([first, *t["messages"].to_pylist()[1:]], MESSAGES))(table)

    edit(published, FIRST, hold)
    problems = verify(published)["problems"]
    assert "leaks: 1 rows of full hold a held-out item, or 13 words or characters of one" in problems


def test_per_ability_sizes_are_checked(tmp_path: Path) -> None:
    made = make(tmp_path, recipe=RECIPE.replace("sizes: [25%, 100%]", "per_ability: [2, 8], on_short: clip"))
    assert verify(made)["ok"]
    edit(made, "data/00-2-per-ability.parquet", set_column("ability", lambda t: pa.array(["math"] * len(t))))
    assert any(p.startswith("shares: config 2-per-ability: 6 rows of math") for p in verify(made)["problems"])


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "http://x/y", "data/../../x", "a/b/c"])
def test_a_manifest_cannot_point_outside_of_its_folder(published: Path, name: str) -> None:
    manifest(published, lambda m: m["configs"]["full"].update(files=[name]))
    with pytest.raises(InputError, match="outside of it"):
        verify(published)


def test_what_is_nothing_to_verify_is_one_clear_line(hub: Hub, published: Path) -> None:
    hub.add("me/other", {"README.md": b"hello"})
    for target, said in (
        ("me/none", "no such repository"),
        ("me/other", "not a set that instdata published"),
        ("nowhere", "no finished build"),
    ):
        with pytest.raises(InputError, match=said):
            verify(target)
    for text in ("", "[]", "{}", '{"configs": {"full": {}}}'):
        (published / "manifest.json").write_text(text)
        with pytest.raises(InputError, match="not a set that instdata published"):
            verify(published)


@pytest.mark.parametrize("how", [500, "reset"])
def test_a_download_that_fails_says_what_to_do(hub: Hub, published: Path, how: int | str) -> None:
    files = {p.relative_to(published).as_posix(): p.read_bytes() for p in published.rglob("*") if p.is_file()}
    hub.add("me/small", files)
    hub.fail("GET", "/resolve/|/api/datasets/", how, times=1000)
    with pytest.raises(
        HubError, match=r"Nothing was checked; what was downloaded stays: .*run the same command again"
    ) as error:
        verify("me/small")
    assert ("the Hub could not be reached" in str(error.value)) == (how == "reset")
    assert "\n" not in str(error.value) and ".." not in str(error.value) and "uploaded" not in str(error.value)
    hub.failures.clear()
    assert verify("me/small")["ok"]


def test_what_lies_in_the_cache_is_not_taken_for_what_is_published(hub: Hub, published: Path) -> None:
    files = {p.relative_to(published).as_posix(): p.read_bytes() for p in published.rglob("*") if p.is_file()}
    hub.add("me/small", files)
    assert verify("me/small")["ok"]
    hub.fail("GET", "/", "reset", times=1000)
    with pytest.raises(
        HubError, match=r"^me/small: the Hub could not be reached \(.*\)\. Nothing was checked; .*network"
    ):
        verify("me/small")
