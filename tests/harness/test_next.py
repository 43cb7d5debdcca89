"""The next recipe: right allocations on known curves, BELLE's published ones, recipes that validate and build."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.cli.output_next import show_next
from instdata.grow.allocate import CurveTable, Growth, allocate, plan
from instdata.grow.curve_fit import fit
from instdata.grow.next import next_recipe, published
from instdata.util.checksums import write_sums
from instdata.util.errors import InputError

RUNGS = [100 * 2**k for k in range(6)]


def growth(name, truth, rungs=RUNGS, seeds=3, items=80, noise=0.002, rng=None):
    """A fitted ability whose curve is `truth`."""
    rng = rng or np.random.default_rng(0)
    rows, which = [r for _ in range(seeds) for r in rungs], [s for s in range(seeds) for _ in rungs]
    level = rng.normal(0, 0.1, items)
    values = np.array([truth(r) + level + rng.normal(0, noise) + rng.normal(0, 10 * noise, items) for r in rows])
    return Growth(name, fit(rows, which, values), 1.0)


def ladder(parts, ceilings=None):
    floors = {g.ability: g.fit.rows[0] for g in parts}
    top = {g.ability: g.fit.rows[-1] for g in parts}
    return CurveTable(
        parts, top, {}, floors, {**dict.fromkeys(floors, 2**62), **(ceilings or {})}, "judge", "score", 3, []
    )


def line(slope):
    return lambda r: 0.3 + slope * np.log2(r / 100)


def rows_of(found):
    return {a["ability"]: a["rows"] for a in found["abilities"]}


def test_log_linear_curves_get_rows_in_proportion_to_their_slopes():
    rows = rows_of(plan(ladder([growth("a", line(0.04)), growth("b", line(0.02)), growth("c", line(0.02))]), 9600))
    assert sum(rows.values()) == pytest.approx(9600, abs=3)
    assert rows["a"] == pytest.approx(4800, rel=0.1) and rows["b"] == pytest.approx(2400, rel=0.1)


def test_saturated_ones_get_what_they_still_need():
    """Power laws: equal marginal gains a b r^-(b+1); a flat one keeps its smallest size."""
    bent = lambda a, b: lambda r: 0.9 - a * (r / 100) ** -b  # noqa: E731
    found = plan(
        ladder([growth("fast", bent(0.5, 1.5)), growth("slow", bent(0.5, 0.5)), growth("done", lambda r: 0.7)]), 6000
    )
    rows = rows_of(found)
    from scipy.optimize import brentq

    marginal = lambda a, b, r: a * b * (r / 100) ** -(b + 1)  # noqa: E731
    right = brentq(lambda r: marginal(0.5, 0.5, r) - marginal(0.5, 1.5, 5900 - r), 200, 5800)
    assert rows["done"] == 100 and rows["slow"] == pytest.approx(right, rel=0.1)
    labels = {a["ability"]: a["label"] for a in found["abilities"]}
    assert labels == {"fast": "saturating", "slow": "saturating", "done": "flat"}


def test_more_than_was_seen_is_called_extrapolated():
    found = plan(ladder([growth("a", line(0.04)), growth("b", lambda r: 0.5)]), 20_000)
    by = {a["ability"]: a for a in found["abilities"]}
    assert by["a"]["extrapolated"] and by["a"]["rows"] > by["a"]["seen_to"] == 3200 and not by["b"]["extrapolated"]
    assert any(n.startswith("extrapolated") and "a" in n for n in found["notes"])


def test_no_ability_gets_more_than_there_is():
    found = plan(ladder([growth("a", line(0.04)), growth("b", line(0.02))], {"a": 1000, "b": 1500}), 5000)
    assert rows_of(found) == {"a": 1000, "b": 1500} and found["rows"] == 2500
    assert any("2,500 rows stay unspent" in n for n in found["notes"])


def test_a_budget_below_the_floors():
    with pytest.raises(InputError, match=r"50 rows are fewer than 200.*--budget 200"):
        plan(ladder([growth("a", line(0.04)), growth("b", line(0.02))]), 50)
    with pytest.raises(InputError, match="number of rows"):
        plan(ladder([growth("a", line(0.04))]), -1)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 400), st.floats(0, 3)), min_size=1, max_size=6),
    st.integers(0, 2000),
)
@settings(max_examples=60, deadline=None)
def test_allocation_keeps_to_floors_ceilings_and_budget_and_beats_the_even_one(parts, more):
    gains = {}
    for i, (low, span, scale) in enumerate(parts):
        rows = np.linspace(low, low + span, 60)
        gains[f"a{i}"] = (rows, scale * np.log(rows))
    floor = sum(p[0] for p in parts)
    found = allocate(gains, floor + more)
    assert all(low <= found[f"a{i}"] <= low + span for i, (low, span, _) in enumerate(parts))
    assert sum(found.values()) <= floor + more
    worth = lambda rows: sum(np.interp(rows[a], *gains[a]) for a in gains)  # noqa: E731
    each = more / len(parts)
    even = {f"a{i}": min(low + each, low + span) for i, (low, span, _) in enumerate(parts)}
    # Whole rows cost a little: one row of each at the steepest.
    assert worth(found) >= worth(even) - sum(p[2] / p[0] for p in parts) - 1e-9


def test_a_ladder_promises_nothing():
    """Under pure transfer every ability's curve rises with all rows, so any split is as good as any other: the gain is
    0. A promise was made here in every run before; a ladder cannot tell, and says so."""
    rng = np.random.default_rng(1)
    parts = [growth(f"a{i}", line(0.01 * (i + 1)), RUNGS[:5], 3, 40, 0.01, rng) for i in range(4)]
    found = plan(ladder(parts), 8000)
    assert (found["gain"], found["low"], found["high"], found["identified"]) == (None, None, None, False)
    assert found["notes"][0].startswith("what this split would gain cannot be known")


def test_belles_curve_moves_rows_away_from_math_code_and_cot(realdata, capsys):
    found = next_recipe(realdata / "published" / "belle_fig1_digitized.csv", 2_000_000)
    rows = rows_of(found)
    assert len(rows) == 12 and sum(rows.values()) == pytest.approx(2_000_000, abs=12)
    even = 2_000_000 / 12
    assert all(rows[a] < 0.6 * even for a in ("math", "code", "COT"))
    assert rows["summarization"] > even and rows["extract"] > even
    assert found["gain"] is None and found["seeds"] == 1 and found["recipe"] is None
    show_next(found)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_published_tables(tmp_path):
    table = tmp_path / "t.csv"
    long = "ability,size,score\n" + "".join(f"{a},{s},{v}\n" for a,
        vs in {"x": (1, 2, 3), "y": (1, 1, 1)}.items() for s, v in zip(("1k", "2k", "4k"), vs))  # fmt: skip
    table.write_text(long)
    found = published(table)
    assert [g.ability for g in found.growth] == ["x", "y"] and found.growth[0].fit.rows == (500, 1000, 2000)
    wide = "name,items,1k,2k,4k\nx,9,1,2,3\ny,9,1,1,1\nmacro,9,1,1.5,2\n"
    table.write_text(wide)
    again = published(table)
    assert [g.fit.means.tolist() for g in again.growth] == [g.fit.means.tolist() for g in found.growth]
    for text, words in (
        ("name,1k,2k\nx,1,2\n", "2 sizes, a growth curve needs 3"),
        ("name,1k,2k,4k\nx,1,2,\n", 'x, size 4k: "" is not a score'),
        ("ability,size,score\nx,1k,1\nx,2k,1\nx,4k,1\ny,1k,1\ny,2k,1\n", "y has no score at 4,000 rows"),
        ("name,note\nx,1\n", "0 sizes"),
        ("name,1k,2k,4k\nx,1,nan,2\n", 'size 2k: "nan" is not a score'),
        ("name,1,2,4\nx,1,1,2\ny,1,1,2\n", "1 rows is too small to be shared by 2"),
        ("", "no rows"),
        ("ability,size,score\nx,1k,1\nx,often,1\n", 'x: "often" is not a size'),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=words):
            published(table)
    with pytest.raises(InputError, match="no recipe to change"):
        next_recipe(table, None, tmp_path / "out.yaml")
    with pytest.raises(InputError, match="not a readable CSV"):
        published(tmp_path / "absent.csv")


def records(n, abilities):
    words = "river stone cloud market engine garden letter window forest signal".split()  # noqa: SIM905
    return [
        {"instruction": f"{words[i % 10]} {words[i // 10 % 10]} {words[i // 100 % 10]} number {i * 7919}, tell me "
                        f"of it",
         "input": "", "output": f"It is {i} {words[i % 7]}.", "ability": abilities[i % len(abilities)]}
        for i in range(n)
    ]  # fmt: skip


def scores(build, slopes, seeds=2, items=20, models=("small",)):
    """Put simulated curves beside a build: bits that fall by `slopes` a doubling."""
    rng = np.random.default_rng(0)
    configs = json.loads((build / "manifest.json").read_text())["configs"]
    sizes = [(n, c["rows"]) for n, c in configs.items() if n not in ("full", "holdout")]
    rows = []
    for model in models:
        for ability, slope in slopes.items():
            level = rng.normal(0.8, 0.1, items)
            for seed in range(seeds):
                for config, total in sizes:
                    value = level - slope * np.log2(total / sizes[0][1]) + rng.normal(0, 0.005, items)
                    shared = {"cell": f"{config}-{seed}", "model": model, "arm": "all", "config": config, "rows": total,
                        "seed": seed, "suite": "holdout", "ability": ability, "metric": "bits",
                        "weight": 50.0}  # fmt: skip
                    rows += [shared | {"item": f"{ability}{i}", "value": v} for i, v in enumerate(value)]
    (build / "curves").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), build / "curves" / "scores.parquet")
    (build / "curves" / "summary.json").write_text(json.dumps({"models": [{"name": m} for m in models], "fits": []}))


@pytest.fixture
def curated(bench):
    """A build of three abilities with a ladder of five sizes."""
    bench.jsonl("mine.jsonl", records(600, ["math", "code", "extract"]))
    build = bench.build(
        taxonomy="belle", sources=[{"path": "mine.jsonl"}], steps=[{"holdout": {"per_ability": 5}}],
        subsets={"sizes": [30, 60, 120, 240, 480]},
    ).path  # fmt: skip
    return build


def test_a_build_gets_a_recipe_that_validates_and_builds_as_said(bench, curated, capsys):
    scores(curated, {"math": 0.03, "code": 0.01, "extract": 0.0})
    out = bench.folder / "t.next.yaml"
    found = next_recipe(curated, 240, out)
    rows = rows_of(found)
    assert rows["extract"] == 10 and rows["math"] == pytest.approx(3 * rows["code"], rel=0.15)
    assert found["metric"] == "bits" and found["seeds"] == 2 and found["low"] is None
    assert found["notes"][1:] == ["extrapolated, more rows than any run had: math"]
    from instdata.build import build, prepare

    again = build(prepare(out), bench.folder / "next")
    made = again.manifest["configs"]["full"]["by_ability"]
    assert all(made[a] == pytest.approx(rows[a], abs=3 + 0.05 * rows[a]) for a in rows)
    assert again.manifest["name"] == "t-next"
    show_next(found)
    assert "cannot be known from these curves" in " ".join(capsys.readouterr().out.split())
    before = out.read_bytes()
    assert next_recipe(curated, 240, out) == found and out.read_bytes() == before
    # And the next one after that: the rows that this one left out can be taken again.
    scores(again.path, {"math": 0.0, "code": 0.03, "extract": 0.03})
    more = next_recipe(again.path, 240, bench.folder / "third.yaml")
    assert rows_of(more)["extract"] > 60
    assert [list(s) for s in yaml.safe_load((bench.folder / "third.yaml").read_text())["steps"]] == [
        ["holdout"],
        ["mix"],
        ["sample"],
    ]


def test_generated_abilities_are_asked_for_by_number(bench, curated):
    scores(curated, {"math": 0.03, "code": 0.01, "extract": 0.0})
    recipe = yaml.safe_load((curated / "recipe.yaml").read_text())
    generate = {"generate": {"method": "self-instruct", "target": 600, "language": "en", "model": "local:qwen"}}
    (curated / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "steps": [generate, *recipe["steps"]]}))
    ledger = pq.read_table(curated / "ledger.parquet")
    source = ["mine" if i % 10 == 0 else "generate" for i in range(len(ledger))]
    pq.write_table(
        ledger.set_column(ledger.column_names.index("source"), "source", pa.array(source)), curated / "ledger.parquet"
    )
    write_sums(curated)
    out = bench.folder / "t.next.yaml"
    rows = rows_of(next_recipe(curated, 900, out))
    options = yaml.safe_load(out.read_text())["steps"][0]["generate"]
    assert "target" not in options and set(options["per_ability"]) <= {"math", "code", "extract"}
    assert rows["math"] > 480 / 3 and options["per_ability"]["math"] > options["per_ability"]["code"]
    fixed = sum(s == "mine" and a == "math" and c == "train" for s, a,
        c in zip(source, ledger["ability"].to_pylist(), ledger["config"].to_pylist()))  # fmt: skip
    assert options["per_ability"]["math"] >= rows["math"] - fixed


def test_sizes_given_as_numbers_of_rows(bench, curated):
    scores(curated, {"math": 0.03, "code": 0.01, "extract": 0.0})
    whole = rows_of(next_recipe(curated, 240, bench.folder / "a.yaml"))
    path = curated / "curves" / "scores.parquet"
    table = pq.read_table(path)
    names = ["100 rows" if r == 120 else c for r, c in zip(table["rows"].to_pylist(), table["config"].to_pylist())]
    sizes = [100 if r == 120 else r for r in table["rows"].to_pylist()]
    for column, values in (("config", names), ("rows", sizes)):
        table = table.set_column(table.column_names.index(column), column, pa.array(values))
    pq.write_table(table, path)
    again = rows_of(next_recipe(curated, 240, bench.folder / "b.yaml"))
    assert again["math"] == pytest.approx(whole["math"], rel=0.1) and again != whole


def test_bad_curves(bench, curated):
    with pytest.raises(InputError, match="run `instdata curves"):
        next_recipe(curated)
    scores(curated, {"math": 0.03}, seeds=1)
    with pytest.raises(InputError, match="math rests on one seed"):
        next_recipe(curated)
    scores(curated, {"math": 0.03, "code": 0.01})
    found = next_recipe(curated, 200, bench.folder / "n.yaml")
    assert found["others"] == {"extract": 67} and any("keep their share: extract" in n for n in found["notes"])
    assert sum(rows_of(found).values()) == pytest.approx(133, abs=2) and found["budget"] == 200
    mix = yaml.safe_load((bench.folder / "n.yaml").read_text())["steps"][-2]["mix"]
    assert set(mix["weights"]) == {"math", "code", "extract"}
    table = pq.read_table(curated / "curves" / "scores.parquet")
    keep = [r in (30, 60) for r in table["rows"].to_pylist()]
    pq.write_table(table.filter(pa.array(keep)), curated / "curves" / "scores.parquet")
    with pytest.raises(InputError, match="2 sizes, a growth curve needs 3"):
        next_recipe(curated)
    nothing = table.set_column(table.column_names.index("value"), "value", pa.nulls(len(table), pa.float64()))
    pq.write_table(nothing, curated / "curves" / "scores.parquet")
    with pytest.raises(InputError, match="no item has a score"):
        next_recipe(curated)
    (curated / "curves" / "summary.json").write_text(
        json.dumps({"models": [{"name": "small"}], "manifest_sha256": "0"})
    )
    with pytest.raises(InputError, match="has changed since its curves were made"):
        next_recipe(curated)
