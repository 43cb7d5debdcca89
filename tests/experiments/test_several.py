"""ablate --add and --filter a,b: arms of equal tokens, a planted source found out, the factorial, refusals."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instdata.compare.paired_comparison import decide
from instdata.score.metric import metric_of
from instdata.util.errors import InputError
from tests.harness.conftest import SET, rows, run

pytest.importorskip("torch")


@pytest.fixture
def mixed(home, planted):
    """builds/mixed: a clean base, another clean source, and nonsense that two filters find, each in its own way."""
    from instdata.build import build, prepare

    text = (planted / "recipe.yaml").read_text().replace("name: planted", "name: mixed")
    third = [json.dumps(r) for r in rows(300, False, 7)]
    (planted / "more.jsonl").write_text("\n".join(third) + "\n")
    lines = [x for x in text.splitlines() if "- filter" not in x]
    lines.insert(lines.index("steps:"), "  - {path: more.jsonl, name: more, origin: human, license: cc0-1.0}")
    (planted / "mixed.yaml").write_text("\n".join(lines))
    build(prepare(planted / "mixed.yaml"), home / "builds" / "mixed")
    return home


def test_a_bad_source_is_found_and_a_good_one_is_not_called_so(mixed):
    line = f"ablate mixed --add noisy,more --model ./tiny --sizes 40 --seeds 3 {SET}"
    plan = run(f"{line} --plan")
    assert plan["arms"] == ["base", "+noisy", "+more", "base again"] and plan["cells"] == 1 + 3 * 4
    assert plan["passed"]["+more"] > plan["passed"]["base"] and not (mixed / "ablations").exists()
    found = run(f"{line} --yes", None)
    by = {e["arm"]: e for e in found["effects"]}
    assert set(by) == {"+noisy", "+more"} and by["+noisy"]["verdict"] == "worse" and by["+noisy"]["effect"] > 0
    assert by["+more"]["verdict"] != "worse" and found["decided"]
    assert {a["ability"] for a in by["+noisy"]["abilities"]} == {"sums", "echo"}
    scores = pq.read_table(mixed / found["folder"] / "scores.parquet")
    assert set(scores["arm"].to_pylist()) == {"all", "base", "+noisy", "+more", "base again"}


def test_two_filters_crossed(home, planted):
    from instdata.build import build, prepare

    text = (planted / "recipe.yaml").read_text().replace("name: planted", "name: crossed")
    text = text.replace("where: \"source = 'clean'\"}",
        "name: tidy, where: \"source = 'clean'\"}\n  - filter: {name: short, where: \"source_row % 3 > 0\"}")  # fmt: skip
    (planted / "crossed.yaml").write_text(text)
    build(prepare(planted / "crossed.yaml"), home / "builds" / "crossed")
    line = f"ablate crossed --filter tidy,short --model ./tiny --sizes 24 --seeds 2 {SET}"
    plan = run(f"{line} --plan")
    assert plan["arms"] == ["base", "tidy", "short", "tidy and short", "base again"]
    passed = plan["passed"]
    assert passed["tidy and short"] < min(passed["tidy"], passed["short"]) < passed["base"]
    found = run(line, None)
    by = {e["arm"]: e for e in found["effects"]}
    assert set(by) == {"tidy", "short", "tidy and short", "interaction"} and by["tidy"]["effect"] < 0
    both = by["tidy and short"]["effect"]
    assert by["interaction"]["effect"] == pytest.approx(both - by["tidy"]["effect"] - by["short"]["effect"], abs=1e-9)
    assert (found["confirmation"] is not None) == any(e["verdict"] == "better" for e in by.values())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--add nosy", 'Did you mean "noisy"'),
        ("--add noisy,clean,more", "no row is left for the base"),
        ("--add noisy --filter source=more", "two questions"),
        ("--add noisy --sizes 16,32", "at one size"),
        ("--add noisy --match rows", "leave it out"),
        ("--add noisy --metric judge", "bits, distractors"),
        ("--add colour=red", "a source, or one of"),
        ("--filter source=more,source=more", "of two filters"),
        ("--add noisy --seeds 2 --sizes 100000", "more than the"),
    ],
)
def test_what_does_not_fit_is_exit_2(mixed, line, words):
    with pytest.raises(InputError, match=words) as e:
        run(f"ablate mixed {line} --model ./tiny --plan")
    assert e.value.exit_code == 2


def test_macro_weighs_abilities_alike():
    from instdata.compare.equal_cost import macro
    from instdata.compare.paired_comparison import Matched

    parts = [
        Matched(np.zeros((2, 4)), np.ones((2, 4)), np.ones(4)),
        Matched(np.zeros((2, 9)), np.full((2, 9), 3.0), np.ones(9)),
    ]
    whole = macro(parts)
    assert np.average((whole.b - whole.a)[0], weights=whole.weights) == pytest.approx(2)


def test_items_about_one_passage_are_one_draw_of_the_mean_over_abilities_too():
    """Six passages with five questions each, in two abilities: what an arm does to a passage it does to its questions."""
    from instdata.compare.equal_cost import against
    from instdata.score.score_table import SCHEMA

    rng, table = np.random.default_rng(0), []
    for seed in range(2):
        for arm in ("control", "other"):
            for i in range(60):
                own = {"cell": f"{arm}{seed}", "model": "m", "arm": arm, "config": "8", "rows": 8, "seed": seed}
                own |= {"suite": "s", "item": f"i{i:02}", "ability": "ab"[i % 2], "metric": "bits", "weight": 1.0}
                shift = np.random.default_rng(i // 10).normal() * (arm == "other")
                own |= {"cluster": f"p{i // 10}", "value": 9 + shift + 0.1 * rng.normal()}
                table.append(dict.fromkeys(SCHEMA.names) | own)
    pairs = against(pa.Table.from_pylist(table, schema=SCHEMA), "bits", "control")["other"]
    assert set(pairs) == {"a", "b", "macro"} and {len(set(p.cluster.tolist())) for p in pairs.values()} == {6}
    (verdict,) = decide([pairs["macro"]], [(metric_of("bits"), None)])
    assert (verdict.n, verdict.clusters, verdict.why) == (60, 6, "too few clusters") and verdict.n_effective < 20


def test_halves_and_thirds_of_items_keep_passages_together():
    from instdata.grow.mixture_design import _thirds
    from instdata.score.from_build import split_items
    from instdata.score.item import Item

    def item(i: int, cluster: str | None) -> Item:
        return Item(f"i{i:02}", "a", [{"role": "user", "content": "?"}], "x", None, "exact", None, "s", cluster=cluster)

    for cut in (split_items, _thirds):
        first, last = cut([item(i, f"p{i % 5}") for i in range(30)])
        assert not {i.cluster for i in first} & {i.cluster for i in last} and len(first) + len(last) == 30
        assert min(len(first), len(last)) >= 6
        alone = cut([item(i, None) for i in range(12)])
        assert [len(x) for x in alone] == ([6, 6] if cut is split_items else [8, 4])
