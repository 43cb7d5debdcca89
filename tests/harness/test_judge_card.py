"""The judge card: figures known from recorded verdicts, files as they come, and a live judge over loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instdata.cli.output_cards import show_card
from instdata.judge.judge_card import judge_card, measure
from instdata.judge.label_files import Pair, read, with_verdicts
from instdata.llm.budget import Price
from instdata.llm.structured_asks import Options
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from tests.harness.judge_stub import judging

KEYS = {
    "agreement", "agreement_counting_unparsed", "low", "high", "n", "parse_rate", "swap_consistency", "flip_rate",
    "longer_preferred", "baselines",
}  # fmt: skip


def write(path: Path, records: list) -> Path:
    path.write_text(json.dumps(records) if path.suffix == ".json" else "".join(json.dumps(r) + "\n" for r in records))
    return path


def test_gpt35_on_pandalm(realdata, capsys):
    folder = realdata / "judge"
    verdicts, labels = folder / "pandalm_gpt35_verdicts_999.json", folder / "pandalm_human_999.json"
    card = judge_card(str(verdicts), [labels])
    assert set(card) >= KEYS
    assert card["agreement"] == pytest.approx(697 / 974)
    assert card["agreement_counting_unparsed"] == pytest.approx(697 / 999)
    assert (card["n"], card["unparsed"], card["parse_rate"]) == (999, 25, pytest.approx(974 / 999))
    assert 0.66 < card["low"] < card["agreement"] < card["high"] < 0.77
    assert card["humans_agree"] == pytest.approx(0.92, abs=0.001)
    assert card["flip_rate"] is None and card["warnings"] == []
    assert card["baselines"]["longest"]["agreement"] == pytest.approx(0.611, abs=0.001)
    # the same whatever is called what
    for judge, on in ((str(labels), [verdicts]), ("recorded", [labels, verdicts]), ("recorded", [verdicts, labels])):
        other = judge_card(judge, on)
        assert {k: other[k] for k in KEYS} == {k: card[k] for k in KEYS}
    show_card(card)
    printed = capsys.readouterr().out
    assert "71.6 %" in printed and max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(("judge", "flips", "same"), [("gpt4", 0.141, 0.760), ("gpt3.5", 0.652, 0.344)])
def test_flips_of_recorded_reviews(realdata, judge, flips, same):
    card = judge_card("recorded", sorted((realdata / "judge" / "recorded_pair_reviews").glob(f"*_{judge}.json")))
    assert card["flip_rate"] == pytest.approx(flips, abs=0.001)
    assert card["swap_consistency"] == pytest.approx(same, abs=0.001)
    assert (card["n"], card["swapped"], card["parse_rate"], card["agreement"]) == (1030, 1030, 1.0, None)
    assert len(card["by_file"]) == 5
    assert any("use both orders" in w for w in card["warnings"]) == (judge == "gpt3.5")


def test_two_judges_in_a_folder_and_the_strong_one_on_a_few(realdata, capsys):
    pytest.importorskip("scipy")
    folder = realdata / "judge" / "recorded_pair_reviews"
    card = judge_card("recorded", [folder])
    assert {n: round(m["flip_rate"], 3) for n, m in card["by_judge"].items()} == {"gpt3.5": 0.652, "gpt4": 0.141}
    cheap, strong = folder / "lima_wrap_reviews_gpt3.5.json", folder / "lima_wrap_reviews_gpt4.json"
    both = judge_card("recorded", [cheap], strong=str(strong), share=0.3)["together"]
    truth = judge_card("recorded", [strong])
    assert (both["strong"], both["cheap"]) == (90, 300)
    pairs = read([strong])
    mean = sum({0: 0.5, 1: 1.0, 2: 0.0}[v] for p in pairs for v in (p.verdict, p.swapped)) / 600
    assert both["low"] < mean < both["high"] and truth["n"] == 300
    assert both["saving"] > 1
    show_card(judge_card("recorded", [cheap], strong=str(strong)))
    assert "saved" in capsys.readouterr().out


def pairs(*verdicts: tuple, humans=(1, 1, 2)) -> list[Pair]:
    """Pairs of different prompts whose first answer is longer; people prefer the first."""
    return [
        Pair(str(n), f"p{n}", "a longer answer", "short", humans, v, s, True, True, "f")
        for n, (v, s) in enumerate(verdicts)
    ]


def test_figures():
    found = measure(pairs((1, 1), (1, 2), (2, 2), (0, 1), (None, 1), (1, None)))
    assert found["agreement"] == 3 / 5 and found["agreement_counting_unparsed"] == 3 / 6
    assert (found["n"], found["unparsed"], found["parse_rate"]) == (6, 2, 10 / 12)
    assert (found["swapped"], found["swap_consistency"], found["flip_rate"]) == (4, 2 / 4, 1 / 4)
    assert found["longer_preferred"] == 6 / 9  # ties and what is unreadable say nothing
    assert found["humans_agree"] == 1 / 3
    assert found["baselines"]["longest"]["agreement"] == 1.0 and not found["baselines"]["longest"]["cleared"]
    assert 0 < found["low"] < 0.6 < found["high"] < 1
    assert measure(pairs((1, 1), (1, 1), humans=(1, 2)))["agreement"] is None  # no majority
    certain = measure(pairs(*[(1, 1)] * 30))
    assert (certain["agreement"], certain["high"]) == (1.0, 1.0) and 0.8 < certain["low"] < 0.95


def test_pairs_of_one_prompt_are_one_cluster():
    single = pairs(*[(1, 1), (2, 2)] * 30)
    clustered = [Pair(**{**vars(p), "prompt": f"{n % 2}{n // 20}"}) for n, p in enumerate(single)]
    a, b = measure(single), measure(clustered)
    assert b["high"] - b["low"] > 2 * (a["high"] - a["low"])


def test_a_judge_that_a_rule_beats_is_named(tmp_path):
    records = [
        {"prompt": f"p{n}", "answer1": "x" * (5 + n % 2 * 5), "answer2": "x" * 7, "human": 1 + (n % 2 == 0),
        "verdict": 1 + n // 20}
        for n in range(40)
    ]  # fmt: skip
    card = judge_card("recorded", [write(tmp_path / "r.jsonl", records)])
    assert card["baselines"]["longest"]["agreement"] == 1.0 and card["agreement"] == 0.5
    assert any('beat "longest"' in w for w in card["warnings"]) and any('beat "first"' in w for w in card["warnings"])


@pytest.mark.parametrize(
    ("record", "verdict", "swapped", "humans"),
    [
        ({"prompt": "p", "answers": ["a", "b"], "verdict": "A", "verdict_reverse": "A", "human": 2}, 1, 2, (2,)),
        (
            {"Instruction": "p", "Response_A": "a", "Response_B": "b", "winner": "tie", "label": "model_b"},
            0,
            None,
            (2,),
        ),
        ({"text": "p", "Answer1": "a", "Answer2": "b", "scores": "[7.0, 9.0]", "scores_reverse": [8, 8]}, 2, 0, ()),
        ({"question": "p", "output_1": "a", "output_2": "b", "scores": [-1, -1], "preference": 1.0}, None, None, (1,)),
        (
            {"prompt": "p", "answer1": "a", "answer2": "b", "verdict": None, "humans": [1, 2, "tie"]},
            None,
            None,
            (1, 2, 0),
        ),
        ({"prompt": "p", "answer1": "a", "answer2": "b", "verdict": True}, None, None, ()),
    ],
)
def test_records_as_they_come(tmp_path, record, verdict, swapped, humans):
    (pair,) = read([write(tmp_path / "x.jsonl", [record])])
    assert (pair.prompt, pair.first, pair.second) == ("p", "a", "b")
    assert (pair.verdict, pair.swapped, pair.humans, pair.judged) == (verdict, swapped, humans, True)


def test_verdicts_find_their_pairs():
    bare = [Pair(i, "", "", "", (), v, None, True) for i, v in (("b", 2), ("a", 1))]
    labels = [Pair(i, "p", "x", i, (1,)) for i in ("a", "b", "c")]
    assert [(p.verdict, p.judged) for p in with_verdicts(labels, bare)] == [(1, True), (2, True), (None, False)]
    texts = [Pair(None, "p", "x", "b", (), 2, None, True)]
    assert [p.verdict for p in with_verdicts(labels, texts)] == [None, 2, None]
    no_ids = [Pair(None, "", "", "", (), v, None, True) for v in (1, 2, 0)]
    assert [p.verdict for p in with_verdicts(labels, no_ids)] == [1, 2, 0]
    for wrong, why in (
        (no_ids[:2], "no ids"),
        (bare + bare, "have id"),
        ([Pair("z", "", "", "", (), 1, None, True)], "none of the verdicts"),
        (labels, "no verdicts"),
    ):
        with pytest.raises(InputError, match=why):
            with_verdicts(labels, wrong)


def test_bad_files(tmp_path):
    good = write(tmp_path / "labels.jsonl", [{"prompt": "p", "answer1": "a", "answer2": "b", "human": 1}])
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": "p", \n')
    other = write(tmp_path / "other.json", [{"instruction": "p", "output": "a"}])
    for judge, on, why in (
        ("recorded", [good], "holds verdicts"),
        ("recorded", [broken], "broken.jsonl:1"),
        ("recorded", [other], "other.json:1: neither answers"),
        ("recorded", [tmp_path / "no.json"], "no such file"),
        ("no.json", [good], "no.json: no such file of verdicts"),
    ):
        with pytest.raises(InputError, match=why):
            judge_card(judge, on)


def test_a_live_judge(tmp_path, capsys):
    pytest.importorskip("openai")
    records = [
        {"prompt": f"Capital {n}?", "answer1": "It is Canberra.", "answer2": "It is Sydney.",
        "annotator1": 1} for n in range(12)
    ] + [{"prompt": "same", "answer1": "a", "answer2": "a", "annotator1": 0}]  # fmt: skip
    labels = write(tmp_path / "labels.json", records)
    with judging() as (url, asked):
        options = Options(base_url=url, price=Price(input=10, output=10), max_requests=100)
        context = Context(cache=tmp_path)
        card = judge_card("json", [labels], options=options, context=context)
        assert len(asked) == 24  # both orders; equal answers tie unasked
        few = judge_card("json", [labels], options=options, limit=5, context=context)
        assert len(asked) == 24
    assert (card["agreement"], card["n"], card["flip_rate"], card["parse_rate"]) == (1.0, 13, 0.0, 1.0)
    assert card["usd_per_1000"] == pytest.approx(1000 * 110 * 10 / 1e6) and card["seconds_per_1000"] > 0
    assert few["n"] == 5 and few["usd_per_1000"] is None  # all from the cache: nothing was measured
    show_card(card)
    assert "USD per 1,000 verdicts" in capsys.readouterr().out


def test_columns_by_other_names_are_named(tmp_path):
    rows = [
        {"q": f"Q{i}", "chosen": "long answer", "rejected": "no", "rater_a": 1, "rater_b": 1, "said": 1}
        for i in range(4)
    ]
    path = write(tmp_path / "own.jsonl", rows)
    with pytest.raises(InputError, match="--map names columns"):
        judge_card("recorded", [path])
    mapping = ["prompt=q", "answer1=chosen", "answer2=rejected", "human=rater_a,Rater_B", "verdict=said"]
    card = judge_card("recorded", [path], mapping=mapping)
    assert (card["n"], card["agreement"], card["humans_agree"]) == (4, 1.0, 1.0)
    with pytest.raises(InputError, match='Did you mean "verdict"'):
        judge_card("recorded", [path], mapping=["verdct=said"])
