"""Ablations whose verdicts rest on a judge: grades, and comparisons with the control's answers."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from instdata.compare.effect import Effect
from instdata.util.errors import InputError, InstdataError
from tests.harness import judge_stub

from .conftest import SET, run

pytest.importorskip("openai")

JUDGED = """
name: judged
abilities:
  - {name: sums, description: Adding two numbers, scorer: number}
  - {name: echo, description: Saying a word again, scorer: judge}
"""


@pytest.fixture
def judged(home, monkeypatch):
    """(the command line of a judged ablation without its metric, the requests that the judge got). It grades by
    length."""
    (home / "judged.yaml").write_text(JUDGED)
    monkeypatch.setattr(judge_stub, "grade", lambda answer: "ABCDE"[len(answer) % 5])
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    with judge_stub.judging() as (url, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        line = f"ablate planted --filter filter --model ./tiny --taxonomy judged.yaml --judge json --sizes 16 {SET}"
        yield f"{line} --max-items 12 --seeds 2 --max-seeds 2 --yes", asked


def test_grades_decide_and_nothing_is_asked_twice(judged):
    line, asked = judged
    found = run(f"{line} --metric judge", None)
    assert [e["ability"] for e in found["effects"]] == ["echo"] and found["effects"][0]["n"] == 6
    assert found["unit"] == "score"
    scores = pq.read_table(f"{found['folder']}/scores.parquet")
    graded = scores.filter(scores["metric"].to_numpy(zero_copy_only=False) == "judge")
    assert graded.num_rows == 6 * 7 and set(graded["value"].to_pylist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    before = len(asked)
    assert run(f"{line} --metric judge", None)["effects"] == found["effects"] and len(asked) == before


def test_pairs_compare_each_arm_with_the_control(judged):
    line, asked = judged
    found = run(f"{line} --metric pairs", None)
    [effect] = found["effects"]
    assert found["unit"] == "share of comparisons won" and effect["without"] == pytest.approx(0.5)
    assert effect["effect"] == pytest.approx(effect["with"] - 0.5)
    assert all(len(judge_stub.parse(b["messages"])[0]) == 3 for b in asked)  # the task and two answers, never one alone
    scores = pq.read_table(f"{found['folder']}/scores.parquet").to_pandas()
    pairs = scores[scores["metric"] == "pairs"]
    assert not len(scores[scores["metric"] == "judge"]) and set(pairs["arm"]) == {"with", "without", "aa"}
    assert set(pairs[pairs["arm"] == "without"]["value"]) == {0.5}
    # What the judge would say of every pair of answers, worked out here.
    answers = {(a, s, i): t for a, s, i, t in zip(pairs["arm"], pairs["seed"], pairs["item"], pairs["answer"])}
    for arm, seed, item, value in zip(pairs["arm"], pairs["seed"], pairs["item"], pairs["value"]):
        mine, other = (judge_stub.grade(answers[a, seed, item].strip()) for a in (arm, "without"))
        assert value == (0.5 if mine == other else float(mine < other))
    with_ = pairs[pairs["arm"] == "with"]
    assert effect["with"] == pytest.approx(with_.groupby("seed")["value"].mean().mean())
    assert found["swaps"]["swapped"] == 0 or found["swaps"]["flip_rate"] == 0  # this judge does not mind the order
    plan = run(f"{line} --metric pairs --plan")
    assert plan["missing"] == 0 and plan["judge_calls"] >= 2 * 2 * 6


def test_a_judge_that_its_card_bars_does_not_decide(judged, home):
    line, _ = judged
    (home / "card.json").write_text(json.dumps({"judge": "json", "barred": ['not shown to beat "longest"']}))
    found = run(f"{line} --metric pairs --judge-card card.json", 3)
    why = 'its card says: not shown to beat "longest"'
    assert found["judge_floor"] == {"card": False, "may_decide": False, "why": why}
    assert {e["verdict"] for e in found["effects"]} == {"undecided"}
    assert "not shown to beat" in (home / found["folder"] / "judge_card.json").read_text()
    with pytest.raises(InputError, match="needs --judge"):
        run(f"ablate planted --filter filter --model ./tiny --judge-card card.json {SET}")


def test_a_judge_that_was_never_checked_does_not_decide(judged, home, monkeypatch):
    line, _ = judged
    better = Effect("echo", "judge", "score", 0.2, 0.8, 0.6, 0.5, 0.7, 0.001, 16, 2, 0.1, "better")
    monkeypatch.setattr("instdata.compare.ablate.effects_of", lambda *_: ([better], []))
    monkeypatch.setattr("instdata.compare.ablate.win_rates", lambda *_: {})
    found = run(f"{line} --metric judge", 3)
    assert found["effects"][0]["verdict"] == "undecided" and found["judge_floor"]["card"] is None
    assert found["effects"][0]["why"].startswith("this judge was never checked: instdata judge-card --judge json --on")
    (home / "card.json").write_text(json.dumps({"judge": "json", "barred": []}))
    found = run(f"{line} --metric judge --judge-card card.json", 0)
    assert found["effects"][0]["verdict"] == "better" and found["judge_floor"]["may_decide"]


@pytest.mark.parametrize("metric", ["judge", "pairs"])
def test_an_endpoint_that_dies_half_way_leaves_no_verdict_and_is_gone_on_with(judged, home, monkeypatch, metric):
    line, asked = judged
    reply, answered = judge_stub.reply, []

    def dies(body):
        if len(answered) == 7:
            raise ConnectionResetError
        answered.append(body)
        return reply(body)

    with monkeypatch.context() as patch:
        patch.setattr(judge_stub, "reply", dies)
        patch.setattr("instdata.llm.client.BACKOFF", 0.001)
        with pytest.raises(InstdataError):
            run(f"{line} --metric {metric}")
    assert not list(home.glob("ablations/*/effects.json"))
    assert len(list(home.glob("ablations/*/cells/*.parquet"))) == 7  # no training is lost
    del asked[:]
    found = run(f"{line} --metric {metric}", None)
    assert answered and not any(body in asked for body in answered)  # what was answered is not asked again
    del asked[:]
    assert run(f"{line} --metric {metric} --out elsewhere", None)["effects"] == found["effects"] and not asked


def test_another_judge_costs_no_training_and_is_told_of(judged, capsys):
    line, asked = judged
    first = run(f"{line} --metric judge", None)
    other = line.replace("--judge json", "--judge prose")
    plan = run(f"{other} --metric judge --plan")
    assert plan["missing"] == 0 and plan["judge_calls"] == 6 * 7 and plan["with_all_looks"]["judge_calls"] == 6 * 7
    before = len(asked)
    found = run(f"{other} --metric judge", None)
    assert 0 < len(asked) - before <= 6 * 7 and found["judge"] == {"model": "prose", "runs": 1}
    assert [e["effect"] for e in found["effects"]] == [e["effect"] for e in first["effects"]]


def test_verdicts_that_cannot_be_read_are_counted(judged, monkeypatch):
    line, _ = judged
    reply, first = judge_stub.reply, []

    def mute(body):
        first.append(judge_stub.parse(body["messages"])[0]["task"])
        return reply(body | {"model": "silent"} if first[-1] == first[0] else body)

    monkeypatch.setattr(judge_stub, "reply", mute)
    found = run(f"{line} --metric judge", None)
    [effect] = found["effects"]
    assert found["verdicts"]["unread"] > 0 and sum(found["verdicts"].values()) == 6 * 7  # empty answers are not sent
    assert (effect["n"], effect["missing"]) == (5, 1)


def test_what_would_fail_after_training_is_refused_before(judged, home, monkeypatch):
    line, asked = judged
    with pytest.raises(InputError, match="the price of json is not known"):
        run(f"{line} --metric pairs --max-usd 1")
    with pytest.raises(InputError, match="--judge-runs"):
        run(f"{line} --metric pairs --judge-runs 3")
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="set OPENAI_API_KEY"):
        run(f"{line} --metric judge")
    assert not asked and not (home / "ablations").exists()


def test_a_judge_and_its_metric_go_together(judged):
    line, _ = judged
    with pytest.raises(InputError, match="--judge needs --metric"):
        run(f"{line} --metric bits")
    with pytest.raises(InputError, match="needs --judge"):
        run(f"{line.replace('--judge json', '')} --metric pairs")
