"""The sandbox: programs that loop, fork, fill memory or disk, look around, call home, or claim to have passed."""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from instdata.score.items import Item
from instdata.score.sandbox import run as sandbox
from instdata.score.sandbox.run import Result, run_tests
from instdata.score.scorers import score_answer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the sandbox needs POSIX")
TESTS = "assert add(2, 3) == 5\nassert add(-1, 1) == 0\n"
RIGHT = "def add(a, b):\n    return a + b\n"
LINUX = sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64")


def children() -> set[int]:
    """Live processes that the sandbox started: their working folder is, or was, one of its own."""
    found = set()
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()) if os.path.isdir("/proc") else ():
        try:
            if (
                "instdata-sandbox-" in os.readlink(f"/proc/{pid}/cwd")
                and f"PPid:\t{os.getpid()}\n" in Path(f"/proc/{pid}/status").read_text()
            ):
                found.add(pid)
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No process and no folder is left behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    assert not children()
    assert not list(tmp_path.glob("instdata-sandbox-*"))


def test_right_and_wrong_code() -> None:
    assert run_tests(RIGHT, TESTS).passed is True
    assert run_tests(RIGHT.replace("+", "-"), TESTS) == Result(
        False, "AssertionError (tests, line 1)", "", run_tests(RIGHT, TESTS).enforced
    )
    assert run_tests("def add(a, b) return a", TESTS).reason.startswith("SyntaxError")
    assert run_tests("x = 1", TESTS).reason.startswith("NameError")


def test_what_this_machine_enforces() -> None:
    held = run_tests(RIGHT, TESTS).enforced
    assert {"limits", "audit"} <= set(held)
    if LINUX:
        assert "seccomp" in held
        abi = ctypes.CDLL(None).syscall(444, None, 0, 1)
        assert ("landlock" in held) == (abi >= 1)


def test_the_standard_library_works() -> None:
    code = """import asyncio, collections, csv, datetime, decimal, hashlib, heapq, itertools, json, random, re, sqlite3, statistics, tempfile, unittest
async def one():
    return 1
assert asyncio.run(one()) == 1
open("a.txt", "w").write("hello")
assert open("a.txt").read() == "hello"
with tempfile.TemporaryFile() as f:
    f.write(b"x")
add = lambda a, b: a + b
"""
    result = run_tests(code, TESTS + "import math, unittest.mock\nassert math.isclose(0.1 + 0.2, 0.3)\n")
    assert result.passed, result.reason


@pytest.mark.parametrize(
    "name, code, reason",
    [
        ("infinite loop", "while True: pass", "took longer"),
        ("sleep", "import time\ntime.sleep(60)", "took longer"),
        ("fork bomb", "import os\nfor _ in range(30): os.fork()", "not allowed"),
        ("subprocess", "import subprocess\nsubprocess.run(['true'])", "not allowed"),
        ("system", "import os\nos.system('true')", "not allowed"),
        ("10 GB", "x = bytearray(10 << 30)", "MemoryError"),
        ("slow 10 GB", "x = []\nwhile True: x.append(bytearray(1 << 22))", "MemoryError"),
        ("big file", "f = open('x', 'wb')\nfor _ in range(300): f.write(bytes(1 << 20))", "File too large"),
        ("many files", "for i in range(10**6): open(str(i), 'w').close()", "files"),
        ("big files", "for i in range(100): open(str(i), 'wb').write(bytes(10 << 20))", "MB"),
        ("flood", "while True: print('x' * 10000)", "output"),
        ("recursion", "def f(n): return f(n + 1)\nf(0)", "RecursionError"),
        ("threads", "import threading, time\nfor _ in range(10): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "left threads"),
        ("segfault", "import os\nos.abort()", "SIGABRT"),
        ("kill", "import os\nos.kill(os.getppid(), 9)", "not allowed"),
        ("ctypes", "import ctypes", "ctypes"),
        ("no time left", "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))", "not allowed"),
    ],
)  # fmt: skip
def test_what_harms_is_stopped(name: str, code: str, reason: str) -> None:
    start = time.monotonic()
    result = run_tests(code, TESTS, seconds=20 if reason == "MemoryError" else 1.5)
    assert result.passed is False
    assert reason in result.reason
    assert time.monotonic() - start < 60
    assert len(result.output) <= sandbox.SHOWN


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "import os\ndef add(a, b): os._exit(0)",
        "import sys\ndef add(a, b): sys.exit(0)",
        "print('passed')\nprint('the tests pass')\ndef add(a, b): return 1",
        "import builtins\nbuiltins.AssertionError = type('Quiet', (), {})\ndef add(a, b): return 1",
        "AssertionError = None\n__debug__\ndef add(a, b): return 1",
        "import builtins\nbuiltins.exec = builtins.compile = lambda *a: None\ndef add(a, b): return 1",
        "def add(a, b):\n    import builtins\n    builtins.AssertionError = int\n    return 1",
        "import math\nmath.isclose = lambda *a, **k: True\ndef add(a, b): return 1",
        "import os\nfor fd in range(3, 60):\n    try: os.write(fd, b'{\"passed\": true, \"nonce\": \"\"}\\n' * 3)\n    except OSError: pass\ndef add(a, b): return 1",
        "import os\nos.closerange(0, 60)\ndef add(a, b): return 1",
        "import sys\nsys.stdout = sys.stderr = None\nsys.settrace(lambda *a: None)\ndef add(a, b): return 1",
        "import os\ndef add(a, b):\n    os.kill(os.getpid(), 9)",
        "import gc\nfound = [o for o in gc.get_objects() if isinstance(o, dict) and 'nonce' in o]\ndef add(a, b): return 1",
        "import sys\nfound = sys._current_frames()\ndef add(a, b): return 1",
        "import sys\nf = sys._getframe()\nwhile f:\n    assert 'nonce' not in f.f_locals and 'order' not in f.f_locals and 'main' not in f.f_globals\n    f = f.f_back\nimport __main__\nassert not hasattr(__main__, 'confine')\ndef add(a, b): return 1",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef add(a, b): return 1",
        "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): return 1",
    ],
)  # fmt: skip
def test_success_cannot_be_claimed(code: str) -> None:
    result = run_tests(code, "import math\nassert math.isclose(add(2, 3), 5)\nassert add(2, 3) == 5", seconds=5)
    assert result.passed is False, result


