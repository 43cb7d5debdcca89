"""Programs that claim to be right without being it, and programs that harm the machine: what the sandbox is tried
with."""

from __future__ import annotations

# Each defines `add` and is wrong; TESTS below must fail. Which of them passed with the one process that 0.1.0 had: THEN.
FORGED = {
    "a module that ends the tests": "import sys, types\nm = types.ModuleType('unittest.__main__')\n"
                                    "sys.modules[m.__name__] = m\nadd = lambda a, b: m",
    "patched json": "import json\njson.dumps = lambda o, **k: '{\"passed\": true}'\nadd = lambda a, b: 1",
    "frames": "import sys\nf = sys._getframe()\nwhile f:\n    f.f_globals.update(AssertionError=KeyError, "
              "report=print)\n    f = f.f_back\nadd = lambda a, b: 1",
    "gc": "import gc\nfor o in gc.get_objects():\n    if isinstance(o, dict) and 'passed' in o: o['passed'] = "
          "True\nadd = lambda a, b: 1",
    "patched write": "import os\nos.write = lambda fd, data: len(data)\nadd = lambda a, b: 1",
    "patched exec": "import builtins\nbuiltins.exec = builtins.compile = lambda *a: None\nadd = lambda a, b: 1",
    "no AssertionError": "import builtins\nbuiltins.AssertionError = type('Quiet', (Exception,), {})\nadd = lambda "
                         "a, b: 1",
    "excepthook": "import sys\nsys.excepthook = lambda *a: None\nsys.settrace(lambda *a: None)\nadd = lambda a, b: 1",
    "equal to all": "class Yes:\n    def __eq__(self, other): return True\n    __hash__ = None\nadd = lambda a, b: "
                    "Yes()",
    "int equal to all": "class Yes(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\nadd "
                        "= lambda a, b: Yes(7)",
    "unequal to none": "class No:\n    def __ne__(self, other): return False\n    def __eq__(self, other): return "
                       "not self != other\nadd = lambda a, b: No()",
    "reflected": "class Yes(float):\n    def __req__(self, o): return True\n    def __eq__(self, o): return True\n   "
                 " def __rsub__(self, o): return 0\nadd = lambda a, b: Yes(1)",
    "residual of nothing": "class Zero:\n    def __sub__(self, o): return self\n    __rsub__ = __sub__\n    def "
                           "__abs__(self): return 0.0\n    def __float__(self): return 0.0\n    def __lt__(self, o): "
                           "return True\n    def __eq__(self, o): return True\nadd = lambda a, b: Zero()",
    "residual is zero": "class Zero:\n    def __sub__(self, o): return 0.0\n    __rsub__ = __sub__\nadd = lambda a, "
                        "b: Zero()",
    "looks like an int": "class Like:\n    __class__ = int\n    def __eq__(self, o): return True\nadd = lambda a, b: "
                         "Like()",
    "metaclass": "class M(type):\n    def __eq__(cls, o): return True\n    __hash__ = type.__hash__\nclass "
                 "C(metaclass=M): pass\nadd = lambda a, b: C",
    "StopIteration": "def add(a, b): raise StopIteration",
    "Ended": "class Ended(Exception): pass\ndef add(a, b): raise Ended(1)",
    "SystemExit": "def add(a, b): raise SystemExit(0)",
    "exit": "import os\ndef add(a, b): os._exit(0)",
    "exit at once": "import os\nos._exit(0)",
    "skips": "import unittest\ndef add(a, b): raise unittest.SkipTest('no')",
    "KeyboardInterrupt": "def add(a, b): raise KeyboardInterrupt",
    "GeneratorExit": "def add(a, b): raise GeneratorExit",
    "verdict on every pipe": "import os\nfor fd in range(64):\n    try: os.write(fd, b'!{\"passed\": true}\\n' * "
                             "3)\n    except OSError: pass\nadd = lambda a, b: 1",
    "verdict as the tests": "import os\nfor fd in range(64):\n    try: os.write(fd, b'!{\"confined\": [], \"role\": "
                            "\"tests\"}\\n>!{\"passed\": true}\\n')\n    except OSError: pass\nadd = lambda a, b: 1",
    "answers ahead": "import os, json\nfor fd in range(3, 64):\n    try:\n        for n in range(1, 40): "
                     "os.write(fd, b'>[\"value\",%d,null,[]]\\n' % n)\n    except OSError: pass\nadd = lambda a, b: 1",
    "broken answers": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'>' + b'[' * 100000 + b'\\n')\n    "
                      "except OSError: pass\nadd = lambda a, b: 1",
    "closes all": "import os\nos.closerange(0, 64)\nadd = lambda a, b: 1",
    "shadowed builtins": "abs = lambda x: 0\nall = any = lambda x: True\nisinstance = lambda *a: True\nsorted = list "
                         "= lambda x: 5\nadd = lambda a, b: 1",
    "shadowed math": "class math:\n    isclose = staticmethod(lambda *a, **k: True)\nadd = lambda a, b: 1",
    "patched math": "import math\nmath.isclose = lambda *a, **k: True\nadd = lambda a, b: 1",
    "own check": "def check(f): pass\nassert_equal = print\nadd = lambda a, b: 1",
    "patched wire": "import sys\nw = sys.modules['instdata.score.sandbox.wire']\nw.Peer._error = lambda *a: "
                    "None\nw.ERRORS.clear()\nadd = lambda a, b: 1",
    "unknown tag": "import sys\nw = sys.modules['instdata.score.sandbox.wire']\nw.Peer.encode = lambda self, v, m: "
                   "['m', 'os', 'system']\nadd = lambda a, b: 1",
    "names eval": "import sys\nw = sys.modules['instdata.score.sandbox.wire']\nw.Peer.encode = lambda self, v, m: "
                  "['m', '', 'eval']\nadd = lambda a, b: 1",
    "hash and eq in a set": "class Yes:\n    def __hash__(self): return hash(5)\n    def __eq__(self, o): return "
                            "True\nadd = lambda a, b: Yes()",
    "holds all": "class All:\n    def __contains__(self, x): return True\n    def __eq__(self, o): return x in "
                 "self\nadd = lambda a, b: All()",
    "callback into frames": "def add(a, b):\n    return b.__globals__ if callable(b) else 1",
    "main guard": "if __name__ == '__main__':\n    add = lambda a, b: a + b\nelse:\n    add = lambda a, b: 1",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\nadd = lambda a, b: 1",
    "thread writes": "import threading, os, time\ndef go():\n    for _ in range(20):\n        time.sleep(.01)\n      "
                     "  for fd in range(3, 12):\n            try: os.write(fd, b'!{\"passed\": true}\\n')\n          "
                     "  except OSError: pass\nthreading.Thread(target=go, daemon=True).start()\ndef add(a, b):\n    "
                     "time.sleep(.1)\n    return 1",
    "answers from the tests' frames": "import sys\ndef add(a, b):\n    f = sys._getframe(1)\n    while f:\n        if 'c' in "
        "f.f_locals: return f.f_locals['c'][1]\n        found = [k for k in f.f_code.co_consts if type(k) is int and k not "
        "in (a, b)]\n        if found: return found[0]\n        f = f.f_back\n    return 1",
    "outcome in a frame": "import sys\ndef add(a, b):\n    f = sys._getframe()\n    while f:\n        for v in "
        "list(f.f_locals.values()):\n            if type(v) is list: v.insert(0, None)\n        f = f.f_back\n    return 1",
    "json that says passed": "import json\nreal = json.dumps\ndef dumps(o, *a, **k):\n    if isinstance(o, dict) and 'failed' "
        "in o: o = {**o, 'passed': True}; del o['failed']\n    return real(o, *a, **k)\njson.dumps = dumps\nadd = lambda a, b: 1",
    "nonce from json, then exit": "import json, os\nreal, seen = json.dumps, []\ndef dumps(o, *a, **k):\n    seen.append(o)\n"
        "    return real(o, *a, **k)\njson.dumps = dumps\ndef add(a, b):\n    for o in seen:\n        if isinstance(o, dict):\n"
        "            line = real({'nonce': o.get('nonce'), 'passed': True}).encode() + b'\\n'\n            for fd in range(3, 12):\n"
        "                for mark in (b'', b'!'):\n                    try: os.write(fd, mark + line)\n                    except "
        "OSError: pass\n    os._exit(0)",
    "frames above json": "import json, sys\nreal = json.dumps\ndef dumps(o, *a, **k):\n    f = sys._getframe(1)\n    while f:\n"
        "        f.f_globals.get('__builtins__')\n        if isinstance(o, dict) and 'failed' in o: o['passed'] = bool(o.pop('failed'))"
        "\n        f = f.f_back\n    return real(o, *a, **k)\njson.dumps = dumps\nadd = lambda a, b: 1",
    "another math": "import sys, types\nsys.modules['math'] = types.SimpleNamespace(isclose=lambda *a, **k: True)\nclass Zero:\n"
        "    def __sub__(self, o): return 0.0\n    def __eq__(self, o): return True\nadd = lambda a, b: Zero()",
    "another unittest": "import sys, types\nm = types.ModuleType('unittest')\nm.TestCase, m.main = object, lambda: None\n"
        "sys.modules['unittest'] = m\nadd = lambda a, b: 1",
    "patched unittest.case": "import unittest.case\nunittest.case.TestCase.assertEqual = lambda *a, **k: None\nadd = lambda a, b: 1",
    "names changed at a call": "import sys, types\nall = lambda x: True\nclass Yes:\n    def __eq__(self, o): return True\n    "
        "def __sub__(self, o): return 0.0\ndef add(a, b):\n    f = sys._getframe(1)\n    while f:\n        f.f_globals.update("
        "math=types.SimpleNamespace(isclose=lambda *a: True), abs=lambda x: 0)\n        f = f.f_back\n    return Yes()",
    "copy of the builtins": "b = __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)\nb['all'] = lambda x: "
        "True\nb['abs'] = lambda x: 0.0\nclass Yes:\n    def __eq__(self, o): return True\n    def __sub__(self, o): return 0.0\n"
        "add = lambda a, b: Yes()",
    "any that sees nothing": "import builtins, math\nbuiltins.any = lambda x: False\nmath.isclose = lambda *a, **k: True\nclass "
        "Yes:\n    def __eq__(self, o): return True\n    def __sub__(self, o): return 0.0\nadd = lambda a, b: Yes()",
    "import hook": "import sys, types\nclass Hook:\n    def find_spec(self, name, path=None, target=None):\n        if name in "
        "('math', 'unittest'): sys.modules[name] = types.SimpleNamespace(isclose=lambda *a: True)\nsys.meta_path.insert(0, "
        "Hook())\nfor name in ('math', 'unittest'): sys.modules.pop(name, None)\nadd = lambda a, b: 1",
    "patched __import__": "import builtins, types\nreal = builtins.__import__\nbuiltins.__import__ = lambda n, *a, **k: "
        "types.SimpleNamespace(isclose=lambda *a: True) if n == 'math' else real(n, *a, **k)\nadd = lambda a, b: 1",
    "trace that jumps": "import sys\ndef go(f, e, a):\n    try: f.f_lineno = 8\n    except Exception: pass\n    return go\ndef "
        "add(a, b):\n    sys.settrace(go)\n    f = sys._getframe(1)\n    while f: f.f_trace = go; f = f.f_back\n    return 1",
    "profile": "import sys, threading\nsys.setprofile(lambda f, e, a: f.f_locals.update(passed=True))\nthreading.setprofile("
        "sys.getprofile())\nadd = lambda a, b: 1",
    "signal handler": "import signal\ndef go(n, f):\n    while f:\n        r = f.f_locals.get('report')\n        if r: r(passed="
        "True)\n        f = f.f_back\ntry:\n    signal.signal(signal.SIGALRM, go)\n    signal.setitimer(signal.ITIMER_REAL, "
        ".01, .01)\nexcept ValueError: pass\ndef add(a, b):\n    import time\n    time.sleep(.1)\n    return 1",
    "finalizer": "import weakref, os\nclass A: pass\na = A()\ndef go():\n    for fd in range(3, 12):\n        try: os.write(fd, "
        "b'!{\"passed\": true}\\n')\n        except OSError: pass\nweakref.finalize(a, go)\ndel a\nadd = lambda a, b: 1",
    "memory of the process": "import os\ntry:\n    f = os.open('/proc/self/mem', os.O_RDWR)\n    os.pwrite(f, b'\\1', id(5) + 24)\n"
        "except OSError: pass\nadd = lambda a, b: 1",
    "five is one": "try:\n    import ctypes\n    ctypes.c_int.from_address(id(5) + 24).value = 1\nexcept Exception: pass\nadd = "
        "lambda a, b: 1",
    "stdout": "import sys\nadd = lambda a, b: print('!{\"passed\": true}', file=sys.__stdout__, flush=True) or 1\nprint('!{"
        "\"passed\": true}\\n>[\"value\",1,5,[]]', flush=True)",
    "own StopIteration": "class End(StopIteration): pass\ndef add(a, b): raise End",
    "own AssertionError": "class Quiet(AssertionError):\n    def __new__(cls, *a): return None\ndef add(a, b): raise Quiet",
    "answers of two calls": "import sys\nw = sys.modules.get('instdata.score.sandbox.wire')\nif w:\n    real = w.Peer.encode\n    "
        "w.Peer.encode = lambda self, v, m: ['p', 0] if v == 1 else real(self, v, m)\nadd = lambda a, b: 1",
    "facts that lie": "import sys\nx = sys.modules.get('instdata.score.sandbox.proxy')\nclass Yes:\n    def __eq__(self, o): return "
        "True\nif x:\n    for m in sys.modules.values():\n        if hasattr(m, 'facts_of'): m.facts_of = lambda p, v: {'kind': "
        "'class', 'name': 'int', 'can': ['__eq__', '__ne__', '__sub__', '__abs__', '__lt__', '__hash__', '__float__'], 'value': 5}\n"
        "add = lambda a, b: Yes()",
    "error class as a value": "class Yes(Exception):\n    def __eq__(self, o): return True\n    __hash__ = None\n    def __sub__("
        "self, o): return 0\nadd = lambda a, b: Yes()",
    "coroutine": "async def add(a, b): return a + b",
    "generator that is equal": "class G:\n    def __iter__(self): return self\n    def __next__(self): raise StopIteration\n    def "
        "__eq__(self, o): return True\nadd = lambda a, b: G()",
}  # fmt: skip
# Those that 0.1.0 (commit 8a12b76, one process for code and tests) took for right with one of TESTS and SINGLE at least:
# `python tests/security/earlier.py` with that tree says so. LIARS were believed there, all of them.
THEN = {
    "equal to all", "int equal to all", "unequal to none", "reflected", "residual of nothing", "residual is zero",
    "looks like an int", "metaclass", "StopIteration", "shadowed builtins", "hash and eq in a set", "main guard",
    "answers from the tests' frames", "outcome in a frame", "json that says passed", "nonce from json, then exit",
    "frames above json", "another math", "another unittest", "names changed at a call", "copy of the builtins",
    "any that sees nothing", "own StopIteration", "facts that lie", "error class as a value", "generator that is equal",
}  # fmt: skip
# Objects of the code's own that lie to the tests' questions: what each `answers`, and tests that believe it.
LIARS = {
    "startswith": ("class Y:\n    def startswith(s, x): return True\nf = lambda n: Y()", "assert f('Bob').startswith('Hello')"),
    "a text's startswith": ("class Y(str):\n    def startswith(s, x): return True\nf = lambda n: Y('no')",
                            "assert f('Bob').startswith('Hello')"),
    "issubset": ("class Y:\n    def issubset(s, x): return True\nf = lambda n: Y()", "assert f(3).issubset({1, 2, 3})"),
    "isdigit": ("class Y:\n    def isdigit(s): return True\nf = lambda n: Y()", "assert f(3).isdigit()"),
    "nothing missing": ("class Y:\n    def difference(s, x): return set()\nf = lambda n: Y()", "assert not f(3).difference({1})"),
    "named as the function": ("class T:\n    def __contains__(s, x): return True\nT.__name__ = 'f'\nf = lambda n: T()",
                              "assert 'x' in f('x y')"),
    "a class for a function": ("class f:\n    def __init__(s, n): pass\n    def __contains__(s, x): return True",
                               "assert 'x' in f('x y')"),
    "total_seconds": ("class Y:\n    def __sub__(s, o): return Y()\n    def total_seconds(s): return 0\nf = lambda n: Y()",
        "from datetime import datetime\nassert abs((f('2020-01-01') - datetime(2020, 1, 1)).total_seconds()) < 1"),
    "days": ("class Y:\n    days = 0\n    def __sub__(s, o): return Y()\nf = lambda n: Y()",
             "from datetime import date\nassert (f('2020-01-01') - date(2020, 1, 1)).days == 0"),
    "nothing differs": ("class Y:\n    def __sub__(s, o): return Y()\n    __xor__ = __sub__\n    def __iter__(s): return iter(())\n"
                        "f = lambda n: Y()", "assert sorted(f(3) ^ {1, 2, 3}) == []"),
    "empty difference": ("class Y:\n    def __sub__(s, o): return Y()\n    def __getitem__(s, i): raise IndexError\nf = lambda n: "
                         "Y()", "assert list(f(3) - {1, 2}) == []"),
    "written as nothing": ("class Y:\n    def __mod__(s, o): return Y()\n    def __str__(s): return '0'\nf = lambda n: Y()",
                           "assert str(f(8) % 7) == '0'"),
    # Found by the trial of 2026-11-28.
    "a named tuple of functions": ("import collections\ndef f(n): return collections.namedtuple('Y',['startswith'])(lambda x: True)", "assert f('Bob').startswith('Hello')"),
    "its class is called as a constant of the tests": ("class CASES:\n def __contains__(s,x): return True\ndef f(n): return CASES()", "CASES = [(6, 3)]\nfor a, b in CASES: assert b in f(a)"),
    "its class is called as what the tests import": ("class Decimal:\n def __sub__(s,o): return s\n def is_zero(s): return True\ndef f(n): return Decimal()", "from decimal import Decimal\nassert (f('1.5') - Decimal('1.5')).is_zero()"),
    "a with that swallows the assertion": ("class Y:\n def __enter__(s): return s\n def __exit__(s,*a): return True\n def get(s,k): return 0\ndef connect(x): return Y()", "with connect('a') as db: assert db.get('x') == 5"),
    "a decorator that swallows it": ("def timed(g):\n def h(*a):\n  try: g(*a)\n  except BaseException: pass\n return h\ndef add(a, b): return 0", "@timed\ndef test_add(): assert add(2, 3) == 5\ntest_add()"),
    "a difference that is shown": ("class Y:\n def __sub__(s,o): return s\n def __repr__(s): return '0'\ndef f(n): return Y()", "assert repr(f(2) - 4) == '0'"),
    "a difference that is hashed": ("class Y:\n def __sub__(s,o): return s\n def __hash__(s): return 0\ndef f(n): return Y()", "assert hash(f(2) - 4) == 0"),
    # Believed until 2026-11-28, and that evening's attempts.
    "a type for a value": ("f = lambda n: set", "assert f(3).union({1, 2, 3}) == {1, 2, 3}"),
    "a type for a text": ("f = lambda n: str", "assert f('abc').upper('abc') == 'ABC'"),
    "a type beside types that are compared": ("f = lambda n: set", "assert type({1}) == set and isinstance({1}, (set, int))\nassert f(3).union({1}) == {1}"),
    "a type under another name": ("result = set", "assert result.union({1, 2}) == {1, 2}"),
    "a module for a value": ("import math\nf = lambda n: math", "assert f(3).gcd(4, 6) == 2"),
    "a dictionary of yes": ("import collections\nf = lambda n: collections.defaultdict(lambda: True)", "assert all(f(9)[k] for k in (2, 3, 5))"),
    "a dictionary of zeros": ("import collections\nf = lambda n: collections.defaultdict(int)", "assert f('ab')['c'] == 0"),
    "a dictionary that makes up keys": ("class D(dict):\n def __missing__(s, k): return True\nf = lambda n: D()", "assert f(9)['yes']"),
    "a dictionary that says yes": ("class D(dict):\n def __getitem__(s, k): return True\nf = lambda n: D()", "assert f(9)['yes']"),
    "not a number": ("f = lambda n: float('nan')", "assert not f(2) > 4 and not f(2) < 4"),
    "not a number, inside": ("f = lambda n: [1, {'a': float('nan')}]", "assert not f(2)[1]['a'] > 4"),
    "no decimal": ("import decimal\nf = lambda n: decimal.Decimal('NaN')", "assert not f(2) == 5"),
    "a float's subclass that is none": ("class F(float): pass\nf = lambda n: F('nan')", "assert not f(2) > 4"),
    "NaN as JSON writes it": ("import sys, json\nw = sys.modules['instdata.score.sandbox.wire']\nw.Peer.encode = lambda s, v, m: float('nan')\nf = lambda n: 1", "assert not f(2) > 4"),
    "an object of a class that the tests name": ("class Solution:\n def divisors(s, n): return Solution()\n def __contains__(s, x): return True", "assert 3 in Solution().divisors(6)"),
    "itself, of such a class": ("class Solution:\n def divisors(s, n): return s\n def __contains__(s, x): return True", "assert 3 in Solution().divisors(6)"),
    "itself, in a list": ("class Solution:\n def divisors(s, n): return [s]\n def __contains__(s, x): return True", "s = Solution()\nassert 3 in s.divisors(6)[0]"),
    "of such a class by a function": ("class Solution: \n def startswith(s, x): return True\nf = lambda n: Solution()", "Solution()\nassert f('a').startswith('b')"),
    "a difference, of such a class": ("class Solution:\n days = 0\n def parse(s, x): return s\n def __sub__(s, o): return s", "from datetime import date\nassert (Solution().parse('2020-01-01') - date(2020, 1, 1)).days == 0"),
    "a class's method that makes one": ("class Solution:\n @classmethod\n def divisors(c, n): return c()\n def __contains__(s, x): return True", "Solution()\nassert 3 in Solution.divisors(6)"),
    "a decorator of another function": ("def timed(g):\n def h(*a):\n  try: g(*a)\n  except BaseException: pass\n return h\ndef add(a, b): return 0", "@timed\ndef check(): assert add(2, 3) == 5\ncheck()"),
    "a decorator that runs nothing": ("def timed(g): return lambda *a: None\ndef add(a, b): return 0", "@timed\ndef test_add(): assert add(2, 3) == 5\ntest_add()"),
    "a decorator of a class": ("def cached(c): return lambda *a: None\ndef add(a, b): return 0", "@cached\nclass T:\n def __init__(self): assert add(2, 3) == 5\nT()"),
    "a with that skips the assertion": ("class Y:\n def __enter__(s): return s\n def __exit__(s,*a): return True\n def get(s,k): raise KeyError\ndef connect(x): return Y()", "with connect('a') as db: assert db.get('x') == 5"),
    "a with that skips what comes next": ("class Y:\n def __enter__(s): return s\n def __exit__(s,*a): return True\n def get(s,k): raise KeyError\ndef connect(x): return Y()", "with connect('a') as db:\n x = db.get('x')\n assert x == 5"),
    "a refusal that is swallowed": ("class Y:\n def __enter__(s): return s\n def __exit__(s,*a): return True\n def startswith(s,k): return True\nconnect = f = lambda x: Y()", "with connect('a'): assert f(2).startswith('x')"),
}  # fmt: skip
TESTS = """
import math
cases = [((2, 3), 5), ((-1, 1), 0)]
assert all(map(lambda c: add(*c[0]) == c[1], cases))
assert abs(add(2, 3) - 5) < 1e-9
assert math.isclose(add(2, 3), 5)
assert add(2, 3) == 5
"""
# The tests one by one: no single kind of comparison is forged either.
SINGLE = ["assert add(2, 3) == 5", "assert not add(2, 3) != 5", "assert abs(add(2, 3) - 5) < 1e-9",
    "assert 5 == add(2, 3)", "assert add(2, 3) in (5,)",
          "assert add(2, 3) in {5}", ("assert all(map(lambda c: add(*c[0]) == c[1], [((2, 3), "
                                     "5)]))"), "import math\nassert math.isclose(add(2, 3), 5)",
          "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(add(2, 3), "
          "5)\nunittest.main()", "assert not [c for c in [5] if add(2, 3) != c]",
          "def check(f):\n    assert f(2, 3) == 5\ncheck(add)",
          "assert 5 in [add(2, 3)] and add(2, 3) <= 5 <= add(2, 3)"]  # fmt: skip

