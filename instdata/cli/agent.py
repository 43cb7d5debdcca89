"""`instdata agent context | skill | mcp`: what an agent needs to know to use instdata."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from instdata.cli.common import AsJson, Quiet, result
from instdata.cli.help_and_reference import COMMON, command_of, describe, parsers, step_of

LIMIT = 4000  # tokens that the whole context may take
RULES = (
    "A recipe (YAML: name, taxonomy, sources, steps, subsets, publish) is built into builds/NAME; BUILD is a folder, "
    "a name under builds/, or left out for the newest.",
    "Every command takes --json (one object on stdout; progress on stderr, a JSON object a line) and --quiet.",
    'An error with --json: {"error", "exit_code", "fix": [{"run": COMMAND} or {"replace", "with", "file", "line"}]}; '
    "do the fix, run again.",
    "Before what costs time or money: build --dry-run, curves --plan, ablate --plan, push-to-hub --dry-run. Nothing "
    "is sent without push-to-hub.",
    "Run the same command again to resume (exit 4, 130) or to change something: only what changed is computed.",
    "Rows: rid is source/file:row (rows from 0), id is the hash of the text. Every dropped row has a step, a reason "
    "and evidence: why ID.",
    "Every option of a command or step: `instdata agent context NAME`. The recipe's JSON schema: `instdata schema`.",
)
EXAMPLE = """name: mine
taxonomy: belle            # or doit, or a path
sources: [{path: data/*.jsonl, map: {instruction: question, output: answer}, origin: human, license: cc-by-4.0}]
steps: [clean, categorize, {holdout: {per_ability: 20}}, {dedup: {threshold: 0.7}}, {quality: {rules: default, language: [zh, en]}}]
subsets: {sizes: [10%, 30%, 100%]}
publish: {repo: me/mine, license: cc-by-4.0}"""  # noqa: E501
agent = typer.Typer(help="What an agent needs to know.", rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""

    def context(
        name: Annotated[
            str | None, typer.Argument(help="A command or step, for each of its options.", show_default=False)
        ] = None,
        json_: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        """Print commands, steps, options, formats, exit codes and next actions, in under 4,000 tokens."""
        if name is not None:
            told = detail(app, name)
            result(told, json_, lambda: print(detail_text(name, told)))
            return
        found = brief(describe(app))
        result(found, json_, lambda: print(as_text(found)))

    def mcp(json_: AsJson = False, quiet: Quiet = False) -> None:
        """Serve commands that change nothing as MCP tools on stdin and stdout."""
        from instdata.cli.mcp_server import serve

        serve(app, as_text(brief(describe(app))))

    agent.command()(context)
    agent.command()(skill)
    agent.command()(mcp)
    app.add_typer(agent, name="agent")


def skill(json_: AsJson = False, quiet: Quiet = False) -> None:
    """Print SKILL.md: save it as .claude/skills/instdata/SKILL.md, or where your agent looks for skills."""
    from instdata.util.resources import resource

    path = resource("skill/SKILL.md")
    text = path.read_text("utf-8")
    result({"file": str(path), "text": text}, json_, lambda: print(text, end=""))


def brief(found: dict[str, Any]) -> dict[str, Any]:
    """What help_and_reference.describe says in few tokens: a command or a step is a line; and RULES, EXAMPLE."""
    return found | {
        "rules": list(RULES),
        "recipe": EXAMPLE,
        "commands": {n: _command_line(n, c) for n, c in found["commands"].items()},
        "steps": {n: _step_line(s) for n, s in found["steps"].items()},
        "formats": {
            "files": " ".join(found["formats"]["files"]),
            "read": "; ".join(f"{n}: {', '.join(f)}" for n, f in found["formats"]["read"].items()),
        },
    }


def _command_line(name: str, command: dict[str, Any]) -> str:
    options = [
        f"{o['option']} (required)" if o.get("required") else o["option"]
        for o in command["options"]
        if o["option"] not in COMMON
    ]
    does = _first_sentence(command["does"])
    line = f"{' '.join([*command['arguments'], *options])} | {does}".strip()
    return line + (f" | next: {command['next']}" if command["next"] else "")


def _step_line(step: dict[str, Any]) -> str:
    return f"{_first_sentence(step['does'])} | {', '.join(map(_option, step['options']))}"


def _option(option: dict[str, Any]) -> str:
    """`name`, `name=default`, `name=default|other|other`, `name (required)`."""
    value, name = option["default"], option["option"]
    if option.get("required"):
        return f"{name} (required)"
    others = [w for w in option.get("choices", []) if w != value and value is not None and value != []]
    if isinstance(value, bool):
        value = str(value).lower()
    shown = "" if value in (None, "") or isinstance(value, (list, dict)) else str(value)
    return f"{name}={'|'.join([shown, *others])}" if shown else name


def _first_sentence(text: str) -> str:
    return re.split(r"(?<!e\.g)\. ", text, maxsplit=1)[0].rstrip(".")


def as_text(found: dict[str, Any]) -> str:
    """`brief` for reading: Markdown."""
    lines = [f"# {found['program']}", "", *found["rules"], "", "## Commands (instdata …)", ""]
    lines += [f"- {name} {line}" for name, line in found["commands"].items()]
    lines += ["", "## Steps of a recipe: what each does | its options=defaults", ""]
    lines += [f"- {name}: {line}" for name, line in found["steps"].items()]
    lines += [
        "",
        "## Formats",
        "",
        f"keys of a source: {', '.join(found['source'])}",
        f"files: {found['formats']['files']}",
        f"records: {found['formats']['read']}",
    ]
    lines += ["", "## Exit codes", "", "; ".join(f"{code} {text}" for code, text in found["exit_codes"].items())]
    return "\n".join([*lines, "", "## A recipe", "", found["recipe"]])


def detail(app: typer.Typer, name: str) -> dict[str, Any]:
    """A command's or a step's every option. Raises InputError for a name that is neither."""
    from instdata.steps.base import BUILTIN
    from instdata.util.errors import InputError
    from instdata.util.yaml import did_you_mean

    known = parsers(app)
    found: dict[str, Any] = {}
    if name in known:
        found["command"] = command_of(name, *known[name])
    if name in BUILTIN:
        found["step"] = step_of(name)
    if not found:
        names = [*known, *BUILTIN]
        raise InputError(
            f'no command or step is named "{name}".{did_you_mean(name, names)} There are: {", ".join(names)}'
        )
    return found


def detail_text(name: str, found: dict[str, Any]) -> str:
    """`detail` for reading."""
    lines = []
    for kind, item in found.items():
        shown = " ".join([name, *item.get("arguments", [])])
        lines += [f"## {kind} {shown}", "", item["does"], ""]
        for o in item["options"]:
            default = "" if kind == "command" or o.get("required") else f" (default {o['default']!r})"
            lines.append(f"- {o['option']}{' (required)' if o.get('required') else ''}{default}: {o['help']}")
        lines += ["", f"next: {item['next']}", ""] if item.get("next") else [""]
    return "\n".join(lines).rstrip()
