"""Train, evaluate, curves and ablate as their commands, on a tiny model and a build with planted noise."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from instdata.compare.arm import pool_of
from instdata.score.score_table import SCHEMA
from instdata.util.checksums import write_sums
from instdata.util.errors import InputError

from .conftest import EFFECT_KEYS, SET, run


def test_train_then_evaluate(home):
    command = f"train planted --config 64 --model ./tiny {SET}"
    done = run(command)
    assert done["changed"] and done["rows"] == 64 and done["steps"] == 8
    assert not run(command)["changed"]
    lines = [json.loads(line) for line in (home / done["run"] / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in lines] == list(range(8))
    found = run(f"evaluate {done['run']} --build planted")
    assert found["items"] == 24
    scores = pq.read_table(home / done["run"] / "scores.parquet")
    assert scores.schema.equals(SCHEMA)
    assert set(scores["metric"].to_pylist()) >= {"bits", "distractors", "number", "exact"}
    by = {(s["metric"], s["ability"]): s for s in found["scores"]}
    assert by["bits", "macro"]["low"] < by["bits", "macro"]["value"] < by["bits", "macro"]["high"]
    assert by["distractors", "macro"]["chance"] == pytest.approx(1 / 3)
    untrained = run("evaluate ./tiny --build planted --metrics bits")
    base = next(s for s in untrained["scores"] if s["ability"] == "macro")
    assert by["bits", "macro"]["value"] < base["value"]


def test_a_curve_equals_the_train_commands_model(home):
    curves = run(f"curves planted --model ./tiny --seeds 1 --metrics bits {SET}")
    trained = run(f"train planted --config 64 --model ./tiny {SET}")
    alone = run(f"evaluate {trained['run']} --build planted --metrics bits")
    ours = {p["ability"]: p["value"] for p in curves["table"] if p["config"] == "64"}
    assert ours == {s["ability"]: pytest.approx(s["value"], abs=1e-12) for s in alone["scores"]}


def test_curves_fall_resume_and_fit(home):
    command = f"curves planted --model ./tiny --seeds 2 --sizes 32,64,128 {SET}"
    plan = run(f"{command} --plan")
    assert (plan["cells"], plan["missing"]) == (7, 7) and plan["separate_tokens"] > plan["tokens"]
    found = run(command)
    folder = home / "builds/planted/curves"
    macro = {p["config"]: p["value"] for p in found["table"] if p["metric"] == "bits" and p["ability"] == "macro"}
    assert macro["base"] > macro["32"] > macro["64"] > macro["128"]
    fits = {(f["metric"], f["ability"]): f for f in found["fits"]}
    assert fits["bits", "macro"]["slope"] < 0 and fits["bits", "macro"]["rungs"] == 3
    results = [*folder.glob("*.parquet"), folder / "summary.json"]
    before = [p.read_bytes() for p in results]
    removed = sorted((folder / "cells").glob("*.delta"))[2]
    removed.with_suffix(".parquet").unlink()
    plan = run(f"{command} --plan")
    assert (plan["missing"], plan["to_train"]) == (1, 0)  # its model is there
    removed.unlink()
    plan = run(f"{command} --plan")
    assert (plan["missing"], plan["to_train"]) == (1, 1)
    run(command)
    assert len(before) > 1 and before == [p.read_bytes() for p in results]
    assert not list(folder.glob("cells/*.safetensors"))


def test_curves_by_origin_and_sizes(home):
    command = f"curves planted --model ./tiny --seeds 1 --sizes 16,32 --metrics bits {SET}"
    found = run(f"{command} --origin human --origin mixed")
    assert {(c["arm"], c["config"]) for c in found["cells"]} == {
        ("all", "base"), ("all", "16"), ("all", "32"), ("human", "16"), ("human", "32")
    }  # fmt: skip
    with pytest.raises(InputError, match="--origin synthetic"):
        run(f"{command} --origin synthetic")
    with pytest.raises(InputError, match="there are 276 rows"):
        run("curves planted --model ./tiny --sizes 9999")
    with pytest.raises(InputError, match="no such config"):
        run("curves planted --model ./tiny --sizes half")


def test_streams_in_processes_of_their_own_give_the_same_cells(home):
    from instdata.compare.cell import read_cells, run_streams
    from instdata.grow.curve import grids
    from instdata.train.training_recipe import training

    how = training("proxy", [x for x in SET.split() if "=" in x])
    made = []
    for workers in (1, 2):
        [(grid, streams)] = grids(home / "builds/planted", ["./tiny"], 2, how, ["bits"], sizes="16,32")
        made.append(read_cells(grid, run_streams(grid, streams, workers=workers)))
        shutil.rmtree(grid.folder)
    assert made[0].equals(made[1])


def test_doit_keeps_the_best_epoch_and_scores_it_on_the_other_half(home):
    more = "--recipe doit --set epochs=4 --set best_after=1 --set batch=8"
    done = run(f"train planted --config 32 --model ./tiny {more} {SET}")
    assert len(done["validation"]) == 12
    lines = [json.loads(line) for line in (home / done["run"] / "metrics.jsonl").read_text().splitlines()]
    validated = {m["epoch"]: m["validation_loss"] for m in lines if "validation_loss" in m}
    assert set(validated) == {2, 3, 4}
    assert run(f"evaluate {done['run']} --build planted --metrics bits")["items"] == 12


# --- ablate


def test_planted_noise_is_found_and_a_pair_of_draws_is_not(home):
    command = f"ablate planted --filter filter --model ./tiny --sizes 32,128 --max-seeds 3 {SET}"
    plan = run(f"{command} --plan")
    assert (plan["arms"], plan["seeds"], plan["cells"]) == (3, 2, 13)
    assert set(plan["mde"]) >= {"sums", "echo"} and all(v > 0 for v in plan["mde"].values())
    assert not (home / "ablations").exists()
    found = run(f"{command} --yes")
    verdicts = {e["ability"]: e["verdict"] for e in found["effects"]}
    assert verdicts == {"sums": "better", "echo": "better", "macro": "better"} and found["decided"]
    assert {e["verdict"] for e in found["aa"]} <= {"undecided", "equivalent"}
    folder = home / "ablations/planted-filter"
    assert {p.name for p in folder.iterdir()} >= {"scores.parquet", "effects.json", "curves.parquet", "run.json"}
    learned = {a["arm"]: a["supervised"] for a in found["arms"] if a["size"] == 128}
    assert abs(learned["without"] - learned["with"]) < 50 and abs(learned["aa"] - learned["with"]) < 50
    assert len({a["steps"] for a in found["arms"] if a["size"] == 128}) == 1
    assert set(EFFECT_KEYS) <= found["effects"][0].keys()
    effects = (folder / "effects.json").read_bytes()
    assert run(f"{command} --plan")["missing"] == 0
    run(f"{command} --yes")
    assert (folder / "effects.json").read_bytes() == effects


def test_undecided_is_exit_3(home):
    """One item of each ability says nothing about the next one."""
    limits = "--sizes 32 --max-seeds 2 --max-items 2"
    found = run(f"ablate planted --filter ability=sums --model ./tiny {limits} --yes {SET}", code=3)
    assert not found["decided"] and found["effects"][-1]["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("filtr", 'Did you mean "filter"'),
        ("filter.refusal", 'dropped nothing as "refusal"'),
        ("source=cleen", 'Did you mean "clean"'),
        ("colour=red", "rows have source, origin, ability, lang"),
        ("holdout", "nothing to compare"),
        ("source=clean", "drops none of the 276 rows"),
    ],
)
def test_filters_that_are_not_there(home, asked, message):
    with pytest.raises(InputError, match=message):
        pool_of(home / "builds/planted", asked)


def test_pools(home):
    build = home / "builds/planted"
    pool = pool_of(build, "filter")
    assert (len(pool), int(pool.passed.sum())) == (276 + 300, 276)
    sums = pool_of(build, "ability=sums")
    assert 0 < sums.passed.sum() < len(sums) == 276


def test_synthetic_is_every_origin_but_human(home):
    build = home / "builds/planted"
    with pytest.raises(InputError, match="There are: human"):
        pool_of(build, "origin=synthetic")
    human = 0
    for path in (build / "data").glob("[0-9]*.parquet"):
        table = pq.read_table(path)
        origins = ["human" if i % 3 else f"model-{i % 2}" for i in range(len(table))]
        pq.write_table(table.set_column(table.schema.get_field_index("origin"), "origin", [origins]), path)
        human += origins.count("human")
    write_sums(build)
    pool = pool_of(build, "origin=synthetic")
    assert (len(pool), int(pool.passed.sum())) == (276, 276 - human)
    assert (pool.passed != pool_of(build, "origin=human").passed).all()


def test_too_few_rows_are_said_and_a_cleaned_cache_is_no_loss(home, monkeypatch):
    command = "ablate planted --filter filter --model ./tiny --plan"
    with pytest.raises(InputError, match="too few for size 500"):
        run(f"{command} --sizes 500")
    with pytest.raises(InputError, match="--sizes many: numbers of rows"):
        run(f"{command} --sizes many")
    with pytest.raises(InputError, match="numbers of rows"):
        run(f"{command} --sizes ,")
    with pytest.raises(InputError, match="--filter STEP"):
        run("ablate planted")
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "empty"))
    assert run(f"{command} --sizes 32")["pool"] > 276  # dropped rows' text is in the build


def test_scores_on_a_suite_stand_beside_those_on_the_holdout(home):
    done = run(f"train planted --config 32 --model ./tiny {SET}")
    own = home / run(f"evaluate {done['run']} --metrics bits")["file"]
    before = own.read_bytes()
    item = {"ability": "sums", "instruction": "What is 1 plus 2?", "reference": "The sum is 3."}
    (home / "more.jsonl").write_text("\n".join(json.dumps(item | {"input": str(n)}) for n in range(3)))
    found = run(f"evaluate {done['run']} --metrics bits --suite more.jsonl")
    assert found["items"] == 3 and found["file"].startswith("evaluations/") and "more" in found["file"]
    assert own.read_bytes() == before


def test_arms_are_coupled_and_hold_no_evaluation_item(home):
    from instdata.compare.ablate import prepare
    from instdata.train.training_recipe import training

    build = home / "builds/planted"
    ablation = prepare(
        build, "filter", None, sizes="64", seeds=2, most=2, model="./tiny", match="supervised", metric="bits",
        judge=None,
        recipe=training("proxy"), max_items=None, taxonomy=None, out=None, say=lambda m: None,
    )  # fmt: skip
    drawn = {s.arm: s for s in ablation.drawn(0).streams}
    passed = set(ablation.pool.ids.filter(ablation.pool.passed).to_pylist())
    taken = [i for i in drawn["without"].ids if i in passed]
    assert drawn["with"].ids[: len(taken)] == taken
    assert set(drawn["without"].ids) != set(drawn["aa"].ids)
    held = set(pq.read_table(build / "data/holdout.parquet")["id"].to_pylist())
    assert all(not held & set(s.ids) for s in drawn.values())
    assert ablation.drawn(0).streams == list(drawn.values())
    assert ablation.drawn(1).streams[0].ids != drawn["with"].ids


def test_sizes_that_one_long_row_fills_are_sizes_all_the_same(home):
    """With few and uneven rows two sizes can end at the same row of an arm that is matched in tokens."""
    from instdata.compare.ablate import prepare
    from instdata.train.training_recipe import training

    ablation = prepare(
        home / "builds/planted", "filter", None, sizes="1,2,3,4,5", seeds=2, most=2, model="./tiny", match="supervised",
        metric="bits", judge=None, recipe=training("proxy"), max_items=None, taxonomy=None, out=None,
        say=lambda m: None,
    )  # fmt: skip
    for seed in range(8):
        for stream in ablation.drawn(seed).streams:
            rows = [n for _, n in stream.rungs]
            assert rows == sorted(set(rows)) and len(stream.ids) == rows[-1]


def test_two_builds_compared(home):
    shutil.copytree(home / "builds/planted", home / "builds/other")
    with pytest.raises(InputError, match="keep the same rows"):
        run("ablate planted --against other --model ./tiny --plan")


def test_a_plan_builds_nothing(home, planted):
    recipe = (
        (planted / "recipe.yaml")
        .read_text()
        .replace("name: planted", "name: third")
        .replace("path: ", f"path: {planted}/")
    )
    (home / "third.yaml").write_text(recipe.replace("source = 'clean'", "source = 'clean' and ability = 'sums'"))
    command = "ablate planted --against third.yaml --model ./tiny --sizes 16 --plan"
    with pytest.raises(InputError, match=r"run `instdata build third\.yaml` first"):
        run(command)
    assert not (home / "builds/third").exists()
    run("build third.yaml")
    assert run(command)["missing"] == 1 + 3 * 2


def test_a_finished_run_is_not_overwritten_and_a_full_disk_leaves_it_resumable(home, monkeypatch):
    from instdata.train import run as runs
    from instdata.util.errors import BuildError

    command = f"train planted --config 32 --model ./tiny --out runs/one {SET}"

    def full(*_):
        raise BuildError("runs/one: the model could not be saved; free some disk space and run again")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "save", full)
        with pytest.raises(BuildError, match="free some disk space"):
            run(command)
    assert not (home / "runs/one/run.json").exists()
    done = run(command)
    assert done["changed"] and (home / "runs/one/model.safetensors").is_file()
    steps = [json.loads(line)["step"] for line in (home / "runs/one/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(4))
    with pytest.raises(InputError, match="holds another run"):
        run(f"{command} --seed 7")
    assert run("evaluate runs/one --metrics bits")["build"].endswith("planted")


def test_models_and_taxonomies_that_cannot_be_told_apart_or_found(home):
    with pytest.raises(InputError, match="the same model twice"):
        run("curves planted --model ./tiny --model ./tiny --plan")
    shutil.copytree(home / "tiny", home / "elsewhere/tiny")
    with pytest.raises(InputError, match="two models are called tiny"):
        run("curves planted --model ./tiny --model elsewhere/tiny --plan")
    (home / "small.yaml").unlink()
    with pytest.raises(InputError, match="give it with --taxonomy"):
        run("evaluate ./tiny --build planted")


def test_filters_in_any_script_have_folders_of_their_own():
    from pathlib import Path

    from instdata.compare.ablate import folder_of

    assert folder_of(Path("builds/b"), "ability=数学") != folder_of(Path("builds/b"), "ability=翻译")
    assert folder_of(Path("builds/b"), "quality.refusal") == Path("ablations/b-quality.refusal")


def test_a_holdout_that_passed_the_step_cannot_judge_it(home, planted):
    """In a toy the sign of an effect turned on items that the filter had chosen."""
    from instdata.build import build, prepare

    from .conftest import RECIPE

    late = RECIPE.replace("name: planted", "name: late").split("steps:")
    steps = late[1].split("subsets:")[0].strip().splitlines()
    (planted / "late.yaml").write_text(
        f"{late[0]}steps:\n  {steps[1].strip()}\n  {steps[0].strip()}\nsubsets:{late[1].split('subsets:')[1]}"
    )
    build(prepare(planted / "late.yaml"), home / "builds/late")
    command = f"ablate late --filter filter --model ./tiny --sizes 32 --max-seeds 2 --plan {SET}"
    with pytest.raises(InputError, match="its holdout passed the step filter.*or give --suite"):
        run(command)
    exam = [
        {"instruction": f"What is {n} plus 1?", "output": f"The sum is {n + 1}.", "ability": "sums"} for n in range(9)
    ]
    (home / "exam.jsonl").write_text(
        "".join(json.dumps({**e, "reference": e.pop("output")}) + "\n" for e in map(dict, exam))
    )
    assert run(f"{command} --suite exam.jsonl")["items"] == {"sums": 9}


def test_items_that_the_step_passes_are_told_apart(home):
    from instdata.compare.exam_items import passing
    from instdata.score.from_build import taxonomy_of

    build = home / "builds/planted"
    told = passing(build, "filter", taxonomy_of(build))
    assert told is None or set(told.values()) == {True}  # people's rows are held out first


# --- training once, scoring for ever


def test_looks_are_remembered_over_invocations(home):
    line = f"ablate planted --filter ability=sums --model ./tiny --sizes 16 --yes {SET} --max-items 16"
    first = run(f"{line} --seeds 2 --max-seeds 2", None)
    assert (first["look"], first["looks"], first["looks_made"]) == (1, 1, [])
    again = run(f"{line} --seeds 2 --max-seeds 2", None)
    assert again["effects"] == first["effects"] and again["level"] == first["level"]
    more = run(f"{line} --seeds 3 --max-seeds 3", None)
    assert more["looks_made"] == [2] and more["seeds"] == 3
    alone = run(f"{line} --seeds 3 --max-seeds 3 --out elsewhere", None)
    assert more["level"] < alone["level"]  # what the first look spent is spent
    assert run(f"{line} --seeds 4 --max-seeds 4 --plan")["looks_before"] == [2, 3]


def test_accuracy_and_one_scorer_may_decide(home):
    line = (
        f"ablate planted --filter filter --model ./tiny --sizes 16 --seeds 2 --max-seeds 2 --max-items 16 --yes {SET}"
    )
    found = run(f"{line} --metric accuracy", None)
    assert {e["ability"] for e in found["effects"]} == {"sums", "echo", "macro"} and found["unit"] == "score"
    assert found["margin"] == pytest.approx(0.25 * 0.019) and "published" in found["margin_why"]
    one = run(f"{line} --metric number --margin 0.5", None)
    assert {e["ability"] for e in one["effects"]} == {"sums"} and one["margin"] == pytest.approx(0.5 * 0.019)
    with pytest.raises(InputError, match='Did you mean "accuracy"'):
        run(f"{line} --metric acuracy")
