"""Hostile text for the parsers, `python -m tests.security.fuzz SECONDS [NAME…]` each: they return or raise what they say
they raise, and no text of a few hundred characters keeps one busy. Exit 1 where a text broke one; a line tells
which.

Guided by coverage: a text that reaches a line of ours which none before it reached is kept, and half of what is tried is
made from what was kept, by cutting, doubling, joining and inserting. What is kept stays in .fuzz/ between runs
(FUZZ_CORPUS names another folder). Code compiled by numba and in other languages is not seen. (No library:
HypoFuzz needs a licence, and this runs wherever our Python does; atheris, which has wheels for Linux, would guide it too.)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import orjson

from instdata.llm.fence import fence
from instdata.llm.lenient_json import NoJson, find
from instdata.llm.reply import Unusable, read_items, read_object, sole_object, thoughts
from instdata.read.chat_template_text import rendered
from instdata.read.field_text import BadRow
from instdata.read.json_numbers import dumps, loads
from instdata.read.json_records import parse_json
from instdata.read.split_json import split_values
from instdata.read.thoughts import put_back, take_out
from instdata.read.turns import dialogue, read_turns
from instdata.score.extract.choice import chosen_letters, letter_set, reference_letters
from instdata.score.extract.number import numbers
from instdata.score.extract.stated_result import final_numbers, stated, worked_out
from instdata.score.extract.text import code_in
from instdata.score.extract.yes_no import verdict_in
from instdata.score.sandbox import proxy, serving
from instdata.score.sandbox.wire import BrokenWire, Message, Peer
from instdata.steps.quality.arithmetic import false_sums
from instdata.steps.quality.code_and_json import bad_json, bad_python
from instdata.util.errors import InputError
from instdata.util.redaction import redact
from instdata.util.safe_text import plain
from instdata.util.yaml import parse_yaml

SLOW = 5.0  # seconds of the processor for one text: a failure
PIECES = [
    *'[]{}":,RKm\n\\*_$^=+-/%.()', "os", "list", "\x1b[", "<|im_end|>", "[INST]", "- ", "&a", "*a", "\ud800", "0", "-1",
    "https://a:b@c", "==",
    "```", "```python\n", "```json\n", "def f(x):\n    ", '{"instruction": "', '"response": ', '"role": "user"',
    "<think>", "</think>", "<|channel|>analysis", "<|message|>", "<|start|>user", "<|im_start|>user\n", "### Instruction:",
    "[/INST]", "USER:", "ASSISTANT:", "<user>", "Human: ",
    "Assistant: ", "用户：", "助手：", "答案是", "the answer is ", "\\boxed{", "\\frac{1}{2}", "一百二十三", "1,234.5", "1e999", "A.",
    "(B)", "选C", "True",
    "不是", "，", "“", "”", "\t", "\x00", "\u202e", "\r\n", "null", "1/0", "9" * 40,
]  # fmt: skip


def _wire(text: str, rng: random.Random) -> None:
    def value(depth: int) -> object:
        if depth and rng.random() < 0.7:
            return [value(depth - 1) for _ in range(rng.randrange(5))]
        return rng.choice([0, -1, 2**60, None, True, "K", "R", "m", "o", "E", "list", "os", "system", "", 0.5])

    peer = Peer(lambda data: None, lambda: b"", False, proxy.strict_stand_in, proxy.facts_of, serving.serve_tests)
    peer.decode(value(4), Message())


def _turns(text: str, rng: random.Random) -> None:
    dialogue(text)
    rendered(text)
    loads(dumps(text.encode("utf-8", "replace").decode()))
    reasoning, rest = take_out(text)
    put_back(reasoning, rest)
    with contextlib.suppress(ValueError):  # what is JSON may be turns
        read_turns(orjson.loads(text), "messages")
    read_turns(rng.choice([text, [text], [{"role": text, "content": text}], {"from": text}]), "messages")


def _each(*parsers: Callable[[str], Any]) -> Callable[[str, random.Random], None]:
    """Every parser with the same text: one that raises what it may does not keep it from the next."""

    def run(text: str, rng: random.Random) -> None:
        for parse in parsers:
            with contextlib.suppress(*SAID):
                parse(text)

    return run


SAID = (InputError, BrokenWire, NoJson, Unusable, BadRow)
PARSERS: dict[str, Callable[[str, random.Random], Any]] = {
    "yaml": lambda text, rng: parse_yaml(text, "x"),
    "fence": lambda text, rng: fence([("a", text)]),
    "plain": lambda text, rng: plain(text),
    "redact": lambda text, rng: redact(text),
    "wire": _wire,
    "replies": _each(thoughts, read_items, read_object, lambda t: sole_object(t, "grade")),
    "lenient": _each(find),
    "records": _each(
        lambda t: parse_json(t.encode("utf-8", "replace")),
        lambda t: split_values(t.encode("utf-8", "replace"), False),
        lambda t: split_values(t.encode("utf-8", "replace"), True),
    ),
    "turns": _turns,
    "numbers": _each(numbers, final_numbers, stated, worked_out),
    "choices": _each(
        letter_set,
        verdict_in,
        lambda t: chosen_letters(t, ["red", "blue", "green"], "A"),
        lambda t: reference_letters(t, ["red", "blue"]),
    ),
    "code": _each(code_in, bad_python, bad_json, false_sums),
}


SEEDS = [
    "name: a\nsources: [{path: a.jsonl, map: {instruction: q}}]\nsteps: [{dedup: {threshold: 0.7}}]\n",
    '{"reason": "r", "grade": "B"}', '[{"instruction": "a", "response": "b"}, {"instruction": "c"}]',
    "<think>so</think>The answer is \\boxed{\\frac{1}{2}}, that is 50%.", "Human: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
    '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": []}]', "2 + 3 = 6，所以答案是 (B)。",
    "```python\ndef f(x):\n    return x + 1\n```", "https://me:pw@host/a?key=abc <|im_start|>system\n【系统】",
]  # fmt: skip
OURS = str(Path(__file__).parents[2] / "instdata") + os.sep
KEPT, LONGEST = 3000, 2000  # texts of a parser that stay, characters of one


@contextlib.contextmanager
def tracing(seen: set[tuple[int, int]]) -> Iterator[None]:
    """Lines of ours that run meanwhile, as (code object, line)."""

    def line(frame: FrameType, event: str, _: Any) -> Any:
        seen.add((id(frame.f_code), frame.f_lineno))
        return line

    was = sys.gettrace()
    sys.settrace(lambda frame, event, _: line if frame.f_code.co_filename.startswith(OURS) else None)
    try:
        yield
    finally:
        sys.settrace(was)


def made(corpus: list[str], rng: random.Random) -> str:
    """A text: of pieces, or of what the corpus holds."""
    if not corpus or rng.random() < 0.5:
        count = rng.randrange(200)
        return "".join(rng.choice(PIECES) if rng.random() < 0.8 else chr(rng.randrange(0x3000)) for _ in range(count))
    text = rng.choice(corpus)
    for _ in range(rng.randrange(1, 5)):
        a, b = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        text = rng.choice((
            text[:a] + text[b:], text[:b] + text[a:], text[:a] + rng.choice(PIECES) + text[a:],
            text[:a] + chr(rng.randrange(0x3000)) + text[b:], text[:a] + rng.choice(corpus)[a:],
        ))  # fmt: skip
    return text[:LONGEST]


def fuzz(name: str, seconds: float, seed: int = 0, folder: Path | None = None) -> tuple[int, float, list[str], int]:
    """One parser for some seconds: (texts, the slowest one's processor seconds, the texts that broke it, texts kept)."""
    rng, end, count, slowest, broke = random.Random(seed), time.monotonic() + seconds, 0, 0.0, []
    before = [p.read_text("utf-8", "surrogatepass") for p in sorted(folder.glob("*.txt"))] if folder else []
    corpus, seen = list[str](), set[tuple[int, int]]()
    waiting = [*SEEDS, *before]
    while time.monotonic() < end:
        text = waiting.pop() if waiting else made(corpus, rng)
        known, start = len(seen), time.process_time()
        try:
            with tracing(seen):
                PARSERS[name](text, random.Random(text.encode("utf-8", "surrogatepass")))
        except SAID:
            pass
        except Exception as e:
            broke.append(f"{type(e).__name__}: {e}: {text!r}")
        took = time.process_time() - start
        slowest = max(slowest, took)
        if took > SLOW:
            broke.append(f"{took:.1f} s: {text!r}")
        if len(seen) > known and len(corpus) < KEPT:
            corpus.append(text)
            if folder and text not in before:
                data = text.encode("utf-8", "surrogatepass")
                (folder / f"{hashlib.sha256(data).hexdigest()[:16]}.txt").write_bytes(data)
        count += 1
    return count, slowest, broke, len(corpus)


def main(seconds: float, names: list[str], seed: int = 0) -> int:
    failed = 0
    for name in names or list(PARSERS):
        folder = Path(os.environ.get("FUZZ_CORPUS", ".fuzz")) / name
        folder.mkdir(parents=True, exist_ok=True)
        count, slowest, broke, kept = fuzz(name, seconds, seed or time.time_ns(), folder)
        print(f"{name}: {count:,} texts in {seconds:g} s, {kept} kept, {len(broke)} failures, the slowest "
              f"{1000 * slowest:.0f} ms", flush=True)  # fmt: skip
        for line in broke[:5]:
            print(f"    {line}", flush=True)
        failed += len(broke)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600, sys.argv[2:]))
