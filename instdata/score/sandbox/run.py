"""Generated code runs here and nowhere else: a process of its own, confined as far as the machine can (docs/evaluate.md)."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INSIDE = Path(__file__).with_name("inside.py")
START = 30.0  # seconds for the interpreter to come up, which are not the candidate's
SHOWN = 10_000  # bytes of output kept
FLOOD = 8 << 20  # bytes of output from which the process is killed
FILES = 500  # files that a program may leave in its folder
LOOK = 0.1  # seconds between looks at the folder


@dataclass(frozen=True)
class Result:
    """Whether the tests passed; None where they could not be run at all, which says nothing about the code. `enforced`:
    the protections that held: namespace, limits, landlock, seccomp, audit."""

    passed: bool | None
    reason: str
    output: str = ""
    enforced: tuple[str, ...] = ()


def run_tests(code: str, tests: str, *, seconds: float = 10, memory_mb: int = 512, disk_mb: int = 64) -> Result:
    """Run code, then tests in the same namespace; they pass if both come to their end without an exception.

    `seconds`: wall clock for both. `memory_mb`: address space beyond the interpreter's own. `disk_mb`: what it may write.
    Only the standard library can be imported. A deliberate attack from within the process aside, the verdict is proven by
    a nonce that the code cannot know. No process is left behind.
    """
    if os.name != "posix":
        return Result(None, "there is no sandbox for this system")
    try:
        imports = _imports(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        return Result(None, f"the tests cannot be read: {e}")
    with _folder() as folder:
        order = {
            "nonce": secrets.token_hex(16), "code": code, "imports": imports, "folder": folder,
            "seconds": int(seconds) + 1, "memory_mb": memory_mb, "file_mb": disk_mb,
        }  # fmt: skip
        ours, theirs = socket.socketpair()
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8:replace",
            "MALLOC_ARENA_MAX": "1",  # each further arena would reserve address space
        }  # fmt: skip
        try:
            process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-B", "-c", INSIDE.read_text("utf-8"), str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, env=environment,
                pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        except OSError as e:
            ours.close()
            return Result(None, f"no process could be started: {e.strerror}")
        finally:
            theirs.close()
        try:
            return _Watch(process, ours, order, tests, seconds, disk_mb).result()
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
            ours.close()


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A new folder, removed at the end however deep a program has made it."""
    folder = tempfile.mkdtemp(prefix="instdata-sandbox-")
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except (OSError, RecursionError):
            subprocess.run(["/bin/rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL)


def _imports(tests: str) -> list[str]:
    """The modules that the tests import: those may not be changed by the code."""
    names = set()
    for node in ast.walk(ast.parse(tests)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return sorted(names & set(sys.stdlib_module_names) - {"ctypes"})


class _Watch:
    """A running process, from the first order to the verdict."""

    def __init__(
        self, process: subprocess.Popen, channel: socket.socket, order: dict, tests: str, seconds: float, disk_mb: int
    ):
        self.process, self.channel, self.order, self.tests = process, channel, order, tests
        self.seconds, self.disk = seconds, disk_mb << 20
        self.output, self.seen, self.pending = b"", 0, b""
        self.enforced: tuple[str, ...] = ()

    def result(self) -> Result:
        passed, reason = self._verdict()
        return Result(passed, reason, self.output.decode("utf-8", "replace"), self.enforced)

    def _verdict(self) -> tuple[bool | None, str]:
        deadline = time.monotonic() + START
        if not self._send(self.order):
            return None, "the sandbox did not start"
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, selectors.EVENT_READ)
            selector.register(self.process.stdout, selectors.EVENT_READ)
            looked = 0.0
            while (now := time.monotonic()) < deadline:
                for key, _ in selector.select(min(deadline - now, LOOK)):
                    if key.fileobj is self.channel:
                        for message in self._messages():
                            if "confined" in message:
                                self.enforced = tuple(message["confined"])
                                deadline = time.monotonic() + self.seconds
                            elif "loaded" in message:
                                self._send({"tests": self.tests})
                            elif "passed" in message:
                                return True, "the tests pass"
                            elif message.get("failed") is not None:
                                return False, str(message["failed"])
                        if self.pending is None:
                            return self._gone()
                    elif not self._read_output():
                        selector.unregister(key.fileobj)
                if self.seen > FLOOD:
                    return False, f"it wrote more than {FLOOD >> 20} MB of output"
                if now - looked > LOOK:
                    looked = now
                    if _too_full(self.order["folder"], self.disk):
                        return False, f"it wrote more than {self.disk >> 20} MB or {FILES} files"
        if not self.enforced:
            return None, f"the sandbox did not start within {START:g} s"
        return False, f"it took longer than {self.seconds:g} s"

    def _gone(self) -> tuple[bool | None, str]:
        """The channel is closed and no verdict came."""
        try:
            status = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return False, "it closed the channel of the tests"
        while self.seen <= FLOOD and self._read_output():
            pass
        if not self.enforced:
            last = self.output.decode("utf-8", "replace").strip().splitlines()
            return None, f"the sandbox did not start{': ' + last[-1][:200] if last else ''}"
        if status < 0:
            words = {
                signal.SIGXCPU: "it took too much processor time",
                signal.SIGKILL: "it was killed, perhaps for its memory",
            }
            return False, words.get(-status, f"it crashed ({signal.Signals(-status).name})")
        return False, f"it ended the process (status {status}) before the tests were done"

    def _send(self, message: dict) -> bool:
        self.channel.settimeout(self.seconds)
        try:
            self.channel.sendall((json.dumps(message) + "\n").encode("utf-8", "surrogatepass"))
            return True
        except OSError:
            return False

    def _messages(self) -> list[dict]:
        """Messages that bear the nonce; anything else on the channel is not ours. `pending` is None at its end."""
        self.channel.setblocking(False)
        try:
            data = self.channel.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.pending = None
            return []
        *lines, self.pending = (self.pending + data)[-(1 << 18) :].split(b"\n")
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                message = json.loads(line)
                if isinstance(message, dict) and message.get("nonce") == self.order["nonce"]:
                    found.append(message)
        return found

    def _read_output(self) -> bool:
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        self.output += data[: max(0, SHOWN - len(self.output))]
        self.seen += len(data)
        return bool(data)


def _too_full(folder: str, most: int) -> bool:
    """Whether a folder holds too many bytes or files."""
    count = size = 0
    for root, folders, files in os.walk(folder):
        count += len(folders) + len(files)
        if count > FILES:
            return True
        for name in files:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(root, name)).st_blocks * 512
    return size > most
