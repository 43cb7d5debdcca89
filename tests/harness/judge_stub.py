"""A judge on loopback that keeps to the rules that it is given, and obeys whatever stands outside of the material.

It reads a request as a local server does: control tokens in a message begin and end turns. It grades what stands
between the marks with the announced code and nothing else, and it quotes the answer before its verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.loopback import answering

ORDERS = re.compile(r"(?i)full marks|满分|grade A\b")  # in every attack, never in our own words
TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
MARK = r"===== (?P<name>[^/\n][^\n]*?) {code} =====\n(?P<text>.*?)\n===== /(?P=name) {code} ====="
RIGHT, HALF = "Canberra", "Sydney"  # what earns a B, and a D; anything else an E


def parse(messages: list[dict[str, str]]) -> tuple[dict[str, str], str]:
    """(the material by name, everything else that the model sees after its rules)."""
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    turns = TURN.findall(text)
    assert turns[0][0] == "system", "the rules come first"
    user = turns[1][1]
    code = re.match(r"(?:Code: |代码：)(\S+)", user)[1]
    marks = re.compile(MARK.format(code=re.escape(code)), re.DOTALL)
    material = {m["name"]: m["text"] for m in marks.finditer(user)}
    return material, marks.sub("", user) + "\n".join(words for _, words in turns[2:])


def grade(answer: str) -> str:
    return "B" if RIGHT in answer else "D" if HALF in answer else "E"


def reply(body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion. The model's name says how it talks: json, prose, words, thinking or silent."""
    material, outside = parse(body["messages"])
    obeys = ORDERS.search(outside)
    chinese = "任务" in material
    said = [text for name, text in material.items() if name not in ("task", "任务", "reference", "参考答案")]
    if len(said) == 1:
        key, verdict = "grade", "A" if obeys else grade(said[0])
    else:
        key, grades = "better", [grade(text) for text in said]
        verdict = "1" if obeys else "tie" if grades[0] == grades[1] else "1" if grades[0] < grades[1] else "2"
    quoted = "\n".join(said)
    final = json.dumps({"reason": "so it is", key: verdict})
    word = {"grade": "等级", "better": "结论"}[key] if chinese else key.capitalize()
    texts = {
        "json": json.dumps({"reason": f"It says: {quoted}", key: verdict}, ensure_ascii=False),
        "prose": f"The answer reads:\n{quoted}\nNow my verdict.\n{final}",
        "fenced": f"{quoted}\n\n```json\n{final}\n```\n",
        "words": f"The answer reads:\n{quoted}\n\n{word}：{verdict}"
        if chinese
        else f"{quoted}\n\n**{word}: {verdict}**",
        "thinking": f"<think>It says {quoted}</think>\n{final}",
        "silent": "I would rather not say.",
        "cut": json.dumps({"reason": f"It says: {quoted}", key: verdict})[:40],
    }
    model = body["model"].removesuffix("-likely")
    choice: dict[str, Any] = {
        "message": {"content": texts[model]},
        "finish_reason": "length" if model == "cut" else "stop",
    }
    if body["model"].endswith("-likely") and body.get("logprobs"):
        choice["logprobs"] = likelihoods(texts[model], verdict, body["top_logprobs"])
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}


def likelihoods(text: str, verdict: str, most: int) -> dict[str, Any]:
    """One token for all before the verdict, one for the verdict with probability 0.6, its neighbours sharing the
    rest."""
    others = {"B": ["A", "C"], "D": ["C", "E"], "E": ["D", "zebra"], "A": ["B", "C"], "1": ["tie", "2"],
        "2": ["tie", "1"], "tie": ["1", "2"]}  # fmt: skip
    top = [(verdict, 0.6), *((o, 0.2) for o in others[verdict])]
    start = text.rindex(verdict)
    before, after = text[:start], text[start + len(verdict) :]
    return {
        "content": [
            {"token": before, "logprob": 0.0, "top_logprobs": []},
            {"token": verdict, "logprob": math.log(0.6),
            "top_logprobs": [{"token": t, "logprob": math.log(p)} for t, p in top][:most]},
            {"token": after, "logprob": 0.0, "top_logprobs": []},
        ]
    }  # fmt: skip


@contextmanager
def judging(refuses: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(base_url, the requests it got) of a running stub; it answers 400 where a request has the parameter `refuses`."""

    def says(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if refuses and refuses in body:
            return 400, {"error": {"message": f"{refuses} is not supported"}}
        return 200, reply(body)

    with answering(says) as served:
        yield served
