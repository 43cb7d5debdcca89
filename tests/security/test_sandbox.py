"""Attacks on the sandbox: verdicts that are forged, machines that are harmed, secrets that are looked for."""

from __future__ import annotations

import functools
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from instdata.cli.main import app
from instdata.compare.cell import run_streams
from instdata.score.item import Item
from instdata.score.sandbox import run as sandbox
from instdata.score.sandbox.watch import Result, attempt
from instdata.score.scorers import score_answer
from instdata.util.errors import InputError
from tests.security.attacks import FORGED, HARMFUL, LIARS, SINGLE, TESTS, THEN

FOUND = sandbox.working()[0]
WAYS = ([FOUND] if FOUND else []) + (["own"] if FOUND == "bwrap" and attempt("own", "", "", 9, 256, 16).passed else [])
needs = pytest.mark.skipif(not WAYS, reason=f"no sandbox works on this machine: {sandbox.working()[1]}")
ADD = "def add(a, b): return a + b"


def test_no_fault_of_ours_is_taken_for_a_machine_without_sandbox() -> None:
    """All else here would be skipped."""
    assert "Error" not in sandbox.working()[1]


@needs
@pytest.mark.parametrize("name", FORGED)
def test_no_verdict_is_forged(name: str) -> None:
    result = attempt(WAYS[-1], FORGED[name], TESTS, 5, 512, 16)
    assert result.passed is False, result


@needs
@pytest.mark.parametrize("name", sorted(THEN))
def test_no_single_comparison_is_forged(name: str) -> None:
    result = attempt(WAYS[-1], FORGED[name], each_fails(SINGLE), 9, 512, 16)
    assert result.passed is True or "ended the process" in result.reason, result


def each_fails(tests: list[str]) -> str:
    """Tests that pass where every one of those given fails: one start of the two processes for all of them."""
    tried = []
    for n, test in enumerate(tests):
        body = "\n".join("    " + line for line in test.splitlines())
        ended = f"except SystemExit as e: forged += [] if e.code else [{n}]"  # as unittest.main() does
        tried.append(f"try:\n{body}\n{ended}\nexcept BaseException: pass\nelse: forged.append({n})\n")
    return "forged = []\n" + "".join(tried) + "if forged: raise ValueError(forged)"


@needs
@pytest.mark.parametrize("name", LIARS)
def test_no_object_of_the_code_is_taken_for_a_value(name: str) -> None:
    code, tests = LIARS[name]
    result = attempt(WAYS[-1], code, tests, 5, 512, 16)
    assert result.passed is False, result


@needs
def test_objects_of_classes_that_the_tests_name_answer() -> None:
    code = """
class Trie:
    def __init__(self): self.words = set()
    def insert(self, word): self.words.add(word)
    def startswith(self, part): return any(w.startswith(part) for w in self.words)
    def __contains__(self, word): return word in self.words
class Vector:
    def __init__(self, x, y): self.x, self.y = x, y
    def __mul__(self, n): return Vector(self.x * n, self.y * n)
    def head(self): return self
class Cased(dict):
    def __getitem__(self, key): return dict.__getitem__(self, key.lower())
    def __setitem__(self, key, value): dict.__setitem__(self, key.lower(), value)
class Spans:
    def __init__(self, spans): self.spans = spans
    def __iter__(self): return iter(self.spans)
    def __contains__(self, x): return any(a <= x <= b for a, b in self.spans)
class Ignoring:
    def __init__(self, kind): self.kind = kind
    def __enter__(self): return self
    def __exit__(self, kind, error, trace): return kind is not None and issubclass(kind, self.kind)
def kind(letter): return {'i': int}[letter]
unique = set
def groups(text):
    import collections
    found = collections.defaultdict(int)
    for c in text: found[c] += 1
    return found
def traced(f): return lambda *a: f(*a)
class Text(str):
    def shout(self): return self.upper() + '!'
def make(words):
    trie = Trie()
    for w in words: trie.insert(w)
    return trie
"""
    tests = """
t = Trie(); t.insert('abc')
assert t.startswith('ab') and not t.startswith('b') and 'abc' in t and 'ab' not in t
assert make(['x']).words == {'x'}
v = Vector(1, 2) * 3
assert (v.x, v.y) == (3, 6) and (v * 2 * 2).x == 12 and v.head() is v.head() and v.head() == v
assert Text('a').shout() == 'A!' and Text('a').startswith('a') and not Text('a').startswith('b')
c = Cased(); c['A'] = 1; c['b'] = 2
assert 'a' in c and c['B'] == 2 and len(c) == 2
assert 5 in Spans([(1, 9)]) and list(Spans([(1, 9)])) == [(1, 9)]
assert kind('i') is int and unique([1, 1]) == {1} and groups('ab') == {'a': 1, 'b': 1}
with Ignoring(KeyError): raise KeyError
ran = []
@traced
def note(x):
    assert x == 1
    ran.append(x)
note(1)
assert ran == [1]
"""
    result = attempt(WAYS[-1], code, tests, 5, 512, 16)
    assert result.passed is True, result
    for wrong in ("not t.startswith('ab')", "'ab' in t", "v.x == 4"):
        assert attempt(WAYS[-1], code, f"{tests}assert {wrong}\n", 5, 512, 16).passed is False, wrong


