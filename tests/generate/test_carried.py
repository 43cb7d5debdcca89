"""What a row brings beside its text: methods carry it, or leave the row alone and say so."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.corpus.rows import TURNS, message_id
from instdata.llm.request import Answer, Request
from instdata.llm.request_cache import show
from instdata.publish.verify import verify
from instdata.steps.generate.goals import goals_of
from instdata.steps.generate.respond import produce as respond
from instdata.steps.generate.rounds import asked_by, calling
from instdata.steps.generate.step import Generate
from instdata.util.build_context import Context
from tests.generate.conftest import PRICE, accepted, rows
from tests.llm.server import running

CALL = [{"id": "c1", "type": "function", "function": {"name": "warmth", "arguments": '{"at": "Paris"}'}}]
TALK = [
    {"role": "user", "content": "巴黎现在有多少度呢请告诉我"},
    {"role": "assistant", "content": "", "tool_calls": CALL},
    {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"},
    {"role": "assistant", "content": "It is 18."},
]
TOOLS = json.dumps([{"name": "warmth"}])


def with_turns(talks, context, tools=None):
    found = rows([[(t["role"], t["content"]) for t in talk] for talk in talks], [None] * len(talks), context, "mine")
    found.table = found.table.set_column(2, "messages", pa.array(talks, TURNS))
    if tools:
        found.table = found.table.append_column("tools", pa.array(tools, pa.string()))
    return found


def test_rows_that_call_tools_are_left_out_and_counted(tmp_path):
    plain = [{"role": "user", "content": "请说出一条欧洲的大河来"}, {"role": "assistant", "content": "多瑙河"}]
    begun = [{"role": "assistant", "content": "您好"}]
    said = []

    def given(context):
        talks = [TALK, plain, plain, begun, plain + plain]
        return with_turns(talks, replace(context, say=said.append), [None, TOOLS, None, None, None])

    context = Context(cache=tmp_path)
    found = given(context)
    assert calling(found).tolist() == [True, True, False, False, False]
    assert asked_by(found, "user").tolist() == [False, True, True, False, True]
    with running(fixed='{"instruction": "明天早上那里会有多少度呢", "response": "大约二十度，有些太阳"}') as server:
        made = Generate(method="multi-turn", model="served", base_url=server.url).produce(given(context))
        Generate(method="evolve", target=1, model="served", base_url=server.url).produce(given(context))
    assert "evolve: 1 conversations of several turns stay as they are" in said
    assert (
        list(made.shown) == [2, 4] and [m["role"] for m in accepted(made)[0]["messages"]] == ["user", "assistant"] * 2
    )
    assert [line for line in said if line.startswith("multi-turn: ")] == [
        "multi-turn: 2 rows with tools, or calls of tools, stay as they are",
        "multi-turn: 1 rows stay as they are: no user's turn stands ahead of the answer",
    ]


def test_respond_publishes_all_that_the_row_had(bench, monkeypatch):
    bench.jsonl(
        "a.jsonl",
        [
            {"prompt": TALK[:3], "completion": "", "tools": [{"name": "warmth"}], "license": "cc-by-4.0", "topic": "w"},
            {
                "prompt": "二加二等于多少呢？请说",
                "ground_truth": "18",
                "category": "sums",
            },
            {"prompt": "三加三等于多少呢？请说", "expected_answer": "7"},
        ],
    )
    with running(fixed="是 18") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        steps = [{"generate": {"method": "respond", "model": "served", "price": PRICE}}]
        done = bench.build(sources=[{"path": "a.jsonl", "name": "s"}], steps=steps)
    data = {r["source_row"]: r for f in done.path.glob("data/*.parquet") for r in pq.read_table(f).to_pylist()}
    first, second = data[0], data[1]
    assert len(data) == 2 and (first["tools"], first["license"]) == (TOOLS.replace(" ", ""), "cc-by-4.0")
    assert first["messages"][1]["tool_calls"] == CALL and first["messages"][2]["tool_call_id"] == "c1"
    assert first["id"] == message_id(first["messages"], first["tools"]) and verify(done.path)["ok"]
    assert json.loads(first["meta"])["topic"] == "w"
    assert (second["reference"], second["category"]) == ("18", "sums")
    (wrong,) = [r for r in pq.read_table(done.path / "dropped.parquet").to_pylist() if r["reason"] == "not_verified"]
    assert wrong["reference"] == "7"
    asked = show(json.loads(first["meta"])["generate"]["request"])["request"]
    assert [m["role"] for m in asked["messages"]] == ["system", "user", "assistant", "tool"]
    assert asked["messages"][2]["tool_calls"] == CALL and asked["tools"][0]["function"] == {"name": "warmth"}
    assert Request((), 1, beside={0: {"tool_calls": CALL}}).prompt_bytes() > 50, "the budget counts them"


def test_a_judge_is_asked_once_a_round():
    asked: list[list[Request]] = []

    def judge(requests, read):
        asked.append(list(requests))
        return [Answer({"best": 2 if n else 9}, "", str(n)) for n in range(len(requests))]

    class Ask(SimpleNamespace):
        def __call__(self, requests, read):
            return [Answer(f"答案{n % 2}：其中的{'甲乙'[n % 2]}", "", str(n)) for n in range(len(requests))]

    context = Context()
    given = rows([[("user", f"请回答第{i}个问题吧")] for i in range(5)], [None] * 5, context, "mine")
    step = Generate(method="respond", model="m", judge="m", best_of=2)
    made, _ = respond(step, given, context, Ask(judge=judge, origin="m"))
    assert [len(a) for a in asked] == [5]
    assert [r.meta["chosen_by"] for r in made] == ["agreement"] + ["judge"] * 4  # there is no ninth answer
    assert {r.response for r in made[1:]} == {"答案1：其中的乙"}


def test_rows_without_labels_ask_for_any_task():
    context = Context()
    talks = [[("user", f"请说出第{i}条欧洲的大河"), ("assistant", "多瑙河")] for i in range(4)]
    step = Generate(method="self-instruct", target=4, model="m")
    for labels in (["unknown"] * 4, [None] * 4):
        (goal,) = goals_of(step, rows(talks, labels, context, "mine"), context)
        assert (goal.name, goal.label, len(goal.seeds)) == (None, "各类任务", 4)
    (goal,) = goals_of(step, rows(talks, ["unknown", "qa", None, "qa"], context, "mine"), context)
    assert (goal.name, len(goal.seeds)) == ("qa", 2)


@pytest.mark.parametrize(
    ("options", "full"),
    [
        ({"method": "respond", "best_of": 2}, 0.0),
        ({"method": "respond", "best_of": 2, "judge": "m"}, 0.0),
        ({"method": "respond", "best_of": 2, "judge": "other", "judge_price": PRICE}, 1.0),
        ({"method": "self-instruct", "target": 8, "verify": {"draws": 2}}, 1.0),
    ],
)
def test_a_batch_halves_what_goes_into_it_and_nothing_else(options, full):
    context = Context()
    talk = [("user", "请说出一条欧洲的大河")]
    answered = options["method"] == "self-instruct"
    given = rows([[*talk, ("assistant", "多瑙河")] if answered else talk] * 3, ["qa"] * 3, context, "mine")
    usd = [
        Generate(model="m", price=PRICE, batch_api=by, **options).resolve(context).estimate(given)["usd"]
        for by in (False, True)
    ]
    assert usd[1] > usd[0] / 2 * 1.001 if full else usd[1] == pytest.approx(usd[0] / 2)
    assert np.isfinite(usd).all() and usd[1] < usd[0]
