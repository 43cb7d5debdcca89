"""Scorers: tables of answers in Chinese and English, properties, and long nonsense."""

from __future__ import annotations

import json
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.score.extract.number import chinese_value
from instdata.score.extract.stated_result import final_numbers
from instdata.score.extract.text import code_in, normalise
from instdata.score.item import Item
from instdata.score.scorers import Scored, chance, score_answer, unusable


def item(scorer: str, reference: str | None, choices: list[str] | None = None, tests: str | None = None) -> Item:
    return Item("0" * 32, "x", [{"role": "user", "content": "?"}], reference, choices, scorer, tests, "s")


def score(scorer: str, reference: str | None, answer: str, choices: list[str] | None = None) -> Scored:
    return score_answer(item(scorer, reference, choices), answer)


EXACT = [
    ("Paris", "Paris", 1), ("Paris", "paris.", 1), ("Paris", "  Paris \n", 1), ("Paris", "**Paris**", 1),
    ("Paris", "Ｐａｒｉｓ", 1),
    ("Paris", "The answer is Paris.", 1), ("Paris", "Answer: Paris", 1), ("Paris", "London", 0), ("Paris", "", 0),
    ("Paris", "Paris is the capital.", 0), ("new york", "New   York", 1), ("北京", "北京。", 1), ("北京", "答案：北京", 1),
    ("北京", "北 京", 1),
    ("北京", "答案是北京。", 1), ("北京", "北京市", 0), ("北京", "上海", 0), ("AC", "AC", 1), ("AC", "A, C", 1), ("AC", "C、A", 1),
    ("AC", "A和C", 1),
    ("AC", "答案：AC", 1), ("AC", "A", 0), ("AC", "ABC", 0), ("AC", "(A)(C)", 1), (r"x", r"so \boxed{x}", 1),
    ("《红楼梦》", "红楼梦", 1),
]  # fmt: skip

NUMBER = [
    ("18", "#### 18", 1), ("18", "The answer is 18.", 1), ("18", "It costs $18.00", 1), ("18", "17", 0), ("18", "", 0),
    ("18", "no idea", 0),
    ("1,200", "1200", 1), ("1200", "1，200", 1), ("1000", "１０００", 1), ("0.5", "1/2", 1), ("1/2", "0.5", 1),
    ("1.5", "1 1/2", 1), ("1.5", "1½", 1),
    ("1/2", r"$\frac{1}{2}$", 1), ("0.75", r"\boxed{\dfrac{3}{4}}", 1), ("18", r"So \boxed{18} eggs, in 3 days", 1),
    ("16", r"is: $\boxed{16}$", 1),
    ("50%", "0.5", 1), ("0.5", "50%", 1), ("50", "50%", 1), ("50%", "50", 1), ("30%", "百分之三十", 1), ("2/3", "三分之二", 1),
    ("7", "Answer: 3 + 4 = 7", 1),
    ("18", "The answer is 18 because 3 hens lay 6", 1), ("-3", "x = -3", 1), ("3", "10-3", 1), ("7", "10-3", 0),
    ("8", "-8", 0), ("-5", "负五", 1), ("-5", "负5", 1),
    ("0.33", "1/3", 1), ("0.33", "0.3", 0), ("3.14", "3.14159", 1), ("3.14159", "3.14", 0), ("3.1", "3.14", 0),
    ("30000", "3万", 1), ("1200000", "1.2 million", 1),
    ("5", "5千克", 1), ("5000", "5千", 1), ("5", "5 km", 1), ("100", "10²", 1), ("2", "2√2", 0), ("1200", r"$1{,}200$", 1),
    ("6000", "6×10^3", 1), ("6e3", "6000", 1),
    ("35", "三十五", 1), ("35", "答案是三十五个", 1), ("35", "一共三十五个苹果", 1), ("305", "三百零五", 1), ("23000", "两万三千", 1),
    ("3.5", "三点五", 1), ("2", "第2题的答案是：2", 1),
    ("72", "答：一共卖了72个。", 1), ("3.3", "答案：小明每分钟走3.3米。", 1), ("答案：小明每分钟走3.3米。", "所以是3.30米", 1), ("5", "答案：\n\n5元", 1),
    ("5", "Answer:\n5", 1), ("9", "**Answer:** $9", 1),
    ("3", "He has 4 pears. The answer is 3", 1), ("0", "0", 1), ("48/2=<<24>>\n#### 24", "so 24 clips", 1),
    ("12", "1" * 5000, 0), ("10", "7.\n\nSo 3 + 7 = 10 apples.", 1),
]  # fmt: skip

