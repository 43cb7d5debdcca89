"""clean mends and notes; a step that rewrites keeps rows in their place, and the sums right."""

import json
from collections import Counter
from importlib.metadata import EntryPoint
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.build import _run, prepare
from instdata.builds import history, messages_of
from instdata.corpus.cached_tables import lies_on, read_cached
from instdata.corpus.rows import message_id
from instdata.corpus.shard_tables import put
from instdata.publish.verify import verify
from instdata.steps import base as steps
from instdata.steps.base import RewriteStep, Rewritten
from instdata.steps.clean import Clean
from instdata.steps.quality.step import Quality
from instdata.steps.rewritten_rows import moved_span
from instdata.util.engine import Engine, open_engine
from instdata.util.paths import cache_folder
from tests.quality.test_hard import corpus, decided, pairs, read


def cleaned(prompt, response, **options):
    """(prompt, response, kinds) after the step."""
    rows = corpus([[("user", prompt), ("assistant", response)]])
    scores = Clean(**options).score(rows)
    turns = scores["_messages"][0].as_py() or rows.messages[0].as_py()
    return turns[0]["content"], turns[1]["content"], scores["edits"][0].as_py()


@pytest.mark.parametrize(
    ("kind", "prompt", "before", "after"),
    [
        ("mojibake", "Describe it.", "Itâ€™s a cafÃ©.", "It’s a café."),
        ("mojibake", "介绍一下。", "å¤§å®¶å¥½ï¼Œä¸–ç•Œ", "大家好，世界"),
        ("invisible", "改写句子", "我似乎\u200b\u200b永远无法完成", "我似乎永远无法完成"),
        ("invisible", "Name a hill.", "\ufeffBen\x00 Nevis\x9f", "Ben Nevis"),
        ("entities", "Name two colours.", "Red&nbsp;and &quot;blue&quot; &amp; so on", 'Red and "blue" & so on'),
        ("entities", "说一句话。", "他说&ldquo;好&rdquo;。", "他说“好”。"),
        ("escapes", "Give two tips.", "Here they are.\\n1. Sleep.\\n2. Drink.", "Here they are.\n1. Sleep.\n2. Drink."),
        ("escapes", "打个招呼。", "\\u4f60\\u597d。", "你好。"),
        ("leftovers", "Name a flower.", "Rose\n19. Instruction: Add.\n19. Input:\n1, 2\n19. Output:\n3", "Rose"),
        ("leftovers", "1+1=?", "2<|im_end|>", "2"),
        ("leftovers", "法国首都？", "巴黎。\n用户：日本呢？\n助手：东京。", "巴黎。"),
        ("leftovers", "Give a title.", "<noinput>\nA title", "A title"),
        ("full_width", "写一个数字", "１２３个ＡＢＣ，好的！", "123个ABC，好的！"),
    ],
)
def test_mends(kind, prompt, before, after):
    assert cleaned(prompt, before) == (prompt, after, kind)
    assert cleaned(prompt, after)[2] is None  # what is mended stays as it is


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Write HTML for a and b.", "<p>a &amp; b</p>"),
        ("What does &nbsp; mean in HTML?", "&nbsp; is a space."),
        ("Which character is U+200B, the zero-width space?", "It is \u200b."),
        ("零宽空格", "就是\u200b"),
        ("اكتب جملة", "أستخدم \u2067Python\u2069 كل يوم\u200bثم"),
        ("Emoji?", "👨\u200d👩\u200d👧"),
        ("Show mojibake of é.", "It is Ã©."),
        ("Print a line break in C.", 'printf("a.\\nB");'),
        ("What is ChatML's end token?", "It is <|im_end|>"),
        ("Write a dialogue.", "Ann: Hi\nUser: Hello\nAnn: Bye"),
        ("Solve it in LaTeX.", "$\\nabla f \\neq 0.\\nu$"),
        ("What does NULL mean?", "NULL means nothing."),
        ("把半角转换为全角字符集", "ＡＢＣ"),
        ("Name an empty token.", "<noinput>"),  # nothing would be left
    ],
)
def test_leaves_alone(prompt, response):
    assert cleaned(prompt, response) == (prompt, response, None)


