"""What scores, digests and answers are kept under: everything that shaped them, and nothing that failed or broke."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from instdata.corpus.rows import Rows
from instdata.corpus.taxonomy import load_taxonomy
from instdata.llm.endpoint import endpoint, server
from instdata.llm.local_models import MODELS
from instdata.llm.request_cache import Store
from instdata.steps import base as steps
from instdata.steps.ability.llm import taught
from instdata.steps.ability.step import Categorize, key
from instdata.steps.ability.training_examples import Examples, labelled
from instdata.steps.base import RewriteStep, Rewritten, Scope, Scores, Step, Verdicts
from instdata.steps.dedup import embeddings
from instdata.steps.generate.step import Generate
from instdata.steps.quality import classifier
from instdata.steps.quality.perplexity_and_ifd import CausalModel, digest
from instdata.steps.quality.step import Quality
from instdata.steps.verify.step import Verify
from instdata.util.build_context import Context
from instdata.util.errors import BudgetReached, InputError
from instdata.util.output_files import claimed
from tests.ability.ability_rows import rows_of
from tests.conftest import Bench, rows
from tests.loopback import answering, said


class Flaky(Step):
    """Raises on one row, while it is broken."""

    kind: ClassVar[str] = "flaky"
    broken: ClassVar[bool] = True

    def score(self, rows: Rows) -> dict[str, Any]:
        if Flaky.broken and "boom" in rows.prompt.to_pylist():
            raise RuntimeError("boom")
        return {"length": pc.utf8_length(rows.prompt)}


class Shouted(RewriteStep):
    """Answers in capitals; raises with Flaky."""

    kind: ClassVar[str] = "shouted"

    def rewrite(self, rows: Rows) -> Rewritten:
        if Flaky.broken and "boom" in rows.prompt.to_pylist():
            raise RuntimeError("boom")
        turns = [[{**t, "content": t["content"].upper()} for t in m] for m in rows.messages.to_pylist()]
        at = np.arange(len(rows))
        return Rewritten(at, pa.array(turns, rows.messages.type), [[{"kind": "shout"}] for _ in at])


class Reader(Step):
    """Publishes what an earlier step scored."""

    kind: ClassVar[str] = "reader"
    reads_scores: ClassVar[bool] = True

    def score(self, rows: Rows) -> dict[str, Any]:
        return {"seen": rows.scores["score_flaky_length"]}


class Sure(Step):
    """Labels every row, as sure as it is told."""

    kind: ClassVar[str] = "sure"
    scope: ClassVar[Scope] = "corpus"
    confidence: float = 1.0

    def score(self, rows: Rows) -> dict[str, Any]:
        sure = np.full(len(rows), self.confidence, np.float32)
        none = pa.nulls(len(rows), pa.string())
        return {"label": pa.array(["math"] * len(rows)), "confidence": sure, "given": none}

    def decide(self, scores: Scores) -> Verdicts:
        return Verdicts(pa.nulls(len(scores), pa.string()), set={"ability": scores.column("label").combine_chunks()})


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The steps above under their kinds."""
    own = {c.kind: EntryPoint(c.kind, f"{__name__}:{c.__name__}", steps.GROUP) for c in (Flaky, Shouted, Reader, Sure)}
    known = {**steps.kinds(), **own}
    monkeypatch.setattr(steps, "kinds", lambda: known)
    monkeypatch.setattr("instdata.recipe.load.kinds", lambda: known)
    monkeypatch.setattr(Flaky, "broken", True)
    steps.step_class.cache_clear()
    yield
    steps.step_class.cache_clear()


@pytest.fixture
def judges() -> Iterator[Callable[[Callable[[str], str | None]], tuple[str, list[str]]]]:
    """`judges(says)`: the address of a server on loopback, and the prompts that it was asked. None: refused."""
    pytest.importorskip("openai")
    with ExitStack() as opened:

        def serve(says: Callable[[str], str | None]) -> tuple[str, list[str]]:
            prompts: list[str] = []

            def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
                prompts.append(body["messages"][-1]["content"])
                text = says(prompts[-1])
                return (
                    (400, {"error": {"code": "content_filter", "message": "filtered"}}) if text is None else said(text)
                )

            return opened.enter_context(answering(answer))[0], prompts

        yield serve


