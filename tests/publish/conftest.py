"""A Hub on loopback, and the clients pointed at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from instdata.build import build, prepare
from tests.hub_server import Hub


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub that huggingface_hub and datasets talk to, in this process and in those it starts. The clients read
    their environment when they are imported, so what they made of it is replaced too."""
    import datasets.config
    import huggingface_hub.constants as constants

    server = Hub()
    home = tmp_path_factory.mktemp("hf")
    for name, value in {
        "HF_ENDPOINT": server.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_writer",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    _set(monkeypatch, constants, ENDPOINT=server.url,
        HUGGINGFACE_CO_URL_TEMPLATE=server.url + "/{repo_id}/resolve/{revision}/{filename}",
         HF_HUB_DISABLE_XET=True, HF_HUB_CACHE=str(home / "hub"), HF_TOKEN_PATH=str(home / "token"),
         HF_HUB_DISABLE_TELEMETRY=True)  # fmt: skip
    _set(
        monkeypatch,
        datasets.config,
        HF_ENDPOINT=server.url,
        HF_DATASETS_CACHE=Path(home / "datasets"),
        HUB_DATASETS_URL=server.url + "/datasets/{repo_id}/resolve/{revision}/{path}",
    )
    yield server
    server.close()


def _set(monkeypatch: pytest.MonkeyPatch, module: object, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)


RECIPE = """
name: small
taxonomy: belle
sources: [{path: rows.jsonl, name: mine, license: mit}]
steps:
  - dedup: {threshold: 0.7}
  - filter: {where: "length(response) > 1"}
  - holdout: {per_ability: 2}
subsets: {sizes: [25%, 100%]}
publish: {repo: me/small, license: cc-by-4.0}
"""
WORDS = ["river", "mountain", "lantern", "copper", "window", "garden", "orchid", "thunder", "velvet", "harbor"]
DROPPED = "Explain in two sentences how rain forms over the sea"


def records(n: int = 60) -> list[dict[str, object]]:
    """n distinct labelled rows with a column that nothing maps, two near copies, and some answers too short to stay."""
    tasks = [
        f"Write about the {WORDS[i % 10]} and the {WORDS[(i * 7 + 3) % 10]} in {i} different ways" for i in range(n)
    ]
    found: list[dict[str, object]] = [
        {
            "instruction": t,
            "output": "x" if i % 12 == 5 else f"Answer {i}: {WORDS[i % 7]} {WORDS[i % 5]}",
            "ability": ("math", "code", "open_qa")[i % 3],
            "note": f"private note {i}",
        }
        for i, t in enumerate(tasks)
    ]
    return found + [
        {
            "instruction": DROPPED + end,
            "output": "Water evaporates, cools and falls.",
            "ability": "open_qa",
            "note": "p",
        }
        for end in (".", " !")
    ]


def make(home: Path, out: str = "small", lines: list[dict[str, object]] | None = None, recipe: str = RECIPE) -> Path:
    """Build the small set in a folder."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "rows.jsonl").write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in lines or records()), encoding="utf-8"
    )
    (home / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return build(prepare(home / "recipe.yaml"), home / out).path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set's build folder. Tests that change it copy it first."""
    home = tmp_path_factory.mktemp("publish")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTDATA_CACHE", str(home / "cache"))
        return make(home)
