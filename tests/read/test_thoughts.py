"""One table of marks: whoever takes thoughts out of a text takes the same ones out."""

from __future__ import annotations

import pyarrow as pa
import pytest

from instdata.corpus.views import thought_of
from instdata.llm.reply import thoughts
from instdata.read.thoughts import take_out
from instdata.score.extract.thoughts import without_thoughts
from instdata.util.thoughts import MARKS, WORDS

WRITTEN = [
    *((f"<{w}>", f"</{w}>") for w in WORDS), ("<Think>", "</THINK>"), ("<think >", "</think >"),
    ("[THINK]", "[/THINK]"),
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
    ["A <think> tag.", "Use [THINK] here.", "thinking aloud", "<b>bold</b> text", "[1] a", "<thinker>a</thinker>"],
)
def test_what_is_no_thought_stays(text):
    assert take_out(text) == (None, text) and thought_of(pa.array([text]))[1].to_pylist() == [text]


def test_harmony_has_its_channels():
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Oak.<|return|>"
    assert take_out(text) == thoughts(text) == ("Hm.", "Oak.") and without_thoughts(text) == "Oak."
