"""Every kind of page in a real browser: no barrier that axe finds, nothing wider than the window, no word broken, a
quiet console, light and dark, English and Chinese, from a phone to a wall; dark pages print on white."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from instdata.audit.run import audit
from instdata.build import build, prepare
from instdata.cli.output_leaderboard import leaderboard_page
from instdata.report.page import ablation_page, write_report
from instdata.report.review.session import Reviewing
from tests.report import chromium
from tests.report.browsing import Tab, browser
from tests.report.conftest import RECIPE
from tests.report.harness_folders import write_ablation, write_curves
from tests.report.test_review_browser import Served, opened

BOARD = Path(__file__).parents[2] / "docs/results/2026-11-28-leaderboard-smollm2-cpu/leaderboard.json"
PAGES = [
    "trained", "ablation", "leaderboard", "audit", "list", "row", "pair", "thresholds", "item", "labels", "edit",
    "disagreement", "end",
]  # fmt: skip
SCORED = "  - quality: {rules: default}\nsubsets:"  # a step with scores that have thresholds
DRAWN = (
    "[...document.querySelectorAll('[data-chart]')].filter((e) => !e.closest('[hidden]')).every((e) => "
    "e.querySelector('svg'))"
)
AXE = "axe.run(document).then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))"
# Words of up to 24 letters in cells, labels and buttons that stand on two lines; data's own values may break.
BROKEN = """(() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, e = node.parentElement;
    if (!e.closest("th, td, button, label, dt, dd, figcaption, nav, h1, h2, h3") || e.closest("[dir], [hidden], option, code")) continue;
    for (const word of node.textContent.matchAll(/[\\p{Script=Latin}_]{2,24}/gu)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size > 1) found.push(word[0]);
    }
  }
  return found;
})()"""


class Every:
    """The pages, each opened in a tab by its name."""

    def __init__(self, small: Path, home: Path, stack: ExitStack):
        recipe = home / "recipe.yaml"
        recipe.write_text(RECIPE.replace("rows.jsonl", str(small.parent / "rows.jsonl")).replace("subsets:", SCORED))
        self.build = build(prepare(recipe), home / "builds/small").path
        self.trained = Path(shutil.copytree(self.build, home / "trained/builds/small"))
        write_curves(self.trained)
        self.ablation = write_ablation(home / "trained/ablations", self.trained)
        write_report(self.trained)
        ablation_page(self.ablation)
        (home / "board").mkdir()
        leaderboard_page(home / "board", json.loads(BOARD.read_text("utf-8")))
        audit(str(small.parent / "rows.jsonl"), [], home / "audit", None, None, 1, lambda line: None)
        self.files = {
            "build": self.build / "report.html", "trained": self.trained / "report.html",
            "ablation": self.ablation / "report.html", "leaderboard": home / "board/report.html",
            "audit": home / "audit/audit.html",
        }  # fmt: skip
        for who, verdict in (("ann", "pass"), ("bob", "fail")):
            session = Reviewing(self.build, who, "rule", 0.3)
            session.save({"uid": who, "n": 0, "verdict": verdict, "reasons": ["wrong"] * (verdict == "fail")})
        served = {
            "rows": ("report", self.build, "--serve"),
            "rule": ("review", self.build, "--as", "cat", "--by", "rule"),
            "ability": ("review", self.build, "--as", "cat", "--by", "ability"),
            "disputed": ("review", self.build, "--as", "cat", "--by", "rule", "--queue", "disagreements"),
            "nothing": ("review", self.build, "--as", "cat", "--by", "ability", "--queue", "disagreements"),
        }
        self.urls = {name: stack.enter_context(Served(*words)).url for name, words in served.items()}

    def open(self, tab: Tab, name: str) -> None:
        if name in self.files:
            tab.go(self.files[name].as_uri())
            tab.until(DRAWN)
            tab.ask("for (const d of document.querySelectorAll('details')) d.open = true; 0")
        elif name in ("item", "labels", "edit", "disagreement"):
            opened(tab, self.urls[{"labels": "ability", "disagreement": "disputed"}.get(name, "rule")])
            tab.press({"labels": "l", "edit": "e"}.get(name, "w"))
        elif name == "end":
            tab.go(self.urls["nothing"])
            tab.until("document.getElementById('finished')?.hidden === false")
        else:
            self._browse(tab, name)

    def _browse(self, tab: Tab, name: str) -> None:
        tab.go(self.urls["rows"])
        tab.until("document.querySelectorAll('#list .row').length")
        if name == "pair":
            tab.ask("s = document.querySelector('[name=reason]'); s.value = 'near_duplicate'; "
                    "s.dispatchEvent(new Event('input', {bubbles: true})); 0")  # fmt: skip
            every = "[...document.querySelectorAll('#list .row')].every"
            tab.until(f"{every}((r) => r.textContent.includes('near_duplicate'))")
        if name in ("row", "pair"):
            tab.ask("document.querySelector('#list .row').open = true; 0")
            tab.until("document.querySelector('.opened table')")
        if name == "thresholds":
            tab.ask("document.getElementById('thresholds').open = true; 0")
            tab.until("document.querySelectorAll('.bin').length")


@pytest.fixture(scope="module")
def every(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Every, Callable[[], Tab]]]:
    if not chromium.find():
        pytest.skip("no browser here: install Debian's chromium")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("INSTDATA_CACHE", str(_built.parent / "cache"))
        pages = Every(_built, tmp_path_factory.mktemp("pages"), stack)
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        yield pages, stack.enter_context(browser(Path(profile)))


def axe() -> str:
    package = find_spec("axe_core_python")
    if not package or not package.origin:
        pytest.skip("axe is not here: pip install axe-core-python")
    return (Path(package.origin).parent / "axe.min.js").read_text("utf-8") + ";0"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barrier_and_fits(every: tuple[Every, Callable[[], Tab]], name: str) -> None:
    pages, tabs = every
    tab = tabs()
    tab.call("Page.setBypassCSP", enabled=True)
    for width, dark, language in ((320, True, "en"), (1440, False, "zh"), (768, False, "en"), (3840, True, "en")):
        tab.look(width, 900, dark=dark)
        pages.open(tab, name)
        if language == "zh":
            tab.ask("document.getElementById('language').click()")
            tab.until(DRAWN)
        where = f"{width} px, {'dark' if dark else 'light'}, {language}"
        assert tab.ask("document.documentElement.scrollWidth") <= width, where
        assert tab.ask(BROKEN) == [], where
        if width in (320, 1440):
            tab.ask(axe())
            assert tab.ask(AXE) == [], where
    assert not tab.noise


def test_the_end_asks_for_no_verdict(every: tuple[Every, Callable[[], Tab]]) -> None:
    pages, tabs = every
    tab = tabs()
    pages.open(tab, "end")
    shown = "[...document.querySelectorAll('footer button')].filter((b) => b.offsetParent).map((b) => b.dataset.key)"
    assert tab.ask(shown) == ["e", "d", "u", "k", "j"]


def test_a_dark_page_is_printed_on_white(every: tuple[Every, Callable[[], Tab]]) -> None:
    pages, tabs = every
    tab = tabs()
    tab.look(1440, dark=True)
    pages.open(tab, "build")
    letters = "getComputedStyle(document.querySelector('#funnel svg text, [data-chart] svg text')).fill"
    on_screen = tab.ask(letters)
    tab.look(794, 1123, dark=True, media="print")
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    assert tab.ask(colours) == ["rgb(255, 255, 255)", "rgb(31, 35, 40)"]
    assert tab.ask(letters) == "rgb(31, 35, 40)" != on_screen
    drawn = "Math.max(...[...document.querySelectorAll('.chart svg')].map((e) => e.getBoundingClientRect().right))"
    assert tab.ask(drawn) <= 794, "drawn for a wider window"


def test_letters_of_charts_grow_with_the_page(every: tuple[Every, Callable[[], Tab]]) -> None:
    pages, tabs = every
    tab = tabs()
    letters = "parseFloat(getComputedStyle(document.querySelector('[data-chart] svg text')).fontSize)"
    high = "document.querySelector('#chart-abilities svg').getBoundingClientRect().height"
    tab.look(1440)
    pages.open(tab, "build")
    usual = tab.ask(letters), tab.ask(high)
    tab.look(3840, 2160)
    pages.open(tab, "build")
    assert tab.ask(letters) > 1.5 * usual[0] and tab.ask(high) > 1.3 * usual[1]


def test_stacked_marks_stay_in_their_row(every: tuple[Every, Callable[[], Tab]]) -> None:
    pages, tabs = every
    tab = tabs()
    pages.open(tab, "build")
    assert tab.ask("[...document.querySelectorAll('.row')].every((r) => getComputedStyle(r).overflowY === 'clip')")
