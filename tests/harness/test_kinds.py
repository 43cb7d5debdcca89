"""Scorers on answers as models write them, kind by kind; references that are no plain number; phrases; thoughts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.score.extract import mathematics
from instdata.score.extract.number_reference import reference_of
from instdata.score.extract.phrases import OURS, found
from instdata.score.extract.thoughts import without_thoughts
from instdata.score.item import Item
from instdata.score.scorers import Scored, score_answer, unusable

from .score_kinds import rows

REAL = os.environ.get("INSTDATA_REALDATA") or Path(__file__).parents[3] / "shared" / "data"
SHARED = Path(REAL).parent / "cases" / "model" / "eval.jsonl"


def score(scorer: str, reference: str, answer: str, choices: list[str] | None = None) -> Scored:
    return score_answer(
        Item("0", "x", [{"role": "user", "content": "?"}], reference, choices, scorer, None, "s"), answer
    )


@pytest.mark.parametrize("kind", sorted({r[0] for r in rows()}))
def test_answers_of_every_kind_get_the_score_that_a_person_gives(kind: str) -> None:
    wrong = [
        (reference, answer, f"{value}, not {want}")
        for of, scorer, choices, reference, answer, want in rows()
        if of == kind and (value := score(scorer, reference, answer, choices).value) != want
    ]
    assert not wrong


def test_the_tables_are_large_and_hold_both_languages() -> None:
    chinese = Counter(bool(re.search("[\u4e00-\u9fff]", r[4])) for r in rows())
    assert sum(chinese.values()) >= 850 and min(chinese.values()) >= 300
    assert len({(r[1], str(r[2]), r[3], r[4]) for r in rows()}) >= 840


def test_cases_that_were_handed_to_us() -> None:
    if not SHARED.is_file():
        pytest.skip("../shared/cases is not here")
    for line in SHARED.read_text("utf-8").splitlines():
        case = json.loads(line)
        got = score(case["scorer"], case["reference"], case["answer"], case["choices"])
        assert got.value == case["score"], (case, got)


# ---- references

PLAIN = [
    ("18", 18), ("48/2=<<24>>\n#### 24", 24), ("$18.00", 18), ("三十五", 35), ("50%", "1/2"), ("1 1/2", "3/2"),
    ("答案：小明每分钟走3.3米。", "3.3"), ("72个", 72), ("x = 5", 5), ("1,200", 1200), ("3/4", "3/4"),
    (r"\frac{3}{4}", "3/4"), (r"\boxed{42}", 42), ("5m", 5), ("3 m^2", 3), ("-5", -5), ("一又二分之一", "3/2"),
    ("about 5 km", 5), ("The answer is 7 apples.", 7), ("10^6", 10**6), ("A = 12 cm²", 12), ("36°", 36),
    ("12 = 3*4", 12), ("five", 5),
    ("980-320=660。660÷6=110。因此每天做110套，才能在6天内做完剩下的660套。", 110), ("答案：3台车3天要用油891千克。297×3=891", 891),
    ("445+298=743，得出共743种。", 743), ("388÷42=9.238，向上取整得到10辆。", 10), ("他有7个。\n注：仅供参考，以第2版为准。", 7),
]  # fmt: skip
NEITHER = [
    "1 hour 30 minutes", "大船租了3条，小船租了5条", "总价为19万元，购置税为2.34万元", "可以剪出3根4.5米长的绳子", "6束，剩余16枝花", "Between 3 and 5",
    "3 ducks and 5 hens", "因此，应该给3元。最后两人都是21元。",
    "每6个装3袋，还剩2个", "最多串成4串，不够串第5串", "10 red, 12 blue and 3 green",
]  # fmt: skip
# reference, answer, score
SYMBOLIC = [
    ("2√3", r"$2\sqrt{3}$", 1), ("2√3", "2*sqrt(3)", 1), ("2√3", "答案是2√3", 1), ("2√3", "3", 0), ("2√3", "6", 0),
    ("2√3", r"\boxed{\sqrt{12}}", 1), (r"\frac{\pi}{4}", "π/4", 1), (r"\frac{\pi}{4}", "The answer is pi/4.", 1),
    (r"\frac{\pi}{4}", "4", 0),
    ("(3, 4)", "(3,4)", 1), ("(3, 4)", "(4, 3)", 0), ("(3, 4)", "4", 0), ("[1, 5)", "[1,5)", 1), ("[1, 5)", "(1,5)", 0),
    ("[1, 5)", "5", 0), ("x^2+3x+2", "(x+1)(x+2)", 1), ("x^2+3x+2", "x^2+3x+1", 0), ("x^2+3x+2", "2", 0),
    ("2x+1", "1+2x", 1), ("2x+1", "1", 0),
    ("x>5", "x > 5", 1), ("x>5", "x<5", 0), ("x>5", "5", 0), ("±5", "5", 0), ("{1,2,3}", r"$\{3,2,1\}$", 1),
    ("{1,2,3}", "3", 0), ("x = 2 or x = 3", "x = 3 or x = 2", 1), ("x = 2 or x = 3", "3", 0), ("e^2", "e^2", 1),
    ("y = 2x + 3", "y=2x+3", 1), ("y = 2x + 3", "3", 0),
    ("3 + 4i", "3+4i", 1), ("3 + 4i", "4", 0), ("5π", r"so it is $5\pi$ cm", 1), ("5π", "5", 0), ("1, 2, 3", "3", 0),
    ("3:2", "2", 0), (r"\sqrt{2}", r"\boxed{\sqrt{2}}", 1), ("log 2", r"\log 2", 1), ("2^n", "2", 0),
    (r"(-\infty, 3]", r"$(-\infty,3]$", 1), (r"(-\infty, 3]", "3", 0),
    ("2√3", "9^9^9^9^9", 0), ("2√3", "", 0), ("2√3", "<think>2√3</think>3", 0), ("10-15", "15", 0),
]  # fmt: skip


@pytest.mark.parametrize("text, value", PLAIN)
def test_a_reference_that_is_one_plain_number(text: str, value: str | int) -> None:
    got = reference_of(text).number
    assert got is not None and (got.value == Fraction(value) or (got.percent and got.value / 100 == Fraction(value)))


@pytest.mark.parametrize("text", NEITHER)
def test_a_reference_of_several_numbers_is_missing_never_its_last(text: str) -> None:
    assert reference_of(text).number is None and reference_of(text).expression is None
    for number in re.findall(r"\d+(?:\.\d+)?", text):
        assert score("number", text, number).value is None
    assert "not one plain number" in unusable("number", text, None)


@pytest.mark.parametrize("reference, answer, value", SYMBOLIC)
def test_mathematics_is_compared_by_math_verify(reference: str, answer: str, value: float) -> None:
    pytest.importorskip("math_verify")
    assert score("number", reference, answer).value == value


def test_without_math_verify_such_a_score_is_missing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mathematics, "available", lambda: False)
    scored = score("number", "2√3", "3")
    assert scored.value is None and "pip install instdata[math]" in scored.reason
    assert score("number", "18", "18").value == 1


def test_expressions_that_take_for_ever_are_not_worked_out() -> None:
    pytest.importorskip("math_verify")
    assert score("number", "9^{9^{9^{9}}}", "9").value is None


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=99))
def test_a_plain_reference_is_read_as_it_was_written(value: Fraction) -> None:
    assert reference_of(str(value)).number.value == value


# ---- thoughts


@given(st.sampled_from(["think", "thinking", "thought", "reasoning", "seed:think"]), st.text("ab 18\n答案是", max_size=20),
    st.sampled_from(["18", "答案是B", "{}"]))  # fmt: skip
def test_thoughts_never_count(tag: str, thought: str, answer: str) -> None:
    for text in (f"<{tag}>{thought}</{tag}>{answer}", f"Sure.\n<{tag}>{thought}</{tag}>\n{answer}",
        f"{answer}\n<{tag}>{thought}"):  # fmt: skip
        assert answer in without_thoughts(text)
        assert f"<{tag}>" not in without_thoughts(text)
    assert without_thoughts(f"<{tag}>{thought}") is None


# ---- phrases


def test_phrases_catch_their_examples() -> None:
    for name, phrases in OURS.lists().items():
        for phrase in phrases:
            assert found(name).search(phrase.example), (name, phrase)


def test_phrases_are_read_when_asked_for_and_fast() -> None:
    code = (
        "import sys, time; import instdata.score.scorers, instdata.score.extract.choice as c; from "
        "instdata.score.extract.phrases import OURS;"
        "print(OURS.lists.cache_info().currsize); start = time.process_time(); OURS.lists(); "
        "print(time.process_time() - start)"
    )
    read, seconds = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
        check=True).stdout.split()  # fmt: skip
    assert read == "0" and float(seconds) < 0.05  # 4 ms on an idle machine
