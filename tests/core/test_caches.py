"""Caches that are cleaned while builds use them, and what pruning takes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instdata.cli import main as cli
from instdata.util import caches
from instdata.util.paths import cache_folder
from tests.conftest import Bench, rows


def test_cleaning_waits_for_a_build(bench: Bench) -> None:
    bench.build(sources=[{"path": str(bench.jsonl("d.jsonl", rows(20))), "name": "d"}])
    said: list[str] = []
    with caches.in_use(cache_folder()), caches.in_use(cache_folder()):  # two builds at once
        waiting = threading.Thread(target=caches.clean, args=(said.append,))
        waiting.start()
        end = time.monotonic() + 60
        while not said and time.monotonic() < end:
            time.sleep(0.01)
        assert said == ["a build uses the cache: waiting for it"]
        assert list((cache_folder() / "shards").rglob("*.parquet"))
    waiting.join(60)
    assert not waiting.is_alive() and not (cache_folder() / "shards").exists()


def test_pruning_takes_what_is_old_or_left_behind(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTDATA_HOME", str(tmp_path / "home"))
    recipe = {"sources": [{"path": str(bench.jsonl("d.jsonl", rows(20))), "name": "d"}]}
    bench.build(**recipe)
    new = sorted((cache_folder() / "shards").rglob("*.parquet"))
    left = new[0].with_name(".tmp-x")
    left.write_bytes(b"x" * 100)
    old = new[0].with_name("old.parquet")
    old.write_bytes(b"y" * 1000)
    os.utime(old, (1, 1))
    (tmp_path / "home/kernels/other").mkdir(parents=True)
    (tmp_path / "home/kernels/other/k.nbi").write_bytes(b"z" * 10)
    os.utime(tmp_path / "home/kernels/other/k.nbi", (1, 1))
    (tmp_path / "home/kernels/lately").mkdir()
    (tmp_path / "home/kernels/lately/k.nbi").write_bytes(b"z")  # another installation's, perhaps
    ran = CliRunner().invoke(cli.app, ["cache", "prune", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["removed"] == {"bytes": 1100, "path": str(cache_folder())}
    assert told["removed_kernels"] == {"bytes": 10, "path": str(tmp_path / "home/kernels")}
    assert sorted((cache_folder() / "shards").rglob("*.parquet")) == new and not left.exists()
    assert not (tmp_path / "home/kernels/other").exists() and (tmp_path / "home/kernels/lately/k.nbi").exists()


def test_windows_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("sys.argv", ["instdata", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and "WSL" in capsys.readouterr().err


def test_what_a_scheduler_sends_ends_as_ctrl_c_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "_called", lambda words: lambda **how: os.kill(os.getpid(), signal.SIGTERM))
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 130 and "what was done is kept" in capsys.readouterr().err
