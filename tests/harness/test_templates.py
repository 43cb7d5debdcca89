"""Chat templates: of every stock template every answer is learned or it is said why not; thoughts are learned, masked
or dropped; training and asking agree."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.train.loop import rows_line, usable
from instdata.train.render import encode, prompt_ids, stop_ids, template_notes
from instdata.util.errors import InputError

from .chat_templates import STOCK, Stock
from .conftest import byte_tokenizer, tiny_net

stock = pytest.mark.parametrize("stock", STOCK, ids=lambda s: s.name)


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def says(text: str, **more) -> dict:
    return {"role": "assistant", "content": text, **more}


def learned(tokenizer, row) -> list[str]:
    """The learned text of each of a row's sequences."""
    return [tokenizer.decode([t for t, m in zip(p.ids, p.mask) if m]) for p in row.pieces()]


@stock
def test_every_answer_is_learned_with_its_end(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    [row] = encode(tokenizer, [[user("u1"), says("one"), user("u2"), says("two")]])
    first = (stock.between or stock.answer).format(a="one")
    assert learned(tokenizer, row) == [first + stock.answer.format(a="two")]
    assert (row.turns, row.unlearned, row.truncated) == (2, (), False)


@stock
def test_no_empty_block_of_thoughts_is_taught(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    talks = [[user("u"), says("one")], [user("u"), says("one"), user("v"), says("two", reasoning_content="  \n")]]
    talks.append([user("u"), says("<think>\n\n</think>\n\none")])
    for row in encode(tokenizer, talks):
        assert row.supervised and not row.unlearned
        assert not any(re.search(r"think|analysis", text) for text in learned(tokenizer, row))


@stock
@pytest.mark.parametrize("inline", [False, True])
def test_thoughts_are_learned_masked_or_dropped(stock: Stock, inline: bool) -> None:
    tokenizer = stock.tokenizer()
    turns = [("one", "why 1"), ("two", "why 2")]
    answers = [says(f"<think>\n{t}\n</think>\n\n{a}") if inline else says(a, reasoning_content=t) for a, t in turns]
    talk = [user("u1"), answers[0], user("u2"), answers[1]]

    def found(how: str) -> list[str]:
        [row] = encode(tokenizer, [talk], reasoning=how)
        assert row.turns == 2 and not row.unlearned
        assert row.thoughts == (2 if how == "learn" else 0)
        return learned(tokenizer, row)

    whole = [stock.thought.format(a=a, t=t) for a, t in turns]
    assert sorted(found("learn")) == sorted(whole if stock.apart else ["".join(whole)])
    masked = "".join(sorted(found("mask")))
    assert "why" not in masked and "think" not in masked and "one" in masked and "two" in masked
    dropped = (stock.between or stock.answer).format(a="one") + stock.answer.format(a="two")
    assert found("drop") == [dropped]
    [row] = encode(tokenizer, [talk], reasoning="mask")
    shown = [tokenizer.decode(p.ids) for p in row.pieces()]
    assert all(any(t in text and a in text for text in shown) for a, t in turns)
    [row] = encode(tokenizer, [talk], reasoning="drop")
    assert "why" not in tokenizer.decode(row.ids)


@stock
def test_a_prompt_is_what_the_answer_followed_in_training(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    asked = [{"role": "system", "content": "be brief"}, user("u1"), says("one"), user("u2")]
    prompt = prompt_ids(tokenizer, asked)
    assert tokenizer.decode(prompt).endswith(stock.prompt)
    [row] = encode(tokenizer, [[*asked, says("two")]], last_only=True)
    start = row.mask.index(True)
    given = tokenizer.decode(row.ids[len(prompt) : start])
    assert row.ids[: len(prompt)] == prompt or tokenizer.decode(prompt).startswith(tokenizer.decode(row.ids[:start]))
    assert not given.strip()
    [last] = [i for i, m in enumerate(row.mask) if m][-1:]
    assert row.ids[last] in stop_ids(tokenizer)


@stock
def test_a_system_turn_is_shown_or_folded_into_the_first_users(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    [row] = encode(tokenizer, [[{"role": "system", "content": "be brief"}, user("u1"), says("one")]])
    assert tokenizer.decode(row.ids).count("be brief") == 1 and not row.unlearned
    assert any("takes no system turn" in note for note in template_notes(tokenizer)) == stock.folds
    if stock.folds:
        assert "be brief\n\nu1" in tokenizer.decode(row.ids)


@stock
def test_turns_of_weight_0_are_shown_but_not_learned(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    talk = [user("u1"), says("one", weight=0), user("u2"), says("two", weight=1)]
    [row] = encode(tokenizer, [talk])
    assert learned(tokenizer, row) == [stock.answer.format(a="two")]
    assert "one" in tokenizer.decode(row.ids) and row.unlearned == ("its weight is 0",)


@stock
def test_tool_calls_reach_the_template_or_it_is_said(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    call = {"type": "function", "id": "c1", "function": {"name": "fun", "arguments": '{"x": 1}'}}
    talk = [user("u"), says("", tool_calls=[call]), {"role": "tool", "content": "r", "name": "fun"}, says("done")]
    [row] = encode(tokenizer, [talk])
    texts = learned(tokenizer, row)
    if stock.calls:
        assert stock.calls in texts and not row.unlearned
    else:
        assert row.unlearned and not any("fun" in t for t in texts)
    assert not any("tool_response" in t or t == "r" for t in texts)
    if not stock.alternates:
        assert any(t.endswith(stock.answer.format(a="done")) for t in texts)


@stock
def test_the_same_rows_give_the_same_tokens_on_any_day(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = stock.tokenizer()
    text = tokenizer.decode(encode(tokenizer, [[user("u"), says("one")]])[0].ids)
    assert not re.search(r"20(?!26-01-01)\d\d-\d\d-\d\d|\d\d [A-Z][a-z]+ 20(?!26)", text)


@stock
def test_reasons_are_true(stock: Stock) -> None:
    tokenizer = stock.tokenizer()
    good, twice = [user("u"), says("one")], [user("u"), user("v"), says("one")]
    forged = [user(f"hi{stock.eos}"), says("one")]
    rows = encode(tokenizer, [good, twice, forged, [user("u"), says("one " * 50)]],
        60 + len(encode(tokenizer, [good])[0].ids))  # fmt: skip
    assert rows[2].unlearned == ("its text holds special tokens",)
    assert rows[3].truncated and not rows[3].unlearned  # its beginning is learned
    refused = "the chat template refuses such a conversation: Conversation roles must alternate"
    assert rows[1].unlearned == ((refused,) if stock.alternates else ())
    counts = usable(rows, 100)
    assert counts["turns"] == 4 and counts["turns_learned"] == 4 - len(counts["unlearned"])
    line = rows_line(counts, 100)
    assert "1 its text holds special tokens" in line and (refused in line) == stock.alternates
    with pytest.raises(InputError, match="special tokens"):
        usable([rows[2]], 100)


@stock
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None)
def test_any_answers_are_learned_whole_or_it_is_said(stock: Stock, turns: list[tuple[str, str]]) -> None:
    tokenizer = stock.tokenizer()
    [row] = encode(tokenizer, [[t for asked, answer in turns for t in (user(asked), says(answer))]])
    text = "".join(learned(tokenizer, row))
    if not row.unlearned:
        assert all(answer.strip() in text for _, answer in turns)
        assert not any(asked.strip() and len(asked.strip()) > 6 and asked.strip() in text and not any(asked.strip() in a for _, a in turns) for asked, _ in turns)  # fmt: skip


def test_a_tokenizer_without_a_template_is_said_to_have_none() -> None:
    assert template_notes(byte_tokenizer(template=None)) == ("it has no chat template: ChatML is used",)
    assert template_notes(byte_tokenizer()) == ()


def test_a_template_that_does_not_end_turns_gets_an_end_and_says_so() -> None:
    [mini] = [s for s in STOCK if s.name == "MiniCPM"]
    assert template_notes(mini.tokenizer())[0].startswith("its chat template does not end a turn: </s>")


FACTS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red", "sun": "yellow",
    "plum": "purple", "mud": "brown"}  # fmt: skip


@pytest.mark.parametrize(
    "name, how",
    [("Yi", "plain"), ("Qwen3", "plain"), ("Qwen3", "learn"), ("R1-distill", "plain"), ("R1-distill", "learn"),
    ("gpt-oss", "learn"), ("GLM-4.5", "plain")],
)  # fmt: skip
def test_eight_facts_are_learned_and_answered(name: str, how: str) -> None:
    """Training and asking fit together: a tiny model that has learned eight facts scores 1.0."""
    import torch

    from instdata.score.item import Item
    from instdata.score.scorers import score_answer
    from instdata.train.generation import answers
    from instdata.train.pack import keep_apart, losses_of

    [one] = [s for s in STOCK if s.name == name]
    tokenizer = one.tokenizer()
    net = tiny_net(width=64, layers=2)
    net.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    more = {"reasoning_content": "easy"} if how == "learn" else {}
    talks = [[user(f"{thing}?"), says(colour, **more)] for thing, colour in FACTS.items()]
    rows = encode(tokenizer, talks)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    apart = keep_apart(net)
    for _ in range(400):
        losses = losses_of(net, rows, torch.device("cpu"), apart)
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if losses.max() < 0.1:
            break
    asked = [[user(f"{thing}?")] for thing in FACTS]
    found = answers(net, tokenizer, asked, 256, 64, thinking=how == "learn")
    scores = [
        score_answer(Item("0", "x", talk, colour, None, "exact", None, "s"), text or "").value
        for (text, _), colour, talk in zip(found, FACTS.values(), asked)
    ]
    assert scores == [1.0] * 8 and all(ended for _, ended in found), found
