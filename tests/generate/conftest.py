"""Rows with seeds of a small taxonomy, and a way to run the generate step on them against the misbehaving server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from instdata.corpus.rows import CORPUS, Rows, message_id
from instdata.corpus.taxonomy import Taxonomy
from instdata.steps.base import Produced
from instdata.steps.generate.step import Generate
from instdata.util.build_context import Context

PRICE = {"input": 1.0, "output": 2.0}
ABILITIES = ("math", "code", "chat", "story")


def taxonomy() -> Taxonomy:
    return Taxonomy.model_validate(
        {"name": "t", "abilities": [{"name": n, "description": f"what {n} is"} for n in ABILITIES]}
    )


def rows(
    conversations: list[list[tuple[str, str]]], abilities: list[str | None], context: Context, source: str = "seeds"
) -> Rows:
    n = len(conversations)
    messages = pa.array(
        [[{"role": r, "content": c} for r, c in talk] for talk in conversations], CORPUS.field("messages").type
    )
    table = pa.table(
        {
            "rid": [f"{source}/s.jsonl:{i}" for i in range(n)], "id": [message_id(c) for c in conversations],
            "messages": messages,
            "ability": pa.array(abilities, pa.string()), "lang": ["zh"] * n, "origin": ["human"] * n,
            "source": [source] * n,
            "source_file": ["s.jsonl"] * n, "source_row": pa.array(range(n), pa.int64()),
            "meta": pa.nulls(n, pa.string()),
        },
        schema=CORPUS,
    )  # fmt: skip
    return Rows(table, context)


def seeds(context: Context) -> Rows:
    talks = [
        [("user", f"请完成{name}任务：第{i}种做法是什么"), ("assistant", f"做法{i}如下")]
        for name in ABILITIES
        for i in range(3)
    ]
    return rows(talks, [name for name in ABILITIES for _ in range(3)], context)


def recipe(bench: Any, **generate: Any) -> Path:
    """A recipe with our seeds, a generate step with these options, and the usual steps after it."""
    bench.jsonl(
        "seeds.jsonl",
        [
            {
                "instruction": f"请完成{name}任务：第{i}种做法是什么",
                "instances": [{"input": "", "output": f"做法{i}如下"}],
                "ability": name,
            }
            for name in ABILITIES
            for i in range(3)
        ],
    )
    abilities = "\n".join(f"  - {{name: {n}, description: what {n} is}}" for n in ABILITIES)
    (bench.folder / "taxonomy.yaml").write_text(f"name: t\nabilities:\n{abilities}\n", "utf-8")
    return bench.recipe(
        taxonomy="taxonomy.yaml",
        sources=[{"path": "seeds.jsonl", "name": "seeds", "format": "seeds"}],
        steps=[
            {"generate": {"model": "served", **generate}},
            {"dedup": {"method": "minhash", "view": "prompt", "threshold": 0.7}},
            {"quality": {"rules": "default"}},
            {"holdout": {"per_ability": 2}},
        ],
        subsets={"by": "ability", "sizes": ["10%", "100%"]},
    )


def accepted(made: Produced) -> list[dict[str, Any]]:
    return [r for r in made.table.to_pylist() if r["reason"] is None and r["error"] is None]


def reasons(made: Produced) -> Counter:
    return Counter("unusable" if r["error"] else r["reason"] for r in made.table.to_pylist())


@pytest.fixture
def produce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Produced, dict]]:
    """produce(server, **options) -> (what was made, the usage that run.json would get)."""

    monkeypatch.setattr("instdata.llm.client.BACKOFF", 0.02)

    def run(
        server: Any, given: Callable[[Context], Rows] = seeds, seed: int = 0, cache: Path | None = None, **options: Any
    ):
        context = Context(
            seed=seed, taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]), cache=cache or tmp_path / "cache"
        )
        step = Generate(name="generate", base_url=server.url, **{"model": "served", "price": PRICE, **options}).resolve(
            context
        )
        return step.produce(given(context)), context.usage["generate"]

    return run
