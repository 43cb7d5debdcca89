"""Attacks on the sandbox: verdicts that are forged, machines that are harmed, secrets that are looked for."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from instdata.score.item import Item
from instdata.score.sandbox import run as sandbox
from instdata.score.sandbox.watch import attempt
from instdata.score.scorers import score_answer
from instdata.util.errors import InputError
from tests.security.attacks import FORGED, HARMFUL, SINGLE, TESTS

FOUND = sandbox.working()[0]
WAYS = ([FOUND] if FOUND else []) + (["own"] if FOUND == "bwrap" and attempt("own", "", "", 9, 256, 16).passed else [])
needs = pytest.mark.skipif(not WAYS, reason=f"no sandbox works on this machine: {sandbox.working()[1]}")
ADD = "def add(a, b): return a + b"


@needs
@pytest.mark.parametrize("name", FORGED)
def test_no_verdict_is_forged(name: str) -> None:
    result = attempt(WAYS[-1], FORGED[name], TESTS, 5, 512, 16)
    assert result.passed is False, result


@needs
def test_the_tests_that_catch_forgers_pass_what_is_right() -> None:
    for tests in (TESTS, *SINGLE):
        result = attempt(WAYS[-1], ADD, tests, 5, 512, 16)
        assert result.passed is True, (tests, result)


@needs
@pytest.mark.parametrize("name",
    ["equal to all", "int equal to all", "unequal to none", "residual of nothing", "residual is zero",
    "looks like an int", "StopIteration", "hash and eq in a set", "reflected"])  # fmt: skip
def test_no_single_comparison_is_forged(name: str) -> None:
    for tests in SINGLE:
        result = attempt(WAYS[-1], FORGED[name], tests, 5, 512, 16)
        assert result.passed is False, (tests, result)


@needs
def test_a_parameter_of_the_codes_name_frees_no_builtin() -> None:
    tests = "def check(add):\n    assert add(2, 3) == sum([2, 3])\ncheck(add)"
    assert attempt(WAYS[-1], ADD, tests, 5, 512, 16).passed is True
    assert attempt(WAYS[-1], "sum = lambda x: 1\nadd = lambda a, b: 1", tests, 5, 512, 16).passed is False


@needs
def test_a_function_of_the_tests_leads_nowhere() -> None:
    for code in ("def f(g): return g.__globals__", "def f(g): return g.__code__", "def f(g): return g.gi_frame",
                 "import sys\ndef f(g):\n    p = g._instdata_peer\n    return p.ask('attribute', g._instdata_number, "
                 "'__globals__')",
                 "def f(g):\n    p = g._instdata_peer\n    return p.ask('special', g._instdata_number, "
                 "'__getattribute__', '__globals__')",
                 "def f(g):\n    p = g._instdata_peer\n    return p.ask('set', g._instdata_number, '__code__', 1)"):  # fmt: skip
        tests = "reached = f(lambda x: x)\nraise SystemExit(0)"
        assert attempt(WAYS[-1], code, tests, 5, 512, 16).passed is False, code


@needs
@pytest.mark.parametrize("way", WAYS or ["none"])
@pytest.mark.parametrize("name", HARMFUL)
def test_what_harms_is_refused(way: str, name: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("very-secret")
    before = outside.stat()
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = f"OUTSIDE, PORT = {str(outside)!r}, {server.getsockname()[1]}\n"
        body = "\n".join("    " + line for line in HARMFUL[name].splitlines())
        code = f"{known}refused = False\ntry:\n{body}\nexcept (OSError, ValueError): refused = True\n"
        result = attempt(way, code, "assert refused", 20, 512, 16)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert result.passed is True, result
    after = outside.stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_nlink) == (after.st_mode, after.st_mtime_ns, after.st_nlink)
    assert "very-secret" not in result.output
    assert set(result.enforced) == {"namespaces", "limits", "seccomp"}


@needs
@pytest.mark.parametrize("way", WAYS or ["none"])
def test_the_tests_own_process_is_confined_too(way: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    for line in (f"open({str(tmp_path / 'outside')!r})", "import os; os.fork()", "import socket; socket.socket()"):
        assert attempt(
            way, "", f"try:\n    {line}\nexcept OSError: pass\nelse: raise AssertionError", 5, 512, 16
        ).passed


@needs
@pytest.mark.parametrize(
    "name, code",
    [
        ("memory", "x = bytearray(10 << 30)"),
        ("slow memory", "x = []\nwhile True: x.append(bytearray(1 << 22))"),
        ("threads", ("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), "
                    "daemon=True).start()")),
        ("loop", "while True: pass"),
        ("flood", "while True: print('x' * 10000)"),
        ("pipe flood", "import os\nwhile True: os.write(4, b'>' + b'x' * 60000)"),
        ("deep recursion", "import sys\nsys.setrecursionlimit(10**8)\ndef f(n): return f(n + 1)\nf(0)"),
        ("big answer", "def add(a, b): return 'x' * (64 << 20)"),
        ("deep answer", "def add(a, b):\n    x = []\n    for _ in range(100000): x = [x]\n    return x"),
        ("endless iterator", "import itertools\ndef add(a, b): return itertools.count()"),
    ],
)  # fmt: skip
def test_resources_are_bounded(name: str, code: str) -> None:
    start = time.monotonic()
    result = attempt(WAYS[-1], code, "assert add(2, 3) == 5 and list(add(1, 2))", 2, 256, 16)
    assert result.passed is False, result
    assert time.monotonic() - start < 30


@needs
def test_no_secret_and_no_name_of_the_machine_reaches_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "very-secret")
    for way in WAYS:
        seen = attempt(way,
            "import os, sys\nprint(dict(os.environ), sys.argv, sys.path, os.getuid(), os.getpid(), os.listdir('/tmp'))",
            "", 5, 512, 16).output  # fmt: skip
        assert "very-secret" not in seen and str(Path.cwd()) not in seen
        assert " 65534 " in seen


@needs
def test_unit_tests_are_scored_where_a_sandbox_works() -> None:
    one = Item("0" * 32, "code", [], None, None, "unit_tests", "assert add(2, 3) == 5", "s")
    assert score_answer(one, f"```python\n{ADD}\n```").value == 1


def test_nothing_runs_where_no_sandbox_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "working", lambda: (None, "darwin has no namespaces"))
    one = Item("0" * 32, "code", [], None, None, "unit_tests", "assert True", "s")
    with pytest.raises(InputError, match=r"--sandbox docker.*--sandbox none --i-know"):
        score_answer(one, f"```python\n{ADD}\n```")
    with pytest.raises(InputError, match=r"--i-know"):
        sandbox.use("none")
    monkeypatch.setattr(sandbox, "_chosen", "auto")
    sandbox.use("none", sure=True)
    assert score_answer(one, f"```python\n{ADD}\n```").value == 1


def test_a_system_without_namespaces_says_why(tmp_path: Path) -> None:
    """As in a container whose kernel refuses them: the process is told so, no test runs, and nothing hangs."""
    program = (
        "import ctypes, struct, os\n"
        "from instdata.score.sandbox import confine, run as launch\n"
        "confine.ALLOWED |= {'execve': (59, 221), 'execveat': (322, 281), 'vfork': (58, None), 'clone': (56, 220), "
        "'kill': (62, 129), 'prctl': (157, 167), 'prlimit64': (302, 261), 'setsid': (112, 157), 'setrlimit': (160, "
        "164), 'capget': (125, 90), 'socket': (41, 198), 'fork': (57, None), 'chmod': (90, None), 'fchmod': (91, "
        "52), 'fchmodat': (268, 53)}\n"
        "confine.CLONE = (9999, 9999)\n"
        "assert confine.seccomp(ctypes.CDLL(None))\n"
        "print(launch.working())\n"
        "launch.way()\n"
    )
    if not (sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64")):
        pytest.skip("the filter that plays the container is Linux's")
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    assert "(None, " in ran.stdout, (ran.stdout, ran.stderr)
    assert "InputError" in ran.stderr and "--sandbox docker" in ran.stderr


def test_docker_is_asked_for_a_closed_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's command line, with a stand-in for docker that runs what it is given."""
    stub = tmp_path / "docker"
    stub.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nwhile [ "$1" != python ]; do shift; done\nshift\nexec '
        f'{sys.executable} "$@"\n'
    )
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sandbox, "_chosen", "docker")
    assert attempt(sandbox.way(), ADD, "assert add(2, 3) == 5", 9, 512, 64).passed is True
    assert attempt(sandbox.way(), ADD, "assert add(2, 3) == 6", 9, 512, 64).passed is False
    asked = (tmp_path / "asked").read_text()
    for word in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "no-new-privileges",
        "--pids-limit",
        "--user 65534:65534",
        "size=64m",
    ):
        assert word in asked
