"""Two confined processes, one with the code, one with the tests, from their start to the verdict."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from instdata.score.sandbox import launch

START = 30.0  # seconds for the interpreters to come up, which are not the candidate's
SHOWN = 10_000  # bytes of output kept
FLOOD = 8 << 20  # bytes of output from which the processes are killed
WAITING = 32 << 20  # bytes that may wait for one of the processes to read them
SIGNALS = {signal.SIGXCPU: "it took too much processor time",
    signal.SIGKILL: "it was killed, perhaps for its memory or its processor time"}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """Whether the tests passed; None where they could not be run at all, which says nothing about the code. `enforced`:
    the protections that held: namespaces, limits, seccomp."""

    passed: bool | None
    reason: str
    output: str = ""
    enforced: tuple[str, ...] = ()


def attempt(how: str, code: str, tests: str, seconds: float, memory_mb: int, disk_mb: int) -> Result:
    """`run_tests` in a given way: bwrap, own, docker or none."""
    try:
        ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        return Result(None, f"the tests cannot be read: {e}")
    limits = {"seconds": int(seconds) + 1, "memory_mb": memory_mb, "disk_mb": disk_mb}
    with _folder() as folder, contextlib.ExitStack() as stack:
        sides = {}
        for role, source in (("code", code), ("tests", tests)):
            try:
                process = launch.start(how, role, source, folder, limits)
            except OSError as e:
                return Result(None, f"no process could be started: {e.strerror}")
            sides[role] = _Side(process)
            stack.callback(sides[role].end)
        return _Watch(sides["code"], sides["tests"], seconds).result()


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A new folder, on which the processes mount a root of their own; removed at the end."""
    folder = tempfile.mkdtemp(prefix="instdata-sandbox-")
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except (OSError, RecursionError):
            subprocess.run(["/bin/rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL)


class _Side:
    """One of the two processes: what it sent, what waits to be sent to it."""

    def __init__(self, process: subprocess.Popen[bytes]):
        assert process.stdin and process.stdout and process.stderr  # pipes, all three
        self.process, self.waiting, self.pending, self.open = process, b"", b"", True
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        for pipe in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(pipe.fileno(), False)

    def lines(self) -> list[bytes]:
        """Whole lines that came; `open` is False after the last one."""
        try:
            data = os.read(self.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return []
        if not data:
            self.open = False
            return []
        *lines, self.pending = (self.pending + data).split(b"\n")
        return lines

    def send(self, data: bytes = b"") -> None:
        """Send what fits, keep the rest."""
        self.waiting += data
        try:
            while self.waiting:
                self.waiting = self.waiting[os.write(self.stdin.fileno(), self.waiting) :]
        except BlockingIOError:
            pass
        except OSError:
            self.waiting = b""  # it is gone, which its stdout tells

    def end(self) -> None:
        """Kill the process and what it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


class _Watch:
    """Two running processes, from their start to the verdict."""

    def __init__(self, code: _Side, tests: _Side, seconds: float):
        self.code, self.tests, self.seconds = code, tests, seconds
        self.output, self.seen = b"", 0
        self.confined: dict[_Side, tuple[str, ...]] = {}

    def result(self) -> Result:
        passed, reason = self._verdict()
        enforced = self.confined.get(self.code, ())
        return Result(passed, reason, self.output.decode("utf-8", "replace"), enforced)

    def _verdict(self) -> tuple[bool | None, str]:
        deadline, running = time.monotonic() + START, False
        with selectors.DefaultSelector() as selector:
            for side in (self.code, self.tests):
                selector.register(side.stdout, selectors.EVENT_READ, side)
                selector.register(side.stderr, selectors.EVENT_READ, None)
            while (now := time.monotonic()) < deadline:
                slow = any(s.waiting for s in (self.code, self.tests))
                for key, _ in selector.select(min(deadline - now, 0.005 if slow else 1.0)):
                    if key.data is None:
                        if not self._read_output(key.fileobj):
                            selector.unregister(key.fileobj)
                        continue
                    if (verdict := self._heard(key.data)) is not None:
                        return verdict
                    if not key.data.open:
                        return self._gone(key.data)
                for side in (self.code, self.tests):
                    side.send()
                if not running and len(self.confined) == 2:
                    deadline, running = time.monotonic() + self.seconds, True
                if self.seen > FLOOD:
                    return False, f"it wrote more than {FLOOD >> 20} MB of output"
        return (False, f"it took longer than {self.seconds:g} s") if running else (None,
            f"the sandbox did not start within {START:g} s")  # fmt: skip

    def _heard(self, side: _Side) -> tuple[bool | None, str] | None:
        """Pass on what the processes say to each other, note what they say to us; the verdict where there is one."""
        other = self.tests if side is self.code else self.code
        for line in side.lines():
            if line[:1] == b">":
                other.send(line[1:] + b"\n")
                continue
            try:
                message = json.loads(line[1:]) if line[:1] == b"!" else {}
            except (ValueError, RecursionError):
                continue
            if not isinstance(message, dict):
                continue
            if "refused" in message and side not in self.confined:
                return None, f"the sandbox did not start: {str(message['refused'])[:200]}"
            if "confined" in message and side not in self.confined:
                self.confined[side] = tuple(message["confined"])
            elif "loaded" in message and side is self.code:
                self.tests.send(b"go\n")
            elif "failed" in message:
                return False, str(message["failed"])[:400]
            elif "passed" in message and side is self.tests:
                return True, "the tests pass"
        if max(len(side.pending), len(other.waiting)) > WAITING:
            return False, "it sent more than the tests can read"
        return None

    def _gone(self, side: _Side) -> tuple[bool | None, str]:
        """A process is gone, or closed its pipe, and no verdict came."""
        try:
            status = side.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return False, "it closed the pipe to the tests"
        while self.seen <= FLOOD and self._read_output(side.stderr):
            pass
        if side not in self.confined:
            last = self.output.decode("utf-8", "replace").strip().splitlines()
            return None, f"the sandbox did not start{': ' + last[-1][:200] if last else ''}"
        number = -status if status < 0 else status - 128 if 128 < status < 160 else 0
        who = "it" if side is self.code else "the tests"
        if number:
            return False, SIGNALS.get(signal.Signals(number), f"{who} crashed ({signal.Signals(number).name})")
        return False, f"{who} ended the process (status {status}) before the tests were done"

    def _read_output(self, pipe: object) -> bool:
        try:
            data = os.read(pipe.fileno(), 1 << 16)  # type: ignore[attr-defined]
        except BlockingIOError:
            return False
        self.output += data[: max(0, SHOWN - len(self.output))]
        self.seen += len(data)
        return bool(data)
