"""Evaluation items: what is read of them, what comes along with a stem, and what cannot be compared."""

import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from instdata.steps.base import Scores
from instdata.steps.dedup import suites
from instdata.steps.dedup.character_tables import prepare, tables
from instdata.steps.dedup.decontaminate import Decontaminate
from instdata.steps.dedup.eval_items import read_items
from instdata.steps.dedup.folding import mix, run_hash
from instdata.steps.dedup.shared_ngrams import token_rows
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, InputError

from .test_step import rows

STEM = "Which of the following statements is true?"
ZH_STEM = "以下哪项如果为真，最能支持上述专家的观点？"
OTTER = ["An otter is a kind of weasel.", "A lamp is made of river water."]
HARBOUR = (
    "The harbour of Velden was dug in thirteen years by order of a countess, and its two breakwaters are built "
    "of grey granite from the Olm."
)
ZH_MILL = "青溪的水磨坊建于乾隆年间，由两兄弟合资修造，磨轮用落叶松做成，每分钟转六圈，磨坊主一家住在楼上。"


def write(path, records):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), "utf-8")


def found(tmp_path, prompts, items, **options):
    """row: its evidence."""
    write(tmp_path / "eval.jsonl", items)
    pairs = [(p, "A reply") if isinstance(p, str) else p for p in prompts]
    step = Decontaminate(against=["eval.jsonl"], **options)
    given = rows(pairs, base=tmp_path)
    assert step.check(given.context) == []
    verdicts = step.decide(Scores(pa.table(dict(step.score(given)))))
    return {i: json.loads(e) for i, e in enumerate(verdicts.evidence.to_pylist()) if e}


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"question": "How many?", "answer": 7}, ("How many?", "", (), "7")),
        ({"question": "Is it so?", "answer": True}, ("Is it so?", "", (), "true")),
        ({"question": "Which?", "answers": ["a", "b"]}, ("Which?", "", (), "a\nb")),
        ({"question": "Which?", "choices": ["red", "green"], "answer": 1}, ("Which?", "", ("red", "green"), "green")),
        ({"Question": "Which?", "A": "x", "B": 2, "Answer": "B"}, ("Which?", "", ("x", "2"), "2")),
        (
            {"question": "Q", "choices": {"label": ["1", "2"], "text": ["u", "v"]}, "answerKey": "2"},
            ("Q", "", ("u", "v"), "v"),
        ),
        (
            {"passage": "P", "question": "Q", "options": ["(A)x", "(B) y"], "label": "A", "answer": None},
            ("Q", "P", ("x", "y"), "x"),
        ),
        ({"text": "P", "question": "Q", "options": [1, 2], "answer": 0}, ("Q", "P", ("1", "2"), "1")),
        ({"context": "P", "question": "Q", "answers": {"text": ["z"], "answer_start": [3]}}, ("Q", "P", (), "z")),
        ({"instruction": "I", "input": "J", "output": "O"}, ("I", "J", (), "O")),
        ({"turns": ["one", "two"]}, ("one\ntwo", "", (), "")),
        ({"goal": "Open a jar", "label": 0}, ("Open a jar", "", (), "0")),
        (
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]},
            ("u", "", (), ""),
        ),
        ({"prompt": "p", "canonical_solution": "return 1"}, ("p", "", (), "return 1")),
    ],
)
def test_any_columns_and_types(tmp_path, record, wanted):
    write(tmp_path / "eval.jsonl", [record])
    (item,), said = read_items(["eval.jsonl"], Context(base=tmp_path))
    assert item[1:5] == wanted and item.where == "eval.jsonl:0" and said == []


def test_answers_that_are_no_text_skip_nothing(tmp_path):
    colour, moons = (
        "Which colour do you get from mixing blue and yellow paint on paper?",
        "How many moons does the planet Zorb have if it had nine and lost two?",
    )
    items = [{"question": colour, "choices": ["red", "green"], "answer": 1}, {"question": moons, "answer": 7}]
    assert set(found(tmp_path, [(moons, "7"), (colour, "green"), "Name a vegetable."], items)) == {0, 1}


@pytest.mark.parametrize("count", [1, 5, 40])
def test_a_stem_alone_is_no_evidence(tmp_path, count):
    """Neither in few rows nor in many."""
    asked = [
        f"{STEM}\n\nA. A copper is a kind of violin {i}.\nB. A bishop is made of velvet {i}." for i in range(count)
    ]
    assert not found(tmp_path, asked, [{"question": STEM, "choices": ["x", "y"]}])
    assert not found(tmp_path, asked, [{"question": STEM, "choices": OTTER, "answer": 0}])


