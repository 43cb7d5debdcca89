"""`agent mcp`: the commands that change nothing, as tools of the Model Context Protocol over stdin and stdout.

Each tool is a command of the program, run as a program of its own with --json in the folder where the server was
started, so that what a tool answers is what the command prints, errors and their `fix` included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import typer

from instdata.cli.help_and_reference import COMMON, command_of, parsers
from instdata.util.errors import MissingExtra

# A tool -> the words of its command. None of them writes, sends, trains or asks a model.
TOOLS = {
    "validate": ("validate",),
    "plan": ("build", "--dry-run"),
    "why": ("why",),
    "diff": ("diff",),
    "verify": ("verify",),
    "schema": ("schema",),
    "doctor": ("doctor",),
}
REFUSED = ("--rebuild",)  # it builds
WORDS = (
    'words: what follows the command on the command line, one word an item: ["recipe.yaml", "--set", '
    '"generate.target=200"].'
)


def serve(app: typer.Typer, context: str) -> None:
    """Serve until the client goes, who is told `context` first. Raises MissingExtra."""
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp_types import ToolAnnotations
    except ImportError as e:
        raise MissingExtra("agent mcp", "mcp") from e
    from instdata import __version__

    server = MCPServer("instdata", instructions=context, version=__version__, log_level="ERROR")
    reads = ToolAnnotations(readOnlyHint=True, destructiveHint=False, idempotentHint=True, openWorldHint=False)

    def context_of(name: str = "") -> dict[str, Any]:
        return run(("agent", "context"), [name] if name else [])

    about = "What instdata can do: all of it in short, or every option of one command or step (name)."
    server.add_tool(context_of, "context", description=about, annotations=reads)
    known = parsers(app)
    for tool, command in TOOLS.items():
        told = command_of(command[0], *known[command[0]])
        server.add_tool(_runs(command), tool, description=_described(command, told), annotations=reads)
    server.run("stdio")


def _runs(command: tuple[str, ...]) -> Any:
    def tool(words: list[str] | None = None) -> dict[str, Any]:
        return run(command, words or [])

    return tool


def _described(command: tuple[str, ...], told: dict[str, Any]) -> str:
    """A tool's description, from the command's own help."""
    options = "; ".join(f"{o['option']}: {o['help']}" for o in told["options"]
                        if o["option"] not in (*COMMON, *command, *REFUSED))  # fmt: skip
    usage = " ".join(["instdata", *command, *told["arguments"]])
    return f"`{usage}`: {told['does']} {WORDS} Options: {options or 'none'}."


def run(command: tuple[str, ...], words: list[str]) -> dict[str, Any]:
    """What a command prints with --json, and its `exit_code`."""
    refused = [w for w in words if w.partition("=")[0] in REFUSED]
    if refused:
        return {
            "error": f"{refused[0]} is no part of a tool that only reads: run it yourself",
            "exit_code": 2,
            "fix": [],
        }
    asked = [sys.executable, "-m", "instdata", *command, *words, "--json", "--quiet"]
    done = subprocess.run(asked, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {"error": (done.stderr or done.stdout).strip()[-2000:], "fix": []}
    return {**(found if isinstance(found, dict) else {"result": found}), "exit_code": done.returncode}
