"""The Python API: every example of docs/python.md runs, rows in memory, steps of one's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import instdata
from instdata.util.errors import InputError

DOCS = Path(__file__).parents[2] / "docs" / "python.md"
ROWS = [{"instruction": f"Say {n}", "output": f"{n}!"} for n in ("one", "two", "three")]


def test_every_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len(blocks) > 6
    scope: dict = {}
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), scope)
    assert scope["done"].manifest["totals"]["in"] == 4


def test_rows_in_memory_read_the_same_whatever_holds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    datasets = pytest.importorskip("datasets")
    held = [ROWS, iter(ROWS), pa.Table.from_pylist(ROWS), datasets.Dataset.from_list(ROWS)]
    try:
        import pandas

        held.append(pandas.DataFrame(ROWS))
    except ImportError:
        pass
    found = [
        instdata.build({"name": f"b{i}", "sources": [rows], "steps": []}).rows("full")["messages"].to_pylist()
        for i, rows in enumerate(held)
    ]
    assert len(found[0]) == 3 and all(f == found[0] for f in found)


def test_what_is_no_row_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="a source's rows are mappings; one is a int"):
        instdata.build({"name": "b", "sources": [[1, 2]], "steps": []})
    with pytest.raises(InputError, match="no such recipe"):
        instdata.build("nowhere.yaml")


STEP = """
import pyarrow.compute as pc
from instdata import Step, Threshold, drop

class Short(Step):
    least: int = Threshold(4)

    def score(self, rows):
        return {"chars": pc.utf8_length(rows.view("answer"))}

    def decide(self, scores):
        return drop(scores.chars < self.least, "short")
"""


def test_a_step_beside_the_recipe(bench):
    bench.jsonl("data.jsonl", ROWS)
    (bench.folder / "my_step.py").write_text(STEP)
    more = {"sources": [{"path": "data.jsonl"}], "steps": [{"my_step.py:Short": {"least": 5}}]}
    first = bench.build(jobs=2, **more)
    assert first.manifest["steps"][0]["reasons"] == {"short": 2}
    assert first.manifest["steps"][0]["kind"] == "my_step.py:Short"
    (bench.folder / "my_step.py").write_text(STEP.replace("utf8_length", "utf8_length") + "# another\n")
    again = bench.build(jobs=2, **more)
    assert again.changed and again.manifest["recipe_sha256"] != first.manifest["recipe_sha256"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("my_step.py:Nothing", "has no class Nothing"),
        ("gone.py:Short", "no gone.py beside the recipe"),
        ("../my_step.py:Short", "not outside its folder"),
        ("broken.py:Short", "cannot be loaded: SyntaxError"),
    ],
)
def test_a_step_that_is_not_there(bench, kind, said):
    bench.jsonl("data.jsonl", ROWS)
    (bench.folder / "my_step.py").write_text(STEP)
    (bench.folder / "broken.py").write_text("def")
    with pytest.raises(InputError, match=said):
        bench.build(sources=[{"path": "data.jsonl"}], steps=[{kind: {}}])


def test_a_build_shows_itself_in_a_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = instdata.build({"name": "b", "sources": [[{"instruction": "<b>", "output": "x"}]], "steps": [{"dedup": {}}]})
    shown = done._repr_html_()
    assert "<table>" in shown and "dedup" in shown and "unknown" in shown
    assert "kept=1" in repr(done) and repr(instdata.open_build("b")) == repr(done).replace("builds/b", "builds/b")


def test_importing_costs_nothing():
    code = (
        "import sys, instdata\n"
        "assert not {'numpy', 'pyarrow', 'pydantic', 'numba'} & set(sys.modules)\n"
        "from instdata.build import prepare\n"
        "assert callable(instdata.build) and instdata.build.prepare is prepare\n"
        "assert {'build', 'Recipe', 'open_build', 'dedup', 'Step'} <= set(dir(instdata))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
