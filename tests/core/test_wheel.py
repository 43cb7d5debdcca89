"""The built wheel carries recipes, taxonomies and card templates, and works in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_works_in_an_empty_folder(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = tmp_path.glob("instdata-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("recipes/belle.yaml", "recipes/seeds/belle_zh.jsonl", "taxonomy/doit.yaml", "hub_cards/dataset.md"):
        assert f"instdata/_data/{wanted}" in names
    assert not [n for n in names if n.startswith(("tests", "benchmarks", "docs"))]
    assert wheel.stat().st_size < 3_000_000
    # A new environment whose own packages come first, and which borrows the dependencies of this one.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", str(wheel)], check=True, timeout=300)
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*args: str) -> str:
        done = subprocess.run(
            [str(tmp_path / "venv/bin/instdata"), *args], cwd=empty, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [str(python), "-c", "import instdata; print(instdata.__file__)"],
        cwd=empty,
        env=env,
        capture_output=True,
        text=True,
    )
    assert str(site) in where.stdout
    run("init")
    assert "built in" in run("build")
    assert (empty / "builds/dataset/README.md").exists()
    for recipe in sorted((site / "instdata/_data/recipes").glob("*.yaml")):
        assert "fine" in run("validate", str(recipe))
