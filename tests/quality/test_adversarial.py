"""No text makes a rule slow: a megabyte in at most 100 ms for each rule."""

import time

import pyarrow as pa
import pytest

from instdata.steps.quality.form import repetition
from instdata.steps.quality.rule_table import RULES, fired
from instdata.steps.quality.rule_text import Text

MEGABYTE = 1_000_000
LIMIT = 0.1  # seconds of one core

ATTACKS = {
    "letters": "a" * MEGABYTE,
    "spaces": " " * MEGABYTE + "x",
    "line breaks": "\n" * MEGABYTE + "x",
    "digits": "1" * MEGABYTE,
    "digits apart": "1 " * (MEGABYTE // 2),
    "sums": "1+" * (MEGABYTE // 2) + "=1",
    "equations": "12 + 3 = 16, " * (MEGABYTE // 13),
    "commas": "1," * (MEGABYTE // 2),
    "brackets": "[" * MEGABYTE,
    "python nesting": "```python\n" + "(" * (MEGABYTE // 20) + "\n```",
    "python minus": "```python\n" + "-" * 90_000 + "1\n```",
    "fences": "```\n" * (MEGABYTE // 4),
    "open fences": "```json\n{" * (MEGABYTE // 9),
    "tags": "<a " * (MEGABYTE // 3),
    "inserts": "[insert " * (MEGABYTE // 8),
    "mail": "a@" * (MEGABYTE // 2),
    "mail dots": "a@a." + "a." * (MEGABYTE // 2),
    "cards": "4539 " * (MEGABYTE // 5),
    "phones": "212-" * (MEGABYTE // 4),
    "ids": "110105194912310021" * (MEGABYTE // 18),
    "list": "1. a\n" * (MEGABYTE // 5),
    "numbers 1. 2.": " ".join(f"{i}." for i in range(1, 140_000)),
    "refusals": "I cannot " * (MEGABYTE // 9),
    "words": "the cat sat " * (MEGABYTE // 12),
    "chinese": "无法提供" * (MEGABYTE // 12),
    "instructions": "\n1. Instruction" * (MEGABYTE // 15),
    "combining": "e" + "\u0301" * (MEGABYTE // 2),
    "direction": "\u202e\u200b" * (MEGABYTE // 6),
    "emoji": "👨\u200d👩" * (MEGABYTE // 11),
    "quotes": '"Hello there my dear old friend ' * (MEGABYTE // 32),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_linear_time(attack):
    text = ATTACKS[attack]
    slow = {}
    for prompt, response in ((text, "Fine."), ("List five things as JSON in Python, 50 words or less.", text)):
        seen = Text(pa.array([prompt]), pa.array([response]))
        _ = (
            seen.head,
            seen.tail,
            seen.ask,
            seen.line,
            seen.code,
            seen.prompt_language,
            seen.response_language,
            seen.chars,
        )
        for rule in RULES:
            slow |= _slow(rule.name, fired, seen, [rule])
        slow |= _slow("repetition", repetition, seen)
    assert not slow


def _slow(name, run, *args):
    """{name: seconds} where the faster of two runs takes longer than the limit."""
    seconds = []
    for _ in range(2):
        start = time.process_time()
        run(*args)
        seconds.append(time.process_time() - start)
    return {name: round(min(seconds), 3)} if min(seconds) > LIMIT else {}


def test_parsers_stop_at_100_000_characters():
    """What lies beyond is not judged: broken code, JSON and sums there are nobody's business."""
    by_name = {rule.name: rule for rule in RULES}
    pad = "# fine\n" * 15_000
    late = {
        "invalid_python": ("Write it in Python.", f"```python\n{pad}print(1\n```"),
        "invalid_json": ("Give it as JSON.", '{"a": "' + "b" * 110_000 + '",}'),
        "false_arithmetic": ("Sum?", "Let me see. " * 9_000 + "3 + 4 = 8"),
    }
    early = {
        "invalid_python": ("Write it in Python.", "```python\nprint(1\n```"),
        "invalid_json": ("Give it as JSON.", '{"a": "b",}'),
        "false_arithmetic": ("Sum?", "3 + 4 = 8. " + "Let me see. " * 9_000),
    }
    for cases, wanted in ((late, False), (early, True)):
        for name, (prompt, response) in cases.items():
            seen = Text(pa.array([prompt]), pa.array([response]))
            assert fired(seen, [by_name[name]])[name][0] == wanted, name
