"""The cards: a golden file, what the Hub reads of them, both languages alike, and names that stay text."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from instdata.publish.card import write_cards
from instdata.util.resources import resource
from tests.report.harness_folders import write_ablation, write_curves

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_card_is_as_it_was(small: Path, name: str) -> None:
    """After a change that is meant: INSTDATA_GOLDEN=write pytest tests/publish/test_card.py, and read the
    difference."""
    text = lasting(small, (small / name).read_text("utf-8"))
    assert text == golden(name, text)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_with_curves_and_ablations_it_is_as_it_was(small: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "builds" / "small"
    shutil.copytree(small, copy)
    write_curves(copy)
    write_ablation(tmp_path / "ablations", copy, "quality.refusal")
    charts = {"curves:view0": "charts/curves.png", "ablation:small-quality.refusal": "charts/effects.png"}
    write_cards(copy, json.loads((copy / "manifest.json").read_text()), charts=charts)
    text = (copy / name).read_text("utf-8")
    assert "earlier build" not in text and "较早" not in text
    text = lasting(small, text)
    assert text == golden(name.replace("README", "TRAINED"), text)


def test_figures_of_an_earlier_build_say_so(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "builds" / "small"
    shutil.copytree(small, copy)
    write_curves(copy)
    write_ablation(tmp_path / "ablations", copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"seed": 7}))
    write_cards(copy, manifest)
    assert (copy / "README.md").read_text("utf-8").count("From an earlier build") == 2


def lasting(small: Path, text: str) -> str:
    """A card without what another version or another layout of the recipe changes."""
    manifest = json.loads((small / "manifest.json").read_text())
    text = text.replace(manifest["recipe_sha256"][:16], "<recipe hash>").replace(
        f"instdata {manifest['versions']['instdata']}", "instdata <version>"
    )
    return re.sub(r"```yaml\n.*?\n```", "```yaml\n<recipe>\n```", text, flags=re.DOTALL)


def golden(name: str, text: str) -> str:
    """What the golden file holds; where INSTDATA_GOLDEN=write asks for it, `text` is put there first."""
    if os.environ.get("INSTDATA_GOLDEN") == "write":
        (GOLDEN / name).write_text(text, encoding="utf-8")
    return (GOLDEN / name).read_text("utf-8")


def test_the_hub_reads_it(small: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(small / "README.md").data
    assert card.license == "cc-by-4.0" and card.language == ["en"] and card.size_categories == ["n<1K"]
    assert (
        card.task_categories == ["text-generation"]
        and card.annotations_creators == ["found"]
        and card.source_datasets == ["original"]
    )
    assert [c["config_name"] for c in card.configs] == ["25pct", "100pct", "full", "holdout"]


def test_figures_are_the_manifests(small: Path) -> None:
    manifest = json.loads((small / "manifest.json").read_text())
    text = (small / "README.md").read_text("utf-8")
    for name, config in manifest["configs"].items():
        assert re.search(rf"\| `{name}` \| \w+ \| {config['rows']:,} \|", text)
    for ability, rows in manifest["configs"]["full"]["by_ability"].items():
        assert f"| {ability} | {rows:,} |" in text
    assert f"= {manifest['totals']['kept']:,} kept + {manifest['totals']['dropped']:,} dropped" in text


@pytest.mark.parametrize("card", ["dataset", "model"])
def test_both_languages_say_the_same(card: str) -> None:
    english, chinese = ((resource("hub_cards") / n).read_text("utf-8") for n in (f"{card}.md", f"{card}.zh.md"))
    english = english[english.index("\n# ") + 1 :]
    for pattern in (
        r"\{[{%] [^\"}]*? [}%]\}",
        r"`instdata[^`]*`",
        r"https://[^)]*",
    ):  # figures and logic, commands, links
        found = [sorted(re.findall(pattern, text)) for text in (english, chinese)]
        assert found[0] and found[0] == found[1]
    for start in ("## ", "### ", "|", "```"):  # sections, tables, code
        assert sum(line.startswith(start) for line in english.split("\n")) == sum(
            line.startswith(start) for line in chinese.split("\n")
        )


def test_names_stay_text(small: Path, tmp_path: Path) -> None:
    evil = "a|b <script>alert(1)</script> [x](javascript:y) `z`\n# no"
    recipe = yaml.safe_load((small / "recipe.yaml").read_text())
    shutil.copytree(small, tmp_path / "set")
    recipe["sources"][0]["license"] = evil
    recipe["sources"][0]["path"] = "````"
    (tmp_path / "set/recipe.yaml").write_text(yaml.safe_dump(recipe))
    write_cards(tmp_path / "set", json.loads((small / "manifest.json").read_text()))
    text = (tmp_path / "set/README.md").read_text("utf-8")
    assert r"a\|b &lt;script>alert(1)&lt;/script> \[x\](javascript:y) \`z\` # no" in text
    assert text.count("\n`````yaml\n") == 1 and text.count("\n`````\n") == 1


def test_what_generation_cost_is_told(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "set")
    manifest = json.loads((small / "manifest.json").read_text())
    recipe = yaml.safe_load((small / "recipe.yaml").read_text())
    manifest["steps"].insert(
        0,
        {
            "name": "generate",
            "kind": "generate",
            "in": 60,
            "added": 9,
            "kept": 67,
            "dropped": 2,
            "quarantined": 0,
            "reasons": {"over_target": 2},
        },
    )
    recipe["steps"].insert(
        0, {"generate": {"method": "self-instruct", "model": "local:qwen", "language": "zh", "target": 7}}
    )
    (tmp_path / "set/recipe.yaml").write_text(yaml.safe_dump(recipe))
    usage = {"generate": {"requests": 5, "prompt_tokens": 1234, "completion_tokens": 99, "usd": 0.25}}
    write_cards(tmp_path / "set", manifest, run={"usage": usage})
    text = (tmp_path / "set/README.md").read_text("utf-8")
    assert "9 rows generated, 7 accepted, method self-instruct, model local:qwen" in text
    assert "It took 5 requests, 1,234 prompt and 99 completion tokens, 0.2500 USD." in text
