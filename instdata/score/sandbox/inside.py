"""What runs in the sandbox's two processes: one executes the candidate's code and answers calls, the other runs the
tests.

launch.py's bootstrap puts the texts of these files into an empty interpreter; they import nothing but the standard
library. A line on stdout that starts with `!` is for the harness, one that starts with `>` for the other process. Only
the tests' process says that the tests passed, and nothing of the candidate's ever runs in it.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from instdata.score.sandbox import proxy, serving
from instdata.score.sandbox.confine import Unconfined, confine
from instdata.score.sandbox.tests_source import Spoken
from instdata.score.sandbox.wire import MOST, BrokenWire, Peer


def main(order: dict[str, Any], stdin: Any, stdout: int) -> None:
    """Confine this process, then be what the order says: the candidate or the tests."""
    write, leave = os.write, os._exit

    def send(mark: bytes, data: bytes) -> None:
        line = mark + data + b"\n"
        while line:
            line = line[write(stdout, line) :]

    def report(**message: Any) -> None:
        send(b"!", json.dumps(message).encode())

    try:
        report(confined=confine(order))
    except Unconfined as e:
        report(refused=str(e))
        leave(1)

    def read() -> bytes:
        return stdin.readline(MOST + 2)

    if order["role"] == "code":
        _candidate(order["source"], lambda data: send(b">", data), read, report)
    else:
        _tests(order["source"], lambda data: send(b">", data), read, report)
    leave(0)


def _candidate(source: str, write: Callable[..., Any], read: Callable[..., Any], report: Callable[..., Any]) -> None:
    """Execute the code, then answer the tests until they are done. Its name is not __main__: main guards do not run."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    problem = run(source, "code", vars(module))
    if problem:
        report(failed=problem)
        return
    peer = Peer(write, read, True, proxy.stand_in, proxy.facts_of, _printing(serving.serve_code))
    peer.module = vars(module)  # type: ignore[attr-defined]
    report(loaded=True)
    while data := read():
        peer.answer(json.loads(data))


def _printing(serve: Callable[..., Any]) -> Callable[..., Any]:
    """What the code prints while it is called goes to the tests' stdout, which may look at it."""

    def served(peer: Peer, op: str, target: Any, arguments: list[Any]) -> Any:
        if op != "special":
            return serve(peer, op, target, arguments)
        was, sys.stdout = sys.stdout, io.StringIO()
        try:
            return serve(peer, op, target, arguments)
        finally:
            said, sys.stdout = sys.stdout, was
            if isinstance(said, io.StringIO) and (text := said.getvalue()):
                peer.ask("print", None, text[:100_000])

    return served


class Names(dict[str, Any]):
    """The tests' global names: their own, then the candidate's, then the builtins. What is a builtin is the candidate's
    only where the tests can mean nothing else (`assert sum(1, 2) == 3` and no other name)."""

    def __init__(self, peer: Peer):
        super().__init__(__name__="__main__", __builtins__=builtins)
        self.peer, self.there = peer, set(peer.ask("globals", None)) & peer.spoken.names

    def __missing__(self, name: str) -> Any:
        if name not in self.there:
            raise KeyError(name)
        self.peer.judge = lambda value: self.peer.spoken.named(name, value)
        try:
            return self.peer.ask("global", None, name)
        finally:
            self.peer.judge = self.peer.spoken.result

    def fetch(self) -> None:
        """Functions, classes and modules once and for all: class bodies look names up without __missing__."""
        for name in sorted(self.there):
            value = self[name]
            if callable(value) or isinstance(value, types.ModuleType):
                self[name] = value
        # Written as classes are: a class that is called as a function may be one that stands for plain values. And
        # bound by the tests nowhere: the Decimal that they import is not the code's.
        self.peer.classes = {
            v._instdata_number
            for n, v in self.items()
            if n in self.peer.spoken.free and n[:1].isupper() and proxy.is_class(v)
        }


class Main(types.ModuleType):
    """The module that the tests are: unittest.main() looks for them in it."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_names"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> list[str]:
        return [n for n in self.__dict__["_names"] if n != "__builtins__"]


def _tests(source: str, write: Callable[..., Any], read: Callable[..., Any], report: Callable[..., Any]) -> None:
    """Run the tests against the candidate's process."""

    def serve(peer: Peer, op: str, target: Any, arguments: list[Any]) -> Any:
        if op == "print":
            return sys.stdout.write(arguments[0]) and None
        return serving.serve_tests(peer, op, target, arguments)

    read()  # the harness says that the code has run
    peer = Peer(write, read, False, proxy.strict_stand_in, proxy.facts_of, serve)
    peer.spoken = Spoken(source)
    peer.judge = peer.spoken.result
    peer.ask = serving.guarded(peer.ask)  # type: ignore[method-assign]
    try:
        names = Names(peer)
        names.fetch()
    except Exception as e:
        report(failed=f"the code does not answer: {e}")
        return
    module = Main("__main__")
    module.__dict__["_names"] = names
    sys.modules["__main__"] = module
    problem = run(source, "tests", names) or getattr(peer, "failed", None) or serving.unrun(peer)
    report(failed=problem) if problem else report(passed=True)


def run(source: str, what: str, namespace: dict[str, Any]) -> str | None:
    """Execute source; None, or what went wrong and in which line."""
    name = f"<{what}>"
    try:
        exec(compile(source, name, "exec"), namespace)  # noqa: S102
    except SystemExit as error:
        # The tests may end themselves, as unittest.main() does; the code may not end them.
        if what == "tests" and not error.code and not getattr(error, "_instdata_from_code", False):
            return None
        return f"SystemExit ({what})"
    except BrokenWire as error:
        return f"the code does not answer: {error}"
    except BaseException as error:
        line, trace = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None, error.__traceback__
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == name else line
            trace = trace.tb_next
        text = str(error)[:200] if type(error).__module__ == "builtins" else ""
        return f"{type(error).__name__[:50]}{': ' + text if text else ''} ({what}, line {line})"
    return None
