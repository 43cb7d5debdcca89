"""Machines that are too small or behave badly: no hang, no abort, one line that says what to do, and the next run goes
on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import instdata.__main__
from instdata.util.atomic import whole
from instdata.util.engine import Processes
from instdata.util.errors import BuildError, OutOfTime
from instdata.util.machine_limits import enough, trouble, writing
from tests.conftest import Bench, rows
from tests.core.test_build import fingerprint

REPO = Path(__file__).parents[2]
RECIPE = {
    "sources": [{"path": "d.jsonl", "name": "d"}],
    "steps": [{"filter": {"where": "length(response) > 2"}}],
    "subsets": {"sizes": [100, 1000]},
}
MOUNTS = sys.platform == "linux" and shutil.which("unshare") is not None and not subprocess.run(
    ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode  # fmt: skip
mounts = pytest.mark.skipif(not MOUNTS, reason="this system gives no user namespaces to mount a small disk in")
prlimit = pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit here")


@pytest.fixture
def folder(bench: Bench) -> Path:
    """A folder with data and a recipe."""
    bench.jsonl("d.jsonl", rows(3000))
    bench.recipe(**RECIPE)
    return bench.folder


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in the folder; ends within two minutes or the test fails."""
    places = {"PYTHONPATH": os.pathsep.join([variables.pop("PATCH", ""), str(REPO)]).strip(os.pathsep)}
    environment = {**os.environ, **places, "INSTDATA_CACHE": str(folder / "cache"), **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def built(out: str, *before: str, jobs: int = 2) -> list[str]:
    return [*before, sys.executable, "-m", "instdata", "build", "recipe.yaml", "--out", out, "--jobs", str(jobs)]


def says(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    """It failed with one line that holds the words, without a trace and without calling itself a bug."""
    assert ran.returncode == 1, ran
    last = ran.stderr.strip().splitlines()[-1]
    assert all(word in last for word in words), ran.stderr
    assert "Traceback" not in ran.stderr and "This is a bug" not in ran.stderr and "core dumped" not in ran.stderr


@prlimit
@pytest.mark.parametrize("jobs", [1, 2])
def test_too_little_memory_is_said(folder: Path, jobs: int) -> None:
    says(run(folder, *built("out", "prlimit", f"--as={700 << 20}", jobs=jobs)), "out of memory",
        "ulimit -v gives 700 MB", "fewer --jobs")  # fmt: skip
    assert run(folder, *built("out")).returncode == 0


@prlimit
@pytest.mark.parametrize("command", ["audit", "evaluate", "ablate"])
def test_every_heavy_command_says_so(folder: Path, command: str) -> None:
    says(run(folder, "prlimit", f"--as={700 << 20}", sys.executable, "-m", "instdata", command, "x"),
        "out of memory", "ulimit -v gives 700 MB")  # fmt: skip


@prlimit
@pytest.mark.parametrize("limit, command, told", [
    (f"--as={90 << 20}", "why x", "ulimit -v gives 90 MB): its libraries alone need 1,024 MB"),
    ("--cpu=1", "build x", "ulimit -t gives 1 s"),
])  # fmt: skip
def test_what_libraries_abort_on_is_said_before(tmp_path: Path, limit: str, command: str, told: str) -> None:
    says(run(tmp_path, "prlimit", limit, sys.executable, "-m", "instdata", *command.split()), told)


def test_not_even_the_command_line_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def none() -> None:
        raise MemoryError

    monkeypatch.setitem(sys.modules, "instdata.cli.main", SimpleNamespace(main=none))
    with pytest.raises(SystemExit, match="1"):
        instdata.__main__.run()
    assert "a higher ulimit -v" in capsys.readouterr().err


def test_time_that_runs_out_is_said_and_no_row_swallows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    bounds: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (60, 60) if kind == resource.RLIMIT_CPU else (-1, -1))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: bounds.append(pair))
    before = signal.getsignal(signal.SIGXCPU)
    try:
        enough(True)
        assert bounds == [(59, 60)]  # the signal comes before the kill
        with pytest.raises(OutOfTime, match=r"ulimit -t gives 60 s.*run the same command again"):
            try:
                signal.raise_signal(signal.SIGXCPU)
            except Exception:
                pytest.fail("a row would have swallowed it")
        signal.raise_signal(signal.SIGXCPU)  # the next second's
    finally:
        signal.signal(signal.SIGXCPU, before)
    assert "ulimit -t gives 60 s" in (trouble(type("BrokenProcessPool", (Exception,), {})()) or "")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), OSError("[Errno 27] Error writing bytes to file")]
)
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(OSError) as told, whole(tmp_path / "x.json") as file:
        file.write(b"x")
        raise error
    assert (trouble(told.value) or "").startswith(f"{tmp_path}/x.json: ")
    assert not list(tmp_path.iterdir())


