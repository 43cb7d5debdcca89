"""What each side of the wire does for the other: the candidate's process everything, the tests' process little.

Runs in the sandbox (launch.py sends its text), so it imports nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from instdata.score.sandbox.proxy import SPECIAL
from instdata.score.sandbox.wire import BrokenWire, Peer


def serve_code(peer: Peer, op: str, target: Any, arguments: list[Any]) -> Any:
    """What the candidate's process does for the tests: everything."""
    if op == "global":
        return peer.module[arguments[0]]  # type: ignore[attr-defined]
    if op == "globals":
        return [n for n in peer.module if isinstance(n, str) and not n.startswith("__")]  # type: ignore[attr-defined]
    thing = peer.given[target]
    if op == "await":
        return asyncio.run(thing)
    if op == "instance":
        return isinstance(arguments[0], thing)
    if op == "subclass":
        return issubclass(arguments[0], thing)
    return _do(op, thing, arguments)


def serve_tests(peer: Peer, op: str, target: Any, arguments: list[Any]) -> Any:
    """What the tests' process does for the candidate: call a function that it was given, use an object of a class of
    the tests'. Nothing underlined, nothing that leads to frames."""
    thing = peer.given[target]
    mine = type(thing).__module__ == "__main__"
    if (
        op == "special"
        and arguments[0] == "__call__"
        and ((callable(thing) and not isinstance(thing, type)) or _mine(thing))
    ):
        return _called(peer, thing, arguments)
    name = arguments[0] if arguments else ""
    if op == "special" and mine and (name in SPECIAL or name == "__repr__"):
        return _do(op, thing, arguments)
    if op == "special" and isinstance(thing, Iterator) and name in ("__iter__", "__next__"):
        return _do(op, thing, arguments)
    if op in ("attribute", "set") and mine and isinstance(name, str) and not name.startswith("_"):
        return _do(op, thing, arguments)
    raise PermissionError(f"the code may not do this to an object of the tests' ({type(thing).__name__})")


def _called(peer: Peer, thing: Any, arguments: list[Any]) -> Any:
    """Call what the tests gave. Where it asserts (the code decorates it), that counts, whoever catches it."""
    try:
        found = _do("special", thing, arguments)
    except AssertionError as e:
        if _asserts(peer, thing) or str(getattr(thing, "__name__", "")).startswith("test"):
            peer.failed = f"AssertionError: {str(e)[:200]} (in a test that the code called)"  # type: ignore[attr-defined]
        raise
    peer.ran.add(getattr(thing, "__code__", None))
    return found


def unrun(peer: Peer) -> str | None:
    """What is wrong where the tests gave the code a function that asserts and it never ran to its end (`@timed` over a
    test, and timed gives a function that does nothing)."""
    given = [f for x in peer.given for f in (vars(x).values() if _mine(x) else [x])]
    for thing in given:
        if _asserts(peer, thing) and thing.__code__ not in peer.ran:
            return f"{thing.__name__}, which the tests gave to the code, was never run to its end"
    return None


def _asserts(peer: Peer, thing: Any) -> bool:
    return isinstance(thing, types.FunctionType) and thing.__code__.co_firstlineno in peer.spoken.asserting


def _mine(thing: Any) -> bool:
    return isinstance(thing, type) and thing.__module__ == "__main__"


def _do(op: str, thing: Any, arguments: list[Any]) -> Any:
    if op == "special":
        name, *rest = arguments
        if name == "__call__":
            *rest, named = rest
            return thing(*rest, **named)
        if name == "__next__":
            return _next(thing)
        return getattr(type(thing), name)(thing, *rest)
    if op == "attribute":
        return getattr(thing, arguments[0])
    if op == "set":
        return setattr(thing, *arguments)
    if op == "delete":
        return delattr(thing, arguments[0])
    if op == "names":
        return dir(thing)
    raise BrokenWire(f"no request is called {op!r}")


def _next(thing: Any) -> Any:
    try:
        return next(thing)
    except StopIteration as end:
        raise Ended(end.value) from None


class Ended(Exception):
    """The end of an iterator, told apart from a StopIteration that a function raises."""


def guarded(ask: Callable[..., Any]) -> Callable[..., Any]:
    """`Peer.ask` for the tests: an iterator may end an iteration, a function may not. (all(map(lambda x: f(x) == y,
    cases)) would pass if f raised StopIteration.)"""

    @functools.wraps(ask)
    def asked(op: str, target: int | None, *arguments: Any) -> Any:
        ending = op == "special" and arguments and arguments[0] == "__next__"
        try:
            return ask(op, target, *arguments)
        except (StopIteration, StopAsyncIteration) as e:
            raise RuntimeError(f"the code raised {type(e).__name__}") from e
        except Exception as e:
            if type(e).__name__ == "Ended" and getattr(e, "_instdata_from_code", False):
                if ending:
                    raise StopIteration(*e.args) from None
                raise RuntimeError("the code raised Ended") from e
            raise

    return asked