CHOICE = [
    ("B", "B", 1), ("B", "b", 1), ("B", "(b)", 1), ("B", "B.", 1), ("C", "(C)", 1), ("C", "（C）", 1), ("D", "Ｄ", 1),
    ("B", "**B**", 1), ("B", "B: photosynthesis", 1), ("A", "A. Paris", 1),
    ("B", "Answer: B) xylem", 1), ("D", "The answer is D because A is wrong", 1),
    ("C", "The correct answer is (C).", 1), ("A", "The answer is A because", 1), ("A", "the answer is a.", 1),
    ("C", "I would pick option C.", 1), ("C", "Option C is correct.", 1), ("B", "I think it is B", 1),
    ("B", "The answer is not A. The answer is B.", 1), ("B", "A cat? No, the answer is B.", 1),
    ("E", "Answer: E", 1), ("B", r"\boxed{B}", 1), ("B", "A and B", 0), ("B", "Answer: C", 0),
    ("A", "A dog is an animal", None), ("A", "The answer is a dog", None),
    ("B", "none of these fits", None), ("B", "", None), ("C", "I am not sure", None), ("B", "答案是B", 1), ("B", "选B", 1),
    ("B", "故选：B。", 1), ("B", "正确答案为（B）", 1), ("C", "C项正确", 1),
    ("B", "答案不是A，而是B", 1), ("B", "B。人的肌细胞", 1), ("C", "因此，答案为 C 选项", 1), ("B", "经过分析，A错误，C错误，D错误。故本题选B。", 1),
    ("B", "答案：D", 0), ("B", "我不知道", None),
    ("ABD", "ABD", 1), ("ABD", "A、B、D", 1), ("ABD", "答案：ABD", 1), ("AB", "A and B", 1), ("ABD", "答案：AB", 0),
    ("B。人的肌细胞无氧呼吸", "选B", 1), ("(B)", "B", 1),
]  # fmt: skip

CITIES = ["Paris", "London", "New York", "York"]
CHOICE_TEXTS = [
    ("B", "London", 1), ("London", "B", 1), ("London", "It must be London, since …", 1), ("C", "It is New York", 1),
    ("D", "It is York", 1), ("A", "Paris or London", None),
    ("A", "It is not London but Paris", 1), ("A", "Rome", None),
]  # fmt: skip

LABELS = ["positive", "negative", "neutral"]
KINDS = ["哺乳动物", "非哺乳动物"]
LABEL = [
    ("positive", "positive", LABELS, 1), ("positive", "Positive.", LABELS, 1),
    ("positive", "The tone is positive.", LABELS, 1), ("positive", "negative", LABELS, 0),
    ("positive", "positive and negative", LABELS, 0), ("positive", "not negative but positive", LABELS, 1),
    ("positive", "It is hard to say", LABELS, 0), ("positive", "", LABELS, 0),
    ("positive", "Let me think.\nSentiment: positive", LABELS, 1), ("positive", ("Answer: positive\nIt is not "
                                                                                "negative."), LABELS, 1),
                                                                                ("neutral", "nonneutral", LABELS, 0),
    ("哺乳动物", "哺乳动物", KINDS, 1), ("哺乳动物", "鲸属于哺乳动物。", KINDS, 1), ("哺乳动物", "非哺乳动物", KINDS, 0),
    ("非哺乳动物", "鲨鱼是非哺乳动物", KINDS, 1), ("哺乳动物", "不知道", KINDS, 0),
    ("Informal", "informal", None, 1), ("Informal", "The tone is informal.", None, 1), ("Informal", "Formal", None, 0),
    ("formal", "informal", None, 0), ("formal", "This is not formal.", None, 0),
    ("表扬", "表扬", None, 1), ("表扬", "这句留言属于“表扬”。", None, 1), ("表扬", "投诉", None, 0), ("表扬", "这不是表扬", None, 0),
    ("表扬", "", None, 0), ("a: x\nb: y", "A：X\nB：Y", None, 1),
]  # fmt: skip

