"""One table of marks: whoever takes thoughts out of a text takes the same ones out."""

from __future__ import annotations

import pyarrow as pa
import pytest

from instdata.corpus.views import thought_of
from instdata.llm.reply import thoughts
from instdata.read.harmony import turns as harmony
from instdata.read.thoughts import take_out
from instdata.read.turns import answer_of
from instdata.score.extract.thoughts import without_thoughts
from instdata.util.thought_marks import MARKS, WORDS

WRITTEN = [
    *((f"<{w}>", f"</{w}>") for w in WORDS), ("<Think>", "</THINK>"), ("<think >", "</think >"),
    ("[THINK]", "[/THINK]"), ("[REASONING]", "[/REASONING]"), ('<think time="3s">', "</think>"),
    ("<|begin_of_reasoning|>", "<|end_of_reasoning|>"), ("<|think|>", "<|/think|>"),
    ("◁think▷", "◁/think▷"), ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought\n", "<channel|>"), ("<unused94>thought\n", "<unused95>"), ("<unused94>", "<unused95>"),
]  # fmt: skip
FRAMES = [("", ""), ("<|begin_of_solution|>", "<|end_of_solution|>"), ("<|START_RESPONSE|>", "<|END_RESPONSE|>")]


def test_the_examples_are_all_marks():
    assert len({opens.casefold().strip() for opens, _ in WRITTEN}) >= len(MARKS)


@pytest.mark.parametrize("opens, closes", WRITTEN)
@pytest.mark.parametrize("before, after", FRAMES)
def test_every_reader_knows_every_mark(opens, closes, before, after):
    text = f"{opens}\nFirst this,\nthen that.\n{closes}\n\n{before}Oak.{after}"
    thought, answer = "First this,\nthen that.", "Oak."
    assert take_out(text) == (thought, answer)
    assert thoughts(text) == (thought, answer)
    assert without_thoughts(text).strip() == answer
    inline, rest = thought_of(pa.array([text]))
    assert (inline[0].as_py().strip(), rest[0].as_py()) == (thought, answer)


@pytest.mark.parametrize(
    "text",
    [
        "<analysts>a</analysts>b",
        "A <think> tag.",
        "Use [THINK] here.",
        "thinking aloud",
        "<b>bold</b> text",
        "[1] a",
        "<thinker>a</thinker>",
    ],
)
def test_what_is_no_thought_stays(text):
    assert take_out(text) == (None, text) and thought_of(pa.array([text]))[1].to_pylist() == [text]


@pytest.mark.parametrize(
    "text", ["hm.</think>Oak.", "hm. </think> Oak.", "hm.◁/think▷Oak.", "hm.[/THINK]\nOak.", "hm.</seed:think>Oak."]
)
def test_an_opening_that_stood_in_the_prompt_is_not_needed(text):
    assert take_out(text) == ("hm.", "Oak.")


@pytest.mark.parametrize(
    "text", ["The tag </think> ends it.", "Use `</think>` there.", "hm</think>", "Say (</think>)."]
)
def test_a_mark_that_is_talked_about_is_text(text):
    assert take_out(text) == (None, text)


def test_harmony_has_its_channels():
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Oak.<|return|>"
    assert take_out(text) == thoughts(text) == ("Hm.", "Oak.") and without_thoughts(text) == "Oak."


@pytest.mark.parametrize(
    "text, found",
    [
        ("<think><think>Hm.</think></think>\n\nOak.", ("Hm.", "Oak.")),
        ("<think><think>Hm.</think>Oak.", ("Hm.", "Oak.")),
        ("<think>a <think>b</think> c</think>Oak.", ("a <think>b</think> c", "Oak.")),
        ("<think>I write <think> first.</think>Oak.", ("I write <think> first.", "Oak.")),
        ("<think>a</think>Write <think>b</think>.", ("a", "Write <think>b</think>.")),
        ("<think>Hm. Then", (None, "<think>Hm. Then")),
    ],
)
def test_thoughts_in_thoughts(text, found):
    assert take_out(text) == found


SAYS = "<|start|>assistant<|channel|>"
CALLS = SAYS + 'commentary to=functions.trees <|constrain|>json<|message|>{"n": 1}<|call|>'


@pytest.mark.parametrize(
    "text, turn",
    [
        (f"{SAYS}analysis<|message|>Hm.<|end|>{SAYS}commentary<|message|>I look.<|end|>{SAYS}final<|message|>Oak.",
         {"content": "Oak.", "reasoning_content": "Hm.\n\nI look."}),
        (f"<|channel|>analysis<|message|>Hm.<|end|>{CALLS}", {"content": "", "reasoning_content": "Hm.", "calls": 1}),
        (SAYS + "analysis<|message|>Hm.<|end|><|start|>assistant to=functions.trees<|channel|>commentary json<|message|>"
         + '{"n": 1}<|call|>', {"content": "", "reasoning_content": "Hm.", "calls": 1}),
        (f"{SAYS}commentary<|message|>I look.<|end|>{CALLS}{CALLS}", {"content": "I look.", "calls": 2}),
    ],
)  # fmt: skip
def test_harmony_calls_tools(text, turn):
    call = {"id": None, "type": "function", "function": {"name": "trees", "arguments": '{"n": 1}'}}
    calls = {"tool_calls": [call] * turn.pop("calls")} if "calls" in turn else {}
    assert answer_of({"role": "assistant", "content": text}) == {"role": "assistant", **turn, **calls}


def test_all_of_a_conversation_in_harmony():
    text = "<|start|>developer<|message|>Be brief.<|end|><|start|>user<|message|>Trees?<|end|>"
    text += f"{CALLS}<|start|>functions.trees to=assistant<|channel|>commentary<|message|>[]<|end|>"
    found = harmony(text + f"{SAYS}final<|message|>None.<|return|>")
    assert [t["role"] for t in found] == ["system", "user", "assistant", "tool", "assistant"]
    assert found[3] == {"role": "tool", "content": "[]", "name": "trees"} and found[4]["content"] == "None."
    assert harmony(text + "and more") is None
