"""Who is mistaken for whom, from a ledger; and the labels of generated rows."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from instdata.corpus.taxonomy import load_taxonomy
from instdata.steps.ability.confusion import confusion
from instdata.steps.ability.step import Categorize
from instdata.steps.ability.training_examples import labelled
from instdata.steps.base import Scores
from instdata.util.build_context import Context
from tests.ability.ability_rows import rows_of

STEPS = {"steps": [{"name": "make", "kind": "generate"}, {"name": "c", "kind": "categorize"}]}


def ledger(given, label, source):
    db = duckdb.connect()
    db.from_arrow(pa.table({"score_c_given": given, "score_c_label": label, "source": source})).create_view("ledger")
    return db


def test_confusion_counts_what_people_labelled():
    given = pa.array(["a", "a", "a", "b", None, "b", "a"], pa.string())
    label = pa.array(["a", "b", "a", "b", "a", "unknown", "b"], pa.string())
    source = pa.array(["x", "x", "x", "x", "x", "x", "make"])
    found = confusion(ledger(given, label, source), STEPS)
    assert found == {"step": "c", "abilities": ["a", "b"], "rows": [[2, 1], [0, 1]], "n": 4, "agreement": 0.75}


def test_no_confusion_without_labels():
    nothing, label = pa.nulls(2, pa.string()), pa.array(["a", "b"])
    assert confusion(ledger(nothing, label, label), STEPS) is None
    assert confusion(None, {"steps": [{"name": "q", "kind": "quality"}]}) is None


TASKS = [
    ("Translate the following sentence into French: I am hungry.", "J'ai faim.", "translation"),
    ("写一个 Python 函数，反转一个字符串。", "```python\ndef f(s):\n    return s[::-1]\n```", "translation"),
    ("写一个 Python 函数，求和。", "```python\ndef f(s):\n    return sum(s)\n```", "code"),
]


@pytest.fixture
def generated():
    context = Context(taxonomy=load_taxonomy("belle"))
    rows = rows_of(TASKS, context)
    meta = pa.array(['{"generate": {"round": 0}}', '{"generate": {"round": 0}}', '{"note": 1}'])
    rows.table = rows.table.set_column(rows.table.schema.get_field_index("meta"), "meta", meta)
    return rows


def decided(step, rows):
    scored = step.score(rows)
    table = pa.table({k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in scored.items()})
    return table, step.decide(Scores(table)).set


def test_what_a_generator_was_asked_for_is_checked_not_believed(generated):
    table, said = decided(Categorize().resolve(generated.context), generated)
    model = np.asarray(table["confidence"])
    assert table["label"].to_pylist() == ["translation", "code", "code"]
    assert said["ability"].to_pylist() == ["translation", "translation", "code"]  # kept
    sure = said["ability_confidence"].to_pylist()
    assert sure == pytest.approx([model[0], 1 - model[1], 1.0])
    assert sure[1] < 0.5 < sure[0] < 1


def test_nothing_is_learned_from_what_a_generator_was_asked_for(generated):
    assert labelled(generated, None).row.max() == 2
    assert set(labelled(generated, None).row.tolist()) == {-1, 2}


def test_override_replaces_generated_labels_too(generated):
    table, said = decided(
        Categorize(override=True, min_confidence=0, min_precision=0).resolve(generated.context), generated
    )
    assert said["ability"].to_pylist() == table["label"].to_pylist()


def printed(monkeypatch, capsys, names, rows):
    from types import SimpleNamespace

    from instdata.cli import output as show

    total = sum(map(sum, rows))
    found = {"step": "c", "abilities": names, "rows": rows, "n": total, "agreement": 0.5}
    table = [{"ability": n, "after": 2, "precision": None if n == "unknown" else 0.75} for n in [*names, "unknown"]]
    monkeypatch.setattr(show, "labels", lambda done: {"abilities": table, "confusion": found})
    monkeypatch.setenv("COLUMNS", "80")
    full = {"rows": 2 * len(table), "by_ability": {a["ability"]: 2 for a in table}}
    totals = dict.fromkeys(("in", "generated", "kept", "dropped", "quarantined"), 0)
    from pathlib import Path

    done = SimpleNamespace(
        manifest={"configs": {"full": full}, "totals": totals}, run={"seconds": 1}, changed=True, path=Path("nowhere")
    )
    show.build_summary(done)
    return capsys.readouterr().out.splitlines()


def test_the_terminal_shows_labels_and_who_is_mistaken_for_whom(monkeypatch, capsys):
    lines = printed(monkeypatch, capsys, ["math", "code"], [[5, 1], [0, 7]])
    assert any(line.split() == ["math", "2", "33.3", "%", "0.75", "0"] for line in lines)
    assert any(line.startswith("precision: ") for line in lines)
    assert "33.3 % of the rows have no known ability" in lines
    assert any(line.split() == ["1", "math", "5", "1"] for line in lines)
    assert any(line.split() == ["2", "code", "7"] for line in lines)
    assert "50.0 % of the 13 labels that came agree" in lines
    assert max(map(len, lines)) <= 80


def test_a_matrix_too_wide_becomes_its_worst_pairs(monkeypatch, capsys):
    names = [f"ability {i}" for i in range(40)]
    rows = [[3 * (i == j) + 9 * (i == 1 and j == 2) for j in range(40)] for i in range(40)]
    lines = printed(monkeypatch, capsys, names, rows)
    assert any(line.split() == ["ability", "1", "ability", "2", "9"] for line in lines)
    assert max(map(len, lines)) <= 80