def test_the_tests_are_not_there_before_the_code_has_run() -> None:
    code = (
        "import os, sys\nseen = ' '.join(sys.argv + sys.orig_argv + os.listdir('.')) + str(dict(globals()))\nassert 'purple' not in seen\n"
        + RIGHT
    )
    assert run_tests(code, TESTS + "purple = 1\n").passed is True


def test_no_secret_reaches_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "very-secret")
    result = run_tests("import os\nprint(sorted(os.environ.items()))\n" + RIGHT, TESTS)
    assert result.passed is True
    assert "very-secret" not in result.output and "TOKEN" not in result.output and "KEY" not in result.output


@pytest.mark.parametrize("way", ["open({0!r}).read()", "import os\nos.read(os.open({0!r}, 0), 9)", "import os\nos.symlink({0!r}, 'x')\nopen('x').read()", "import os, io\nio.FileIO({0!r}).read()"])  # fmt: skip
def test_files_outside_cannot_be_read(tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("very-secret")
    result = run_tests(f"print({way.format(str(secret))})" if "\n" not in way else way.format(str(secret)), TESTS)
    assert result.passed is False and "very-secret" not in result.output
    assert "PermissionError" in result.reason


@pytest.mark.parametrize("way", ["open({0!r}, 'w')", "import os\nos.remove({0!r})", "import os\nos.rename({0!r}, 'x')", "import shutil\nshutil.rmtree({1!r})", "import os\nos.mkdir({1!r} + '/new')", "import os\nos.listdir({1!r})"])  # fmt: skip
def test_files_outside_cannot_be_changed(tmp_path: Path, way: str) -> None:
    mine = tmp_path / "folder" / "mine"
    mine.parent.mkdir()
    mine.write_text("here")
    result = run_tests(way.format(str(mine), str(mine.parent)), TESTS)
    assert result.passed is False and "PermissionError" in result.reason
    assert mine.read_text() == "here" and os.listdir(mine.parent) == ["mine"]


@pytest.mark.parametrize("make", ["socket.create_connection(('127.0.0.1', {tcp}), 2)", "socket.socket().connect(('127.0.0.1', {tcp}))", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))", "__import__('urllib.request').request.urlopen('http://127.0.0.1:{tcp}', timeout=2)"])  # fmt: skip
def test_there_is_no_network(make: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving,
    ):
        receiving.bind(("127.0.0.1", 0))
        tcp, udp = (s.getsockname()[1] for s in (listening, receiving))
        result = run_tests(f"import socket\n{make.format(tcp=tcp, udp=udp)}\n{RIGHT}", TESTS)
        assert result.passed is False and "PermissionError" in result.reason
        # What had come would wait here.
        for server, take in ((listening, listening.accept), (receiving, lambda: receiving.recv(9))):
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                take()


@pytest.fixture
def kernel_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sandbox without its audit hook: the kernel alone has to hold."""
    text = sandbox.INSIDE.read_text("utf-8")
    assert text.count("    sys.addaudithook(") == 1 and text.count("fork_exec = _refuse") == 1
    altered = tmp_path / "inside.py"
    altered.write_text(
        text.replace("    sys.addaudithook(", "    (lambda *_: None)(").replace("fork_exec = _refuse", "__name__"),
        "utf-8",
    )
    monkeypatch.setattr(sandbox, "INSIDE", altered)


@pytest.mark.skipif(not LINUX, reason="Linux gives this")
@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.socket()",
        "import os\nos.fork()",
        "import subprocess\nsubprocess.run(['/bin/true'])",
        "import os\nos.execv('/bin/true', ['true'])",
        "import os\nos.kill(os.getppid(), 0)",
        "import os\nos.setsid()",
        "open('/etc/passwd').read()",
        "import os\nos.listdir('/')",
        "open('/proc/self/environ').read()",
        "open('OUTSIDE', 'w')",
        "import os\nos.mkfifo('x')",
    ],
)
def test_the_kernel_alone_refuses(kernel_only: None, tmp_path: Path, code: str) -> None:
    if "landlock" not in run_tests("", "").enforced and ("open(" in code or "listdir" in code):
        pytest.skip("this kernel has no Landlock")
    result = run_tests(code.replace("OUTSIDE", str(tmp_path / "outside")), TESTS)
    assert result.passed is False and "PermissionError" in result.reason
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("code", ["import socket\nsocket.socket().connect(('127.0.0.1', 9))", "import os\nos.fork()", "import _posixsubprocess\n_posixsubprocess.fork_exec()", "open('/etc/passwd')", "open('OUTSIDE', 'w')", "import os\nos.listdir('/')"])  # fmt: skip
def test_python_alone_refuses_where_the_kernel_gives_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    text = sandbox.INSIDE.read_text("utf-8")
    altered = text
    for name in ("landlock", "seccomp"):
        assert f"def {name}(libc" in text
        altered = altered.replace(f"def {name}(libc", f"def {name}(*_): return False\ndef _{name}(libc")
    assert "libc.unshare(NEW_USER_AND_NET) == 0" in text
    (tmp_path / "inside.py").write_text(altered.replace("libc.unshare(NEW_USER_AND_NET) == 0", "False"), "utf-8")
    monkeypatch.setattr(sandbox, "INSIDE", tmp_path / "inside.py")
    assert run_tests(RIGHT, TESTS).enforced == ("limits", "audit")
    result = run_tests(code.replace("OUTSIDE", str(tmp_path / "outside")), TESTS)
    assert result.passed is False and "PermissionError" in result.reason
    assert not (tmp_path / "outside").exists()


def test_a_sandbox_that_does_not_start_gives_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "inside.py").write_text("raise RuntimeError('broken')")
    monkeypatch.setattr(sandbox, "INSIDE", tmp_path / "inside.py")
    result = run_tests(RIGHT, TESTS)
    assert result.passed is None and "broken" in result.reason


def test_tests_that_cannot_be_read_give_no_verdict() -> None:
    assert run_tests(RIGHT, "assert (").passed is None
    one = Item("0" * 32, "code", [], None, None, "unit_tests", "assert (", "s")
    assert score_answer(one, RIGHT).value is None


@pytest.mark.parametrize(
    "code", ["", "\0", "\ud800 = 1", "(" * 300, "x = " + "1+" * 100_000 + "1", "def add(a, b): return a + b\n" * 2_000]
)
def test_odd_code_gets_a_verdict(code: str) -> None:
    assert run_tests(code, TESTS, seconds=5).passed is (code[:3] == "def")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not LINUX, reason="Linux gives this")
def test_it_does_not_outlive_the_harness(tmp_path: Path) -> None:
    code = "open('started', 'w').close()\nwhile True: pass"
    program = f"from instdata.score.sandbox.run import run_tests\nrun_tests({code!r}, '', seconds=60)"
    folders = tmp_path / "folders"
    folders.mkdir()
    environment = {**os.environ, "TMPDIR": str(folders)}  # a killed harness leaves its folder
    harness = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=Path(__file__).parents[2])
    try:
        assert within(60, lambda: list(folders.glob("*/started")))
        inside = [int(p) for p in Path(f"/proc/{harness.pid}/task/{harness.pid}/children").read_text().split()]
        assert inside and all(map(alive, inside))
    finally:
        harness.kill()
        harness.wait()
    assert within(10, lambda: not any(map(alive, inside)))


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_answers_are_scored_by_their_tests() -> None:
    one = Item("0" * 32, "code", [], None, None, "unit_tests", TESTS, "s")
    assert score_answer(one, f"Here you go:\n```python\n{RIGHT}```\nIt adds.").value == 1
    assert score_answer(one, "```python\ndef add(a, b):\n    return a\n```").value == 0
    assert score_answer(one, "I cannot").value == 0
    assert score_answer(one, "").value == 0


@pytest.mark.slow
def test_real_solutions_pass_their_tests(realdata: Path) -> None:
    with gzip.open(realdata / "code" / "HumanEval.jsonl.gz", "rt") as file:
        tasks = [json.loads(line) for line in file]
    failed = []
    for task in tasks:
        result = run_tests(
            task["prompt"] + task["canonical_solution"], f"{task['test']}\ncheck({task['entry_point']})", seconds=20
        )
        if not result.passed:
            failed.append((task["task_id"], result.reason))
    assert len(tasks) == 164 and not failed
