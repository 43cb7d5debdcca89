import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from instdata.corpus.taxonomy import Taxonomy, load_taxonomy
from instdata.steps.ability.step import Categorize, fit, label
from instdata.steps.ability.training_examples import labelled
from instdata.steps.base import Scores
from instdata.util.build_context import Context
from instdata.util.errors import InputError
from tests.ability.ability_rows import rows_of

TASKS = [
    ("把下面的句子翻译成英语：今天天气很好。", "The weather is nice today.", None),
    ("Translate the following sentence into French: I am hungry.", "J'ai faim.", None),
    ("写一个 Python 函数，反转一个字符串。", "```python\ndef f(s):\n    return s[::-1]\n```", None),
    ("请用一句话概括下面这段文字：……", "概括。", "summarization"),
    ("小明有 12 个苹果，吃了 5 个，还剩几个？", None, None),
]


@pytest.fixture(scope="session")
def belle() -> Context:
    return Context(taxonomy=load_taxonomy("belle"))


def apply(step: Categorize, rows) -> dict:
    scored = step.score(rows)
    table = pa.table({k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in scored.items()})
    verdicts = step.decide(Scores(table))
    assert verdicts.reason.null_count == len(rows)
    return {**table.to_pydict(), **{k: v.to_pylist() for k, v in verdicts.set.items()}}


def test_the_taxonomy_alone_is_enough(belle):
    said = []
    rows = rows_of(TASKS, Context(taxonomy=belle.taxonomy, say=said.append))
    step = Categorize(name="categorize").resolve(belle)
    assert step.method == "learned"
    assert not step.check(belle)
    got = apply(step, rows)
    assert got["label"][:3] == ["translation", "translation", "code"]
    assert got["ability"][3] == "summarization"
    assert got["ability_confidence"][3] == 1.0
    assert len(said) == 1 and "examples of the taxonomy" in said[0]


def test_thresholds_only_re_decide(belle):
    rows = rows_of(TASKS, belle)
    strict = apply(Categorize(min_confidence=1.0), rows)
    assert strict["ability"] == ["unknown", "unknown", "unknown", "summarization", "unknown"]
    assert all(c < 1 for c in np.delete(strict["ability_confidence"], 3))
    override = apply(Categorize(min_confidence=0, min_precision=0, override=True), rows)
    assert override["ability"] == override["label"]
    one, other = Categorize(min_confidence=0.1), Categorize(min_confidence=0.9)
    assert one.scoring(belle) == other.scoring(belle)


def test_any_taxonomy_works_without_code(tmp_path):
    taxonomy = Taxonomy.model_validate(
        {"name": "pets", "abilities": [{"name": "cats", "description": "c"}, {"name": "dogs", "description": "d"}]}
    )
    train = tmp_path / "train.jsonl"
    pairs = [
        ("how do cats purr", "Cats"),
        ("why do cats sleep", "CATS"),
        ("how do dogs bark", "dogs"),
        ("why do dogs dig", "dogs"),
        ("x", "fish"),
    ]
    train.write_text("".join(json.dumps({"q": q, "class": a}) + "\n" for q, a in pairs))
    context = Context(taxonomy=taxonomy, base=tmp_path)
    step = Categorize(
        train={"path": "train.jsonl", "map": {"instruction": "q", "ability": "class"}},
        min_confidence=0,
        min_precision=0,
    )
    assert not step.check(context)
    got = apply(step, rows_of([("do cats jump", None, None), ("do dogs jump", None, None)], context))
    assert got["ability"] == ["cats", "dogs"]
    before = step.scoring(context)
    train.write_text(train.read_text().replace("purr", "jump"))
    assert step.scoring(context) != before


def test_bad_training_data_is_one_clear_line(tmp_path, belle):
    pets = Taxonomy.model_validate(
        {"name": "pets", "abilities": [{"name": "cats", "description": "c"}, {"name": "dogs", "description": "d"}]}
    )
    context = Context(taxonomy=pets, base=tmp_path)
    with pytest.raises(InputError, match='all 2 labelled rows are "cats"'):
        Categorize().score(rows_of([("a", "b", "cats"), ("b", "c", "cats")], context))
    with pytest.raises(InputError, match="no labelled row"):
        Categorize().score(rows_of([("a", "b", None)], context))
    for labels, says in ((["math"] * 3, 'all 3 labelled rows are "math"'), (["?"] * 3, "no row has a label")):
        (tmp_path / "one.jsonl").write_text("".join(json.dumps({"prompt": "x", "kind": a}) + "\n" for a in labels))
        step = Categorize(train={"path": "one.jsonl", "map": {"ability": "kind"}})
        with pytest.raises(InputError, match=says):
            step.score(rows_of([("a", "b", None)], Context(taxonomy=belle.taxonomy, base=tmp_path)))
    missing = Categorize(train={"path": "gone.jsonl"})
    assert "gone.jsonl" in missing.check(context)[0]


