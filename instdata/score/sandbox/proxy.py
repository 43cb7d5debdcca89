"""Stand-ins for the candidate's objects in the tests' process. What each side does for the other is in serving.py.

A stand-in has the abilities of the object that it stands for, with one exception that keeps verdicts honest: an object
of the candidate's is never asked whether it equals, or how it compares with, a value of the tests. One that says yes to
everything would pass them all. Subclasses of plain types compare by the plain value that they hold.

Runs in the sandbox (launch.py sends its text), so it imports nothing but the standard library.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from instdata.score.sandbox.wire import ERRORS, BrokenWire, Message, Peer

COMPARED = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
PAIRS = {"add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and", "or", "xor", "lshift",
    "rshift"}  # fmt: skip
BINARY = tuple(f"__{r}{n}__" for n in sorted(PAIRS) for r in ("", "r"))
NUMBERS = (
    "__int__",
    "__float__",
    "__index__",
    "__complex__",
    "__abs__",
    "__round__",
    "__trunc__",
    "__floor__",
    "__ceil__",
)
OTHERS = (
    "__call__", "__len__", "__iter__", "__next__", "__getitem__", "__setitem__", "__delitem__", "__contains__",
    "__reversed__", "__enter__",
    "__exit__", "__hash__", "__bool__", "__str__", "__format__", "__neg__", "__pos__", "__invert__",
)  # fmt: skip
SPECIAL = (*COMPARED, *BINARY, *NUMBERS, *OTHERS)
# Methods of plain values that say yes or nothing to what they are given: a result that has them is taken for one.
ANSWERS = frozenset((
    "startswith", "endswith", "issubset", "issuperset", "isdisjoint", "difference", "symmetric_difference",
    "intersection", "is_integer", "total_seconds", *(n for n in dir(str) if n.startswith("is")),
))  # fmt: skip
SHOWN = ("__name__", "__qualname__", "__doc__", "__annotations__", "__dict__", "__defaults__")  # read though underlined
HELD = ("__len__", "__iter__", "__contains__", "__getitem__", "__setitem__", "__delitem__")
VALUES = (int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset)


def facts_of(peer: Peer, value: Any) -> dict[str, Any]:
    """What the other side needs to know of an object to make a stand-in: its kind, its class's name, what it can do,
    and the plain value that an instance of a plain type's subclass holds."""
    kind, name = "object", type(value).__name__
    if isinstance(value, type):
        kind, name = ("error" if issubclass(value, BaseException) else "class"), value.__name__
    elif inspect.iscoroutine(value):
        kind = "coroutine"
    # Of its class and what that inherits from: a class's own class answers for no object of it.
    has = {n: v for t in reversed(type(value).__mro__) for n, v in vars(t).items()}
    facts: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "can": [n for n in SPECIAL if has.get(n) is not None and has[n] is not vars(object).get(n)],
    }
    if kind == "error":
        bases = [b for b in value.__mro__[1:] if b.__name__ in ERRORS and ERRORS[b.__name__] is b]
        own = [b for b in value.__bases__ if issubclass(b, BaseException) and b not in bases]
        facts["bases"] = [peer.encode(b, Message()) for b in (own or bases[:1])]
    facts["answers"] = [n for n in sorted(ANSWERS) if n in has]
    if kind == "object":
        base = next((t for t in VALUES if isinstance(value, t)), None)
        if base is not None:
            facts["value"] = peer.encode(_plain(base, value), Message())
    return facts


def _plain(base: type, value: Any) -> Any:
    """The value that an instance of a subclass of a plain type holds, whatever its methods say."""
    if base is float:
        return float.__float__(value)
    if base is int:
        return int.__int__(value)
    if base in (str, bytes):
        return base.__getitem__(value, slice(None))
    if base is dict:
        return dict(dict.items(value))
    return base(base.__iter__(value))  # type: ignore[attr-defined]


def strict_stand_in(peer: Peer, number: int, facts: dict[str, Any]) -> Any:
    """What stands in the tests' process for an object of the candidate's."""
    return _stand_in(peer, number, facts, strict=True)


def stand_in(peer: Peer, number: int, facts: dict[str, Any]) -> Any:
    """What stands in the candidate's process for an object of the tests'."""
    return _stand_in(peer, number, facts, strict=False)


def _stand_in(peer: Peer, number: int, facts: dict[str, Any], strict: bool) -> Any:
    name, kind = str(facts["name"]), facts["kind"]
    if kind == "error":
        bases = tuple(peer.decode(b, Message()) for b in facts["bases"])
        if not bases or not all(isinstance(b, type) and issubclass(b, BaseException) for b in bases):
            raise BrokenWire("an error's class without a base")
        return type(name, bases, {"_instdata_number": number, "__str__": _error_text})
    if kind == "coroutine":
        return _awaited(peer, number)
    can = frozenset(facts["can"]) & set(SPECIAL)
    value = (peer.decode(facts["value"], Message()),) if "value" in facts else ()
    of: Any = type(value[0]) if value else None
    tells = bool(value or facts.get("answers") or can & {"__contains__", *BINARY})
    found: Any = object.__new__(_class(name, can, kind == "class", strict, of, tells))
    return _filled(found, peer, number, value, made=False)


