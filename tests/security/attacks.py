"""Programs that claim to be right without being it, and programs that harm the machine: what the sandbox is tried
with."""

from __future__ import annotations

# Each defines `add` and is wrong; TESTS below must fail. (Tried with the sandbox before it had two processes, commit 8a12b76, version
# 0.1.0: one passes there, "main guard", which that one ran.)
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
