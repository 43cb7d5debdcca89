"""audit: every finding is found in rows made for it, the page is safe to hand on, the recipe mends, CI can refuse."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import html5lib
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from instdata.audit.audited_set import _source, open_subject
from instdata.audit.fail_if import COMPARE, held, read_gate
from instdata.audit.masked_rows import MASK, masked
from instdata.audit.repair_recipe import write_mending
from instdata.audit.run import COUNTS, audit
from instdata.build import build, prepare
from instdata.builds import rows_of
from instdata.cli.main import main
from instdata.corpus.cached_tables import read_parquet
from instdata.util.errors import InputError
from tests.report.conftest import EVIL
from tests.report.test_page import Checker

KEY, MAIL, PHONE, CARD = "AKIAIOSFODNN7ABCDEFG", "wang.lei88@163.com", "13907523186", "4539 1488 0343 6467"
THINGS = [
    "tides",
    "glass",
    "bread",
    "volcanoes",
    "honey",
    "paper",
    "rainbows",
    "silk",
    "steel",
    "bees",
    "chalk",
    "thunder",
    "cheese",
    "compasses",
    "tea",
    "coral",
    "ink",
    "soap",
    "salt",
    "amber",
    "kites",
    "wool",
    "bridges",
    "clocks",
    "dunes",
]
ASKED = ("Explain in a few words how {} came to be.", "Which tools does work with {} need?", "写一句关于 {} 的话。",
         "Name a museum that shows {} to children.")  # fmt: skip
ITEM = (
    "A baker fills seventeen trays with twenty-three buns each and sells forty of them before noon. How many buns "
    "are left in the shop then?"
)
DEFECTS = {
    "refusal": ("Create a poster about rivers.", "Sorry, I cannot create visual output."),
    "template_token": ("给故事起名", "<无输入>\n《远行》"),
    "needs_media": ("Describe the photo.\n[image]", "A beach at sunset."),
    "invisible_chars": ("改写句子", "我似乎\u200b\u200b永远无法完成这件事情。"),
    "mojibake": ("Describe the bar.", "Itâ€™s a cafÃ© of the old kind."),
    "secret": ("What is the key of the bucket?", f"It is {KEY}, keep it safe."),
    "email": ("Whom may readers write to?", f"Write to {MAIL} about it."),
    "phone": ("留个电话？", f"请拨打 {PHONE} 联系。"),
    "card_number": ("Which card was charged?", f"The card {CARD} was charged."),
}
MENDED = {"template_token", "invisible_chars", "mojibake"}  # by clean, with which the recipe begins
NEAR = "Describe the life of a lighthouse keeper in winter"


def records() -> list[dict[str, str]]:
    plain = [
        {"instruction": ask.format(thing),
        "output": f"人们说 {thing} 古老而且可爱。" if "写" in ask else f"It is said of {thing} that they are old and well liked.",
         "license": "cc-by-4.0" if i % 2 else None, "remark": f"batch {i}"}
        for i, thing in enumerate(THINGS) for ask in ASKED
    ]  # fmt: skip
    wrong = [{"instruction": asked, "output": answer} for asked, answer in DEFECTS.values()]
    copies = [
        {"instruction": NEAR + end, "output": "It is cold, windy and lonely, and the lamp burns."}
        for end in ("", ".", " !")
    ]
    return [
        *plain, *wrong, *copies, copies[0],
        {"instruction": ITEM, "output": "There are 351 buns left."},
        {"instruction": "Who mends the nets of the harbour?", "output": ""},
        {"instruction": f"Say this: {EVIL}", "output": f"I say: {EVIL}", "license": EVIL, "remark": EVIL},
    ]  # fmt: skip


def write(path: Path, rows: list[dict[str, str]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows) + tail, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, list[str]]:
    """(folder with rows.jsonl, suite.jsonl, fix.yaml and out/; what was found; the lines that were said)."""
    home = tmp_path_factory.mktemp("audit")
    write(home / "rows.jsonl", records(), '{"instruction": \n')
    write(home / "suite.jsonl", [{"question": ITEM, "answer": "351"}])
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTDATA_CACHE", str(home / "cache"))
        found, _ = audit(
            str(home / "rows.jsonl"), [str(home / "suite.jsonl")], home / "out", home / "fix.yaml", None, 1, said.append
        )
    return home, found, said


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `instdata audit …`."""
    monkeypatch.setattr(sys, "argv", ["instdata", "audit", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_every_finding_is_found(audited) -> None:
    _, found, _ = audited
    n = found["counts"]
    assert n["rows"] == len(records()) and n["unreadable"] == 1 and n["unanswered"] == 1
    assert {rule: n[rule] for rule in DEFECTS} == dict.fromkeys(DEFECTS, 1)
    assert n["secrets"] == 1 and n["personal_data"] == 3 and n["defects"] >= 4
    assert n["near_copies"] == 3 and n["exact_copies"] == 1 and n["leaks"] == 1
    assert n["unlicensed"] == sum(not r.get("license") for r in records()) and n["languages"] >= 2
    assert n["unused_columns"] == 1 and "remark" in found["shape"]["unused"]
    assert list(n) == list(COUNTS)
    assert (
        sum(a["rows"] for a in found["abilities"]) == sum(x["rows"] for x in found["shape"]["languages"]) == n["rows"]
    )
    assert found["unreadable"]["examples"][0]["row"] == n["rows"]


def test_findings_name_rows_and_evidence(audited) -> None:
    _, found, _ = audited
    texts = {rid: " ".join(t["text"] for t in row["turns"]) for rid, row in found["rows"].items()}
    fired = {f["rule"]: f for f in found["rules"]["fired"]}
    assert "Create a poster" in texts[fired["refusal"]["examples"][0]["row"]]
    assert "cannot" in fired["refusal"]["examples"][0]["found"]
    assert "⟨U+200B⟩" in fired["invisible_chars"]["examples"][0]["found"]
    assert all(NEAR in texts[p["row"]] and NEAR in texts[p["kept"]] for p in found["near_copies"]["pairs"])
    assert (
        found["leaks"]["examples"][0]["item"].startswith("suite.jsonl")
        and ITEM[:60] in texts[found["leaks"]["examples"][0]["row"]]
    )
    left = [x["left"] for x in found["near_copies"]["left"]]
    assert left == sorted(left) and left[0] == found["counts"]["rows"] - found["near_copies"]["rows"]


def test_findings_are_said_as_they_come(audited) -> None:
    _, _, said = audited
    at = [
        next(i for i, line in enumerate(said) if word in line)
        for word in ("feed nothing", "defects", "near copies", "abilities:")
    ]
    assert at == sorted(at)


def test_the_page_is_one_file_and_names_nobody(audited) -> None:
    home, _, _ = audited
    page, data = ((home / "out" / name).read_text("utf-8") for name in ("audit.html", "audit.json"))
    checker = Checker(page)
    assert [t for t, _ in checker.tags].count("script") == 3  # charts (none), Vega (none), the page's own
    assert not [a for _, a in checker.tags if any(k.startswith("on") for k in a)]
    assert not [
        a
        for t, a in checker.tags
        if t in ("a", "link", "img") and not (a.get("href") or "").startswith(("#", "data:,"))
    ]
    csp = next(a["content"] for t, a in checker.tags if t == "meta" and a.get("http-equiv"))
    assert csp.startswith("default-src 'none'")
    for private in (KEY, MAIL, PHONE, CARD):
        assert private not in page and private not in data
    assert MASK in page and len(page.encode()) < 1_000_000
    assert str(home) not in data and str(home) not in page


def test_the_same_set_gives_the_same_bytes(audited, monkeypatch) -> None:
    home, _, _ = audited
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "cache"))
    audit(str(home / "rows.jsonl"), [str(home / "suite.jsonl")], home / "again", None, None, 1, lambda line: None)
    for name in ("audit.html", "audit.json"):
        assert (home / "again" / name).read_bytes() == (home / "out" / name).read_bytes()