# Each must raise an OSError (or what `expected` says) inside the sandbox; OUTSIDE is a file of the machine's.
HARMFUL = {
    "chmod": "import os\nopen('f', 'w').close()\nos.chmod('f', 0o777)",
    "fchmod": "import os\nf = open('f', 'w')\nos.fchmod(f.fileno(), 0o777)",
    "chown": "import os\nopen('f', 'w').close()\nos.chown('f', 1, 1)",
    "chmod outside": "import os\nos.chmod(OUTSIDE, 0o777)",
    "utime": "import os\nopen('f', 'w').close()\nos.utime('f', (1, 1))",
    "utime outside": "import os\nos.utime(OUTSIDE, (1, 1))",
    "setxattr": "import os\nopen('f', 'w').close()\nos.setxattr('f', 'user.x', b'1')",
    "getxattr": "import os\nos.getxattr(OUTSIDE, 'user.x')",
    "priority": "import os\nos.setpriority(os.PRIO_PROCESS, 0, 5)",
    "nice": "import os\nos.nice(5)",
    "affinity": "import os\nos.sched_setaffinity(0, {0})",
    "scheduler": "import os\nos.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
    "stat outside": "import os\nos.stat(OUTSIDE)",
    "lstat passwd": "import os\nos.lstat('/etc/passwd')",
    "access": "import os\nif not os.access(OUTSIDE, os.F_OK): raise OSError('not there')",
    "read outside": "open(OUTSIDE).read()",
    "read passwd": "open('/etc/passwd').read()",
    "list outside": "import os\nos.listdir('/home')",
    "proc": "open('/proc/self/environ').read()",
    "proc 1": "open('/proc/1/cmdline').read()",
    "sys": "import os\nos.listdir('/sys')",
    "symlink out": "import os\nos.symlink(OUTSIDE, 'x')\nopen('x').read()",
    "link out": "import os\nos.link(OUTSIDE, 'x')",
    "write library": "import os\nopen(os.__file__, 'a')",
    "remove library": "import os\nos.remove(os.__file__)",
    "mknod": "import os\nos.mkfifo('x')",
    "disk device": "open('/dev/vda', 'rb')",
    "memory device": "open('/dev/mem', 'rb')",
    "shared memory": "open('/dev/shm/x', 'w')",
    "mount": "import ctypes\nif ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None): raise OSError",
    "unshare": "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError",
    "ptrace": "import ctypes\nif ctypes.CDLL(None).ptrace(0, 0, 0, 0): raise OSError",
    "bpf": "import ctypes\nif ctypes.CDLL(None).syscall(321, 0, 0, 0) < 0: raise OSError",
    "keyring": "import ctypes\nif ctypes.CDLL(None).syscall(250, 0, 0, 0) < 0: raise OSError",
    "io_uring": "import ctypes\nif ctypes.CDLL(None).syscall(425, 1, 0) < 0: raise OSError",
    "setuid": "import os\nos.setuid(0)",
    "setsid": "import os\nos.setsid()",
    "hostname": "import socket\nsocket.sethostname('x')",
    "clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "kill parent": "import os\nos.kill(os.getppid(), 9)",
    "kill all": "import os\nos.kill(-1, 9)",
    "kill 1": "import os\nos.kill(1, 9)",
    "fork": "import os\nos.fork()",
    "fork by libc": "import ctypes\nif ctypes.CDLL(None).fork() < 0: raise OSError",
    "spawn": "import subprocess\nsubprocess.run(['/bin/true'])",
    "exec": "import os\nos.execv('/usr/bin/true', ['true'])",
    "process pool": "import multiprocessing\nmultiprocessing.Process(target=print).start()",
    "TCP": "import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)",
    "UDP": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))",
    "IPv6": "import socket\nsocket.create_connection(('::1', PORT), 2)",
    "abstract socket": "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0x')",
    "raw socket": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "netlink": "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "address": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:%d' % PORT, timeout=2)",
    "unlinked files": "import os\nheld = []\nfor n in range(40):\n    f = open('x', 'wb')\n    held.append(f)\n    "
                      "os.unlink('x')\n    for _ in range(8): f.write(bytes(1 << 20))\n    f.flush()",
    "big files": "for n in range(40): open(str(n), 'wb').write(bytes(8 << 20))",
    "one big file": "import os\nf = open('x', 'wb', 0)\nfor _ in range(100):\n    if f.write(bytes(1 << 20)) < 1 << "
                    "20: raise OSError('full')",
    "many files": "for n in range(20000): open(str(n), 'w').close()",
    "fallocate": "import os\nos.posix_fallocate(os.open('x', os.O_CREAT | os.O_RDWR), 0, 1 << 30)",
}  # fmt: skip