CONTAINS = [
    ("cat", "the cat sat", 1), ("cat", "The CAT.", 1), ("cat", "concatenate", 0), ("cat", "", 0),
    ("New York", "in new  york city", 1), ("cat\ndog", "a dog and a cat", 1), ("cat\ndog", "a cat", 0),
    ("1975", "in 1975.", 1), ("1975", "in 19750", 0), ("C++", "use C++ here", 1), ("3.5", "about 3.5 m", 1),
    ("can't", "I can't", 1), ("Python", "用Python写", 1), ("it's", "it’s", 0),
    ("北京", "他在北京工作", 1), ("北京", "他在上海", 0), ("北京\n上海", "北京和上海", 1), ("北京\n上海", "北京", 0), ("红楼梦", "《红楼梦》", 1),
    ("李 明", "李明", 1), ("ＡＢＣ", "abc", 1), ("三个", "共三个。", 1),
]  # fmt: skip

JSON = [
    ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 1), ('{"a": 1}', '```json\n{"a": 1}\n```', 1),
    ('{"a": 1}', 'Here it is: {"a": 1}. Enjoy!', 1), ('{"a": 1}', '{"a": 1.0}', 1), ('{"a": 1}', '{"a": true}', 0),
    ('{"a": 1}', '{"a": "1"}', 0), ('{"a": 1}', '{"a": 1, "b": 2}', 0), ('{"a": 1}', "{}", 0), ('{"a": 1}', "", 0),
    ('{"a": 1}', "{'a': 1}", 0), ('{"a": 1}', "[1]", 0), ("[1, 2]", "[1, 2]", 1),
    ("[1, 2]", "[2, 1]", 0), ("[1, 2]", "[1]", 0), ('{"a": {"b": [1, {"c": null}]}}', ('{"a": {"b": [1, {"c": '
                                                                                      'null}]}}'), 1),
                                                                                      ('{"a": {"b": [1, {"c": null}]}}',
                                                                                      '{"a": {"b": [1, {"c": 0}]}}', 0),
    ('{"姓名": "李明"}', '结果如下：\n```\n{"姓名": "李明"}\n```', 1), ('{"姓名": "李明"}', '{"姓名": "王芳"}', 0),
    ('{"姓名": "李明", "年龄": 20}', '{"年龄": 20, "姓名": "李明"}', 1), ('{"a": 1}', '{"a": NaN}', 0), ("3", "3", 1),
    ('"x"', '"x"', 1), ("null", "null", 1),
    ('{"$required": ["a", "b"]}', '{"a": 1, "b": null, "c": 3}', 1), ('{"$required": ["a", "b"]}', '{"a": 1}', 0),
    ('{"$required": ["a"]}', "[1]", 0), ('{"a": 1}', '{"a": 2}\n```json\n{"a": 1}\n```', 1),
]  # fmt: skip

