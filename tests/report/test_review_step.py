"""The step `review`: reviews become scores and decisions of the next build; edits become judge labels too."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from instdata.build import build, prepare
from instdata.builds import history
from instdata.judge.label_files import read
from instdata.report.review.session import Reviewing
from instdata.steps.reviews_file import append, read_reviews
from instdata.util.errors import InputError

RECIPE = """
name: r
taxonomy: belle
sources: [{path: rows.jsonl, name: mine, origin: human}]
steps:
%s
  - clean: {}
  - filter: {where: "length(response) > 1"}
subsets: {sizes: [100%%]}
"""
ROWS = [
    {"instruction": f"Question number {i}?", "output": text, "ability": "math"}
    for i, text in enumerate(("right", "wrong", "soso", "mislabelled", "x", "Tom &amp; Ann said so", "split", "fine"))
]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    (tmp_path / "a.yaml").write_text(RECIPE % "")
    return build(prepare(tmp_path / "a.yaml"), tmp_path / "a").path


def rid(n: int) -> str:
    return f"mine/rows.jsonl:{n}"


def say(built: Path, n: int, who: str, verdict: str, **more: object) -> None:
    row = history(built, rid(n))[0]
    was = row["scores"].get("clean_derived_from")
    line = {"uid": f"{n}{who}", "rid": rid(n), "id": row["id"], "who": who, "verdict": verdict, "by": "rule", **more}
    append(built / "reviews.jsonl", [line | ({"was": was} if was else {})])


def test_reviews_become_scores_and_decisions(built: Path, tmp_path: Path) -> None:
    say(built, 0, "ann", "pass")
    say(built, 1, "ann", "fail", reasons=["wrong"])
    say(built, 1, "bob", "fail", reasons=["wrong", "format"])
    say(built, 2, "ann", "fail", value="much better")
    say(built, 3, "ann", "pass", reasons=["label"], label="code")
    say(built, 4, "ann", "pass")  # the filter drops it, people do not
    say(built, 5, "ann", "fail", reasons=["poor"])  # of the text that clean made
    say(built, 6, "ann", "pass")
    say(built, 6, "bob", "fail")
    (tmp_path / "b.yaml").write_text(RECIPE % "  - review: a/reviews.jsonl")
    path = build(prepare(tmp_path / "b.yaml"), tmp_path / "b").path
    rows = {r["source_row"]: r for r in pq.read_table(path / "ledger.parquet").to_pylist()}
    gone = {n: r["reason"] for n, r in rows.items() if r["verdict"] == "dropped"}
    assert gone == {1: "review", 5: "review"}
    assert (
        json.loads(rows[1]["evidence"])["who"] == "ann, bob"
        and json.loads(rows[1]["evidence"])["why"] == "wrong, format"
    )
    assert [rows[n]["score_review_verdict"] for n in range(8)] == [
        "pass",
        "fail",
        "fail",
        "pass",
        "pass",
        "fail",
        None,
        None,
    ]
    assert [rows[n]["score_review_reviewers"] for n in (0, 1, 6, 7)] == [1, 2, 2, None]
    assert rows[6]["score_review_disputed"] == 1 and rows[1]["score_review_reasons"] == "wrong,format"
    assert rows[3]["ability"] == "code" and rows[7]["ability"] == "math"
    edited = history(path, rid(2))[0]
    assert edited["messages"][-1]["content"] == "much better"
    assert edited["scores"]["review_derived_from"] == history(built, rid(2))[0]["id"]
    data = pq.read_table(path / "data").to_pylist()
    assert {r["source_row"]: r["origin"] for r in data}[2] == "human-revised"


def test_what_was_said_of_another_text_is_left_out_and_said(built: Path, tmp_path: Path) -> None:
    say(built, 0, "ann", "fail")
    file = built / "reviews.jsonl"
    changed = json.loads(file.read_text()) | {"id": "f" * 32, "uid": "other", "rid": rid(1)}
    absent = changed | {"uid": "absent", "rid": "mine/rows.jsonl:999"}
    append(file, [changed, absent])
    (tmp_path / "b.yaml").write_text(RECIPE % "  - review: a/reviews.jsonl")
    heard: list[str] = []
    path = build(prepare(tmp_path / "b.yaml", say=heard.append), tmp_path / "b").path
    rows = pq.read_table(path / "ledger.parquet").to_pylist()
    assert [r["source_row"] for r in rows if r["reason"] == "review"] == [0]
    assert any("2 of 3 rows" in line for line in heard)


def test_a_wrong_file_is_told_before_the_build(tmp_path: Path, built: Path) -> None:
    (tmp_path / "b.yaml").write_text(RECIPE % "  - review: nowhere.jsonl")
    with pytest.raises(InputError, match="instdata review BUILD"):
        prepare(tmp_path / "b.yaml")
    say(built, 0, "ann", "pass", label="cooking")
    (tmp_path / "b.yaml").write_text(RECIPE % "  - review: a/reviews.jsonl")
    with pytest.raises(InputError, match="reviews.jsonl:1: label"):
        prepare(tmp_path / "b.yaml")


def test_edits_are_labels_for_a_judge(built: Path) -> None:
    say(built, 0, "ann", "pass")
    with pytest.raises(InputError, match="nobody edited"):
        read([built / "reviews.jsonl"])
    for n in (1, 2, 3, 4, 6, 7):
        say(built, n, "ann", "fail", value="better")
    say(built, 2, "bob", "pass")
    pairs = {p.id: p for p in read([built / "reviews.jsonl"])}
    assert set(pairs) == {rid(n) for n in (1, 2, 3, 4, 6, 7)}
    for p in pairs.values():
        assert {p.first, p.second} == {"better", ROWS[int(p.id[-1])]["output"]}
    for n in (1, 3, 7):
        p = pairs[rid(n)]
        assert (p.first, p.second)[p.majority - 1] == "better"
    assert pairs[rid(2)].majority is None and len(pairs[rid(2)].humans) == 2
    assert {p.first == "better" for p in pairs.values()} == {True, False}  # neither place is always the better one's


def test_only_who_saw_an_answer_prefers_it(built: Path) -> None:
    """A remark beside a pass is no edit; who wrote another answer, or failed the row without one, prefers neither."""
    say(built, 1, "ann", "pass", value="a remark")
    with pytest.raises(InputError, match="nobody edited"):
        read([built / "reviews.jsonl"])
    say(built, 2, "ann", "fail", value="first try")
    say(built, 2, "bob", "fail", value="better")
    say(built, 2, "cat", "pass", value="a remark")
    say(built, 2, "dan", "fail")
    say(built, 2, "eve", "unsure", value="perhaps")
    (pair,) = read([built / "reviews.jsonl"])
    own = ROWS[2]["output"]
    assert {pair.first, pair.second} == {"better", own}
    assert sorted((pair.first, pair.second)[v - 1] for v in pair.humans) == sorted(["better", own])


def test_a_reviewed_edit_goes_the_whole_way(built: Path, tmp_path: Path) -> None:
    """From the page's own answers to the next build."""
    session = Reviewing(built, "ann", "source", 0.3)
    n = session.next({})["item"]["n"]
    session.save({"uid": "u", "n": n, "verdict": "fail", "value": "As it should be."})
    assert [o.value for o in read_reviews(session.file)] == ["As it should be."]
    (tmp_path / "b.yaml").write_text(RECIPE % "  - review: {path: a/reviews.jsonl}")
    path = build(prepare(tmp_path / "b.yaml"), tmp_path / "b").path
    assert history(path, session.plan.items[n].rid)[0]["messages"][-1]["content"] == "As it should be."
