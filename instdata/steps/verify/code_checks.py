"""Checks of code: it is there, it parses, it runs, and it passes the tests that its task states."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from instdata.score.extract.text import code_in, fences
from instdata.steps.quality.code_and_json import bad_python
from instdata.steps.verify.case import Case, Finding
from instdata.steps.verify.text_checks import FINE, found
from instdata.util.errors import InputError

SECONDS = 5
CODE = re.compile(
    r"[{}();=<>\[\]]|^\s*(?:select|insert|update|delete|create|def|class|import|from|print|return)\b", re.I | re.M
)
VALUE = r"(?P<value>-?\d+(?:\.\d+)?|True|False|None|\"[^\"\n]*\"|'[^'\n]*'|[\[{(][^\n。；;]{0,120}?[\]})])"
SAYS = r"\s*(?:应该?|将|会|should|will|must)?\s*(?:->|=>|→|==|返回值?为?|输出为?|得到|的结果[是为]|的值[是为]|returns?|outputs?|gives?|evaluates? to)\s*[:：`]?\s*"  # noqa: E501
CALL = re.compile(rf"(?P<call>[A-Za-z_]\w*\((?:[^()\n]|\([^()\n]*\)){{0,120}}\))`?{SAYS}{VALUE}", re.I)
DOCTEST = re.compile(rf">>> (?P<call>[A-Za-z_]\w*\([^\n]{{0,120}}\))\n\s*{VALUE}[ \t]*(?:\n|$)")
ASSERT = re.compile(r"^\s*(assert [^\n]{3,200})$", re.M)
IN_OUT = re.compile(
    rf"(?:输入|input)\s*[:：]\s*(?P<given>[^\n]{{1,120}}?)[，,;；。]?\s*(?:\n\s*)?(?:输出|output)\s*[:：]\s*{VALUE}",
    re.I,
)
NAMED = re.compile(r"(?:函数|方法|function|method|def)\s*(?:named|called|名为|叫做?)?\s*[`“\"']?(?P<name>[A-Za-z_]\w*)[`”\"']?\s*\(", re.I)  # fmt: skip  # noqa: E501


def there(c: Case) -> Finding | None:
    """A task that wants a program gets one."""
    if not found("writes_code", c.task):
        return None
    return FINE if fences(c.answer) or len(CODE.findall(c.answer)) >= 3 else Finding(0.0, {"code": "none"})


def parses(c: Case) -> Finding | None:
    """Python is a program, as far as any version of the language goes."""
    wrong = bad_python(c.answer) if python(c) else None
    return FINE if wrong is None else Finding(0.0, dict(wrong))


def computed(c: Case) -> Finding | None:
    """A function does something with what it is given: it does not return what it makes up for a few names that it
    compares its argument with (weather by city), or the same whatever it is given."""
    given = [n for n in ast.walk(_parsed(python(c) or "")) if isinstance(n, ast.FunctionDef) and n.args.args]
    if not given:
        return None
    tables = [_looked_up(f, c.task) for f in given]
    return FINE if tables[0] is None or None in tables else Finding(0.0, {"made up": tables[0][:5]})


def _looked_up(f: ast.FunctionDef, task: str) -> list[str] | None:
    """The texts and numbers that a function returns or compares with and that its task does not name, where it does
    nothing else; None for a function that computes, or that looks up no more than two of them."""
    returned = [n.value for n in ast.walk(f) if isinstance(n, ast.Return) and n.value is not None]
    if not returned or not all(_constant(value) for value in returned):
        return None
    given = {a.arg for a in f.args.args}
    used = [n for n in ast.walk(f) if isinstance(n, ast.Name) and n.id in given]
    compared = [n for n in ast.walk(f) if isinstance(n, ast.Compare) and isinstance(n.ops[0], (ast.Eq, ast.In))]
    sides = [n.left for n in compared]
    against = [k.value for n in compared for k in ast.walk(n.comparators[0]) if isinstance(k, ast.Constant)]
    words = [word for word in against if isinstance(word, str)]
    if any(n not in sides for n in used) or len(words) < len(against):
        return None
    told = [
        str(k.value)
        for r in returned
        for k in ast.walk(r)
        if isinstance(k, ast.Constant) and k.value not in (True, False, None, "")
    ]
    new = [word for word in dict.fromkeys([*words, *told]) if word not in task]
    return new if told and (len(new) > 2 or not used) else None


def _constant(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) or (
        isinstance(value, ast.JoinedStr) and not any(isinstance(v, ast.FormattedValue) for v in value.values)
    )


def runs(c: Case) -> Finding | None:
    """The Python of the answer runs in the sandbox to its end, and what the task says of its results holds. Nothing is
    said of programs that read from somebody, or need what the sandbox lacks."""
    code = python(c)
    if code is None or not found("writes_code", c.task):
        return None
    tests = drawn(c.task, code)
    passed, why = ran(code, "\n".join(tests) or "pass")
    if passed is None:
        return Finding(None, {"why": why})
    if not passed and re.search(
        r"ModuleNotFoundError|ImportError|EOFError|PermissionError|FileNotFoundError|OSError", why
    ):
        return None
    return Finding(float(passed), {"tests": tests[:5], **({} if passed else {"said": why[:200]})})


def python(c: Case) -> str | None:
    """The Python of an answer; None where it has none that is surely Python."""
    blocks = fences(c.answer)
    tagged = any(language.split()[:1] in (["python"], ["py"], ["python3"]) for language, _ in blocks)
    other = found("another_language", c.task) and not found("in_python", c.task)
    if other or not (tagged or found("in_python", c.task)):
        return None
    code = code_in(c.answer)
    if not tagged and not (blocks or re.match(r"\s*(?:def|class|import|from|for|while|print|#|@|\w+ = )", code)):
        return None
    return None if not code.strip() or re.search(r"\binput\(|\bsys\.stdin|^\s*>>> |\bopen\(", code, re.M) else code


def drawn(task: str, code: str) -> list[str]:
    """Assertions that a task states: calls and what they return, doctests, an input and its output of the one function
    there is, the name of the function."""
    named, defined = NAMED.search(task), functions(code)
    tests = [a.strip() for a in ASSERT.findall(task)]
    for m in [*CALL.finditer(task), *DOCTEST.finditer(task)]:
        tests.append(f"assert {m['call']} == {m['value']}")
    if len(defined) == 1:
        for m in IN_OUT.finditer(task):
            given = re.sub(r"\b[A-Za-z_]\w*\s*=\s*", "", m["given"].strip(" `。，"))
            tests.append(f"assert {defined[0]}({given}) == {m['value']}")
    if named and named["name"] not in ("main",):
        tests.append(f"assert callable({named['name']})")
    return [t for t in dict.fromkeys(tests) if _plain(t)]


def functions(code: str) -> list[str]:
    """The names of the functions that a program defines at its top."""
    return [n.name for n in _parsed(code).body if isinstance(n, ast.FunctionDef)]


def _parsed(code: str) -> ast.Module:
    """A program's tree; an empty one where it does not parse, or is nested too deep."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _plain(test: str) -> bool:
    """Whether a test can be read, and is an assertion about calls with literals."""
    tree = _parsed(test)
    calls = (
        ast.Name,
        ast.Call,
        ast.Constant,
        ast.List,
        ast.Tuple,
        ast.Dict,
        ast.Set,
        ast.UnaryOp,
        ast.USub,
        ast.Compare,
    )
    more = (
        ast.Module,
        ast.Assert,
        ast.Load,
        ast.cmpop,
        ast.keyword,
        ast.BinOp,
        ast.operator,
        ast.Subscript,
        ast.Attribute,
    )
    return bool(tree.body) and all(isinstance(n, (*calls, *more)) for n in ast.walk(tree))


@lru_cache(4096)
def ran(code: str, tests: str) -> tuple[bool | None, str]:
    """(whether a program passes tests in the sandbox, None where they could not be run; what was said)."""
    from instdata.score.sandbox.run import run_tests

    try:
        found_ = run_tests(code, tests, seconds=SECONDS)
    except InputError as e:
        return None, str(e)
    return found_.passed, found_.reason