F1 = [
    ("a b c d", "a b c d", 1), ("a b c d", "A, B; C. D!", 1), ("a b c d", "a b", 2 / 3), ("a b", "a b c d", 2 / 3),
    ("a b", "c d", 0), ("a b", "", 0), ("a a b", "a b b", 2 / 3), ("a b", "b a", 1),
    ("red", "redder", 0), ("the cat", "cat", 2 / 3), ("2024", "2024年", 2 / 3), ("北京大学", "北京大学", 1),
    ("北京大学", "北京", 2 / 3), ("北京", "北京大学", 2 / 3), ("北京", "上海", 0), ("北京", "京北", 1),
    ("北京", "", 0), ("北京。", "北京", 1), ("我爱Python", "我爱python", 1), ("我爱Python", "我爱", 4 / 5), ("ｃａｔ", "cat", 1),
    ("まつり", "まつり", 1), ("가나 다", "가나", 2 / 3), ("x_y", "x y", 1),
]  # fmt: skip


@pytest.mark.parametrize("reference, answer, value, scorer", [
    (*row, scorer)
    for scorer, table in {"exact": EXACT, "number": NUMBER, "choice": CHOICE, "contains": CONTAINS,
    "json": JSON}.items()
    for row in table
])  # fmt: skip
def test_answers_get_their_score(reference: str, answer: str, value: float | None, scorer: str) -> None:
    assert score(scorer, reference, answer).value == value


@pytest.mark.parametrize("reference, answer, value", CHOICE_TEXTS)
def test_choice_by_its_text(reference: str, answer: str, value: float | None) -> None:
    assert score("choice", reference, answer, CITIES).value == value


@pytest.mark.parametrize("reference, answer, labels, value", LABEL)
def test_label(reference: str, answer: str, labels: list[str] | None, value: float) -> None:
    assert score("label", reference, answer, labels).value == value


@pytest.mark.parametrize("reference, answer, value", F1)
def test_f1(reference: str, answer: str, value: float) -> None:
    assert score("f1", reference, answer).value == pytest.approx(value)


@pytest.mark.parametrize("table", [EXACT, NUMBER, CHOICE, LABEL, CONTAINS, JSON, F1])
def test_every_table_has_both_languages(table: list) -> None:
    chinese = sum(any("\u4e00" <= c <= "\u9fff" for c in row[0] + row[1]) for row in table)
    assert len(table) >= 20 and 3 <= chinese <= len(table) - 3


@pytest.mark.parametrize("scorer", ["exact", "number", "choice", "label", "contains", "json", "f1"])
def test_without_a_usable_reference_there_is_no_score(scorer: str) -> None:
    for reference in (None, "", " ", "?!"):
        scored = score(scorer, reference, "B 7 {}")
        assert scored.value is None and scored.reason


def test_what_is_not_scored_from_text_is_missing() -> None:
    for scorer in ("judge", "distractors"):
        assert score(scorer, "x", "x") == Scored(None, f"{scorer} is not scored from the answer's text")
    assert score("unit_tests", None, "x").value is None


@pytest.mark.parametrize(
    "one, metric, value",
    [
        (item("choice", "B", ["a", "b", "c", "d"]), None, 1 / 4),
        (item("choice", "AB", ["a", "b", "c", "d"]), None, 1 / 15), (item("choice", "B"), None, None),
        (item("label", "x", ["x", "y"]), None, 1 / 2), (item("label", "x"), None, None),
        (item("distractors", "x"), None, 1 / 3), (item("number", "3"), None, None),
        (item("judge", "x"), "distractors", 1 / 3), (item("judge", "x"), "distractor_fine", 1 / 2),
    ],
)  # fmt: skip
def test_chance(one: Item, metric: str | None, value: float | None) -> None:
    assert chance(one, metric) == value


# ---- properties


@given(st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=999))
def test_any_fraction_is_read_back(value: Fraction) -> None:
    assert final_numbers(str(value))[0].value == value
    assert final_numbers(f"Some 12 words. The answer is {value}.")[0].value == value


