"""Items: what a suite may hold, what is wrong with it and where, and what a build held out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.corpus.taxonomy import load_taxonomy
from instdata.score.holdout_items import choices_in, holdout_items
from instdata.score.suites import read_suite
from instdata.util.errors import InputError

BELLE, DOIT = load_taxonomy("belle"), load_taxonomy("doit")
SUM = {"ability": "math", "instruction": "What is 3 + 4?", "reference": "7"}


def write(folder: Path, records: list[Any], name: str = "suite.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


def test_a_record_becomes_an_item_scored_as_its_ability_is(tmp_path: Path) -> None:
    (item,) = read_suite(write(tmp_path, [{**SUM, "input": "As a figure."}]), BELLE)
    assert item.messages == [{"role": "user", "content": "What is 3 + 4?\n\nAs a figure."}]
    assert (item.ability, item.scorer, item.reference, item.suite) == ("math", "number", "7", "suite")
    assert not item.out_of_domain and item.fine is item.coarse is item.fine_kind is None
    assert len(item.id) == 32 and int(item.id, 16) >= 0


def test_the_last_answer_is_the_reference_and_earlier_turns_stay(tmp_path: Path) -> None:
    turns = [("system", "Be brief."), ("user", "1+1?"), ("assistant", "2"), ("user", "and 2+2?"), ("assistant", "4")]
    record = {"ability": "数学", "messages": [{"role": r, "content": c} for r, c in turns]}
    (item,) = read_suite(write(tmp_path, [record]), BELLE)
    assert [m["role"] for m in item.messages] == ["system", "user", "assistant", "user"]
    assert item.reference == "4" and item.ability == "math"


@pytest.mark.parametrize("reference, got", [(7, "7"), (0.5, "0.5"), ({"a": 1}, '{"a": 1}'), ([1, 2], "[1, 2]")])
def test_references_need_not_be_quoted(tmp_path: Path, reference: Any, got: str) -> None:
    scorer = "json" if isinstance(reference, (dict, list)) else "number"
    (item,) = read_suite(write(tmp_path, [{**SUM, "reference": reference, "scorer": scorer}]), BELLE)
    assert item.reference == got


def test_json_arrays_parquet_and_compressed_files_hold_the_same(tmp_path: Path) -> None:
    records = [SUM, {**SUM, "instruction": "What is 3 - 4?", "reference": "-1"}]
    expected = read_suite(write(tmp_path, records), BELLE)
    (tmp_path / "suite.json").write_text(json.dumps(records, indent=1))
    (tmp_path / "suite.jsonl.gz").write_bytes(gzip.compress((tmp_path / "suite.jsonl").read_bytes()))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "suite.parquet")
    for name in ("suite.json", "suite.jsonl.gz", "suite.parquet"):
        assert read_suite(tmp_path / name, BELLE) == expected


def test_choices_are_shown_in_the_question_once(tmp_path: Path) -> None:
    record = {"ability": "biology", "instruction": "Where?", "choices": ["(A) leaf", "(B) root"], "reference": "B"}
    (item,) = read_suite(write(tmp_path, [record]), DOIT)
    assert item.choices == ["leaf", "root"]
    assert item.question == "Where?\nA. leaf\nB. root"
    (same,) = read_suite(
        write(tmp_path, [{**record, "instruction": "Where?\nA. leaf\nB. root", "choices": None}]), DOIT
    )
    assert same.choices == ["leaf", "root"] and same.question == item.question and same.id == item.id


@pytest.mark.parametrize(
    "question, options",
    [
        ("Which?\nA. one\nB. two\nC. three", ["one", "two", "three"]),
        ("哪一项？ A、甲 B、乙", ["甲", "乙"]),
        ("选择：\n（A）甲\n（B）乙\n（C）丙\n\n只写字母。", ["甲", "乙", "丙"]),
        ("Which? A) a b B) c", ["a b", "c"]),
        ("A. first part of a text\nB. its second\nWhich?\nA. yes\nB. no", ["yes", "no"]),
        ("Vitamin A. is needed", None),
        ("no options", None),
        ("A. only one", None),
        ("A. x\nC. y", None),
    ],
)
def test_options_are_read_out_of_a_question(question: str, options: list[str] | None) -> None:
    assert choices_in(question) == options


@pytest.mark.parametrize("given", [{"fine": "8", "coarse": "Paris"}, ["8", "Paris"]])
def test_distractors_come_as_a_pair(tmp_path: Path, given: Any) -> None:
    (item,) = read_suite(write(tmp_path, [{**SUM, "distractors": given}]), BELLE)
    assert (item.fine, item.coarse, item.fine_kind) == ("8", "Paris", "given")


@pytest.mark.parametrize(
    "record, message",
    [
        ({**SUM, "ability": "maths and"}, 'has no ability "maths and"'),
        ({**SUM, "ability": "maht"}, 'Did you mean "math"?'),
        ({k: v for k, v in SUM.items() if k != "ability"}, "ability is missing"),
        ({**SUM, "scorer": "numbr"}, 'unknown scorer "numbr". Did you mean "number"?'),
        ({"ability": "math", "instruction": "3 + 4?"}, 'scorer number needs a "reference"'),
        ({**SUM, "reference": "many"}, "the reference holds no number"),
        ({**SUM, "reference": "3 ducks and 5 hens"}, "not one plain number"),
        ({**SUM, "scorer": "choice", "choices": ["x", "y"], "reference": "C"}, "is not a letter of A to B"),
        ({**SUM, "scorer": "choice", "reference": "none"}, "is not a letter"),
        ({**SUM, "scorer": "json", "reference": "{"}, "not JSON"),
        ({**SUM, "scorer": "unit_tests"}, 'scorer unit_tests needs "tests"'),
        ({**SUM, "scorer": "unit_tests", "tests": ["assert 1"]}, "tests is Python code as text"),
        ({**SUM, "scorer": "unit_tests", "tests": "assert add(1"}, "tests is not Python"),
        ({**SUM, "scorer": "unit_tests", "tests": "assert 1\0"}, "tests is not Python"),
        ({**SUM, "scorer": "f1", "reference": "!?"}, "holds no word"),
        ({**SUM, "choices": ["x"]}, "a list of two texts or more"),
        ({**SUM, "distractors": "no"}, "distractors is {fine, coarse}"),
        ({**SUM, "distractors": ["7"]}, "equals the reference"),
        (
            {"ability": "math", "refrence": "7", "instruction": "3 + 4?"},
            'unknown key "refrence". Did you mean "reference"?',
        ),
        ({"ability": "math", "reference": "7"}, "instruction is missing"),
        ({"ability": "math", "messages": [{"role": "system", "content": "x"}], "reference": "7"}, "no user turn"),
        ({"ability": "math", "messages": "hello", "reference": "7"}, "expected a list"),
        ({**SUM, "ability": 3}, "ability is not text"),
        (["a", "list"], "expected a JSON object"),
        (SUM, "the same item as line 2"),
    ],
)
def test_bad_records_are_named_by_line(tmp_path: Path, record: Any, message: str) -> None:
    path = tmp_path / "suite.jsonl"
    path.write_text("\n" + json.dumps(SUM) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(InputError) as caught:
        read_suite(path, BELLE)
    ((file, line, text),) = caught.value.problems
    assert (file, line) == (str(path), 3)
    assert message in text


def test_all_problems_at_once_and_lines_of_an_indented_array(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps([{**SUM, "ability": "x"}, {**SUM, "scorer": "y"}], indent=1))
    with pytest.raises(InputError) as caught:
        read_suite(path, BELLE)
    lines = path.read_text().splitlines()
    assert [lines[p[1] - 1].strip() for p in caught.value.problems] == ["{", "{"]
    assert [p[1] for p in caught.value.problems] == [2, 7]


def test_broken_json_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"ability": "math"\n')
    with pytest.raises(InputError, match=r"s\.jsonl:1: invalid JSON"):
        read_suite(tmp_path / "s.jsonl", BELLE)
    with pytest.raises(InputError, match="no such file"):
        read_suite(tmp_path / "none.jsonl", BELLE)
    with pytest.raises(InputError, match=r"a \.jsonl, \.json or \.parquet"):
        read_suite(tmp_path / "suite.txt", BELLE)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no items"):
        read_suite(tmp_path / "empty.jsonl", BELLE)


def test_a_yaml_file_says_more_about_a_suite(tmp_path: Path) -> None:
    write(tmp_path, [{"question": "3 + 4?", "answer": "so\n#### 7"}], "exam.jsonl")
    path = tmp_path / "exam.yaml"
    path.write_text(
        "name: exam\nout_of_domain: true\nitems: exam.jsonl\nscorer: number\nmap: {instruction: question, reference: "
        "answer}\n"
    )
    (item,) = read_suite(path, BELLE)
    assert (item.ability, item.suite, item.scorer, item.out_of_domain) == ("exam", "exam", "number", True)
    path.write_text("items: exam.jsonl\nability: math\nmap: {instruction: question, reference: answer}\n")
    (item,) = read_suite(path, BELLE)
    assert (item.ability, item.suite, item.scorer, item.out_of_domain) == ("math", "exam", "number", False)


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("itms: x.jsonl\n", 1, 'unknown key "itms"'),
        ("name: x\n", 1, "`items: path`"),
        ("items: x.jsonl\nout_of_domain: perhaps\n", 2, "true or false"),
        ("items: x.jsonl\nmap: {refrence: a}\n", 2, 'Did you mean "reference"?'),
        ("items: x.jsonl\nscorer: exat\n", 2, 'Did you mean "exact"?'),
        ("items: x.jsonl\n\nability: maths and\n", 3, "has no ability"),
        ("- a\n", 1, "`items: path`"),
    ],
)
def test_bad_suite_files_are_named_by_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_suite(path, BELLE)
    problems = [p for p in caught.value.problems if message in p[2]]
    assert problems and problems[0][1] == line


def test_an_unknown_ability_out_of_domain_needs_a_scorer(tmp_path: Path) -> None:
    write(tmp_path, [{"instruction": "x", "reference": "y"}], "exam.jsonl")
    path = tmp_path / "exam.yaml"
    path.write_text("items: exam.jsonl\nout_of_domain: true\n")
    with pytest.raises(InputError, match="say by which scorer"):
        read_suite(path, BELLE)


def test_what_a_build_held_out(bench: Any) -> None:
    rows = [
        {"instruction": f"Compute the sum of {i} and {i * 7}", "output": str(8 * i), "ability": "math"}
        for i in range(30)
    ]
    bench.jsonl("a.jsonl", rows)
    bench.build(
        sources=[{"path": "a.jsonl"}], taxonomy="belle", steps=[{"holdout": {"per_ability": 5, "threshold": 1}}],
        subsets={"sizes": ["100%"]},
    )  # fmt: skip
    items = holdout_items(bench.folder / "out", BELLE)
    assert len(items) == 5 and len({i.id for i in items}) == 5
    for item in items:
        assert (item.suite, item.ability, item.scorer) == ("holdout", "math", "number")
        assert [m["role"] for m in item.messages] == ["user"] and int(item.reference) % 8 == 0
    with pytest.raises(InputError, match="held no rows out"):
        holdout_items(bench.folder, BELLE)


@pytest.mark.parametrize(
    "name, about, count",
    [
        ("gsm8k/train.jsonl", "ability: math\nmap: {instruction: question, reference: answer}\n", 7473),
        (
            "doit/gaokao-biology.jsonl",
            "ability: math\nscorer: choice\nmap: {instruction: question, reference: label, choices: options}\n",
            210,
        ),
    ],
)
def test_real_suites_are_read(realdata: Path, tmp_path: Path, name: str, about: str, count: int) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(f"items: {realdata / name}\n{about}")
    assert len(read_suite(path, BELLE)) == count
