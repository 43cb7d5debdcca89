"""What the text of the tests speaks of: names that may be the candidate's, types that a result may be, NaN, and where
assertions stand.

Runs in the sandbox (launch.py sends its text), so it imports nothing but the standard library.
"""

from __future__ import annotations

import ast
import builtins
import decimal
import symtable
import types
from collections.abc import Iterator
from typing import Any

from instdata.score.sandbox.wire import TYPES, BrokenWire

DISPLAYS = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred)
OF_A_KIND = ("isinstance", "issubclass", "assertIsInstance", "assertNotIsInstance")


class Spoken:
    """`free`: names that the tests read and nowhere bind. `names`: those that may be the candidate's. `types`: names
    with which results are compared. `nan`: whether they think of NaN. `holding`: lines within a `with` that asserts.
    `asserting`: first lines of functions that assert. `owners`: names whose attributes are read."""

    def __init__(self, source: str):
        tree = ast.parse(source)
        above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.free = _free(source)
        self.names = _names(tree, self.free)
        loaded = [n for n in above if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
        self.types = {n.id for n in loaded if _compared(n, above)}
        self.nan = "nan" in source.lower() or any(map(_unlike_itself, ast.walk(tree)))
        self.owners = {n.value.id for n in above if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}
        self.holding = {
            line for n in above if isinstance(n, (ast.With, ast.AsyncWith)) and any(map(_asserts, n.body))
            for line in range(n.lineno, (n.end_lineno or n.lineno) + 1)
        }  # fmt: skip
        self.asserting = {
            line for n in above if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(map(_asserts, n.body))
            for line in (n.lineno, *(d.lineno for d in n.decorator_list[:1]))
        }  # fmt: skip

    def result(self, value: Any) -> Any:
        """A value that came from the code. Raises BrokenWire for NaN, which is neither less nor more than anything, for
        a module, and for a type, whose methods give what they are given (set.union({1}) is {1}), unless the tests speak
        of those."""
        if type(value) in (float, complex, decimal.Decimal) and not self.nan and "nan" in str(value).lower():
            raise BrokenWire("the code gives NaN, of which the tests do not speak")
        kind = isinstance(value, type) and not issubclass(value, BaseException)
        if isinstance(value, types.ModuleType) or (kind and value.__name__ not in self.types):
            raise BrokenWire(f"the code gives the type or module {value.__name__} for a value")
        return value

    def named(self, name: str, value: Any) -> Any:
        """What the code calls by a name: types and modules too. Raises BrokenWire for a type under another name."""
        if isinstance(value, type) and value in TYPES.values() and name in self.owners and name != value.__name__:
            raise BrokenWire(f"{name} is the type {value.__name__}, of which the tests read an attribute")
        return value


def _names(tree: ast.Module, free: set[str]) -> set[str]:
    """Names of the tests that may be the candidate's."""
    loaded = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    plain = loaded - set(vars(builtins)) - {"__name__"}
    if not free - set(vars(builtins)):  # nothing but builtins: the innermost calls are what is tested
        calls = [(n, n.func.id) for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        plain |= {id for c, id in calls if not any(isinstance(n, ast.Call) for n in ast.walk(c) if n is not c)}
    return plain


def _free(source: str) -> set[str]:
    """Names that the tests read and nowhere bind for their whole file: of `def check(add): …` and `check(add)`, the
    second add."""
    top = symtable.symtable(source, "tests", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    scopes, read = [top], set()
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        read |= {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (s.is_global() or scope is top)}
    return read - bound - {"__name__"}


def _called(node: ast.AST) -> str:
    """The name of what a call calls; empty for other nodes."""
    func = node.func if isinstance(node, ast.Call) else None
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _compared(name: ast.AST, above: dict[Any, Any]) -> bool:
    """Whether a name stands for a value: in a comparison (not of types), an assert method, a table.
    Not where it is called, or says of what kind something is."""
    node, in_table = name, False
    while isinstance(above[node], DISPLAYS):
        node, in_table = above[node], True
    parent = above[node]
    if isinstance(parent, ast.Compare):
        return not any(_called(n) == "type" or (isinstance(n, ast.Attribute) and n.attr == "__class__")
                       for n in (parent.left, *parent.comparators))  # fmt: skip
    if isinstance(parent, ast.Call):
        called = _called(parent)
        return node is not parent.func and called not in OF_A_KIND and (in_table or called.startswith("assert"))
    return in_table and not isinstance(parent, (ast.ExceptHandler, ast.Subscript, ast.arg, ast.AnnAssign))


def _unlike_itself(node: ast.AST) -> bool:
    """x != x, which is true of NaN alone."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.NotEq)
        and ast.dump(node.left) == ast.dump(node.comparators[0])
    )


def _asserts(statement: ast.AST) -> bool:
    """Whether a statement asserts something: `assert False` only says where a test must not get to."""
    return any(
        (isinstance(n, ast.Assert) and not isinstance(n.test, ast.Constant))
        or (_called(n).startswith("assert") and not _called(n).startswith(("assertRaises", "assertWarns")))
        for n in _within(statement)
    )


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what it holds, but no functions in it, which run at another time."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _within(child)
