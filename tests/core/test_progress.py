"""What a person sees while a build runs: lines that fit, and no silence."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from instdata.cli import common, main
from instdata.corpus.build_progress import fitting
from instdata.util.progress import Heartbeat, counter, on_screen, part, phase, rest, track


class Beat(Heartbeat):
    """An impatient one."""

    def __init__(self, say: Callable[[str], None], live: bool = False):
        super().__init__(say, every=0.04, live=live)


def test_silence_is_broken_and_talk_is_not() -> None:
    said: list[str] = []
    with Heartbeat(said.append, every=0.05) as beat:
        time.sleep(0.2)
        assert not said, "nothing is being done yet"
        beat.doing = "dedup"
        time.sleep(0.3)
        assert said and all(line.startswith("dedup: still at work, ") for line in said)
    n = len(said)
    time.sleep(0.2)
    assert len(said) == n, "it ends with the work"


def test_work_that_knows_how_much_there_is_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """In lines: the share and the seconds left of the part that is being done, each part from its own beginning."""
    said: list[str] = []
    with Heartbeat(said.append, every=10) as beat:
        beat.doing = "dedup"
        part(1, 100, "texts")
        beat.since -= 10  # ten seconds ago
        part(20, 100, "texts")
        assert beat._told(time.monotonic()) == ", texts 20 %, about 40 s left"
        assert beat._live(beat.since + 10) == f"dedup          {'━' * 2}{'╌' * 9}  20% texts  0:00, 0:40 left"
        part(1, 100, "pairs")
        assert beat._told(time.monotonic()) == ", pairs 1 %", "too early to tell"
        part(3, 3, "pairs")
        assert beat._told(time.monotonic()) == ", pairs 100 %"
        beat.doing = "labels"
        assert beat._told(time.monotonic()) == "" and beat._live(beat._began) == "labels         0:00"
    part(1, 2)  # nobody speaks: nothing happens


def test_rows_and_requests_are_counted_on_the_line_that_has_the_clock() -> None:
    """One clock and one time left, both in words; where the whole is not known, what is done so far."""
    with Heartbeat(lambda line: None, every=10) as beat:
        beat.doing = "quality"
        rows = track([300, 500], 4, int)
        next(rows)
        assert re.fullmatch(
            r"quality        ━{3}╌{8}  25% 300 rows, [\d,]+/s  0:00, 0:00 left", beat._live(beat._began)
        )
        next(rows)
        part(1, 9, "likelihoods")  # a part of the third item
        assert beat.what == "likelihoods" and beat.said == "likelihoods"
        beat.doing = "reading"
        assert list(track([7], None, int)) == [7] and beat.share == 0
        assert re.fullmatch(r"reading        7 rows, [\d,]+/s  0:00", beat._live(beat._began))
        assert re.fullmatch(r", 7 rows, [\d,]+/s", beat._told(beat._began))
        beat.doing = "labels"
        asked = counter(2000, "requests")
        for _ in range(1000):
            asked()
        assert beat._live(beat._began) == f"labels         {'━' * 6}{'╌' * 5}  50% 1,000 requests  0:00, 0:00 left"
        part(1, 3, "rows", "1,000,000 rows, 12,000/s", beat._began - 7200)
        assert len(beat._live(beat._began + 7200)) < 80, "what is left is not cut off"


def test_one_heart_beats_from_before_the_libraries_are_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "Heartbeat", Beat)
    monkeypatch.setattr(sys, "argv", ["instdata", "build"])
    app = typer.Typer()
    app.callback()(main._top)

    @app.command()
    def build() -> None:
        time.sleep(0.2)
        common.sayer(False, "opening the sources")
        time.sleep(0.2)
        rest()

    app(["build"], standalone_mode=False)
    said = capsys.readouterr().err
    assert said.startswith("starting: still at work") and "opening the sources: still at work" in said
    assert "starting" not in said.partition("opening")[2]


def test_the_next_part_of_the_same_name_has_its_own_clock() -> None:
    """The likelihoods of the second cell are not as slow as if they had begun with the first one's."""
    with Heartbeat(print, every=60) as beat:
        beat.doing = "the cells"
        part(1, 10, "likelihoods")
        beat.since -= 1000
        part(10, 10, "likelihoods")
        part(1, 10, "likelihoods")
        beat.since -= 10
        assert beat._told(beat.since + 10) == ", likelihoods 10 %, about 90 s left"
        assert beat._told(beat.since + 60) == ", likelihoods 10 %, about 9 min left"
        assert beat._told(beat.since + 3600) == ", likelihoods 10 %, about 9.0 h left"