@given(st.integers(0, 10**11))
def test_thousands_and_chinese_numerals_are_read_back(n: int) -> None:
    assert score("number", str(n), f"答案：{n:,}元").value == 1
    assert chinese_value(chinese(n)) == n
    assert score("number", str(n), chinese(n)).value == 1


def chinese(n: int) -> str:
    """A number in Chinese, written from its definition."""
    if n == 0:
        return "零"
    if n >= 10**8:
        high, rest = divmod(n, 10**8)
        return chinese(high) + "亿" + (("零" if rest < 10**7 else "") + chinese(rest) if rest else "")
    if n >= 10**4:
        high, rest = divmod(n, 10**4)
        return chinese(high) + "万" + (("零" if rest < 1000 else "") + chinese(rest) if rest else "")
    for unit, word in ((1000, "千"), (100, "百"), (10, "十")):
        if n >= unit:
            high, rest = divmod(n, unit)
            return chinese(high) + word + (("零" if rest < unit // 10 else "") + chinese(rest) if rest else "")
    return "零一二三四五六七八九"[n]


@given(st.text(max_size=80))
def test_a_reference_is_its_own_best_answer(text: str) -> None:
    for scorer in ("exact", "label", "contains", "f1", "number", "json"):
        if unusable(scorer, text, None) is None:
            assert score(scorer, text, text).value == pytest.approx(1), scorer


@given(st.text(max_size=120), st.sampled_from(["exact", "number", "choice", "label", "contains", "json", "f1"]))
def test_any_answer_gets_a_score_between_0_and_1_or_none(answer: str, scorer: str) -> None:
    scored = score(scorer, "B 3 三", answer) if scorer != "json" else score(scorer, "{}", answer)
    assert scored.value is None or 0 <= scored.value <= 1
    assert scored.reason


@given(st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=9),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=4), v, max_size=4), max_leaves=9))  # fmt: skip
def test_json_is_equal_whatever_the_order_and_layout(value: object) -> None:
    def turned(v: object) -> object:
        if isinstance(v, dict):
            return {k: turned(v[k]) for k in reversed(v)}
        return [turned(x) for x in v] if isinstance(v, list) else v

    if isinstance(value, dict) and list(value) == ["$required"]:
        return
    answer = "Sure:\n```json\n" + json.dumps(turned(value), indent=2, ensure_ascii=False) + "\n```\n"
    assert score("json", json.dumps(value), answer).value == 1


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_code_is_taken_out_of_fences() -> None:
    assert code_in("x = 1") == "x = 1"
    assert code_in("Here:\n```python\nx = 1\n```\nDone") == "x = 1\n"
    assert code_in("```bash\nls\n```\n```py\nx = 1\n```\n~~~python\ny = 2\n~~~") == "x = 1\n\ny = 2\n"
    assert code_in("```\nx = 1") == "x = 1"


# Long answers that make patterns with nested repetition run for hours.
NONSENSE = ["1", "1,", "111,", "1 1/", "1/", "answer ", "answer is A ", "A ", "A", "A,", "[", "{", '{"a":', "```\n",
    "三", "三点", "\\boxed{", "\\frac{1}{", " ", "\n", "*", "(", "答案", "not ", "10^", "final ", "\\text{", "cat ",
    "A. x\n", "(A) "]  # fmt: skip


@pytest.mark.parametrize("scorer, reference, choices",
    [("exact", "AC", None), ("number", "12", None), ("choice", "B", ["cat", "dog"]), ("label", "cat", ["cat", "dog"]),
    ("contains", "cat\nz", None), ("json", '{"a": 1}', None), ("f1", "cat 三", None)])  # fmt: skip
def test_time_is_linear_in_the_answer(scorer: str, reference: str, choices: list[str] | None) -> None:
    size = 1 << 15
    for unit in NONSENSE:
        start = time.process_time()
        score(scorer, reference, unit * (size // len(unit)), choices)
        assert time.process_time() - start < 3, unit  # below 0.3 s on an idle machine; quadratic time would be minutes
