"""The one reader of replies: what a person would take out comes out, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instdata.judge import read_verdict
from instdata.llm.lenient_json import find
from instdata.llm.reply import Unusable, answer, read_items, read_object, thoughts

GRADES = {"A": 1.0, "B": 0.75, "C": 0.5, "D": 0.25, "E": 0.0}
ONE, TWO = {"instruction": "列出两条河", "response": "长江、黄河。"}, {"instruction": "Name a sea", "response": "Red."}
BOTH = json.dumps({"tasks": [ONE, TWO]}, ensure_ascii=False)
ITEMS = [
    (BOTH, 2),
    (f"<think>I write {{'tasks': [1]}}</think>\n{BOTH}", 2),
    (f"[THINK]{{x}}[/THINK]{BOTH}", 2),
    (f"these [2] tasks {{as asked}}:\n```json\n{BOTH}\n```\nbye", 2),
    (BOTH.replace("}]}", "},]}"), 2),
    (BOTH.replace('"', "'"), 2),
    (BOTH.replace("长江", '"长江"'), 2),
    (BOTH.replace("长江、", "长江\n"), 2),
    (BOTH.replace("tasks", "题目列表").replace("instruction", "问题").replace("response", "答案"), 2),
    (json.dumps({"data": {"items": [ONE, TWO]}}, ensure_ascii=False), 2),
    (json.dumps([ONE, TWO], ensure_ascii=False), 2),
    ("\n".join(f"- {json.dumps(t, ensure_ascii=False)}" for t in (ONE, TWO)), 2),
    (BOTH[:-20], 1),
    (BOTH.replace('{"instruction": "Name', '{instruction: "Name'), 2),
    (BOTH.replace('"tasks": [', '"tasks": [ // two\n'), 2),
    (f"Sure! Here are the tasks:\n\n{BOTH}\n\nLet me know!", 2), (f"\ufeff{BOTH}<|im_end|>", 2), (f"<tasks>{BOTH}</tasks>", 2),
    (f"tasks = {BOTH}", 2), (BOTH + "\n" + BOTH, 2), (BOTH[:-2], 2), (BOTH.replace("{", "{{").replace("}", "}}"), 2),
    (json.dumps({"tasks": {"task1": ONE, "task2": TWO}}, ensure_ascii=False), 2),
    (json.dumps({"tasks": [{"task": ONE}, {"task": TWO}]}, ensure_ascii=False), 2),
    (json.dumps(BOTH, ensure_ascii=False), 2), (BOTH.replace('"', '\\"'), 2), (BOTH.replace('"', "&quot;"), 2),
    (BOTH.replace('"', "＂"), 2), (BOTH.replace(",", "，").replace(":", "："), 2), (BOTH.replace('"', "”"), 2),
    (BOTH.replace("instruction", "用户指令").replace("response", "参考答案"), 2),
    (BOTH.replace("instruction", "User").replace("response", "Assistant"), 2),
    (BOTH.replace("}, {", "} {"), 2), (BOTH.replace("}, {", "}, ..., {"), 2),
    (BOTH.replace("Red.", "```python\nprint({'a': 1})\n```"), 2), (BOTH.replace("Red.", 'Red "sea".'), 2),
    (BOTH.replace('"response": "Red."', '"response": `Red.`'), 2),
    ("<think>tasks [1], {2}</think>" + BOTH, 2), (f"<think>{BOTH.replace('sea', 'lake')}</think>\n{BOTH}", 2),
]  # fmt: skip
NO_ITEMS = ["instruction: 列出两条河\nresponse: 长江。", "1. **Instruction**: Name a sea\n   **Response**: Red.",
    "I'm sorry, I can't help.", "[]", "{}", '{"tasks": []}', '"{\\"', "&quot;{&quot;"]  # fmt: skip


@pytest.mark.parametrize(("text", "count"), ITEMS)
def test_items_are_read_as_a_person_would(text, count):
    assert [i["instruction"] for i in read_items(text)] == [ONE["instruction"], TWO["instruction"]][:count]


@pytest.mark.parametrize("text", NO_ITEMS)
def test_what_holds_no_items(text):
    with pytest.raises(Unusable):
        read_items(text)


LATEX = [
    (r"3 \times 4", "3 \\times 4"), (r"\frac{1}{2}", "\\frac{1}{2}"), (r"\(x\)", "\\(x\\)"),
    (r"\beta \to \rho", "\\beta \\to \\rho"),
    (r"\\times", "\\times"), (r"a\tb\nc", "a\tb\nc"), (r"\u4e2d", "中"), (r"\neq \underline{x}", "\\neq \\underline{x}"),
    (r"say \"x\"", 'say "x"'),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), LATEX)
def test_latex_keeps_its_backslash(written, meant):
    assert read_object('{"response": "' + written + '"}') == {"response": meant}


VERDICTS = [
    ('{"reason": "fine", "grade": "B",}', "B"), ("{'grade': 'B'}", "B"), ("{“理由”：“可以”，“评级”：“B”}", "B"),
    (('{"reason": "it says "Rome", wrong", "grade": '
     '"E"}'), "E"), ('{"answer": {"grade": "C"}}', "C"), ('{"grade": "B级"}', "B"),
    ('{"grade": "B-"}', None), ("Final grade: **C**", "C"), ("等级是D。", "D"), ("[[D]]", "D"), ("## 评级\nC", "C"),
    ("7/10", None),
    ("Grade: A\nGrade: B", None), ('{"grade": "A"}\n等级：B', None), ('{"grade": "A"} {"grade": "A"}', "A"),
    ("<think>Grade: A", None), ('{"reason": "good, and', None), ('{"reason": "says Grade: E", "grade": "A"}', "A"),
    ("A good answer.", None), ("Grade - B", "B"), ("grade → C", "C"), ("My verdict is B.", "B"),
    ("The grade is a B.", "B"), ("The grade is a well-deserved B.", None), ("Grade: A excellent work", "A"),
    ("It deserves a grade of B.", "B"), ("综合来看，等级应为C", "C"), ("最终评级为 **B** 级", "B"), ("```\nB\n```", "B"),
    ("<answer>B</answer>", "B"), ("$\\boxed{\\text{B}}$", "B"), ('{"grade": "Ｂ"}', "B"), ('{"grade": ["B"]}', None),
    ("Grade: A/B", None), ("Grade: between B and C", None), ("Grade: not A", None), ("Grade A is wrong; Grade: D", "D"),
    ("等级：A（不，应该是B）", None), ("评级：乙", None), ("Rating: B", None), ("Grade: E — wrong", "E"), ("Grade:", None),
    ('{"grade": null}', None), ('{"grade": "B"}\nActually, let me reconsider: {"grade": "D"}', None),
    ("Step 1: A right answer says Rome.\nStep 2: It does.\nGrade: A", "A"),
]  # fmt: skip
PAIRS = [
    ('{"better": 1}', "1"), ('{"better": "Answer 2"}', "2"), ('{"better": "回答2"}', "2"), ('{"better": "both"}', None),
    ('{"better": 1.0}', None), ("[[2]]", "2"), ("更好的回答：1", "1"), ("更好的是回答2", "2"), ("Answer 1 is better.", "1"),
    ("Winner: Answer 2", "2"), ("Verdict: tie", "tie"), ("平局", "tie"), ("Answer 2 is better than Answer 1.", "2"),
    ("Answer 1 is not better.", None), ("不认为回答1更好", None), ("结论：回答1更好", "1"), ('{"better": "1"} or {"better": "2"}', None),
    ("Answer 1 is better in tone. Answer 2 is better overall.", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "want", "key"), [(*v, "grade") for v in VERDICTS] + [(*p, "better") for p in PAIRS])
def test_verdicts_are_read_as_a_person_would(text, want, key):
    allowed = GRADES if key == "grade" else {"1": 1.0, "tie": 0.5, "2": 0.0}
    if want is not None:
        assert read_verdict.read(text, key, allowed) == want
        return
    with pytest.raises(Unusable):
        read_verdict.read(text, key, allowed)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("<think>hm</think>yes", ("hm", "yes")),
        ("<think>a</think> Grade: A</think>yes", ("a</think> Grade: A", "yes")), ("hm</think>yes", ("hm", "yes")),
        ("<think>hm", ("hm", "")), ("yes", ("", "yes")),
        ("In HTML, `<think>` is no tag.", ("", "In HTML, `<think>` is no tag.")),
        ("好的。<thinking>hm</thinking>是", ("hm", "好的。是")),
    ],
)  # fmt: skip
def test_thoughts_are_taken_out(text, want):
    assert thoughts(text) == want


@pytest.mark.parametrize("text", ["", "<think>only", "\ud83d", "a\0"])
def test_what_is_no_answer(text):
    with pytest.raises(Unusable):
        answer(text)


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8
    )
)
def test_valid_json_comes_back_as_it_was(value):
    from hypothesis import assume

    text = json.dumps([value], ensure_ascii=False)
    assume("\\" not in text)
    assert [f.value for f in find(text)] == [[value]]


@given(st.text(alphabet="{}[]\":,'“”\\ab\n", max_size=60))
def test_any_text_is_read_or_is_not(text):
    for one in find(text):
        assert isinstance(one.value, (dict, list)) and one.start < one.end <= len(text)


def test_texts_of_brackets_are_given_up_in_time():
    import time

    start = time.monotonic()
    find("[" * 20_000)
    find('{"a":' * 5_000)
    assert time.monotonic() - start < 5
