"""The tutorial, in both languages, as it is written; pages that name messages, commands and recipes that there are."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.core.test_agent import parse
from tests.shell import forked

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(name: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (DOCS / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_both_languages_show_the_same_commands() -> None:
    assert blocks("tutorial.md") == blocks("zh/tutorial.md") and len(blocks("tutorial.md")) == 7


def test_each_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    """All but those that need a network or train: they are parsed."""
    shutil.copytree(DOCS / "examples", tmp_path / "docs/examples")
    shutil.copytree(ROOT / "recipes/seeds", tmp_path / "recipes/seeds")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    ran = []
    for language, text in blocks("tutorial.md"):
        if language == "yaml":
            (tmp_path / "tutorial.yaml").write_text(text, encoding="utf-8")
            continue
        for line in text.splitlines():
            line = re.sub(r"\s+#.*$", "", line)
            if line.startswith("instdata "):
                parse(line.removeprefix("instdata "))
            if line.startswith(("hf ", "pip ")) or " ablate " in line:
                continue
            if line.startswith("instdata "):
                done = forked(tuple(shlex.split(line)[1:]), tmp_path, env)
            else:
                command = line.replace("python ", f"{shlex.quote(sys.executable)} ", 1)
                done = subprocess.run(
                    command, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=1800
                )
            assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
            ran.append(done.stdout)
            assert all(len(x) <= 80 for x in done.stderr.splitlines()), done.stderr
    assert len(ran) >= 12
    assert any("as an" in t.lower() or "self_reference" in t for t in ran)


def test_messages_of_the_troubleshooting_page_are_the_programs() -> None:
    source = "\n".join(p.read_text("utf-8") for p in sorted((ROOT / "instdata").rglob("*.py")))
    source = re.sub(r"""["']\s*\n\s*f?["']""", "", source)  # strings written in pieces
    rows = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 15
    gone = [m for m in rows if m not in source]
    assert not gone, gone


@pytest.mark.parametrize("path", sorted((ROOT / "recipes/open").glob("*.yaml")), ids=lambda p: p.stem)
def test_recipes_of_open_sets_are_valid(path: Path) -> None:
    from instdata.build import prepare

    assert prepare(path, online=False).recipe.name == path.stem
    assert f"recipes/open/{path.name}" in (DOCS / "open-sets.md").read_text("utf-8")


def test_recipes_on_the_pages_are_valid(tmp_path: Path) -> None:
    """Every recipe on a "coming from" page, with files of the names it reads."""
    from instdata.build import prepare

    row = '{"instruction": "Name a river", "output": "the Danube"}\n'
    seed = '{"instruction": "Name a river", "instances": [{"input": "", "output": "the Danube"}]}\n'
    for name, text in {
        "a.json": f"[{row}]",
        "b.jsonl": row,
        "questions.jsonl": row,
        "data/x.jsonl": row,
        "seeds.jsonl": seed,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"instruction": ["Name a river"], "output": ["the Danube"]}), tmp_path / "data/x.parquet")
    found = 0
    for page in sorted((DOCS / "from").glob("*.md")):
        for language, text in blocks(f"from/{page.name}"):
            if language == "yaml":
                (tmp_path / "r.yaml").write_text(text)
                prepare(tmp_path / "r.yaml", online=False)
                found += 1
    assert found == 4


def test_the_workflow_on_the_ci_page_runs_commands_that_exist() -> None:
    (text,) = [t for language, t in blocks("ci.md") if language == "yaml"]
    runs = [s["run"] for s in yaml.safe_load(text)["jobs"]["data"]["steps"] if "run" in s]
    lines = [r.removeprefix("instdata ") for r in runs if r.startswith("instdata ")]
    assert len(lines) == 4
    for line in lines:
        parse(line)


def test_commands_on_the_new_pages_parse() -> None:
    for name in (
        "index.md",
        "zh/index.md",
        "taxonomy.md",
        "agents.md",
        "from/llama-factory.md",
        "zh/tutorial.md",
        "zh/audit.md",
    ):
        text = (DOCS / name).read_text("utf-8")
        lines = re.findall(r"^ {4}instdata (.+)$", text, re.MULTILINE)
        lines += re.findall(r"^instdata (.+)$", "\n".join(t for _, t in blocks(name)), re.MULTILINE)
        assert lines, name
        for line in lines:
            for part in line.partition("#")[0].replace("instdata ", "").split("&&"):
                if "NAME" not in part:
                    parse(part.strip())


def test_glossaries_tell_the_same_words() -> None:
    def words(name: str) -> list[str]:
        return [w.split()[0] for w in re.findall(r"^\| (\w[^|]*) \|", (DOCS / name).read_text("utf-8"), re.MULTILINE)][
            1:
        ]

    assert words("glossary.md") == words("zh/glossary.md")


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")], cwd=ROOT, env=env,
        capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "site/reference.html").read_text("utf-8")
    assert "instdata verify" in page and "min_precision" in page
    assert "open_build" in (tmp_path / "site/api.html").read_text("utf-8")
    assert 'src="http' not in page and "fonts.googleapis" not in page