def test_prompts_and_chosen_kinds():
    assert cleaned("Give a title. <noinput>", "A title")[0] == "Give a title."
    both = "Itâ€™s\u200b ok"
    assert cleaned("Say it.", both, kinds=["mojibake"])[1] == "It’s\u200b ok"
    assert cleaned("Say it.", both)[1:] == ("It’s ok", "mojibake,invisible")


def test_good_hard_rows_are_not_touched_but_for_their_marks():
    cases = read("good")
    rows = corpus(pairs(cases))
    scores = Clean().score(rows)
    touched = [(c, scores["edits"][i].as_py()) for i, c in enumerate(cases) if scores["edits"][i].is_valid]
    assert [c["kind"] for c, _ in touched] == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=120)), max_size=4))
def test_any_text(texts):
    rows = corpus([[("user", p), ("assistant", r)] for p, r in texts])
    scores = Clean().score(rows)
    assert all(len(c) == len(rows) for c in scores.values())
    for turns, old, derived, notes in zip(
        *(x.to_pylist() for x in (scores["_messages"], rows.messages, scores["derived_from"], scores["_edits"]))
    ):
        assert (turns is None) == (derived is None) == (notes is None)
        if turns is not None:
            assert turns != old
            assert [t["role"] for t in turns] == [t["role"] for t in old]
            assert all(t["content"].strip() for t, o in zip(turns, old) if o["content"].strip())


def test_in_a_build(bench):
    records = [{"instruction": f"Name river {i}.", "output": f"River {i}"} for i in range(20)]
    records[3]["output"] = "The Rh\u200bine"
    records[7]["output"] = "<nooutput>"
    bench.jsonl("a.jsonl", records)
    sources = [{"path": "a.jsonl"}]
    done = bench.build(sources=sources, steps=["clean", "quality"])
    rows = {r["source_row"]: r for r in pq.read_table(done.path / "ledger.parquet").to_pylist()}
    assert len(rows) == 20
    old, new = (message_id([("user", "Name river 3."), ("assistant", a)]) for a in ("The Rh\u200bine", "The Rhine"))
    assert (rows[3]["id"], rows[3]["score_clean_derived_from"], rows[3]["verdict"]) == (new, old, "kept")
    assert rows[3]["rid"] == "a/a.jsonl:3"
    change = json.loads(rows[3]["evidence"])["changes"][0]
    assert change["derived_from"] == old
    assert change["edits"][0] == {"kind": "invisible", "turn": 1, "field": "content", "at": 6, "before": "\u200b",
        "after": "", "times": 1}  # fmt: skip
    assert rows[7]["reason"] == "empty_response"
    assert [r for r in rows.values() if r["score_clean_edits"]] == [rows[3]]
    assert verify(done.path)["ok"]
    assert {t["name"]: (t["in"], t["kept"], t["added"]) for t in done.manifest["steps"]}["clean"] == (20, 20, 0)
    for name in (old, new):  # found by the text that it had, too
        assert history(done.path, name)[0]["messages"][1]["content"] == "The Rhine"
    sha = done.manifest["configs"]["full"]["sha256"]
    again = bench.build("again", jobs=2, sources=sources, steps=["clean", "quality"])
    assert again.manifest["configs"]["full"]["sha256"] == sha
    plain = bench.build("plain", sources=sources, steps=["quality"])
    assert {r["source_row"]: r["reason"] for r in pq.read_table(plain.path / "ledger.parquet").to_pylist()}[
        3
    ] == "invisible_chars"


class Watched(Engine):
    """Does all itself, and remembers how many tasks each function was given."""

    def __init__(self):
        self.given = Counter()

    def map(self, function, items):
        items = list(items)
        self.given[function.__name__] += len(items)
        return map(function, items)


