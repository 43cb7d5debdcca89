"""Sizes at which things used to end: many shards, columns of more than 2 GiB, more ids than one array of text holds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.build import build, prepare
from instdata.corpus import cached_tables
from instdata.corpus import corpus as core
from instdata.corpus.ladder import ladder, priority
from instdata.corpus.rows import SHARD, bytes_of_ids
from instdata.corpus.subset_options import Subsets
from instdata.corpus.word_codes import Words, ability_codes
from instdata.corpus.write_data_files import write_data
from instdata.steps import run
from instdata.util.build_context import Context
from instdata.util.engine import Engine
from tests.conftest import rows

SHARDS = [400, pytest.param(5000, marks=pytest.mark.slow)]


def shard_file(path, texts):
    """A shard of two turns a row."""
    turns = [[{"role": "user", "content": t}, {"role": "assistant", "content": "Yes."}] for t in texts]
    n = len(texts)
    given = {
        "rid": [f"s/f:{i}" for i in range(n)],
        "id": [f"{i:032x}" for i in range(n)],
        "messages": pa.array(turns, SHARD.field("messages").type),
        "ability": ["math", "code"] * (n // 2) + ["math"] * (n % 2),
        "lang": ["en"] * n,
        "origin": ["human"] * n,
        "source": ["s"] * n,
        "source_file": ["f"] * n,
        "source_row": list(range(n)),
    }
    columns = [pa.array(given[f.name], f.type) if f.name in given else pa.nulls(n, f.type) for f in SHARD]
    cached_tables.write_cached(pa.table(columns, schema=SHARD), path)
    return core.Shard(path, n, 0, path.stem, 1 << 20)


def corpus_of(shards):
    words = Words()
    codes = [ability_codes(cached_tables.read_cached(s.path, ["ability"])["ability"], words) for s in shards]
    return core.Corpus(shards, core.State.fresh(np.concatenate(codes)), Context(), abilities=words)


@pytest.mark.parametrize("count", SHARDS)
def test_what_many_shards_score_is_looked_up_once_a_shard(tmp_path, monkeypatch, count):
    shard = shard_file(tmp_path / "shard.parquet", ["a", "b"])
    corpus = corpus_of([shard] * count)
    cached_tables.write_cached(pa.table({"n": [1, 2], "_hidden": [3, 4]}), tmp_path / "scores.parquet")
    part = core.Part(tmp_path / "scores.parquet", 0, 2, None, "k")
    corpus.sidecars.append(core.Sidecar("step", dict.fromkeys(range(count), part)))
    asked = []
    schema = core._schema
    monkeypatch.setattr(core, "_schema", lambda path: asked.append(path) or schema(path))
    folder = tmp_path / "out"
    folder.mkdir()
    pool = np.arange(corpus.n)
    subsets = ladder(
        corpus.view(pool).id_bytes,
        corpus.state.ability,
        corpus.abilities.words,
        Subsets(by="ability", sizes=["50%"]),
        0,
    )
    configs, entered = write_data(corpus, pool, subsets, folder, Engine())
    assert entered == 2 * count == configs["full"]["rows"]
    assert pq.read_table(folder / "ledger.parquet")["score_step_n"].to_pylist() == [1, 2] * count
    assert len(asked) <= 4 * count  # squared: 160,000 of 400 shards


RECIPE = """
sources: [{{path: {path}, name: mine, format: alpaca}}]
taxonomy: belle
steps: [clean, categorize: {{}}, holdout: {{per_ability: 3}}, dedup: {{}}, decontaminate: {{against: [{path}]}}, quality: {{}}]
subsets: {{by: ability, sizes: [50%]}}
"""


def test_columns_in_pieces_and_evidence_in_pieces_give_the_same_bytes(tmp_path, monkeypatch):
    said = [*rows(40), *rows(3), {"instruction": "Solve 3 + 4", "input": "", "output": "3 + 4 = 8"}]
    for i in range(3):  # several files, several shards
        (tmp_path / f"d{i}.jsonl").write_text("".join(json.dumps(r | {"input": f"of {i}"}) + "\n" for r in said))
    (tmp_path / "exam.jsonl").write_text(json.dumps(rows(1)[0] | {"input": "of 1"}) + "\n")
    recipe = RECIPE.format(path=tmp_path / "d*.jsonl").replace(
        f"[{tmp_path / 'd*.jsonl'}]", f"[{tmp_path / 'exam.jsonl'}]"
    )
    (tmp_path / "r.yaml").write_text(recipe)
    found = []
    for pieces in (False, True):
        if pieces:
            monkeypatch.setattr(core, "ONE_ARRAY", 64)
            monkeypatch.setattr(run, "EVIDENCE", 2)
        out = tmp_path / f"out{pieces}"
        monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path / f"cache{pieces}"))
        build(prepare(tmp_path / "r.yaml"), out)
        found.append(
            {
                p.name: p.read_bytes()
                for p in [*sorted((out / "data").iterdir()), out / "ledger.parquet", out / "manifest.json"]
            }
        )
    assert found[0] == found[1]
    dropped = pq.read_table(out / "ledger.parquet").filter(pa.compute.field("verdict") == "dropped")
    assert len(dropped) > 2 and dropped["evidence"].null_count == 0


def test_ids_are_their_bytes():
    ids = ["00000000000000010000000000000002", "ffffffffffffffff0123456789abcdef"]
    expected = [[int(i[:16], 16), int(i[16:], 16)] for i in ids]
    assert bytes_of_ids(pa.array(ids)).tolist() == expected
    assert bytes_of_ids(pa.chunked_array([pa.array(ids).slice(1), pa.array([], pa.string())])).tolist() == expected[1:]
    assert priority(pa.array(ids), 7).tolist() == priority(np.array(expected, np.uint64), 7).tolist()
    for wrong in ("0" * 31, "g" * 32, "A" * 32):
        with pytest.raises(ValueError, match="not 32 hex digits"):
            bytes_of_ids(pa.array([wrong]))


@pytest.mark.slow
def test_seventy_million_ids_are_ordered():
    rng, chunks = np.random.default_rng(0), []
    for _ in range(7):
        digits = rng.choice(np.frombuffer(b"0123456789abcdef", np.uint8), 320_000_000)
        offsets = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
        chunks.append(pa.StringArray.from_buffers(10_000_000, pa.py_buffer(offsets), pa.py_buffer(digits)))
    ids = pa.chunked_array(chunks)
    assert ids.nbytes > 2**31
    made = ladder(bytes_of_ids(ids), np.arange(len(ids), dtype=np.int32) % 2, ["a", "b"], None, 0)
    assert len(made.order) == 70_000_000
    assert np.bincount(made.order[:1000] % 2).tolist() == [500, 500]


@pytest.mark.slow
def test_prompts_of_more_than_two_gigabytes_are_read_and_held_out_of(tmp_path):
    from instdata.steps.holdout import Holdout

    text = "lorem ipsum dolor sit amet " * 40_000  # a megabyte
    shard = shard_file(tmp_path / "shard.parquet", [f"{i} {text}" for i in range(350)])
    corpus = corpus_of([shard] * 6)
    view = corpus.view(np.arange(corpus.n))
    assert view.prompt.nbytes > 2**31
    assert view.take(np.array([2099, 0])).prompt[0].as_py().startswith("349 ")
    del view  # it holds its texts
    short = shard_file(
        tmp_path / "short.parquet", ["What is four times five?", "Write a loop.", "Divide nine by three", "Sort it"]
    )
    corpus = corpus_of([short, *[shard] * 6])
    corpus.context = replace(corpus.context, cache=tmp_path / "cache")
    scored = Holdout(per_ability=1).score(corpus.view(np.arange(corpus.n)))
    assert scored["_held"].sum() == 2
