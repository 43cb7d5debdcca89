"""The script of docs/publish.md, as it is written there, on a small recipe; the README in Chinese."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.publish.conftest import RECIPE, make

ROOT = Path(__file__).parents[2]


SCRIPT = ROOT / "docs/examples/publish.sh"


def test_the_documented_script_runs(tmp_path: Path) -> None:
    recipe = RECIPE.replace("name: small", "name: belle").replace("25%", "30%")
    make(tmp_path, "builds/belle", recipe=recipe)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(["bash", str(SCRIPT)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    for said in (
        "bytes would go to",
        "pushed",
        "up to date: nothing was sent",
        "30pct 15 rows",
        "full 50 rows",
        "holdout 6 rows",
    ):
        assert said in done.stdout, said
    assert done.stdout.count("fine") == 11


def test_the_page_shows_the_script_as_it_is() -> None:
    assert f"```bash\n{SCRIPT.read_text('utf-8')}```" in (ROOT / "docs/publish.md").read_text("utf-8")


def pieces(name: str) -> dict[str, list[str]]:
    """What a page and its Chinese one must have in common: the levels of headings, commands and programs without their
    comments, inline code, links (but to each other), the numbers of tables."""
    text = (ROOT / name).read_text("utf-8")
    fences = re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)
    for fence in fences:
        text = text.replace(fence, "")
    text = re.sub(r"^::: .*\n(?: {4}.*\n)*", "", text, flags=re.MULTILINE)  # what the site reads from docstrings
    plain = re.sub(r"\]\(README(\.zh)?\.md\)", "](README)", text)
    plain = re.sub(r"^\[(English|中文)\]\(.*\)$", "", plain, flags=re.MULTILINE)
    if name.startswith("docs/zh/from/"):
        plain = plain.replace("](../../", "](../")
    elif name.startswith("docs/zh/"):
        plain = plain.replace("](../", "](")
    plain = plain.replace("](docs/zh/", "](docs/")  # a page that is there in Chinese
    indented = [line.partition("#")[0].strip() for line in text.splitlines() if line.startswith("    ")]
    return {
        "headings": [line.partition(" ")[0] for line in text.splitlines() if line.startswith("#")],
        "programs": [re.sub(r"#.*", "", fence) for fence in fences],
        "commands": indented,
        "code": sorted(re.findall(r"`[^`\n]+`", text)),
        "links": sorted(re.findall(r"\]\(([^)]+)\)", plain)),
        "tables": [sorted(re.findall(r"\d[\d,.]*\d|\d", line)) for line in text.splitlines() if line.startswith("|")],
    }


def test_the_chinese_readme_says_the_same() -> None:
    english, chinese = pieces("README.md"), pieces("README.zh.md")
    for part, found in english.items():
        assert found == chinese[part], f"README.zh.md has other {part} than README.md"
    assert len(english["headings"]) > 5 and len(english["programs"]) > 2 and len(english["commands"]) > 4


ZH = ROOT / "docs/zh"
TRANSLATED = sorted(
    page for p in ZH.rglob("*.md") if (page := p.relative_to(ZH).as_posix()) not in ("index.md", "glossary.md")
)


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_chinese_page_says_what_the_english_one_says(name: str) -> None:
    english, chinese = pieces(f"docs/{name}"), pieces(f"docs/zh/{name}")
    for part in ("headings", "programs", "commands", "links"):  # sentences and tables may follow later
        assert english[part] == chinese[part], f"docs/zh/{name} has other {part} than docs/{name}"
    back = "../" * (name.count("/") + 1) + name
    assert f"]({back})" in (ZH / name).read_text("utf-8").partition("\n## ")[0]


def test_pictures_are_there_and_small() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = [
        page.parent / path for page in pages for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text("utf-8"))
    ]
    assert {p.name for p in shown} >= {"report.png", "scores.png", "review.png", "browse.png"}
    assert all(0 < path.stat().st_size < 150_000 for path in shown)