def test_the_recipe_validates_and_its_build_drops_what_was_found(audited, monkeypatch) -> None:
    home, found, _ = audited
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "cache"))
    prepare(home / "fix.yaml", online=False)
    made = build(prepare(home / "fix.yaml"), home / "fixed")
    kept = {t for b in rows_of(made.path) for talk in b["messages"].to_pylist() for t in [talk[0]["content"]]}
    left = {asked for rule, (asked, _) in DEFECTS.items() if rule not in MENDED}
    assert not kept & (left | {ITEM, "Who mends the nets of the harbour?"})
    said = {talk[0]["content"]: talk[1]["content"] for b in rows_of(made.path) for talk in b["messages"].to_pylist()}
    mended = {rule: said[DEFECTS[rule][0]] for rule in MENDED}
    assert mended == {
        "template_token": "《远行》",
        "invisible_chars": "我似乎永远无法完成这件事情。",
        "mojibake": "It’s a café of the old kind.",
    }
    assert len([t for t in kept if t.startswith(NEAR)]) == 1
    gone = set(read_parquet(made.path / "dropped.parquet", ["rid"])["rid"].to_pylist())
    bad = {e["row"] for f in found["rules"]["fired"] if f["rule"] in DEFECTS.keys() - MENDED for e in f["examples"]}
    assert bad and bad <= gone
    assert len(kept) >= len(THINGS) * len(ASKED) * 0.9  # what is sound stays


