"""Evaluation items in the shapes that benchmarks come in: their rows are found to the last, and what many share never."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.steps.dedup.eval_items import read_items
from instdata.steps.dedup.leaks import leaks, parts_of
from instdata.util.build_context import Context

# passage, question, options, the right one's place
TASKS = [
    (
        "The ferry to Orsay leaves from the north pier at six and comes back loaded with peat; its master, Finlay, keeps a ledger in green ink.",
        "Where does the ferry to Orsay leave from?",
        ["the north pier", "the old mill", "the salt barn", "the chapel steps"],
        0,
    ),
    (
        "Marta planted thirty rows of beans behind the smithy, and the frost of May took nineteen of them before the bells of the feast.",
        "How many rows of beans did Marta lose to the frost?",
        ["eleven", "nineteen", "thirty", "forty"],
        1,
    ),
    (
        "青石镇的铁匠每逢初七打一把镰刀，送给最早收割的人家，这个规矩从祖父那辈传下来。",
        "青石镇的铁匠在哪一天打镰刀？",
        ["初一", "初五", "初七", "十五"],
        2,
    ),
    (
        "The lighthouse of Carn was painted in stripes because the fog there is red at dusk, says the keeper's diary of 1911.",
        "Why was the lighthouse of Carn painted in stripes?",
        ["to honour a queen", "for want of paint", "after a bet", "because the fog is red at dusk"],
        3,
    ),
    (
        "阿菊把三只瓦罐埋在梨树下，第二年春天只挖出两只，另一只被獾拖到了河边。",
        "阿菊埋在梨树下的瓦罐有几只被獾拖走？",
        ["一只", "两只", "三只", "四只"],
        0,
    ),
]
LETTERS = "ABCD"


def row(p, q, o, a, passage=True, options=True):
    """A training row that holds a task: (prompt, answer)."""
    shown = "\n" + "\n".join(f"{x}. {text}" for x, text in zip(LETTERS, o)) if options else ""
    return (f"{p}\n" if passage else "") + q + shown, o[a]


# name: the kind of file, and how a task becomes (record, training row)
SHAPES = {
    "mcq index str": (
        "jsonl",
        lambda p, q, o, a: ({"question": q, "choices": o, "answer": str(a)}, row(p, q, o, a, False, False)),
    ),
    "options dict letters": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": q, "options": dict(zip(LETTERS, o)), "answer": LETTERS[a]},
            row(p, q, o, a, False),
        ),
    ),
    "options dict label text": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": q, "options": {"label": list(LETTERS), "text": o}, "label": LETTERS[a]},
            row(p, q, o, a, False),
        ),
    ),
    "list of {label,text}": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": q, "choices": [{"label": m, "text": x} for m, x in zip(LETTERS, o)], "answerKey": LETTERS[a]},
            row(p, q, o, a, False),
        ),
    ),
    "question.stem": (
        "jsonl",
        lambda p, q, o, a: (
            {
                "id": "x",
                "question": {"stem": q, "choices": [{"label": m, "text": x} for m, x in zip(LETTERS, o)]},
                "answerKey": LETTERS[a],
            },
            row(p, q, o, a, False),
        ),
    ),
    "ceval columns": (
        "csv",
        lambda p, q, o, a: (
            {"id": 1, "question": q, **dict(zip(LETTERS, o)), "answer": LETTERS[a], "explanation": ""},
            row(p, q, o, a, False),
        ),
    ),
    "options in one string": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": q, "options": " ".join(f"({m}) {x}" for m, x in zip(LETTERS, o)), "correct": LETTERS[a]},
            row(p, q, o, a, False),
        ),
    ),
    "options json string": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": q, "options": json.dumps(o, ensure_ascii=False), "answer": LETTERS[a]},
            row(p, q, o, a, False),
        ),
    ),
    "race questions": (
        "jsonl",
        lambda p, q, o, a: (
            {"article": p, "questions": [q, "What else?"], "options": [o, ["a", "b"]], "answers": [LETTERS[a], "A"]},
            row(p, q, o, a),
        ),
    ),
    "gsm8k": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": p + " " + q, "answer": "She counts.\n#### 42"},
            (p + " " + q, "So 42.\n#### 42"),
        ),
    ),
    "math problem": (
        "parquet",
        lambda p, q, o, a: ({"Problem": p + " " + q, "Solution": "\\boxed{4}", "Answer": 4}, (p + " " + q, "4")),
    ),
    "svamp": ("jsonl", lambda p, q, o, a: ({"Body": p, "Question": q, "Answer": 4.0}, (p + " " + q, "4"))),
    "mt-bench": (
        "jsonl",
        lambda p, q, o, a: (
            {"turns": [p + " " + q, "Now say it in one word, as a sailor of Orsay would."]},
            (p + " " + q, "Well."),
        ),
    ),
    "messages": (
        "jsonl",
        lambda p, q, o, a: (
            {
                "messages": [
                    {"role": "user", "content": p},
                    {"role": "assistant", "content": "I see."},
                    {"role": "user", "content": q},
                    {"role": "assistant", "content": o[a]},
                ]
            },
            (p + "\nI see.\n" + q, o[a]),
        ),
    ),
    "hellaswag": ("jsonl", lambda p, q, o, a: ({"ctx": p, "endings": o, "label": str(a)}, (p, o[a]))),
    "winogrande": (
        "jsonl",
        lambda p, q, o, a: (
            {"sentence": p.replace("a ", "_ ", 1), "option1": o[0], "option2": o[1], "answer": "1"},
            (p.replace("a ", "_ ", 1), o[0]),
        ),
    ),
    "copa": (
        "jsonl",
        lambda p, q, o, a: (
            {"premise": p, "choice1": o[0], "choice2": o[1], "question": "cause", "label": 0},
            (p + " What was the cause?", o[0]),
        ),
    ),
    "piqa": ("jsonl", lambda p, q, o, a: ({"goal": q, "sol1": o[0], "sol2": o[1], "label": 0}, (q, o[0]))),
    "nli": (
        "jsonl",
        lambda p, q, o, a: (
            {"premise": p, "hypothesis": "It is said that " + q, "label": 1},
            (f"Premise: {p}\nHypothesis: It is said that {q}\nTrue, false or neither?", "Neither"),
        ),
    ),
    "truthfulqa mc": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": q, "mc1_targets": {"choices": o, "labels": [1, 0, 0, 0]}},
            row(p, q, o, a, False),
        ),
    ),
    "humaneval": (
        "parquet",
        lambda p, q, o, a: (
            {"prompt": f'def f(n):\n    """{p}"""\n', "canonical_solution": "    return 1\n", "test": "assert f(1)==1"},
            (f'Complete:\n```python\ndef f(n):\n    """{p}"""\n```', "return 1"),
        ),
    ),
    "translation": (
        "jsonl",
        lambda p, q, o, a: (
            {"translation": {"en": p, "zh": "一段译文，写在这里，说的是同一件事，但是用另一种语言写成。" + q}},
            ("Translate into Chinese: " + p, "一段译文。"),
        ),
    ),
    "article highlights": ("jsonl", lambda p, q, o, a: ({"article": p, "highlights": q}, ("Summarize: " + p, q))),
    "chinese columns": (
        "jsonl",
        lambda p, q, o, a: ({"题目": q, "选项": o, "答案": LETTERS[a]}, row(p, q, o, a, False)),
    ),
    "nested list of questions (C3)": (
        "jsonl",
        lambda p, q, o, a: ([[p], [{"question": q, "choice": o, "answer": o[a]}], "id-1"], row(p, q, o, a)),
    ),
    "coqa": (
        "jsonl",
        lambda p, q, o, a: (
            {"story": p, "questions": [{"input_text": q, "turn_id": 1}], "answers": [{"input_text": o[a]}]},
            (p + "\n" + q, o[a]),
        ),
    ),
    "drop": (
        "jsonl",
        lambda p, q, o, a: (
            {"passage": p, "question": q, "answers_spans": {"spans": [o[a]], "types": ["span"]}},
            (p + "\n" + q, o[a]),
        ),
    ),
    "lm-eval doc": (
        "jsonl",
        lambda p, q, o, a: (
            {"doc_id": 1, "doc": {"question": q, "choices": o, "answer": a}, "target": a},
            row(p, q, o, a, False),
        ),
    ),
    "inspect": (
        "jsonl",
        lambda p, q, o, a: ({"input": q, "choices": o, "target": LETTERS[a], "id": 1}, row(p, q, o, a, False)),
    ),
    "inspect chat": (
        "jsonl",
        lambda p, q, o, a: (
            {"input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": q}], "target": o[a]},
            (q, o[a]),
        ),
    ),
    "correct+distractors": (
        "jsonl",
        lambda p, q, o, a: (
            {
                "question": q,
                "correct_answer": o[a],
                "distractor1": o[a - 1],
                "distractor2": o[a - 2],
                "distractor3": o[a - 3],
                "support": p,
            },
            row(p, q, o, a, False),
        ),
    ),
    "gpqa": (
        "jsonl",
        lambda p, q, o, a: (
            {
                "Question": q,
                "Correct Answer": o[a],
                "Incorrect Answer 1": o[a - 1],
                "Incorrect Answer 2": o[a - 2],
                "Incorrect Answer 3": o[a - 3],
            },
            row(p, q, o, a, False),
        ),
    ),
    "number only question 1": (
        "jsonl",
        lambda p, q, o, a: (
            {"question": f"{17 + a * 3} * {23 + len(q)} - {len(p)} = ?", "answer": 17},
            (f"{17 + a * 3} * {23 + len(q)} - {len(p)} = ?", "17"),
        ),
    ),
}


def write(path, records):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), "utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as f:
            writer = csv.DictWriter(f, records[0].keys())
            writer.writeheader()
            writer.writerows(records)
    else:
        pq.write_table(pa.Table.from_pylist(records), path)


def test_rows_with_items_of_every_shape_are_found(tmp_path):
    lost = {}
    for name, (kind, make) in SHAPES.items():
        records, rows = zip(*(make(*task) for task in TASKS))
        path = tmp_path / f"{name.replace('/', ' ')}.{kind}"
        write(path, list(records))
        items, said = read_items([path.name], Context(base=tmp_path))
        assert not said, name
        prompts = pa.array([prompt for prompt, _ in rows])
        fulls = pa.array(["\n".join(pair) for pair in rows])
        missed = set(range(len(rows))) - set(leaks(prompts, fulls, parts_of(items)).row.tolist())
        if missed:
            lost[name] = (missed, items[0])
    assert not lost


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"question": {"stem": "S?", "choices": [{"label": "1", "text": "u"}, {"label": "2", "text": "v"}]},
          "answerKey": "2"}, [("S?", "", ("u", "v"), "v")]),
        ({"article": "P", "questions": ["Q?", "R?"], "options": [["a", "b"], ["c", "d"]], "answers": ["B", "A"]},
         [("Q?", "P", ("a", "b"), "b"), ("R?", "P", ("c", "d"), "c")]),
        ({"story": "P", "questions": [{"input_text": "Q?"}], "answers": [{"input_text": "x"}]}, [("Q?", "P", (), "x")]),
        ([["p", "r"], [{"question": "Q?", "choice": ["a", "b"], "answer": "b"}], "7-1"],
         [("Q?", "p\nr", ("a", "b"), "b")]),
        ({"question": "Q?", "options": "(A) red (B) dark blue", "correct": "B"},
         [("Q?", "", ("red", "dark blue"), "dark blue")]),
        ({"question": "Q?", "options": "A. 红\nB. 蓝", "answer": "A"}, [("Q?", "", ("红", "蓝"), "红")]),
        ({"question": "Q?", "options": '["x", "y"]', "answer": "1"}, [("Q?", "", ("x", "y"), "y")]),
        ({"sentence": "S _", "option1": "a", "option2": "b", "answer": "1"}, [("S _", "", ("a", "b"), "a")]),
        ({"ctx": "C", "endings": ["a", "b"], "label": "1"}, [("", "C", ("a", "b"), "b")]),
        ({"question": "Q?", "mc1_targets": {"choices": ["a", "b"], "labels": [0, 1]}}, [("Q?", "", ("a", "b"), "b")]),
        ({"Question": "Q?", "Correct Answer": "r", "Incorrect Answer 1": "s", "Incorrect Answer 2": "t"},
         [("Q?", "", ("r", "s", "t"), "r")]),
        ({"doc_id": 1, "doc": {"question": "Q?", "choices": ["a", "b"], "answer": 1}}, [("Q?", "", ("a", "b"), "b")]),
        ({"input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q?"}], "target": "x"},
         [("Q?", "", (), "x")]),
        ({"题目": "问？", "选项": ["甲", "乙"], "答案": "B"}, [("问？", "", ("甲", "乙"), "乙")]),
        ({"translation": {"en": "One.", "zh": "一。"}}, [("", "One.\n一。", (), "")]),
        ({"question": "How many?", "choices": ["10", "1"], "answer": "1"}, [("How many?", "", ("10", "1"), "1")]),
    ],
)  # fmt: skip
def test_what_is_read(tmp_path, record, wanted):
    write(tmp_path / "e.jsonl", [record])
    assert [i[1:5] for i in read_items(["e.jsonl"], Context(base=tmp_path))[0]] == wanted