def test_new_text_is_kept_once_as_a_patch_of_its_shard(bench):
    lines = [{"instruction": f"Name river {i}.", "output": f"River {i}"} for i in range(40)]
    for name, answer in (("a", "The Rh\u200bine"), ("b", "The Rhine"), ("c", "The Elbe<|im_end|>")):
        bench.jsonl(f"{name}.jsonl", [*lines, {"instruction": "Name a river.", "output": answer}])
    made = {"name": "r", "sources": [{"path": str(bench.folder / "*.jsonl"), "name": "r"}], "steps": ["clean"]}
    plan, texts = prepare(made), []
    for written in (0, 0, 2):  # where only the scores are left, it is made of them again
        engine = Watched()
        corpus = _run(plan, engine)[0]
        texts.append(corpus.view(np.arange(corpus.n)).response.to_pylist())
        assert engine.given["changed"] == written
        patches = [shard.path for shard in corpus.shards if lies_on(shard.path)]
        assert [pq.read_table(path)["_at"].to_pylist() for path in patches] == [[40], [40]]
        if len(texts) == 2:
            for path in patches:
                path.unlink()
    same = [f"River {i}" for i in range(40)]
    assert texts == [[*same, "The Rhine", *same, "The Rhine", *same, "The Elbe"]] * 3
    roles = read_cached(patches[0], ["messages.list.element.role"])["messages"].to_pylist()
    assert roles == [[{"role": "user"}, {"role": "assistant"}]] * 41  # some fields alone, too
    assert read_cached(patches[0]).schema == read_cached(lies_on(patches[0])).schema


def test_of_a_patch_without_its_shard_history_has_no_text(bench):
    bench.jsonl("a.jsonl", [{"instruction": "Name a river.", "output": f"The Rh\u200bine {i}"} for i in range(3)])
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=["clean"])
    (patch,) = (cache_folder() / name for name in done.run["shards"])
    assert [len(t) for t in messages_of(done.path, {"a/a.jsonl:0"}).values()] == [2]
    lies_on(patch).unlink()
    assert messages_of(done.path, {"a/a.jsonl:0"}) == {}


@pytest.mark.parametrize("at", [[0], [3], [79], [4, 5, 6], [0, 39, 40, 79], list(range(0, 80, 3)), list(range(80)), []])
def test_rows_of_a_column_are_replaced(at):
    lists = pa.array([[{"a": str(i)}] * (i % 3) for i in range(80)])
    table = pa.table({"x": pa.chunked_array([lists[:40], lists[40:]]), "y": range(80)})
    values = pa.array([[{"a": f"new {i}"}] for i in at], lists.type)
    wanted = [values[at.index(i)].as_py() if i in at else lists[i].as_py() for i in range(80)]
    assert put(table, "x", np.array(at, np.int64), values)["x"].to_pylist() == wanted


class Upper(RewriteStep):
    """A step of one's own that changes text: answers in capitals. It fails on one row."""

    kind: ClassVar[str] = "upper"

    def rewrite(self, rows):
        if "boom" in rows.prompt.to_pylist():
            raise RuntimeError("boom")
        at = np.flatnonzero(np.asarray(pc.starts_with(rows.view("answer"), "a")))
        turns = rows.messages.take(pa.array(at)).to_pylist()
        edits = []
        for turn in (t[-1] for t in turns):
            edits.append([{"kind": "upper", "before": turn["content"], "after": turn["content"].upper()}])
            turn["content"] = turn["content"].upper()
        return Rewritten(at, pa.array(turns, rows.messages.type), edits)