def test_a_build_can_be_audited(audited, monkeypatch) -> None:
    home, _, _ = audited
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "cache"))
    made = build(prepare(home / "fix.yaml"), home / "fixed")
    found, _ = audit(str(made.path), [], home / "of_build", None, None, 1, lambda line: None)
    assert found["counts"]["rows"] == made.manifest["totals"]["kept"] and not found["counts"]["near_copies"]
    with pytest.raises(InputError, match="a build is there"):
        audit(str(made.path), [], made.path, None, None, 1, lambda line: None)


def test_instructions_alone_are_a_set(tmp_path) -> None:
    rows = [{"instruction": a.format(t)} for t in THINGS[:6] for a in ASKED]
    write(tmp_path / "asked.jsonl", [*rows, {"instruction": f"Call {PHONE} for me"}])
    found, _ = audit(
        str(tmp_path / "asked.jsonl"), [], tmp_path / "out", tmp_path / "fix.yaml", None, 1, lambda line: None
    )
    assert "leaks" not in found["counts"]  # nobody looked
    assert found["counts"]["unanswered"] == found["counts"]["rows"] == 25 and found["counts"]["phone"] == 1
    assert [*map(next, map(iter, yaml.safe_load((tmp_path / "fix.yaml").read_text())["steps"]))][:2] == [
        "clean",
        "generate",
    ]
    prepare(tmp_path / "fix.yaml", online=False)


def test_a_column_that_may_be_the_answer_is_a_finding(tmp_path) -> None:
    write(tmp_path / "odd.jsonl", [{"instruction": f"Say {t} twice", "spoken": f"{t} {t}"} for t in THINGS])
    found, _ = audit(str(tmp_path / "odd.jsonl"), [], tmp_path / "out", None, None, 1, lambda line: None)
    assert "spoken" in found["objection"] and "spoken" in (tmp_path / "out" / "audit.html").read_text()


def test_a_damaged_file_is_a_finding(tmp_path) -> None:
    packed = gzip.compress("".join(json.dumps(r) + "\n" for r in records() * 50).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    found, _ = audit(
        str(tmp_path / "cut.jsonl.gz"), [], tmp_path / "out", tmp_path / "fix.yaml", 60, 1, lambda line: None
    )
    assert found["limit"] == 60 and found["counts"]["rows"] <= 60
    found, _ = audit(
        str(tmp_path / "cut.jsonl.gz"), [], tmp_path / "out", tmp_path / "fix.yaml", None, 1, lambda line: None
    )
    assert found["counts"]["damaged_files"] == 1 and found["files"][0]["lost"] and found["counts"]["rows"] > 100
    assert yaml.safe_load((tmp_path / "fix.yaml").read_text())["sources"][0]["damaged"] == "keep"


def test_what_a_set_is_called(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _source("tatsu-lab/alpaca").hub == "tatsu-lab/alpaca"
    for path in ("data/gone.jsonl", "gone", "gone/*.jsonl"):
        with pytest.raises(InputError):
            _source(path)


def test_conversations_with_tools_are_shown_as_they_are(tmp_path) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    talk = [
        {"role": "user", "content": "Is it sunny in Paris?"},
        {"role": "assistant", "content": "", "reasoning_content": "I should look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        {"role": "assistant", "reasoning_content": "It is.", "content": "Yes, it is sunny."},
    ]
    write(
        tmp_path / "talk.jsonl", [{"messages": talk, "tools": [{"type": "function", "function": {"name": "weather"}}]}]
    )
    found, _ = audit(str(tmp_path / "talk.jsonl"), [], tmp_path / "out", None, None, 1, lambda line: None)
    shape = found["shape"]
    assert shape["fields"]["tools"] == shape["fields"]["reasoning"] == 1 and shape["turns"] == [{"turns": 4, "rows": 1}]
    assert "tool_calls" in shape["turn_fields"] and found["files"][0]["rows"] == 1
    texts = [t["text"] for t in found["rows"]["talk/talk.jsonl:0"]["turns"]]
    assert 'weather({"city": "Paris"})' in texts[1] and "<think>It is.</think>" in texts[-1]


def test_fail_if_decides_the_exit_code(audited, monkeypatch, capsys) -> None:
    home, _, _ = audited
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "cache"))
    common = [home / "rows.jsonl", "--against", home / "suite.jsonl", "--out", home / "ci", "--json", "--quiet"]
    assert run(monkeypatch, *common, "--fail-if", "leaks > 0 and secrets >= 1") == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["counts"]["leaks"] == 1 and "leaks is 1" in err
    assert len(json.loads(out)["failed"]) == 2
    assert run(monkeypatch, *common, "--fail-if", "leaks > 1 or unanswered > 5%") == 0
    assert run(monkeypatch, *common[:1], *common[3:-2], "--quiet") == 0
    assert capsys.readouterr().out.count("\n") == 1  # the JSON of the passing run; quiet says nothing


def test_people_read_counts_and_rules(audited, monkeypatch, capsys) -> None:
    home, _, _ = audited
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "cache"))
    assert run(monkeypatch, home / "rows.jsonl", "--out", home / "read", "--recipe", home / "read.yaml") == 0
    out, err = capsys.readouterr()
    assert all(word in out for word in ("secrets", "refusal", "audit.html", "instdata build"))
    assert "leaks" not in out and KEY not in out + err and "feed nothing: remark" in err


