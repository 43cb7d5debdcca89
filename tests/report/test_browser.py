"""The report in a real browser: it draws, searches, opens, changes colours and languages, and its console stays quiet."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from instdata.report.page import page

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"]  # fmt: skip

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
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if not found:
        pytest.skip("no browser here: install Debian's chromium")
    return found


def play(browser: str, text: str, scripts: list[str], folder: Path) -> dict:
    """What the scripts, run at the end of a page, put into its title as `seen:` and JSON. The console must stay quiet."""
    spy = "<script>window.alerts = 0; window.alert = () => { window.alerts += 1; };</script>"
    start, end = text.index("<body>") + len("<body>"), text.rindex("</body>")
    added = "".join(f"<script>{s}</script>" for s in scripts)
    (folder / "report.html").write_text(text[:start] + spy + text[start:end] + added + text[end:], encoding="utf-8")
    command = [
        browser,
        *FLAGS,
        "--lang=en-US",
        f"--user-data-dir={folder / 'profile'}",
        (folder / "report.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_barrier(small: Path, browser: str, tmp_path: Path, theme: str) -> None:
    package = find_spec("axe_core_python")
    if not package or not package.origin:
        pytest.skip("axe is not here: pip install axe-core-python")
    axe = (Path(package.origin).parent / "axe.min.js").read_text("utf-8")
    click = 'document.getElementById("theme").click();' if theme == "dark" else ""
    check = f"""setTimeout(() => {{
      {click} for (const d of document.querySelectorAll("details")) d.open = true;
      axe.run(document, {{ resultTypes: ["violations"] }}).then((r) => {{
        document.title = "seen:" + JSON.stringify({{ found: r.violations.map((v) => [v.id, v.nodes[0].target]) }});
      }});
    }}, 1500);"""
    assert play(browser, page(small), [axe, check], tmp_path)["found"] == []
