"""The script of docs/publish.md, as it is written there, on a small recipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.publish.conftest import RECIPE, make

ROOT = Path(__file__).parents[2]


def test_the_documented_script_runs(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "recipes").mkdir()
    recipe = RECIPE.replace("name: small", "name: belle").replace("25%", "30%").replace("rows.jsonl", "../rows.jsonl")
    (tmp_path / "recipes/belle.yaml").write_text(recipe, encoding="utf-8")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    script = re.search(r"```bash\n(.*?)```", (ROOT / "docs/publish.md").read_text("utf-8"), re.DOTALL)[1]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "bytes would go to" in done.stdout and "pushed" in done.stdout and "num_rows: 15" in done.stdout
