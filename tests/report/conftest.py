"""A small build with awkward rows: markup in texts, Chinese, near copies, an unreadable record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from instdata.build import build, prepare
from tests.report.harness_folders import write_ablation, write_curves

EVIL = "<script>alert(1)</script></style>]]><img src=x onerror=alert(2)> javascript:alert(3) \u2028 & \"quoted\" 'too'"
RECIPE = """
name: small
taxonomy: belle
sources: [{path: rows.jsonl, name: mine}]
steps:
  - dedup: {threshold: 0.7}
  - filter: {where: "length(response) > 1"}
  - holdout: {per_ability: 2}
subsets: {sizes: [25%, 100%]}
"""
TASKS = [("山高水长", "math"), ("red green blue", "code"), ("风", "open_qa"), (EVIL, "rewrite")] * 20
NEAR = ("", ".", "!", " ?")


def records() -> list[dict[str, str]]:
    found = [
        {"instruction": f"第{i}题：{text * (1 + i % 7)}请回答", "output": "答" * (i % 9), "ability": label}
        for i, (text, label) in enumerate(TASKS)
    ]
    near = [f"Explain in two sentences how rain forms over the sea{end}" for end in NEAR]
    return found + [{"instruction": n, "output": "Water evaporates, cools and falls."} for n in near]


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("report")
    lines = [json.dumps(r, ensure_ascii=False) for r in records()] + ['{"instruction": ']
    (home / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (home / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTDATA_CACHE", str(home / "cache"))
        return build(prepare(home / "recipe.yaml"), home / "small").path


@pytest.fixture
def small(_built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small build's folder, with its cache."""
    monkeypatch.setenv("INSTDATA_CACHE", str(_built.parent / "cache"))
    return _built


@pytest.fixture
def trained(small: Path, tmp_path: Path) -> Path:
    """The small build with curves and two ablations."""
    build = Path(shutil.copytree(small, tmp_path / "builds" / "small"))
    write_curves(build)
    write_ablation(tmp_path / "ablations", build)
    write_ablation(tmp_path / "ablations", build, "dedup", judge_card=False)
    return build
