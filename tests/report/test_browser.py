"""The report in a real browser: it draws, searches, opens, changes colours and languages, and its console stays
quiet."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from instdata.report.page import page
from tests.report import chromium

PLAYED = [*chromium.FLAGS, "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"]

# Plays a reader: waits for the charts, then uses each control and notes what the page shows.
READER = """
const seen = {};
const visible = (s) => [...document.querySelectorAll(s)].filter((e) => e.offsetParent !== null).length;
const type = (id, text) => { const e = document.getElementById(id); e.value = text; e.dispatchEvent(new Event("input")); };
setTimeout(() => {
  seen.charts = document.querySelectorAll("[data-chart] svg").length;
  seen.places = document.querySelectorAll("[data-chart]").length;
  type("search", "rain forms SEA");
  seen.found = document.getElementById("found").textContent;
  seen.groups = visible("#rows .group");
  seen.rows = visible("#rows .row.dropped");
  type("search", "no such words anywhere");
  seen.none = visible("#rows .group");
  type("search", "");
  type("step", "filter");
  seen.filtered = [...new Set([...document.querySelectorAll("#rows .group")].filter((g) => !g.hidden).map((g) => g.dataset.step))];
  type("step", "");
  const cluster = document.querySelector(".cluster");
  cluster.querySelector("summary").click();
  seen.cluster = cluster.open;
  const row = document.querySelector("#rows .row.dropped");
  document.getElementById("wanted").value = row.dataset.rid;
  document.querySelector("#lookup button").click();
  seen.history = document.querySelectorAll("#one .history[open]").length;
  document.getElementById("wanted").value = "nobody";
  document.querySelector("#lookup button").click();
  seen.nobody = document.getElementById("one").textContent;
  const light = getComputedStyle(document.body).backgroundColor;
  document.getElementById("theme").click();
  seen.dark = [light, getComputedStyle(document.body).backgroundColor];
  document.getElementById("language").click();
  seen.chinese = document.querySelector("#h-funnel").innerText;
  seen.alerts = window.alerts;
  document.title = "seen:" + JSON.stringify(seen);
}, 2000);
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = chromium.find()
    if not found:
        pytest.skip("no browser here: install Debian's chromium")
    return found


def play(browser: str, text: str, scripts: list[str], folder: Path) -> dict:
    """What the scripts, run at the end of a page, put into its title as `seen:` and JSON. The console must stay
    quiet."""
    spy = "<script>window.alerts = 0; window.alert = () => { window.alerts += 1; };</script>"
    start, end = text.index("<body>") + len("<body>"), text.rindex("</body>")
    added = "".join(f"<script>{s}</script>" for s in scripts)
    (folder / "report.html").write_text(text[:start] + spy + text[start:end] + added + text[end:], encoding="utf-8")
    command = [
        browser,
        *PLAYED,
        f"--user-data-dir={folder / 'profile'}",
        (folder / "report.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert not re.findall(r".*CONSOLE.*", done.stderr)
    return json.loads(html.unescape(re.search(r"<title>seen:(.*?)</title>", done.stdout, re.DOTALL)[1]))


def test_a_reader_can_use_it(small: Path, browser: str, tmp_path: Path) -> None:
    seen = play(browser, page(small), [READER], tmp_path)
    assert seen["charts"] == seen["places"] >= 6
    shown, total = map(int, seen["found"].split(" / "))
    assert 0 < shown < total and seen["groups"] == 1 and seen["rows"] == shown
    assert seen["none"] == 0 and seen["filtered"] == ["filter"]
    assert seen["cluster"] and seen["history"] == 1 and "instdata why nobody" in seen["nobody"]
    assert seen["dark"][0] != seen["dark"][1] and seen["chinese"] == "漏斗"
    assert seen["alerts"] == 0


# Looks at curves and ablations: what is drawn, what choosing another metric shows, whether the page is wider than its window.
CURVES = """
const seen = {};
const drawn = (s) => document.querySelectorAll(`${s} svg`).length;
setTimeout(() => {
  seen.first = [drawn("#curves-view0"), drawn("#curves-view1")];
  seen.forests = drawn("#chart-ablation0-effects") + drawn("#chart-ablation0-aa");
  seen.marks = document.querySelectorAll("#chart-ablation0-effects svg .mark-symbol path").length;
  const choice = document.querySelector("#curves select.choice");
  choice.value = "curves-view2";
  choice.dispatchEvent(new Event("input"));
  document.getElementById("theme").click();
}, 3000);
setTimeout(() => {
  seen.then = [drawn("#curves-view2"), document.getElementById("curves-view0").offsetParent === null, document.getElementById("curves-view2").offsetParent !== null];
  seen.wide = document.documentElement.scrollWidth > innerWidth;
  document.getElementById("language").click();
  seen.words = [...document.querySelectorAll(".word.better")].map((e) => e.innerText)[0];
  document.title = "seen:" + JSON.stringify(seen);
}, 8000);
"""


def test_curves_and_ablations_are_drawn_and_chosen(trained: Path, browser: str, tmp_path: Path) -> None:
    seen = play(browser, page(trained), [CURVES], tmp_path)
    assert seen["first"] == [5, 0] and seen["forests"] == 2 and seen["marks"] == 5
    assert seen["then"] == [5, True, True] and not seen["wide"]
    assert seen["words"] == "更好"


def test_pictures_for_the_readme_are_small(trained: Path, browser: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(trained), encoding="utf-8")
    chromium.shoot(tmp_path / "report.html", tmp_path / "images/a.png", ["curves"], height=700)
    chromium.shoot(tmp_path / "report.html", tmp_path / "images/b.png", ["curves"], height=700, dark=True)
    one, other = ((tmp_path / f"images/{n}.png").read_bytes() for n in "ab")
    assert one.startswith(b"\x89PNG") and 20_000 < len(one) < chromium.MOST and one != other
