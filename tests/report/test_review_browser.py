"""The review page in a real browser: keys, two people at once, a server that is killed, hostile rows; and what the
server refuses."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instdata.report.review.sampling import draw
from instdata.steps.reviews_file import read_reviews
from tests.report import chromium
from tests.report.browsing import Tab, browser


@pytest.fixture
def mine(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "small"))


@pytest.fixture(scope="module")
def tabs() -> Iterator[Any]:
    if not chromium.find():
        pytest.skip("no browser here: install Debian's chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, browser(Path(folder)) as tab:
        yield tab


class Served:
    """An `instdata` that serves a page, in a process of its own."""

    def __init__(self, *args: object):
        command = [sys.executable, "-m", "instdata", *map(str, args), "--json", "--quiet"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        assert self.process.stdout
        self.url: str = json.loads(self.process.stdout.readline())["url"]
        self.port, self.key = int(self.url.split(":")[2].split("/")[0]), self.url.split("/")[3]

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGINT)

    def end(self, how: int) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(20)
        assert self.process.stdout
        self.process.stdout.close()
        return code

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> http.client.HTTPResponse:
        one = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        one.request(method, path, body, headers)
        return one.getresponse()


def opened(tab: Tab, url: str) -> Tab:
    tab.go(url)
    tab.until("document.getElementById('work')?.hidden === false")
    return tab


def press(tab: Tab, *keys: str) -> None:
    """Keys, each answered before the next: a verdict when the page has moved on."""
    for key in keys:
        before = tab.ask("document.body.dataset.saved || 0")
        tab.press(key)
        if key in "123":
            tab.until(f"(document.body.dataset.saved || 0) != {before}")


def test_two_people_review_at_once_by_keys(mine: Path, tabs: Any) -> None:
    common = ("review", mine, "--by", "rule")
    with Served(*common, "--as", "ann") as a, Served(*common, "--as", "bob") as b:
        ann, bob = opened(tabs(), a.url), opened(tabs(), b.url)
        for _ in range(6):
            press(ann, "1")
            press(bob, "w", "2")
        press(ann, "k", "2")  # back to the sixth, and another verdict
        press(ann, "3", "u")  # the seventh, taken back
        ann.until("document.getElementById('progress').textContent.startsWith('6 ')")
        found = read_reviews(mine / "reviews.jsonl")
        last = {(o.who, o.rid): o.verdict for o in found}
        assert sorted(last.values()) == ["fail"] * 7 + ["pass"] * 5
        assert {o.reasons for o in found if o.who == "bob"} == {("wrong",)}
        assert {o.rid for o in found if o.who == "ann"} == {o.rid for o in found if o.who == "bob"}
        assert not ann.noise and not bob.noise
    assert a.process.returncode == 0 and b.process.returncode == 0


def test_a_server_that_is_killed_loses_nothing(mine: Path, tabs: Any) -> None:
    with Served("review", mine, "--as", "ann", "--by", "rule") as one:
        tab = opened(tabs(), one.url)
        press(tab, "1", "2", "1")
        one.end(signal.SIGKILL)
        assert [o.verdict for o in read_reviews(mine / "reviews.jsonl")] == ["pass", "fail", "pass"]
        tab.press("2")
        tab.until("document.getElementById('trouble').textContent.includes('NOT saved')")
    with Served("review", mine, "--as", "ann", "--by", "rule") as two:
        tab = opened(tabs(), two.url)
        tab.until("document.getElementById('progress').textContent.startsWith('3 ')")
        press(tab, "3")
        found = read_reviews(mine / "reviews.jsonl")
        assert [o.verdict for o in found] == ["pass", "fail", "pass", "unsure"] and len({o.rid for o in found}) == 4


def test_an_edit_shows_what_it_changes_and_is_kept(mine: Path, tabs: Any) -> None:
    with Served("review", mine, "--as", "ann", "--by", "arm") as served:
        tab = opened(tabs(), served.url)
        press(tab, "e")
        tab.until("!document.getElementById('editing').hidden")
        tab.ask("e = document.getElementById('edit'); e.value += ' 更好'; e.dispatchEvent(new Event('input')); 0")
        tab.until("document.querySelector('#difference ins')?.textContent.trim() === '更好'")
        tab.press("1")  # typed, not a verdict
        assert not (mine / "reviews.jsonl").exists()
        tab.press("Enter", modifiers=2)
        tab.until("document.getElementById('progress').textContent.startsWith('1 ')")
        (edit,) = read_reviews(mine / "reviews.jsonl")
        assert edit.verdict == "fail" and "更好" in edit.value and not tab.noise


def test_rows_are_text_and_never_markup(mine: Path, tabs: Any) -> None:
    """Every row of the sample on the screen, among them scripts, quotes and end tags: nothing of them becomes an
    element."""
    hostile = [i for i in draw(mine, "rule").items if i.stratum == "kept"][:30]
    assert hostile
    with Served("review", mine, "--as", "ann", "--by", "rule") as served:
        tab = opened(tabs(), served.url)
        seen = ""
        while tab.ask("!document.getElementById('work').hidden"):
            seen += tab.ask("document.getElementById('rows').innerText")
            assert tab.ask("document.querySelectorAll('#rows script, #rows img, #rows style, #rows a').length") == 0
            press(tab, "1")
        assert "<script>alert(1)</script>" in seen and not tab.noise


def test_the_page_is_narrow_dark_and_chinese(mine: Path, tabs: Any) -> None:
    with Served("review", mine, "--as", "ann", "--by", "ability") as served:
        tab = tabs()
        tab.look(320, 700, dark=True)
        opened(tab, served.url)
        assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
        assert tab.ask("document.documentElement.dataset.theme") == "dark"
        tab.ask("document.getElementById('language').click()")
        tab.until("document.getElementById('question')?.innerText.includes('值得学习')")


def test_the_server_answers_to_its_own_alone(mine: Path) -> None:
    with Served("review", mine, "--as", "ann", "--by", "rule") as served:
        page, body = f"/{served.key}/", json.dumps({"uid": "x", "n": 0, "verdict": "pass"})
        fine = served.request("GET", page)
        assert fine.status == 200 and "default-src 'none'" in fine.headers["content-security-policy"]
        assert (
            "unsafe" not in fine.headers["content-security-policy"] and fine.headers["referrer-policy"] == "no-referrer"
        )
        assert served.request("GET", "/").status == 404
        assert served.request("GET", "/wrong-key/").status == 404
        assert served.request("POST", "/wrong-key/save", body).status == 404
        assert served.request("GET", page, Host="evil.example").status == 421
        assert served.request("POST", page + "save", body, Host=f"evil.example:{served.port}").status == 421
        assert served.request("POST", page + "save", body, Origin="http://evil.example").status == 403
        assert served.request("POST", page + "save", body, Origin="null").status == 403
        assert served.request("GET", page + "page.py").status == 404
        assert served.request("GET", page + "..%2fpage.py").status == 404
        assert served.request("GET", page + "save").status == 404
        assert not (mine / "reviews.jsonl").exists()
        for bad in ("{", "[]", "x" * 5_000_000, json.dumps({"uid": "x", "n": -1, "verdict": "pass"}),
                    json.dumps({"uid": "x", "n": 0, "verdict": "maybe"}),
                    json.dumps({"uid": "x", "n": True, "verdict": "pass"}),
                    json.dumps({"uid": 3, "n": 0, "verdict": "pass"}),
                    json.dumps({"n": 0, "verdict": "pass"})):  # fmt: skip
            assert served.request("POST", page + "save", bad).status == 400
        assert not (mine / "reviews.jsonl").exists()
        surrogate = served.request("POST", page + "save", '{"uid": "x", "n": 0, "verdict": "pass", "note": "\\ud83d"}')
        assert surrogate.status in (200, 400)
        assert served.request("POST", page + "save", body).status == 200
        assert served.request("POST", page + "save", body).status == 200
        assert len(read_reviews(mine / "reviews.jsonl")) == 1


def test_without_the_extra_it_says_what_to_install(mine: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = None; sys.modules['uvicorn'] = None; from instdata.cli.main import "
        "main\n"
        f"sys.argv = ['instdata', 'review', {str(mine)!r}, '--as', 'ann']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "pip install 'instdata[review]'" in done.stderr
    estimates = subprocess.run(
        [sys.executable, "-c", code.replace("'--as', 'ann'", "'--estimate'")], capture_output=True, timeout=60
    )
    assert estimates.returncode == 0


def instdata_fails(*args: object) -> tuple[int, str]:
    """(exit code, what it said) of a command that should not go on."""
    command = [sys.executable, "-m", "instdata", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr
