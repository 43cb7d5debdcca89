"""agent: what an agent needs to know to use instdata."""

from __future__ import annotations

from typing import Annotated

import typer

from instdata.cli.common import AsJson, Quiet, result

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
        from instdata.cli import registry

        if name is not None:
            told = registry.detail(app, name)
            result(told, json_, lambda: print(registry.detail_text(name, told)))
            return
        found = registry.brief(registry.describe(app))
        result(found, json_, lambda: print(registry.as_text(found)))

    def mcp(json_: AsJson = False, quiet: Quiet = False) -> None:
        """Serve commands that change nothing as MCP tools on stdin and stdout."""
        from instdata.cli.mcp_server import serve

        serve(app)

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
