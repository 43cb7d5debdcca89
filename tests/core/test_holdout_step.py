"""The holdout step in a build: how many rows of what, no near copies, whatever the order of files."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from instdata.build import build, prepare
from tests.core.test_steps import ledger

WORDS = [
    "river",
    "stone",
    "lamp",
    "garden",
    "paper",
    "engine",
    "cloud",
    "window",
    "market",
    "bridge",
    "tiger",
    "violin",
    "desert",
    "candle",
    "planet",
    "ladder",
    "button",
    "forest",
    "island",
    "copper",
]


def distinct(n, **extra):
    """Records whose prompts are not near copies of each other."""
    return [
        {
            "instruction": f"{WORDS[i % 20]} {WORDS[i // 20 % 20]} {i * 7919}: what of {WORDS[(i * 3 + 1) % 20]} and "
            f"{WORDS[(i * 7 + 2) % 20]}?",
            "output": f"answer {i}",
            **extra,
        }
        for i in range(n)
    ]


def test_holdout_takes_n_of_each_and_leaves_no_near_copy(bench):
    records = distinct(60, ability="math")
    copies = [{**r, "instruction": r["instruction"] + "!"} for r in records[:20]]
    bench.jsonl(
        "a.jsonl",
        records
        + copies
        + [
            {**r, "ability": "code", "instruction": "code " + r["output"] + " " + r["instruction"][::-1]}
            for r in records[:8]
        ],
    )
    done = bench.build(sources=[{"path": "a.jsonl"}], steps=[{"holdout": {"per_ability": 6}}])
    config = done.manifest["configs"]["holdout"]
    assert config["by_ability"] == {"code": 4, "math": 6}
    found = ledger(done)
    held = {r["id"] for r in found.values() if r["config"] == "holdout"}
    assert all(r["verdict"] == "kept" for r in found.values() if r["config"] == "holdout")
    near = [r for r in found.values() if r["reason"] == "near_holdout"]
    assert near and all(json.loads(r["evidence"])["id"] in held for r in near)
    train = pq.read_table([done.path / f for f in done.manifest["configs"]["full"]["files"]])
    prompts = [m[0]["content"].rstrip("!") for m in train["messages"].to_pylist()]
    held_prompts = {
        m[0]["content"].rstrip("!") for m in pq.read_table(done.path / "data/holdout.parquet")["messages"].to_pylist()
    }
    assert not held_prompts & set(prompts)
    totals = done.manifest["totals"]
    assert totals["kept"] == config["rows"] + len(train)


def test_holdout_takes_no_row_of_no_known_ability_unless_nothing_is_labelled(bench):
    some = distinct(60)
    bench.jsonl("some.jsonl", [{**r, "ability": "math"} for r in some[:20]] + some[20:])
    bench.jsonl("none.jsonl", some)
    for name, held, said in (
        ("some", {"math": 4}, ["holdout: 40 rows are of no known ability: none of them is held out"]),
        ("none", {"unknown": 4}, []),
    ):
        lines: list[str] = []
        recipe = bench.recipe(sources=[{"path": f"{name}.jsonl"}], steps=[{"holdout": {"per_ability": 4}}])
        done = build(prepare(recipe, say=lines.append), bench.folder / name)
        assert done.manifest["configs"]["holdout"]["by_ability"] == held
        assert [line for line in lines if line.startswith("holdout: ")] == said


def test_holdout_does_not_depend_on_file_order(bench):
    records = distinct(40, ability="a") + distinct(80, ability="b")[40:]
    bench.jsonl("x/1.jsonl", records[:30])
    bench.jsonl("x/2.jsonl", records[30:])
    bench.jsonl("y/1.jsonl", records[50:][::-1])
    bench.jsonl("y/2.jsonl", records[:50])
    held = []
    for name in "xy":
        done = bench.build(
            out=name + "out",
            sources=[{"path": name, "name": "s"}],
            steps=[{"holdout": {"per_ability": 5}}],
            subsets={"sizes": ["10%", "50%"]},
        )
        tables = [
            pq.read_table(done.path / f)["id"].to_pylist()
            for f in sorted(p.relative_to(done.path) for p in done.path.glob("data/*.parquet"))
        ]
        held.append(tables)
    assert held[0] == held[1]