def _filled(found: Any, peer: Peer, number: int, value: tuple[Any, ...], made: bool) -> Any:
    for key, held in (
        ("_instdata_number", number),
        ("_instdata_peer", peer),
        ("_instdata_value", value),
        ("_instdata_seen", False),
        ("_instdata_made", made),
    ):
        object.__setattr__(found, key, held)
    return found


def _made(proxy: Any) -> Any:
    """The stand-in for an object that the tests made, by calling a class that they name, or by calculating with such.
    Another than the one for what functions return, where the difference tells: `Solution().divisors(6)` may return its
    own Solution, which holds every number."""
    peer, number = _peer(proxy), _number_of(proxy)
    if not type(proxy).tells:
        return proxy
    if number not in peer.made:
        value = object.__getattribute__(proxy, "_instdata_value")
        peer.made[number] = _filled(object.__new__(type(proxy)), peer, number, value, made=True)
    return peer.made[number]


def _error_text(error: BaseException) -> str:
    text = getattr(error, "_instdata_text", None)
    return Exception.__str__(error) if text is None else text


async def _awaited(peer: Peer, number: int) -> Any:
    return peer.ask("await", number)


class Proxy:
    """An object of the other side's."""

    __slots__ = ("_instdata_made", "_instdata_number", "_instdata_peer", "_instdata_seen", "_instdata_value")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in SHOWN:
            raise AttributeError(name)
        if not self._instdata_peer.trusting and not _vouched(self):
            _unseen(self)
            if self._instdata_value and hasattr(self._instdata_value[0], name):
                return getattr(self._instdata_value[0], name)
            if name in ANSWERS:
                raise TypeError(f"{name}: what the code gives is no plain value but a {type(self).__name__} of its own")
        return self._instdata_peer.ask("attribute", self._instdata_number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._instdata_peer.ask("set", self._instdata_number, name, value)

    def __delattr__(self, name: str) -> None:
        self._instdata_peer.ask("delete", self._instdata_number, name)

    def __dir__(self) -> list[str]:
        return [str(n) for n in self._instdata_peer.ask("names", self._instdata_number)]

    def __repr__(self) -> str:
        if not self._instdata_peer.trusting:
            _unseen(self)
        return _typed(str, self._instdata_peer.ask("special", self._instdata_number, "__repr__"))


def _vouched(proxy: Proxy) -> bool:
    """Whether the tests made the object: they know then that they ask an object of the code's."""
    return object.__getattribute__(proxy, "_instdata_made")


def _unseen(proxy: Proxy) -> None:
    """Raises TypeError for what an object of the code's and a value of the tests' made."""
    if object.__getattribute__(proxy, "_instdata_seen"):
        raise TypeError("what an object of the code's and a value of the tests' make says nothing")


def _typed(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected")
    return value


@functools.cache
def _class(name: str, can: frozenset[str], is_class: bool, strict: bool, base: type | None, tells: bool) -> type:
    """The class of stand-ins for objects with these abilities."""
    members: dict[str, Any] = {"__slots__": (), "__hash__": _number_of, "__eq__": _same, "tells": tells}
    for special in can - {"__hash__"}:
        members[special] = _asked(special)
    if "__hash__" in can:
        members["__hash__"] = _hashed
    elif "__eq__" in can:
        members["__hash__"] = None
    if strict:
        members |= {n: _compared(n) for n in COMPARED if n in can or base}
        members |= {n: _calculated(n) for n in BINARY if n in can}
        members |= {n: _told(n) for n in (*NUMBERS, *OTHERS) if n in can and n != "__hash__"}
        if "__contains__" in can:
            members["__contains__"] = _contains
        if "__exit__" in can:
            members["__exit__"] = _left
    if base is not None:
        members["__class__"] = property(lambda self: base)  # isinstance(x, tuple) of a tuple's subclass
        told = ("__int__", "__float__", "__index__", "__bool__", "__hash__", *(HELD if strict else HELD[:3]))
        members |= {n: _by_value(n, strict and n in HELD) for n in told if getattr(base, n, None)}
    if is_class:
        members["__instancecheck__"] = lambda self, x: (
            isinstance(x, Proxy) and bool(_peer(self).ask("instance", _number_of(self), x))
        )
        members["__subclasscheck__"] = lambda self, x: (
            isinstance(x, Proxy) and bool(_peer(self).ask("subclass", _number_of(self), x))
        )
    return type(name, (Proxy,), members)


def is_class(value: Any) -> bool:
    """Whether it stands for a class of the other side's."""
    return _is_proxy(value) and "__instancecheck__" in vars(type(value))


def _peer(proxy: Proxy) -> Peer:
    return object.__getattribute__(proxy, "_instdata_peer")


def _number_of(proxy: Proxy) -> int:
    return object.__getattribute__(proxy, "_instdata_number")


def _is_proxy(value: Any) -> bool:
    return issubclass(type(value), Proxy)


def _special(self: Proxy, name: str, *arguments: Any, **named: Any) -> Any:
    return _peer(self).ask("special", _number_of(self), name, *arguments, *([named] if name == "__call__" else []))


def _asked(name: str) -> Callable[..., Any]:
    if name == "__exit__":
        return lambda self, kind, error, trace: _special(self, name, kind, error, None)
    return lambda self, *arguments, **named: _special(self, name, *arguments, **named)


def _hashed(self: Proxy) -> int:
    if not _peer(self).trusting:
        _unseen(self)
    return _typed(int, _special(self, "__hash__"))


def _left(self: Proxy, kind: Any, error: Any, trace: Any) -> bool:
    """The end of a `with`: the code may hold back errors that the tests raise, but no assertion of theirs, nor what
    keeps one from being reached (an error of the code's own in `assert db.get("x") == 5`)."""
    held = bool(_special(self, "__exit__", kind, error, None))
    skips = trace is not None and trace.tb_lineno in _peer(self).spoken.holding
    return held and not skips and not (isinstance(kind, type) and issubclass(kind, AssertionError))


def _by_value(name: str, ask: bool) -> Callable[..., Any]:
    """What the plain value says that an instance of a plain type's subclass holds; one that the tests made is asked."""

    def tell(self: Proxy, *arguments: Any) -> Any:
        if ask and _vouched(self):
            return _special(self, name, *arguments)
        return getattr(object.__getattribute__(self, "_instdata_value")[0], name)(*arguments)

    return tell


def _same(self: Proxy, other: Any) -> Any:
    return _peer(self) is _peer(other) and _number_of(self) == _number_of(other) if _is_proxy(other) else NotImplemented


def _compared(name: str) -> Callable[..., Any]:
    def compare(self: Proxy, other: Any) -> Any:
        mine = object.__getattribute__(self, "_instdata_value")
        if mine:
            theirs = object.__getattribute__(other, "_instdata_value") if _is_proxy(other) else (other,)
            return getattr(mine[0], name)(theirs[0]) if theirs else NotImplemented
        if _is_proxy(other):
            return _special(self, name, other)
        return NotImplemented

    return compare


def _calculated(name: str) -> Callable[..., Any]:
    """With another object of the candidate's, whatever comes of it. With a value of the tests', only another object,
    which says nothing of its number: f(2) - 4 could otherwise be 0 whatever f is."""

    def calculate(self: Proxy, other: Any) -> Any:
        mine = object.__getattribute__(self, "_instdata_value")
        if mine and not _is_proxy(other):
            return getattr(mine[0], name, lambda _: NotImplemented)(other)
        found = _special(self, name, other)
        made = _vouched(self) and _is_proxy(found) and not (_is_proxy(other) and not _vouched(other))
        found = _made(found) if made else found
        if _is_proxy(other) or found is NotImplemented:
            return found
        if not _is_proxy(found) or object.__getattribute__(found, "_instdata_value"):
            raise TypeError("an object of the code's and a value of the tests' make no value")
        object.__setattr__(found, "_instdata_seen", True)
        return found

    return calculate


def _told(name: str) -> Callable[..., Any]:
    """What an object says of itself, unless a value of the tests' is in it; of a class that they name, no number is."""
    ask = _asked(name)
    number = name in NUMBERS or name in ("__bool__", "__len__", "__neg__", "__pos__", "__invert__")

    def tell(self: Proxy, *arguments: Any, **named: Any) -> Any:
        if number or not _vouched(self):
            _unseen(self)
        found = ask(self, *arguments, **named)
        calls = name == "__call__" and _number_of(self) in _peer(self).classes
        return _made(found) if calls and _is_proxy(found) and not is_class(found) else found

    return tell


def _contains(self: Proxy, wanted: Any) -> bool:
    """Whether it is among what the object yields. One that yields nothing is asked only for other objects of its side;
    one that the tests made is asked itself."""
    if not _vouched(self) and hasattr(type(self), "__iter__"):
        return any(x is wanted or x == wanted for x in self)  # type: ignore[attr-defined]
    if _is_proxy(wanted) or _vouched(self):
        return bool(_special(self, "__contains__", wanted))
    raise TypeError(f"{type(self).__name__} is asked whether it holds a value of the tests', who did not make it")