def test_a_phase_has_a_name_and_a_clock_of_its_own() -> None:
    with Heartbeat(print, every=60) as beat:
        beat.doing = "the cells"
        part(1, 1, "candidates")
        with phase("measuring a training step"):
            assert beat._told(time.monotonic()) == "" and beat.doing == "measuring a training step"
        assert beat.doing == "the cells" and beat._told(time.monotonic()) == ""
    with phase("nobody listens"):
        pass


def test_a_moving_bar_is_no_silence() -> None:
    said: list[str] = []
    with Heartbeat(said.append, every=0.4) as beat, on_screen("another library's bar"):
        beat.doing = "labels"
        time.sleep(1.2)
        assert not said


def test_a_person_at_a_terminal_sees_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    said: list[str] = []
    with Heartbeat(said.append, every=0.04, live=True) as beat:
        beat.doing = "dedup"
        time.sleep(0.2)
        assert "\r\x1b[2Kdedup          0:00" in screen.getvalue() and not said
        beat.say("a line")
        assert screen.getvalue().endswith("\x1b[2K"), "the line is taken away before another is written"
        with Heartbeat(said.append, every=0.04, live=True) as inner:  # the innermost speaks
            inner.doing = "labels"
            time.sleep(0.2)
            assert "labels" in screen.getvalue().rsplit("\r", 1)[1]
        with on_screen("a bar"):
            before = screen.getvalue()
            time.sleep(0.2)
            assert screen.getvalue() == before, "two would write over each other"
        time.sleep(0.2)
        rest()
        before = screen.getvalue()
        time.sleep(0.2)
        assert screen.getvalue() == before and before.endswith("\x1b[2K")


def test_a_command_that_takes_long_says_so_until_its_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "Heartbeat", Beat)
    monkeypatch.setattr(sys, "argv", ["instdata", "slow"])
    app = typer.Typer()
    app.callback()(main._top)  # as every command of the program is called, whatever click typer stands on

    @app.command()
    def slow() -> None:
        common.sayer(False, "sending")
        common.sayer(True, "quietly")
        time.sleep(0.2)
        common.result({}, True, lambda: None)
        time.sleep(0.2)

    app(["slow"], standalone_mode=False)
    n = capsys.readouterr().err
    assert n.startswith("sending: still at work, 0 s so far") and "quietly" not in n
    assert common.running.get() is None
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
    common.sayer(False, "outside of a command")  # in Python: lines, nothing that goes on


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=20), st.integers(1, 10**6), min_size=1, max_size=9))
def test_reasons_are_cut_whole(reasons: dict[str, int]) -> None:
    drops = f"{sum(reasons.values()):,} dropped ({', '.join(f'{r} {n:,}' for r, n in reasons.items())})"
    line = fitting("1,000 kept, 12 quarantined", drops, 50)
    assert line.count("(") == line.count(")") and len(line) <= max(50, len("1,000 kept, 12 quarantined, ") + 17)
    assert line.startswith("1,000 kept, 12 quarantined, ") and "…)" not in line.partition("(")[0]


def test_work_on_all_cores_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bands of dedup, its candidates: in order, whatever the number of cores."""
    from instdata.util import kernels

    told: list[tuple[float, float, str]] = []
    monkeypatch.setattr(kernels, "part", lambda *said: told.append(said))
    for cores in (1, 2):
        monkeypatch.setattr(kernels, "threads", lambda cores=cores: cores)
        assert kernels.on_all_cores(lambda x: x * x, range(3), "bands") == [0, 1, 4]
    assert told == [(i, 3, "bands") for i in (1, 2, 3)] * 2