def ledger(build: Any) -> list[dict[str, Any]]:
    found = pq.read_table(build.path / "ledger.parquet").to_pylist()
    return sorted(found, key=lambda r: int(r["rid"].split(":")[1]))


# ---------------------------------------------------------------- what failed


def test_what_comes_after_sees_what_a_row_that_raised_scored_later(bench: Bench, mine: None) -> None:
    bench.jsonl("a.jsonl", [*rows(10), {"instruction": "boom", "output": "x"}])
    recipe = {"sources": [{"path": "a.jsonl"}], "steps": ["flaky", "reader", "shouted"]}
    assert ledger(bench.build("one", **recipe))[10]["verdict"] == "quarantined"
    Flaky.broken = False
    bench.build("again", **recipe)
    mended = ledger(bench.build("again", **recipe))[10]
    assert (mended["verdict"], mended["score_reader_seen"], mended["score_shouted_edits"]) == ("kept", 4, "shout")
    answers = [m[-1]["content"] for m in pq.read_table(bench.folder / "again/data")["messages"].to_pylist()]
    assert len(answers) == 11 and all(a == a.upper() for a in answers)


def test_a_row_that_got_no_verdict_is_asked_about_again(bench: Bench, judges: Any) -> None:
    refused: list[str] = ["item number 3 ", "item number 4 "]
    url, asked = judges(lambda text: None if any(r in text for r in refused) else '{"quality": 5}')
    bench.jsonl("a.jsonl", rows(10))

    def build(out: str, **more: Any) -> Any:
        judge = {"llm": {"model": "m", "scales": ["quality"], "base_url": url}, "min": {"llm_quality": 3}, **more}
        return bench.build(out, sources=[{"path": "a.jsonl"}], steps=[{"quality": judge}])

    with pytest.raises(BudgetReached, match="2 of 10 rows have no llm_quality.*Mend that and run again"):
        build("one")
    refused.pop()
    some = build("some", max_missing=0.1)
    assert len(asked) == 12, "two more: those without a verdict"
    assert [r["reason"] for r in ledger(some)].count("no_llm_quality") == 1
    refused.pop()
    assert build("all").manifest["totals"]["kept"] == 10 and len(asked) == 13
    build("all", max_missing=0.2)
    assert len(asked) == 13, "all were answered"


def test_a_label_that_nobody_gave_is_asked_for_again(judges: Any, tmp_path: Path) -> None:
    refused = ["Sing"]
    url, _ = judges(lambda text: None if refused and refused[0] in text else '{"ability": "code"}')
    said: list[str] = []
    context = Context(taxonomy=load_taxonomy("belle"), cache=tmp_path, say=said.append)
    tasks = rows_of([("Sing", None, None), ("Code", None, None)], context)
    pupil = Categorize(teacher="llm", model="m", base_url=url, sample=9)
    for missing in (
        Categorize(method="llm", model="m", base_url=url).score(tasks)["_missing"].to_pylist(),
        taught(pupil, tasks, labelled(tasks, None))[1].tolist(),
    ):
        assert [bool(m) for m in missing] == [True, False] and missing[0] == "refused with 400: filtered"
        assert any("got no usable answer: refused with 400" in line for line in said)
    refused.clear()
    found = Categorize(method="llm", model="m", base_url=url).score(tasks)
    assert found["label"].to_pylist() == ["code", "code"] and not any(found["_missing"].to_pylist())


# ---------------------------------------------------------------- what shaped it