@needs
def test_the_tests_that_catch_forgers_pass_what_is_right() -> None:
    result = attempt(WAYS[-1], ADD, TESTS, 5, 512, 16)
    assert result.passed is True, result
    result = attempt(WAYS[-1], ADD, each_fails(SINGLE), 9, 512, 16)
    assert result.passed is False and str(list(range(len(SINGLE)))) in result.reason, result


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


APART = {n for n, code in HARMFUL.items() if "range(" in code or "fallocate" in n}  # what fills a disk, by itself


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[set[str], Result]]:
    """What a way refused: the attacks that fill nothing are tried one after the other by one program."""
    outside = tmp_path_factory.mktemp("sandbox") / "outside"
    outside.write_text("very-secret")
    before = outside.stat()

    @functools.cache
    def tried(way: str, alone: str | None) -> tuple[set[str], Result]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            code = f"OUTSIDE, PORT = {str(outside)!r}, {server.getsockname()[1]}\n"
            for name in [alone] if alone else [n for n in HARMFUL if n not in APART]:
                body = "\n".join("    " + line for line in HARMFUL[name].splitlines())
                code += f"try:\n{body}\nexcept (OSError, ValueError): print({name!r})\n"
            result = attempt(way, code, "", 20, 512, 16)
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()
        after = outside.stat()
        assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, 1)
        return set(result.output.splitlines()), result

    return tried


@needs
@pytest.mark.parametrize("way", WAYS or ["none"])
@pytest.mark.parametrize("name", HARMFUL)
def test_what_harms_is_refused(way: str, name: str, harmed: Callable[..., tuple[set[str], Result]]) -> None:
    refused, result = harmed(way, name if name in APART else None)
    assert result.passed is True and name in refused, result
    assert "very-secret" not in result.output
    assert set(result.enforced) == {"namespaces", "limits", "seccomp"}


@needs
@pytest.mark.parametrize("way", WAYS or ["none"])
def test_the_working_folder_is_out_of_reach(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m instdata` has it first in sys.path. (Not a folder under /tmp, which another one hides.)"""
    secret = Path(__file__).parents[2] / "pyproject.toml"
    monkeypatch.syspath_prepend(str(secret.parent))
    seen = attempt(way, f"try: print(open({str(secret)!r}).read())\nexcept OSError: print('out')", "", 5, 512, 16)
    assert seen.output.strip() == "out", seen


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


CODE_RUNS_IN = {"build", "evaluate", "curves", "ablate", "reproduce", "verify"}


def test_every_command_in_which_code_may_run_takes_the_same_option(monkeypatch: pytest.MonkeyPatch) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {n for n, c in known.items() if any("--sandbox" in p.opts for p in c.params)} == CODE_RUNS_IN
    monkeypatch.setattr(sandbox, "_chosen", "auto")
    for name in CODE_RUNS_IN:
        needed = ["x"] * sum(p.required for p in known[name].params)
        for words, told in ((["--sandbox", "moon"], "one of auto, docker, none"), (["--sandbox", "none"], "--i-know")):
            with pytest.raises(InputError, match=told):
                CliRunner().invoke(app, [name, *needed, *words], catch_exceptions=False)


def test_no_training_precedes_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "working", lambda: (None, "darwin has no namespaces"))
    monkeypatch.setattr(sandbox, "_chosen", "auto")
    one = Item("0" * 32, "code", [], None, None, "unit_tests", "assert True", "s")
    grid = SimpleNamespace(items=[one], kinds=["answers"], lacks=lambda cell: True, cells=lambda stream: [stream])
    with pytest.raises(InputError, match=r"--sandbox docker"):
        run_streams(grid, ["a cell"], workers=1)  # type: ignore[arg-type, list-item]


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
