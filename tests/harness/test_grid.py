"""Train, evaluate, curves and ablate as their commands, on a tiny model and a build with planted noise."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from instdata.cli import app
from instdata.errors import InputError
from instdata.harness.arms import pool_of
from instdata.harness.evaluate import SCHEMA

LR = ["--set", "lr=3e-3", "--set", "dtype=float32", "--set", "length=256"]


@pytest.fixture
def home(planted, tmp_path, monkeypatch):
    """A folder of this test's own with a copy of the build."""
    shutil.copytree(planted / "builds", tmp_path / "builds")
    shutil.copy(planted / "small.yaml", tmp_path / "small.yaml")
    monkeypatch.setenv("INSTDATA_CACHE", str(planted / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, code: int = 0):
    """The command's JSON."""
    done = CliRunner().invoke(app, [*args, "--json"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_train_then_evaluate(home, tiny_folder):
    done = run("train", "planted", "--config", "64", "--model", str(tiny_folder), *LR, "--quiet")
    assert done["changed"] and done["rows"] == 64 and done["steps"] == 8
    again = run("train", "planted", "--config", "64", "--model", str(tiny_folder), *LR, "--quiet")
    assert not again["changed"]
    lines = [json.loads(line) for line in (home / done["run"] / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in lines] == list(range(8))
    found = run("evaluate", done["run"], "--build", "planted", "--quiet")
    assert found["items"] == 24
    scores = pq.read_table(home / done["run"] / "scores.parquet")
    assert scores.schema.equals(SCHEMA)
    assert set(scores["metric"].to_pylist()) >= {"bits", "distractors", "number", "exact"}
    by = {(s["metric"], s["ability"]): s for s in found["scores"]}
    assert by["bits", "macro"]["low"] < by["bits", "macro"]["value"] < by["bits", "macro"]["high"]
    assert by["distractors", "macro"]["chance"] == pytest.approx(1 / 3)
    untrained = run("evaluate", str(tiny_folder), "--build", "planted", "--metrics", "bits", "--quiet")
    base = next(s for s in untrained["scores"] if s["ability"] == "macro")
    assert by["bits", "macro"]["value"] < base["value"]


def test_a_curve_equals_the_train_commands_model(home, tiny_folder):
    curves = run("curves", "planted", "--model", str(tiny_folder), "--seeds", "1", "--metrics", "bits", *LR, "--quiet")
    trained = run("train", "planted", "--config", "64", "--model", str(tiny_folder), *LR, "--quiet")
    alone = run("evaluate", trained["run"], "--build", "planted", "--metrics", "bits", "--quiet")
    ours = {p["ability"]: p["value"] for p in curves["table"] if p["config"] == "64"}
    assert ours == {s["ability"]: pytest.approx(s["value"], abs=1e-12) for s in alone["scores"]}


def test_curves_fall_resume_and_fit(home, tiny_folder):
    args = ("curves", "planted", "--model", str(tiny_folder), "--seeds", "2", "--sizes", "32,64,128", *LR, "--quiet")
    plan = run(*args, "--plan")
    assert (plan["cells"], plan["missing"]) == (7, 7) and plan["separate_tokens"] > plan["tokens"]
    found = run(*args)
    folder = home / "builds/planted/curves"
    macro = {p["config"]: p["value"] for p in found["table"] if p["metric"] == "bits" and p["ability"] == "macro"}
    assert macro["base"] > macro["32"] > macro["64"] > macro["128"]
    fits = {(f["metric"], f["ability"]): f for f in found["fits"]}
    assert fits["bits", "macro"]["slope"] < 0 and fits["bits", "macro"]["rungs"] == 3
    before = {p.name: p.read_bytes() for p in folder.glob("*.parquet")} | {"s": (folder / "summary.json").read_bytes()}
    removed = sorted((folder / "cells").glob("*.parquet"))[2]
    removed.unlink()
    assert run(*args, "--plan")["missing"] == 1
    run(*args)
    assert before == {p.name: p.read_bytes() for p in folder.glob("*.parquet")} | {
        "s": (folder / "summary.json").read_bytes()
    }
    assert not list(folder.glob("cells/*.safetensors"))


def test_curves_by_origin_and_sizes(home, tiny_folder):
    args = (
        "curves",
        "planted",
        "--model",
        str(tiny_folder),
        "--seeds",
        "1",
        "--sizes",
        "16,32",
        "--metrics",
        "bits",
        *LR,
        "--quiet",
    )
    found = run(*args, "--origin", "human", "--origin", "mixed")
    assert {(c["arm"], c["config"]) for c in found["cells"]} == {
        ("all", "base"), ("all", "16"), ("all", "32"), ("human", "16"), ("human", "32")
    }  # fmt: skip
    with pytest.raises(InputError, match="--origin synthetic"):
        run(*args, "--origin", "synthetic")
    with pytest.raises(InputError, match="there are 276 rows"):
        run("curves", "planted", "--model", str(tiny_folder), "--sizes", "9999", "--quiet")
    with pytest.raises(InputError, match="no such config"):
        run("curves", "planted", "--model", str(tiny_folder), "--sizes", "half", "--quiet")


def test_streams_in_processes_of_their_own_give_the_same_cells(home, tiny_folder):
    from instdata.harness.cells import read_cells, run_streams
    from instdata.harness.curves import grids
    from instdata.harness.recipes import training

    how = training("proxy", [x for x in LR if "=" in x])
    made = []
    for workers in (1, 2):
        [(grid, streams)] = grids(home / "builds/planted", [str(tiny_folder)], 2, how, ["bits"], sizes="16,32")
        made.append(read_cells(run_streams(grid, streams, workers=workers)))
        shutil.rmtree(grid.folder)
    assert made[0].equals(made[1])


def test_doit_keeps_the_best_epoch_and_scores_it_on_the_other_half(home, tiny_folder):
    more = ["--recipe", "doit", "--set", "epochs=4", "--set", "best_after=1", "--set", "batch=8", *LR, "--quiet"]
    done = run("train", "planted", "--config", "32", "--model", str(tiny_folder), *more)
    assert len(done["validation"]) == 12
    lines = [json.loads(line) for line in (home / done["run"] / "metrics.jsonl").read_text().splitlines()]
    validated = {m["epoch"]: m["validation_loss"] for m in lines if "validation_loss" in m}
    assert set(validated) == {2, 3, 4}
    assert run("evaluate", done["run"], "--build", "planted", "--metrics", "bits", "--quiet")["items"] == 12


# --- ablate


def test_planted_noise_is_found_and_a_pair_of_draws_is_not(home, tiny_folder):
    args = (
        "ablate",
        "planted",
        "--filter",
        "filter",
        "--model",
        str(tiny_folder),
        "--sizes",
        "32,128",
        "--max-seeds",
        "3",
        *LR,
    )
    plan = run(*args, "--plan", "--quiet")
    assert (plan["arms"], plan["seeds"], plan["cells"]) == (3, 2, 13)
    assert set(plan["mde"]) >= {"sums", "echo"} and all(v > 0 for v in plan["mde"].values())
    assert not (home / "ablations").exists()
    found = run(*args, "--yes", "--quiet")
    verdicts = {e["ability"]: e["verdict"] for e in found["effects"]}
    assert verdicts == {"sums": "better", "echo": "better", "macro": "better"} and found["decided"]
    assert {e["verdict"] for e in found["aa"]} <= {"undecided", "equivalent"}
    folder = home / "ablations/planted-filter"
    assert {p.name for p in folder.iterdir()} >= {"scores.parquet", "effects.json", "curves.parquet", "run.json"}
    tokens = {a["arm"]: a["tokens"] for a in found["arms"] if a["size"] == 128}
    assert abs(tokens["without"] - tokens["with"]) < 100 and abs(tokens["aa"] - tokens["with"]) < 100
    keys = {
        "ability",
        "metric",
        "unit",
        "without",
        "with",
        "effect",
        "low",
        "high",
        "p_holm",
        "n",
        "seeds",
        "mde",
        "verdict",
    }
    assert keys <= found["effects"][0].keys()
    effects = (folder / "effects.json").read_bytes()
    assert run(*args, "--plan", "--quiet")["missing"] == 0
    run(*args, "--yes", "--quiet")
    assert (folder / "effects.json").read_bytes() == effects


def test_undecided_is_exit_3(home, tiny_folder):
    """One item of each ability says nothing about the next one."""
    args = [
        "--model",
        str(tiny_folder),
        "--sizes",
        "32",
        "--max-seeds",
        "2",
        "--max-items",
        "2",
        "--yes",
        "--quiet",
        *LR,
    ]
    found = run("ablate", "planted", "--filter", "ability=sums", *args, code=3)
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


def test_too_few_rows_and_a_cleaned_cache_are_said(home, tiny_folder, monkeypatch):
    args = ("ablate", "planted", "--filter", "filter", "--model", str(tiny_folder), "--plan", "--quiet")
    with pytest.raises(InputError, match="too few for size 500"):
        run(*args, "--sizes", "500")
    with pytest.raises(InputError, match="numbers of rows"):
        run(*args, "--sizes", "many")
    with pytest.raises(InputError, match="--filter STEP"):
        run("ablate", "planted", "--quiet")
    monkeypatch.setenv("INSTDATA_CACHE", str(home / "empty"))
    with pytest.raises(InputError, match="no longer in the cache"):
        run(*args, "--sizes", "32")


def test_arms_are_coupled_and_hold_no_evaluation_item(home, tiny_folder):
    from instdata.harness.ablate import prepare
    from instdata.harness.recipes import training

    build = home / "builds/planted"
    ablation = prepare(
        build, "filter", None, sizes="64", seeds=2, most=2, model=str(tiny_folder), match="tokens", metric="bits", judge=None,
        judge_runs=1, max_usd=None, recipe=training("proxy"), max_items=None, taxonomy=None, out=None, say=lambda m: None,
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


def test_two_builds_compared(home, tiny_folder):
    (home / "other.yaml").write_text(
        (home / "builds/planted/recipe.yaml").read_text().replace("name: planted", "name: other", 1)
    )
    shutil.copytree(home / "builds/planted", home / "builds/other")
    with pytest.raises(InputError, match="keep the same rows"):
        run("ablate", "planted", "--against", "other", "--model", str(tiny_folder), "--plan", "--quiet")


def test_a_finished_run_is_not_overwritten_and_a_full_disk_leaves_it_resumable(home, tiny_folder, monkeypatch):
    from instdata.errors import BuildError
    from instdata.harness import runs

    args = ["train", "planted", "--config", "32", "--model", str(tiny_folder), "--out", "runs/one", "--quiet", *LR]

    def full(*_):
        raise BuildError("runs/one: the model could not be saved; free some disk space and run again")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "save", full)
        with pytest.raises(BuildError, match="free some disk space"):
            run(*args)
    assert not (home / "runs/one/run.json").exists()
    done = run(*args)
    assert done["changed"] and (home / "runs/one/model.safetensors").is_file()
    steps = [json.loads(line)["step"] for line in (home / "runs/one/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(4))
    with pytest.raises(InputError, match="holds another run"):
        run(*args, "--seed", "7")
    assert run("evaluate", "runs/one", "--metrics", "bits", "--quiet")["build"].endswith("planted")


def test_what_shapes_a_cell_is_in_its_name(home, tiny_folder):
    from dataclasses import replace

    from instdata.harness.cells import Validation
    from instdata.harness.curves import grids
    from instdata.harness.recipes import training

    [(grid, [stream])] = grids(
        home / "builds/planted", [str(tiny_folder)], 1, training("proxy"), ["bits"], sizes="16", say=print
    )
    names = [grid.cells(stream)[0].path.name]
    for change in (
        {"kinds": ["bits", "distractors"]},
        {"recipe": training("proxy", ["lr=1e-4"])},
        {"items": [replace(grid.items[0], ability="other"), *grid.items[1:]]},
        {"items": [replace(grid.items[0], tests="assert 1"), *grid.items[1:]]},
        {"validate": Validation(grid.items[:2])},
    ):
        names.append(replace(grid, **change).cells(stream)[0].path.name)
    for stream_change in ({"seed": 5}, {"arm": "human"}, {"ids": [*stream.ids[1:], stream.ids[0]]}):
        names.append(grid.cells(replace(stream, **stream_change))[0].path.name)
    assert len(set(names)) == len(names)


def test_models_and_taxonomies_that_cannot_be_told_apart_or_found(home, tiny_folder, tmp_path):
    with pytest.raises(InputError, match="the same model twice"):
        run("curves", "planted", "--model", str(tiny_folder), "--model", str(tiny_folder), "--plan", "--quiet")
    shutil.copytree(tiny_folder, tmp_path / "elsewhere" / "tiny")
    with pytest.raises(InputError, match="two models are called tiny"):
        run(
            "curves",
            "planted",
            "--model",
            str(tiny_folder),
            "--model",
            str(tmp_path / "elsewhere/tiny"),
            "--plan",
            "--quiet",
        )
    (home / "small.yaml").unlink()
    with pytest.raises(InputError, match="give it with --taxonomy"):
        run("evaluate", str(tiny_folder), "--build", "planted", "--quiet")


def test_filters_in_any_script_have_folders_of_their_own():
    from pathlib import Path

    from instdata.harness.ablate import folder_of

    assert folder_of(Path("builds/b"), "ability=数学") != folder_of(Path("builds/b"), "ability=翻译")
    assert folder_of(Path("builds/b"), "quality.refusal") == Path("ablations/b-quality.refusal")


def test_a_cut_line_of_metrics_costs_nothing(home, tiny_folder):
    args = (
        "curves",
        "planted",
        "--model",
        str(tiny_folder),
        "--seeds",
        "1",
        "--sizes",
        "16",
        "--metrics",
        "bits",
        *LR,
        "--quiet",
    )
    run(*args)
    with open(home / "builds/planted/curves/metrics.jsonl", "a") as file:
        file.write('{"arm": "all", "se')
    assert run(*args)["cells"]
