"""select: what each method takes first, that order and files say nothing, decisions from scores alone, and errors."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from instdata.steps.base import Scores
from instdata.steps.select.ranking import nearest, places
from instdata.steps.select.step import Select
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached
from tests.conftest import rows
from tests.harness.conftest import byte_tokenizer, run, tiny_net
from tests.quality.test_step import corpus

SUMS = [(f"What is {i} plus {i}?", f"It is {i + i}.") for i in range(12)]
TALES = [(f"Tell of knight number {i}", "Once upon a time a knight rode out into the dark wood.") for i in range(12)]


def chosen(step, pairs, context=None, abilities=None):
    """The numbers of the rows that the step keeps."""
    found = corpus(pairs, abilities, context or Context())
    table = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in step.score(found).items()}
    reason = step.decide(Scores(pa.table(table))).reason.to_pylist()
    return [i for i, r in enumerate(reason) if r is None]


@pytest.fixture(scope="session")
def context(tmp_path_factory):
    """A recipe's folder with sums.jsonl, what is chosen for, and tiny/, a model."""
    pytest.importorskip("transformers")
    home = tmp_path_factory.mktemp("select")
    tiny_net().save_pretrained(home / "tiny")
    byte_tokenizer().save_pretrained(home / "tiny")
    lines = [{"question": f"What is {i} plus {i + 1}?", "answer": f"It is {2 * i + 1}."} for i in range(30, 54)]
    (home / "sums.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return Context(base=home, cache=home / "cache")


def test_longest_takes_the_longest_answers_and_never_none():
    pairs = [("a", "short"), ("b", "a longer answer"), ("c", None), ("d", "the longest answer of them all")]
    assert chosen(Select(method="longest", keep="2"), pairs) == [1, 3]
    assert chosen(Select(method="longest", keep="100%"), pairs) == [0, 1, 3]


def test_random_depends_on_the_seed_alone():
    step = Select(method="random", keep="25%")
    first = chosen(step, SUMS + TALES, Context(seed=1))
    assert len(first) == 6 and first == chosen(step, SUMS + TALES, Context(seed=1))
    assert first != chosen(step, SUMS + TALES, Context(seed=2))


def test_per_ability_keeps_a_share_of_each():
    labels = ["sums"] * 12 + ["tales"] * 12
    found = chosen(Select(method="longest", keep="25%", per="ability"), SUMS + TALES, abilities=labels)
    assert [sum(i < 12 for i in found), len(found)] == [3, 6]


@pytest.mark.parametrize("method", ["rds", "target_loss"])
def test_a_target_draws_rows_like_it(context, method):
    step = Select(method=method, query="sums.jsonl", keep="50%", model="tiny", max_tokens=128)
    found = chosen(step, SUMS + TALES, context)
    assert sum(i < 12 for i in found) >= 10, found
    assert found == chosen(step, SUMS + TALES, context)


def test_embed_goes_by_the_nearest_query(context, monkeypatch):
    from instdata.steps.dedup import embeddings

    def words(batch):
        return np.array([[t.count("plus") + 0.01, t.count("knight") + 0.01, 0.01 * len(t)] for t in batch], np.float32)

    monkeypatch.setattr(embeddings, "_encoder", lambda model: words)
    assert chosen(Select(method="embed", query="sums.jsonl", keep="50%"), TALES + SUMS, context) == list(range(12, 24))


def test_ifd_of_one_and_more_comes_last(monkeypatch):
    from instdata.steps.quality import perplexity_and_ifd as model

    monkeypatch.setattr(model, "score", lambda *a: {"ifd": np.array([0.2, 1.3, 0.9, 0.5], np.float32)})
    monkeypatch.setattr(model, "digest", lambda *a: "x")
    assert chosen(Select(method="ifd", keep="2"), SUMS[:4]) == [2, 3]
    assert chosen(Select(method="ifd", keep="3"), SUMS[:4]) == [0, 2, 3]


def test_rows_without_a_score_are_counted_and_stop_the_build():
    step, n = Select(method="ifd", keep="50%"), 40

    def decided(missing):
        score = np.where(np.arange(n) < missing, np.nan, 0.5).astype(np.float32)
        columns = {"score": score, "_place": np.arange(n), "_answered": np.ones(n, bool), "_ability": ["x"] * n}
        return step.decide(Scores(pa.table(columns))).reason.to_pylist()

    assert decided(2).count("no_score") == 2 and decided(2).count(None) == 19
    with pytest.raises(BudgetReached, match="3 of 40 answered rows got no score"):
        decided(3)


ids = st.lists(st.integers(0, 2**60), min_size=1, max_size=30, unique=True)


@settings(max_examples=60, deadline=None)
@given(ids, st.integers(0, 10**6), st.booleans())
def test_the_order_of_rows_says_nothing(numbers, seed, targeted):
    rng = np.random.default_rng(seed)
    names = pa.array([f"{i:032x}" for i in numbers])
    score = rng.integers(0, 3, len(numbers)).astype(float)  # many ties
    vectors, queries = rng.integers(0, 2, (len(numbers), 3)).astype(np.float32), np.eye(3, dtype=np.float32)
    shuffled = rng.permutation(len(numbers))
    take = names.take(pa.array(shuffled))
    if targeted:
        found, again = nearest(vectors, queries, names)[1], nearest(vectors[shuffled], queries, take)[1]
    else:
        found, again = places(score, names), places(score[shuffled], take)
    assert (found[shuffled] == again).all()
    assert sorted(found.tolist()) == list(range(len(numbers)))


def test_twins_tie_whatever_the_threads():
    """Equal rows at other places of a matrix get other last digits from BLAS; the order must not see them."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3001, 256)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    twice = np.concatenate([rows, rows])
    names = pa.array([f"{i * 7919 % 6007:032x}" for i in range(len(twice))])
    score, place = nearest(twice, rows[:16] * np.float32(1), names)
    assert (score[: len(rows)] == score[len(rows) :]).all()
    assert (np.abs(place[: len(rows)] - place[len(rows) :]) < 40).all()  # beside each other, but for chance ties


def test_queries_take_turns():
    """One query with many near rows does not fill the selection: the other one's nearest row comes second."""
    vectors = np.array([[1, 0], [0.99, 0.14], [0.98, 0.2], [0.6, 0.8]], np.float32)
    score, place = nearest(vectors, np.eye(2, dtype=np.float32), pa.array([f"{i:032x}" for i in range(4)]))
    assert place.tolist() == [0, 2, 3, 1]
    assert np.allclose(score, [1, 0.99, 0.98, 0.8])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "rds", "keep": "10%"}, "give query"),
        ({"method": "random", "query": "x.jsonl", "keep": "10%"}, "leave query out"),
        ({"method": "longest", "model": "x", "keep": "10%"}, "leave model out"),
        ({"method": "longest", "keep": "a lot"}, "not a size"),
        ({"method": "longest", "keep": True}, "keep"),
        ({"method": "longest"}, "keep"),
        ({"method": "best", "keep": "10%"}, "method"),
    ],
)
def test_options_that_do_not_fit(options, said):
    with pytest.raises(ValidationError, match=said):
        Select(**options)


