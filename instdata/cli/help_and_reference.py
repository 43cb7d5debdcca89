"""What instdata can do, as data: commands, steps, formats, exit codes, what comes next.

Read from the program itself (the typer app, the steps' models, the tables of formats), so it cannot fall behind.
`--help`, docs/reference.md and `instdata agent context` are this, for people, readers and agents.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Union, get_args, get_origin

import typer

from instdata.util.errors import EXIT_CODES

COMMON = ("--json", "--quiet")  # every command has them: said once
# What usually follows a command. The names are checked against the commands there are.
NEXT = {
    "init": "validate, build",
    "audit": "audit --recipe FILE, then build FILE",
    "validate": "build --dry-run",
    "build": "why ID for a drop that surprises, verify, export, curves --plan, push-to-hub --dry-run",
    "why": "keep, drop or relabel ID --why TEXT, then build again",
    "diff": "why ID",
    "review": "the step `review: BUILD/reviews.jsonl`, then build; judge-card --on it",
    "keep": "build (with the step overrides)",
    "drop": "build (with the step overrides)",
    "relabel": "build (with the step overrides)",
    "export": "train with the files named in the answer",
    "verify": "build --fresh where a file is damaged",
    "train": "evaluate RUN",
    "curves": "next",
    "ablate": "report; exit 3: ablate --max-seeds N, or more items or rows",
    "arms": "train them with your trainer, then ablate --cells DIR/cells.csv",
    "next": "validate and build the recipe it wrote",
    "push-to-hub": "verify REPO",
    "sign": "verify BUILD --signed-by KEYS",
    "doctor": "the install line of a missing extra",
}


def describe(app: typer.Typer) -> dict[str, Any]:
    """Everything: {program, commands, steps, source, formats, exit_codes}. A command and a step are as `command_of` and
    `step_of` say."""
    from instdata import __version__
    from instdata.steps.base import BUILTIN

    return {
        "program": f"instdata {__version__}: {app.info.help}",
        "commands": {name: command_of(name, *found) for name, found in parsers(app).items()},
        "steps": {kind: step_of(kind) for kind in BUILTIN},
        "source": source_keys(),
        "formats": formats(),
        "exit_codes": {str(code): meaning for code, meaning in EXIT_CODES.items()},
    }


def parsers(app: typer.Typer) -> dict[str, tuple[Any, Any]]:
    """Each command's parser and a context for it, by the words that name it; those of groups as `group command`."""
    top = typer.main.get_command(app)
    found: dict[str, tuple[Any, Any]] = {}

    def walk(group: Any, context: Any, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            inner = command.make_context(name, [], parent=context, resilient_parsing=True)
            if hasattr(command, "commands"):
                walk(command, inner, (*words, name))
            else:
                found[" ".join((*words, name))] = (command, inner)

    walk(top, top.make_context("instdata", [], resilient_parsing=True), ())
    return found


def command_of(name: str, command: Any, context: Any) -> dict[str, Any]:
    """{does, arguments, options: [{option, help}], next} of a command."""
    records = [(p.param_type_name, p.get_help_record(context), p.required) for p in command.params]
    told = [(kind, *record, needed) for kind, record, needed in records if record and "--help" not in record[0]]
    return {
        "does": (command.help or "").strip(),
        "arguments": [_argument(usage, needed) for kind, usage, _, needed in told if kind == "argument"],
        "options": [
            {"option": _spelled(usage), "help": text, **({"required": True} if needed else {})}
            for kind, usage, text, needed in told
            if kind == "option"
        ],
        "next": NEXT.get(name, ""),
    }


def _argument(usage: str, needed: bool) -> str:
    """`build <path>` as `[BUILD]`; a metavar of its own stays as it is."""
    name = re.sub(r"\s*(<[^>]*>|\.\.\.)$", "", usage).strip()
    shown = name.upper() if name.islower() else name
    return shown if needed or shown.startswith("[") else f"[{shown}]"


def _spelled(usage: str) -> str:
    """`-q, --quiet` as `--quiet`, `--limit <int range>` as `--limit N`."""
    words = re.sub(r"^-\w, ", "", usage).replace(" / ", "/")
    for kind, letter in (("list\\[.*\\]", "X"), ("int.*", "N"), ("float.*", "N"), ("path", "PATH"), ("str", "TEXT")):
        words = re.sub(rf" <{kind}>$", f" {letter}", words, flags=re.IGNORECASE)
    # Older versions of typer write the kinds in capitals, without brackets.
    words = re.sub(r" (INTEGER|FLOAT)( RANGE)?.*$", " N", words)
    return re.sub(r" <(.*)>$", r" \1", words)


def step_of(kind: str) -> dict[str, Any]:
    """{does, sees, options: [{option, default, help}]} of a step."""
    from instdata.steps.base import step_class

    found = step_class(kind)
    options = [
        {
            "option": name,
            "default": None if field.is_required() else _plain(field.default),
            "help": field.description or "",
            **({"choices": words} if (words := _choices(field.annotation)) else {}),
            **({"required": True} if field.is_required() else {}),
        }
        for name, field in found.model_fields.items()
        if name != "name"
    ]
    does = " ".join((found.__doc__ or "").partition("\n\n")[0].split())
    return {"does": does, "options": options}


def source_keys() -> list[str]:
    """What an item of a recipe's `sources` may have."""
    from instdata.read.source_options import Source

    return [f.alias or name for name, f in Source.model_fields.items()]


def _choices(annotation: Any) -> list[str]:
    """The words that a Literal allows, null left out."""
    if get_origin(annotation) is Literal:
        return [str(a) for a in get_args(annotation)]
    return [w for inner in get_args(annotation) for w in _choices(inner)] if get_origin(annotation) is Union else []


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, list, dict)) or value is None else str(value)


def formats() -> dict[str, Any]:
    """{files: suffixes that are read, read: what a record of each format has}."""
    from instdata.read.file_kind import PACKED, SUFFIXES
    from instdata.read.formats import KEYS

    fields = {name: list(keys)[:4] for name, keys in KEYS.items()}
    return {
        "files": [*SUFFIXES, *(f"*{p}" for p in PACKED)],
        "read": fields | {"preference": ["prompt", "chosen", "rejected"]},
    }


def tell(app: typer.Typer) -> None:
    """Put what comes next, and the exit codes, at the end of `--help`."""
    app.info.epilog = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    for command in app.registered_commands:
        if (name := name_of(command)) in NEXT:
            command.epilog = f"Next: {NEXT[name]}"


def name_of(command: Any) -> str:
    """What a registered command is called by."""
    return command.name or (command.callback.__name__.replace("_", "-") if command.callback else "")