@pytest.mark.parametrize("words, told", [
    (["rows.jsonl", "--fail-if", "leeks > 0"], 'unknown name "leeks"'),
    (["rows.jsonl", "--fail-if", "leaks > 0"], "--against"),
    (["rows.jsonl", "--fail-if", "__import__('os')"], "is no condition"),
    (["rows.jsonl", "--fail-if", "rows > 1 and"], "is no condition"),
    (["rows.jsonl", "--fail-if", ""], "is no condition"),
    (["gone.jsonl"], "no such file"),
    (["rows.jsonl", "--against", "gone.jsonl"], "gone.jsonl"),
    (["rows.jsonl", "--out", "rows.jsonl"], "--out names a folder"),
    (["rows.jsonl", "--recipe", "fix.txt"], "NAME.yaml"),
    (["rows.jsonl", "--recipe", "there.yaml"], "there already"),
    (["broken.jsonl"], "broken.jsonl"),
    (["empty.jsonl"], "empty.jsonl"),
])  # fmt: skip
def test_wrong_input_is_one_clear_line(tmp_path, monkeypatch, capsys, words, told) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("rows.jsonl"), records()[:3])
    Path("there.yaml").write_text("name: mine\n")
    Path("broken.jsonl").write_text("{\n{\n")
    Path("empty.jsonl").write_text("")
    assert run(monkeypatch, *words) == 2
    err = capsys.readouterr().err
    assert told in err and "Traceback" not in err
    assert Path("there.yaml").read_text() == "name: mine\n" and not Path("audits").exists()


def test_an_unknown_name_is_told_all_names(monkeypatch, capsys, tmp_path) -> None:
    assert run(monkeypatch, tmp_path, "--fail-if", "leeks > 0") == 2
    err = capsys.readouterr().err
    assert "did you mean" in err.lower() and all(name in err for name in COUNTS)


@given(st.lists(st.lists(st.tuples(st.sampled_from(["rows", "leaks"]), st.sampled_from(sorted(COMPARE)),
    st.integers(0, 3)), min_size=1, max_size=3), min_size=1, max_size=3), st.integers(0, 3),
    st.integers(0, 3))  # fmt: skip
def test_and_binds_closer_than_or(alternatives, rows, leaks) -> None:
    counts = {"rows": rows, "leaks": leaks}
    text = " or ".join(" and ".join(f"{n} {op} {k}" for n, op, k in every) for every in alternatives)
    want = any(all(COMPARE[op](counts[n], k) for n, op, k in every) for every in alternatives)
    assert bool(held(read_gate(text, counts), counts)) == want


def test_shares_are_of_all_rows() -> None:
    counts = {"rows": 200, "leaks": 10}
    assert held(read_gate("leaks >= 5%", counts), counts) and not held(read_gate("leaks > 5%", counts), counts)


@given(st.text(max_size=20), st.sampled_from([KEY, MAIL, PHONE, CARD]), st.text(max_size=20))
def test_masking_ends_and_leaves_nothing_to_find(before, private, after) -> None:
    text = masked(f"{before} {private} {private} {after}")
    assert private not in text and masked(text) == text


def test_a_recipe_elsewhere_finds_its_set(audited, tmp_path, monkeypatch) -> None:
    home, found, _ = audited
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "cache"))
    subject = open_subject(str(home / "rows.jsonl"), 1, lambda line: None)
    write_mending(tmp_path / "deep" / "fix.yaml", subject, found, [str(home / "suite.jsonl")])
    ((found_again,),) = prepare(tmp_path / "deep" / "fix.yaml", online=False).inputs
    assert Path(found_again.path).resolve() == (home / "rows.jsonl").resolve()


def test_the_page_needs_no_extra(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    write(tmp_path / "few.jsonl", records()[:5])
    audit(str(tmp_path / "few.jsonl"), [], tmp_path / "out", None, None, 1, lambda line: None)
    page = (tmp_path / "out" / "audit.html").read_text("utf-8")
    parsed = html5lib.HTMLParser(strict=True)
    parsed.parse(page)
    assert "vegaEmbed(place" in page and not parsed.errors  # the page's script; no chart calls it
