"""The pictures in docs/images, of rows of our own; run again after the pages have changed:

python -m tests.report.pictures [FOLDER]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from docs.examples.planted import rows_of, shuffled
from docs.examples.sample import records
from instdata.build import build, prepare
from tests.report.browsing import Tab, browser
from tests.report.test_review_browser import Served, opened

HERE = Path(__file__).parents[2]
MOST = 150_000  # bytes of a picture
RECIPE = """
name: example
taxonomy: belle
sources:
  - {path: alpaca_zh.jsonl, name: alpaca_zh}
  - {path: tasks_en.jsonl, name: tasks_en}
  - {path: exams.jsonl, name: exams}
  - {path: mixed_up.jsonl, name: mixed_up}
steps:
  - holdout: {per_ability: 2}
  - dedup: {threshold: 0.6}
  - quality: {rules: default, min: {chars: 3}}
  - categorize: {method: learned}
subsets: {sizes: [25%, 50%, 100%]}
"""


def example(folder: Path) -> Path:
    """A build of the shipped seed tasks with planted faults; returns its folder."""
    seeds = HERE / "recipes/seeds"
    english = rows_of(seeds / "belle_en.jsonl")
    exams = [r for name in ("doit_en", "doit_zh") for r in rows_of(seeds / f"{name}.jsonl")]
    files = {"alpaca_zh": records(), "tasks_en": english, "exams": exams, "mixed_up": shuffled(english)}
    for name, rows in files.items():
        if name == "exams":  # their labels are of another taxonomy
            rows = [{k: v for k, v in r.items() if k != "ability"} for r in rows]
        lines = (json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    (folder / "example.yaml").write_text(RECIPE, "utf-8")
    return build(prepare(folder / "example.yaml"), folder / "builds/example").path


def shoot(tab: Tab, out: Path, within: str = "body", height: int = 900) -> None:
    """A picture of an element, from its start. Raises ValueError where it is larger than MOST."""
    tab.ask("new Promise((done) => setTimeout(done, 1500))")  # charts are drawn one after the other
    box = tab.ask(f"(r => [r.y + scrollY, r.height])(document.querySelector('{within}').getBoundingClientRect())")
    width = tab.ask("innerWidth")
    clip = {"x": 0, "y": max(0, box[0] - 12), "width": width, "height": min(box[1] + 24, height), "scale": 1}
    data = tab.shot(clip)
    if len(data) > MOST:
        raise ValueError(f"{out}: {len(data):,} bytes, more than {MOST:,}: choose a smaller window")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(data)


def pictures(build: Path, out: Path, tabs: Any) -> None:
    """report.png, scores.png, review.png and browse.png of a build."""
    tab = tabs()
    tab.look(1000)
    tab.go((build / "report.html").as_uri())
    tab.until("document.querySelectorAll('[data-chart] svg').length >= 6")
    shoot(tab, out / "report.png", "#funnel", 560)
    shoot(tab, out / "scores.png", "#scores", 700)
    with Served("review", build, "--as", "ann", "--by", "rule") as served:
        tab.look(1000, 520)
        shoot(opened(tab, served.url), out / "review.png", "html", 520)
        tab.look(1000)
    with Served("report", build, "--serve") as served:
        tab.go(served.url)
        tab.until("document.querySelectorAll('#list .row').length")
        tab.ask("s = document.querySelector('[name=reason]'); s.value = 'near_duplicate'; "
                "s.dispatchEvent(new Event('input', {bubbles: true})); 0")  # fmt: skip
        tab.until(
            "![...document.querySelectorAll('#list .row')].some((r) => !r.textContent.includes('near_duplicate'))"
        )
        tab.ask("document.querySelector('#list .row').open = true; 0")
        tab.until("document.querySelector('.opened .pair')")
        shoot(tab, out / "browse.png", height=780)
    assert not tab.noise, tab.noise


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        os.environ["INSTDATA_CACHE"] = f"{scratch}/cache"
        made = example(Path(scratch))
        with browser(Path(profile)) as opened_tabs:
            pictures(made, Path(sys.argv[1] if sys.argv[1:] else HERE / "docs/images"), opened_tabs)
