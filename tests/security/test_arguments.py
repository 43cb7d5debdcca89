"""Every argument that names something, with what no file and no name can be, or what is of another kind: one line, exit 2, and
no waiting."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instdata.build import build, prepare
from instdata.cli import main as cli
from tests.conftest import Bench, rows

# Each command with one place ({}) for a name. B: a build, R: its recipe, D: its rows.
COMMANDS = [
    "build {}", "build R --out {} --dry-run", "build R --set {} --dry-run", "build --set sources.0.path={} R --dry-run",
    "validate {}", "validate R --set {}", "why B {}", "why --build {} x", "why {} x", "diff {} B", "diff B {}", "init {}",
    "init {} --taxonomy", "export {} --out o --format alpaca", "export B --out {} --format alpaca",
    "export B --out o --format alpaca --config {}", "export B --out o --format alpaca --ability {}", "push-to-hub {} --dry-run",
    "verify {}", "verify B --sources {}", "arms {}", "arms B --filter {}", "arms B --recipe {} --filter f", "audit {} --out o",
    "audit D --against {} --out o", "audit D --recipe {} --out o",
    "compare {} {}", "compare B {}", "leaderboard {} --plan", "leaderboard R --recipe {} --plan", "leaderboard D --suite {} --plan",
    "leaderboard D --taxonomy {} --plan", "reproduce {} --plan", "reproduce belle {} --plan", "reproduce belle B --taxonomy {} --plan",
    "next {}", "train {}", "train B --config {}", "train B --recipe {} --show 1",
    "evaluate {} --build B", "evaluate local:none --build {}", "evaluate local:none --build B --suite {}",
    "curves {} --plan", "curves B --recipe {} --plan", "curves B --suite {} --plan", "curves B --taxonomy {} --plan",
    "ablate {} --filter f --plan", "ablate B --filter {} --plan", "ablate B --against {} --plan", "ablate B --filter f --judge-card {} --plan",
    "ablate B --cells {}", "ablate B --filter f --suite {} --plan", "judge-card --judge {} --on D", "judge-card --judge {} --on {}",
    "judge-card --judge D --on {}", "keep {} --why w --build B", "drop x --why w --build {}", "drop a/d.jsonl:1 --why w --build B --file {}",
    "relabel a/d.jsonl:1 --why w --build B --ability {}", "report {}", "review {} --estimate", "review B --export {}",
    "review B --import {}", "models pull {}", "models {}", "cache {}", "agent context {}",
]  # fmt: skip
# A recipe may be called pipe, a folder is what --out wants, and where a recipe has no taxonomy an ability has any name.
FREE = ("init {}", "build R --out {} --dry-run", "relabel")
NAMES = ("a pipe", "a folder", "a file", "no user", "a device")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A build, its recipe and rows, a pipe, a folder, a file that holds no JSON."""
    folder = tmp_path_factory.mktemp("arguments")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("INSTDATA_CACHE", str(folder / "cache"))
        bench = Bench(folder)
        bench.jsonl("d.jsonl", rows(40))
        bench.recipe(sources=[{"path": "d.jsonl", "name": "a"}], steps=[], subsets={"sizes": [10]})
        build(prepare(folder / "recipe.yaml"), folder / "b")
        os.mkfifo(folder / "pipe")
        (folder / "folder").mkdir()
        (folder / "file").write_text("no JSON")
        yield folder


BAD = {
    "a line end": "a\n", "half a character": "a\udce9", "no user": "~nouser-here/x", "long": "a" * 5000,
    "a pipe": "pipe", "a folder": "folder", "a file": "file", "a device": "/dev/zero",
}  # fmt: skip


def run(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def hung(*_: Any) -> None:
        raise AssertionError(f"hangs: {words}")

    monkeypatch.setattr(sys, "argv", ["instdata", *words])
    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(20)
    try:
        with pytest.raises(SystemExit) as end:
            cli.main()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return int(end.value.code or 0), capsys.readouterr().err


QUICK = ("half a character", "a device")  # the others with the slow tests: each takes ten seconds


@pytest.mark.parametrize("kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in BAD])
def test_each_argument_of_each_command(
    kind: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("INSTDATA_CACHE", str(place / "cache"))
    known = {"B": "b", "R": "recipe.yaml", "D": "d.jsonl"}
    wrong = []
    for command in COMMANDS:
        words = [known.get(w, w).replace("{}", BAD[kind]) for w in command.split()]
        code, said = run(words, monkeypatch, capsys)
        lines = [line for line in said.splitlines() if not line.startswith("source ")]
        free = code == 0 and kind in NAMES and command.startswith(FREE)
        if not free and (code != 2 or not lines or len(lines[-1]) > 2500 or re.search("Traceback|is a bug", said)):
            wrong.append((command, code, said[-300:]))
    assert not wrong


FILES = ("SHA256SUMS", "run.json", "manifest.json", "recipe.yaml", "ledger.parquet")


@pytest.mark.parametrize("kind", ["pipe", "device", "nowhere", "itself", "outside", "huge", "folder"])
def test_a_builds_own_files_are_something_else(
    kind: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    for name in FILES:
        file, kept = place / "b" / name, place / "kept"
        file.rename(kept)
        try:
            made(kind, file)
            if kind == "huge" and name == "ledger.parquet":  # a table may be
                continue
            for words in (["why", "b", "a/d.jsonl:1"], ["diff", "b", "b"], ["verify", "b"]):
                code, said = run(words, monkeypatch, capsys)
                assert code in (0, 1, 2, 4) and not re.search("Traceback|is a bug", said), (name, words, said)
                assert code < 2 or name in said or "no finished build" in said, (name, words, said)
        finally:
            file.rmdir() if kind == "folder" else file.unlink()
            kept.rename(file)


def made(kind: str, file: Path) -> None:
    """What lies there in place of a file."""
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "huge":
        with file.open("wb") as out:
            out.truncate(1 << 40)  # of holes: it takes no room
    else:
        file.symlink_to({"device": "/dev/zero", "nowhere": "gone", "itself": file.name, "outside": "/etc/passwd"}[kind])
