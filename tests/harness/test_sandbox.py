"""The sandbox: right and wrong code, what tests may do with it, programs that loop, fork, fill memory or disk. Attacks
are in tests/security/test_sandbox.py."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from instdata.score.item import Item
from instdata.score.sandbox import launch, run, watch
from instdata.score.sandbox.run import run_tests
from instdata.score.sandbox.watch import Result
from instdata.score.scorers import score_answer

pytestmark = pytest.mark.skipif(run.working()[0] is None, reason=f"no sandbox works here: {run.working()[1]}")
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


def test_what_the_sandbox_enforces() -> None:
    assert set(run_tests(RIGHT, TESTS).enforced) == {"namespaces", "limits", "seccomp"}


# What tests do with code that runs in another process: (code, tests).
TALKS = {
    "inplace": ("def f(a):\n a.sort()\n a.append(9)", "x=[3,1]\nf(x)\nassert x==[1,3,9], x"),
    "class": (("class Stack:\n def __init__(s): s.i=[]\n def push(s,x): s.i.append(x)\n def pop(s): return "
              "s.i.pop()\n def __len__(s): return len(s.i)"), ("s=Stack()\ns.push(1)\ns.push([2])\nassert len(s)==2 "
                                                              "and s.pop()==[2] and s.i==[1]\nassert isinstance(s, "
                                                              "Stack)")),
    "exc": ("class E(ValueError): pass\ndef f(x):\n raise E('bad', x)", ("try:\n f(3)\n assert False\nexcept E as "
                                                                        "e:\n assert e.args==('bad',3) and "
                                                                        "isinstance(e, ValueError)")),
    "exc2": ("def f(x):\n return 1/x", ("import unittest\nclass T(unittest.TestCase):\n def test_a(self):\n  with "
                                       "self.assertRaises(ZeroDivisionError): f(0)\n  self.assertEqual(f(2),0.5)\nif "
                                       "__name__=='__main__': unittest.main()")),
    "classbody": ("def f(x):\n return 1", "class T:\n  g = staticmethod(f)\nassert T.g(1)==1"),
    "lambda": ("def f(g, xs): return [g(x) for x in xs]", ("assert f(lambda x: x*2, [1,2])==[2,4]\nassert f(len, "
                                                          "['a','bb'])==[1,2]")),
    "testobj": (("def f(n):\n t=0\n while n:\n  t+=n.val\n  n=n.next\n "
                "return t"), "class N:\n def __init__(s,v,n=None): s.val=v; s.next=n\nassert f(N(1,N(2)))==3"),
    "gen": ("def f():\n yield 1\n yield 2", "assert list(f())==[1,2]\ng=f()\nassert next(g)==1\nassert sum(f())==3"),
    "async": ("async def f(x): return x+1", "import asyncio\nassert asyncio.run(f(1))==2"),
    "print": ("def f(): print('hi')", ("import io,contextlib\nb=io.StringIO()\nwith contextlib.redirect_stdout(b): "
                                      "f()\nassert b.getvalue()=='hi\\n'")),
    "nt": (("from collections import namedtuple\nP=namedtuple('P','x y')\ndef f(): return "
           "P(1,2)"), "assert f()==(1,2) and f().x==1 and isinstance(f(),tuple)"),
    "dc": (("from dataclasses import dataclass\n@dataclass\nclass P:\n x:int\n y:int=2\ndef f(): return "
           "P(1)"), "assert f()==P(1) and f()!=P(2) and f().x==1\nassert repr(f()) == 'P(x=1, y=2)'"),
    "enum": (("from enum import Enum,IntEnum\nclass C(Enum):\n R=1\nclass D(IntEnum):\n R=1\ndef f(): return C.R\ndef "
             "g(): return D.R"), ("assert f()==C.R and f() is C.R and C.R.value==1 and g()==1 and C(1) is C.R and "
                                 "C['R'] is C.R")),
    "vec": (("class V:\n def __init__(s,x): s.x=x\n def __mul__(s,k): return V(s.x*k)\n def __eq__(s,o): return "
            "s.x==o.x\n def __add__(s,o): return V(s.x+o.x)\n __hash__=None"), ("assert V(1)*3==V(3)\nassert "
                                                                               "V(1)+V(2)==V(3)")),
    "sum": ("def sum(a,b): return a+b", "assert sum(1,2)==3"),
    "counter": ("c=0\ndef f():\n global c\n c+=1", "f()\nassert c==1\nf()\nassert c==2"),
    "mathimp": ("import math\ndef f(x): return x", "assert math.isclose(f(1.0),1.0)"),
    "big": ("def f(): return 10**5000, float('inf'), {1:{2,3}}, b'x', 1j", ("a=f()\nassert a[0]==10**5000 and "
                                                                           "a[1]==float('inf') and a[2]=={1:{2,3}} "
                                                                           "and a[3]==b'x' and a[4]==1j")),
    "ctx": ("class C:\n def __enter__(s): return s\n def __exit__(s,*a): return True", ("with C() as c: raise "
                                                                                       "ValueError('x')")),
    "alias": ("def f(a): return a", "x=[1]\nassert f(x) is x"),
    "method": (("class Solution:\n def two(self, nums, t): return [i for i,n in enumerate(nums) if "
               "n==t]"), "assert Solution().two([1,2,1],1)==[0,2]"),
    "sort key": ("def key(x): return -x", "assert sorted([1,2,3], key=key)==[3,2,1]\nassert list(map(key,[1]))==[-1]"),
    "decor": (("def memo(f):\n c={}\n def g(x):\n  if x not in c: c[x]=f(x)\n  return c[x]\n "
              "return g"), "n=[]\n@memo\ndef h(x):\n n.append(x)\n return x+1\nassert h(1)==2 and h(1)==2 and n==[1]"),
    "defaultdict": (("from collections import *\ndef f(): return "
                    "defaultdict(int,{'a':1}),Counter('aab'),deque([1]),OrderedDict(a=1)"),
                    "a,b,c,d=f()\nassert a=={'a':1} and b['a']==2 and list(c)==[1] and d=={'a':1} and 'z' not in a"),
    "dates": (("import datetime,decimal,fractions\ndef f(): return datetime.date(2020,1,2), decimal.Decimal('1.5'), "
              "fractions.Fraction(1,3)"), ("import datetime,decimal,fractions\nassert f()==(datetime.date(2020,1,2), "
                                          "decimal.Decimal('1.5'), fractions.Fraction(1,3))")),
}  # fmt: skip


@pytest.mark.parametrize("name", TALKS)
def test_the_tests_talk_to_the_code(name: str) -> None:
    result = run_tests(*TALKS[name], seconds=5)
    assert result.passed is True, result


def test_main_guards_of_the_code_do_not_run_and_those_of_the_tests_do() -> None:
    assert run_tests(RIGHT + "if __name__ == '__main__': raise SystemExit(1)", TESTS).passed is True
    assert run_tests(RIGHT, "if __name__ == '__main__': assert add(1, 1) == 3").passed is False


def test_what_cannot_go_between_the_processes_is_no_pass() -> None:
    assert run_tests("class A: pass", "class B(A): pass\nassert B()").passed is False


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
        ("fork bomb", "import os\nfor _ in range(30): os.fork()", "not permitted"),
        ("subprocess", "import subprocess\nsubprocess.run(['true'])", "not permitted"),
        ("system", "import os\nassert os.system('true') == 0", "AssertionError"),
        ("10 GB", "x = bytearray(10 << 30)", "MemoryError"),
        ("slow 10 GB", "x = []\nwhile True: x.append(bytearray(1 << 22))", "MemoryError"),
        ("big file", "f = open('x', 'wb')\nfor _ in range(300): f.write(bytes(1 << 20))", "File too large"),
        ("many files", "for i in range(10**6): open(str(i), 'w').close()", "o"),
        ("big files", "for i in range(100): open(str(i), 'wb').write(bytes(10 << 20))", "No space left"),
        ("flood", "while True: print('x' * 10000)", "output"),
        ("recursion", "def f(n): return f(n + 1)\nf(0)", "RecursionError"),
        ("segfault", "import os\nos.abort()", "SIGABRT"),
        ("kill", "import os\nos.kill(os.getppid(), 9)", "not permitted"),
        ("no time left", "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))", "not allowed"),
    ],
)  # fmt: skip
def test_what_harms_is_stopped(name: str, code: str, reason: str) -> None:
    start = time.monotonic()
    result = run_tests(code, TESTS, seconds=20 if reason == "MemoryError" else 1.5)
    assert result.passed is False
    assert reason in result.reason
    assert time.monotonic() - start < 60
    assert len(result.output) <= watch.SHOWN


def test_the_code_never_sees_the_tests() -> None:
    code = (
        "import os, sys\nseen = ' '.join(sys.argv + sys.orig_argv + os.listdir('.')) + str(dict(globals()))\nassert "
        "'purple' not in seen\n" + RIGHT
    )
    assert run_tests(code, TESTS + "purple = 1\n").passed is True


def test_a_sandbox_that_does_not_start_gives_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "BOOT", "raise RuntimeError('broken')")
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
    code = "while True: pass"
    program = f"from instdata.score.sandbox.run import run_tests\nrun_tests({code!r}, '', seconds=60)"
    folders = tmp_path / "folders"
    folders.mkdir()
    environment = {**os.environ, "TMPDIR": str(folders)}  # a killed harness leaves its folder
    harness = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=Path(__file__).parents[2])
    try:
        assert within(60, lambda: any(seconds_of(p) > 0.5 for p in below(harness.pid)))
        inside = below(harness.pid)
        assert inside and all(map(alive, inside))
    finally:
        harness.kill()
        harness.wait()
    assert within(10, lambda: not any(map(alive, inside)))


def below(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    try:
        found = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*found, *(p for child in found for p in below(child))]


def seconds_of(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


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
