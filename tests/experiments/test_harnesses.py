"""lm-eval: its samples as scores, our items as its tasks and as inspect's; what is refused."""

import ast
import json

import pyarrow.parquet as pq
import pytest
import yaml

from instdata.compare.run_lm_eval import imported, tasks_of
from instdata.score.harness_tasks import export_items
from instdata.score.item import Item
from instdata.util.errors import InputError, MissingExtra
from tests.experiments.items import item
from tests.harness.conftest import run
from tests.harness.test_compare import LOGS

CELL = {"cell": "m", "model": "m", "config": "base", "rows": 0, "seed": 0}


def test_real_samples_become_scores():
    """The samples that lm-eval itself wrote, under the names that it gave their metrics."""
    said = []
    (path,) = (LOGS / "tiny0").glob("samples_tiny_sums*")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    table = imported({"tiny_sums": samples}, CELL, said.append)
    assert set(table["metric"].to_pylist()) >= {"acc", "acc_norm"} and set(table["ability"].to_pylist()) == {
        "tiny_sums"
    }
    acc = [v for m, v in zip(table["metric"].to_pylist(), table["value"].to_pylist()) if m == "acc"]
    assert acc == [s["acc"] for s in samples] and not said
    odd = [{"doc_id": i, "metrics": ["acc", "perplexity"], "acc": 1.0, "perplexity": 30.0} for i in range(3)]
    table = imported({"t": odd}, CELL, said.append)
    assert set(table["metric"].to_pylist()) == {"acc"} and "perplexity is no score from 0 to 1" in said[0]
    with pytest.raises(InputError, match="no samples"):
        imported({}, CELL, said.append)


def test_what_with_means(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: mine\n")
    assert tasks_of("lm-eval:gsm8k, ceval-valid") == (["gsm8k", "ceval-valid"], None)
    assert tasks_of(f"lm-eval:{tmp_path}/mine.yaml,gsm8k") == (["mine", "gsm8k"], str(tmp_path))
    for word, said in (("gsm8k", "write lm-eval:"), ("lm-eval:", "name a task"), ("lm-eval:no.yaml", "no such file")):
        with pytest.raises(InputError, match=said):
            tasks_of(word)


ITEMS = [
    item("say blue", scorer="exact"),
    Item("n1", "sums", [{"role": "user", "content": "1 + 1 ="}], "The sum is 2.", None, "number", None, "holdout"),
    Item("n2", "sums", [{"role": "user", "content": "half of 5 ="}], "2.5", None, "number", None, "holdout"),
    Item("n3", "sums", [{"role": "user", "content": "a third ="}], "1/3", None, "number", None, "holdout"),
    Item("c1", "pick", [{"role": "user", "content": "Red?\nA. yes\nB. no"}], "B", ["yes", "no"], "choice", None,
    "holdout"),
    Item("d1", "tell", [{"role": "user", "content": "Tell."}], "once", None, "distractors", None, "holdout",
    fine="twice", coarse="green"),
    Item("j1", "tell", [{"role": "user", "content": "Tell more."}], "x", None, "judge", None, "holdout"),
]  # fmt: skip


def test_items_as_lm_eval_tasks(tmp_path):
    done = export_items(ITEMS, "my build", "lm-eval", tmp_path / "tasks")
    assert done == {
        "tasks": ["my_build_choice", "my_build_exact", "my_build_number"], "written": 5,
        "left_out": {"number written as mathematics": 1, "scorer judge": 1},
    }  # fmt: skip
    folder = tmp_path / "tasks"
    for name in done["tasks"]:
        task = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert task["task"] == name and task["dataset_kwargs"]["data_files"]["test"] == str(folder / f"{name}.jsonl")
    records = [json.loads(x) for x in (folder / "my_build_number.jsonl").read_text().splitlines()]
    assert [r["target"] for r in records] == ["2", "2.5"]
    choices = [json.loads(x) for x in (folder / "my_build_choice.jsonl").read_text().splitlines()]
    assert [(c["choices"], c["gold"]) for c in choices] == [(["A", "B"], 1), (["once", "twice", "green"], 0)]
    again = {p.name: p.read_bytes() for p in folder.iterdir()}
    export_items(ITEMS, "my build", "lm-eval", folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == again


def test_items_as_an_inspect_task(tmp_path):
    done = export_items(ITEMS, "my build", "inspect", tmp_path / "t")
    code = (tmp_path / "t/my_build.py").read_text()
    functions = [n.name for n in ast.parse(code).body if isinstance(n, ast.FunctionDef)]
    assert set(done["tasks"]) <= set(functions) and done["left_out"]["scorer distractors"] == 1


def test_refusals(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/other.txt").write_text("x")
    for out in (tmp_path / "full", tmp_path / "a.jsonl"):
        with pytest.raises(InputError, match="give a folder"):
            export_items(ITEMS, "x", "lm-eval", out)
    with pytest.raises(InputError, match="none of 1 items can be scored"):
        export_items(ITEMS[-1:], "x", "lm-eval", tmp_path / "new")


def test_the_commands(home):
    pytest.importorskip("torch")
    done = run("export planted --format lm-eval --out tasks")
    assert done["written"] == 24 and done["tasks"] == ["planted_exact", "planted_number"]
    with pytest.raises(InputError, match="write lm-eval:"):
        run("evaluate ./tiny --build planted --metrics bits --with gsm8k")
    line = "evaluate ./tiny --build planted --metrics bits --max-items 4 --with lm-eval:tasks/planted_number.yaml"
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match="lm-eval"):
            run(line)
        return
    found = run(line)
    theirs = [s for s in found["scores"] if s["suite"] == "lm-eval" and s["ability"] == "planted_number"]
    assert [(s["metric"], s["n"]) for s in theirs] == [("exact_match,last-number", 4)]
    scores = pq.read_table(home / found["file"])
    assert "bits" in set(scores["metric"].to_pylist())
