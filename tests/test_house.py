"""The house: imports go one way, no circles, files one can read in a sitting, one meaning a name."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import pytest

import instdata

HERE = Path(instdata.__file__).parent
# From the ground up; a room imports itself and what stands before it. A module at the top level is a room of its own.
ROOMS = (
    "util", "llm", "corpus", "read", "builds", "score", "steps", "recipe", "train", "judge", "compare", "grow",
    "report", "publish", "build", "rebuild", "audit", "api", "cli",
)  # fmt: skip
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
# Longer, with the reason.
LONG_FUNCTIONS = {
    "cli.ablate.ablate": "a command's options, a line or two each",
    "read.split_json._spans": "a compiled kernel: one loop over the bytes",
    "steps.dedup.folding.fold": "a compiled kernel: one loop over the characters",
    "steps.ability.tokens_and_cues.read": "a compiled kernel: one loop over the characters",
}
# Imported, but declared nowhere: with the reason.
UNDECLARED = {
    "IPython": "asked whether it runs us, never needed",
    "vllm": "for a GPU; its error says how to install it",
    "datasketch": "a peer to compare with, when `engine: datasketch` is asked for",
    "markupsafe": "jinja2 stands on it",
    "safetensors": "transformers stands on it",
    "mcp_types": "mcp stands on it",
}
ELSEWHERE = {"faiss": "faiss-cpu", "sentence_transformers": "sentence-transformers", "lm_eval": "lm-eval"}
SAME = {"Recipe"}  # api.Recipe is the recipe, which can also read and write itself as YAML


def modules() -> dict[str, ast.Module]:
    """Every module of the package, by its dotted name without `instdata.`, parsed."""
    found = {}
    for path in sorted(HERE.rglob("*.py")):
        name = ".".join(path.relative_to(HERE).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("__init__", "__main__"):
            found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imports(name: str, tree: ast.Module, known: set[str]) -> set[str]:
    """The modules of ours that a module imports, wherever in it, type-only imports included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("instdata.") for a in node.names if a.name.startswith("instdata.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "instdata":
            base = node.module.removeprefix("instdata").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                found.add(inner if inner in known else base)
    return {f for f in found if f in known and f != name}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    found = modules()
    return {name: imports(name, tree, set(found)) for name, tree in found.items()}


def test_arrows_go_one_way(graph):
    wrong = [
        f"{name} -> {other}"
        for name, others in graph.items()
        for other in others
        if ROOMS.index(name.split(".")[0]) < ROOMS.index(other.split(".")[0])
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_circle(graph):
    state: dict[str, int] = defaultdict(int)  # 1: on the way, 2: done

    def visit(name: str, way: list[str]) -> None:
        assert state[name] != 1, " -> ".join([*way[way.index(name) :], name])
        if state[name] == 0:
            state[name] = 1
            for other in sorted(graph[name]):
                visit(other, [*way, name])
            state[name] = 2

    for name in graph:
        visit(name, [])


def test_statistics_and_the_ground_floor_lean_on_nothing(graph):
    assert not {o for o in graph["util.stats"] if o != "util.errors"}
    assert not [
        n for n, o in graph.items() if n.startswith("steps") and any(x.startswith(("train", "compare")) for x in o)
    ]


def test_files_are_short():
    long = {p.relative_to(HERE): n for p in HERE.rglob("*.py") if (n := len(p.read_text().splitlines())) > LONGEST_FILE}
    assert not long


def test_functions_are_short():
    long = {}
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long[f"{name}.{node.name}"] = lines
    unexplained = {k: v for k, v in long.items() if k not in LONG_FUNCTIONS}
    assert not unexplained
    assert not set(LONG_FUNCTIONS) - set(long), "these are short now"


def test_one_meaning_a_name():
    where = defaultdict(list)
    for name, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(name)
    assert not {k: v for k, v in where.items() if len(v) > 1 and k not in SAME}


def test_what_is_imported_is_declared():
    """A package that only some dependency of today brings is gone tomorrow, and with it the program."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [
        r for name, wanted in project["optional-dependencies"].items() if name not in ("test", "docs") for r in wanted
    ]
    declared = {_distribution(r) for r in [*project["dependencies"], *extras]}
    brought = packages_distributions()
    for name, tree in modules().items():
        for top in sorted(_tops(tree) - set(UNDECLARED) - set(sys.stdlib_module_names) - {"instdata"}):
            from_ = {_distribution(d) for d in brought.get(top, [ELSEWHERE.get(top, top)])}
            assert from_ & declared, f"{name} imports {top}, which pyproject.toml does not name"


def _distribution(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def _tops(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found
