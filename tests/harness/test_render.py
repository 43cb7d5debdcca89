"""Rows that stock templates do not expect: opened by the assistant, with later system turns, with tools, with hidden
special tokens. One such row costs itself at most, and it is said why."""

from __future__ import annotations

import json

import pytest

from instdata.train.render import encode, prompt_ids, template_notes

from .chat_templates import STOCK, Stock
from .conftest import CHATML, byte_tokenizer
from .test_templates import learned, says, stock, user

TOOLS = json.dumps([{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {}}}])
SHOWS = "{% if tools %}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}" + CHATML


def named(name: str) -> Stock:
    return next(s for s in STOCK if s.name == name)


def call(arguments: str) -> dict:
    return {"type": "function", "id": "c1", "function": {"name": "fun", "arguments": arguments}}


@stock
@pytest.mark.parametrize("more", [[], [user("u"), says("two")]])
def test_a_conversation_that_the_assistant_begins_stops_nobody(stock: Stock, more: list[dict]) -> None:
    tokenizer = stock.tokenizer()
    good = [user("u"), says("fine")]
    row, other = encode(tokenizer, [[says("one"), *more], good])
    assert learned(tokenizer, other) == [stock.answer.format(a="fine")] and not other.unlearned
    if stock.alternates:
        assert len(row.unlearned) == row.turns and all("must alternate" in why for why in row.unlearned)
    else:
        first = (stock.between if more and stock.between else stock.answer).format(a="one")
        assert learned(tokenizer, row) == [first + (stock.answer.format(a="two") if more else "")]
        assert not row.unlearned


def test_thoughts_that_no_prompt_opens_are_not_learned_and_it_is_said() -> None:
    tokenizer = named("R1-distill").tokenizer()
    [row] = encode(tokenizer, [[says("one", reasoning_content="why"), user("u"), says("two")]])
    assert learned(tokenizer, row) == [named("R1-distill").answer.format(a="two")]
    assert [why for why in row.unlearned if "begins the conversation" in why] and len(row.unlearned) == 1


@stock
def test_later_system_turns_are_shown_once(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    system = [{"role": "system", "content": f"rule {n}"} for n in range(4)]
    talk = [*system[:2], user("u1"), says("one"), system[2], user("u2"), system[3], says("two")]
    [row] = encode(tokenizer, [talk])
    text = tokenizer.decode(row.ids)
    assert [text.count(f"rule {n}") for n in range(4)] == [1] * 4 and not row.unlearned
    assert not any("rule" in t for t in learned(tokenizer, row))
    assert text.index("rule 1") < text.index("u1") < text.index("one") < text.index("rule 2") < text.index("two")


@stock
def test_a_row_that_holds_our_own_word_is_learned_like_any_other(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    [row] = encode(tokenizer, [[user("Qinstdatawords"), says("Qinstdatawords Qinstdatawordss")]])
    assert learned(tokenizer, row) == [stock.answer.format(a="Qinstdatawords Qinstdatawordss")]


@pytest.mark.parametrize("talk", [
    [user("u"), says("", tool_calls=[call('{"x": "\\u003c|im_end|\\u003e"}')])],
    [user("u"), says("", tool_calls=[call('{"\\u003c|im_end|\\u003e": 1}')])],
    [{**user("u"), "tools": '[{"name": "\\u003c|im_end|\\u003e"}]'}, says("a")],
    [user("u"), says("a"), {"role": "tool", "content": "r", "name": "<|im_end|>"}, says("b")],
])  # fmt: skip
def test_special_tokens_hidden_in_json_or_names_are_refused(talk: list[dict]) -> None:
    [row] = encode(named("Qwen2.5").tokenizer(), [talk])
    assert set(row.unlearned) == {"its text holds special tokens"} and not row.ids


def test_tools_reach_a_template_that_shows_them() -> None:
    tokenizer = byte_tokenizer(SHOWS)
    talk = [{**user("u"), "tools": TOOLS}, says("one"), user("v"), says("two")]
    [row] = encode(tokenizer, [talk])
    assert tokenizer.decode(row.ids).count("weather") == 1 and not row.unlearned
    assert learned(tokenizer, row) == ["one<|im_end|>two<|im_end|>"]
    assert tokenizer.decode(prompt_ids(tokenizer, talk[:3])).count("weather") == 1
    assert template_notes(tokenizer, [talk, talk[2:]]) == ()


def test_tools_that_a_template_does_not_show_are_said_in_numbers() -> None:
    talk = [{**user("u"), "tools": TOOLS}, says("one")]
    [note] = template_notes(byte_tokenizer(), [talk, talk, [user("u"), says("one")]])
    assert note == "its chat template shows no tools: those of 2 rows are left out"
    assert template_notes(byte_tokenizer(), [[user("u"), says("one")]]) == ()


def test_tools_that_are_no_json_cost_their_row() -> None:
    bad, good = encode(byte_tokenizer(SHOWS), [[{**user("u"), "tools": "["}, says("a")], [user("u"), says("a")]])
    assert bad.unlearned == ("its tools are no JSON",) and good.supervised


def test_tools_survive_a_fold() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + SHOWS
    tokenizer = byte_tokenizer(refuses)
    [row] = encode(tokenizer, [[{"role": "system", "content": "rule", "tools": TOOLS}, user("u"), says("one")]])
    text = tokenizer.decode(row.ids)
    assert text.count("weather") == 1 and "rule\n\nu" in text and not row.unlearned


def test_a_builds_tools_reach_training_scoring_and_both_arms(tmp_path, monkeypatch) -> None:
    from instdata.build import build, prepare
    from instdata.builds import kept_messages, messages_of
    from instdata.score.from_build import rows_in_order, taxonomy_of
    from instdata.score.holdout_items import holdout_items

    monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    lines = [{"messages": [user(f"Question {n} of many?"), says(f"Answer number {n}.")], "tools": TOOLS,
        "ability": "echo"} for n in range(12)]  # fmt: skip
    lines.append({"messages": [user("plain?"), says("plain.")], "ability": "echo"})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    (tmp_path / "small.yaml").write_text(
        "name: small\nabilities:\n  - {name: echo, description: Saying, scorer: exact}\n"
    )
    (tmp_path / "recipe.yaml").write_text(
        "name: t\ntaxonomy: ./small.yaml\nsources:\n  - {path: a.jsonl, name: a, origin: human, license: cc0-1.0}\n"
        "steps:\n  - holdout: {per_ability: 3, threshold: 1.0}\n  - filter: {where: \"response not like '%1%'\"}\n"
    )
    done = build(prepare(tmp_path / "recipe.yaml"), tmp_path / "t").path
    ids, talks = rows_in_order(done)
    given = {t[0]["content"]: t[0].get("tools") for t in talks}
    assert len(given) >= 8 and all((tools == TOOLS) == ("plain" not in asked) for asked, tools in given.items())
    items = holdout_items(done, taxonomy_of(done))
    assert len(items) == 3 and all(("tools" in i.messages[0]) == ("plain" not in i.question) for i in items)
    kept = kept_messages(done, set(ids), tools=True)
    assert [kept[i] for i in ids] == talks
    assert not any("tools" in t[0] for t in kept_messages(done, set(ids)).values())
    assert (done / "dropped.parquet").is_file()
    dropped = messages_of(done, {f"a/a.jsonl:{n}" for n in range(13)}, tools=True)
    assert len(dropped) == 13 and sum("tools" in t[0] for t in dropped.values()) == 12