def test_a_command_without_out_is_told_of_none(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device", str(tmp_path / "x"))
    assert "choose another disk (--out)" in (trouble(full) or "")
    assert "work on a copy elsewhere" in (trouble(full, elsewhere="") or "")


@prlimit
def test_sixty_four_open_files_are_enough(folder: Path) -> None:
    ran = run(folder, *built("out", "prlimit", "--nofile=64"))
    assert ran.returncode == 0, ran.stderr


@mounts
@pytest.mark.parametrize("size, out, place, choice",
    [("60k", "out", "disk", "INSTDATA_CACHE"), ("600k", "disk/out", "disk/out", "--out")])  # fmt: skip
def test_a_full_disk_names_the_place_and_the_next_run_goes_on(folder: Path, size: str, out: str, place: str,
    choice: str) -> None:  # fmt: skip
    (folder / "disk").mkdir()
    script = (
        f'mount -t tmpfs -o size={size} none disk && "$@"; code=$?; mount -o remount,size=50m disk && "$@" >&2 '
        f"|| exit 99; exit $code"
    )
    cache = "disk/cache" if out == "out" else "cache"
    ran = run(folder, "unshare", "-rm", "sh", "-c", script, "sh", *built(out), INSTDATA_CACHE=str(folder / cache))
    assert ran.returncode == 1, ran.stderr
    line = next(line for line in ran.stderr.splitlines() if "the disk is full" in line)
    assert place in line and f"choose another disk ({choice})" in line and "run the same command again" in line
    assert "Traceback" not in ran.stderr and "This is a bug" not in ran.stderr


@mounts
@pytest.mark.parametrize("out, choice", [("out", "INSTDATA_CACHE"), ("disk/out", "--out")])
def test_a_read_only_folder_is_named(folder: Path, out: str, choice: str) -> None:
    (folder / "disk").mkdir()
    script = 'mount -t tmpfs -o ro none disk && exec "$@"'
    cache = "disk/cache" if out == "out" else "cache"
    ran = run(folder, "unshare", "-rm", "sh", "-c", script, "sh", *built(out), INSTDATA_CACHE=str(folder / cache))
    says(ran, str(Path("disk")), "read-only", f"choose another folder ({choice})")


@prlimit
def test_files_that_may_not_grow_are_said(folder: Path) -> None:
    says(run(folder, *built("out", "prlimit", f"--fsize={20 << 10}", jobs=1)), "ulimit -f")


def test_two_builds_share_a_cache(folder: Path) -> None:
    """At once, both from nothing: each ends well, with the same bytes."""
    environment = {**os.environ, "PYTHONPATH": str(REPO), "INSTDATA_CACHE": str(folder / "cache")}
    both = [subprocess.Popen(built(f"out{i}"), cwd=folder, env=environment, stdout=subprocess.DEVNULL) for i in (1, 2)]
    assert [p.wait(timeout=120) for p in both] == [0, 0]
    assert fingerprint(folder / "out1") == fingerprint(folder / "out2")


@pytest.mark.parametrize("jump", ["random.choice((-1, 1)) * 1e8"])
def test_a_clock_that_jumps_changes_nothing(folder: Path, jump: str) -> None:
    assert run(folder, *built("straight")).returncode == 0
    (folder / "patch").mkdir()
    lines = (
        f"import random, time\nreal, calls = time.time, []\ndef now():\n    calls.append(1)\n    return real() + "
        f"(({jump}) if len(calls) % 2 else 0)\ntime.time = now\n"
    )
    (folder / "patch" / "sitecustomize.py").write_text(lines)
    ran = run(folder, *built("jumping"), PATCH=str(folder / "patch"), INSTDATA_CACHE=str(folder / "cache2"))
    assert ran.returncode == 0, ran.stderr
    assert "-" not in "".join(w for w in ran.stderr.split() if w.replace(".", "").replace("-", "").isdigit())
    assert fingerprint(folder / "straight") == fingerprint(folder / "jumping")


def _die(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_worker_that_the_system_kills_is_said_as_memory(tmp_path: Path) -> None:
    with pytest.raises(BuildError,
        match="a worker process was killed, most likely by the system for its memory: fewer --jobs"), writing(tmp_path), Processes(2) as engine:  # fmt: skip
        list(engine.map(_die, range(4)))


def test_what_is_no_limit_of_the_machine_is_left_alone() -> None:
    for error in (ValueError("x"), KeyError("memory"), FileNotFoundError(2, "No such file", "x"), RuntimeError("no")):
        assert trouble(error) is None
