"""A build in a real Jupyter kernel: one bar, no escape codes, and the lines behind it."""

from __future__ import annotations

import json

import pytest


def test_a_build_in_a_notebook_is_one_bar(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    rows = [{"instruction": f"Count to {i}", "output": f"one and {i} < {i + 1}"} for i in range(30)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recipe = {
        "name": "nb",
        "sources": [{"path": str(tmp_path / "rows.jsonl")}],
        "steps": [{"dedup": {"method": "exact"}}],
    }
    code = f"import instdata\ninstdata.build({recipe!r}, out={str(tmp_path / 'out')!r})"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    bar, build = book.cells[0].outputs
    assert (bar.output_type, build.output_type) == ("display_data", "execute_result")
    shown = bar.data["text/html"]
    assert shown.count("<summary>") == 1 and "30 rows kept" in shown and "dedup" in shown and "\x1b" not in shown
    assert "<th>step</th>" in build.data["text/html"]