def test_a_stem_counts_with_its_options_or_its_answer(tmp_path):
    many = [f"{STEM}\n\nA. A copper is a kind of violin {i}.\nB. A bishop is made of velvet {i}." for i in range(20)]
    frame = "Dear tutor, please look at the third question of my homework and tell me what to write. "
    leaking = f"{frame}{STEM} It says: {OTTER[0]} Or else: {OTTER[1]} I have until noon and no idea at all."
    got = found(tmp_path, [*many, leaking], [{"question": STEM, "choices": OTTER, "answer": 0}])
    assert got.keys() == {20} and got[20]["rule"] == "contains_item" and got[20]["text"] == STEM.lower().rstrip("?")
    told = (f"{frame}{STEM} I have until noon.", "An otter is a kind of weasel.")
    assert found(tmp_path, [*many, told], [{"question": STEM, "choices": OTTER, "answer": 0}]).keys() == {20}


def test_a_template_of_many_rows_is_no_evidence(tmp_path):
    frame = "以下是一道小学数学题，请写出完整的解题过程和最后的答案："
    many = [
        f"{frame}{'桌椅灯笔书纸盆碗瓶勺'[i % 10]}有{i}个，卖掉{i // 2}个，每个朋友可以得到多少个？" for i in range(40)
    ]
    item = {"question": f"{frame}渔夫有八十一条鱼，平均分给九位邻居，每个朋友可以得到多少个？"}
    assert not found(tmp_path, many, [item])
    assert found(
        tmp_path, [*many, "渔夫有八十一条鱼，平均分给九位邻居，每个朋友可以得到多少个？好难啊"], [item]
    ).keys() == {40}


def test_a_question_about_a_passage_is_a_stem_without_it(tmp_path):
    items = [{"passage": ZH_MILL, "question": ZH_STEM, "options": ["磨轮是木头做的", "磨坊在山顶上"]}]
    other = "某地专家认为，海带可以降低血压，因为沿海居民血压较低。" + ZH_STEM
    got = found(tmp_path, [other, f"请阅读：{ZH_MILL}写一篇读后感。", f"{ZH_MILL}\n{ZH_STEM}"], items)
    assert got.keys() == {1, 2} and got[1]["rule"] == "shared_ngram" and got[2]["rule"] == "near_prompt"


def test_items_of_one_file_are_found_in_it_to_the_last(tmp_path):
    """Even those that are nothing but a stem, or share it with many."""
    items = [{"passage": None, "question": STEM, "options": [f"o {i}", "p"], "label": "A"} for i in range(30)]
    items += [
        {"passage": f"{HARBOUR} {i}", "question": "Which year is meant?", "options": ["1", "2"]} for i in range(30)
    ]
    items += [{"question": "S", "text": "S    ,"}, {"question": "为什么？"}]
    for shape in (
        lambda r: r["question"],
        lambda r: f"{r['question']}\n\n{r.get('passage') or r.get('text') or ''}",
        lambda r: f"{r.get('passage') or ''}\n{r['question']}\n" + "\n".join(r.get("options", [])),
        lambda r: f"{r['question']}\n" + "\n".join(f"{x}. {o}" for x, o in zip("AB", r.get("options", []))),
    ):
        asked = [shape(r) for r in items if shape(r).strip() and not ("text" in r and shape(r).startswith("\n"))]
        assert len(found(tmp_path, asked, items)) == len(asked)


def test_traditional_and_simplified_are_one(tmp_path):
    assert found(
        tmp_path, ["請列出這座水磨坊的磨輪每分鐘轉動的次數"], [{"question": "请列出这座水磨坊的磨轮每分钟转动的次数"}]
    )


def test_a_system_prompt_hides_nothing(tmp_path):
    write(tmp_path / "eval.jsonl", [{"question": "Name the granite that the breakwaters of Velden are built of."}])
    given = rows([("x", "y")], base=tmp_path)
    turns = [
        {"role": "system", "content": "You answer politely and at length, in the voice of a harbour pilot. " * 3},
        {"role": "user", "content": "Name the granite the breakwaters of Velden are built of"},
        {"role": "assistant", "content": "Olm"},
    ]
    given.table = pa.table({"messages": pa.array([turns], given.messages.type)})
    assert Decontaminate(against=["eval.jsonl"]).score(given)["rule"].to_pylist() == ["near_prompt"]


