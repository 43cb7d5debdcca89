"""Values between the tests and the candidate, which run in two processes: a codec of its own, and calls over it.

Plain values go by value (`type(x)` decides, so that a class of the candidate's is never taken for one); everything else
stays where it is, and the other side holds a stand-in (proxy.py). Lists, dictionaries and sets that a call was given go
back with its answer, for the function may have changed them. Nothing here unpickles, evaluates or imports what the
candidate names.

Runs in the sandbox (launch.py sends its text), so it imports nothing but the standard library.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import functools
import importlib
import json
import math
import sys
import types
from collections.abc import Callable
from typing import Any

MOST = 8 << 20  # bytes of one message
PLAIN = (type(None), bool, str)
DATES = {t.__name__: t for t in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)}
# Modules that the candidate's side may name though the tests do not use them: loading one does nothing else.
HARMLESS = frozenset((
    "bisect", "calendar", "cmath", "collections", "collections.abc", "copy", "dataclasses", "datetime", "decimal",
    "enum", "fractions", "functools", "heapq", "itertools", "json", "math", "numbers", "operator", "queue", "random",
    "re", "statistics", "string", "textwrap", "time", "typing",
))  # fmt: skip
PARTS = {
    "date": ("year", "month", "day"),
    "datetime": ("year", "month", "day", "hour", "minute", "second", "microsecond"),
    "time": ("hour", "minute", "second", "microsecond"),
    "timedelta": ("days", "seconds", "microseconds"),
}
# Classes that a candidate may name: they make values and do nothing else.
TYPES = {t.__name__: t for t in (
    int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, object, type(None),
    collections.deque, collections.Counter, collections.OrderedDict, collections.defaultdict, decimal.Decimal,
    fractions.Fraction, *DATES.values(),
)}  # fmt: skip
ERRORS = {n: t for n, t in vars(builtins).items() if isinstance(t, type) and issubclass(t, BaseException)}
ERRORS |= {"InvalidOperation": decimal.InvalidOperation, "DivisionByZero": decimal.DivisionByZero,
    "JSONDecodeError": json.JSONDecodeError}  # fmt: skip
KINDS = {t.__name__: t for t in (list, dict, set, bytearray, collections.deque, collections.Counter,
    collections.OrderedDict, collections.defaultdict)}  # fmt: skip


class BrokenWire(Exception):
    """The other side sent what is no message."""


class Message:
    """What one message holds by value: its lists, dictionaries and sets, in the order in which they come."""

    def __init__(self) -> None:
        self.containers: list[Any] = []
        self.at: dict[int, int] = {}

    def add(self, container: Any) -> int:
        self.at[id(container)] = len(self.containers)
        self.containers.append(container)
        return len(self.containers) - 1


class Peer:
    """One end of the wire. `trusting`: it resolves whatever of the standard library the other side names (the
    candidate's end; the tests' end is not).

    `stand_in(peer, number, facts)` makes what stands for an object of the other side; `facts_of(peer, object)` says
    what the other side needs to know of one of ours; `serve(peer, op, target, arguments)` answers a request."""

    def __init__(self, write: Callable[[bytes], None], read: Callable[[], bytes], trusting: bool,
                 stand_in: Callable[..., Any], facts_of: Callable[..., Any], serve: Callable[..., Any]):  # fmt: skip
        self.write, self.read, self.trusting = write, read, trusting
        self.stand_in, self.facts_of, self.serve = stand_in, facts_of, serve
        self.given: list[Any] = []  # ours, by number, that the other side holds
        self.numbers: dict[int, int] = {}
        self.held: dict[int, Any] = {}  # the other side's, by number
        self.made: dict[int, Any] = {}  # those that the tests made themselves, by number (proxy.py)
        self.classes: set[int] = set()  # the candidate's that the tests name, by number
        self.spoken: Any = None  # what the tests' text speaks of (tests_source.py)
        self.judge: Callable[[Any], Any] = lambda value: value  # what came and may be a result
        self.ran: set[Any] = set()  # code of the tests' functions that the candidate called, to their end
        self.asked = 0

    # ---- requests

    def ask(self, op: str, target: int | None, *arguments: Any) -> Any:
        """The other side's answer to a request; raises what it raised. Its own requests are answered meanwhile."""
        self.asked += 1
        number, message = self.asked, Message()
        self._send(["ask", number, op, target, self.encode(list(arguments), message)])
        while True:
            answer = self._receive()
            if answer[0] == "ask":
                self.answer(answer)
            elif answer[1] != number:
                raise BrokenWire("an answer to another question")
            else:
                return self._settle(answer, message)

    def answer(self, request: list[Any]) -> None:
        """Do what the other side asks and send what came of it."""
        _, number, op, target, encoded = request
        message = Message()
        try:
            arguments = self.decode(encoded, message)
            known = len(message.containers)
            value = self.serve(self, op, target, arguments)
            body = ["value", number, self.encode(value, message)]
        except BaseException as error:
            known = len(message.containers)
            body = ["raised", number, self._error(error, message)]
        try:
            self._send([*body, [self._content(c, message) for c in message.containers[:known]]])
        except Exception as error:  # it cannot be sent: too large, too deep
            self._send(["raised", number, self._error(ValueError(f"{type(error).__name__}: {error}"), Message()), []])

    def _settle(self, answer: list[Any], message: Message) -> Any:
        kind, _, encoded, contents = answer
        containers = list(message.containers)
        value = self.decode(encoded, message)
        if len(contents) > len(containers):
            raise BrokenWire("more came back than was sent")
        for container, content in zip(containers, contents):
            self._fill(container, content, message, clear=True)
        if kind == "raised":
            raise value if isinstance(value, BaseException) else BrokenWire("what was raised is no error")
        return value

    def _send(self, message: list[Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > MOST:
            raise ValueError(f"more than {MOST >> 20} MB cannot go between the tests and the code")
        self.write(data)

    def _receive(self) -> list[Any]:
        data = self.read()
        if not data:
            raise BrokenWire("the other side is gone")
        try:
            message = json.loads(data, parse_constant=int)  # a ValueError: NaN is written otherwise
            if (message[0] == "ask" and len(message) == 5) or (message[0] in ("value", "raised") and len(message) == 4):
                return message
        except (ValueError, RecursionError, LookupError, TypeError) as e:
            raise BrokenWire("what came is no message") from e
        raise BrokenWire("what came is no message")

    # ---- values

    def encode(self, value: Any, message: Message) -> Any:
        """A value as JSON. Order matters: what comes first is numbered first."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is int:
            return value if -(2**53) < value < 2**53 else ["i", hex(value)]
        if kind is float:
            return value if math.isfinite(value) else ["f", repr(value)]
        if kind is tuple:
            return ["t", [self.encode(v, message) for v in value]]
        if id(value) in message.at:
            return ["R", message.at[id(value)]]
        if kind in KINDS.values() and KINDS[kind.__name__] is kind:
            at = message.add(value)
            extra = value.maxlen if kind is collections.deque else None
            extra = self.encode(value.default_factory, message) if kind is collections.defaultdict else extra
            return ["K", kind.__name__, at, extra, self._content(value, message)]
        return self._rare(value, kind, message)

    def _rare(self, value: Any, kind: type, message: Message) -> Any:
        if kind is frozenset:
            return ["z", [self.encode(v, message) for v in value]]
        if kind is bytes:
            return ["b", value.hex()]
        if kind is complex:
            return ["c", repr(value.real), repr(value.imag)]
        if kind is range:
            return ["r", *(self.encode(v, message) for v in (value.start, value.stop, value.step))]
        if kind is slice:
            return ["s", *(self.encode(v, message) for v in (value.start, value.stop, value.step))]
        if value is Ellipsis or value is NotImplemented:
            return ["e", value is Ellipsis]
        if kind is decimal.Decimal:
            return ["y", str(value)]
        if kind is fractions.Fraction:
            return ["q", hex(value.numerator), hex(value.denominator)]
        if kind.__name__ in DATES and DATES[kind.__name__] is kind and getattr(value, "tzinfo", None) is None:
            return ["D", kind.__name__, [getattr(value, p) for p in PARTS[kind.__name__]]]
        if _namedtuple(kind) and not any(map(callable, tuple.__iter__(value))):  # fields would be methods of its own
            fields: Any = kind
            return ["N", kind.__name__, list(fields._fields), [self.encode(v, message) for v in tuple.__iter__(value)]]
        if isinstance(value, BaseException):
            return self._error(value, message)
        number = getattr(value, "_instdata_number", None)
        if number is not None and any(held.get(number) is value for held in (self.held, self.made)):
            return ["p", number]
        name = global_name(value)
        if name and (not self.trusting or not name[1] or (not name[0] and (name[1] in TYPES or name[1] in ERRORS))):
            return ["m", *name]
        return self._export(value, message)

    def _export(self, value: Any, message: Message) -> Any:
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.given)
            self.given.append(value)
        return ["o", number, self.facts_of(self, value)]

    def _error(self, error: BaseException, message: Message) -> Any:
        number = getattr(type(error), "_instdata_number", None)
        kind = ["p", number] if number is not None else self.encode(type(error), message)
        held = {k: v for k, v in vars(error).items() if type(v) in (int, str, float, bool) and not k.startswith("_")}
        notes = {k: v for k, v in held.items() if v == v}
        try:
            return ["E", kind, type(error).__name__, self.encode(list(error.args), message), str(error)[:2000], notes]
        except Exception:
            return ["E", ["m", "", "Exception"], "Exception", ["K", "list", message.add([]), None, []], "", {}]

    def _content(self, value: Any, message: Message) -> Any:
        kind = type(value)
        if kind is bytearray:
            return value.hex()
        if isinstance(value, dict):
            return [[self.encode(k, message), self.encode(v, message)] for k, v in value.items()]
        return [self.encode(v, message) for v in value]

    def decode(self, data: Any, message: Message) -> Any:
        """A value from JSON. Raises BrokenWire for what is none."""
        if type(data) in (str, float, int, bool, type(None)):
            return data
        try:
            return self._decode(data, message)
        except BrokenWire:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as e:
            raise BrokenWire(f"what came is no value ({type(e).__name__})") from e

    def _decode(self, data: list[Any], message: Message) -> Any:
        tag, *rest = data
        if tag == "R":
            return message.containers[rest[0]]
        if tag == "K":
            kind, at, extra, content = rest
            return self._container(kind, at, extra, content, message)
        if tag in ("t", "z"):
            return (tuple if tag == "t" else frozenset)([self.decode(v, message) for v in rest[0]])
        if tag == "E":
            kind, name, arguments, text, notes = rest
            return self._raised(kind, name, arguments, text, notes, message)
        if tag == "m":
            return self.judge(self._named(*rest))
        if tag == "p":
            return self.given[rest[0]]
        if tag == "o":
            number, facts = rest
            if number not in self.held:
                self.held[number] = self.stand_in(self, number, facts)
            return self.held[number]
        return self.judge(_simple(tag, rest, lambda v: self.decode(v, message)))

    def _container(self, kind: str, at: int, extra: Any, content: Any, message: Message) -> Any:
        made = KINDS[kind]
        container: Any = collections.deque(maxlen=extra) if kind == "deque" else made()
        if message.add(container) != at:
            raise BrokenWire("containers out of order")
        if kind == "defaultdict" and self.trusting:  # a result has the keys that it has, not whatever is asked for
            container.default_factory = self.decode(extra, message)
        self._fill(container, content, message)
        return container

    def _fill(self, container: Any, content: Any, message: Message, clear: bool = False) -> None:
        if type(container) is bytearray:
            container[:] = bytes.fromhex(content)
            return
        if isinstance(container, dict):
            pairs = [(self.decode(k, message), self.decode(v, message)) for k, v in content]
            if clear:
                container.clear()
            for key, value in pairs:
                container[key] = value
            return
        values = [self.decode(v, message) for v in content]
        if clear:
            container.clear()
        (container.update if type(container) is set else container.extend)(values)

    def _named(self, module: str, name: str) -> Any:
        """What the other side calls by a name of the standard library; of the candidate's side, types and modules
        alone."""
        if not module:
            found = TYPES.get(name) or ERRORS.get(name)
            if found is not None:
                return found
            if not self.trusting:
                raise BrokenWire(f"{name} cannot be named")
            return getattr(builtins, name)
        if module.partition(".")[0] not in sys.stdlib_module_names:
            raise BrokenWire(f"{module} is not of the standard library")
        if name and not self.trusting:
            raise BrokenWire(f"{module}.{name} cannot be named")
        if not self.trusting and module not in sys.modules and module not in HARMLESS:
            raise BrokenWire(f"{module} is not loaded here")  # importing would run it: unittest.__main__ ends a process
        there: Any = importlib.import_module(module)
        return functools.reduce(getattr, name.split("."), there) if name else there

    def _raised(
        self, kind: Any, name: str, arguments: Any, text: str, notes: dict[str, Any], message: Message
    ) -> BaseException:
        made = self.decode(kind, message)
        if not (isinstance(made, type) and issubclass(made, BaseException)):
            made = type(str(name), (Exception,), {})
        args = self.decode(arguments, message)
        try:
            error = made.__new__(made, *args)
            error.args = tuple(args)
        except Exception:
            error = Exception(f"{name}: {text}")
        for key, value in notes.items():
            try:
                setattr(error, key, value)
            except (AttributeError, TypeError):
                continue
        error._instdata_from_code = True
        error._instdata_text = text
        return error


def _simple(tag: str, rest: list[Any], decode: Callable[[Any], Any]) -> Any:
    if tag == "i":
        return int(rest[0], 16)
    if tag == "f":
        return float(rest[0])
    if tag == "c":
        return complex(float(rest[0]), float(rest[1]))
    if tag == "b":
        return bytes.fromhex(rest[0])
    if tag in ("r", "s"):
        return (range if tag == "r" else slice)(*map(decode, rest))
    if tag == "e":
        return Ellipsis if rest[0] else NotImplemented
    if tag == "y":
        return decimal.Decimal(rest[0])
    if tag == "q":
        return fractions.Fraction(int(rest[0], 16), int(rest[1], 16))
    if tag == "D":
        kind, parts = rest
        return DATES[kind](**dict(zip(PARTS[kind], parts, strict=True)))
    if tag == "N":
        name, fields, values = rest
        held = [decode(v) for v in values]
        if any(map(callable, held)):
            raise BrokenWire("what came is no plain named tuple")
        return _record(str(name), tuple(map(str, fields)))._make(held)
    raise BrokenWire(f"no value is written {tag!r}")


@functools.cache
def _record(name: str, fields: tuple[str, ...]) -> Any:
    if not all(f.isidentifier() for f in (name, *fields)):
        raise BrokenWire("what came is no named tuple")
    return collections.namedtuple(name, fields, rename=True)


def _namedtuple(kind: type) -> bool:
    """Whether a class is a plain named tuple: nothing of its own but what namedtuple() makes."""
    return (
        kind.__bases__ == (tuple,)
        and isinstance(getattr(kind, "_fields", None), tuple)
        and "__eq__" not in kind.__dict__
    )


def global_name(value: Any) -> tuple[str, str] | None:
    """(module, name) of what the standard library holds under a name: a class, a function, a module ("" for builtins
    and what TYPES and ERRORS name)."""
    if isinstance(value, types.ModuleType):
        name = getattr(value, "__name__", "")
        known = name.partition(".")[0] in sys.stdlib_module_names and sys.modules.get(name) is value
        return (name, "") if known else None
    if not isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType)):
        return None
    name = getattr(value, "__qualname__", "")
    if TYPES.get(name) is value or ERRORS.get(name) is value or vars(builtins).get(name) is value:
        return "", name
    module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
    if not isinstance(module, str) or module.partition(".")[0] not in sys.stdlib_module_names or "<" in name:
        return None
    try:
        same = functools.reduce(getattr, name.split("."), sys.modules[module]) is value
    except (KeyError, AttributeError):
        return None
    return (module, name) if same else None
