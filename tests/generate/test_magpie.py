"""magpie: the model, shown what stands before a user's words, asks; asked that, it answers."""

from __future__ import annotations

import json

import pytest

from instdata.steps.generate.prompt_templates import families, prefix_of
from instdata.steps.generate.step import Generate
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from tests.generate.conftest import accepted, seeds, taxonomy
from tests.llm.server import han
from tests.verify.conftest import model as model  # a fixture

ENGLISH = (
    "Please explain how bread rises in the oven.",
    "Please explain why ships made of steel can float.",
    "Please explain what a sonnet is and who wrote them.",
    "Please explain how to prune an apple tree in winter.",
    "Please explain the difference between weather and climate.",
    "Please explain where the river Danube begins and ends.",
    "Please explain which tools a bookbinder needs at first.",
    "Please explain who invented the printing press, and when.",
)


def says(prompt: str, body: dict) -> str:
    """Raw: a question, the third one nothing; in a conversation: its answer."""
    if "prompt" not in body:
        return "答：" + han(12, prompt)
    if "English" in prompt:
        return ENGLISH[body["seed"] % len(ENGLISH)]
    return "" if body["seed"] % 3 == 2 else f"请解释{han(14, body['seed'])}"


def produced(tmp_path, **options):
    context = Context(seed=0, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=tmp_path)
    step = Generate(**{"name": "generate", "model": "qwen2.5-7b-instruct", "method": "magpie", **options})
    return step.resolve(context).produce(seeds(context))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_questions_come_of_the_bare_prefix(model, tmp_path, language):
    with model(says) as asked:
        made = produced(tmp_path, target=4, language=language)
    raw = [b for b in asked if "prompt" in b]
    assert raw and all(b["prompt"].endswith("<|im_start|>user\n") and b["stop"] == ["<|im_end|>"] for b in raw)
    assert len({b["seed"] for b in raw}) == len(raw) and not any("messages" in b for b in raw)
    rows = accepted(made)
    assert len(rows) == 4 and {r["ability"] for r in rows} == set(taxonomy().names)
    for row in rows:
        question, answer = (m["content"] for m in row["messages"])
        assert question.startswith(("请解释", "Please explain")) and answer == "答：" + han(12, question)
        meta = json.loads(row["meta"])["generate"]
        assert meta["method"] == "magpie" and meta["request"] != meta["answer"]
    assert language == "en" or made.table["error"].drop_null().to_pylist(), "an empty question is quarantined"


def test_the_answer_can_be_verified(model, tmp_path):
    with model(says) as asked:
        made = produced(tmp_path, target=2, per_ability={"math": 1}, verify={"draws": 0, "skip": ["no_result"]})
    assert len(accepted(made)) == 2 and all("response_format" not in b for b in asked)


def test_a_template_that_is_not_known_is_told():
    with pytest.raises(InputError, match="user_prefix"):
        prefix_of("mystery-7b", None)
    assert prefix_of("mystery-7b", "[u]<|user|>\n") == ("[u]<|user|>\n", ["<|user|>"])
    assert prefix_of("local:qwen2.5-coder-1.5b-instruct", None)[1] == ["<|im_end|>"]
    options, context = {"name": "g", "method": "magpie", "target": 1}, Context(seed=0)
    assert not any("template" in p for p in Generate(model="auto", **options).check(context)), "auto is not known yet"
    assert any("user_prefix" in p for p in Generate(model="mystery-7b", **options).check(context))
    assert all(set(one) == {"family", "prefix", "stop"} for one in families())