def test_presets(tmp_path):
    item = "alder birch cedar dogwood elm fir ginkgo hazel iris juniper kapok larch maple nutmeg oak pine quince rowan"
    words = item.split()
    rest = "and a good many other things that were said on that day by the people of the valley"
    eight, twelve, fourteen = (" ".join(words[:n]) + " " + rest for n in (8, 12, 14))
    for preset, hit in (("ours", {2}), ("gpt3", {2}), ("tulu3", {1, 2})):
        got = found(tmp_path, [eight, twelve, fourteen], [{"question": item}], preset=preset)
        assert got.keys() == hit, preset
    assert got[1]["rule"] == "covered" and got[1]["similarity"] == round(12 / 18, 4)
    assert got[1]["text"] == " ".join(words[:12])
    short = "What is the boiling point of water at sea level?"
    assert not found(tmp_path, [f"Tell me: {short}"], [{"question": short}], preset="gpt3")
    resolved = [Decontaminate(against=["x"], preset=p).resolve(Context()).ngram for p in ("ours", "tulu3", "gpt3")]
    assert resolved == [13, 8, 13]


def test_what_cannot_be_compared_is_said_and_more_than_a_hundredth_stops(tmp_path):
    good = [{"question": f"What is the name of harbour number {i}?"} for i in range(200)]
    write(tmp_path / "eval.jsonl", [*good, {"id": 1}, {"question": " ", "choices": ["", "?"]}])
    given = rows([("Name a vegetable.", "Carrot")], base=tmp_path)
    step = Decontaminate(against=["eval.jsonl"])
    verdicts = step.decide(Scores(pa.table(dict(step.score(given)))))
    assert verdicts.warnings == [
        "decontaminate: 2 of 202 items of eval.jsonl cannot be compared (first: eval.jsonl:200: no text to compare)"
    ]
    write(tmp_path / "eval.jsonl", [*good, *[{"id": i} for i in range(3)]])
    with pytest.raises(BudgetReached, match=r"3 of 203 items .* more than 1%"):
        step.score(given)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no evaluation items"),
        ('{"a_column": "of another kind"}\n', "none of its records has a text to compare"),
    ],
)
def test_a_suite_that_says_nothing_is_one_line(tmp_path, text, said):
    (tmp_path / "eval.jsonl").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        Decontaminate(against=["eval.jsonl"]).score(rows([("a", "b")], base=tmp_path))
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_suites_by_name(tmp_path, monkeypatch):
    class Hub:
        def hf_hub_download(self, repo, file, **options):
            if repo == "gone":
                raise ConnectionError("no network")
            return str(tmp_path / "test.jsonl")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub())
    write(tmp_path / "test.jsonl", [{"question": "Name the granite that the breakwaters of Velden are built of."}])
    from instdata.util.atomic import digest

    right = digest(tmp_path / "test.jsonl")
    for pointer, said in (
        (suites.Pointer("a/b", "0" * 40, "test.jsonl", right), None),
        (suites.Pointer("a/b", "0" * 40, "test.jsonl", "1" * 64), "is not the file pointed at"),
        (suites.Pointer("gone", "0" * 40, "test.jsonl", right), "go online once"),
    ):
        monkeypatch.setattr("instdata.steps.dedup.outside_texts.suites", lambda p=pointer: {"harbours": p})
        monkeypatch.setattr(suites, "suites", lambda p=pointer: {"harbours": p})
        problems = Decontaminate(against=["harbours"]).check(Context(base=tmp_path))
        assert bool(problems) == bool(said) and (not said or said in problems[0])
    monkeypatch.undo()
    assert {"mmlu", "arc_challenge"} <= suites.suites().keys()
    assert all(len(p.sha256) == 64 and len(p.revision) == 40 for p in suites.suites().values())


def test_a_token_has_the_hash_of_its_characters():
    """Whatever the loop over a text: what items are searched for by does not change. The lowest bit tells characters of
    scripts without spaces."""
    words, character = ["one", "naïve", "x1", "中", "文", "ñandú"], [0, 0, 0, 1, 1, 0]
    data, offsets = prepare(pa.array(["One, NAÏVE x1", "中文：Ñandú!"]))
    at, columns, hashes = np.zeros(3, np.int64), np.zeros(2, np.int64), np.empty(6, np.uint64)
    token_rows(data, offsets, tables(True), at, hashes, columns)
    with np.errstate(over="ignore"):
        wanted = [mix(run_hash(np.array([ord(c) for c in word], np.uint32), 0, len(word))) for word in words]
    assert at.tolist() == [0, 3, 6] and hashes.tolist() == [int(h) & ~1 | c for h, c in zip(wanted, character)]
