"""`report --serve`: every row by filters, its history, its counterpart; what other thresholds would do; in a
browser."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from instdata.builds import manifest
from instdata.report.browse.rows import PAGE, Browsing
from instdata.report.browse.thresholds import Thresholds
from instdata.report.server import Server
from instdata.util.errors import InputError
from tests.report import chromium
from tests.report.browsing import browser
from tests.report.test_review_browser import Served, instdata_fails


def every(rows: Browsing, **filters: object) -> list[dict]:
    """All rows of all pages."""
    first = rows.rows(filters)
    found = list(first["rows"])
    for page in range(2, first["pages"] + 1):
        found += rows.rows({**filters, "page": page})["rows"]
    assert len(found) == first["total"]
    return found


def test_pages_hold_every_row_once(small: Path) -> None:
    rows = Browsing(small)
    ledger = pq.read_table(small / "ledger.parquet").to_pylist()
    assert sorted(r["rid"] for r in every(rows)) == sorted(r["rid"] for r in ledger)
    assert len(rows.rows({})["rows"]) == PAGE < len(ledger)
    assert rows.rows({"page": 10**9})["page"] == rows.rows({})["pages"]


def test_filters_are_the_ledgers(small: Path) -> None:
    rows = Browsing(small)
    ledger = pq.read_table(small / "ledger.parquet").to_pylist()
    options = rows.options({})
    for name in ("verdict", "step", "reason", "ability", "source"):
        for value, n in options[name]:
            wanted = {r["rid"] for r in ledger if r[name] == value}
            assert {r["rid"] for r in every(rows, **{name: value})} == wanted and len(wanted) == n
    for name, n in options["size"]:
        assert len(every(rows, size=name)) == n
    some = ledger[3]
    assert [r["rid"] for r in every(rows, name=some["rid"])] == [some["rid"]]
    assert every(rows, lang="zh") and every(rows, origin=options["origin"][0][0])


def test_search_finds_words_anywhere_in_the_text_of_kept_and_dropped(small: Path) -> None:
    rows = Browsing(small)
    rain = every(rows, search="RAIN forms")
    assert len(rain) == 4 and {r["verdict"] for r in rain} == {"kept", "dropped"}
    assert every(rows, search="evaporates") == rain  # said in the answers
    assert len(every(rows, search="rain forms", verdict="kept")) == 1
    assert not every(rows, search="rain nothing-like-that")
    assert not every(rows, search="' or 1=1 --") and every(rows, search="<script>alert(1)</script>")


def test_a_row_is_told_whole_with_the_row_that_decided(small: Path) -> None:
    rows = Browsing(small)
    near = every(rows, reason="near_duplicate")[0]
    found = rows.row({"rid": near["rid"]})
    assert found["other"]["rid"] == found["row"]["evidence"]["rid"] and found["other"]["messages"]
    assert [line["decision"] for line in found["history"]][-1] == "dropped"
    broken = every(rows, verdict="quarantined")[0]
    assert "instruction" in rows.row({"rid": broken["rid"]})["row"]["raw"]


def test_a_row_that_is_not_there_is_said(small: Path) -> None:
    rows = Browsing(small)
    named = every(rows, verdict="kept")[0]
    for rid in ("nobody's", named["id"]):  # an id is not a rid
        with pytest.raises(InputError, match="no"):
            rows.row({"rid": rid})


def test_a_fault_is_an_answer_that_says_so(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not a plain-text 500 that the page cannot read."""
    from starlette.testclient import TestClient

    def broken(asked: dict) -> None:
        raise KeyError("what")

    server = Server("browse.html", {"title": "x", "totals": manifest(small)["totals"]}, {"rows": broken})
    try:
        client = TestClient(server.application(), base_url=f"http://127.0.0.1:{server.port}")
        found = client.post(f"/{server.key}/rows", json={})
    finally:
        server.socket.close()
    assert found.status_code == 500 and found.json() == {"error": "rows could not be answered: KeyError: 'what'"}
    assert "Traceback" in caplog.text


def test_what_other_bounds_would_do() -> None:
    db = duckdb.connect()
    db.execute("""create table ledger as select 'quality' as step, i / 100.0 as score_quality_repetition,
        case when i > 60 then 'dropped' else 'kept' end as verdict, case when i > 90 then 'echo' when i > 60 then 'repetition' end as reason
        from range(100) t(i)""")
    found = Thresholds({"score_quality_repetition": "DOUBLE"}, [{"name": "quality"}])
    (score,) = found.ranges(db)
    assert (score["step"], score["score"], score["n"]) == ("quality", "repetition", 100)
    asked = {"score": "score_quality_repetition"}
    now = found.what_if(db, {**asked, "low": None, "high": None})
    assert (now["kept"], now["go"], now["dropped"], now["back"]) == (61, 0, 30, 30)
    lower = found.what_if(db, {**asked, "high": 0.3})
    assert (lower["go"], lower["back"]) == (30, 0)
    higher = found.what_if(db, {**asked, "high": 0.75})
    assert (higher["go"], higher["back"]) == (0, 15)  # what another rule dropped stays dropped
    assert found.what_if(db, {**asked, "low": 0.105})["go"] == 11
    assert sum(b["kept"] + b["mine"] + b["others"] for b in now["bins"]) == 100


@pytest.mark.parametrize("asked", [{"size": "no"}, {"score": "no"}, {"score": "rid"}])
def test_filters_that_are_none_are_refused(small: Path, asked: dict) -> None:
    with pytest.raises(ValueError, match="no"):
        Browsing(small).rows(asked)
    with pytest.raises(ValueError):
        Browsing(small).what_if({"score": "no"})


def test_the_page_browses_in_a_browser(small: Path) -> None:
    if not chromium.find():
        pytest.skip("no browser here: install Debian's chromium")
    with (
        Served("report", small, "--serve") as served,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        browser(Path(folder)) as tabs,
    ):
        tab = tabs()
        tab.look(320, 800)
        tab.go(served.url)
        tab.until("document.querySelectorAll('#list .row').length")
        shown = tab.ask("document.getElementById('found').textContent")
        tab.ask(
            "s = document.querySelector('[name=reason]'); s.value = 'near_duplicate'; s.dispatchEvent(new "
            "Event('input', {bubbles: true})); 0"
        )
        tab.until(f"document.getElementById('found').textContent !== '{shown}'")
        tab.ask("document.querySelector('#list .row').open = true")
        tab.until("document.querySelector('.opened .pair')")
        assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
        assert tab.ask("document.querySelectorAll('#list img, #list script, #list style').length") == 0
        tab.ask("document.getElementById('language').click()")
        tab.until("document.getElementById('found').textContent.endsWith('行')")
        assert not tab.noise


def test_a_port_that_is_taken_is_said(small: Path) -> None:
    with Served("report", small, "--serve") as served:
        code, said = instdata_fails("report", small, "--serve", "--port", served.port)
        assert code == 2 and f"--port {served.port}" in said