def test_a_step_of_ones_own_changes_text(bench, monkeypatch):
    known = {**steps.kinds(), "upper": EntryPoint("upper", f"{__name__}:Upper", steps.GROUP)}
    for place in ("instdata.steps.base", "instdata.recipe.load"):
        monkeypatch.setattr(f"{place}.kinds", lambda: known)
    steps.step_class.cache_clear()
    bench.jsonl(
        "a.jsonl",
        [{"instruction": p, "output": r} for p, r in (("x", "abc"), ("boom", "a"), ("y", "xyz"), ("z", "azz"))],
    )
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=["upper", {"dedup": {"view": "prompt"}}])
    rows = pq.read_table(done.path / "ledger.parquet").to_pylist()
    assert [(r["verdict"], r["score_upper_edits"]) for r in rows] == [
        ("kept", "upper"), ("quarantined", None), ("kept", None), ("kept", "upper"),
    ]  # fmt: skip
    texts = {m[1]["content"] for m in pq.read_table(done.path / "data/00-full.parquet")["messages"].to_pylist()}
    assert texts == {"ABC", "xyz", "AZZ"}
    assert done.manifest["totals"] == {"in": 4, "generated": 0, "kept": 3, "dropped": 0, "quarantined": 1}


def test_clean_saves_what_quality_would_drop():
    rows = corpus([[("user", "Name a flower."), ("assistant", "Rose<|im_end|>")]])
    new = Clean().score(rows)["_messages"].to_pylist()
    assert decided(Quality(), [[(t["role"], t["content"]) for t in new[0]]]) == [(None, None)]


def test_what_is_asked_stays_known_in_mended_rows(tmp_path):
    """The bytes of the asked part move with the text; nothing is cut within a character."""
    rows = [
        {"instruction": f"把这句话​翻译成英文{i}", "input": f"长江﻿很长\n第{i}行", "output": "The Yangtze is long."}
        for i in range(3)
    ]
    rows.append({"instruction": "翻译成英文", "input": "一行&amp;一\\n二", "output": "One"})
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    recipe = {"name": "c", "taxonomy": "belle", "sources": [{"path": str(tmp_path / "r.jsonl")}], "steps": ["clean"]}
    plan = prepare(recipe)
    with open_engine("local", 1) as engine:
        found, _ = _run(plan, engine)
    seen = found.view(np.arange(found.n))
    asked, given = seen.view("asked").to_pylist(), seen.view("given").to_pylist()
    assert asked[:3] == [f"把这句话翻译成英文{i}" for i in range(3)]
    assert given[:3] == [f"长江很长\n第{i}行" for i in range(3)]


@pytest.mark.parametrize(
    ("span", "before", "after", "wanted"),
    [
        ((0, 3), "问\nab", "问题\nab", (0, 6)),
        ((4, 7), "abc\n问", "ab\n问题", (3, 9)),
        ((0, 3), "问\nab", "问 ab", None),
        ((0, 1), "问\nab", "题\nab", None),
        (None, "a", "b", None),
    ],
)
def test_spans_move_with_their_lines(span, before, after, wanted):
    named = None if span is None else dict(zip(("start", "end"), span))
    assert moved_span(named, before, after) == (None if wanted is None else dict(zip(("start", "end"), wanted)))


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        (["1+1=?", "2<|im_end|>", "2+2=?", "4"], ["1+1=?", "2", "2+2=?", "4"]),
        (["A title? <noinput>", "Dawn", "Another?", "Dusk"], ["A title?", "Dawn", "Another?", "Dusk"]),
        (["法国首都？", "巴黎。\n用户：日本呢？", "德国呢？", "柏林。"], ["法国首都？", "巴黎。", "德国呢？", "柏林。"]),
        (["Two tips?", "Yes.\\n1. Rest.\\n2. Eat.", "Why?", "So."], ["Two tips?", "Yes.\n1. Rest.\n2. Eat.", "Why?", "So."]),
        (["Two tips.\\r\\nBe brief.", "Rest.\\r\\nEat."], ["Two tips.\nBe brief.", "Rest.\nEat."]),
        (["给标题。\\n正文：春天来了。", "春", "再来一个", "\\u82b1"], ["给标题。\n正文：春天来了。", "春", "再来一个", "花"]),
        (["caf\u00c3\u00a9?", "Itâ€™s so.", "ＡＢ？", "A&amp;B"], ["caf\u00e9?", "It’s so.", "AB？", "A&B"]),
    ],
)  # fmt: skip
def test_every_turn(turns, wanted):
    roles = ["user", "assistant"] * 2
    rows = corpus([list(zip(roles, turns))])
    assert [t["content"] for t in Clean().score(rows)["_messages"][0].as_py()] == wanted


