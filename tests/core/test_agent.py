"""What agents read: the context is the program, ten tasks are solved with nothing else, errors say what mends them."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from instdata.cli import agent, help_and_reference
from instdata.cli.error_fixes import fixes
from instdata.cli.main import app
from instdata.cli.mcp_server import TOOLS
from instdata.util.resources import resource
from tests.conftest import rows
from tests.core.test_cli import mistaken
from tests.shell import Shell, forked


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return help_and_reference.describe(app)


@pytest.fixture(scope="module")
def context(found: dict[str, Any]) -> str:
    return agent.as_text(agent.brief(found))


def tokens(text: str) -> int:
    """More than any tokenizer in use would count for English: six letters, three digits or one sign each."""
    return len(re.findall(r"[A-Za-z]{1,6}|\d{1,3}|[^\sA-Za-z\d]", text))


def test_it_is_short(found: dict[str, Any], context: str) -> None:
    assert tokens(context) < agent.LIMIT
    assert tokens(json.dumps(agent.brief(found), ensure_ascii=False)) < agent.LIMIT * 1.2  # quotes are signs, too


def test_it_is_the_program(found: dict[str, Any], context: str) -> None:
    from instdata.steps.base import BUILTIN, step_class

    top = {c.name or c.callback.__name__.rstrip("_") for c in app.registered_commands}
    assert {name.split()[0] for name in found["commands"]} == top | {"agent"}
    for kind in BUILTIN:
        assert [o["option"] for o in found["steps"][kind]["options"]] == [
            n for n in step_class(kind).model_fields if n != "name"
        ]
    for command in found["commands"].values():
        assert command["does"] and all(o["help"] or o["option"].startswith("--seed") for o in command["options"])
        assert {o["option"].split()[0] for o in command["options"]} >= {"--json", "--quiet"}
    for option in ("--dry-run", "--fail-if EXPR", "min_confidence=0.5", "method=minhash|exact|semantic"):
        assert option in context


def commands_in(text: str) -> list[str]:
    """Every command that a text names: `instdata …` between backquotes or at the start of an indented line."""
    return [c for pair in re.findall(r"`instdata ([^`]+)`|^    instdata (.+)$", text, re.MULTILINE) for c in pair if c]


def parse(line: str) -> None:
    """Parse a command line as the program would; raises for a command or option that there is not."""
    words = shlex.split(line.partition(" #")[0])
    known = help_and_reference.parsers(app)
    name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
    assert name in known, line
    command, _ = known[name]
    command.make_context(name, words[len(name.split()) :])


def test_what_comes_next_and_the_skill_name_commands_that_exist(found: dict[str, Any]) -> None:
    assert set(help_and_reference.NEXT) <= set(found["commands"])
    text = resource("skill/SKILL.md").read_text("utf-8")
    assert text.startswith("---\nname: instdata\ndescription: ")
    said = commands_in(text)
    assert len(said) > 12
    for line in said:
        parse(line)
    for rule in (*agent.RULES, *help_and_reference.NEXT.values()):
        for name in re.findall(r"\b([a-z-]+) --(?!json|quiet)", rule):
            assert name in found["commands"], rule


# Task: the command lines that solve it, with words of the context alone.
TASKS = {
    "look a file over": ["audit rows.jsonl"],
    "fail where the file has unanswered rows": ["audit rows.jsonl --fail-if 'unanswered > 0'"],
    "begin with a recipe that mends it": ["audit rows.jsonl --recipe mended.yaml", "validate mended.yaml"],
    "what would it cost": ["build mine.yaml --dry-run"],
    "build it": ["build mine.yaml"],
    "why did a row go": ["why rows/rows.jsonl:30 --build mine"],
    "everything that went": ["export mine --dropped all --out dropped.jsonl"],
    "another threshold, and what it changes": [
        "build mine.yaml --set dedup.threshold=0.95 --out builds/looser",
        "diff mine looser",
    ],
    "a file for LLaMA-Factory": ["export mine --format alpaca --out train.json"],
    "is the build whole, and what would be published": ["verify mine", "push-to-hub mine --repo me/mine --dry-run"],
}


def test_ten_tasks_from_the_context_alone(tmp_path: Path, context: str) -> None:
    shell = Shell(tmp_path)
    records = [*rows(30), rows(1)[0]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    recipe = yaml.safe_load(agent.EXAMPLE)
    recipe["sources"] = [{"path": "rows.jsonl", "license": "cc-by-4.0"}]
    recipe["steps"] = [s for s in recipe["steps"] if s not in ("categorize",)]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    assert len(TASKS) == 10
    answers: dict[str, Any] = {}
    for lines in TASKS.values():
        for line in lines:
            words = shlex.split(line)
            for word in words:
                assert not word.startswith("--") or word in context, word
            assert f"- {words[0]} " in context
            done = shell(*words, "--json")
            answers[line] = json.loads(done.stdout)
            for said in done.stderr.splitlines():
                assert json.loads(said).keys() == {"seconds", "say"}
    assert answers["build mine.yaml --dry-run"]["rows"] == 31
    assert answers["why rows/rows.jsonl:30 --build mine"]["rows"][0]["verdict"] == "dropped"
    assert answers["verify mine"]["ok"] and answers["push-to-hub mine --repo me/mine --dry-run"]["commit"] is None


@pytest.mark.parametrize(
    ("args", "code", "fix"),
    [
        (["biuld"], 2, {"replace": "biuld", "with": "build"}),
        (["build", "--dryrun"], 2, {"replace": "--dryrun", "with": "--dry-run"}),
        (["build"], 2, {"run": "instdata init"}),
        (["agent", "context", "dedpu"], 2, {"replace": "dedpu", "with": "dedup"}),
        (
            ["audit", "x.jsonl", "--against", "x.jsonl", "--fail-if", "leeks > 0"],
            2,
            {"replace": "leeks", "with": "leaks"},
        ),
    ],
)
def test_an_error_says_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], code: int,
    fix: dict[str, str],
) -> None:  # fmt: skip
    answer = mistaken(tmp_path, monkeypatch, capsys, args, code)
    assert fix in answer["fix"], answer


def test_a_problem_of_a_recipe_is_mended_by_its_fix(tmp_path: Path) -> None:
    """validate, do what `fix` says, validate again: until it is fine."""
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(9)))
    path = tmp_path / "r.yaml"
    path.write_text("name: x\nsources:\n  - pth: a.jsonl\nsteps:\n  - dedup: {treshold: 0.7}\n  - qualty\n")
    for _ in range(4):
        done = forked(("validate", "r.yaml", "--json"), tmp_path, dict(os.environ))
        errors = json.loads(done.stdout)["errors"]
        if not errors:
            break
        lines = path.read_text().splitlines()
        for fix in (f for e in errors for f in e["fix"]):
            assert fix["file"] == "r.yaml"
            lines[fix["line"] - 1] = lines[fix["line"] - 1].replace(fix["replace"], fix["with"])
        path.write_text("\n".join(lines))
    assert done.returncode == 0 and errors == [], path.read_text()


def test_fixes_of_messages() -> None:
    again = fixes([("", None, "interrupted; what was done is kept")], 130, ["build", "my recipe.yaml"])
    assert again == [{"run": "instdata build 'my recipe.yaml'"}]
    extra = fixes([("", None, "report.html needs an optional package: pip install 'instdata[report]'")], 2, [])
    assert extra == [{"run": "pip install 'instdata[report]'"}]
    assert fixes([("", None, "out.jsonl: a file is there")], 2, []) == []
    assert fixes([("r.yaml", 3, "gone.jsonl: no such file or folder.")], 2, []) == []


def test_tools_over_stdio_are_the_commands_that_only_read(tmp_path: Path) -> None:
    """A real client against the real program."""
    mcp = pytest.importorskip("mcp")
    import anyio

    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r) for r in rows(12)), "utf-8")
    (tmp_path / "good.yaml").write_text("name: good\nsources: [{path: a.jsonl}]\nsteps: [dedup]\n")
    (tmp_path / "bad.yaml").write_text("name: bad\nsources: [{path: a.jsonl}]\nsteps: [dedupe]\n")
    before = sorted(p.name for p in tmp_path.iterdir())
    server = mcp.StdioServerParameters(
        command=sys.executable, args=["-m", "instdata", "agent", "mcp"], cwd=tmp_path, env=dict(os.environ)
    )

    async def talk() -> dict[str, Any]:
        async with mcp.Client(server, read_timeout_seconds=120) as client:
            tools = {t.name: t for t in (await client.list_tools()).tools}

            async def call(tool: str, **words: Any) -> dict[str, Any]:
                return (await client.call_tool(tool, words)).structured_content

            return {
                "tools": tools,
                "told": client.instructions,
                "context": await call("context", name="dedup"),
                "plan": await call("plan", words=["good.yaml"]),
                "bad": await call("validate", words=["bad.yaml"]),
                "none": await call("why", words=["x"]),
                "refused": await call("verify", words=["--rebuild"]),
            }

    found = anyio.run(talk)
    assert set(found["tools"]) == {"context", *TOOLS} and all(
        t.annotations.read_only_hint for t in found["tools"].values()
    )
    assert "near copies" in found["tools"]["plan"].description or "--limit" in found["tools"]["plan"].description
    assert "## Commands" in found["told"]
    assert any(o["option"] == "threshold" for o in found["context"]["step"]["options"])
    assert found["plan"]["rows"] == 12 and found["plan"]["exit_code"] == 0
    assert found["bad"]["exit_code"] == 2 and "dedupe" in json.dumps(found["bad"])
    assert found["none"]["exit_code"] == 2 and "no build" in found["none"]["error"]
    assert found["refused"]["exit_code"] == 2 and "only reads" in found["refused"]["error"]
    assert sorted(p.name for p in tmp_path.iterdir()) == before
