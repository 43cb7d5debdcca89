"""Fixtures that every test may use. Nothing outside a test's own folder is written, but for compiled kernels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from instdata.build import Build, build, prepare

# Timing never decides a test: a busy machine may take any time for an example.
settings.register_profile("instdata", deadline=None)
settings.load_profile("instdata")


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has an empty step cache, and no endpoint, key or token of the machine."""
    monkeypatch.setenv("INSTDATA_CACHE", str(tmp_path_factory.mktemp("cache")))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real data, which never enters the repository; the test is skipped where it is absent."""
    folder = Path(os.environ.get("INSTDATA_REALDATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data here: set INSTDATA_REALDATA to its folder")
    return folder


class Bench:
    """A folder with data files and recipes, and builds of them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def jsonl(self, name: str, records: list[Any]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
        return path

    def recipe(self, name: str = "recipe.yaml", **content: Any) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump({"name": "t", **content}, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return path

    def build(self, out: str = "out", jobs: int = 1, sets: list[str] = (), **content: Any) -> Build:
        plan = prepare(self.recipe(**content), sets, jobs=jobs)
        return build(plan, self.folder / out)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rows(n: int, **extra: Any) -> list[dict[str, Any]]:
    """n distinct alpaca records."""
    return [
        {
            "instruction": f"Explain item number {i} of the list",
            "input": "",
            "output": f"It is the {i}th thing.",
            **extra,
        }
        for i in range(n)
    ]