def test_another_server_scores_anew(bench: Bench, judges: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (good, _), (bad, asked) = judges(lambda text: '{"quality": 5}'), judges(lambda text: '{"quality": 1}')
    bench.jsonl("a.jsonl", rows(4))

    def kept(**where: str) -> int:
        judge = {"llm": {"model": "m", "scales": ["quality"], **where}, "min": {"llm_quality": 3}}
        content = {"sources": [{"path": "a.jsonl"}], "steps": [{"quality": judge}]}
        return int(bench.build(**content).manifest["totals"]["kept"])

    assert kept(base_url=good) == 4
    with pytest.raises(InputError, match="no row is left"):
        kept(base_url=bad)
    assert len(asked) == 4
    monkeypatch.setenv("OPENAI_BASE_URL", good)
    assert kept() == 4
    monkeypatch.setenv("OPENAI_BASE_URL", bad)
    with pytest.raises(InputError, match="no row is left"):
        kept()


@pytest.mark.parametrize(
    "step",
    [
        Quality(llm={"model": "m"}),
        Categorize(method="llm", model="m"),
        Categorize(teacher="llm", model="m"),
        Verify(model="m"),
        Generate(method="respond", model="m"),
        Generate(method="respond", model="local:smollm2-135m-instruct", judge="m"),
    ],
)
def test_every_step_that_asks_is_kept_under_its_server(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    context, found = Context(taxonomy=load_taxonomy("belle")), []
    for url in ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", "http://me:secret@127.0.0.1:1/v1?key=abc"):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        found.append(json.dumps(step.scoring(context)))
    assert found[0] == found[2] != found[1], "by its address, without what is secret in it"


def test_a_local_model_is_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "smollm2-135m-instruct"
    assert server(f"local:{name}") == f"sha256:{MODELS[name].sha256}" == endpoint(f"local:{name}").base
    (tmp_path / "m.gguf").write_bytes(b"one")
    one = server("local:m.gguf", base=tmp_path)
    assert one == endpoint("local:m.gguf", base=tmp_path).base
    (tmp_path / "m.gguf").write_bytes(b"two")
    assert server("local:m.gguf", base=tmp_path) != one
    step = Verify(model=f"local:{name}")
    before = step.scoring(Context())
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert step.scoring(Context()) == before
    assert Verify(model="m", draws=0).scoring(Context()) == Verify(model="m", draws=0, base_url="x").scoring(Context())


def test_what_is_held_out_goes_by_how_sure_labels_are_now(bench: Bench, mine: None) -> None:
    words = ["river", "stone", "lamp", "garden", "paper", "engine", "cloud", "window", "market", "bridge"]
    bench.jsonl("a.jsonl", [{"instruction": f"{w} {i * 7919} what of it", "output": w} for i, w in enumerate(words)])

    def held(confidence: float) -> int:
        steps_ = [{"sure": {"confidence": confidence}}, {"holdout": {"per_ability": 2}}]
        configs = bench.build(sources=[{"path": "a.jsonl"}], steps=steps_).manifest["configs"]
        return sum(configs.get("holdout", {}).get("by_ability", {}).values())

    assert [held(0.95), held(0.5), held(0.95)] == [2, 0, 2]


def test_the_model_of_the_taxonomy_s_words_goes_by_those_words(tmp_path: Path) -> None:
    form = """name: t
abilities:
  - name: aaa
    description: d{more}
    examples: [{{instruction: "alpha one"}}, {{instruction: "alpha two"}}]
  - name: bbb
    description: d
    examples: [{{instruction: "beta one"}}, {{instruction: "beta two"}}]
"""
    found = []
    for more in ("", "\n    aliases: [zebra]"):
        (tmp_path / "t.yaml").write_text(form.format(more=more))
        context = Context(taxonomy=load_taxonomy("./t.yaml", tmp_path), cache=tmp_path / "cache")
        task = rows_of([("zebra zebra please", None, None)], context)
        step = Categorize(method="rules", min_confidence=0)
        found.append((key(step, labelled(task, None), context), step.score(task)["confidence"].tolist()))
    assert found[0][0] != found[1][0]


def test_an_encoder_in_a_folder_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "enc").mkdir()
    step, context = Categorize(method="embedding", encoder="enc"), Context(base=tmp_path)
    empty = pa.array([], pa.string())
    none = Examples(empty, empty, np.empty(0, np.int64), [], np.empty(0, np.int64), np.empty(0, bool), {})
    found = []
    for weights in ("one", "two"):
        (tmp_path / "enc" / "w").write_text(weights)
        found.append((key(step, none, context), json.dumps(step.scoring(context))))
    assert found[0][0] != found[1][0] and found[0][1] != found[1][1]


# ---------------------------------------------------------------- digests


def test_all_of_the_weights_count(tmp_path: Path) -> None:
    found = []
    for middle in (b"\0", b"\1"):
        (tmp_path / "w.safetensors").write_bytes(b"h" * (1 << 20) + middle * 9 + b"t" * (1 << 20))
        found.append(digest(CausalModel(path=str(tmp_path)), Context()))
    assert found[0] != found[1]


def test_embeddings_are_of_these_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_encoder", lambda model: lambda batch: np.array([[len(t), 1.0] for t in batch]))

    def vectors(*parts: list[str | None]) -> list[list[float]]:
        return embeddings.embeddings([pa.array(p, pa.string()) for p in parts], embeddings.EMBEDDING, tmp_path).tolist()

    alone = [vectors(["ab"], ["c"]), vectors(["a"], ["bc"]), vectors(["abc"]), vectors(["a\0b"]), vectors(["a", "b"])]
    assert [len(v) for v in alone] == [2, 2, 1, 1, 2] and alone[0] != alone[1]
    assert vectors([None]) != vectors(["\1"]) or len(list((tmp_path / "embeddings").glob("*.npy"))) == 7
    monkeypatch.setattr(embeddings, "versions", lambda: {"numpy": "other"})
    before = len(list((tmp_path / "embeddings").glob("*.npy")))
    vectors(["abc"])
    assert len(list((tmp_path / "embeddings").glob("*.npy"))) == before + 1


# ---------------------------------------------------------------- what broke


def test_a_classifier_that_was_cut_is_trained_again(tmp_path: Path) -> None:
    pytest.importorskip("floret")
    for name, words in (("good", "clear useful answer"), ("bad", "what ever lol")):
        lines = [{"instruction": f"{name} {i}", "output": f"{words} {i}"} for i in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said: list[str] = []
    context = Context(base=tmp_path, cache=tmp_path / "cache", say=said.append)
    options = classifier.Learned(good="good.jsonl", bad="bad.jsonl")
    classifier.classifier(options, context)
    (file,) = (tmp_path / "cache" / "learned").glob("*.bin")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    classifier.classifier(options, context)
    assert file.read_bytes() == whole and said == [
        "quality: learned: the cached classifier is damaged; it is trained again"
    ]
    classifier.classifier(options, context)
    assert len(said) == 1


def test_a_broken_request_cache_is_put_aside_and_said(tmp_path: Path) -> None:
    path, said = tmp_path / "requests.sqlite", list[str]()
    path.write_bytes(b"garbage" * 1000)
    store = Store(tmp_path, said.append)
    store.put("k", "base", "m", "{}", "answer", (1, 0, 1), 5)
    assert store.get("k").response == "answer"  # type: ignore[union-attr]
    store.close()
    assert len(said) == 1 and "requests.sqlite.damaged: requests are asked again" in said[0]
    assert (tmp_path / "requests.sqlite.damaged").read_bytes() == b"garbage" * 1000
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)  # the tables are named on the first page: it opens
    path.write_bytes(data)
    store = Store(tmp_path, said.append)
    assert store.get("k") is None and store.reserve("s", (1, 1, 1), (9, 9, 9)) and store.spent("s") == (1, 1, 1)
    with store.at_once():
        store.put_batch("b", "1")
    assert store.batch_of("b") == "1" and len(said) == 2 and "damaged1" in said[1]
    store.close()


# ---------------------------------------------------------------- beyond


def test_a_filter_sees_the_rows_that_are_left(bench: Bench) -> None:
    bench.jsonl("a.jsonl", [{"instruction": str(i) if i % 2 else f"word {i}", "output": "x"} for i in range(40)])
    numbers, large = {"filter": {"where": "prompt not like 'word%'"}}, {"filter": {"where": "cast(prompt as int) > 9"}}
    content = {"sources": [{"path": "a.jsonl"}], "steps": [{"name": "numbers", **numbers}, {"name": "large", **large}]}
    assert bench.build(**content).manifest["totals"]["kept"] == 15


def test_exports_at_once_are_all_remembered(tmp_path: Path) -> None:
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    with claimed(one) as file:
        file.write(b"1")
        with claimed(other) as second:
            second.write(b"2")
    for path in (one, other):
        with claimed(path) as file:
            file.write(b"again")
        assert path.read_bytes() == b"again"