def test_in_a_recipe(bench):
    """Counted by reason, with the place that a row had as evidence."""
    import pyarrow.parquet as pq

    bench.jsonl("a.jsonl", rows(20))
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=[{"select": {"method": "random", "keep": "30%"}}])
    step = done.manifest["steps"][0]
    assert (step["kept"], step["reasons"]) == (6, {"not_selected": 14})
    ledger = pq.read_table(bench.folder / "out" / "ledger.parquet").to_pylist()
    shown = [json.loads(r["evidence"]) for r in ledger if r["verdict"] == "dropped"]
    assert sorted(e["place"] for e in shown) == list(range(7, 21)) and {e["rule"] for e in shown} == {"random"}
    assert all(0 <= r["score_select_score"] <= 1 for r in ledger)


def test_what_is_missing_is_told_with_exit_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(5)))
    text = "name: x\nsources: [{path: a.jsonl}]\nsteps:\n  - select: "
    (tmp_path / "r.yaml").write_text(text + "{method: rds, query: nowhere.jsonl, keep: 10%, model: ./nothing}\n")
    errors = [e["message"] for e in run("validate r.yaml", 2)["errors"]]
    assert any("nowhere.jsonl" in e for e in errors) and any("./nothing" in e for e in errors), errors
    (tmp_path / "r.yaml").write_text(text + "{method: rdz, keep: 10%}\n")
    assert run("validate r.yaml", 2)["errors"]