@pytest.mark.parametrize("method", ["rules", "embedding"])
def test_other_methods_without_a_network(belle, method):
    if method == "embedding":
        pytest.importorskip("wordllama")
    step = Categorize(method=method, min_confidence=0, min_precision=0)
    assert not step.check(belle)
    got = apply(step, rows_of(TASKS, belle))
    assert got["ability"][1] == "translation"
    assert all(0 <= c <= 1 for c in got["confidence"])


def test_a_missing_extra_is_a_line_to_type(belle, monkeypatch):
    monkeypatch.setattr("instdata.steps.ability.options.find_spec", lambda name: None)
    for step, extra in ((Categorize(method="embedding"), "embed"), (Categorize(teacher="llm", model="x"), "generate")):
        assert f"pip install 'instdata[{extra}]'" in step.check(belle)[0]
    assert not Categorize(method="learned").check(belle)
    assert Categorize(method="rules").check(Context()) == ["needs taxonomy: in the recipe"]


@pytest.mark.parametrize(
    "options", [{"method": "llm"}, {"method": "cascade", "ask_below": 1.0}, {"teacher": "llm", "sample": 2}]
)
def test_a_language_model_labels_through_the_one_client(belle, tmp_path, monkeypatch, options):
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from llm.server import running

    said = []
    context = Context(taxonomy=belle.taxonomy, cache=tmp_path, say=said.append)
    with running(fixed='{"ability": "Math"}') as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        step = Categorize(**options, min_confidence=0, min_precision=0, model="m")
        got = apply(step, rows_of(TASKS, context))
        before = server.stats()["requests"]
        assert apply(step, rows_of(TASKS, context)) == got
        assert server.stats()["requests"] == before  # answered by the cache
    assert got["ability"][3] == "summarization"
    if "teacher" in options:
        assert "agreement with the teacher" in said[0] and before == 2
    else:
        assert [got["ability"][i] for i in (0, 1, 2, 4)] == ["math"] * 4
        assert 0 < got["confidence"][0] < 0.3  # it says math of everything: one label in twelve is right


def test_same_bytes_for_any_number_of_threads(belle, monkeypatch):
    tasks = [(f"{t} {i}", r, "code" if "Python" in t else a) for i in range(400) for t, r, a in TASKS]
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        results.append(apply(Categorize(), rows_of(tasks, belle)))
    assert results[0] == results[1]


def test_an_answer_that_cannot_be_used_is_unknown(belle, tmp_path, monkeypatch):
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from llm.server import running

    with running(fixed="no idea") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        step = Categorize(method="llm", min_confidence=0, min_precision=0, model="m")
        got = apply(step, rows_of(TASKS, Context(taxonomy=belle.taxonomy, cache=tmp_path)))
    assert got["ability"] == ["unknown", "unknown", "unknown", "summarization", "unknown"]


def test_many_labelled_rows_are_thinned_evenly(belle, monkeypatch):
    from instdata.steps.ability import training_examples as examples

    monkeypatch.setattr(examples, "MAX_ROWS", 60)
    tasks = [(f"{t} {i}", r, "code" if i % 10 else "math") for i in range(100) for t, r, _ in TASKS[:2]]
    found = examples.labelled(rows_of(tasks, Context(taxonomy=belle.taxonomy)), None)
    assert len(found.labels) == 60
    assert {found.classes[k] for k in found.labels} >= {"code", "math"}
    got = apply(Categorize(), rows_of(tasks, belle))
    assert set(got["ability"]) == {"code", "math"} and set(got["ability_confidence"]) == {1.0}


def test_hostile_text_costs_no_more_than_its_length(belle):
    import time

    big = [
        "a" * 1_000_000,
        "字" * 300_000,
        "\n" * 1_000_000,
        "((((" * 250_000,
        "\U0010ffff" * 250_000,
        "\u202e\u0301" * 200_000,
    ]
    rows = rows_of([(f"{b}x", b, None) for b in big], belle)
    examples = labelled(rows, None)
    model = fit(Categorize(method="learned"), belle, examples)
    began = time.perf_counter()
    label(model, examples, rows, "")
    assert time.perf_counter() - began < 5


