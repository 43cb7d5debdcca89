"""Reviews: the file, the sample, what is asked, what it estimates, exchange with other tools, the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from instdata.report.review.estimate import estimate
from instdata.report.review.label_tools import export_reviews, import_reviews
from instdata.report.review.queue import EVERY, disputed, upcoming
from instdata.report.review.sampling import draw
from instdata.report.review.session import Reviewing
from instdata.steps.reviews_file import Opinion, append, read_reviews, settle
from instdata.util.errors import InputError
from tests.shell import forked


@pytest.fixture
def mine(small: Path, tmp_path: Path) -> Path:
    """A build of one's own, to review."""
    return Path(shutil.copytree(small, tmp_path / "small"))


def line(uid: str, rid: str = "a/b:1", who: str = "ann", verdict: str = "pass", **more: object) -> dict:
    return {"uid": uid, "rid": rid, "id": "0" * 32, "who": who, "verdict": verdict, **more}


# ---------------------------------------------------------------- the file


def test_lines_are_added_taken_back_and_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    assert read_reviews(file) == []
    append(file, [line("1"), line("2", verdict="fail", reasons=["wrong"])])
    append(
        file, [line("2"), {"uid": "3", "undo": "1", "who": "bob"}]
    )  # sent twice; and another's is not one's to take back
    assert [(o.uid, o.verdict, o.at) for o in read_reviews(file)] == [("1", "pass", 1), ("2", "fail", 2)]
    append(file, [{"uid": "4", "undo": "2", "who": "ann"}])
    assert [o.uid for o in read_reviews(file)] == ["1"]