@pytest.mark.parametrize(
    "turns",
    [
        ["How many lines has 'a.\\nB'?", "Two."],
        ["Write $x\\neq 0.\\nA$ in words.", "x is not zero."],
        ["Split the string a.\\nB at its line break.", "a.\\nB has two parts: a. and B."],
        ["What is ChatML's end token?", "It is <|im_end|>", "And Llama's?", "It is <|eot_id|>"],
    ],
)
def test_turns_about_such_marks_stay(turns):
    assert not Clean().score(corpus([list(zip(["user", "assistant"] * 2, turns))]))["_messages"][0].is_valid


def pair(prompt, chosen, rejected, **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def test_a_preference_pair_stays_a_pair(bench):
    """Both answers are mended, in the data as in the conversation; a pair that differs in its marks alone is left."""
    records = [
        pair("Name a hill.", "Ben\u200b Nevis.", "Itâ€™s a hill."),
        pair("Name a lake.", "Loch Ness.", "A lake &amp; a hill."),
        pair("Name a town.", "Oban.", "Ob\u200ban."),  # what is left of the difference?
        pair("Name a river.", "The Tay.", "The Spey."),
        pair("Give a title. <noinput>", "Dawn<|im_end|>", "Dusk\n19. Instruction: Add.\n19. Input:\n1\n19. Output:\n2"),
        pair("Think.", "<think>Itâ€™s 4.</think>4", "<think>Itâ€™s 5.</think>5"),
        {"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hel\u200blo"}],
         "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Y\u200bo"}]},
    ]  # fmt: skip
    bench.jsonl("p.jsonl", records)
    done = bench.build(sources=[{"path": "p.jsonl"}], steps=["clean"])
    ledger = pq.read_table(done.path / "ledger.parquet").to_pylist()
    at = {r["id"]: r["source_row"] for r in ledger}
    found = {at[r["id"]]: r for r in pq.read_table(done.path / "data/00-full.parquet").to_pylist()}
    sides = {
        row: (r["messages"][-1]["content"], r["chosen"][-1]["content"], r["rejected"][-1]["content"])
        for row, r in found.items()
    }
    assert sides == {
        0: ("Ben Nevis.", "Ben Nevis.", "It’s a hill."),
        1: ("Loch Ness.", "Loch Ness.", "A lake & a hill."),
        2: ("Oban.", "Oban.", "Ob\u200ban."),
        3: ("The Tay.", "The Tay.", "The Spey."),
        4: ("Dawn", "Dawn", "Dusk"),
        5: ("4", "<think>It’s 4.</think>4", "<think>It’s 5.</think>5"),
        6: ("Hello", "Hello", "Yo"),
    }
    assert found[4]["messages"][0]["content"] == "Give a title."
    assert found[5]["messages"][-1]["reasoning_content"] == "It’s 4."
    lines = {r["source_row"]: r for r in ledger}
    assert lines[1]["score_clean_derived_from"] is None  # the conversation, and so the id, is as it was
    assert lines[1]["score_clean_edits"] == "entities"
    edit = json.loads(lines[1]["evidence"])["changes"][0]["edits"][0]
    assert (edit["field"], edit["turn"], edit["before"], edit["after"]) == ("rejected", 0, "&amp;", "&")
    assert lines[2]["score_clean_edits"] is None
    assert verify(done.path)["ok"]
    assert history(done.path, lines[1]["id"])[0]["verdict"] == "kept"
