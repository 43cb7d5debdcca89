"""The judge: what it asks, how its verdicts are read and weighed, what becomes of those that cannot be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.corpus.taxonomy import load_taxonomy
from instdata.judge import judge as judge
from instdata.judge import read_verdict
from instdata.judge.cheap_and_strong import powered
from instdata.judge.judge import GRADES, PAIR, estimate, judge_items, judge_pairs, swaps
from instdata.llm.budget import Price
from instdata.llm.client import Unusable
from instdata.llm.fence import clip
from instdata.llm.lenient_json import find
from instdata.llm.reply import sole_object
from instdata.llm.structured_asks import Options
from instdata.score.item import Item
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached
from tests.harness.judge_stub import judging

pytest.importorskip("openai")

BELLE = load_taxonomy("belle")


def item(
    n: int = 0, ability: str = "open_qa", question: str = "Capital of Australia?", reference: str | None = "Canberra"
):
    return Item(f"{n:032x}", ability, [{"role": "user", "content": question}], reference, None, "judge", None, "s")


@pytest.fixture
def options(tmp_path):
    """(options for a model of the stub, context, requests it got)."""
    said = []
    with judging() as (url, asked):
        yield (
            lambda model, **more: Options(model, base_url=url, **more),
            Context(cache=tmp_path, say=said.append),
            asked,
            said,
        )


def test_scores_runs_and_what_is_missing(options):
    of, context, asked, said = options
    answers = ["It is Canberra.", "It is Sydney.", "Berlin", None, "  "]
    found = judge_items([item(n) for n in range(5)], answers, BELLE, of("json"), context=context)
    assert [(j.value, j.runs) for j in found] == [(0.75, 1), (0.25, 1), (0.0, 1), (None, 0), (0.0, 0)]
    assert len(asked) == 3  # neither what is missing nor what is empty
    assert json.loads(found[0].reason)["grade"] == "B"
    again = judge_items([item(n) for n in range(5)], answers, BELLE, of("json"), context=context)
    assert again == found and len(asked) == 3  # from the cache
    assert not said


def test_three_runs_are_three_draws(options):
    of, context, asked, _ = options
    (found,) = judge_items([item()], ["It is Canberra."], BELLE, of("json"), runs=3, context=context)
    assert (found.value, found.runs) == (0.75, 3)
    assert len({body["seed"] for body in asked}) == 3
    assert {body["temperature"] for body in asked} == {1.0}


@pytest.mark.parametrize(("model", "why"), [("silent", "no verdict"), ("cut", "broken JSON")])
def test_an_unreadable_verdict_is_missing_and_counted(options, model, why):
    of, context, asked, said = options
    (found,) = judge_items([item()], ["It is Canberra."], BELLE, of(model), context=context)
    assert (found.value, found.runs) == (None, 0)
    assert why in found.reason
    assert len(asked) == 3  # asked again twice
    assert "1 of 1 replies had no usable verdict" in said[-1]


def test_weights_are_used_where_the_endpoint_has_them(options):
    of, context, asked, _ = options
    (found,) = judge_items([item()], ["It is Berlin."], BELLE, of("json-likely"), context=context)
    assert found.value == pytest.approx((0.6 * 0 + 0.2 * 0.25) / 0.8)  # what stands beside the grades is left out
    assert asked[0]["logprobs"] is True


@pytest.mark.parametrize("refused", ["logprobs", "response_format"])
def test_an_endpoint_that_refuses_a_nicety_is_asked_without(tmp_path, refused):
    with judging(refuses=refused) as (url, asked):
        options, context = Options("json-likely", base_url=url), Context(cache=tmp_path)
        found = judge_items([item(n) for n in range(4)], ["It is Canberra."] * 4, BELLE, options, context=context)
    assert [j.runs for j in found] == [1] * 4
    assert found[0].value == pytest.approx(0.75)
    assert sum(refused not in body for body in asked) == 1  # four equal questions but for their ids are one request
    assert context.usage["judge"]["requests"] == 1


def test_pairs_are_shown_in_an_order_that_their_ids_decide(options):
    of, context, asked, _ = options
    items = [item(n, question=f"Capital {n}?") for n in range(60)]
    good, bad = ["It is Canberra."] * 60, ["It is Sydney."] * 60
    found = judge_pairs(items, good, bad, BELLE, of("json"), audit=0.2, context=context)
    assert {c.value for c in found} == {1.0}
    first = sum(
        b["messages"][1]["content"].find("Canberra.") < b["messages"][1]["content"].find("Sydney.") for b in asked
    )
    assert 15 < first < 57
    audited = [c for c in found if c.audited]
    assert 3 <= len(audited) <= 25 and len(asked) == 60 + len(audited)
    assert all(c.swapped == 1 for c in audited)
    back = judge_pairs(items, bad, good, BELLE, of("json"), audit=0, context=context)
    assert {c.value for c in back} == {0.0} and not any(c.audited for c in back)
    assert judge_pairs(items[:2], ["x", None], ["x ", "y"], BELLE, of("json"), context=context) == [
        judge.Compared(0.5, "equal answers", 0, 0),
        judge.Compared(None, "no answer", 0),
    ]


def test_both_orders_by_default(options):
    of, context, asked, _ = options
    items = [item(n, question=f"Capital {n}?") for n in range(8)]
    found = judge_pairs(items, ["It is Canberra."] * 8, ["It is Sydney."] * 8, BELLE, of("json"), context=context)
    assert len(asked) == 16 and all(c.audited and c.verdict == c.swapped == 1 for c in found)


def test_maths_without_a_reference_is_solved_first(options):
    of, context, asked, _ = options
    judge_items([item(0, "math", reference=None)], ["It is Canberra."], BELLE, of("json"), context=context)
    judge_items(
        [item(1, "math"), item(2, "open_qa", reference=None)], ["It is 4."] * 2, BELLE, of("json"), context=context
    )
    schemas = [list(b["response_format"]["json_schema"]["schema"]["properties"]) for b in asked]
    assert schemas == [["solution", "reason", "grade"], ["reason", "grade"], ["reason", "grade"]]
    assert "solve the task yourself" in asked[0]["messages"][0]["content"]
    assert asked[0]["max_completion_tokens" if "max_completion_tokens" in asked[0] else "max_tokens"] > 1000


def test_grades_in_between_have_anchors(options):
    of, context, asked, _ = options
    judge_items([item()], ["It is Canberra."], BELLE, of("json"), context=context)
    assert "one slip" in asked[0]["messages"][0]["content"]


def test_swaps():
    found = swaps([(1, 1), (1, 2), (2, 2), (0, 1), (None, 1), (2, 1)])
    assert found == {"swapped": 5, "swap_consistency": 2 / 5, "flip_rate": 2 / 5}
    assert swaps([])["flip_rate"] is None


def test_what_is_asked(options):
    def texts(**what) -> tuple[str, str]:
        request = judge._request("score", item(**what), ["$100 {x}"], BELLE, Options("m"))
        return request.messages[0][1], request.messages[1][1]

    system, user = texts()
    assert "The reference shows the points to be made" in system and "reference" in user and "$100 {x}" in user
    system, user = texts(question="澳大利亚的首都是哪里？")
    assert "参考答案给出应当说到的要点" in system and "===== 参考答案 " in user
    system, user = texts(ability="generation")
    assert "Canberra" not in user and "There is no reference answer" in system
    system, user = texts(reference=None)
    assert "There is no reference answer" in system
    assert "declines without a reason" in texts(ability="unknown")[0]
    local = judge._request("score", item(reference="r" * 9000), ["好" * 9000], BELLE, Options("local:m"))
    assert sum(len(c.encode()) for _, c in local.messages) < 6000
    assert "characters left out" in local.messages[1][1]


def test_budget_and_estimate(options):
    of, context, asked, _ = options
    items = [item(n, question=f"Capital {n}?") for n in range(10)]
    plan = estimate(items, BELLE, of("json", price=Price(input=1, output=2)), runs=3)
    assert plan["requests"] == 30 and plan["usd"] > 0 and plan["tokens"] > 30 * 200
    assert estimate(items, BELLE, of("json"), pairs=True)["requests"] >= 10
    assert estimate([], BELLE, of("json"))["requests"] == 0
    with pytest.raises(BudgetReached):
        judge_items(items, ["a"] * 10, BELLE, of("json", max_requests=4), context=context)
    assert len(asked) == 4
    judge_items(items, ["a"] * 10, BELLE, of("json", max_requests=10), context=context)
    assert len(asked) == 10


READ = [
    ('{"reason": "r", "grade": "B"}', "B"),
    ('```json\n{"reason": "r", "grade": "b"}\n```', "B"),
    ('It says {"grade": "A"}. {"reason": "no", "grade": "E"}', None),  # two different verdicts are none
    ('{"reason": "It says {\\"grade\\": \\"A\\"} and Grade: A", "grade": "E"}', "E"),
    ('{"grade": "E", "reason": "It says Grade: A"}', "E"),
    ("Grade: A, it says.\n**Grade:** D", None),
    ('{"grade": "A"} is what it says. Grade: C.', None),
    ("等级：D", "D"),
    ("综上，最终等级：“C”。", "C"),
    ("The upgrade: A. Grade = d", "D"),
    ("<think>Grade: A</think> Grade: E", "E"),
    ('{"grade": "A"} it says. {"grade": "F"}', None),
    ("Grade: A, it says. Grade: excellent", None),
    ('{"reason": "It says Grade: A and then', None),
    ('{"grade": ["A"]}', None),
    ('{"grade": 1.0}', None),
    ("", None),
    ("A", "A"),
    ('{"a":' * 3000, None),
    ('{"grade": "E", "grade": "A"}', None),
    ('{"grade": "E", "等级": "A"}', None),
    ("{'grade': 'E', 'grade': 'A',}", None),
    ('{"grade": "A", "grade": "A"}', "A"),
    ("Grade: A. On reflection D", None),
    ("Grade: A, sorry, I meant D", None),
    ('{"grade": "A"} but really D', None),
    ("Grade: A (could also be D)", None),
    ("Grade: B, though a stricter reader would say grade C", None),
    ("等级：A，也可能是D", None),
    ("The answer would be an A if it were longer. Grade: B", "B"),
    ("Grade: A. Actually, it deserves a D.", None),
    ("等级：A。再想想，应为 D 级。", None),
    ('{"reason": "r", "grade": "A"}\nOn second thought, D.', None),
    ("Grade: A\n\nD", None),
    ("[[A]] Grade: B", None),
    ("Grade: B. A clear answer. On reflection, that is B.", "B"),
    ("Grade: D\n1. A long text.\n2. A wrong one.", "D"),
    ('{"reason": "Grade: A. On reflection D", "grade": "A"}', "A"),
]


@pytest.mark.parametrize(("text", "want"), READ)
def test_a_reply_has_one_verdict_or_none(text, want):
    if want is None:
        with pytest.raises(Unusable):
            read_verdict.read(text, "grade", GRADES)
    else:
        assert read_verdict.read(text, "grade", GRADES) == want


@pytest.mark.parametrize(("text", "want"),
    [('{"better": "tie"}', "tie"), ("Better: 2", "2"), ("结论：1", "1"), ('{"better": 2}', "2"),
     ("Better: 2\n1. It is shorter.\n2. It is right.", "2")])  # fmt: skip
def test_pair_verdicts(text, want):
    assert read_verdict.read(text, "better", PAIR) == want


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")), st.sampled_from(sorted(GRADES)))
def test_whatever_stands_before_the_json_the_verdict_is_read(before, grade):
    text = before + "\n" + json.dumps({"reason": before, "grade": grade}, ensure_ascii=False)
    assert read_verdict.read(text, "grade", GRADES) == grade


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=4)  # \\b before a letter is read as LaTeX


@given(st.lists(st.dictionaries(TEXT, st.integers() | TEXT, max_size=3), max_size=4))
def test_objects_are_found_in_order(values):
    text = " and ".join(json.dumps(v) for v in values)
    assert [f.value for f in find(text)] == values


def test_sole_object():
    assert sole_object('{"a": 2} {"a": 2, "b": {"a": 3}} {"b": 1}', "a") == {"a": 2, "b": {"a": 3}}
    for two in ('{"a": 1} or {"a": 2}', '{"a": 1, "a": 2}', "{'a': 1, 'a': 2,}", '{"x": {"a": 1, "a": 2}}'):
        with pytest.raises(Unusable, match="different"):
            sole_object(two, "a")
    with pytest.raises(Unusable, match="no JSON with a and c"):
        sole_object('{"a": 1}', "a", "c")


def body(*tops: dict[str, float], text='{"reason": "r", "grade": "B"}', finish="stop"):
    tokens = [{"token": '{"reason": "r", "grade": "', "top_logprobs": []}]
    tokens += [{"token": "B", "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]} for top in tops]
    return {"choices": [{"message": {"content": text}, "finish_reason": finish, "logprobs": {"content": tokens}}]}


def test_weights():
    assert read_verdict.value("B", body({"B": -0.693147, "A": -0.693147}), "grade", GRADES) == pytest.approx(0.875)
    assert read_verdict.value("B", body({"B": -3.0, "zebra": -0.1}), "grade", GRADES) == 0.75  # too little is known
    assert read_verdict.value("B", body(), "grade", GRADES) == 0.75
    assert (
        read_verdict.value("B", body({"A": -0.1}, text="Grade: B"), "grade", GRADES) == 0.75
    )  # not the JSON asked for
    assert read_verdict.value("B", body({"B": 0.0}, finish="length"), "grade", GRADES) is None
    assert read_verdict.value("B", {"choices": [{"message": {"content": "Grade: B"}}]}, "grade", GRADES) == 0.75
    assert read_verdict.value("B", body({"B": "x", "A": None}), "grade", GRADES) == 0.75


@given(st.lists(st.text(alphabet="a好 \n", max_size=300), min_size=1, max_size=4), st.integers(200, 900))
def test_clip_keeps_short_texts_and_the_size(texts, size):
    cut = clip(texts, size)
    note = len("[…1,000 characters left out…]".encode()) + 4
    assert sum(len(t.encode()) for t in cut) <= size + note * sum(a != b for a, b in zip(texts, cut))
    share = size // len(texts)
    assert all(a == b for a, b in zip(texts, cut) if len(a.encode()) <= share)


def test_powered_with_nothing_to_go_on():
    pytest.importorskip("scipy")
    assert powered([1.0, None, None], [1.0, 0.0, None])["value"] is None
    useless = powered([1.0, 0.0, 0.5, 1.0] + [None] * 50, [0.5] * 54)
    assert useless["saving"] == 1 and useless["saved"] == 0 and "too little" in useless["said"]