def test_half_a_line_of_a_process_that_died_hurts_nobody(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    append(file, [line("1")])
    with open(file, "ab") as f:
        f.write(json.dumps(line("2")).encode()[:-9])
    assert [o.uid for o in read_reviews(file)] == ["1"]
    append(file, [line("3")])
    assert [o.uid for o in read_reviews(file)] == ["1", "3"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_whole_line_without_its_newline_is_a_review(tmp_path: Path, start: bytes) -> None:
    """An editor, or a copy by hand, took the last newline away: what was saved stays saved."""
    file = tmp_path / "r.jsonl"
    file.write_bytes(start + json.dumps(line("1")).encode())
    assert [o.uid for o in read_reviews(file)] == ["1"]
    append(file, [line("2")])
    assert [(o.uid, o.at) for o in read_reviews(file)] == [("1", 1), ("2", 2)]
    with open(file, "ab") as f:
        f.write(b'{"uid": "3"}')  # JSON, but no review: a line that its process did not end
    append(file, [line("4")])
    assert [o.uid for o in read_reviews(file)] == ["1", "2", "4"]


def test_a_long_last_line_is_found_whole(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    append(file, [line("1")])
    long = json.dumps({**line("2"), "value": "x" * 200_000})
    with open(file, "ab") as f:
        f.write(long.encode())
    append(file, [line("3")])
    assert [len(o.value or "") for o in read_reviews(file)] == [0, 200_000, 0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("nope", "not JSON"),
        ("[]", "a review is an object"),
        ('{"uid": "1", "rid": "a", "id": "b", "who": "c", "verdict": "good"}', "none of pass, fail, unsure"),
        ('{"uid": "1", "rid": "a", "id": "b", "who": "c", "verdit": "pass"}', 'Did you mean "verdict"'),
        ('{"uid": "1", "rid": "a", "id": "b", "verdict": "pass"}', "who is missing"),
        (
            '{"uid": "1", "rid": "a", "id": "b", "who": "c", "verdict": "pass", "reasons": ["ugly"]}',
            "reasons: a list of",
        ),
        ('{"uid": "1", "rid": "a", "id": "b", "who": "c", "verdict": "pass", "repeat": "yes"}', "true or false"),
        ('{"uid": "1", "rid": "a", "id": "b", "who": "c", "verdict": "pass", "value": ["x"]}', "value: the new answer"),
        ('{"uid": 1, "rid": "a", "id": "b", "who": "c", "verdict": "pass"}', "uid: text"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, bad: str, said: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(line("9")) + f"\n{bad}\n")
    with pytest.raises(InputError, match="r.jsonl:2: ") as e:
        read_reviews(file)
    assert said in str(e.value)


def test_many_processes_write_at_once(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    code = (
        "import sys; from pathlib import Path; from instdata.steps.reviews_file import append\n"
        "for i in range(30): append(Path(sys.argv[1]), [{'uid': sys.argv[2] + str(i), 'rid': 'x' * 3000, 'id': 'i', "
        "'who': 'w', 'verdict': 'pass'}])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(file), name]) for name in "ab"]
    assert [p.wait() for p in running] == [0, 0]
    assert len(read_reviews(file)) == 60


def said(*verdicts: str, rid: str = "a", **more: object) -> list[Opinion]:
    return [Opinion(i, f"{rid}{i}", rid, "t", f"p{i}", v, "rule", **more) for i, v in enumerate(verdicts)]  # type: ignore[arg-type]


def test_what_people_said_together() -> None:
    assert settle(said("pass", "pass", "fail"))["a"].verdict == "pass"
    split = settle(said("pass", "fail"))["a"]
    assert split.disputed and split.verdict is None
    third = Opinion(9, "z", "a", "t", "cat", "fail", "rule", settles=True)
    assert settle([*said("pass", "fail"), third])["a"].verdict == "fail"
    changed = Opinion(5, "y", "a", "t", "p0", "fail", "rule")
    assert settle([*said("pass", "fail"), changed])["a"].verdict == "fail"
    again = Opinion(5, "y", "a", "t", "p0", "fail", "rule", repeat=True)
    assert settle([*said("pass"), again])["a"].verdict == "pass"
    other_text = Opinion(5, "y", "a", "new text", "p1", "fail", "rule")
    assert settle([*said("pass"), other_text])["a"].verdict == "fail"


# ---------------------------------------------------------------- the sample, and what is asked


@pytest.mark.parametrize("by", ["ability", "rule", "arm", "source"])
def test_the_sample_is_the_same_each_time_and_takes_strata_in_turn(small: Path, by: str) -> None:
    one, two = draw(small, by), draw(small, by)
    assert one == two and one.items
    ranks = [i.rank for i in one.items]
    assert ranks == sorted(ranks) and len({i.rid for i in one.items}) == len(one.items)
    first = one.items[: len(one.sizes)]
    assert {i.stratum for i in first} == set(one.sizes)
    assert all(sum(i.stratum == s for i in one.items) == n for s, n in one.sizes.items())


def test_rules_are_looked_at_beside_kept_rows(small: Path) -> None:
    found = draw(small, "rule")
    assert {"kept", "dedup.near_duplicate", "filter.filtered"} <= set(found.sizes)
    assert all(i.other for i in found.items if i.stratum == "dedup.near_duplicate")


def review(build: Path, who: str, verdict, by: str = "rule", most: int = 10_000, width: float = 0.3) -> list[str]:
    """Somebody reviews until nothing is asked; returns the rows asked about."""
    session = Reviewing(build, who, by, width)
    asked = []
    while len(asked) < most and (item := session.next({})["item"]):
        picked = session.plan.items[item["n"]]
        asked.append(picked.rid)
        session.save({"uid": f"{who}{len(asked)}", "n": item["n"], "verdict": verdict(picked)})
    return asked


def test_it_asks_until_the_intervals_are_narrow(mine: Path) -> None:
    asked = review(mine, "ann", lambda p: "pass" if p.stratum == "kept" else "fail")
    found = Reviewing(mine, "x", "rule", 0.3).estimate()
    assert found["enough"] and all(s["high"] - s["low"] <= 0.3 for s in found["strata"])
    assert found["all"]["value"] == 1 and len(asked) < sum(found_sizes(mine))
    assert not Reviewing(mine, "x", "rule", 0.05).estimate()["enough"] or len(asked) >= sum(found_sizes(mine))
    # Its shares are what was said, weighted by the strata.
    kept = next(s for s in found["strata"] if s["name"] == "kept")
    assert kept["measure"] == "right" and kept["pass"] == kept["reviewed"] == kept["n"]


def found_sizes(build: Path) -> list[int]:
    return list(draw(build, "rule").sizes.values())


def test_a_second_reviewer_is_asked_the_same_and_sees_no_verdict(mine: Path) -> None:
    asked = review(mine, "ann", lambda p: "fail", most=6)
    bob = Reviewing(mine, "bob", "rule", 0.3)
    shown = bob.next({})["item"]
    assert bob.plan.items[shown["n"]].rid == asked[0]
    assert not {"ann", "fail", "kept", "stratum", "rid"} & set(json.dumps(shown).replace('"', " ").split())
    assert shown["said"] == [] and shown["label"] is None


def test_one_in_twenty_is_asked_again(mine: Path) -> None:
    calls = iter(range(10_000))
    asked = review(mine, "ann", lambda p: "pass" if next(calls) < EVERY + 1 else "fail", most=2 * EVERY + 5, width=0.01)
    again = [rid for i, rid in enumerate(asked) if rid in asked[:i]]
    assert len(again) == 2 and asked.index(again[0]) < EVERY - 9
    found = Reviewing(mine, "x", "rule", 0.3).estimate()
    assert found["self"]["n"] == 2 and found["self"]["value"] == 0.5
    assert found["reviewed"] == len(set(asked))  # the second answer is in no share


def test_disagreements_have_a_queue_of_their_own(mine: Path) -> None:
    asked = review(mine, "ann", lambda p: "pass", most=4)
    review(mine, "bob", lambda p: "fail" if p.rid == asked[1] else "pass", most=4)
    found = Reviewing(mine, "x", "rule", 0.3).estimate()
    assert found["disagreements"] == 1 and found["agreement"]["items"] == 4 and found["agreement"]["percent"] == 0.75
    cat = Reviewing(mine, "cat", "rule", 0.3, "disagreements")
    item = cat.next({})["item"]
    assert [s["verdict"] for s in item["said"]] == ["pass", "fail"]
    cat.save({"uid": "c1", "n": item["n"], "verdict": "fail"})
    assert cat.next({})["item"] is None
    after = cat.estimate()
    assert after["disagreements"] == 0 and after["agreement"] == found["agreement"]  # who settles is no second reviewer
    assert not disputed(cat.plan, read_reviews(cat.file))[0]


def test_put_off_rows_come_last_and_undo_brings_back(mine: Path) -> None:
    session = Reviewing(mine, "ann", "rule", 0.3)
    first, second = session.next({})["item"]["n"], None
    session.save({"uid": "a", "n": first, "verdict": "defer"})
    second = session.next({})["item"]["n"]
    assert second != first
    assert upcoming(session.plan, read_reviews(session.file), "ann", 0.3)[0][-1].item is session.plan.items[first]
    session.save({"uid": "b", "n": second, "verdict": "pass"})
    session.undo({"uid": "c", "undo": "b"})
    assert session.next({})["item"]["n"] == second
    session.save({"uid": "d", "n": first, "verdict": "pass"})
    assert not session.estimate()["deferred"]
    assert not any(o.repeat for o in read_reviews(session.file))


def test_purity_is_of_labels(mine: Path) -> None:
    session = Reviewing(mine, "ann", "ability", 0.3)
    for i in range(8):
        item = session.next({})["item"]
        label = {"label": session.plan.abilities[0], "reasons": ["label"]} if i % 2 else {}
        session.save({"uid": str(i), "n": item["n"], "verdict": "pass", **label})
    found = session.estimate()
    assert found["measure"] == "purity" and sum(s["n"] for s in found["strata"]) == 8
    assert sum(s["value"] * s["n"] for s in found["strata"] if s["n"]) == pytest.approx(4)
    assert all(s["right"]["value"] in (None, 1) for s in found["strata"])


def test_a_row_with_another_text_is_not_counted(mine: Path) -> None:
    plan = draw(mine, "rule")
    first = plan.items[0]
    opinion = Opinion(1, "u", first.rid, "another text", "ann", "fail", "rule")
    found = estimate(plan, [opinion], 0.1)
    assert found["reviewed"] == 0 and found["stale"] == 1


# ---------------------------------------------------------------- other tools


@pytest.mark.parametrize("format", ["label-studio", "argilla"])
def test_reviews_go_out_and_come_back(mine: Path, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Reviewing(mine, "ann", "rule", 0.3)
    for i, verdict in enumerate(("pass", "fail", "unsure")):
        n = session.next({})["item"]["n"]
        more = {"reasons": ["wrong", "format"], "value": "Another answer."} if verdict == "fail" else {}
        session.save({"uid": str(i), "n": n, "verdict": verdict, **more})
    out = tmp_path / "out.json"
    done = export_reviews(session, format, out)
    for record in json.loads(
        out.read_text()
    ):  # what label-studio-sdk 2 and argilla 2.8 read; "ann" is nobody's account
        assert all("completed_by" not in note for note in record.get("annotations", []))
        given = [r for rs in record.get("responses", {}).values() for r in rs]
        assert all(uuid.UUID(r["user_id"]) and r["status"] == "submitted" for r in given)  # else they are drafts
    assert done["reviews"] == 3 and done["rows"] == len(json.loads(out.read_text()))
    assert import_reviews(session, out)["added"] == 0  # all of it is known
    before = read_reviews(session.file)
    session.file.unlink()
    assert import_reviews(session, out) == {"file": str(out), "reviews": 3, "added": 3}
    assert import_reviews(session, out)["added"] == 0

    def told(o: Opinion) -> tuple:
        return (o.rid, o.id, o.who, o.verdict, o.reasons, o.value, o.by)

    assert sorted(map(told, read_reviews(session.file))) == sorted(map(told, before))


@pytest.mark.parametrize("format", ["label-studio", "argilla"])
def test_what_somebody_changed_goes_out_as_it_is_now(mine: Path, tmp_path: Path, format: str) -> None:
    """One review a person and row, the last; not the old one's reasons beside the new verdict."""
    session = Reviewing(mine, "ann", "rule", 0.3)
    n = session.next({})["item"]["n"]
    session.save({"uid": "1", "n": n, "verdict": "fail", "reasons": ["wrong"], "value": "An answer."})
    session.save({"uid": "2", "n": n, "verdict": "pass", "amend": True})
    session.save({"uid": "3", "n": n, "verdict": "fail", "reasons": ["format"]})  # asked again: a repeat
    stale = {"uid": "4", "by": "rule", "rid": session.plan.items[n].rid, "id": "an older text", "who": "bob"}
    append(session.file, [{**stale, "verdict": "fail"}])
    out = tmp_path / "out.json"
    assert export_reviews(session, format, out)["reviews"] == 1
    session.file.unlink()
    import_reviews(session, out)
    assert [(o.who, o.verdict, o.reasons, o.value) for o in read_reviews(session.file)] == [("ann", "pass", (), None)]


@pytest.mark.parametrize("format", ["label-studio", "argilla"])
def test_the_same_words_of_another_sample_or_text_are_other_reviews(mine: Path, tmp_path: Path, format: str) -> None:
    """Two samples share a row; and a row got another text since: neither review is the other one again."""
    one = Reviewing(mine, "ann", "rule", 0.3)
    number = next(i for i, item in enumerate(one.plan.items) if item.stratum == "kept")
    one.save({"uid": "1", "n": number, "verdict": "pass"})
    out = tmp_path / "rule.json"
    export_reviews(one, format, out)
    two = Reviewing(mine, "ann", "source", 0.3)
    records = json.loads(out.read_text())
    for record in records:
        (record["data"] if "data" in record else record["metadata"])["by"] = "source"
    there = {i.rid: i.id for i in two.plan.items}
    facts = [r["data"] if "data" in r else r["metadata"] for r in records]
    (tmp_path / "source.json").write_text(json.dumps([r for r, f in zip(records, facts) if f["rid"] in there]))
    assert import_reviews(two, tmp_path / "source.json")["added"] == 1
    assert {o.by for o in read_reviews(one.file)} == {"rule", "source"}
    old = [json.loads(raw) | {"id": "an older text"} for raw in one.file.read_text().splitlines()]
    one.file.write_text("".join(json.dumps(o) + "\n" for o in old))
    assert import_reviews(one, out)["added"] == 1


def test_an_answer_that_was_shown_and_left_is_no_edit(mine: Path, tmp_path: Path) -> None:
    session = Reviewing(mine, "ann", "rule", 0.3)
    session.save({"uid": "1", "n": 0, "verdict": "fail"})
    out = tmp_path / "out.json"
    export_reviews(session, "argilla", out)
    records = json.loads(out.read_text())
    for record in records:
        if said := record["responses"].get("verdict"):
            record["responses"]["answer"] = [{"value": record["fields"]["response"], "user_id": said[0]["user_id"]}]
    out.write_text(json.dumps(records))
    assert import_reviews(session, out) == {"file": str(out), "reviews": 1, "added": 0}


def test_other_tools_files_that_are_none_are_refused(mine: Path, tmp_path: Path) -> None:
    session = Reviewing(mine, "ann", "rule", 0.3)
    file = tmp_path / "x.json"
    for text, why in (
        ("{", "JSON"), ("{}", "a list"), ('[{"a": 1}]', "record 1: neither"),
        (('[{"data": {"rid": "a", "row": "b", "by": "rule"}, "annotations": [{"completed_by": 3, "result": '
         '[{"from_name": "verdict", "value": {"choices": ["pass"]}}]}]}]'), "no such row"),
    ):  # fmt: skip
        file.write_text(text)
        with pytest.raises(InputError, match=why):
            import_reviews(session, file)
    assert not session.file.exists()


# ---------------------------------------------------------------- the command


def instdata(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return forked(tuple(map(str, args)), cwd or Path.cwd(), dict(os.environ))


def test_the_command_estimates_exports_and_says_what_is_wrong(mine: Path, tmp_path: Path) -> None:
    review(mine, "ann", lambda p: "pass", most=5)
    found = instdata("review", mine, "--by", "rule", "--estimate", "--json")
    assert found.returncode == 0
    value = json.loads(found.stdout)
    assert value["reviewed"] == 5 and value["reviewers"] == {"ann": 5} and value["measure"] == "precision"
    table = instdata("review", mine, "--by", "rule", "--estimate")
    assert table.returncode == 0 and "dedup.near_duplicate" in table.stdout and "too wide yet" in table.stdout
    out = instdata("review", mine, "--by", "rule", "--export", tmp_path / "ls.json", "--json")
    assert out.returncode == 0 and "<Choice value=" in json.loads(out.stdout)["config"]
    for args, why in (
        ((), "--as NAME"), (("--as", " "), "--as: your name"), (("--estimate", "--export", "x.json"), "one at a time"),
        (("--as", "a", "--by", "colour"), "Invalid value"), (("--import", tmp_path / "no.json"), "no such file"),
    ):  # fmt: skip
        bad = instdata("review", mine, *args)
        assert bad.returncode == 2 and why in bad.stderr, bad.stderr
    (mine / "reviews.jsonl").write_text("x\n")
    bad = instdata("review", mine, "--estimate", "--json")
    assert bad.returncode == 2 and "reviews.jsonl:1" in json.loads(bad.stdout)["error"]