def test_what_a_plan_expects_to_ask(belle):
    pytest.importorskip("openai")
    rows = rows_of(TASKS, belle)
    said = {"model": "gpt-4o-mini"}
    assert Categorize().estimate(rows) is None
    every = Categorize(method="llm", **said).estimate(rows)
    assert (every["requests"], every["every_row"]) == (4, True)  # one of the five has a label
    assert every["usd"] > 0
    assert Categorize(method="llm", override=True, **said).estimate(rows)["requests"] == 5
    assert Categorize(teacher="llm", sample=2, **said).estimate(rows)["requests"] == 2
    assert Categorize(method="cascade", ask_below=1.0, **said).estimate(rows)["requests"] == 4
    assert Categorize(method="cascade", ask_below=0.0, **said).estimate(rows)["requests"] == 0


def test_an_ability_whose_labels_would_be_wrong_too_often_is_cut_until_they_are_not():
    table = pa.table(
        {
            "label": ["a"] * 4 + ["b"] * 2 + ["a"],
            "confidence": pa.array([0.95, 0.9, 0.7, 0.55, 0.7, 0.6, 0.1], pa.float32()),
            "given": pa.array([None] * 6 + ["b"], pa.string()),
            "_asked_for": [False] * 7,
        }
    )
    said = Categorize().decide(Scores(table)).set["ability"].to_pylist()
    assert said == ["a", "a", "a", "unknown", "unknown", "unknown", "b"]  # (.95 + .9 + .7) / 3 > .8 > with .55
    said = Categorize(min_precision=0).decide(Scores(table)).set["ability"].to_pylist()
    assert said == ["a", "a", "a", "a", "b", "b", "b"]


def test_six_examples_label_nothing_and_say_so():
    said = []
    example = {"cats": ["how do cats purr", "why do cats sleep", "do cats jump"]}
    example["dogs"] = [e.replace("cats", "dogs") for e in example["cats"]]
    abilities = [
        {"name": n, "description": n, "examples": [{"instruction": e} for e in es]} for n, es in example.items()
    ]
    taxonomy = Taxonomy.model_validate({"name": "pets", "abilities": abilities})
    rows = rows_of([(f"why do cats {w}", None, None) for w in "abcdefgh"], Context(taxonomy=taxonomy, say=said.append))
    assert set(apply(Categorize(), rows)["ability"]) == {"unknown"}
    assert "6 examples are too few" in said[0] and "nan" not in said[0]


def test_a_taxonomy_without_examples_is_one_line():
    taxonomy = Taxonomy.model_validate(
        {"name": "p", "abilities": [{"name": "a", "description": "a"}, {"name": "b", "description": "b"}]}
    )
    with pytest.raises(InputError, match="there is no labelled row") as e:
        Categorize().score(rows_of([("x", None, None)], Context(taxonomy=taxonomy)))
    assert len(str(e.value).splitlines()) == 1


def test_labels_do_not_depend_on_how_rows_are_batched(belle, monkeypatch):
    from instdata.corpus.rows import Rows

    rows = rows_of([(f"{t} {i}", r, a) for i in range(5) for t, r, a in TASKS], belle)
    whole = apply(Categorize(), rows)
    batches = Rows.batches
    monkeypatch.setattr(Rows, "batches", lambda self, rows=3, columns=None: batches(self, 3, columns))
    assert apply(Categorize(), rows) == whole


def test_what_belongs_to_no_ability_is_learned_and_unknown(belle):
    nowhere = [
        ("按拼音首字母给这些城镇排序。\n\n宁波、安康、大连", None, None),
        ("Sort these towns alphabetically.\n\nYork, Bath, Ely", None, None),
    ]
    rows = rows_of([*nowhere, *TASKS[:3]], belle)
    got = apply(Categorize(), rows)
    assert got["label"] == ["unknown", "unknown", "translation", "translation", "code"]
    assert got["ability"][:2] == ["unknown", "unknown"]
    assert "unknown" in labelled(rows, None, none=True).classes
    assert "unknown" not in apply(Categorize(method="rules"), rows)["label"]  # it goes by the abilities' own names


def test_a_set_with_labels_of_its_own_says_itself_what_it_holds(belle):
    assert "unknown" not in labelled(rows_of([("Sing a song.", None, "generation")], belle), None, none=True).classes
